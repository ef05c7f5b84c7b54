//! The built program starts, ends and starts again.

use std::net::TcpListener;
use std::time::Duration;

use crate::council::{Council, Crm, submit};
use crate::journeys::settled;
use crate::program::{Program, dovetail};
use crate::services::{FreshSqlite, amqp_url, fresh_postgres, http};
use crate::wait::until;

#[tokio::test]
async fn serve_says_where_it_listens_and_ends_when_asked() {
    let database = FreshSqlite::new();
    let program = Program::serve(&format!("[ledger]\nurl = {:?}\n", database.url())).await;
    let answer = http().get(program.url("/health/live")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let status = program.stop().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_killed_router_starts_again_on_the_same_ledger() {
    let database = FreshSqlite::new();
    let config = format!("[ledger]\nurl = {:?}\n", database.url());
    Program::serve(&config).await.kill();
    let program = Program::serve(&config).await;
    let ready = until("the router is ready", Duration::from_secs(30), async || {
        let answer = http().get(program.url("/health/ready")).send().await.ok()?;
        answer.status().is_success().then_some(())
    });
    ready.await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_a_mistake_in_usage() {
    let output = dovetail(&["frobnicate"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What was logged as an error or a warning, of any part, from this text on.
fn complaints<'l>(log: &'l str, from: &str) -> Vec<&'l str> {
    let (_, after) = log.split_once(from).unwrap_or_else(|| panic!("{from} was not logged:\n{log}"));
    after.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_after_work_with_every_part_logs_no_error_and_no_warning() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 18).await;
    let program = council.start().await;
    let _hears = council.broker.connect().await;
    let tickets = council.open_simulated(5).await;
    for (number, ticket) in tickets.iter().enumerate() {
        submit(&program, &format!("stopped-{ticket}"), ticket, number).await;
    }
    settled(&ledger, 5).await;
    let (status, log) = program.stop_and_tell().await;
    assert!(status.success(), "{log}");
    assert_eq!(complaints(&log, "stopping"), Vec::<&str>::new(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_the_start_logs_no_error_and_no_warning() {
    let config = |ledger: &str, bus: &str| format!("[ledger]\nurl = {ledger:?}\n[bus]\nurl = {bus:?}\n");
    // Nobody accepts what comes to this port, so the start cannot come to its end; and a database that is all there.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let away = format!("postgres://dovetail@{address}/dovetail");
    for ledger in [away, fresh_postgres().await] {
        let (status, log) = Program::stopped_during_start(&config(&ledger, &amqp_url()), "starting").await;
        assert!(status.success(), "{status}: {log}");
        assert_eq!(complaints(&log, "starting"), Vec::<&str>::new(), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_does_not_end_the_router() {
    let database = FreshSqlite::new();
    let program = Program::serve(&format!("[ledger]\nurl = {:?}\n", database.url())).await;
    program.signal("HUP");
    until("it says so", Duration::from_secs(30), async || program.log().contains("SIGHUP").then_some(()))
        .await;
    let answer = http().get(program.url("/health/live")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(program.stop().await.success());
}
