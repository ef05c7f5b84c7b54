//! What a system hears of a ticket, and in which order, when the customer changes their mind.

use mappings::domain::{Disposition, HandoverState, Operation, ParkClass, Phase, RequestState, Revision};
use serde_json::json;

use super::fixture::*;
use super::{Fixture, both};
use crate::event::Kind;
use crate::ledger::{Accepted, Arrival, Correlated, Next, Problem, Recorded, Work};

fn amended(delivery: &str, ticket: &str, notes: &str) -> Arrival {
    let data = json!({"reason": notes, "details": {"notes": notes}});
    revised(delivery, ticket, Revision::Amended, data)
}

fn withdrawn(delivery: &str, ticket: &str) -> Arrival {
    revised(delivery, ticket, Revision::Withdrawn, json!({"reason": "found it"}))
}

fn unable() -> Next {
    Next::Unable { reason: "it cannot take changes".into() }
}

/// Settles a call; returns what the writer is left with.
async fn settled(fixture: &Fixture, work: &Work, next: Next) -> Vec<Work> {
    let written = fixture.record(&[settle(work, next)]).await;
    assert_eq!(written.replies, [Ok(Recorded::Written)]);
    written.work
}

fn nothing() -> Next {
    Next::Delivered { job: None, note: None }
}

both! {
    async fn what_is_asked_of_a_system_goes_one_after_the_other(fixture: &Fixture) {
        let create = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let written = fixture.accept(&[amended("a1", "CRM-1", "gate"), withdrawn("w1", "CRM-1")]).await;
        assert!(matches!(written.replies[..], [Ok(Accepted::New(_)), Ok(Accepted::New(_))]));
        assert!(written.work.is_empty(), "the order is under way: {:?}", written.work);
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.handovers[0].operation, history.handovers[0].waiting), (Some(Operation::Create), 2));

        // Across an attempt that failed, and another router.
        settled(fixture, &create, again(at(2), Phase::Send)).await;
        let (other, other_lessee) = fixture.another().await;
        let create = other.claim_due(&system("waste"), 9, at(3), other_lessee.worker).await.expect("a claim");
        assert_eq!(operations(&create), [Operation::Create]);
        let written = other.record(&[settle(&create[0], delivered("W-1"))], &other_lessee).await.expect("record");
        assert_eq!(operations(&written.work), [Operation::Amend]);
        let amend = &written.work[0];
        assert_eq!(amend.job.as_ref().map(|job| job.as_str()), Some("W-1"));
        assert_eq!(amend.payload.as_ref().expect("a change")["reason"], "gate");
        assert_eq!(amend.document["details"]["notes"], "gate");
        assert_eq!((amend.attempt, amend.lease.0), (1, 1));

        let written = other.record(&[settle(amend, nothing())], &other_lessee).await.expect("record");
        assert_eq!(operations(&written.work), [Operation::Cancel]);
        assert_eq!(written.work[0].payload.as_ref().expect("a change")["reason"], "found it");
        let written = other.record(&[settle(&written.work[0], nothing())], &other_lessee).await.expect("record");
        assert_eq!(operations(&written.work), [Operation::Close]);
        let payload = written.work[0].payload.as_ref().expect("a closure");
        assert_eq!((&payload["disposition"], &payload["evidence"][0]["said"]), (&json!("cancelled"), &json!("withdrawn")));
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.handovers[0].disposition, Some(Disposition::Cancelled));
        assert!(history.handovers[0].say.as_deref().is_some_and(|say| say.contains("You asked us to cancel it")));
        let made: Vec<Operation> = history.attempts.iter().map(|tried| tried.operation).collect();
        assert_eq!(made, [Operation::Create, Operation::Create, Operation::Amend, Operation::Cancel]);
    }

    async fn a_change_before_the_order_was_sent_goes_with_it(fixture: &Fixture) {
        let batch = [arrival("1", "CRM-1", &["waste"])];
        fixture.ledger.accept(&batch, &full_lessee()).await.expect("accept");
        let written = fixture.accept(&[amended("a1", "CRM-1", "gate")]).await;
        assert!(written.work.is_empty());
        let create = fixture.claim("waste", 9, at(40)).await.remove(0);
        assert_eq!((create.operation, &create.document["details"]), (Operation::Create, &json!({"container": "refuse", "notes": "gate"})));
        assert!(settled(fixture, &create, delivered("W-1")).await.is_empty(), "nothing is told twice");

        // An attempt that was certainly not carried out is as good as none.
        let create = fixture.submit("CRM-2", &["waste"]).await.remove(0);
        settled(fixture, &create, again(at(41), Phase::Send)).await;
        assert!(fixture.accept(&[amended("a2", "CRM-2", "dog")]).await.work.is_empty());
        let create = fixture.claim("waste", 9, at(42)).await.remove(0);
        assert_eq!(create.document["details"]["notes"], "dog");
        assert!(settled(fixture, &create, delivered("W-2")).await.is_empty());
    }

    async fn an_order_that_may_have_been_sent_is_sent_again_as_it_was(fixture: &Fixture) {
        let create = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.record(&[unsure(&create, Phase::Send)]).await;
        fixture.accept(&[amended("a1", "CRM-1", "gate")]).await;
        for seconds in [3, 4] {
            let create = fixture.claim("waste", 9, at(seconds)).await.remove(0);
            assert_eq!(create.document["details"], json!({"container": "refuse"}));
            settled(fixture, &create, again(at(seconds), Phase::Send)).await;
        }
        let create = fixture.claim("waste", 9, at(5)).await.remove(0);
        let amend = settled(fixture, &create, delivered("W-1")).await.remove(0);
        assert_eq!((amend.operation, &amend.document["details"]["notes"]), (Operation::Amend, &json!("gate")));
    }

    async fn a_system_that_said_that_it_has_nothing_is_sent_what_is_right_now(fixture: &Fixture) {
        let create = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.record(&[unsure(&create, Phase::LookUp)]).await;
        let look = fixture.claim("waste", 9, at(3)).await.remove(0);
        let mut absent = settle(&look, again(at(4), Phase::Send));
        absent.attempt.outcome = "absent".into();
        fixture.record(&[absent]).await;
        fixture.accept(&[withdrawn("w1", "CRM-1")]).await;
        assert!(fixture.claim("waste", 9, at(99)).await.is_empty());
        assert_eq!(fixture.history("CRM-1").await.line.disposition, Some(Disposition::Cancelled));
    }

    async fn a_call_of_a_dead_router_may_have_been_sent(fixture: &Fixture) {
        fixture.submit("CRM-1", &["waste"]).await;
        fixture.ledger.release(fixture.lessee.worker).await.expect("a release");
        fixture.ledger.heartbeat(fixture.lessee.worker, at(0)).await.expect("a heartbeat");
        fixture.accept(&[withdrawn("w1", "CRM-1")]).await;
        let create = fixture.claim("waste", 9, at(40)).await.remove(0);
        assert_eq!(create.operation, Operation::Create);
        settled(fixture, &create, again(at(41), Phase::Send)).await;
        let create = fixture.claim("waste", 9, at(42)).await.remove(0);
        let cancel = settled(fixture, &create, delivered("W-1")).await;
        assert_eq!(operations(&cancel), [Operation::Cancel]);
    }

    async fn a_withdrawal_before_sending_reaches_no_system(fixture: &Fixture) {
        let batch = [arrival("1", "CRM-1", &["waste", "housing"])];
        fixture.ledger.accept(&batch, &full_lessee()).await.expect("accept");
        let written = fixture.accept(&[withdrawn("w1", "CRM-1")]).await;
        assert_eq!(operations(&written.work), [Operation::Close]);
        for name in ["waste", "housing"] {
            assert!(fixture.claim(name, 9, at(99)).await.is_empty());
        }
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.line.state, history.line.disposition), (RequestState::Closing, Some(Disposition::Cancelled)));
        assert!(history.attempts.is_empty());
        let again = fixture.accept(&[withdrawn("w1", "CRM-1"), withdrawn("w2", "CRM-1")]).await;
        assert_eq!(again.replies[0], Ok(Accepted::DuplicateDelivery));
        assert!(again.work.is_empty());
    }

    async fn an_order_in_flight_is_called_off_after_it(fixture: &Fixture) {
        let create = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        assert!(fixture.accept(&[withdrawn("w1", "CRM-1"), withdrawn("w2", "CRM-1")]).await.work.is_empty());
        let cancel = settled(fixture, &create, delivered("W-1")).await;
        assert_eq!(operations(&cancel), [Operation::Cancel]);
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Open);
        assert_eq!(operations(&settled(fixture, &cancel[0], nothing()).await), [Operation::Close]);
    }

    async fn a_park_holds_up_its_own_queue_and_no_other(fixture: &Fixture) {
        let create = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        settled(fixture, &create, park()).await;
        assert!(fixture.accept(&[amended("a1", "CRM-1", "gate")]).await.work.is_empty());
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.handovers[0].state, history.handovers[0].waiting), (HandoverState::Parked, 1));
        fixture.deliver("CRM-2", "waste", "W-2").await;
        assert_eq!(operations(&fixture.accept(&[amended("a2", "CRM-2", "dog")]).await.work), [Operation::Amend]);

        // The system says that it has the job after all: what waits goes on.
        let mut word = said_of("waste", "k1", "CRM-1", "In Progress");
        word.job = said("waste", "k1", "W-1", "x").job;
        let written = fixture.complete(&[word]).await;
        assert_eq!(written.replies, [Ok(Correlated::Applied)]);
        assert_eq!(operations(&written.work), [Operation::Amend]);
        assert_eq!(written.work[0].job.as_ref().map(|job| job.as_str()), Some("W-1"));
    }

    async fn a_change_that_could_not_be_told_is_parked_with_what_it_says(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let amend = fixture.accept(&[amended("a1", "CRM-1", "gate"), withdrawn("w1", "CRM-1")]).await.work.remove(0);
        assert!(settled(fixture, &amend, park()).await.is_empty());
        let history = fixture.history("CRM-1").await;
        let piece = &history.handovers[0];
        assert_eq!((piece.state, piece.operation, piece.waiting), (HandoverState::Parked, Some(Operation::Amend), 1));
        assert_eq!(fixture.hear(said("waste", "k1", "W-1", "In Progress")).await, Correlated::Applied);
        assert_eq!(fixture.history("CRM-1").await.handovers[0].state, HandoverState::Parked);
        // The work ends, and the change was never told.
        assert_eq!(fixture.hear(said("waste", "k2", "W-1", "Completed")).await, Correlated::Applied);
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.line.state, history.handovers[0].waiting), (RequestState::Held, 0));
        let reason = history.line.reason.expect("a reason");
        assert_eq!(reason, "waste was not told what changed: its work has ended. Tell the team");
    }

    async fn a_system_that_cannot_be_told_goes_on_and_a_person_tells_it(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let amend = fixture.accept(&[amended("a1", "CRM-1", "gate"), amended("a2", "CRM-1", "dog")]).await.work.remove(0);
        let next = settled(fixture, &amend, unable()).await;
        assert_eq!(next[0].payload.as_ref().expect("a change")["reason"], "dog");
        settled(fixture, &next[0], nothing()).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.line.state, history.handovers[0].state), (RequestState::Held, HandoverState::Awaiting));
        let reason = history.line.reason.as_deref();
        assert_eq!(reason, Some("waste was not told what changed: it cannot take changes. Tell the team"));
        assert_eq!(fixture.hear(said("waste", "k1", "W-1", "Completed")).await, Correlated::Applied);
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.line.state, history.handovers[0].state), (RequestState::Held, HandoverState::Ended));
    }

    async fn a_refused_cancel_ends_as_the_mapping_says_and_a_refused_change_is_a_persons(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let cancel = fixture.accept(&[withdrawn("w1", "CRM-1")]).await.work.remove(0);
        assert_eq!(operations(&settled(fixture, &cancel, rejected(Disposition::Completed)).await), [Operation::Close]);
        assert_eq!(fixture.history("CRM-1").await.line.disposition, Some(Disposition::Completed));
        assert_eq!(fixture.hear(said("waste", "k1", "W-1", "Completed")).await, Correlated::Duplicate);

        fixture.deliver("CRM-2", "waste", "W-2").await;
        let amend = fixture.accept(&[amended("a2", "CRM-2", "gate")]).await.work.remove(0);
        assert!(settled(fixture, &amend, rejected(Disposition::Completed)).await.is_empty());
        let history = fixture.history("CRM-2").await;
        assert_eq!((history.line.state, history.handovers[0].state), (RequestState::Held, HandoverState::Ended));
    }

    async fn a_ticket_does_not_close_while_a_change_is_on_its_way(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let amend = fixture.accept(&[amended("a1", "CRM-1", "gate")]).await.work.remove(0);
        assert_eq!(fixture.hear(said("waste", "k1", "W-1", "Completed")).await, Correlated::Applied);
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.line.state, history.handovers[0].state), (RequestState::Open, HandoverState::Ended));
        settled(fixture, &amend, again(at(50), Phase::Send)).await;
        let amend = fixture.claim("waste", 9, at(51)).await.remove(0);
        assert_eq!(operations(&settled(fixture, &amend, nothing()).await), [Operation::Close]);

        fixture.deliver("CRM-2", "waste", "W-2").await;
        let amend = fixture.accept(&[amended("a2", "CRM-2", "gate")]).await.work.remove(0);
        fixture.hear(said("waste", "k2", "W-2", "Completed")).await;
        assert!(settled(fixture, &amend, park()).await.is_empty());
        assert_eq!(fixture.history("CRM-2").await.line.state, RequestState::Held);
    }

    async fn a_change_to_what_is_closed_or_withdrawn_is_a_persons(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let close = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await.work.remove(0);
        settled(fixture, &close, nothing()).await;
        fixture.accept(&[amended("a1", "CRM-1", "gate")]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Held);
        assert_eq!(history.line.reason.as_deref(), Some("the CRM sent amended after the ticket was closed"));

        fixture.deliver("CRM-2", "waste", "W-2").await;
        let written = fixture.accept(&[withdrawn("w2", "CRM-2"), amended("a2", "CRM-2", "gate")]).await;
        assert_eq!(operations(&written.work), [Operation::Cancel]);
        assert_eq!(fixture.history("CRM-2").await.line.reason.as_deref(), Some("the CRM sent amended after it was withdrawn"));
    }

    async fn what_lacks_something_is_not_with_the_system(fixture: &Fixture) {
        let create = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        settled(fixture, &create, Next::Park { class: ParkClass::Data, reason: "no uprn".into() }).await;
        assert!(fixture.accept(&[amended("a1", "CRM-1", "gate")]).await.work.is_empty());
        assert_eq!(fixture.history("CRM-1").await.handovers[0].waiting, 0);
        assert_eq!(operations(&fixture.accept(&[withdrawn("w1", "CRM-1")]).await.work), [Operation::Close]);
    }

    async fn a_change_that_comes_before_its_request_is_kept_and_goes_with_it(fixture: &Fixture) {
        let early = [amended("a1", "CRM-1", "gate"), amended("a1", "CRM-1", "gate"), withdrawn("w2", "CRM-2")];
        let written = fixture.accept(&early).await;
        assert_eq!(written.replies, [Ok(Accepted::Early), Ok(Accepted::DuplicateDelivery), Ok(Accepted::Early)]);
        let problems = fixture.ledger.problems(9).await.expect("problems");
        assert_eq!(problems.iter().filter(|problem| matches!(problem, Problem::Early { .. })).count(), 2);

        let free = fixture.lessee.room.of(&system("waste")).free();
        let written = fixture.accept(&[arrival("1", "CRM-1", &["waste"]), arrival("2", "CRM-2", &["waste"])]).await;
        assert_eq!(operations(&written.work), [Operation::Create, Operation::Close]);
        assert_eq!(fixture.lessee.room.of(&system("waste")).free(), free - 1, "its place is given back");
        assert_eq!(written.work[0].document["details"]["notes"], "gate");
        assert!(settled(fixture, &written.work[0], delivered("W-1")).await.is_empty());
        assert!(fixture.ledger.problems(9).await.expect("problems").is_empty());
        assert_eq!(fixture.accept(&[amended("a1", "CRM-1", "gate")]).await.replies, [Ok(Accepted::DuplicateDelivery)]);
    }

    async fn a_change_in_the_batch_of_its_request_finds_it(fixture: &Fixture) {
        let written = fixture.accept(&[amended("a1", "CRM-1", "gate"), arrival("1", "CRM-1", &["waste"])]).await;
        assert!(matches!(written.replies[..], [Ok(Accepted::New(_)), Ok(Accepted::New(_))]));
        assert_eq!(operations(&written.work), [Operation::Create]);
        assert_eq!(written.work[0].document["details"]["notes"], "gate");
    }

    async fn a_change_whose_request_never_comes_is_refused_and_answered(fixture: &Fixture) {
        fixture.accept(&[amended("a1", "CRM-1", "gate"), amended("a2", "CRM-1", "dog")]).await;
        let looked = fixture.ledger.settle_early(at(30), &fixture.lessee).await.expect("a look");
        assert_eq!(looked, 0, "it is too soon");
        let looked = fixture.ledger.settle_early(at(31), &fixture.lessee).await.expect("a look");
        assert_eq!(looked, 2);
        assert_eq!(fixture.ledger.settle_early(at(31), &fixture.lessee).await.expect("a look"), 0);
        let problems = fixture.ledger.problems(9).await.expect("problems");
        let Problem::Refused { ticket, path, .. } = &problems[0] else { panic!("{problems:?}") };
        assert_eq!((ticket.as_ref().map(|ticket| ticket.as_str()), path.as_deref()), (Some("CRM-1"), Some("ticket")));
        let events = fixture.ledger.claim_outbox(9, full_lessee().worker).await.expect("a claim");
        assert!(events.iter().all(|event| event.kind == Kind::Rejected), "{events:?}");
    }

    /// The request and its change pass each other in two transactions, so that neither sees the other.
    async fn a_change_that_was_missed_is_found_by_the_keeper(fixture: &Fixture) {
        let (other, other_lessee) = fixture.another().await;
        for round in 0..30 {
            let reference = format!("CRM-{round}");
            let batch = [arrival(&reference, &reference, &["waste"])];
            let change = [amended(&format!("a{round}"), &reference, "gate")];
            let full = full_lessee();
            let (one, two) =
                tokio::join!(fixture.ledger.accept(&batch, &full), other.accept(&change, &other_lessee));
            assert!(one.expect("accept").replies[0].is_ok());
            two.expect("accept");
            other.settle_early(at(0), &other_lessee).await.expect("a look");
        }
        assert!(fixture.ledger.problems(99).await.expect("problems").is_empty());
        let claimed = fixture.claim("waste", 99, at(99)).await;
        assert_eq!(claimed.len(), 30);
        for create in claimed {
            assert_eq!(create.document["details"]["notes"], json!("gate"), "{}", create.ticket);
        }
    }

    async fn changes_and_answers_that_cross_leave_one_live_call_and_lose_none(fixture: &Fixture) {
        let (other, other_lessee) = fixture.another().await;
        for round in 0..20 {
            let reference = format!("CRM-{round}");
            let create = fixture.submit(&reference, &["waste"]).await.remove(0);
            let changes = [amended(&format!("a{round}"), &reference, "one"), amended(&format!("b{round}"), &reference, "two")];
            let settlement = [settle(&create, delivered(&format!("W-{round}")))];
            let (recorded, accepted) = tokio::join!(
                fixture.ledger.record(&settlement, &fixture.lessee),
                other.accept(&changes, &other_lessee),
            );
            let mut live: Vec<Work> = recorded.expect("record").work;
            live.extend(accepted.expect("accept").work);
            let mut told = Vec::new();
            while let Some(work) = live.pop() {
                assert!(live.is_empty(), "two calls of one piece are live");
                told.push(work.payload.clone().expect("a change")["reason"].clone());
                live = other.record(&[settle(&work, nothing())], &other_lessee).await.expect("record").work;
                if live.is_empty() {
                    live = settle_under(fixture, &work).await;
                }
            }
            assert_eq!(told, [json!("one"), json!("two")], "round {round}");
        }
    }
}

/// Settles a call that the other router did not hold.
async fn settle_under(fixture: &Fixture, work: &Work) -> Vec<Work> {
    let written = fixture.record(&[settle(work, nothing())]).await;
    written.work
}
