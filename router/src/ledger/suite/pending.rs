//! Work that a system has, and of which it says the rest later: a token first, and then the job's number.

use jiff::Timestamp;
use mappings::domain::{HandoverState, Job, Operation, ParkClass, Phase, RequestState};
use serde_json::{Value, json};

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Correlated, Next, Recorded, Work};

fn carried() -> Value {
    json!({"next": "number", "changed": "submit", "job": "T-1", "steps": {"submit": {"body": {"token": "T-1"}}}})
}

fn pending(due: Timestamp) -> Next {
    Next::Pending { at: due, job: Job::parse("T-1").ok(), reason: "no number yet".into(), carried: carried() }
}

/// Has a call under way come to this.
async fn comes_to(fixture: &Fixture, work: &Work, next: Next) {
    let written = fixture.record(&[settle(work, next)]).await;
    assert_eq!(written.replies, [Ok(Recorded::Written)]);
}

/// A ticket whose order was taken under a token; the call that asks for its number, due at `at(50)`.
async fn ordered(fixture: &Fixture) -> Work {
    let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
    assert_eq!(work.carried, None);
    comes_to(fixture, &work, pending(at(50))).await;
    fixture.claim("waste", 10, at(50)).await.remove(0)
}

both! {
    async fn work_under_a_token_is_handed_over_and_its_call_goes_on_where_it_stopped(fixture: &Fixture) {
        let work = ordered(fixture).await;
        assert_eq!((work.carried, work.attempt, work.phase), (Some(carried()), 2, Phase::Send));
        assert_eq!(work.job.as_ref().map(Job::as_str), Some("T-1"));
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.handovers[0].state, HandoverState::Awaiting);
        assert_eq!(history.handovers[0].reason.as_deref(), Some("no number yet"));
        assert_eq!(words(&history), ["ticket.accepted", "ticket.handed-over"]);
    }

    async fn what_was_carried_out_is_known_to_whoever_takes_the_call_over(fixture: &Fixture) {
        let work = ordered(fixture).await;
        fixture.ledger.begin(&[(work.call, work.council.clone(), work.lease)]).await.expect("begun");
        let (_, heir) = fixture.another().await;
        fixture.ledger.heartbeat(heir.worker, at(60)).await.expect("a heartbeat");
        fixture.ledger.rescue(at(55)).await.expect("a rescue");
        let taken = fixture.ledger.claim_due(&system("waste"), 1, at(60), heir.worker).await.expect("a claim");
        assert!(taken[0].rescued && taken[0].begun && taken[0].carried == Some(carried()));
    }

    async fn the_number_takes_the_place_of_the_token_and_a_word_by_either_is_heard(fixture: &Fixture) {
        let early = fixture.hear(said("waste", "k1", "293944", "In Progress")).await;
        assert_eq!(early, Correlated::Waiting, "nobody knows the number yet");
        let work = ordered(fixture).await;
        let by_token = fixture.hear(said("waste", "k2", "T-1", "Scheduled")).await;
        assert_eq!(by_token, Correlated::Applied);
        comes_to(fixture, &work, delivered("293944")).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.handovers[0].job.as_ref().map(Job::as_str), Some("293944"));
        assert_eq!(history.handovers[0].due_at, None);
        let of = |word: &str| history.completions.iter().any(|heard| {
            heard.completion.said == word && heard.correlated == Correlated::Applied
        });
        assert!(of("In Progress"), "what came before the number was heard with it");
        assert_eq!(words(&history).iter().filter(|word| **word == "ticket.handed-over").count(), 1, "once");
        assert_eq!(fixture.hear(said("waste", "k3", "T-1", "Scheduled")).await, Correlated::Applied, "still known");
        assert_eq!(fixture.hear(said("waste", "k4", "293944", "Completed")).await, Correlated::Applied);
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Closing);
    }

    async fn work_that_ends_before_its_number_comes_closes_and_what_is_left_of_the_call_changes_nothing(fixture: &Fixture) {
        let park = || Next::Park { class: ParkClass::Refused, reason: "no such token".into() };
        let ends = [delivered("293944"), park(), rejected(mappings::domain::Disposition::Declined)];
        for (number, next) in ends.into_iter().enumerate() {
            let name = format!("CRM-{number}");
            let token = format!("T-{name}");
            let work = fixture.submit(&name, &["waste"]).await.remove(0);
            let job = Job::parse(&token).ok();
            comes_to(fixture, &work, Next::Pending {
                at: at(50), job, reason: "no number yet".into(), carried: carried(),
            }).await;
            let heard = fixture.hear(said("waste", &token, &token, "Completed")).await;
            assert_eq!(heard, Correlated::Applied);
            let claimed = fixture.claim("waste", 10, at(50)).await.remove(0);
            comes_to(fixture, &claimed, next).await;
            let history = fixture.history(&name).await;
            assert_eq!(history.line.state, RequestState::Closing, "{name}");
            assert_eq!(history.handovers[0].state, HandoverState::Ended);
            assert_eq!(history.handovers.iter().filter(|handover| handover.closure).count(), 1);
        }
    }

    async fn a_change_waits_until_the_number_is_known(fixture: &Fixture) {
        let work = ordered(fixture).await;
        let amended = mappings::domain::Revision::Amended;
        let data = json!({"summary": "Two bins"});
        fixture.accept(&[revised("change-1", "CRM-1", amended, data)]).await;
        assert!(fixture.claim("waste", 10, at(60)).await.is_empty(), "one thing at a time");
        comes_to(fixture, &work, pending(at(70))).await;
        let work = fixture.claim("waste", 10, at(70)).await.remove(0);
        let written = fixture.record(&[settle(&work, delivered("293944"))]).await;
        assert_eq!(operations(&written.work), [Operation::Amend]);
        assert_eq!(written.work[0].job.as_ref().map(Job::as_str), Some("293944"), "it goes to the number");
        assert_eq!(written.work[0].carried, None, "and begins at its beginning");
    }
}
