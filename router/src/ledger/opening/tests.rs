//! Which state and which news make which change, without a database.

use std::collections::HashSet;

use jiff::Timestamp;
use mappings::domain::{
    CallId, Council, Disposition, HandoverState, Job, Operation, ParkClass, Phase, Progress, RequestId,
    RequestState, Service, SystemName, Ticket,
};
use serde_json::json;
use uuid::Uuid;

use super::{Effects, Kept, Opening, Piece};
use crate::closing::{Closure, Decision, Grounds, Standing};
use crate::event::Kind;
use crate::ledger::{Completion, Correlated, Meaning, Next, Way};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

fn system(name: &str) -> SystemName {
    SystemName::parse(name).expect("a system")
}

/// An opening with a piece of work for each system, each awaiting its completion.
fn awaiting(systems: &[&str]) -> Opening {
    let pieces = systems.iter().map(|name| Piece {
        state: HandoverState::Awaiting,
        job: Job::parse(&format!("{name}-1")).ok(),
        operation: None,
        kept: Kept::AsItIs,
        ..Piece::due(system(name), false)
    });
    Opening {
        council: Council::parse("harlow").expect("a council"),
        request: RequestId(Uuid::now_v7()),
        ticket: Ticket::parse("CRM-1").expect("a ticket"),
        service: Service::parse("waste.missed-bin").expect("a service"),
        state: RequestState::Open,
        asked_at: at(0),
        closed_at: None,
        closes_at: None,
        needs: None,
        disposition: None,
        reason: None,
        say: None,
        traceparent: Some("00-trace".into()),
        withdrawn: false,
        pieces: pieces.collect(),
        changed: false,
    }
}

/// Closes once all ended, and tells the CRM.
fn closer(standing: &Standing) -> Decision {
    if standing.handovers.iter().any(|part| part.state != HandoverState::Ended) {
        return Decision::Wait;
    }
    Decision::Close(Closure {
        disposition: Disposition::Completed,
        reason: None,
        say: "It is done.".into(),
        crm: Some(system("crm")),
        grounds: Grounds::default(),
    })
}

fn completion(name: &str, word: &str, said_at: Option<i64>) -> Completion {
    Completion {
        system: system(name),
        key: "k".into(),
        job: Job::parse(&format!("{name}-1")).ok(),
        reference: None,
        said: word.into(),
        note: None,
        said_at: said_at.map(at),
        received_at: at(100),
        way: Way::Poll,
    }
}

fn ended(disposition: Disposition) -> Meaning {
    Meaning::Ended { disposition, reason: None, say: None }
}

fn progress() -> Meaning {
    Meaning::Progress { progress: Progress::InProgress, say: None }
}

fn hear(
    opening: &mut Opening,
    index: usize,
    completion: &Completion,
    meaning: Meaning,
) -> (Correlated, Effects) {
    let mut effects = Effects::default();
    let handover = opening.pieces[index].id;
    let correlated = opening.heard(handover, completion, meaning, at(100), &closer, &mut effects);
    (correlated, effects)
}

fn settle(opening: &mut Opening, index: usize, operation: Operation, next: &Next) -> Effects {
    let mut effects = Effects::default();
    let handover = opening.pieces[index].id;
    opening.settled(handover, operation, next, at(50), &closer, &mut effects);
    effects
}

fn kinds(effects: &Effects) -> Vec<Kind> {
    effects.events.iter().map(|event| event.kind).collect()
}

#[test]
fn the_last_ending_writes_the_closure_with_the_evidence_of_all() {
    let mut opening = awaiting(&["waste", "housing"]);
    let (correlated, effects) =
        hear(&mut opening, 0, &completion("waste", "Done", Some(7)), ended(Disposition::Completed));
    assert_eq!(correlated, Correlated::Applied);
    assert_eq!(kinds(&effects), [Kind::Progressed]);
    let (_, effects) =
        hear(&mut opening, 1, &completion("housing", "Closed", None), ended(Disposition::Completed));
    assert_eq!(kinds(&effects), [Kind::Closed]);
    assert_eq!(opening.state, RequestState::Closing);
    let call = &effects.calls[0];
    assert_eq!((call.operation, call.system.as_str()), (Operation::Close, "crm"));
    let evidence = &call.payload.as_ref().expect("a closure")["evidence"];
    assert_eq!(evidence[0]["at"], at(7).to_string());
    assert_eq!(evidence[1]["said"], "Closed");
    assert_eq!(effects.events[0].traceparent.as_deref(), Some("00-trace"));
    assert_eq!(opening.pieces.last().map(|piece| (piece.closure, piece.kept)), Some((true, Kept::New)));
}

#[test]
fn a_held_ticket_is_closed_by_nobody_but_a_person() {
    let mut opening = awaiting(&["waste"]);
    let (correlated, _) = hear(&mut opening, 0, &completion("waste", "Zzz", None), Meaning::Unrecognised);
    assert_eq!(correlated, Correlated::Held);
    let (correlated, effects) =
        hear(&mut opening, 0, &completion("waste", "Done", None), ended(Disposition::Completed));
    assert_eq!(correlated, Correlated::Applied);
    assert_eq!(opening.state, RequestState::Held);
    assert_eq!(opening.pieces[0].state, HandoverState::Ended);
    assert_eq!(kinds(&effects), [Kind::Progressed]);
    assert!(effects.calls.is_empty());
}

#[test]
fn only_progress_is_put_aside_for_its_date() {
    let cases = [
        (progress(), Correlated::Superseded),
        (ended(Disposition::Completed), Correlated::Duplicate),
        (ended(Disposition::Declined), Correlated::Held),
        (Meaning::Unrecognised, Correlated::Held),
    ];
    for (meaning, expected) in cases {
        let mut opening = awaiting(&["waste"]);
        hear(&mut opening, 0, &completion("waste", "Done", Some(9)), ended(Disposition::Completed));
        let before = opening.clone();
        let (correlated, effects) = hear(&mut opening, 0, &completion("waste", "Other", Some(8)), meaning);
        assert_eq!(correlated, expected);
        assert_eq!(opening, before);
        let told: &[Kind] = if expected == Correlated::Held { &[Kind::Held] } else { &[] };
        assert_eq!(kinds(&effects), told);
    }
}

#[test]
fn an_ending_counts_whatever_its_date_and_the_closure_names_the_doubt() {
    // Before the progress; before the customer asked; far ahead of any clock; none at all.
    for (said_at, in_doubt) in [(Some(20), true), (Some(-5), false), (Some(999_999), false), (None, false)] {
        let mut opening = awaiting(&["waste"]);
        hear(&mut opening, 0, &completion("waste", "Working", Some(40)), progress());
        let (correlated, effects) =
            hear(&mut opening, 0, &completion("waste", "Done", said_at), ended(Disposition::Completed));
        assert_eq!((correlated, kinds(&effects)), (Correlated::Applied, vec![Kind::Closed]), "{said_at:?}");
        let evidence = &effects.events[0].data["evidence"][0];
        assert_eq!(evidence.get("doubt").is_some(), in_doubt, "{evidence}");
        // What has no date of its own ended when it was heard.
        let ended_at = said_at.filter(|_| in_doubt).unwrap_or(100);
        assert_eq!(evidence["at"], at(ended_at).to_string(), "{said_at:?}");
    }
}

#[test]
fn an_ending_in_the_words_of_the_last_progress_still_ends() {
    // What the word means may have changed with the mapping.
    let mut opening = awaiting(&["waste"]);
    hear(&mut opening, 0, &completion("waste", "Visited", Some(9)), progress());
    let (correlated, _) =
        hear(&mut opening, 0, &completion("waste", "Visited", Some(9)), ended(Disposition::Completed));
    assert_eq!(correlated, Correlated::Applied);
}

#[test]
fn a_fast_clock_hides_no_later_progress() {
    let mut opening = awaiting(&["waste"]);
    hear(&mut opening, 0, &completion("waste", "Working", Some(4000)), progress());
    let later = Completion { received_at: at(200), ..completion("waste", "Waiting", Some(190)) };
    assert_eq!(hear(&mut opening, 0, &later, progress()).0, Correlated::Applied);
    let older = Completion { received_at: at(300), ..completion("waste", "Working", Some(150)) };
    assert_eq!(hear(&mut opening, 0, &older, progress()).0, Correlated::Superseded);
}

#[test]
fn progress_before_an_ending_in_doubt_is_no_news_and_progress_after_it_is() {
    for (said_at, expected) in [(35, Correlated::Superseded), (60, Correlated::Held)] {
        let mut opening = awaiting(&["waste", "housing"]);
        hear(&mut opening, 0, &completion("waste", "Working", Some(40)), progress());
        hear(&mut opening, 0, &completion("waste", "Done", Some(20)), ended(Disposition::Completed));
        let again = completion("waste", "Waiting", Some(said_at));
        assert_eq!(hear(&mut opening, 0, &again, progress()).0, expected, "{said_at}");
    }
}

#[test]
fn after_the_end_only_a_newer_or_another_word_is_a_contradiction() {
    let cases = [
        ("Finished", None, ended(Disposition::Completed), Correlated::Duplicate),
        ("Finished", Some(20), ended(Disposition::Completed), Correlated::Duplicate),
        ("Not Out", None, ended(Disposition::Declined), Correlated::Held),
        ("Working", None, progress(), Correlated::Superseded),
        ("Working", Some(20), progress(), Correlated::Held),
        ("Zzz", None, Meaning::Unrecognised, Correlated::Held),
    ];
    for (word, said_at, meaning, expected) in cases {
        let mut opening = awaiting(&["waste", "housing"]);
        hear(&mut opening, 0, &completion("waste", "Done", Some(9)), ended(Disposition::Completed));
        let (correlated, _) = hear(&mut opening, 0, &completion("waste", word, said_at), meaning);
        assert_eq!(correlated, expected, "{word} {said_at:?}");
        let held = expected == Correlated::Held;
        assert_eq!(opening.state == RequestState::Held, held, "{word} {said_at:?}");
        assert_eq!(opening.pieces[0].disposition, Some(Disposition::Completed));
    }
}

#[test]
fn a_contradiction_never_reopens_what_is_closed() {
    let mut opening = awaiting(&["waste"]);
    hear(&mut opening, 0, &completion("waste", "Done", None), ended(Disposition::Completed));
    for state in [RequestState::Closing, RequestState::Closed] {
        opening.state = state;
        let (correlated, effects) =
            hear(&mut opening, 0, &completion("waste", "Not Out", None), ended(Disposition::Declined));
        assert_eq!(correlated, Correlated::Held);
        assert_eq!(opening.state, state);
        assert_eq!(kinds(&effects), [Kind::Held]);
    }
}

#[test]
fn a_word_waits_while_the_call_is_in_flight() {
    let mut opening = awaiting(&["waste"]);
    opening.pieces[0].state = HandoverState::Due;
    opening.pieces[0].job = None;
    let before = opening.clone();
    let (correlated, effects) =
        hear(&mut opening, 0, &completion("waste", "Done", None), ended(Disposition::Completed));
    assert_eq!(correlated, Correlated::Waiting);
    assert_eq!((opening, effects), (before, Effects::default()));
}

#[test]
fn progress_of_a_parked_piece_says_that_the_system_has_it() {
    let mut opening = awaiting(&["waste"]);
    opening.pieces[0].job = None;
    let park = Next::Park { class: ParkClass::Uncertain, reason: "lost".into() };
    let effects = settle(&mut opening, 0, Operation::Create, &park);
    assert_eq!(kinds(&effects), [Kind::Held]);
    assert_eq!(opening.pieces[0].state, HandoverState::Parked);
    assert_eq!(opening.state, RequestState::Open);
    let (correlated, _) = hear(&mut opening, 0, &completion("waste", "Working", None), progress());
    assert_eq!(correlated, Correlated::Applied);
    let piece = &opening.pieces[0];
    assert_eq!((piece.state, piece.class), (HandoverState::Awaiting, None));
    assert_eq!(piece.job, Job::parse("waste-1").ok());
}

#[test]
fn the_crm_s_answer_closes_what_is_closing_and_leaves_what_is_held() {
    for (before, after) in
        [(RequestState::Closing, RequestState::Closed), (RequestState::Held, RequestState::Held)]
    {
        let mut opening = awaiting(&["waste"]);
        hear(&mut opening, 0, &completion("waste", "Done", None), ended(Disposition::Completed));
        opening.state = before;
        let taken = Next::Delivered { job: None, note: Some("closed by a person".into()) };
        let effects = settle(&mut opening, 1, Operation::Close, &taken);
        assert_eq!(opening.state, after);
        assert_eq!(opening.pieces[1].state, HandoverState::Ended);
        assert_eq!(opening.pieces[1].reason.as_deref(), Some("closed by a person"));
        assert_eq!(effects, Effects::default());
    }
}

#[test]
fn a_refused_closure_is_a_person_s() {
    let mut opening = awaiting(&["waste"]);
    hear(&mut opening, 0, &completion("waste", "Done", None), ended(Disposition::Completed));
    let refused = Next::Rejected { disposition: Disposition::Declined, reason: "merged".into(), say: None };
    let effects = settle(&mut opening, 1, Operation::Close, &refused);
    assert_eq!(opening.state, RequestState::Held);
    assert_eq!(kinds(&effects), [Kind::Held]);
}

#[test]
fn a_call_that_is_due_again_changes_nothing_of_its_ticket() {
    let mut opening = awaiting(&["waste"]);
    opening.pieces[0].state = HandoverState::Due;
    let before = opening.clone();
    let effects = settle(&mut opening, 0, Operation::Create, &Next::Again { at: at(60), phase: Phase::Send });
    assert_eq!((opening, effects), (before, Effects::default()));
}

fn amend(opening: &mut Opening, unsent: &HashSet<CallId>) -> Effects {
    let mut effects = Effects::default();
    opening.amended(&json!({"reason": "the gate is locked"}), unsent, at(40), &mut effects);
    effects
}

fn withdraw(opening: &mut Opening, unsent: &HashSet<CallId>) -> Effects {
    let mut effects = Effects::default();
    opening.withdrawn(&json!({"reason": "found it"}), unsent, at(41), &closer, &mut effects);
    effects
}

fn reopen(opening: &mut Opening) -> (Option<Opening>, Effects) {
    let mut effects = Effects::default();
    let next = opening.reopened(&json!({"reason": "it is back"}), at(200), &mut effects);
    (next, effects)
}

fn nothing() -> Next {
    Next::Delivered { job: None, note: None }
}

/// What is to be called now.
fn asked(effects: &Effects) -> Vec<Operation> {
    effects.calls.iter().map(|call| call.operation).collect()
}

#[test]
fn what_is_asked_waits_for_what_was_asked_before() {
    let mut opening = awaiting(&["waste"]);
    opening.pieces[0].state = HandoverState::Due;
    opening.pieces[0].operation = Some(Operation::Create);
    opening.pieces[0].job = None;
    assert_eq!(asked(&amend(&mut opening, &HashSet::new())), []);
    assert_eq!(asked(&withdraw(&mut opening, &HashSet::new())), []);
    assert_eq!(opening.pieces[0].queue.iter().map(|queued| queued.number).collect::<Vec<_>>(), [1, 2]);

    let create = Next::Delivered { job: Job::parse("W-7").ok(), note: None };
    let effects = settle(&mut opening, 0, Operation::Create, &create);
    assert_eq!(asked(&effects), [Operation::Amend]);
    assert_eq!(effects.calls[0].job, Job::parse("W-7").ok());
    assert_eq!(opening.pieces[0].call, effects.calls[0].call);
    let effects = settle(&mut opening, 0, Operation::Amend, &nothing());
    assert_eq!(asked(&effects), [Operation::Cancel]);
    let effects = settle(&mut opening, 0, Operation::Cancel, &nothing());
    assert_eq!((asked(&effects), kinds(&effects)), (vec![Operation::Close], vec![Kind::Closed]));
    let piece = &opening.pieces[0];
    assert_eq!((piece.disposition, piece.operation), (Some(Disposition::Cancelled), None));
    assert!(opening.withdrawn);
}

#[test]
fn a_piece_that_was_not_sent_is_neither_told_nor_asked() {
    let mut opening = awaiting(&["waste", "housing"]);
    opening.pieces[0].state = HandoverState::Due;
    opening.pieces[0].operation = Some(Operation::Create);
    let unsent = HashSet::from([opening.pieces[0].call]);
    let effects = amend(&mut opening, &unsent);
    assert_eq!(effects.calls.iter().map(|call| call.system.as_str()).collect::<Vec<_>>(), ["housing"]);
    let effects = withdraw(&mut opening, &unsent);
    assert_eq!(effects.taken_out, [opening.pieces[0].call]);
    assert_eq!(opening.pieces[0].state, HandoverState::Ended);
    assert_eq!(opening.pieces[1].queue.len(), 1, "the cancel waits for the change");
    assert_eq!(opening.state, RequestState::Open);
}

#[test]
fn a_park_keeps_what_waits_behind_it() {
    let mut opening = awaiting(&["waste"]);
    amend(&mut opening, &HashSet::new());
    withdraw(&mut opening, &HashSet::new());
    let park = Next::Park { class: ParkClass::Uncertain, reason: "lost".into() };
    let effects = settle(&mut opening, 0, Operation::Amend, &park);
    assert_eq!(asked(&effects), []);
    assert_eq!(effects.events[0].data["waiting"], 1);
    let piece = &opening.pieces[0];
    assert_eq!((piece.state, piece.operation), (HandoverState::Parked, Some(Operation::Amend)));
    // Whoever resolves it lets the next go.
    opening.pieces[0].settle();
    let mut effects = Effects::default();
    opening.release_next(0, at(60), &mut effects);
    assert_eq!(asked(&effects), [Operation::Cancel]);
    opening.release_next(0, at(60), &mut effects);
    assert_eq!(effects.calls.len(), 1, "one at a time");
}

#[test]
fn work_that_ends_before_it_was_told_of_a_change_is_a_persons() {
    let mut opening = awaiting(&["waste"]);
    amend(&mut opening, &HashSet::new());
    amend(&mut opening, &HashSet::new());
    let (correlated, effects) =
        hear(&mut opening, 0, &completion("waste", "Done", None), ended(Disposition::Completed));
    assert_eq!((correlated, opening.state), (Correlated::Applied, RequestState::Held));
    assert_eq!(kinds(&effects), [Kind::Held, Kind::Progressed]);
    assert!(opening.pieces[0].queue.is_empty());
}

#[test]
fn a_cancel_that_comes_too_late_does_not_hold_what_was_done() {
    let mut opening = awaiting(&["waste"]);
    withdraw(&mut opening, &HashSet::new());
    hear(&mut opening, 0, &completion("waste", "Done", None), ended(Disposition::Completed));
    assert_eq!(opening.state, RequestState::Open, "the cancel is under way");
    let refused = Next::Rejected { disposition: Disposition::Declined, reason: "done".into(), say: None };
    let effects = settle(&mut opening, 0, Operation::Cancel, &refused);
    assert_eq!(asked(&effects), [Operation::Close]);
    assert_eq!(opening.pieces[0].disposition, Some(Disposition::Completed));
}

#[test]
fn a_closed_ticket_is_opened_again_with_the_same_systems() {
    let mut opening = awaiting(&["waste", "housing"]);
    opening.state = RequestState::Closed;
    let before = opening.clone();
    let (next, effects) = reopen(&mut opening);
    let next = next.expect("a new opening");
    assert_eq!((opening, effects), (before.clone(), Effects::default()));
    assert_eq!(next.state, RequestState::Open);
    assert_ne!(next.request, before.request);
    let systems: Vec<&str> = next.pieces.iter().map(|piece| piece.system.as_str()).collect();
    assert_eq!(systems, ["waste", "housing"]);
    assert!(next.pieces.iter().all(|piece| piece.kept == Kept::New && piece.job.is_none()));
}

#[test]
fn a_closure_that_was_not_taken_is_broken_off_by_a_reopening() {
    let mut opening = awaiting(&["waste"]);
    hear(&mut opening, 0, &completion("waste", "Done", None), ended(Disposition::Completed));
    assert_eq!(opening.state, RequestState::Closing);
    let (next, effects) = reopen(&mut opening);
    assert_eq!(effects.taken_out, [opening.pieces[1].call]);
    assert_eq!((opening.state, opening.pieces[1].state), (RequestState::Closed, HandoverState::Ended));
    assert_eq!(next.map(|next| next.pieces.len()), Some(1));
}

#[test]
fn what_is_open_or_held_is_not_opened_again() {
    for state in [RequestState::Open, RequestState::Held] {
        let mut opening = awaiting(&["waste"]);
        opening.state = state;
        let (next, effects) = reopen(&mut opening);
        assert_eq!((next, kinds(&effects)), (None, vec![Kind::Reopened]));
        assert_eq!(opening.state, state);
    }
}
