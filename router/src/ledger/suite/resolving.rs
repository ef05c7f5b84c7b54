//! What people decide: of what is parked and of what is held, once, and only as they saw it.

use mappings::domain::{
    Disposition, HandoverState, Job, Operation, ParkClass, Phase, RequestState, Revision,
};
use serde_json::json;

use super::fixture::*;
use super::{Fixture, both};
use crate::closing::{Closure, Grounds};
use crate::ledger::{
    Choice, Correlated, Next, Outbox, Person, Resolution, Resolved, Room, Seen, SeenTicket, Selection, Stuck,
    Work, Written,
};

fn parking(class: ParkClass, reason: &str) -> Next {
    Next::Park { class, reason: reason.into() }
}

/// Parks the call of a new ticket at the waste system.
async fn parked(fixture: &Fixture, ticket: &str, class: ParkClass, reason: &str) -> Work {
    let work = fixture.submit(ticket, &["waste"]).await.remove(0);
    fixture.record(&[settle(&work, parking(class, reason))]).await;
    work
}

async fn stuck(fixture: &Fixture, selection: &str) -> Vec<Stuck> {
    let selection = Selection::parse(selection, at(3600)).expect("a selection");
    fixture.ledger.parked(&selection, 100).await.expect("a list")
}

async fn only(fixture: &Fixture, reference: &str) -> Stuck {
    stuck(fixture, &format!("ticket={reference}")).await.remove(0)
}

fn resolution(work: &Work, choice: Choice) -> Resolution {
    let person = Person { name: "jo".into(), because: "I looked".into() };
    Resolution { council: work.council.clone(), request: work.request, person, at: at(100), choice }
}

async fn resolve(fixture: &Fixture, batch: &[Resolution]) -> Written<Resolved> {
    fixture.ledger.resolve(batch, &fixture.lessee).await.expect("resolve")
}

async fn written(fixture: &Fixture, resolution: Resolution) -> Written<Resolved> {
    let written = resolve(fixture, &[resolution]).await;
    assert_eq!(written.replies, [Ok(Resolved::Written)]);
    written
}

fn refused(written: &Written<Resolved>) -> &str {
    match &written.replies[0] {
        Ok(Resolved::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn closure(disposition: Disposition) -> Closure {
    Closure {
        disposition,
        reason: None,
        say: "We are sorry.".into(),
        crm: Some(system("crm")),
        grounds: Grounds::default(),
    }
}

fn job(reference: &str) -> Option<Job> {
    Job::parse(reference).ok()
}

both! {
    async fn what_was_done_after_all_awaits_with_its_job_and_takes_the_completion_that_waited(fixture: &Fixture) {
        let work = parked(fixture, "CRM-1", ParkClass::Uncertain, "the answer was lost").await;
        assert_eq!(fixture.hear(said("waste", "k1", "W-1", "Completed")).await, Correlated::Waiting);
        let seen = only(fixture, "CRM-1").await.seen();
        let written = written(fixture, resolution(&work, Choice::WasDone { seen, job: job("W-1") })).await;
        assert_eq!(operations(&written.work), [Operation::Close]);
        let history = fixture.history("CRM-1").await;
        assert_eq!(
            words(&history),
            ["ticket.accepted", "ticket.held", "ticket.decided", "ticket.handed-over", "ticket.closed"]
        );
        let decided = &history.events[2];
        assert_eq!(decided.at, at(100));
        assert_eq!(
            decided.data,
            json!({"decision": "was_done", "by": "jo", "because": "I looked", "system": "waste", "job": "W-1"})
        );
        assert_eq!(history.handovers[0].state, HandoverState::Ended);
        assert_eq!(history.completions[0].correlated, Correlated::Applied);
        assert!(stuck(fixture, "").await.is_empty());
    }

    async fn a_parked_handover_is_resolved_once_however_many_saw_it(fixture: &Fixture) {
        let work = parked(fixture, "CRM-1", ParkClass::Uncertain, "the answer was lost").await;
        let seen = only(fixture, "CRM-1").await.seen();
        let both = [
            resolution(&work, Choice::SendAgain { seen: seen.clone() }),
            resolution(&work, Choice::WasDone { seen: seen.clone(), job: job("W-1") }),
        ];
        let batch = resolve(fixture, &both).await;
        assert_eq!(batch.replies[0], Ok(Resolved::Written));
        assert_eq!(batch.replies[1], Ok(Resolved::Refused("waste is due by now, not parked".into())));
        let again = resolve(fixture, &both[..1]).await;
        assert_eq!(refused(&again), "waste is due by now, not parked");
        // Parked again, it is another parking than the one that was seen.
        let work = fixture.claim("waste", 10, at(200)).await.remove(0);
        fixture.record(&[settle(&work, park())]).await;
        let late = resolve(fixture, &both[1..]).await;
        assert_eq!(refused(&late), "it was tried again meanwhile: 2 attempts by now, not 1");
        assert_eq!(fixture.history("CRM-1").await.handovers[0].job, None);
    }

    async fn a_call_that_is_sent_again_keeps_its_key_and_counts_on_while_its_limit_starts_anew(fixture: &Fixture) {
        let first = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.record(&[settle(&first, again(at(10), Phase::Send))]).await;
        let second = fixture.claim("waste", 1, at(10)).await.remove(0);
        fixture.record(&[settle(&second, park())]).await;
        let seen = only(fixture, "CRM-1").await.seen();
        assert_eq!(seen.attempts, 2);
        written(fixture, resolution(&first, Choice::SendAgain { seen })).await;
        assert!(fixture.claim("waste", 1, at(99)).await.is_empty(), "it is due when the person said so");
        let third = fixture.claim("waste", 1, at(100)).await.remove(0);
        assert_eq!((third.call, third.attempt, third.spent), (first.call, 3, 2));
        assert_eq!((third.phase, third.operation), (Phase::Send, Operation::Create));
        // A worker that still holds an old lease of the call writes nothing.
        let late = fixture.record(&[settle(&second, delivered("W-0"))]).await;
        assert_eq!(late.replies, [Ok(crate::ledger::Recorded::LeaseLost)]);
        fixture.record(&[settle(&third, delivered("W-1"))]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.handovers[0].state, HandoverState::Awaiting);
        assert_eq!(history.attempts.iter().map(|tried| tried.number).collect::<Vec<_>>(), [1, 2, 3]);
    }

    async fn a_replay_asks_first_where_an_attempt_may_have_been_carried_out(fixture: &Fixture) {
        let technical = || parking(ParkClass::Technical, "gave up after 2 attempts");
        let cases = [
            ("CRM-1", "unknown", Phase::Send, Phase::LookUp),
            ("CRM-2", "retry", Phase::LookUp, Phase::LookUp),
            ("CRM-3", "absent", Phase::LookUp, Phase::Send),
            ("CRM-4", "retry", Phase::Send, Phase::Send),
        ];
        for (reference, outcome, phase, expected) in cases {
            let work = fixture.submit(reference, &["waste"]).await.remove(0);
            let mut settled = settle(&work, technical());
            settled.work.phase = phase;
            settled.attempt.outcome = outcome.into();
            fixture.record(&[settled]).await;
            let seen = only(fixture, reference).await.seen();
            written(fixture, resolution(&work, Choice::Replay { seen, edit: None })).await;
            let claimed = fixture.claim("waste", 1, at(100)).await.remove(0);
            assert_eq!(claimed.phase, expected, "{reference}");
        }
        // An attempt of a worker that died is on nobody's record.
        let (_, dead) = fixture.another().await;
        let room = crate::ledger::Lessee { room: Room::default(), ..fixture.lessee.clone() };
        fixture.ledger.accept(&[arrival("5", "CRM-5", &["waste"])], &room).await.expect("accept");
        let lost = fixture.ledger.claim_due(&system("waste"), 1, at(100), dead.worker).await.expect("a claim");
        fixture.ledger.release(dead.worker).await.expect("a release");
        let work = fixture.claim("waste", 1, at(100)).await.remove(0);
        assert_eq!((work.call, work.attempt), (lost[0].call, 2));
        fixture.record(&[settle(&work, technical())]).await;
        let seen = only(fixture, "CRM-5").await.seen();
        written(fixture, resolution(&work, Choice::Replay { seen, edit: None })).await;
        assert_eq!(fixture.claim("waste", 1, at(100)).await[0].phase, Phase::LookUp);
    }

    async fn what_may_have_been_done_is_not_replayed(fixture: &Fixture) {
        let work = parked(fixture, "CRM-1", ParkClass::Uncertain, "the answer was lost").await;
        let seen = only(fixture, "CRM-1").await.seen();
        let reply = resolve(fixture, &[resolution(&work, Choice::Replay { seen, edit: None })]).await;
        assert_eq!(refused(&reply), "it may have been done: whether it was must be said");
        assert!(fixture.history("CRM-1").await.line.parked);
    }

    async fn an_edited_replay_sends_the_new_document_and_keeps_the_old_and_the_difference(fixture: &Fixture) {
        let work = parked(fixture, "CRM-1", ParkClass::Data, "Uprn: nothing at $.location.uprn").await;
        let seen = only(fixture, "CRM-1").await.seen();
        let edit = |patch| Some(patch);
        let wrong = edit(json!({"location": {"uprn": 7}}));
        let reply = resolve(fixture, &[resolution(&work, Choice::Replay { seen: seen.clone(), edit: wrong })]).await;
        assert!(refused(&reply).starts_with("location.uprn: "), "{reply:?}");
        assert!(fixture.history("CRM-1").await.line.parked, "a refused edit changes nothing");

        let right = edit(json!({"location": {"uprn": "10008049175"}}));
        written(fixture, resolution(&work, Choice::Replay { seen, edit: right })).await;
        let claimed = fixture.claim("waste", 1, at(100)).await.remove(0);
        assert_eq!(claimed.document["location"]["uprn"], "10008049175");
        let stored = fixture.ledger.document(&work.council, work.request).await.expect("a read");
        assert_eq!(stored.as_ref(), Some(&*claimed.document));
        let history = fixture.history("CRM-1").await;
        let decided = history.events.last().expect("an event");
        assert_eq!(
            decided.data["changes"],
            json!([{"path": "/location", "from": null, "to": {"uprn": "10008049175"}}])
        );
        assert_eq!(decided.data["class"], "data");
    }

    async fn a_parked_closure_is_replayed_with_all_that_it_said(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let close = fixture.record(&[settle(&work, rejected(Disposition::Declined))]).await.work.remove(0);
        fixture.record(&[settle(&close, parking(ParkClass::Technical, "503"))]).await;
        let seen = only(fixture, "CRM-1").await.seen();
        written(fixture, resolution(&work, Choice::Replay { seen, edit: None })).await;
        let claimed = fixture.claim("crm", 1, at(100)).await.remove(0);
        assert_eq!((claimed.operation, claimed.payload.clone()), (Operation::Close, close.payload.clone()));
        fixture.record(&[settle(&claimed, delivered("7"))]).await;
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Closed);
    }

    async fn a_closure_that_a_person_saw_in_the_crm_closes_the_ticket(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let close = fixture.record(&[settle(&work, rejected(Disposition::Declined))]).await.work.remove(0);
        fixture.record(&[settle(&close, park())]).await;
        let seen = only(fixture, "CRM-1").await.seen();
        written(fixture, resolution(&work, Choice::WasDone { seen, job: None })).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closed);
        assert_eq!(history.handovers[1].reason.as_deref(), Some("jo says that it was closed"));
    }

    async fn a_held_ticket_closes_as_a_person_says_through_the_usual_closure(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.hear(said("waste", "k1", "W-1", "No Access")).await;
        let reason = fixture.history("CRM-1").await.line.reason;
        let seen = SeenTicket { state: RequestState::Held, reason };
        let close = Choice::Close { seen, closure: closure(Disposition::NoAccess) };
        let closed = written(fixture, resolution(&work, close.clone())).await;
        assert_eq!(operations(&closed.work), [Operation::Close]);
        let payload = closed.work[0].payload.as_ref().expect("a closure");
        assert_eq!((&payload["say"], &payload["disposition"]), (&json!("We are sorry."), &json!("no_access")));
        assert_eq!(payload["evidence"][0]["said"], "No Access");
        let twice = resolve(fixture, &[resolution(&work, close)]).await;
        assert_eq!(refused(&twice), "it is closing by now, not held");
        fixture.record(&[settle(&closed.work[0], delivered("7"))]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closed);
        assert_eq!(words(&history)[3..], ["ticket.decided", "ticket.closed"]);
    }

    async fn what_is_parked_of_a_ticket_that_a_person_closes_is_given_up(fixture: &Fixture) {
        let work = parked(fixture, "CRM-1", ParkClass::Refused, "no").await;
        let seen = SeenTicket { state: RequestState::Open, reason: None };
        let close = Choice::Close { seen, closure: closure(Disposition::Declined) };
        written(fixture, resolution(&work, close)).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.handovers[0].disposition, Some(Disposition::Cancelled));
        assert!(!history.line.parked);
    }

    async fn a_ticket_whose_work_goes_on_is_not_closed_by_a_person(fixture: &Fixture) {
        let works = fixture.submit("CRM-1", &["waste", "housing"]).await;
        fixture.record(&[settle(&works[0], delivered("W-1"))]).await;
        let open = SeenTicket { state: RequestState::Open, reason: None };
        let close = Choice::Close { seen: open, closure: closure(Disposition::Completed) };
        let reply = resolve(fixture, &[resolution(&works[0], close.clone())]).await;
        assert_eq!(refused(&reply), "a call to housing is still to be made");
        fixture.record(&[settle(&works[1], delivered("H-1"))]).await;
        let reply = resolve(fixture, &[resolution(&works[0], close)]).await;
        assert_eq!(refused(&reply), "its work has not ended");
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Open);
    }

    async fn a_ticket_that_is_kept_open_takes_what_comes_and_closes_by_the_rules(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.hear(said("waste", "k1", "W-1", "Zzz")).await;
        let reason = fixture.history("CRM-1").await.line.reason;
        let other = SeenTicket { state: RequestState::Held, reason: Some("another".into()) };
        let reply = resolve(fixture, &[resolution(&work, Choice::KeepOpen { seen: other })]).await;
        assert!(refused(&reply).starts_with("it is held for another reason by now"), "{reply:?}");
        let seen = SeenTicket { state: RequestState::Held, reason };
        written(fixture, resolution(&work, Choice::KeepOpen { seen: seen.clone() })).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.line.state, history.line.reason), (RequestState::Open, None));
        let twice = resolve(fixture, &[resolution(&work, Choice::KeepOpen { seen })]).await;
        assert_eq!(refused(&twice), "it is open by now, not held");
        fixture.hear(said("waste", "k2", "W-1", "Completed")).await;
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Closing);
    }

    async fn parked_handovers_are_selected_by_what_they_have_in_common(fixture: &Fixture) {
        parked(fixture, "CRM-1", ParkClass::Technical, "gave up: answered 503 100%").await;
        parked(fixture, "CRM-2", ParkClass::Data, "Uprn: nothing there").await;
        let housing = fixture.submit("CRM-3", &["housing"]).await.remove(0);
        fixture.record(&[settle(&housing, parking(ParkClass::Technical, "refused"))]).await;
        fixture.deliver("CRM-4", "waste", "W-4").await;
        for (selection, expected) in [
            ("", vec!["CRM-1", "CRM-2", "CRM-3"]),
            ("system=waste", vec!["CRM-1", "CRM-2"]),
            ("class=technical", vec!["CRM-1", "CRM-3"]),
            ("reason~\"ANSWERED 503\"", vec!["CRM-1"]),
            ("reason~100%", vec!["CRM-1"]),
            ("reason~_", vec![]),
            ("ticket=CRM-2 council=harlow service=waste.missed-bin", vec!["CRM-2"]),
            ("council=epping", vec![]),
            ("since=2h", vec!["CRM-1", "CRM-2", "CRM-3"]),
            ("since=30m", vec![]),
        ] {
            let found: Vec<String> =
                stuck(fixture, selection).await.iter().map(|stuck| stuck.ticket.to_string()).collect();
            assert_eq!(found, expected, "{selection}");
        }
        let first = &stuck(fixture, "").await[0];
        assert_eq!((first.attempts, first.parked_at, first.operation), (1, at(2), Operation::Create));
    }

    async fn a_decision_of_a_command_leaves_its_events_and_calls_to_the_routers(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.hear(said("waste", "k1", "W-1", "No Access")).await;
        let reason = fixture.history("CRM-1").await.line.reason;
        let seen = SeenTicket { state: RequestState::Held, reason };
        let close = resolution(&work, Choice::Close { seen, closure: closure(Disposition::NoAccess) });
        let command = full_lessee();
        assert!(matches!(command.outbox, Outbox::On(_)));
        let written = fixture.ledger.resolve(&[close], &command).await.expect("resolve");
        assert!(written.work.is_empty() && written.events.is_empty());
        assert_eq!(operations(&fixture.claim("crm", 1, at(100)).await), [Operation::Close]);
        let events = fixture.ledger.claim_outbox(10, fixture.lessee.worker).await.expect("a claim");
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.word()).collect();
        assert_eq!(kinds, ["ticket.decided", "ticket.closed"]);
    }

    async fn a_handover_of_another_ticket_is_nobodys(fixture: &Fixture) {
        let one = parked(fixture, "CRM-1", ParkClass::Technical, "503").await;
        let other = parked(fixture, "CRM-2", ParkClass::Technical, "503").await;
        let seen = Seen { handover: other.handover, system: system("waste"), attempts: 1 };
        let reply = resolve(fixture, &[resolution(&one, Choice::Replay { seen, edit: None })]).await;
        assert_eq!(refused(&reply), "the ledger has no such handover");
    }

    async fn what_waits_behind_a_park_goes_on_when_a_person_has_resolved_it(fixture: &Fixture) {
        let amended = |ticket: &str| {
            revised(&format!("a{ticket}"), ticket, Revision::Amended, json!({"reason": "gate", "details": {"notes": "gate"}}))
        };
        let withdrawn = |ticket: &str| revised(&format!("w{ticket}"), ticket, Revision::Withdrawn, json!({}));
        let lost = parking(ParkClass::Uncertain, "the answer was lost");

        // The order was taken after all: the change follows it.
        let create = parked(fixture, "CRM-1", ParkClass::Uncertain, "the answer was lost").await;
        assert!(fixture.accept(&[amended("CRM-1")]).await.work.is_empty());
        let seen = only(fixture, "CRM-1").await.seen();
        let went_on = written(fixture, resolution(&create, Choice::WasDone { seen, job: job("W-1") })).await;
        assert_eq!(operations(&went_on.work), [Operation::Amend]);
        let amend = &went_on.work[0];
        assert_eq!((&amend.job, &amend.document["details"]["notes"]), (&job("W-1"), &json!("gate")));

        // The change is parked in its turn, and told again with what it says.
        fixture.accept(&[withdrawn("CRM-1")]).await;
        fixture.record(&[settle(amend, lost.clone())]).await;
        let seen = only(fixture, "CRM-1").await.seen();
        written(fixture, resolution(&create, Choice::SendAgain { seen })).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.handovers[0].state, history.handovers[0].waiting), (HandoverState::Awaiting, 1));
        let again = fixture.claim("waste", 9, at(101)).await.remove(0);
        assert_eq!((again.call, again.operation), (amend.call, Operation::Amend));
        assert_eq!(again.payload.as_ref().expect("a change")["reason"], "gate");
        let cancel = fixture.record(&[settle(&again, Next::Delivered { job: None, note: None })]).await.work;
        assert_eq!(operations(&cancel), [Operation::Cancel]);

        // A cancel that a person knows to be done ends the work, and the ticket.
        fixture.record(&[settle(&cancel[0], lost)]).await;
        let seen = only(fixture, "CRM-1").await.seen();
        let ended = written(fixture, resolution(&create, Choice::WasDone { seen, job: None })).await;
        assert_eq!(operations(&ended.work), [Operation::Close]);
        assert_eq!(fixture.history("CRM-1").await.line.disposition, Some(Disposition::Cancelled));
    }
}
