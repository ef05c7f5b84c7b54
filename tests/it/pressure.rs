//! The ledger falls behind: the router stops consuming, keeps what it has, and goes on when it can.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::council::{Council, Crm, request, submitted};
use crate::journeys::{closed_once, settled};
use crate::services::{amqp_url, fresh_postgres, http};
use crate::wait::until;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_consumed_while_the_ledger_cannot_take_it_and_nothing_is_lost() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 12).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let tickets = council.open_simulated(30).await;
    let publish = async |some: &[String], client: &crate::messages::Client| {
        for ticket in some {
            client.publish(&submitted(&format!("pressure-{ticket}"), &request(ticket, 0))).await;
        }
    };
    publish(&tickets[..5], &client).await;
    client.listen("the first are accepted", |client| client.heard("ticket.accepted").len() >= 5).await;

    let mut other = PgConnection::connect(&ledger).await.expect("PostgreSQL answers");
    let mut lock = other.begin().await.expect("a transaction");
    sqlx::raw_sql("lock table inbox in access exclusive mode").execute(&mut *lock).await.expect("locked");
    publish(&tickets[5..15], &client).await;
    until("the tap is turned off", Duration::from_secs(30), async || {
        let metrics = http().get(program.page("/metrics")).send().await.ok()?.text().await.ok()?;
        metrics.contains("dovetail_bus_paused{queue=\"intake\"} 1").then_some(())
    })
    .await;
    publish(&tickets[15..], &client).await;
    // A quorum queue counts a cancelled consumer for as long as it holds something unacknowledged.
    assert_eq!(client.queue("intake").await.0, 15, "what comes now waits at the broker");
    lock.rollback().await.expect("unlocked");

    client.listen("every closure", |client| client.heard("ticket.closed").len() >= tickets.len()).await;
    closed_once(&client, &tickets);
    settled(&ledger, tickets.len() as u64).await;
    until("nothing is unacknowledged", Duration::from_secs(30), async || {
        (client.queue("intake").await == (0, 1)).then_some(())
    })
    .await;
    assert!(program.stop().await.success());
    assert_eq!(client.queue("intake").await, (0, 0), "nothing comes again");
}
