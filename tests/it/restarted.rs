//! A router that starts again after a crash knows at once whether it is alone, and never takes over what a living one
//! holds.

use std::time::Duration;

use connectors::simulator::Kind;
use reqwest::StatusCode;

use crate::council::{Council, submit};
use crate::program::Program;
use crate::services::{amqp_url, fresh_postgres, http};
use crate::wait::until;

/// Longer than any wait of these tests: what comes about sooner does not come of this time being over.
const DEAD_AFTER: &str = "600s";
const PATIENCE: Duration = Duration::from_secs(60);

async fn council(ledger: &str, seed: u64) -> Council {
    let mut council = Council::unhurried(ledger, &amqp_url(), seed).await;
    council.set_variable("DOVETAIL__WORKER__DEAD_AFTER", DEAD_AFTER);
    council
}

async fn start(council: &Council) -> Program {
    council.start_failing("").await.unwrap_or_else(|ended| panic!("{ended}"))
}

/// Asks for a bin to be emptied, and waits for the job at the waste system.
async fn job(council: &Council, program: &Program) -> String {
    let ticket = council.open_simulated(1).await.remove(0);
    submit(program, &format!("restart-{ticket}"), &ticket, 0).await;
    let waste = council.simulator(Kind::Waste);
    until("the waste system has the job", PATIENCE, async || waste.job_of(&ticket)).await
}

/// Sends what the waste system sends of a job, which the router reads back before it answers.
async fn poke(council: &Council, program: &Program, job: &str) -> StatusCode {
    let callback = council.simulator(Kind::Waste).callback(job).expect("it tells");
    let mut post = http().post(program.url("/callbacks/waste")).body(callback.body);
    for (name, value) in callback.headers {
        post = post.header(name, value);
    }
    post.send().await.expect("an answer").status()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_router_killed_and_started_again_answers_webhooks_and_makes_calls_at_once() {
    let council = council(&fresh_postgres().await, 41).await;
    let first = start(&council).await;
    let job_of_first = job(&council, &first).await;
    council.simulator(Kind::Waste).end(&job_of_first, "Completed", None);
    first.kill();
    let second = start(&council).await;
    assert_eq!(poke(&council, &second, &job_of_first).await, StatusCode::OK);
    job(&council, &second).await;
    let (status, log) = second.stop_and_tell().await;
    assert!(status.success() && log.contains("have ended without a word"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_takes_nothing_of_one_that_lives_and_stands_still() {
    let council = council(&fresh_postgres().await, 42).await;
    let first = start(&council).await;
    let held = job(&council, &first).await;
    council.simulator(Kind::Waste).end(&held, "Completed", None);
    first.signal("STOP");
    let second = start(&council).await;
    // The one that stands still may go on at any moment, within all of the system's limits.
    assert_eq!(poke(&council, &second, &held).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!second.log().contains("have ended"), "{}", second.log());
    first.signal("CONT");
    until("both have their shares", PATIENCE, async || {
        (poke(&council, &second, &held).await == StatusCode::OK).then_some(())
    })
    .await;
    assert!(first.stop().await.success());
    assert!(second.stop().await.success());
}
