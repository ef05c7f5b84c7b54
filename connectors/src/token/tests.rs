use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{Catalogue, Source, System};
use serde_json::{Value, json};

use crate::scripted::{Scripted, Turn, answer};
use crate::{Connector, Outcome, Performed, preview};

const SECRET: &str = "s3cr&t of ours";

/// A system that wants tokens, with its end point at the same door.
struct Office {
    scripted: Scripted,
    catalogue: Arc<Catalogue>,
    connector: Arc<Connector>,
}

impl Office {
    async fn start(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self::with("header", turns).await
    }

    async fn with(credentials: &str, turns: impl IntoIterator<Item = Turn>) -> Self {
        let scripted = Scripted::start(turns).await;
        let catalogue = Arc::new(catalogue(&scripted.url, &format!("{}/token", scripted.url), credentials));
        let connector = Arc::new(Connector::new(system(&catalogue)).expect("a connector"));
        Self { scripted, catalogue, connector }
    }

    async fn perform(&self, call: &str) -> Performed {
        self.perform_at(call, now()).await
    }

    async fn perform_at(&self, call: &str, at: Timestamp) -> Performed {
        let steps = system(&self.catalogue).call(call).expect("a call of that name");
        self.connector.perform(steps, json!({"ticket": "CRM-1"}), at).await
    }

    fn asked(&self) -> Vec<String> {
        let requests = self.scripted.requests();
        requests.iter().filter_map(|request| request.split(" HTTP/").next()).map(str::to_owned).collect()
    }
}

fn catalogue(url: &str, token_url: &str, credentials: &str) -> Catalogue {
    let text = format!(
        "system: office\nname: Office\nrole: back_office\nowner: {{team: T, contact: c@example.org}}\n\
         connection:\n  base_url: \"{url}\"\n  timeout: 500ms\n  connect_timeout: 300ms\n  auth: {{oauth2: {{token_url: \
         \"{token_url}\", client_id: \"us:1\", client_secret: \"${{SECRET}}\", scope: jobs read, credentials: {credentials}}}}}\n\
         limits: {{concurrency: 8}}\nidempotency: none\ncalls:\n  order: {{post: /jobs, json: {{ticket: $.ticket}}, accepted: {{job: $.id}}}}\n  \
         own: {{post: /jobs, headers: {{Authorization: Bearer its-own}}, json: {{}}, accepted: {{job: $.id}}}}\n  \
         two: {{steps: [{{name: one, post: /one}}, {{name: two, post: /two}}]}}\n  \
         twice: {{steps: [{{name: one, patch: /one, repeatable: true}}, {{name: two, post: /two}}]}}\n"
    );
    let sources = [
        Source { path: "systems/office/system.yaml".into(), text },
        Source { path: "routes.yaml".into(), text: "routes: []\nclosures: []\n".into() },
    ];
    Catalogue::compile(&sources, &|name| (name == "SECRET").then(|| SECRET.to_owned())).unwrap_or_else(
        |findings| panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
    )
}

fn system(catalogue: &Catalogue) -> &System {
    catalogue.system(&SystemName::parse("office").expect("a name")).expect("the office")
}

fn now() -> Timestamp {
    "2026-11-22T09:00:00Z".parse().expect("a time")
}

fn json(status: u16, body: &Value) -> Turn {
    answer(status, &["content-type: application/json"], body.to_string())
}

fn token(token: &str, lasts: Value) -> Turn {
    json(200, &json!({"access_token": token, "token_type": "bearer", "expires_in": lasts}))
}

fn made(id: &str) -> Turn {
    json(201, &json!({"id": id}))
}

fn job(performed: &Performed) -> Option<&str> {
    match &performed.outcome {
        Outcome::Delivered { job, .. } => job.as_ref().map(|job| job.as_str()),
        Outcome::Retry { .. }
        | Outcome::Pending { .. }
        | Outcome::Rejected { .. }
        | Outcome::Unknown { .. }
        | Outcome::Absent => {
            panic!("not delivered: {performed:?}")
        }
    }
}

fn retry(performed: &Performed) -> &str {
    let Outcome::Retry { reason, .. } = &performed.outcome else { panic!("no retry: {performed:?}") };
    reason
}

#[tokio::test]
async fn a_token_is_fetched_with_client_credentials_and_goes_with_the_call() {
    let office = Office::start([token("t0ken-one", json!(3600)), made("7")]).await;
    assert_eq!(job(&office.perform("order").await), Some("7"));
    let asked = office.scripted.requests();
    let (head, body) = asked[0].split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("POST /token HTTP/1.1"), "{head}");
    // `printf 'us%%3A1:s3cr%%26t%%20of%%20ours' | base64`
    assert!(head.contains("authorization: Basic dXMlM0ExOnMzY3IlMjZ0JTIwb2YlMjBvdXJz"), "{head}");
    assert_eq!(body, "grant_type=client_credentials&scope=jobs%20read");
    assert!(asked[1].contains("authorization: Bearer t0ken-one\r\n"), "{}", asked[1]);
}

#[tokio::test]
async fn credentials_stand_in_the_form_where_the_end_point_wants_them_there() {
    let office = Office::with("form", [token("t0ken-one", json!(3600)), made("7")]).await;
    office.perform("order").await;
    let asked = office.scripted.requests().remove(0);
    assert!(
        asked.ends_with("&scope=jobs%20read&client_id=us%3A1&client_secret=s3cr%26t%20of%20ours"),
        "{asked}"
    );
    assert!(!asked.contains("authorization"), "{asked}");
}

#[tokio::test]
async fn a_token_serves_every_call_until_shortly_before_it_expires() {
    let turns =
        [token("t0ken-one", json!("3600")), made("1"), made("2"), token("t0ken-two", json!(3600)), made("3")];
    let office = Office::start(turns).await;
    for (seconds, expected) in [(0, "1"), (3_539, "2"), (3_540, "3")] {
        let performed = office.perform_at("order", now() + Duration::from_secs(seconds)).await;
        assert_eq!(job(&performed), Some(expected));
    }
    assert_eq!(office.asked(), ["POST /token", "POST /jobs", "POST /jobs", "POST /token", "POST /jobs"]);
}

#[tokio::test]
async fn many_calls_at_once_fetch_one_token() {
    let turns = std::iter::once(token("t0ken-one", json!(3600))).chain((0..20).map(|_| made("7")));
    let office = Office::start(turns).await;
    let all = orders(&office, 20).await;
    assert!(all.iter().all(|performed| job(performed) == Some("7")));
    assert_eq!(office.asked().iter().filter(|asked| *asked == "POST /token").count(), 1);
}

#[tokio::test]
async fn many_calls_at_once_share_one_failure() {
    let office =
        Office::start([answer(503, &["retry-after: 9"], ""), token("t0ken-one", json!(60)), made("7")]).await;
    let all = orders(&office, 20).await;
    assert!(all.iter().all(|performed| retry(performed).contains("answered 503 Service Unavailable")));
    assert_eq!(office.asked(), ["POST /token"], "the end point is asked once");
    assert_eq!(job(&office.perform("order").await), Some("7"), "and again by the next that comes");
}

/// So many orders at once.
async fn orders(office: &Office, count: usize) -> Vec<Performed> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (connector, catalogue) = (Arc::clone(&office.connector), Arc::clone(&office.catalogue));
        tasks.spawn(async move {
            let steps = system(&catalogue).call("order").expect("order");
            connector.perform(steps, json!({"ticket": "CRM-1"}), now()).await
        });
    }
    tasks.join_all().await
}

#[tokio::test]
async fn a_token_that_is_no_longer_honoured_is_fetched_anew_and_the_call_sent_again() {
    let turns = [
        token("t0ken-one", json!(3600)),
        made("1"),
        answer(401, &[], "t0ken-one expired"),
        token("t0ken-two", json!(3600)),
        made("2"),
        made("3"),
    ];
    let office = Office::start(turns).await;
    for expected in ["1", "2", "3"] {
        assert_eq!(job(&office.perform("order").await), Some(expected));
    }
    let asked = office.scripted.requests();
    assert!(asked[4].contains("Bearer t0ken-two") && asked[5].contains("Bearer t0ken-two"));
}

#[tokio::test]
async fn a_system_that_refuses_every_token_is_asked_twice_and_no_more() {
    let turns = [
        token("t0ken-one", json!(3600)),
        answer(401, &[], ""),
        token("t0ken-two", json!(3600)),
        answer(401, &[], "not t0ken-two either"),
    ];
    let office = Office::start(turns).await;
    let performed = office.perform("order").await;
    assert_eq!(retry(&performed), "credentials refused: answered 401 Unauthorized");
    assert_eq!(office.asked(), ["POST /token", "POST /jobs", "POST /token", "POST /jobs"]);
    assert_eq!(performed.answer.as_deref().map(|text| text.contains("not *** either")), Some(true));
}

#[tokio::test]
async fn bad_credentials_are_told_in_the_end_points_words() {
    let no = json!({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"});
    let office = Office::start([json(401, &no)]).await;
    let performed = office.perform("order").await;
    let reason = retry(&performed);
    assert!(reason.starts_with("no access token: http://127.0.0.1:"), "{reason}");
    let expected = "/token refused our client_id and client_secret: answered 401 Unauthorized, invalid_client: AADSTS7000215: Invalid client secret provided.";
    assert!(reason.ends_with(expected), "{reason}");
    assert_eq!(performed.status, Some(401));
    assert!(performed.call.starts_with("POST /token HTTP/1.1\n"), "{}", performed.call);
    assert_eq!(office.asked(), ["POST /token"], "the call was not sent");
}

#[tokio::test]
async fn an_end_point_that_gives_no_token_is_a_retry_with_its_reason() {
    let cases = [
        (answer(500, &[], "oops"), "answered 500 Internal Server Error"),
        (
            json(400, &json!({"error": "invalid_scope"})),
            "does not know our scope: answered 400 Bad Request, invalid_scope",
        ),
        (answer(403, &[], ""), "refused our client_id and client_secret: answered 403 Forbidden"),
        (
            answer(200, &["content-type: text/html"], "<html>Log in"),
            "answered 200 OK without an access_token",
        ),
        (
            json(200, &json!({"access_token": "x", "token_type": "mac"})),
            "gave a token of type \"mac\"; expected Bearer",
        ),
        (json(200, &json!({"access_token": "a\nb"})), "gave a token that no header can carry"),
        (Turn::Silence, "did not answer in time"),
        (Turn::Say(Vec::new()), "broke off"),
    ];
    for (turn, expected) in cases {
        let office = Office::start([turn]).await;
        let performed = office.perform("order").await;
        assert!(retry(&performed).contains(expected), "{expected}: {performed:?}");
        assert_eq!(office.asked(), ["POST /token"], "{expected}");
    }
}

#[tokio::test]
async fn the_pause_that_an_end_point_asks_for_is_kept() {
    let office = Office::start([answer(429, &["retry-after: 9"], "")]).await;
    let Outcome::Retry { after, .. } = office.perform("order").await.outcome else { panic!("no retry") };
    assert_eq!(after, Some(Duration::from_secs(9)));
}

#[tokio::test]
async fn neither_secret_nor_token_is_in_what_is_kept_of_an_attempt() {
    for credentials in ["header", "form"] {
        let echo = json(
            400,
            &json!({"error": "invalid_client", "error_description": format!("{SECRET} is not it")}),
        );
        let told = Office::with(credentials, [echo]).await.perform("order").await;
        let echo = answer(400, &[], "the token t0ken-one is odd");
        let sent =
            Office::with(credentials, [token("t0ken-one", json!(60)), echo]).await.perform("order").await;
        for kept in [format!("{told:?}"), format!("{sent:?}")] {
            for secret in
                [SECRET, "s3cr%26t%20of%20ours", "dXMlM0ExOnMzY3IlMjZ0JTIwb2YlMjBvdXJz", "t0ken-one"]
            {
                assert!(!kept.contains(secret), "{secret}: {kept}");
            }
        }
    }
}

#[tokio::test]
async fn an_authorization_of_the_mapping_goes_before_a_token() {
    let office = Office::start([made("7")]).await;
    office.perform("own").await;
    assert!(office.scripted.requests()[0].contains("authorization: Bearer its-own\r\n"));
}

#[tokio::test]
async fn a_preview_fetches_nothing_and_shows_that_a_token_will_go_along() {
    let office = Office::start([]).await;
    let system = system(&office.catalogue);
    let call = system.call("order").expect("order").steps[0].render(&json!({})).expect("rendered").call;
    assert!(preview(system, &call).contains("authorization: ***"));
    assert!(office.asked().is_empty());
}

#[tokio::test]
async fn reaching_a_system_tries_the_credentials_too() {
    let refusal = json(401, &json!({"error": "invalid_client"}));
    let office =
        Office::start([answer(200, &[], ""), refusal, answer(200, &[], ""), token("t0ken-one", json!(60))])
            .await;
    assert!(office.connector.reach().await.expect_err("refused").contains("refused our client_id"));
    assert!(office.connector.reach().await.is_ok());
    assert_eq!(office.asked(), ["HEAD /", "POST /token", "HEAD /", "POST /token"]);
}

#[tokio::test]
async fn only_a_step_that_is_not_repeatable_makes_a_later_failure_uncertain() {
    let turns = || [token("t0ken-one", json!(60)), answer(204, &[], ""), answer(503, &[], "")];
    assert_eq!(Office::start(turns()).await.perform("two").await.outcome.word(), "unknown");
    assert_eq!(Office::start(turns()).await.perform("twice").await.outcome.word(), "retry");
}

#[test]
fn a_token_url_that_cannot_be_used_is_named() {
    // A user name or password in it is refused with the mapping.
    let catalogue = catalogue("https://office.test", "https://l/t#x", "header");
    let error = Connector::new(system(&catalogue)).expect_err("refused").to_string();
    assert!(error.starts_with("office: token_url") && error.contains("fragment"), "{error}");
}
