//! Events, from the outbox and nowhere else.

use std::collections::HashSet;

use uuid::Uuid;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Lessee, Outbox, WorkerId};

both! {
    async fn a_published_event_leaves_the_outbox_and_stays_in_the_timeline(fixture: &Fixture) {
        let written = fixture.accept(&[arrival("1", "CRM-1", &["waste"])]).await;
        assert_eq!(fixture.ledger.counts().await.expect("counts").outbox, 1);
        assert!(fixture.ledger.claim_outbox(10, fixture.lessee.worker).await.expect("a claim").is_empty());
        fixture.ledger.mark_published(&[written.events[0].id]).await.expect("published");
        assert_eq!(fixture.ledger.counts().await.expect("counts").outbox, 0);
        assert_eq!(fixture.history("CRM-1").await.events, written.events);
    }

    async fn events_are_claimed_oldest_first_and_once(fixture: &Fixture) {
        let full = full_lessee();
        for n in 0..3 {
            let arrival = arrival(&n.to_string(), &format!("CRM-{n}"), &["waste"]);
            fixture.ledger.accept(&[arrival], &full).await.expect("accept");
        }
        let (other, other_lessee) = fixture.another().await;
        let first = fixture.ledger.claim_outbox(2, fixture.lessee.worker).await.expect("a claim");
        let second = other.claim_outbox(9, other_lessee.worker).await.expect("a claim");
        let tickets: Vec<_> = first.iter().chain(&second).filter_map(|event| event.ticket.clone()).collect();
        assert_eq!(tickets, [ticket("CRM-0"), ticket("CRM-1"), ticket("CRM-2")]);
    }

    async fn two_routers_that_claim_events_at_once_never_get_the_same(fixture: &Fixture) {
        let batch: Vec<_> =
            (0..200).map(|n| arrival(&n.to_string(), &format!("CRM-{n}"), &["waste"])).collect();
        fixture.ledger.accept(&batch, &full_lessee()).await.expect("accept");
        let (other, other_lessee) = fixture.another().await;
        let mut seen = HashSet::new();
        while seen.len() < 200 {
            let (one, two) = tokio::join!(
                fixture.ledger.claim_outbox(30, fixture.lessee.worker),
                other.claim_outbox(30, other_lessee.worker),
            );
            let claimed: Vec<_> = one.expect("a claim").into_iter().chain(two.expect("a claim")).collect();
            assert!(!claimed.is_empty());
            assert!(claimed.into_iter().all(|event| seen.insert(event.id)));
        }
    }

    async fn without_a_broker_events_are_kept_in_the_timeline_only(fixture: &Fixture) {
        let lessee = Lessee { outbox: Outbox::Off, ..fixture.lessee.clone() };
        let written = fixture.ledger.accept(&[arrival("1", "CRM-1", &["waste"])], &lessee).await.expect("accept");
        assert!(written.events.is_empty());
        assert_eq!(fixture.ledger.counts().await.expect("counts").outbox, 0);
        assert_eq!(words(&fixture.history("CRM-1").await), ["ticket.accepted"]);
    }

    async fn events_of_a_dead_worker_are_published_by_others(fixture: &Fixture) {
        fixture.submit("CRM-1", &["waste"]).await;
        let heir = WorkerId(Uuid::now_v7());
        fixture.ledger.heartbeat(heir, at(60)).await.expect("a heartbeat");
        assert_eq!(fixture.ledger.rescue(at(30)).await.expect("a rescue").events, 1);
        assert_eq!(fixture.ledger.claim_outbox(10, heir).await.expect("a claim").len(), 1);
    }
}
