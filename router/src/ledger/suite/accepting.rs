//! Deliveries that are understood.

use mappings::domain::{Disposition, HandoverState, Operation, RequestState};

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Accepted, Correlated, Recorded};

both! {
    async fn a_ticket_goes_round_the_loop_and_closes(fixture: &Fixture) {
        let written = fixture.accept(&[arrival("1", "CRM-1", &["waste"])]).await;
        assert_eq!(written.events.len(), 1);
        assert_eq!(operations(&written.work), [Operation::Create]);
        let work = &written.work[0];
        assert_eq!((work.attempt, work.lease.0, work.rescued), (1, 1, false));
        assert_eq!(work.document["summary"], "Grey bin missed");

        let written = fixture.record(&[settle(work, delivered("W-1"))]).await;
        assert_eq!(written.replies, [Ok(Recorded::Written)]);
        let written = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await;
        assert_eq!(written.replies, [Ok(Correlated::Applied)]);
        assert_eq!(operations(&written.work), [Operation::Close]);
        let close = &written.work[0];
        assert_eq!(close.system.as_str(), "crm");
        assert_eq!(close.document["summary"], "Grey bin missed");
        let payload = close.payload.as_ref().expect("a closure");
        assert_eq!(payload["disposition"], "completed");
        assert_eq!(payload["evidence"][0]["said"], "Completed");
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Closing);

        let written = fixture.record(&[settle(close, delivered("7"))]).await;
        assert_eq!(written.replies, [Ok(Recorded::Written)]);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closed);
        assert_eq!(history.line.disposition, Some(Disposition::Completed));
        assert_eq!(words(&history), ["ticket.accepted", "ticket.handed-over", "ticket.closed"]);
        assert!(history.handovers.iter().all(|handover| handover.state == HandoverState::Ended));
        assert_eq!(history.attempts.len(), 2);
        let counts = fixture.ledger.counts().await.expect("counts");
        assert_eq!((counts.due, counts.leased), (0, 0));
    }

    async fn a_second_delivery_is_recognised_in_a_batch_and_after_it(fixture: &Fixture) {
        let one = arrival("1", "CRM-1", &["waste"]);
        let written = fixture.accept(&[one.clone(), one.clone()]).await;
        assert!(matches!(written.replies[..], [Ok(Accepted::New(_)), Ok(Accepted::DuplicateDelivery)]));
        let written = fixture.accept(&[one]).await;
        assert_eq!(written.replies, [Ok(Accepted::DuplicateDelivery)]);
        assert!(written.work.is_empty() && written.events.is_empty());
        assert_eq!(fixture.ledger.counts().await.expect("counts").duplicates, 2);
    }
}
