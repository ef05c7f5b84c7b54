//! Whatever becomes of the broker: the router resumes within ten seconds of the end of the cause, without a
//! restart, and its readiness says why it cannot before.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::council::{Council, Crm, KEY, request, submitted};
use crate::journeys::settled;
use crate::program::Program;
use crate::services::{Broker, FreshSqlite, http};
use crate::wait::until;

/// From the end of a cause until requests are taken again.
const SOON: Duration = Duration::from_secs(10);

/// What readiness says: whether it is, and of the bus.
async fn readiness(program: &Program) -> (bool, String) {
    let answer = http().get(program.url("/health/ready")).send().await.expect("an answer");
    let body: Value = answer.json().await.expect("JSON");
    (body["ready"] == true, body["bus"].as_str().unwrap_or_default().to_owned())
}

/// Waits until readiness says no and gives this reason.
async fn unready(program: &Program, reason: &str) {
    until(&format!("readiness says {reason}"), Duration::from_secs(30), async || {
        let (ready, bus) = readiness(program).await;
        (!ready && bus.contains(reason)).then_some(())
    })
    .await;
}

/// A request that is published now is accepted soon.
async fn resumed(council: &Council, program: &Program, cause: &str) {
    let began = Instant::now();
    let ticket = council.open_simulated(1).await.remove(0);
    let mut client = council.broker.connect().await;
    client.publish(&submitted(&format!("comeback-{ticket}"), &request(&ticket, 0))).await;
    let accepted = |client: &crate::messages::Client| {
        client.heard("ticket.accepted").iter().any(|event| event["subject"] == ticket.as_str())
    };
    client.listen(&format!("a request after {cause}"), accepted).await;
    let took = began.elapsed();
    assert!(took < SOON, "after {cause} it took {took:?}");
    until("readiness says yes", SOON, async || readiness(program).await.0.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_consumer_comes_back_within_ten_seconds_whatever_becomes_of_the_broker() {
    let broker = Broker::start().await;
    let ledger = FreshSqlite::new();
    let council = Council::new(&ledger.url(), broker.url(), Crm::Simulated, 11).await;
    let program = council.start().await;
    resumed(&council, &program, "the start").await;

    broker.ctl(&["close_all_connections", "a test"]).await;
    resumed(&council, &program, "its connections were closed").await;

    broker.ctl(&["delete_queue", &council.broker.queue_name("intake")]).await;
    broker.ctl(&["delete_queue", &council.broker.queue_name("completions")]).await;
    until("the queues are declared again", SOON, async || {
        let queues = broker.ctl(&["list_queues", "name", "consumers"]).await;
        let consumed = |queue: &str| {
            let name = council.broker.queue_name(queue);
            queues.lines().any(|line| line.starts_with(&name) && line.ends_with('1'))
        };
        (consumed("intake") && consumed("completions")).then_some(())
    })
    .await;
    resumed(&council, &program, "its queues were deleted").await;

    broker.ctl(&["change_password", "guest", "another"]).await;
    broker.ctl(&["close_all_connections", "a test"]).await;
    unready(&program, "ACCESS_REFUSED").await;
    broker.ctl(&["change_password", "guest", "guest"]).await;
    resumed(&council, &program, "its credentials were revoked and restored").await;

    blocked(&broker, &council, &program).await;
    resumed(&council, &program, "it was short of memory").await;

    broker.settle().await;
    broker.kill().await;
    unready(&program, "connecting").await;
    broker.restart().await;
    resumed(&council, &program, "it was killed and started again").await;

    settled(&ledger.url(), 7).await;
    assert!(program.stop().await.success());
}

/// The broker takes nothing for want of memory: requests come over HTTP, events wait in the outbox.
async fn blocked(broker: &Broker, council: &Council, program: &Program) {
    let mut client = council.broker.connect().await;
    let ticket = council.open_simulated(1).await.remove(0);
    broker.ctl(&["set_vm_memory_high_watermark", "0"]).await;
    let event = submitted(&format!("blocked-{ticket}"), &request(&ticket, 0));
    let posted = http()
        .post(program.url("/v1/requests"))
        .bearer_auth(KEY)
        .header("content-type", "application/cloudevents+json")
        .body(event.to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(posted.status(), 202);
    unready(program, "blocked by the broker").await;
    let heard = |client: &crate::messages::Client, kind: &str| {
        client.heard(kind).iter().any(|event| event["subject"] == ticket.as_str())
    };
    assert!(!heard(&client, "ticket.accepted"));
    broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1GB"]).await;
    client.listen("the events that waited", |client| heard(client, "ticket.closed")).await;
}
