//! The shipped cases, made over HTTP: what a case shows is what the connector does.

use http::{HeaderName, HeaderValue};
use mappings::domain::Job;
use mappings::mapping::{
    Body, ByStatus, Call, Catalogue, Message, Rehearsal, Verdict, address, rehearse, shipped, wire,
};

use crate::scripted::{Scripted, Turn, answer};
use crate::{Connector, Outcome};

/// Fewer would mean that most cases were passed over.
const LEAST: usize = 150;

fn turn(message: &Message) -> Turn {
    let headers: Vec<String> =
        message.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    answer(message.status, &headers, &message.bytes)
}

/// What the outcome of a verdict is, in its word and with what it says.
fn expected(verdict: &Verdict) -> (&'static str, String) {
    let job = |job: &Option<Job>| job.as_ref().map(ToString::to_string).unwrap_or_default();
    match verdict {
        Verdict::Accepted { job: found } => ("delivered", job(found)),
        Verdict::Done { .. } => ("delivered", String::new()),
        Verdict::Absent => ("absent", String::new()),
        Verdict::Rejected { reason, .. } => ("rejected", reason.clone()),
        Verdict::Retry { reason, .. } => ("retry", reason.clone()),
        Verdict::Unmatched { reason, by_status } => match by_status {
            ByStatus::Unknown => ("unknown", reason.clone()),
            ByStatus::Retry => ("retry", reason.clone()),
            ByStatus::Rejected => ("rejected", reason.clone()),
        },
    }
}

fn said(outcome: &Outcome) -> (&'static str, String) {
    let text = match outcome {
        Outcome::Delivered { job, .. } => job.as_ref().map(ToString::to_string).unwrap_or_default(),
        Outcome::Retry { reason, .. }
        | Outcome::Pending { reason, .. }
        | Outcome::Rejected { reason, .. }
        | Outcome::Unknown { reason } => reason.clone(),
        Outcome::Absent => String::new(),
    };
    (outcome.word(), text)
}

/// A request as it came must be the call that the case made.
fn assert_same(case: &Rehearsal<'_>, call: &Call, request: &str) {
    let place = &case.case;
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    let base = address::base(&case.system.connection.base_url).expect("a base URL");
    let url = address::url(&base, &call.path).unwrap_or_else(|error| panic!("{place}: {error}"));
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let line = format!("{} {}{query} HTTP/1.1", call.method, url.path());
    assert_eq!(head.lines().next(), Some(line.as_str()), "{place}");
    let sent: Vec<(HeaderName, HeaderValue)> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_str(value).expect("a value")))
        .collect();
    for (name, value) in &wire::headers(&case.system.connection, call).expect("headers") {
        assert!(sent.contains(&(name.clone(), value.clone())), "{place}: {name}: {value:?} in {head}");
    }
    match &call.body {
        Body::None => assert_eq!(body, "", "{place}"),
        Body::Json(text) | Body::Xml(text) | Body::Form(text) | Body::Text(text) => {
            assert_eq!(body, text, "{place}");
        }
        Body::Soap { element, .. } => {
            assert!(body.contains(&format!("<soap:Body>{element}</soap:Body>")), "{place}: {body}");
        }
    }
}

#[tokio::test]
async fn every_shipped_case_comes_to_the_same_over_http() {
    let sources = shipped();
    // The answers are known before the address that they are given at.
    let at_nowhere = |name: &str| {
        let address = "http://127.0.0.1:1".to_owned();
        Some(if name.ends_with("URL") { address } else { format!("unset-{name}") })
    };
    let catalogue = Catalogue::compile(&sources, &at_nowhere).expect("the shipped mappings compile");
    let turns: Vec<Turn> =
        rehearse(&sources, &catalogue, &at_nowhere).iter().flat_map(|case| &case.answers).map(turn).collect();
    let tokens: Vec<Turn> = turns
        .iter()
        .map(|_| {
            answer(
                200,
                &["content-type: application/json"],
                r#"{"access_token": "unguessable", "expires_in": 3600}"#,
            )
        })
        .collect();
    let (office, doorman) = (Scripted::start(turns).await, Scripted::start(tokens).await);
    let resolve = |name: &str| {
        Some(match name {
            _ if name.ends_with("TOKEN_URL") => format!("{}/token", doorman.url),
            _ if name.ends_with("URL") => office.url.clone(),
            _ => format!("unset-{name}"),
        })
    };
    let catalogue = Catalogue::compile(&sources, &resolve).expect("the shipped mappings compile");
    let cases = rehearse(&sources, &catalogue, &resolve);
    assert!(cases.len() >= LEAST, "only {} cases are played", cases.len());
    let mut seen = 0;
    for case in &cases {
        // Anew for each: what is kept of an answer is no part of a case.
        let connector = Connector::new(case.system).expect("a connector");
        let now = "2026-11-22T09:15:00Z".parse().expect("a time");
        let place = &case.case;
        if case.reports.is_empty() {
            let performed = connector.perform(case.steps, case.context.clone(), now).await;
            assert_eq!(said(&performed.outcome), expected(&case.verdict), "{place}");
        } else {
            let reading = connector.read(case.steps, case.context.clone(), now).await;
            let reports = reading.map(|reading| reading.reports);
            assert_eq!(reports.as_ref(), Ok(&case.reports), "{place}");
        }
        let requests = office.requests();
        assert_eq!(requests.len() - seen, case.calls.len(), "{place}: the number of calls");
        for (call, request) in case.calls.iter().zip(&requests[seen..]) {
            assert_same(case, call, request);
        }
        seen = requests.len();
    }
}
