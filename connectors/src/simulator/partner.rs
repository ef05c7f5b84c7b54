//! A partner agency: Open311 GeoReport v2 with service request updates; forms in, XML out.
//!
//! A request is made for every create call, and none can be looked up by a reference of the caller's.
//! Updates are pushed as signed JSON (Standard Webhooks), and can be listed. A plain server has neither: it says of its
//! requests whether they are open or closed, under a root element of its own.

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::json;

use super::book::{Book, Course, Index, Last, Order, Phase, Text};
use super::call::{Call, Fields, Reply, same};
use super::markers::{End, Refusal};
use super::markup::put;
use super::pusher::Message;
use super::{Ending, Shared, clock};

pub(super) const DONE: &str = "fixed";
pub(super) const UNHEARD: &str = "archived";

/// How the tokens begin that are given before a number.
const TOKEN: &str = "T-";

const SERVICES: [&str; 4] = ["SL01", "PH01", "AV01", "LF01"];

pub(super) fn answer(shared: &Shared, call: &Call) -> Reply {
    if shared.is_plain() && call.path == "/v2/servicerequestupdates.xml" {
        let page = "<!DOCTYPE html><title>404</title>Not found".to_owned();
        return Reply::of(404, "text/html; charset=utf-8", page);
    }
    let (fields, act): (Fields, fn(&Shared, &Fields) -> Reply) = match (&call.method, call.path.as_str()) {
        (&Method::POST, "/v2/requests.xml") => (call.form(), create),
        (&Method::GET, "/v2/requests.xml") => (call.asked(), requests),
        (&Method::POST, "/v2/servicerequestupdates.xml") => (call.form(), take_update),
        (&Method::GET, "/v2/servicerequestupdates.xml") => (call.asked(), updates),
        (&Method::GET, path) if token_of(path).is_some() => (call.asked(), |_, _| error(404, "not found")),
        _ => return error(404, "not found"),
    };
    let allowed = &shared.settings.credentials;
    if !same(fields.get("api_key"), &allowed.key) {
        return error(403, "invalid api_key");
    }
    if fields.get("jurisdiction_id") != allowed.jurisdiction {
        return error(404, "jurisdiction_id was not found");
    }
    match token_of(&call.path) {
        Some(token) => number_of(shared, token),
        None => act(shared, &fields),
    }
}

/// The token that a path asks about.
fn token_of(path: &str) -> Option<&str> {
    path.strip_prefix("/v2/tokens/")?.strip_suffix(".xml")
}

/// What a token stands for: the number is not there at the first question, and at every one that follows.
fn number_of(shared: &Shared, token: &str) -> Reply {
    let mut book = shared.book();
    let Some(index) = find(&book, token) else { return error(404, "token was not found") };
    let asked_before = !book.taken.insert(format!("token {token}").into());
    let mut out = String::from("<service_requests><request>");
    let number = book.number(index);
    put(&mut out, "service_request_id", if asked_before { &number } else { "" });
    put(&mut out, "token", token);
    out.push_str("</request></service_requests>");
    Reply::xml(200, out)
}

/// The job of this number or token.
fn find(book: &Book, id: &str) -> Option<Index> {
    book.find(id).or_else(|| book.find(id.strip_prefix(TOKEN)?))
}

/// The number of a job; a token is none.
fn job_number(book: &Book, index: Index) -> String {
    let id = book.id(index);
    if id.starts_with(TOKEN) { book.number(index) } else { id }
}

fn create(shared: &Shared, fields: &Fields) -> Reply {
    let code = fields.get("service_code");
    if !SERVICES.contains(&code) {
        return error(404, "service_code was not found");
    }
    let description = fields.get("description");
    if description.is_empty() {
        return error(400, "description is required");
    }
    let place = !fields.get("lat").is_empty() && !fields.get("long").is_empty();
    if !place && fields.get("address_string").is_empty() && fields.get("address_id").is_empty() {
        return error(400, "lat and long, address_string or address_id is required");
    }
    let reference = fields.get("attribute[external_id]");
    let markers = shared.markers(description);
    let mut book = shared.book();
    let (before, _) = book.receive(reference, None);
    if markers.busy && before == 0 {
        return error(503, "service unavailable").with("retry-after", "1".to_owned());
    }
    if let Some(refusal) = markers.refusal {
        book.counts.refused += 1;
        return match refusal {
            Refusal::Duplicate => error(400, "duplicate of service request 293901"),
            Refusal::Declined => error(400, "the defect is below the intervention level"),
            Refusal::NotOurs => error(400, "location is outside the jurisdiction"),
            Refusal::Other => error(400, "attribute column is not in the asset register"),
        };
    }
    let order = Order {
        reference: reference.to_owned(),
        key: None,
        about: vec![("service_code", code.to_owned()), ("description", description.to_owned())],
    };
    let index = book.open(order, course(shared, markers.end), shared.now());
    let id = book.id(index);
    let mut out = String::from("<service_requests><request>");
    if id.starts_with(TOKEN) {
        put(&mut out, "token", &id);
    } else if markers.short {
        put(&mut out, "token", &format!("{TOKEN}{id}"));
    } else {
        put(&mut out, "service_request_id", &id);
        out.push_str("<service_notice/>");
    }
    out.push_str("</request></service_requests>");
    Reply::xml(201, out)
}

fn course(shared: &Shared, end: End) -> Course {
    const STEPS: &[&str] = &["open", "investigating", "action_scheduled"];
    const REVIEWED: &[&str] = &["open", "internal_referral"];
    let last = match (shared.settings.ending, end) {
        (Ending::ByHand, _) | (Ending::Marked, End::Never) => None,
        (Ending::Marked, End::Review) => return Course { steps: REVIEWED, last: None },
        (Ending::Marked, End::Completed | End::FollowOn) => Some(Last::over(DONE).noting("Repaired on site")),
        (Ending::Marked, End::NoAccess) => Some(Last::over("unable_to_fix").noting("The road was blocked")),
        (Ending::Marked, End::Declined) => {
            Some(Last::over("no_further_action").noting("It is within limits"))
        }
        (Ending::Marked, End::NotOurs) => Some(Last::over("not_councils_responsibility")),
        (Ending::Marked, End::Duplicate) => Some(Last::over("duplicate")),
        (Ending::Marked, End::Cancelled) => Some(Last::over("cancelled")),
        (Ending::Marked, End::Unknown) => Some(Last::open(UNHEARD)),
    };
    Course { steps: STEPS, last }
}

fn take_update(shared: &Shared, fields: &Fields) -> Reply {
    for name in ["update_id", "service_request_id", "status", "updated_datetime", "description"] {
        if fields.get(name).is_empty() {
            return error(400, &format!("{name} is required"));
        }
    }
    let (update, id) = (fields.get("update_id"), fields.get("service_request_id"));
    let mut book = shared.book();
    let Some(index) = find(&book, id) else {
        return error(404, "service_request_id was not found");
    };
    if book.taken.insert(update.into()) {
        let description = fields.get("description").to_owned();
        if fields.get("status").eq_ignore_ascii_case("closed") && !book.job(index).ended() {
            let note = Some(Text::Owned(description.clone()));
            book.say(index, Text::Borrowed("cancelled"), note, Phase::Ended, shared.now());
        }
        book.job_mut(index).remarks.push(description);
    }
    let mut out = String::from("<service_request_updates><request_update>");
    put(&mut out, "update_id", update);
    out.push_str("</request_update></service_request_updates>");
    Reply::xml(200, out)
}

/// Where requests stand, by their numbers: open or closed, as GeoReport has it. What is not known is left out.
fn requests(shared: &Shared, fields: &Fields) -> Reply {
    let root = if shared.is_plain() { "ServiceRequests" } else { "service_requests" };
    let book = shared.book();
    let mut out = format!("<{root}>");
    for id in fields.get("service_request_id").split(',') {
        let Some(index) = find(&book, id) else { continue };
        let job = book.job(index);
        out.push_str("<request>");
        put(&mut out, "service_request_id", id.trim());
        let closed = job.ended() || job.status.eq_ignore_ascii_case("closed");
        put(&mut out, "status", if closed { "closed" } else { "open" });
        put(&mut out, "status_notes", job.note.as_deref().unwrap_or_default());
        put(&mut out, "updated_datetime", &clock::utc(job.updated));
        out.push_str("</request>");
    }
    out.push_str(&format!("</{root}>"));
    Reply::xml(200, out)
}

fn updates(shared: &Shared, fields: &Fields) -> Reply {
    let times = [("start_date", Timestamp::MIN), ("end_date", Timestamp::MAX)].map(|(name, without)| {
        let text = fields.get(name);
        if text.is_empty() { Ok(without) } else { text.parse() }
    });
    let [Ok(start), Ok(end)] = times else { return error(400, "start_date or end_date is not a date") };
    let book = shared.book();
    let mut out = String::from("<service_request_updates>");
    for (number, change) in book.changes_since(start).take_while(|(_, change)| change.at <= end) {
        out.push_str("<request_update>");
        put(&mut out, "update_id", &update_id(&book, number));
        put(&mut out, "service_request_id", &job_number(&book, change.job));
        put(&mut out, "status", &change.status);
        put(&mut out, "updated_datetime", &clock::utc(change.at));
        put(&mut out, "description", change.note.as_deref().unwrap_or_default());
        put(&mut out, "customer_reference", &book.job(change.job).order.reference);
        out.push_str("</request_update>");
    }
    out.push_str("</service_request_updates>");
    Reply::xml(200, out)
}

/// The signed message about one change.
pub(super) fn update(shared: &Shared, book: &Book, number: usize) -> Message {
    let change = book.change(number);
    let id = update_id(book, number);
    let body = json!({
        "update_id": id,
        "service_request_id": job_number(book, change.job),
        "status": change.status,
        "updated_datetime": clock::utc(change.at),
        "description": change.note.as_deref().unwrap_or_default(),
        "customer_reference": book.job(change.job).order.reference,
    })
    .to_string();
    let id = format!("msg_{id}");
    let timestamp = shared.now().as_second().to_string();
    let signature = sign(&shared.settings.credentials.callback_secret, &id, &timestamp, &body);
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signature),
    ];
    Message { path: "/callbacks/partner", headers, body }
}

fn update_id(book: &Book, change: usize) -> String {
    format!("U-{}", book.serial(change))
}

/// The `v1` signature of Standard Webhooks 1.0.0: HMAC-SHA256 over id, timestamp and body.
fn sign(secret: &str, id: &str, timestamp: &str, body: &str) -> String {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = STANDARD.decode(encoded).unwrap_or_else(|_| encoded.as_bytes().to_vec());
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn error(status: u16, description: &str) -> Reply {
    let mut out = String::from("<errors><error>");
    put(&mut out, "code", &status.to_string());
    put(&mut out, "description", description);
    out.push_str("</error></errors>");
    Reply::xml(status, out)
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::{Value, json};

    use super::sign;
    use crate::simulator::markup::Element;
    use crate::simulator::rig::{Answered, Callbacks, Rig, send, still};
    use crate::simulator::{Fault, Faults, Kind, Settings, Switch};

    async fn post(rig: &Rig, path: &str, fields: &[(&str, &str)]) -> Answered {
        let mut all = vec![("api_key", "dovetail"), ("jurisdiction_id", "dovetail.example")];
        all.extend_from_slice(fields);
        send(rig.call(Method::POST, path).form(&all)).await.unwrap()
    }

    async fn report(rig: &Rig, ticket: &str, description: &str) -> Answered {
        let fields = [
            ("service_code", "SL01"),
            ("lat", "52.1"),
            ("long", "-0.4"),
            ("description", description),
            ("attribute[external_id]", ticket),
        ];
        post(rig, "/v2/requests.xml", &fields).await
    }

    async fn updates(rig: &Rig) -> Vec<[String; 4]> {
        let path = "/v2/servicerequestupdates.xml?api_key=dovetail&jurisdiction_id=dovetail.example\
                    &start_date=2026-01-01T00%3A00%3A00Z";
        let list = Element::read(&send(rig.call(Method::GET, path)).await.unwrap().body).unwrap();
        let names = ["update_id", "service_request_id", "status", "customer_reference"];
        list.children
            .iter()
            .map(|update| names.map(|name| update.text_at(&[name]).unwrap_or_default().to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn a_lamp_is_reported_and_its_updates_are_pushed_signed_and_in_order() {
        let mut router = Callbacks::refusing(1).await;
        let rig = Rig::start(Kind::Partner, Settings { callback: Some(router.url.clone()), ..still() }).await;
        let answer = report(&rig, "CRM-1", "Lamp out").await;
        assert_eq!(answer.status, 201);
        let document = Element::read(&answer.body).unwrap();
        assert_eq!(document.text_at(&["request", "service_request_id"]), Some("293944"));
        rig.post("/_sim/step", r#"{"steps": 3}"#).await;
        let mut states = Vec::new();
        for _ in 0..4 {
            let pushed = router.next().await;
            assert_eq!(pushed.path, "/callbacks/partner");
            let header = |name: &str| pushed.headers[name].to_str().unwrap();
            let secret = Settings::default().credentials.callback_secret;
            let expected = sign(&secret, header("webhook-id"), header("webhook-timestamp"), &pushed.body);
            assert_eq!(header("webhook-signature"), expected);
            let update: Value = serde_json::from_str(&pushed.body).unwrap();
            assert_eq!(update["service_request_id"], "293944");
            assert_eq!(update["customer_reference"], "CRM-1");
            states.push((
                update["update_id"].as_str().unwrap().to_owned(),
                update["status"].as_str().unwrap().to_owned(),
            ));
        }
        let words: Vec<_> = states.iter().map(|(_, status)| status.as_str()).collect();
        assert_eq!(words, ["open", "investigating", "action_scheduled", "fixed"]);
        let listed: Vec<_> = updates(&rig).await.into_iter().map(|[id, _, status, _]| (id, status)).collect();
        assert_eq!(listed, states, "the list says the same under the same ids");
    }

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // The example of the Standard Webhooks specification's libraries.
        let signature = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[tokio::test]
    async fn a_double_callback_is_the_same_update_twice() {
        let mut router = Callbacks::refusing(0).await;
        let faults = Faults::default().with(Fault::DoubleCallback, Switch::Next(1));
        let settings = Settings { callback: Some(router.url.clone()), faults, ..still() };
        let rig = Rig::start(Kind::Partner, settings).await;
        report(&rig, "CRM-1", "Lamp out").await;
        let (one, two) = (router.next().await, router.next().await);
        assert_eq!(one.body, two.body);
        assert_eq!(one.headers["webhook-id"], two.headers["webhook-id"]);
    }

    #[tokio::test]
    async fn every_report_makes_a_request() {
        let rig = Rig::start(Kind::Partner, still()).await;
        report(&rig, "CRM-1", "Lamp out").await;
        let again = report(&rig, "CRM-1", "Lamp out [short answer]").await;
        assert_eq!(Element::read(&again.body).unwrap().text_at(&["request", "token"]), Some("T-293945"));
        let jobs = rig.get("/_sim/jobs?reference=CRM-1").await;
        assert_eq!((&jobs[0]["delivered"], &jobs[0]["applied"]), (&json!(2), &json!(2)));
    }

    #[tokio::test]
    async fn refusals_are_errors_in_xml() {
        let rig = Rig::start(Kind::Partner, still()).await;
        for (description, status, words) in [
            ("[refused duplicate]", 400, "duplicate of service request 293901"),
            ("[refused not ours]", 400, "location is outside the jurisdiction"),
            ("[refused declined]", 400, "the defect is below the intervention level"),
            ("[busy]", 503, "service unavailable"),
            ("", 400, "description is required"),
        ] {
            let answer = report(&rig, description, description).await;
            let errors = Element::read(&answer.body).unwrap();
            assert_eq!((answer.status, errors.text_at(&["error", "description"])), (status, Some(words)));
        }
        let stranger =
            send(rig.call(Method::POST, "/v2/requests.xml").form(&[("api_key", "x")])).await.unwrap();
        assert_eq!(stranger.status, 403);
        assert_eq!(post(&rig, "/v2/requests.xml", &[("service_code", "XX")]).await.status, 404);
    }

    #[tokio::test]
    async fn an_update_of_ours_is_taken_once_and_closing_cancels() {
        let rig = Rig::start(Kind::Partner, still()).await;
        report(&rig, "CRM-1", "Lamp out [declined]").await;
        let update = |status| {
            [
                ("update_id", "k-1"),
                ("service_request_id", "293944"),
                ("status", status),
                ("updated_datetime", "2026-11-22T09:00:00Z"),
                ("description", "Two lamps"),
            ]
        };
        for _ in 0..2 {
            let answer = post(&rig, "/v2/servicerequestupdates.xml", &update("OPEN")).await;
            let document = Element::read(&answer.body).unwrap();
            assert_eq!(document.text_at(&["request_update", "update_id"]), Some("k-1"));
        }
        assert_eq!(rig.get("/_sim/jobs/293944").await["remarks"], json!(["Two lamps"]));
        let mut closing = update("CLOSED");
        closing[0].1 = "k-2";
        post(&rig, "/v2/servicerequestupdates.xml", &closing).await;
        assert_eq!(updates(&rig).await.last().unwrap()[2], "cancelled");
    }

    #[tokio::test]
    async fn a_token_stands_for_a_number_that_is_there_at_the_second_question() {
        let rig = Rig::start(Kind::Partner, still()).await;
        report(&rig, "CRM-1", "Lamp out [short answer]").await;
        let path = "/v2/tokens/T-293944.xml?api_key=dovetail&jurisdiction_id=dovetail.example";
        for number in ["", "293944", "293944"] {
            let answer = send(rig.call(Method::GET, path)).await.unwrap();
            let document = Element::read(&answer.body).unwrap();
            assert_eq!(document.text_at(&["request", "service_request_id"]).unwrap_or_default(), number);
            assert_eq!(document.text_at(&["request", "token"]), Some("T-293944"));
        }
        let unknown = path.replace("T-293944", "T-9");
        assert_eq!(send(rig.call(Method::GET, &unknown)).await.unwrap().status, 404);
    }

    #[tokio::test]
    async fn a_plain_server_has_no_updates_and_says_open_and_closed_under_its_own_root() {
        let rig = Rig::start(Kind::Partner, Settings { plain: true, ..still() }).await;
        report(&rig, "CRM-1", "Lamp out").await;
        let credentials = "api_key=dovetail&jurisdiction_id=dovetail.example";
        let updates =
            format!("/v2/servicerequestupdates.xml?{credentials}&start_date=2026-01-01T00%3A00%3A00Z");
        assert_eq!(send(rig.call(Method::GET, &updates)).await.unwrap().status, 404);
        assert!(rig.sim.callback("293944").is_none(), "it pushes nothing");
        for status in ["open", "closed"] {
            let path = format!("/v2/requests.xml?{credentials}&service_request_id=293944,7");
            let answer = send(rig.call(Method::GET, &path)).await.unwrap();
            assert!(answer.body.starts_with("<ServiceRequests><request>"), "{}", answer.body);
            let list = Element::read(&answer.body).unwrap();
            assert_eq!(list.text_at(&["request", "status"]), Some(status));
            rig.sim.end("293944", "fixed", None);
        }
    }
}
