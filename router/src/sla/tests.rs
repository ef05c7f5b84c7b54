//! Clocks over facts.

use jiff::Timestamp;
use mappings::domain::{HandoverState, Progress};
use serde_json::json;

use super::*;
use crate::event::{Event, Kind};
use crate::ledger::Handover;
use crate::timeline::tests::fixture::{at, catalogue, event, handover, history, with_waste};

fn events(all: &[(Kind, u64, serde_json::Value)]) -> Vec<Event> {
    all.iter().map(|(kind, minute, data)| event(*kind, *minute, data.clone())).collect()
}

fn words(kind: Kind, minute: u64, progress: Progress) -> (Kind, u64, serde_json::Value) {
    (kind, minute, json!({"system": "waste", "progress": progress.as_str()}))
}

fn pauses(events: Vec<Event>, now: u64) -> Vec<(Timestamp, Timestamp)> {
    let mut history =
        history(vec![with_waste(), Handover { state: HandoverState::Awaiting, ..handover(3, "housing") }]);
    history.events = events;
    let facts = Facts::of_history(&history);
    let mut terms = facts.terms(&catalogue());
    if let Some(target) = &mut terms.target {
        target.paused_while = vec![Progress::WaitingForCustomer];
    }
    facts.pauses(&terms, at(now)).into_iter().map(|pause| (pause.from, pause.to)).collect()
}

#[test]
fn a_pause_lasts_until_the_system_says_something_else() {
    let waiting = |minute| words(Kind::Progressed, minute, Progress::WaitingForCustomer);
    let working = |minute| words(Kind::Progressed, minute, Progress::InProgress);
    let once = events(&[waiting(10), waiting(15), working(20), waiting(30)]);
    assert_eq!(pauses(once, 40), [(at(10), at(20)), (at(30), at(40))]);
    // That the system took note of a change says nothing of how the work stands.
    let told = (Kind::Progressed, 12, json!({"system": "waste", "told": "amend"}));
    assert_eq!(pauses(events(&[waiting(10), told, working(20)]), 40), [(at(10), at(20))]);
    let ended = (Kind::Progressed, 25, json!({"system": "waste", "disposition": "no_access"}));
    assert_eq!(pauses(events(&[waiting(10), ended]), 40), [(at(10), at(25))]);
}

#[test]
fn pauses_of_two_systems_are_counted_once() {
    let of = |system: &str, minute, progress: &str| {
        (Kind::Progressed, minute, json!({"system": system, "progress": progress}))
    };
    let both = events(&[
        of("waste", 10, "waiting_for_customer"),
        of("housing", 15, "waiting_for_customer"),
        of("waste", 20, "in_progress"),
        of("housing", 30, "in_progress"),
    ]);
    assert_eq!(pauses(both, 40), [(at(10), at(30))]);
}

#[test]
fn a_promise_is_told_with_its_end_and_what_is_used_up() {
    let history = history(vec![with_waste()]);
    let told = promise(&history, &catalogue(), at(8 * 60 + 4 * 60)).expect("a promise");
    assert_eq!(told.words, "2 working days");
    assert_eq!(told.runs, Ok(("2026-11-25T17:00:00Z".parse().expect("a time"), 33)));
    assert!(!told.paused);
}

#[test]
fn a_request_that_comes_late_is_looked_at_at_once() {
    let catalogue = catalogue();
    let document = json!({"ticket": "1", "council": "harlow", "service": "waste.missed-bin", "summary": "s",
                          "raised_at": "2026-11-16T09:00:00.123456Z"});
    let request = mappings::domain::Request::parse(document).expect("a request");
    let waste = [mappings::domain::SystemName::parse("waste").expect("a system")];
    let set = start(&request, &waste, &catalogue, at(0));
    assert_eq!(set.next_at, Some(at(0)), "its promise was broken before it came");
    assert_eq!(set.target_at, Some("2026-11-18T17:00:00Z".parse().expect("a time")));
    let soon = start(&request, &waste, &catalogue, request.raised_at);
    assert_eq!(soon.next_at.map(|at| at.as_nanosecond() % 1_000_000), Some(0), "whole milliseconds");
}
