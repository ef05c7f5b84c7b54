//! Each sentence is true of what happened: what was not sent was not refused, and what nobody was told is not told.

use mappings::domain::{Disposition, HandoverState, ParkClass, RequestState};
use serde_json::json;

use super::fixture::*;
use super::{texts, told};
use crate::event::Kind;
use crate::ledger::{Attempt, Handover, History, Line, Tried};

/// An attempt of which nothing was sent.
fn not_sent(handover: u128, reason: &str) -> Tried {
    let tried = tried(handover, 1, 2, "not_sent", Some(reason));
    Tried { attempt: Attempt { call: None, ..tried.attempt }, ..tried }
}

fn given_up(outcome: Option<&str>, disposition: Disposition) -> History {
    let piece = Handover {
        state: HandoverState::Ended,
        disposition: Some(disposition),
        due_at: None,
        ..handover(2, "waste")
    };
    let mut history =
        history(vec![piece, Handover { state: HandoverState::Awaiting, ..handover(3, "housing") }]);
    history.attempts.extend(outcome.map(|outcome| tried(2, 1, 2, outcome, Some("why"))));
    history
}

#[test]
fn what_could_not_be_made_into_a_call_was_not_sent_and_nobody_refused_it() {
    let mut history = history(vec![parked(ParkClass::Data, "uprn: nothing at $.location.uprn")]);
    history.attempts = vec![not_sent(2, "uprn: nothing at $.location.uprn")];
    let story = told(&history, 30);
    assert_eq!(story.last_word, None, "a fault of ours is not what they last said");
    assert_eq!(story.headline, "Stopped before Environmental services: the request lacks something");
    assert_eq!(texts(&story)[2..], ["It was not sent to Environmental services."]);
    let last = story.entries.last().expect("an entry");
    assert_eq!(last.said, None);
    assert_eq!(last.detail.as_deref(), Some("Uprn: nothing at $.location.uprn."));
}

#[test]
fn what_stopped_between_two_calls_was_sent_in_part() {
    let mut history = history(vec![parked(ParkClass::Data, "no code; step order had been carried out")]);
    history.attempts = vec![tried(2, 1, 2, "not_sent", Some("no code; step order had been carried out"))];
    assert_eq!(texts(&told(&history, 30))[2..], ["Not all of it could be sent to Environmental services."]);
}

#[test]
fn a_call_that_the_mapping_does_not_have_says_nothing_of_the_system() {
    let reason = "no mapping of this system is loaded";
    let mut history = history(vec![parked(ParkClass::Technical, reason)]);
    history.attempts = vec![not_sent(2, reason)];
    let story = told(&history, 30);
    assert_eq!(story.headline, "Stopped before Environmental services: it could not be sent");
    assert!(
        story.next[0].starts_with("A person in IT must look why it could not be sent"),
        "{:?}",
        story.next
    );
    history.attempts = vec![tried(2, 1, 2, "retry", Some("503"))];
    assert!(told(&history, 30).headline.ends_with("cannot be reached or does not work"));
}

#[test]
fn work_that_never_got_there_was_not_finished_there() {
    let cases = [
        (None, Disposition::Cancelled, "It was not given to Environmental services: the work was called off"),
        (
            Some("rejected"),
            Disposition::Declined,
            "Environmental services did not take it: they will not do this work",
        ),
        (
            Some("unknown"),
            Disposition::Cancelled,
            "Given up: Environmental services may have it: the work was called off",
        ),
        (
            Some("not_sent"),
            Disposition::Cancelled,
            "It was not given to Environmental services: the work was called off",
        ),
        (
            Some("delivered"),
            Disposition::Completed,
            "Environmental services has finished its part: the work was done",
        ),
    ];
    for (outcome, disposition, standing) in cases {
        let story = told(&given_up(outcome, disposition), 30);
        assert_eq!(story.headline, format!("{standing}. With Housing repairs"), "{outcome:?}");
    }
}

#[test]
fn what_a_person_let_go_on_is_on_its_way_whatever_came_of_it_before() {
    let mut history = history(vec![Handover { due_at: Some(at(29)), attempts: 1, ..handover(2, "waste") }]);
    history.attempts = vec![not_sent(2, "nothing at $.location.uprn")];
    history.events.push(event(
        Kind::Decided,
        29,
        json!({"decision": "replay", "system": "waste", "by": "Ann"}),
    ));
    let story = told(&history, 29);
    assert_eq!(story.headline, "On its way to Environmental services");
    assert_eq!(story.next, ["It is being sent to Environmental services now."]);
}

#[test]
fn what_is_due_for_long_waits_for_its_turn() {
    let story = told(&history(vec![handover(2, "waste")]), 10);
    assert_eq!(
        story.next,
        ["It waits for its turn: Environmental services takes only so many calls at once."]
    );
}

/// A ticket that a person closed, with these words for the customer.
fn closed_by_a_person(closure: Option<Handover>) -> History {
    let stopped = Handover {
        state: HandoverState::Ended,
        disposition: Some(Disposition::Cancelled),
        reason: Some("given up: Ann closed the ticket".to_owned()),
        ..handover(2, "waste")
    };
    let mut history = history(std::iter::once(stopped).chain(closure).collect());
    history.line = Line { state: RequestState::Closed, disposition: Some(Disposition::Cancelled), ..line() };
    history.say = Some("We have called the work off.".to_owned());
    history.events.push(event(
        Kind::Decided,
        30,
        json!({"decision": "close", "disposition": "cancelled", "by": "Ann", "because": "a double"}),
    ));
    history.events.push(event(Kind::Closed, 30, json!({})));
    history
}

#[test]
fn a_ticket_that_a_person_closed_does_not_say_that_all_work_has_ended() {
    let taken = closure(HandoverState::Ended);
    let story = told(&closed_by_a_person(Some(taken)), 60);
    let entry = story.entries.last().expect("an entry");
    assert_eq!(entry.text, "The ticket can close: the work was called off.");
    assert_eq!(entry.detail.as_deref(), Some("The customer is told: We have called the work off."));
    assert_eq!(story.told.as_deref(), Some("We have called the work off."));
}

#[test]
fn words_that_nobody_passed_on_are_not_told() {
    let already = Some("was closed by a person already".to_owned());
    for untold in
        [Handover { reason: already, ..closure(HandoverState::Ended) }, closure(HandoverState::Parked)]
    {
        let story = told(&closed_by_a_person(Some(untold)), 60);
        assert_eq!(story.told, None);
        let entry = story.entries.last().expect("an entry");
        let detail = "It is not known that the customer was told: We have called the work off.";
        assert_eq!(entry.detail.as_deref(), Some(detail));
    }
}

#[test]
fn a_closure_that_was_refused_is_not_told_as_one_that_was_made() {
    let refused = Handover { reason: Some("no such ticket".to_owned()), ..closure(HandoverState::Ended) };
    let mut history = history(vec![ended(Disposition::Completed), refused]);
    history.line.state = RequestState::Held;
    history.say = Some("The bin has been emptied.".to_owned());
    history.attempts = vec![tried(9, 1, 31, "rejected", Some("no such ticket"))];
    assert_eq!(told(&history, 60).told, None);
}

#[test]
fn a_change_that_could_not_be_told_is_not_a_question_of_how_the_ticket_ends() {
    let mut history = history(vec![with_waste()]);
    history.line.state = RequestState::Held;
    history.events.push(event(
        Kind::Held,
        31,
        json!({"system": "waste", "why": "untold", "reason": "waste cannot take changes"}),
    ));
    let story = told(&history, 60);
    assert_eq!(story.headline, "A system could not be told what changed: a person must tell its team");
}
