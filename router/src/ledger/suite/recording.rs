//! What attempts come to.

use mappings::domain::{Disposition, HandoverState, ParkClass, Phase, RequestState};

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Next, Problem, Recorded};

both! {
    async fn a_delivered_call_awaits_completion_with_its_job(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let written = fixture.record(&[settle(&work, delivered("W-1"))]).await;
        assert_eq!(written.events[0].data["job"], "W-1");
        let handover = &fixture.history("CRM-1").await.handovers[0];
        assert_eq!(handover.state, HandoverState::Awaiting);
        assert_eq!(handover.due_at, None);
        assert_eq!(handover.attempts, 1);
    }

    async fn a_call_that_is_due_again_keeps_its_place_and_its_attempts(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.record(&[settle(&work, again(at(50), Phase::Send))]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.handovers[0].state, HandoverState::Due);
        assert_eq!(history.handovers[0].due_at, Some(at(50)));
        assert_eq!(history.attempts[0].attempt.outcome, "retry");
        assert_eq!(words(&history), ["ticket.accepted"]);
    }

    async fn a_refusal_in_known_words_ends_the_handover_and_closes_the_ticket(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let written = fixture.record(&[settle(&work, rejected(Disposition::Declined))]).await;
        assert_eq!(written.work.len(), 1);
        let evidence = &written.work[0].payload.as_ref().expect("a closure")["evidence"][0];
        assert_eq!(evidence["said"], "no_such_property");
        assert_eq!(evidence["at"], at(2).to_string());
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closing);
        assert_eq!(history.handovers[0].disposition, Some(Disposition::Declined));
    }

    async fn a_parked_call_waits_for_a_person_and_says_why(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let written = fixture.record(&[settle(&work, park())]).await;
        assert_eq!(written.events[0].data["class"], "uncertain");
        let history = fixture.history("CRM-1").await;
        assert!(history.line.parked);
        assert_eq!(history.line.state, RequestState::Open);
        assert_eq!(history.handovers[0].class, Some(ParkClass::Uncertain));
        let problems = fixture.ledger.problems(10).await.expect("problems");
        assert!(matches!(&problems[..], [Problem::Parked { reason, .. }] if reason == "the answer was lost"));
        assert!(fixture.claim("waste", 10, at(1000)).await.is_empty());
    }

    async fn an_event_finds_no_place_and_stays_in_the_outbox(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let mut lessee = full_lessee();
        lessee.worker = fixture.lessee.worker;
        let written = fixture.ledger.record(&[settle(&work, delivered("W-1"))], &lessee).await.expect("record");
        assert_eq!(written.replies, [Ok(Recorded::Written)]);
        assert!(written.events.is_empty());
        let events = fixture.ledger.claim_outbox(10, lessee.worker).await.expect("a claim");
        assert_eq!(events[0].kind.word(), "ticket.handed-over");
    }

    async fn a_closure_that_the_crm_refuses_is_held(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let close = fixture.record(&[settle(&work, rejected(Disposition::Declined))]).await.work.remove(0);
        fixture.record(&[settle(&close, rejected(Disposition::Declined))]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Held);
        assert_eq!(history.line.reason.as_deref(), Some("crm refused the closure: no_such_property"));
    }

    async fn a_closure_that_a_person_was_ahead_of_keeps_the_note(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let close = fixture.record(&[settle(&work, rejected(Disposition::Declined))]).await.work.remove(0);
        let note = Next::Delivered { job: None, note: Some("was closed by a person already".into()) };
        fixture.record(&[settle(&close, note)]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closed);
        let closure = history.handovers.last().expect("a closure");
        assert!(closure.closure);
        assert_eq!(closure.reason.as_deref(), Some("was closed by a person already"));
    }

    async fn a_parked_closure_leaves_the_ticket_closing(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let close = fixture.record(&[settle(&work, rejected(Disposition::Declined))]).await.work.remove(0);
        fixture.record(&[settle(&close, park())]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closing);
        assert!(history.line.parked);
    }
}
