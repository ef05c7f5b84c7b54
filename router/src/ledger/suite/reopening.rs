//! Tickets that are opened again after they closed.

use mappings::domain::{Disposition, HandoverState, Operation, RequestState, Revision};
use serde_json::json;

use super::fixture::*;
use super::{Fixture, both};
use crate::event::Kind;
use crate::ledger::{Accepted, Arrival, Completion, Correlated, Next, Recorded};

fn reopened(delivery: &str, ticket: &str) -> Arrival {
    revised(delivery, ticket, Revision::Reopened, json!({"reason": "it is still there"}))
}

/// Closes a ticket whose job is `<ticket>-1`.
async fn closed(fixture: &Fixture, reference: &str) {
    let job = format!("{reference}-1");
    fixture.deliver(reference, "waste", &job).await;
    let close =
        fixture.complete(&[said("waste", &format!("k{reference}"), &job, "Completed")]).await.work.remove(0);
    fixture.record(&[settle(&close, Next::Delivered { job: None, note: None })]).await;
    assert_eq!(fixture.history(reference).await.line.state, RequestState::Closed);
}

both! {
    async fn a_ticket_that_is_opened_again_reaches_the_system_again(fixture: &Fixture) {
        closed(fixture, "CRM-1").await;
        let before = fixture.history("CRM-1").await;
        let written = fixture.accept(&[reopened("r1", "CRM-1")]).await;
        let [Ok(Accepted::New(request))] = written.replies[..] else { panic!("{:?}", written.replies) };
        assert_ne!(request, before.line.request);
        assert_eq!(operations(&written.work), [Operation::Create]);
        let create = &written.work[0];
        assert_eq!(create.payload.as_ref().expect("a change")["reason"], "it is still there");
        assert_eq!((create.request, &create.document["summary"]), (request, &json!("Grey bin missed")));
        assert_eq!(written.events.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::Reopened]);
        assert_eq!(written.events[0].data["opening"], 2);
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.line.request, history.line.state), (request, RequestState::Open));
        assert_eq!(history.line.raised_at, at(30), "the clock starts anew");

        fixture.record(&[settle(create, delivered("CRM-1-2"))]).await;
        let close = fixture.complete(&[said("waste", "k2", "CRM-1-2", "Completed")]).await.work;
        assert_eq!(operations(&close), [Operation::Close]);
    }

    async fn news_of_the_earlier_job_never_closes_what_was_opened_again(fixture: &Fixture) {
        closed(fixture, "CRM-1").await;
        let create = fixture.accept(&[reopened("r1", "CRM-1")]).await.work.remove(0);
        fixture.record(&[settle(&create, delivered("CRM-1-2"))]).await;
        for (key, word) in [("k2", "Completed"), ("k3", "Not Out")] {
            let named = Completion { reference: Some(ticket("CRM-1")), ..said("waste", key, "CRM-1-1", word) };
            let written = fixture.complete(&[named]).await;
            assert!(written.work.is_empty());
            assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Open, "{word}");
        }
        // Our reference alone may mean either.
        assert_eq!(fixture.hear(said_of("waste", "k4", "CRM-1", "Completed")).await, Correlated::Held);
        let history = fixture.history("CRM-1").await;
        assert_eq!((history.line.state, history.handovers[0].state), (RequestState::Held, HandoverState::Awaiting));
        assert!(history.line.reason.is_some_and(|reason| reason.contains("before the ticket was opened again")));
    }

    async fn the_answer_to_the_new_order_may_come_after_its_completion(fixture: &Fixture) {
        closed(fixture, "CRM-1").await;
        let create = fixture.accept(&[reopened("r1", "CRM-1")]).await.work.remove(0);
        let early = Completion { reference: Some(ticket("CRM-1")), ..said("waste", "k2", "CRM-1-2", "Completed") };
        assert_eq!(fixture.hear(early).await, Correlated::Waiting);
        let written = fixture.record(&[settle(&create, delivered("CRM-1-2"))]).await;
        assert_eq!(operations(&written.work), [Operation::Close]);
    }

    async fn a_closure_that_the_crm_has_not_taken_is_not_repeated(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let close = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await.work.remove(0);
        let written = fixture.accept(&[reopened("r1", "CRM-1")]).await;
        assert_eq!(operations(&written.work), [Operation::Create]);
        let late = fixture.record(&[settle(&close, again(at(60), close.phase))]).await;
        assert_eq!(late.replies, [Ok(Recorded::LeaseLost)]);
        assert!(fixture.claim("crm", 9, at(99)).await.is_empty());
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Open);
        let counts = fixture.ledger.counts().await.expect("counts");
        assert_eq!(counts.tickets.iter().map(|(state, ..)| *state).collect::<Vec<_>>(), [RequestState::Closed, RequestState::Open]);
    }

    async fn a_ticket_that_is_open_is_opened_again_without_effect(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let written = fixture.accept(&[reopened("r1", "CRM-1")]).await;
        assert!(written.work.is_empty());
        assert_eq!(written.events.iter().map(|event| event.kind).collect::<Vec<_>>(), [Kind::Reopened]);
        let close = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await.work;
        assert_eq!(operations(&close), [Operation::Close]);
        // Held, it waits for the person as before.
        fixture.deliver("CRM-2", "waste", "W-2").await;
        fixture.hear(said("waste", "k2", "W-2", "No Access")).await;
        assert!(fixture.accept(&[reopened("r2", "CRM-2")]).await.work.is_empty());
        assert_eq!(fixture.history("CRM-2").await.line.state, RequestState::Held);
    }

    async fn what_follows_a_reopening_in_its_batch_is_about_the_new_opening(fixture: &Fixture) {
        closed(fixture, "CRM-1").await;
        let data = json!({"reason": "and the lid", "details": {"notes": "the lid too"}});
        let batch = [reopened("r1", "CRM-1"), revised("a1", "CRM-1", Revision::Amended, data)];
        let written = fixture.accept(&batch).await;
        assert_eq!(operations(&written.work), [Operation::Create]);
        assert_eq!(written.work[0].document["details"]["notes"], "the lid too");
        let withdrawn = revised("w1", "CRM-1", Revision::Withdrawn, json!({}));
        assert!(fixture.accept(&[withdrawn]).await.work.is_empty(), "the order is under way");
    }

    async fn two_routers_that_open_a_ticket_again_at_once_open_it_once(fixture: &Fixture) {
        let (other, other_lessee) = fixture.another().await;
        for round in 0..10 {
            let reference = format!("CRM-{round}");
            closed(fixture, &reference).await;
            let (ours, theirs) = ([reopened(&format!("a{round}"), &reference)], [reopened(&format!("b{round}"), &reference)]);
            let (one, two) = tokio::join!(
                fixture.ledger.accept(&ours, &fixture.lessee),
                other.accept(&theirs, &other_lessee),
            );
            let work = [one.expect("accept").work, two.expect("accept").work].concat();
            assert_eq!(operations(&work), [Operation::Create]);
        }
    }

    async fn a_ticket_that_closed_as_withdrawn_can_be_opened_again(fixture: &Fixture) {
        let batch = [arrival_of("epping", "1", "T-1", &["waste"])];
        fixture.ledger.accept(&batch, &full_lessee()).await.expect("accept");
        let withdrawn = revised_of("epping", "w1", "T-1", Revision::Withdrawn, json!({}));
        let reopened = revised_of("epping", "r1", "T-1", Revision::Reopened, json!({"raised_at": "2026-12-01T08:00:00Z"}));
        let written = fixture.accept(&[withdrawn, reopened]).await;
        assert_eq!(operations(&written.work), [Operation::Create]);
        let history = fixture.ledger.ticket(None, &ticket("T-1")).await.expect("a read").expect("a ticket");
        assert_eq!(history.line.raised_at.to_string(), "2026-12-01T08:00:00Z");
        let written = fixture.record(&[settle(&written.work[0], rejected(Disposition::Declined))]).await;
        assert_eq!(written.replies, [Ok(Recorded::Written)]);
    }
}
