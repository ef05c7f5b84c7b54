//! Events that nobody hears: no queue is bound for them, or the broker takes no more. They wait in the outbox.

use std::time::Duration;

use serde_json::Value;

use crate::council::{Council, Crm, submit};
use crate::journeys::{closed_once, counts, settled};
use crate::program::Program;
use crate::services::{amqp_url, fresh_postgres, http};
use crate::wait::until;

async fn post(program: &Program, tickets: &[String]) {
    for ticket in tickets {
        submit(program, &format!("unheard-{ticket}"), ticket, 0).await;
    }
}

async fn metrics(program: &Program) -> String {
    let answer = http().get(program.page("/metrics")).send().await.expect("an answer");
    answer.text().await.expect("text")
}

/// How many events met this fate.
fn fates(metrics: &str, fate: &str) -> u64 {
    let name = format!("dovetail_events_total{{fate=\"{fate}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_find_no_queue_are_named_and_published_once_one_is_bound() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 15).await;
    let program = council.start().await;
    let tickets = council.open_simulated(3).await;
    post(&program, &tickets).await;
    let told = until("readiness names the exchange", Duration::from_secs(30), async || {
        let answer = http().get(program.url("/health/ready")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "everything else goes on");
        let body: Value = answer.json().await.expect("JSON");
        body["events"].as_str().filter(|told| told.contains("no queue is bound")).map(str::to_owned)
    })
    .await;
    assert!(told.contains(".events for harlow.ticket."), "{told}");
    assert!(counts(&ledger).await.outbox > 0, "they stay in the outbox");
    // Tickets close without anybody hearing of it; each event was tried a few times, not on and on.
    until("the tickets close", Duration::from_secs(60), async || {
        let closed = council.told(connectors::simulator::Kind::Crm, "tickets").await;
        let closed =
            closed.as_array().expect("tickets").iter().filter(|ticket| ticket["closures"] == 1).count();
        (closed == tickets.len()).then_some(())
    })
    .await;
    let returned = fates(&metrics(&program).await, "returned");
    assert!((1..100).contains(&returned), "{returned} times");

    let mut client = council.broker.connect().await;
    client.listen("every closure", |client| client.heard("ticket.closed").len() >= tickets.len()).await;
    closed_once(&client, &tickets);
    settled(&ledger, tickets.len() as u64).await;
    until("readiness is content", Duration::from_secs(30), async || {
        metrics(&program).await.contains("dovetail_events_unrouted 0").then_some(())
    })
    .await;
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_the_broker_refuses_wait_and_are_published_when_it_takes_them() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 16).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    client.bind_a_full_queue().await;
    let tickets = council.open_simulated(3).await;
    post(&program, &tickets).await;
    until("some are refused", Duration::from_secs(60), async || {
        (fates(&metrics(&program).await, "nacked") > 0).then_some(())
    })
    .await;
    assert!(counts(&ledger).await.outbox > 0, "they stay in the outbox");
    client.delete_the_full_queue().await;
    client.listen("every closure", |client| client.heard("ticket.closed").len() >= tickets.len()).await;
    closed_once(&client, &tickets);
    settled(&ledger, tickets.len() as u64).await;
    let nacked = fates(&metrics(&program).await, "nacked");
    assert!(nacked < 200, "{nacked} times");
    assert!(program.stop().await.success());
}
