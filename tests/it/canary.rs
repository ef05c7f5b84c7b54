//! A small request beside messages that take long to read: it waits for none of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::council::{Council, Crm, KEY, nested_lists, request, submitted};
use crate::journeys::counts;
use crate::program::Program;
use crate::services::{FreshSqlite, amqp_url, fresh_postgres, http};
use crate::wait::until;

/// How many messages are hostile.
const HOSTILE: usize = 8;

async fn post(program: &Program, body: Vec<u8>) -> u16 {
    let post = http().post(program.url("/v1/requests")).bearer_auth(KEY);
    let post = post.header("content-type", "application/cloudevents+json").timeout(Duration::from_secs(120));
    post.body(body).send().await.expect("an answer").status().as_u16()
}

/// The slowest of some small requests, one after the other, until `is_enough`; and how many there were.
async fn slowest(
    program: &Program,
    name: &str,
    mut is_enough: impl FnMut(usize) -> bool,
) -> (Duration, usize) {
    let (mut slowest, mut count) = (Duration::ZERO, 0);
    while !is_enough(count) {
        let ticket = format!("{name}-{count}");
        let body = submitted(&ticket, &request(&ticket, 0)).to_string().into_bytes();
        let began = Instant::now();
        assert_eq!(post(program, body).await, 202, "{ticket}");
        slowest = slowest.max(began.elapsed());
        count += 1;
    }
    (slowest, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_request_over_http_waits_for_no_hostile_one() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 51).await;
    let program = council.start().await;
    let nested = nested_lists("CRM-1", 75_000);
    // The control: one hostile message after the other, and small requests with nobody beside.
    let began = Instant::now();
    assert_eq!(post(&program, nested.clone()).await, 422);
    let one = began.elapsed();
    let (alone, _) = slowest(&program, "alone", |count| count == 20).await;

    // A machine that stands still for a moment delays one round; what waits for a hostile message is late in every one.
    let mut rounds = Vec::new();
    loop {
        let left = AtomicUsize::new(HOSTILE);
        let hostile = join_all((0..HOSTILE).map(async |_| {
            // 503 where the memory for bodies is taken, and that is right, too.
            let status = post(&program, nested.clone()).await;
            left.fetch_sub(1, Ordering::Relaxed);
            status
        }));
        let is_over = |count| count > 0 && left.load(Ordering::Relaxed) == 0;
        let name = format!("beside-{}", rounds.len());
        let (statuses, (beside, count)) = tokio::join!(hostile, slowest(&program, &name, is_over));
        rounds.push((beside, count));
        println!(
            "one hostile: {one:?}; {HOSTILE}: {statuses:?}; the slowest alone: {alone:?}; beside: {rounds:?}"
        );
        assert!(statuses.iter().all(|status| [422, 503].contains(status)) && statuses.contains(&422));
        if count > 3 && beside < alone * 17 && beside < one * 2 {
            break;
        }
        assert!(rounds.len() < 5, "small requests wait for hostile ones: {rounds:?}; alone {alone:?}");
    }
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_request_over_the_broker_waits_for_no_hostile_one() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 52).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let tickets = council.open_simulated(2).await;
    client.publish(&submitted("first", &request(&tickets[0], 0))).await;
    client.listen("the first is accepted", |client| !client.heard("ticket.accepted").is_empty()).await;
    assert!(program.stop().await.success());
    // As many as are given out at once, by their bytes, with the small one behind them.
    for number in 0..3 {
        client.publish_bytes_surely(&nested_lists(&format!("CRM-nested-{number}"), 75_000)).await;
    }
    client.publish_surely(&submitted("small", &request(&tickets[1], 0))).await;
    let began = Instant::now();
    let program = council.start().await;
    client.listen("the small one is accepted", |client| client.heard("ticket.accepted").len() == 2).await;
    let (small, refused) = (began.elapsed(), counts(&ledger).await.refused);
    until("all are refused", Duration::from_secs(120), async || {
        (counts(&ledger).await.refused == 3).then_some(())
    })
    .await;
    let all = began.elapsed();
    println!("{refused} were refused before the small one; {small:?} of {all:?}");
    assert!(refused < 3 && small < all);
    assert!(program.stop().await.success());
}
