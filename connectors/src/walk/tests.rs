//! Operations performed against a scripted system.

use std::time::Duration;

use jiff::Timestamp;
use mappings::domain::{Disposition, SystemName};
use mappings::mapping::{Catalogue, Source, System};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::scripted::{Scripted, Turn, answer, cut_answer};
use crate::{Connector, Outcome, Performed, ReadFailure, preview};

const TOKEN: &str = "t0p-s3cret<&>";

/// The operations of the system `depot`, each a call by name.
const CALLS: &str = r#"
  order:
    post: /jobs
    json: {ticket: $.ticket, summary: {from: $.summary, max: 10}}
    rejected: [{when: {path: $.error, is: duplicate}, disposition: duplicate, reason: $.error, say: You told us before.}]
    retry: [{when: {path: $.error, is: locked}, reason: the depot is counting its bins}]
    accepted: {when: {status: [200, 201]}, job: $.id}
  tell:
    post: /notes
    json: {text: $.summary}
    accepted: {when: {status: [200, 204]}}
  find:
    get: /jobs
    query: {reference: $.ticket}
    absent: {when: {status: 404}}
    accepted: {job: $.id}
  find-by-soap:
    post: /soap
    action: urn:depot/Find
    soap: {Find: {"@xmlns": "urn:depot", Reference: $.ticket}}
    absent: {when: {path: $..Code, is: "6"}}
    accepted: {when: {path: $..Code, is: "0"}, job: $..JobId}
  close:
    steps:
      - {name: look, get: "/tickets/{$.ticket}", done: [{when: {path: $.status, is: closed}, note: was closed by a person already}]}
      - name: close
        put: /tickets/{$.ticket}
        headers: {If-Match: {from: $.steps.look.headers.etag, required: true}}
        json: {status: closed}
        retry: [{when: {status: 412}, reason: somebody changed the ticket meanwhile}]
  with-token:
    steps:
      - {name: token, post: /token, form: {grant_type: client_credentials}, store: {seconds: 600}}
      - name: order
        post: /jobs
        headers: {Authorization: {template: "Bearer {$.steps.token.body.access_token}"}}
        json: {ticket: $.ticket}
        accepted: {when: {status: 201}, job: $.id}
  with-picture:
    steps:
      - {name: order, post: /jobs, json: {ticket: $.ticket}, accepted: {job: $.id}}
      - {name: attach, optional: true, post: "/jobs/{$.steps.order.body.id}/pictures", json: {href: {from: $.picture, required: true}}}
  two-posts:
    steps:
      - {name: order, post: /jobs, json: {ticket: $.ticket}, accepted: {job: $.id}}
      - {name: book, post: "/jobs/{$.steps.order.body.id}/visits", json: {day: {from: $.day, required: true}}}
  with-number:
    steps:
      - {name: token, post: /token, form: {grant_type: client_credentials}, store: {seconds: 600}}
      - {name: submit, post: /jobs, json: {ticket: $.ticket}, accepted: {job: $.token}}
      - name: number
        get: /tokens/{$.steps.submit.body.token}
        headers: {X-Token: $.steps.token.body.access_token}
        retry:
          - {when: {path: $.error, is: session over}, reason: the session is over, renew: true}
          - {when: {not: {path: $.id, exists: true}}, reason: no number yet}
        accepted: {job: $.id}
  only-urgent:
    steps:
      - {name: ring, when: {path: $.priority, is: urgent}, post: /bell, json: {}}
  list:
    get: /jobs?page=1
    headers: {X-Wants: jobs}
    next: $.next
  whole:
    steps:
      - {name: job, get: /jobs/7}
      - {name: words, get: /jobs/7/words, optional: true}
  changes:
    get: /changes
    query: {since: $.dovetail.since, api_key: "0ther-s3cret"}
    reports: {each: $.jobs, job: "@.id", reference: "@.ref", status: "@.status", note: "@.note"}
"#;

pub(super) struct Depot {
    pub(super) scripted: Scripted,
    catalogue: Catalogue,
    pub(super) connector: Connector,
}

impl Depot {
    pub(super) async fn start(turns: impl IntoIterator<Item = Turn>) -> Self {
        let scripted = Scripted::start(turns).await;
        let catalogue = catalogue(&scripted.url);
        let connector = Connector::new(system(&catalogue)).expect("a connector");
        Self { scripted, catalogue, connector }
    }

    pub(super) async fn perform(&self, call: &str) -> Performed {
        self.perform_with(call, request()).await
    }

    pub(super) async fn resume(&self, call: &str, carried: &crate::Carried) -> Performed {
        let steps = system(&self.catalogue).call(call).expect("a call of that name");
        self.connector.resume(steps, request(), now(), carried).await
    }

    async fn perform_with(&self, call: &str, context: Value) -> Performed {
        let steps = system(&self.catalogue).call(call).expect("a call of that name");
        self.connector.perform(steps, context, now()).await
    }

    pub(super) async fn read(&self, call: &str) -> Result<mappings::mapping::Reading, ReadFailure> {
        let steps = system(&self.catalogue).call(call).expect("a call of that name");
        self.connector.read(steps, request(), now()).await
    }

    pub(super) async fn gather(&self, call: &str) -> Result<crate::Gathered, ReadFailure> {
        let steps = system(&self.catalogue).call(call).expect("a call of that name");
        self.connector.gather(steps, request(), now()).await
    }

    /// Request lines, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        let requests = self.scripted.requests();
        requests.iter().filter_map(|request| request.split(" HTTP/").next()).map(str::to_owned).collect()
    }
}

fn catalogue(url: &str) -> Catalogue {
    let text = format!(
        "system: depot\nname: Depot\nrole: back_office\n\
         owner: {{team: Depot, contact: depot@example.gov.uk}}\n\
         connection: {{base_url: \"{url}\", auth: {{bearer: {{token: \"${{TOKEN}}\"}}}}, timeout: 500ms, connect_timeout: 300ms}}\n\
         limits: {{concurrency: 2}}\nidempotency: none\nretry: {{first: 1s, most: 1m, attempts: 3}}\ncalls:{CALLS}"
    );
    let routes = "routes: []\nclosures: []\n".to_owned();
    let sources = [
        Source { path: "systems/depot/system.yaml".into(), text },
        Source { path: "routes.yaml".into(), text: routes },
    ];
    match Catalogue::compile(&sources, &|name| (name == "TOKEN").then(|| TOKEN.to_owned())) {
        Ok(catalogue) => catalogue,
        Err(findings) => panic!("{}", findings.iter().map(|f| format!("{f}\n")).collect::<String>()),
    }
}

fn system(catalogue: &Catalogue) -> &System {
    catalogue.system(&SystemName::parse("depot").expect("a name")).expect("the depot")
}

fn request() -> Value {
    json!({"ticket": "CRM-1", "summary": "Bin missed", "picture": "https://p.example/1.jpg", "day": "Monday",
           "dovetail": {"now": "2026-11-22T09:00:00Z", "since": "2026-11-22T07:00:00Z",
                        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}})
}

fn now() -> Timestamp {
    "2026-11-22T09:00:00Z".parse().expect("a time")
}

pub(super) fn page(body: &str) -> Turn {
    answer(200, &["content-type: application/json"], body)
}

pub(super) fn made(id: &str) -> Turn {
    answer(201, &["content-type: application/json"], format!("{{\"id\": \"{id}\"}}"))
}

pub(super) fn delivered(outcome: &Outcome) -> (Option<&str>, Option<&str>) {
    match outcome {
        Outcome::Delivered { job, note } => (job.as_ref().map(|job| job.as_str()), note.as_deref()),
        Outcome::Retry { .. }
        | Outcome::Pending { .. }
        | Outcome::Rejected { .. }
        | Outcome::Unknown { .. }
        | Outcome::Absent => {
            panic!("not delivered: {outcome:?}")
        }
    }
}

#[tokio::test]
async fn an_accepted_order_is_delivered_with_its_job() {
    let depot = Depot::start([made("242259")]).await;
    let performed = depot.perform("order").await;
    assert_eq!(delivered(&performed.outcome), (Some("242259"), None));
    assert_eq!(performed.status, Some(201));
    let sent = depot.scripted.requests().remove(0);
    assert!(
        sent.contains("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"),
        "{sent}"
    );
    assert!(sent.contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{sent}");
    assert!(sent.ends_with(r#"{"ticket":"CRM-1","summary":"Bin missed"}"#), "{sent}");
}

#[tokio::test]
async fn what_was_lost_in_rendering_is_a_warning() {
    let depot = Depot::start([made("1")]).await;
    let mut context = request();
    context["summary"] = json!("Grey bin missed again");
    let performed = depot.perform_with("order", context).await;
    assert_eq!(performed.warnings.len(), 1, "{:?}", performed.warnings);
    assert!(performed.warnings[0].contains("summary"), "{:?}", performed.warnings);
}

#[tokio::test]
async fn an_answer_no_rule_knows_is_classified_by_its_status() {
    let html = "<!DOCTYPE html><title>Log in</title>";
    let cases: Vec<(&str, Turn, &str, &str)> = vec![
        ("empty 200", answer(200, &[], ""), "unknown", "answered 200 OK: "),
        (
            "page for an answer",
            answer(200, &["content-type: text/html"], html),
            "unknown",
            "answered 200 OK: ",
        ),
        (
            "not UTF-8",
            answer(200, &[], b"{\"id\":\"\xe9\"}"),
            "unknown",
            "answered 200 OK: the body is not valid UTF-8",
        ),
        (
            "too large",
            answer(200, &[], vec![b' '; (1 << 20) + 1]),
            "unknown",
            "answered 200 OK: the answer is larger than 1 MiB",
        ),
        (
            "redirect",
            answer(302, &["location: /login"], ""),
            "rejected",
            "answered 302 Found, to /login: redirects are not followed",
        ),
        (
            "bad request",
            answer(400, &[], "{\"error\":\"unheard of\"}"),
            "rejected",
            "answered 400 Bad Request",
        ),
        ("credentials", answer(401, &[], ""), "retry", "credentials refused: answered 401 Unauthorized"),
        ("busy", answer(429, &["retry-after: 7"], ""), "retry", "answered 429 Too Many Requests"),
        (
            "down",
            answer(503, &["content-type: text/html"], html),
            "retry",
            "answered 503 Service Unavailable",
        ),
        ("down, not UTF-8", answer(503, &[], b"\xe9"), "retry", "answered 503 Service Unavailable"),
        ("fault", answer(500, &[], "oops"), "unknown", "answered 500 Internal Server Error"),
        ("gateway", answer(502, &[], ""), "unknown", "answered 502 Bad Gateway"),
        ("cut", cut_answer(201, &[], b"{\"id\":", 50), "unknown", "broke off"),
        ("nothing", Turn::Say(Vec::new()), "unknown", "broke off"),
        ("time-out", Turn::Silence, "unknown", "did not answer in time"),
    ];
    for (case, turn, word, why) in cases {
        let depot = Depot::start([turn]).await;
        let performed = depot.perform("order").await;
        let reason = super::reason(&performed.outcome);
        assert_eq!(performed.outcome.word(), word, "{case}: {reason}");
        assert!(reason.contains(why), "{case}: {reason}");
        assert_eq!(depot.asked(), ["POST /jobs"], "{case}: sent once");
        assert!(performed.call.starts_with("POST /jobs HTTP/1.1\n"), "{case}: {}", performed.call);
        if let Outcome::Rejected { disposition, .. } = performed.outcome {
            assert_eq!(disposition, None, "{case}");
        }
    }
}

#[tokio::test]
async fn a_page_is_no_answer_even_where_any_success_is_enough() {
    let page = answer(200, &["content-type: text/html; charset=utf-8"], "<html>Please log in</html>");
    let performed = Depot::start([page]).await.perform("tell").await;
    assert_eq!(performed.outcome.word(), "unknown", "{:?}", performed.outcome);
}

#[tokio::test]
async fn an_empty_answer_is_enough_where_the_mapping_reads_nothing_from_it() {
    let performed = Depot::start([answer(204, &[], "")]).await.perform("tell").await;
    assert_eq!(delivered(&performed.outcome), (None, None));
}

#[tokio::test]
async fn a_refused_connection_is_to_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let catalogue = catalogue(&format!("http://{}", listener.local_addr().expect("an address")));
    drop(listener);
    let connector = Connector::new(system(&catalogue)).expect("a connector");
    let steps = system(&catalogue).call("order").expect("order");
    let performed = connector.perform(steps, request(), now()).await;
    assert_eq!((performed.outcome.word(), performed.status), ("retry", None));
    assert!(connector.reach().await.expect_err("unreached").contains("cannot connect to http://127.0.0.1"));
}

#[tokio::test]
async fn the_pause_a_system_asks_for_is_kept() {
    let date = "retry-after: Sun, 22 Nov 2026 09:02:00 GMT";
    for (turn, seconds) in [
        (answer(429, &["Retry-After: 7"], ""), 7),
        (answer(503, &[date], ""), 120),
        (answer(409, &["Retry-After: 9"], "{\"error\": \"locked\"}"), 9),
    ] {
        let performed = Depot::start([turn]).await.perform("order").await;
        let Outcome::Retry { after, .. } = performed.outcome else { panic!("{:?}", performed.outcome) };
        assert_eq!(after, Some(Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn a_refusal_in_known_words_has_its_disposition_and_what_may_be_said() {
    let performed =
        Depot::start([answer(409, &[], "{\"error\": \"duplicate\"}")]).await.perform("order").await;
    let expected = Outcome::Rejected {
        disposition: Some(Disposition::Duplicate),
        reason: "duplicate".into(),
        say: Some("You told us before.".into()),
    };
    assert_eq!(performed.outcome, expected);
}

#[tokio::test]
async fn a_look_up_finds_the_job_or_says_it_is_absent() {
    let found = Depot::start([made("7")]).await.perform("find").await;
    assert_eq!(delivered(&found.outcome).0, Some("7"));
    let absent = Depot::start([answer(404, &[], "{}")]).await.perform("find").await;
    assert_eq!(absent.outcome, Outcome::Absent);
    let lost = Depot::start([Turn::Silence]).await.perform("find").await;
    assert_eq!(lost.outcome.word(), "retry", "a GET changes nothing");
}

#[tokio::test]
async fn a_soap_answer_in_windows_1252_is_read() {
    let xml = b"<?xml version=\"1.0\" encoding=\"windows-1252\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">\
                <s:Body><R><Code>0</Code><JobId>7\x96b</JobId></R></s:Body></s:Envelope>";
    let depot = Depot::start([answer(200, &["content-type: text/xml"], xml)]).await;
    let performed = depot.perform("find-by-soap").await;
    assert_eq!(delivered(&performed.outcome).0, Some("7–b"));
    let sent = depot.scripted.requests().remove(0);
    assert!(sent.contains("soapaction: \"urn:depot/Find\""), "{sent}");
    assert!(sent.contains("<Reference>CRM-1</Reference></Find></soap:Body></soap:Envelope>"), "{sent}");
}

#[tokio::test]
async fn no_secret_is_in_what_is_kept_of_an_attempt() {
    let echo = format!("{{\"error\": \"the token {TOKEN} is not known\"}}");
    let performed =
        Depot::start([answer(400, &["set-cookie: session=1"], echo)]).await.perform("order").await;
    let kept = format!("{performed:?}");
    assert!(!kept.contains("t0p-s3cret") && !kept.contains("session=1"), "{kept}");
    assert!(performed.call.contains("authorization: ***"), "{}", performed.call);
    assert!(performed.answer.expect("an answer").contains("the token *** is not known"));

    let failure =
        Depot::start([answer(500, &[], "0ther-s3cret")]).await.read("changes").await.expect_err("fails");
    assert!(!format!("{failure:?}").contains("0ther-s3cret"), "{failure:?}");
    assert!(failure.call.contains("api_key=***"), "{}", failure.call);
}

#[tokio::test]
async fn the_second_step_sends_the_etag_that_the_first_one_read() {
    let turns = [answer(200, &["ETag: \"v7\""], "{\"status\": \"open\"}"), answer(200, &[], "{}")];
    let depot = Depot::start(turns).await;
    assert_eq!(delivered(&depot.perform("close").await.outcome), (None, None));
    assert_eq!(depot.asked(), ["GET /tickets/CRM-1", "PUT /tickets/CRM-1"]);
    assert!(depot.scripted.requests()[1].contains("if-match: \"v7\"\r\n"));
}

#[tokio::test]
async fn a_stale_etag_is_to_be_tried_again() {
    let turns = [answer(200, &["ETag: \"v7\""], "{\"status\": \"open\"}"), answer(412, &[], "{}")];
    let performed = Depot::start(turns).await.perform("close").await;
    let reason = "somebody changed the ticket meanwhile".to_owned();
    assert_eq!(performed.outcome, Outcome::Retry { after: None, reason });
}

#[tokio::test]
async fn nothing_more_is_sent_where_nothing_is_left_to_do() {
    let depot = Depot::start([answer(200, &[], "{\"status\": \"closed\"}")]).await;
    let performed = depot.perform("close").await;
    assert_eq!(delivered(&performed.outcome), (None, Some("was closed by a person already")));
    assert_eq!(depot.asked(), ["GET /tickets/CRM-1"]);
}

pub(super) fn token(token: &str) -> Turn {
    answer(200, &["content-type: application/json"], format!("{{\"access_token\": \"{token}\"}}"))
}

#[tokio::test]
async fn a_stored_answer_serves_later_operations_until_it_expires() {
    let turns = [token("first-token"), made("1"), made("2"), token("second-token"), made("3")];
    let depot = Depot::start(turns).await;
    let steps = system(&depot.catalogue).call("with-token").expect("with-token");
    for (minutes, job) in [(0, "1"), (9, "2"), (10, "3")] {
        let at = now() + Duration::from_secs(minutes * 60);
        let performed = depot.connector.perform(steps, request(), at).await;
        assert_eq!(delivered(&performed.outcome).0, Some(job));
        assert!(!format!("{performed:?}").contains("-token\""), "{performed:?}");
    }
    assert_eq!(depot.asked(), ["POST /token", "POST /jobs", "POST /jobs", "POST /token", "POST /jobs"]);
    assert!(depot.scripted.requests()[4].contains("authorization: Bearer second-token"));
}

#[tokio::test]
async fn a_stored_token_that_is_refused_is_fetched_anew() {
    let turns = [token("first-token"), answer(401, &[], "first-token"), token("second-token"), made("1")];
    let depot = Depot::start(turns).await;
    let refused = depot.perform("with-token").await;
    assert_eq!(refused.outcome.word(), "retry");
    assert!(!format!("{refused:?}").contains("first-token"), "{refused:?}");
    assert_eq!(delivered(&depot.perform("with-token").await.outcome).0, Some("1"));
}

#[tokio::test]
async fn an_optional_step_that_fails_leaves_a_note_and_the_job_stands() {
    let depot = Depot::start([made("7"), answer(500, &[], "no room")]).await;
    let performed = depot.perform("with-picture").await;
    let (job, note) = delivered(&performed.outcome);
    assert_eq!(job, Some("7"));
    assert!(
        note.expect("a note").starts_with("step attach failed: answered 500 Internal Server Error"),
        "{note:?}"
    );
    assert_eq!(performed.status, Some(201), "the status of the step that decides");
    assert_eq!(depot.asked(), ["POST /jobs", "POST /jobs/7/pictures"]);
}

#[tokio::test]
async fn an_optional_step_that_cannot_be_rendered_leaves_a_note_too() {
    let mut context = request();
    context.as_object_mut().expect("an object").remove("picture");
    let depot = Depot::start([made("7")]).await;
    let performed = depot.perform_with("with-picture", context).await;
    let (job, note) = delivered(&performed.outcome);
    assert!(job == Some("7") && note.is_some_and(|note| note.contains("$.picture")), "{note:?}");
    assert_eq!(performed.render_failed, None);
}

#[tokio::test]
async fn an_operation_that_was_half_carried_out_is_not_repeated_blindly() {
    for turn in [answer(503, &[], ""), answer(401, &[], ""), Turn::Silence] {
        let performed = Depot::start([made("7"), turn]).await.perform("two-posts").await;
        assert_eq!(performed.outcome.word(), "unknown", "{:?}", performed.outcome);
    }
    let performed = Depot::start([answer(503, &[], "")]).await.perform("two-posts").await;
    assert_eq!(performed.outcome.word(), "retry", "the first step was not carried out");
}

#[tokio::test]
async fn a_request_that_lacks_what_the_system_needs_is_not_sent() {
    let mut context = request();
    context.as_object_mut().expect("an object").remove("day");
    let depot = Depot::start([made("7")]).await;
    let performed = depot.perform_with("two-posts", context).await;
    let error = performed.render_failed.expect("not rendered");
    assert!(error.to_string().contains("$.day"), "{error}");
    let Outcome::Rejected { disposition: None, reason, .. } = performed.outcome else {
        panic!("not rejected")
    };
    assert!(reason.ends_with("; step order had been carried out"), "{reason}");
    assert_eq!(depot.asked(), ["POST /jobs"]);
}

#[tokio::test]
async fn an_operation_without_a_step_that_applies_sends_nothing() {
    let depot = Depot::start([]).await;
    let performed = depot.perform("only-urgent").await;
    assert_eq!(delivered(&performed.outcome), (None, Some("there was nothing to tell the system")));
    assert_eq!((performed.call.as_str(), performed.status), ("", None));
}

#[tokio::test]
async fn a_system_is_reached_when_it_answers_anything() {
    let depot = Depot::start([answer(404, &[], "")]).await;
    assert!(depot.connector.reach().await.is_ok());
    let sent = depot.scripted.requests().remove(0);
    assert!(sent.starts_with("HEAD / HTTP/1.1") && !sent.contains(TOKEN), "{sent}");
}

#[tokio::test]
async fn a_preview_is_the_text_of_the_call_without_the_trace() {
    let depot = Depot::start([answer(503, &[], "")]).await;
    let performed = depot.perform("order").await;
    let system = system(&depot.catalogue);
    let step = &system.call("order").expect("order").steps[0];
    let call = step.render(&request()).expect("rendered").call;
    let without_trace: Vec<&str> =
        performed.call.lines().filter(|line| !line.starts_with("traceparent")).collect();
    assert_eq!(preview(system, &call).lines().collect::<Vec<_>>(), without_trace);
}
