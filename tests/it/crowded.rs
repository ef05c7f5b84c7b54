//! Callers who are slow, in numbers: doors, health, pages and work go on, it is told, and a stop waits for none of them.

use std::time::Duration;

use serde_json::Value;

use crate::council::{Council, KEY, request, submitted};
use crate::journeys::settled;
use crate::program::Program;
use crate::services::{FreshSqlite, http};
use crate::wait::until;
use tests::slow::Slow;

/// More than the soft limit of descriptors, and more than the doors take.
const MANY: usize = 1_100;

async fn text(url: String) -> String {
    let answer = http().get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.text().await.expect("text")
}

async fn post(program: &Program, ticket: &str) -> u16 {
    let event = submitted(&format!("crowded-{ticket}"), &request(ticket, 0)).to_string();
    let post = http().post(program.url("/v1/requests")).bearer_auth(KEY);
    let post = post.header("content-type", "application/cloudevents+json").body(event);
    post.send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn eleven_hundred_slow_callers_keep_nobody_out_and_a_stop_waits_for_none_of_them() {
    let database = FreshSqlite::new();
    let mut council = Council::without_broker(&database.url(), 41).await;
    council.limit_descriptors("-Sn 1024");
    let program = council.start().await;
    let tickets = council.open_simulated(Slow::ALL.len()).await;
    let mut opened = Vec::new();
    for (form, ticket) in Slow::ALL.into_iter().zip(&tickets) {
        opened.extend(form.open(program.address(), MANY).await);
        opened.extend(form.open(program.console(), 100).await);
        assert_eq!(text(program.url("/health/live")).await, "live\n", "{form:?}");
        assert_eq!(post(&program, ticket).await, 202, "{form:?}");
        let page = text(program.page(&format!("/tickets/harlow/{ticket}"))).await;
        assert!(page.contains(ticket.as_str()), "{page}");
    }
    let ready: Value = serde_json::from_str(&text(program.url("/health/ready")).await).expect("JSON");
    let told = ready["limits_reached"]["doors.connections"].as_str().unwrap_or_default();
    assert!(told.contains("make room for new ones"), "{ready}");
    let metrics = text(program.page("/metrics")).await;
    for limit in [
        "dovetail_limits_reached_total{listener=\"doors\",limit=\"connections\"}",
        "dovetail_limits_reached_total{listener=\"console\",limit=\"connections\"}",
        "dovetail_limits_reached_total{listener=\"doors\",limit=\"requests_at_once\"}",
    ] {
        assert!(metrics.contains(limit), "{limit} in {metrics}");
    }
    let connections =
        |line: &str| line.strip_prefix("dovetail_connections{listener=\"doors\"} ")?.parse().ok();
    let connections: Option<usize> = metrics.lines().find_map(connections);
    assert!(connections.is_some_and(|count| (500..=1024).contains(&count)), "{connections:?}");
    settled(&database.url(), tickets.len() as u64).await;
    let log = program.log();
    assert!(!log.contains("oo many open files"), "{log}");
    let lines = log.matches("a limit was reached").count();
    assert!((1..50).contains(&lines), "{lines} lines for thousands of connections:\n{log}");

    // Every form is open, and what is not read of an answer.
    for form in Slow::ALL {
        opened.extend(form.open(program.address(), 200).await);
    }
    assert!(program.stop().await.success());
    drop(opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_caller_is_closed_in_its_time_and_a_slow_body_is_told_why() {
    let database = FreshSqlite::new();
    let mut council = Council::without_broker(&database.url(), 42).await;
    council.set(
        "[listeners]\nheader_timeout = \"300ms\"\nidle_timeout = \"300ms\"\nkeep_alive_timeout = \"300ms\"\n",
    );
    let program = council.start().await;
    for form in Slow::ALL {
        let mut stream = form.open(program.address(), 1).await.remove(0);
        let mut answer = Vec::new();
        let closed = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer);
        let closed = tokio::time::timeout(Duration::from_secs(30), closed).await;
        assert!(closed.is_ok(), "{form:?} is closed");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let expected = match form {
            Slow::Nothing | Slow::HalfAHead => "",
            Slow::HalfABody => "HTTP/1.1 408 Request Timeout",
            Slow::StaysOpen => "HTTP/1.1 200 OK",
        };
        assert!(
            answer.starts_with(expected) && answer.is_empty() == expected.is_empty(),
            "{form:?}: {answer}"
        );
    }
    until("none is left", Duration::from_secs(30), async || {
        text(program.page("/metrics"))
            .await
            .contains("dovetail_connections{listener=\"doors\"} 0")
            .then_some(())
    })
    .await;
}
