//! One system's trouble is its own: hanging, down, paused; alone and shared by several routers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::simulator::{Fault, Kind, Scope, Switch};
use futures::StreamExt;
use mappings::domain::{Council as CouncilName, Ticket};
use mappings::mapping::Meaning;
use router::closing::Decision;
use router::ledger::{Closer, History, Ledger, Reader};
use serde_json::Value;

use crate::council::{Council, KEY, request, submitted};
use crate::journeys::{counts, settled};
use crate::program::{Program, dovetail};
use crate::services::{FreshSqlite, fresh_postgres, http};
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any test: a call that hangs so long hangs to the end.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// Gives requests in, several at once; `number` says which service a ticket is for.
async fn give_in(program: &Program, tickets: &[String], number: impl Fn(usize) -> usize) {
    let posts = tickets.iter().enumerate().map(|(at, ticket)| {
        let event = submitted(&format!("isolation-{ticket}"), &request(ticket, number(at)));
        let post = http()
            .post(program.url("/v1/requests"))
            .bearer_auth(KEY)
            .header("content-type", "application/cloudevents+json")
            .body(event.to_string());
        async move { assert_eq!(post.send().await.expect("an answer").status(), 202) }
    });
    futures::stream::iter(posts.collect::<Vec<_>>()).buffer_unordered(8).collect::<Vec<()>>().await;
}

fn waste(_: usize) -> usize {
    0
}

/// Housing, revenues and highways by turns.
fn others(at: usize) -> usize {
    1 + at % 3
}

async fn opened(ledger: &str) -> Arc<dyn Ledger> {
    let closer: Closer = Arc::new(|_| Decision::Wait);
    let reader: Reader = Arc::new(|_, _, _| Meaning::Unrecognised);
    router::ledger::open(ledger, closer, reader, 1).await.expect("the ledger opens")
}

async fn history(ledger: &dyn Ledger, ticket: &str) -> History {
    let harlow = CouncilName::parse("harlow").expect("a council");
    let ticket = Ticket::parse(ticket).expect("a ticket");
    ledger.ticket(Some(&harlow), &ticket).await.expect("a read").expect("the ticket is known")
}

/// From acceptance to the system's answer, for each ticket, the quickest first.
async fn delivered(ledger: &dyn Ledger, tickets: &[String]) -> Vec<Duration> {
    let mut took = Vec::new();
    for ticket in tickets {
        let time = until("it is handed over", PATIENCE, async || {
            let history = history(ledger, ticket).await;
            let tried = history.attempts.iter().find(|tried| tried.attempt.outcome == "delivered")?;
            Duration::try_from(tried.attempt.ended_at.duration_since(history.line.accepted_at)).ok()
        });
        took.push(time.await);
    }
    took.sort();
    took
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100 - 1]
}

async fn stands(program: &Program, system: &str) -> Option<String> {
    let answer = http().get(program.url("/health/ready")).send().await.ok()?;
    assert_eq!(answer.status(), 200, "a system in trouble makes no router unready");
    let ready: Value = answer.json().await.ok()?;
    Some(ready["systems"][system].as_str().unwrap_or("open").to_owned())
}

async fn now_stands(program: &Program, system: &str, how: &str) {
    until(&format!("{system} is {how}"), PATIENCE, async || {
        (stands(program, system).await? == how).then_some(())
    })
    .await;
}

fn strike(council: &Council, fault: Fault, how: Switch, only: Scope) {
    let simulator = council.simulator(Kind::Waste);
    let mut faults = simulator.faults().with(fault, how);
    (faults.only, faults.hold) = (only, AN_HOUR);
    simulator.set_faults(faults);
}

async fn struck(council: &Council, fault: &str) -> u64 {
    council.told(Kind::Waste, "counts").await["struck"][fault].as_u64().unwrap_or(0)
}

/// Requests to others go in at once: how long the slowest but one of a hundred took, and how long all of them.
async fn burst(program: &Program, books: &dyn Ledger, tickets: &[String]) -> (Duration, Duration) {
    let began = Instant::now();
    give_in(program, tickets, others).await;
    let times = delivered(books, tickets).await;
    (p99(&times), began.elapsed())
}

/// A hundred requests to others take as long beside a system that hangs on every call as they take without it.
///
/// The same eight calls hang to the end: none times out, and no breaker opens. A machine that stops for a moment delays
/// one burst; a system that holds others up delays every one. So the quickest of two bursts alone is compared with the
/// quickest of up to five beside it.
async fn bulkhead(ledger: &str) {
    let mut council = Council::without_broker(ledger, 11).await;
    council.time_out_after(AN_HOUR);
    council.forget_nobody();
    let program = council.start().await;
    let books = opened(ledger).await;
    let tickets = council.open_simulated(800).await;
    let (hung, rest) = tickets.split_at(100);
    let (before, beside) = rest.split_at(200);
    let (mut alone, mut needed) = (Duration::MAX, Duration::MAX);
    for tickets in before.chunks(100) {
        let (slowest, took) = burst(&program, &*books, tickets).await;
        (alone, needed) = (alone.min(slowest), needed.min(took));
    }

    strike(&council, Fault::Hang, Switch::Rate(1.0), Scope::Writes);
    give_in(&program, hung, waste).await;
    until("eight calls hang", PATIENCE, async || (struck(&council, "hang").await == 8).then_some(())).await;
    let early = counts(ledger).await.leased;
    assert!(early >= 8, "{early} calls are held, and eight are on the wire");
    let mut seen = Vec::new();
    for tickets in beside.chunks(100) {
        let (slowest, took) = burst(&program, &*books, tickets).await;
        assert_eq!(struck(&council, "hang").await, 8, "the same calls hang");
        seen.push((slowest, took));
        if slowest <= alone * 2 + Duration::from_millis(250) && took < needed * 2 + Duration::from_secs(5) {
            break;
        }
        assert!(
            seen.len() < 5,
            "beside a hanging system p99 and all took {seen:?}; alone {alone:?}, {needed:?}"
        );
    }

    // What waits for it is not hoarded: eight calls on the wire, four times as many in memory, the rest in the ledger.
    let counts = until("nothing else is left to do", PATIENCE, async || {
        let counts = counts(ledger).await;
        (counts.due == hung.len() as u64).then_some(counts)
    })
    .await;
    assert!(counts.leased <= 32, "{counts:?}");
    program.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_system_delays_nobody_else_on_postgresql() {
    bulkhead(&fresh_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_system_delays_nobody_else_on_sqlite() {
    let database = FreshSqlite::new();
    bulkhead(&database.url()).await;
}

/// A system that is down is left alone, tried by one call at a time, and taken up again.
async fn left_alone(ledger: &str) {
    let council = Council::without_broker(ledger, 12).await;
    strike(&council, Fault::Down, Switch::Rate(1.0), Scope::All);
    let program = council.start().await;
    let tickets = council.open_simulated(40).await;
    give_in(&program, &tickets, waste).await;
    now_stands(&program, "waste", "not_answering").await;
    let books = opened(ledger).await;
    until("it was tried three times more", PATIENCE, async || {
        let halts = books.halts().await.expect("a read");
        let breaker = halts.into_iter().find_map(|halt| halt.breaker)?;
        (breaker.openings >= 4).then_some(())
    })
    .await;
    strike(&council, Fault::Down, Switch::Off, Scope::All);
    settled(ledger, tickets.len() as u64).await;
    let mut failed = 0;
    for ticket in &tickets {
        let tried = history(&*books, ticket).await.attempts;
        let tried: Vec<_> = tried.iter().filter(|tried| tried.operation.as_str() == "create").collect();
        let numbers: Vec<u32> = tried.iter().map(|tried| tried.number).collect();
        assert_eq!(numbers, (1..=u32::try_from(numbers.len()).expect("few")).collect::<Vec<_>>(), "{ticket}");
        let outcomes = tried.iter().map(|tried| tried.attempt.outcome.as_str());
        failed += outcomes.filter(|outcome| ["unknown", "retry"].contains(outcome)).count();
    }
    let changes = books.system_changes(1_000).await.expect("a read");
    let openings = changes.iter().filter(|change| change.change == "opened").count();
    // Four failures in a row leave it open; at the fifth seven more are on their way. Each opening that follows is
    // one call, and one that was begun before on a machine that stood still.
    assert!(
        failed < 4 + 8 + 2 * openings,
        "{failed} attempts failed, and it was left alone {openings} times"
    );
    now_stands(&program, "waste", "open").await;
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_is_down_is_left_alone_and_taken_up_again_on_postgresql() {
    left_alone(&fresh_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_is_down_is_left_alone_and_taken_up_again_on_sqlite() {
    let database = FreshSqlite::new();
    left_alone(&database.url()).await;
}

/// How systems were found to stand, the latest last: `opened`, `closed`.
async fn changes(books: &dyn Ledger) -> Vec<String> {
    let changes = books.system_changes(1_000).await.expect("a read");
    changes.into_iter().rev().map(|change| change.change).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_refuses_one_call_in_twenty_is_never_left_alone() {
    let database = FreshSqlite::new();
    let url = database.url();
    let council = Council::without_broker(&url, 16).await;
    strike(&council, Fault::Error503, Switch::Rate(0.05), Scope::Writes);
    let program = council.start().await;
    let tickets = council.open_simulated(200).await;
    give_in(&program, &tickets, waste).await;
    settled(&url, tickets.len() as u64).await;
    assert!(struck(&council, "error_503").await > 0, "some calls were refused");
    let books = opened(&url).await;
    assert_eq!(changes(&*books).await, Vec::<String>::new(), "each waited by itself");
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_answers_polls_is_not_left_alone_any_longer() {
    let database = FreshSqlite::new();
    let url = database.url();
    let council = Council::without_broker(&url, 17).await;
    // No call is ever taken: the answer that ends it can only be that to a poll.
    strike(&council, Fault::Down, Switch::Rate(1.0), Scope::Writes);
    let program = council.start().await;
    let tickets = council.open_simulated(12).await;
    give_in(&program, &tickets, waste).await;
    let books = opened(&url).await;
    until("it is left alone, and a poll is answered", PATIENCE, async || {
        let changes = changes(&*books).await;
        let opened = changes.iter().position(|change| change == "opened")?;
        changes[opened..].iter().any(|change| change == "closed").then_some(())
    })
    .await;
    program.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_pauses_a_system_and_lets_it_go_on() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 13).await;
    let program = council.start().await;
    let url = database.url();
    let command = async |arguments: &[&str]| {
        let output = dovetail(&[arguments, &["--database", &url]].concat()).await;
        let (said, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {error}");
        said.into_owned()
    };
    command(&["system", "pause", "waste", "--reason", "a new server", "--by", "jo"]).await;
    now_stands(&program, "waste", "paused").await;
    let tickets = council.open_simulated(12).await;
    give_in(&program, &tickets, |at| if at < 4 { 0 } else { others(at) }).await;
    until("all but what is paused is done, and that is held by nobody", PATIENCE, async || {
        let counts = counts(&url).await;
        ((counts.due, counts.leased) == (4, 0)).then_some(())
    })
    .await;
    let paused = "Environmental services is paused by jo since";
    let story = command(&["tickets", "show", &tickets[0]]).await;
    assert!(story.contains(&format!("Waiting: {paused}")) && story.contains("a new server"), "{story}");
    let problems = command(&["problems"]).await;
    assert!(problems.contains(paused), "{problems}");
    let page =
        http().get(program.page("/problems")).send().await.expect("a page").text().await.expect("text");
    assert!(page.contains(paused), "{page}");
    let listed: Value =
        serde_json::from_str(&command(&["system", "list", "--output", "json"]).await).expect("JSON");
    let stands: Vec<&Value> = listed["systems"]
        .as_array()
        .expect("systems")
        .iter()
        .filter(|system| system["stands"] == "paused")
        .collect();
    assert!(matches!(stands[..], [system] if system["system"] == "waste"), "{listed}");

    // It stays so over a start, from the first moment.
    assert!(program.stop().await.success());
    let program = council.start().await;
    now_stands(&program, "waste", "paused").await;
    for ticket in &tickets[..4] {
        assert!(
            history(&*opened(&url).await, ticket).await.attempts.is_empty(),
            "{ticket} was not waited with"
        );
    }

    command(&["system", "resume", "waste", "--by", "sam"]).await;
    settled(&url, 12).await;
    for ticket in &tickets[..4] {
        let tried = history(&*opened(&url).await, ticket).await.attempts;
        assert_eq!(tried.iter().map(|tried| tried.number).max(), Some(1), "waiting used up no attempt");
    }
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_routers_together_call_no_more_at_once_than_the_mapping_allows() {
    let ledger = fresh_postgres().await;
    let council = Council::without_broker(&ledger, 14).await;
    strike(&council, Fault::Hang, Switch::Rate(1.0), Scope::Writes);
    let one = council.start().await;
    let two = council.start().await;
    let tickets = council.open_simulated(60).await;
    let (first, second) = tickets.split_at(30);
    tokio::join!(give_in(&one, first, waste), give_in(&two, second, waste));
    let began = Instant::now();
    until("both routers call as much as they may", PATIENCE, async || {
        let calls = struck(&council, "hang").await;
        assert!(calls <= 8, "{calls} calls at once");
        (calls == 8 && began.elapsed() > Duration::from_secs(8)).then_some(())
    })
    .await;
    one.kill();
    two.kill();
}
