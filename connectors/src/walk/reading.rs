//! Reports and lists of several pages, read from a scripted system.

use std::time::Duration;

use super::tests::{Depot, page};
use crate::scripted::{Turn, answer};

#[tokio::test]
async fn a_poll_reads_the_reports() {
    let body = r#"{"jobs": [{"id": "7", "ref": "CRM-1", "status": "Done", "note": "left by the gate"}, {"id": "8", "status": "Open"}]}"#;
    let depot = Depot::start([answer(200, &["content-type: application/json"], body)]).await;
    let reports = depot.read("changes").await.expect("reports");
    let said: Vec<_> = reports
        .reports
        .iter()
        .map(|report| (report.job.as_ref().map(|j| j.as_str()), report.said.as_str()))
        .collect();
    assert_eq!(said, [(Some("7"), "Done"), (Some("8"), "Open")]);
    assert_eq!(depot.asked(), ["GET /changes?since=2026-11-22T07%3A00%3A00Z&api_key=0ther-s3cret"]);
}

#[tokio::test]
async fn a_poll_that_fails_says_why_and_when_to_ask_again() {
    let failure =
        Depot::start([answer(503, &["retry-after: 30"], "")]).await.read("changes").await.expect_err("fails");
    assert_eq!(failure.to_string(), "answered 503 Service Unavailable");
    assert_eq!((failure.after, failure.status), (Some(Duration::from_secs(30)), Some(503)));
    let page = answer(200, &["content-type: text/html"], "<html></html>");
    let failure = Depot::start([page]).await.read("changes").await.expect_err("fails");
    assert!(failure.reason.starts_with("answered 200 OK"), "{failure}");
    let broken = answer(200, &["content-type: application/json"], "{\"jobs\": [");
    assert!(Depot::start([broken]).await.read("changes").await.is_err());
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page_under_the_same_headers() {
    let turns =
        [page(r#"{"jobs": [{"id": "1"}], "next": "/jobs?page=2"}"#), page(r#"{"jobs": [{"id": "2"}]}"#)];
    let depot = Depot::start(turns).await;
    let gathered = depot.gather("list").await.expect("pages");
    let ids: Vec<_> = gathered.pages.iter().map(|page| page["jobs"][0]["id"].clone()).collect();
    assert_eq!(ids, ["1", "2"]);
    assert_eq!(gathered.steps["list"]["status"], 200);
    assert_eq!(depot.asked(), ["GET /jobs?page=1", "GET /jobs?page=2"]);
    for request in depot.scripted.requests() {
        assert!(
            request.contains("x-wants: jobs\r\n") && request.contains("authorization: Bearer"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_link_to_another_host_is_followed_on_the_systems_own() {
    let turns = [page(r#"{"next": "https://internal.name:8443/jobs?page=2"}"#), page("{}")];
    let depot = Depot::start(turns).await;
    depot.gather("list").await.expect("pages");
    assert_eq!(depot.asked(), ["GET /jobs?page=1", "GET /jobs?page=2"]);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_none() {
    let turns: [Turn; 2] =
        [page(r#"{"jobs": [{"id": "1"}], "next": "?page=2"}"#), answer(503, &["retry-after: 9"], "")];
    let failure = Depot::start(turns).await.gather("list").await.expect_err("short");
    assert_eq!(failure.reason, "answered 503 Service Unavailable");
}

#[tokio::test]
async fn a_list_that_leads_back_into_itself_ends() {
    let around = || page(r#"{"next": "/jobs?page=2"}"#);
    let depot = Depot::start([around(), around()]).await;
    let failure = depot.gather("list").await.expect_err("endless");
    assert!(failure.reason.contains("did not end after 2 pages"), "{failure}");
    assert_eq!(depot.asked().len(), 2);
}

#[tokio::test]
async fn several_steps_are_gathered_and_the_one_that_decides_is_the_document() {
    let turns = [page(r#"{"id": 7}"#), page(r#"{"text": "by the gate"}"#)];
    let gathered = Depot::start(turns).await.gather("whole").await.expect("gathered");
    assert_eq!(gathered.pages, [serde_json::json!({"id": 7})]);
    assert_eq!(gathered.steps["words"]["body"]["text"], "by the gate");
}

#[tokio::test]
async fn what_the_system_has_not_is_gathered_as_nothing() {
    let gathered = Depot::start([answer(404, &[], "{}")]).await.gather("find").await.expect("nothing");
    assert!(gathered.pages.is_empty());
}

#[tokio::test]
async fn a_list_of_many_megabytes_is_read_and_one_beyond_its_limit_says_so() {
    let row = r#"{"id": "W-1", "status": "Open", "note": "Inspected; nothing to report."}"#;
    let long = format!(r#"{{"jobs": [{}]}}"#, vec![row; 100_000].join(","));
    let read = Depot::start([page(&long)]).await.read("changes").await.expect("read");
    assert_eq!((read.reports.len(), read.set_aside.len(), long.len() > 6 << 20), (100_000, 0, true));
    let mut depot = Depot::start([page(&long), page(&long)]).await;
    depot.connector.largest_list = 1 << 20;
    let failure = depot.read("changes").await.expect_err("too large");
    assert!(failure.too_large, "{failure}");
    assert!(
        failure.reason.starts_with("answered 200 OK: the answer is larger than 1 MiB; raise limits.answer")
    );
}

#[tokio::test]
async fn an_item_that_cannot_be_read_costs_only_itself() {
    let mut body = br#"{"jobs": [{"id": "W-1", "status": "Done"}, {"id": "caf"#.to_vec();
    body.extend(
        b"\xe9\"}, {\"id\": \"\\ud83d\"}, {\"status\": \"Done\"}, {\"id\": \"W-2\", \"status\": \"Done\"}]}",
    );
    let turn = answer(200, &["content-type: application/json"], body);
    let read = Depot::start([turn]).await.read("changes").await.expect("read");
    let jobs: Vec<_> = read.reports.iter().filter_map(|report| report.job.as_ref()).collect();
    assert_eq!(jobs.iter().map(|job| job.as_str()).collect::<Vec<_>>(), ["W-1", "W-2"]);
    let reasons: Vec<_> = read.set_aside.iter().map(|bad| bad.reason.as_str()).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons[0].starts_with("bytes that are not text") && reasons[2].starts_with("neither a job"));
    assert!(read.set_aside[0].text.contains("caf\u{fffd}"), "{:?}", read.set_aside[0]);
}

#[tokio::test]
async fn bytes_that_are_no_text_outside_of_the_items_make_the_answer_unreadable() {
    let mut body = br#"{"by": "caf"#.to_vec();
    body.extend(b"\xe9\", \"jobs\": [{\"id\": \"W-1\", \"status\": \"Done\"}]}");
    let turn = answer(200, &["content-type: application/json"], body);
    let failure = Depot::start([turn]).await.read("changes").await.expect_err("unreadable");
    assert_eq!(failure.reason, "answered 200 OK: the body is not valid UTF-8");
}
