//! Who may make a call, and who may not any more.

use std::collections::HashSet;

use mappings::domain::{CallId, HandoverState, Phase};
use uuid::Uuid;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Deferral, Next, Recorded, Rescued, WorkerId};

async fn backlog(fixture: &Fixture, most: usize) {
    let batch: Vec<_> = (0..most).map(|n| arrival(&n.to_string(), &format!("CRM-{n}"), &["waste"])).collect();
    let written = fixture.ledger.accept(&batch, &full_lessee()).await.expect("accept");
    assert!(written.work.is_empty());
}

both! {
    async fn a_call_is_claimed_once_it_is_due_and_its_attempts_are_counted(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.record(&[settle(&work, again(at(100), Phase::LookUp))]).await;
        assert!(fixture.claim("waste", 10, at(99)).await.is_empty());
        assert!(fixture.claim("housing", 10, at(100)).await.is_empty());
        let second = fixture.claim("waste", 10, at(100)).await.remove(0);
        assert_eq!((second.attempt, second.lease.0), (2, 2));
        assert_eq!((second.call, second.phase), (work.call, Phase::LookUp));
        assert!(!second.rescued && !second.begun);
        assert!(fixture.claim("waste", 10, at(100)).await.is_empty());
    }

    async fn the_longest_due_is_claimed_first_and_no_more_than_asked_for(fixture: &Fixture) {
        let mut works = Vec::new();
        for n in [3, 1, 2] {
            let work = fixture.submit(&format!("CRM-{n}"), &["waste"]).await.remove(0);
            fixture.record(&[settle(&work, again(at(n), Phase::Send))]).await;
            works.push((n, work.call));
        }
        works.sort_by_key(|(n, _)| *n);
        let claimed: Vec<CallId> = fixture.claim("waste", 2, at(10)).await.iter().map(|work| work.call).collect();
        assert_eq!(claimed, [works[0].1, works[1].1]);
        assert!(fixture.claim("waste", 0, at(10)).await.is_empty());
        assert_eq!(fixture.claim("waste", 9, at(10)).await.len(), 1);
    }

    async fn two_routers_that_claim_at_once_never_get_the_same_call(fixture: &Fixture) {
        backlog(fixture, 200).await;
        let (other, other_lessee) = fixture.another().await;
        let mut seen = HashSet::new();
        while seen.len() < 200 {
            let waste = system("waste");
            let (one, two) = tokio::join!(
                fixture.ledger.claim_due(&waste, 30, at(10), fixture.lessee.worker),
                other.claim_due(&waste, 30, at(10), other_lessee.worker),
            );
            let claimed: Vec<_> = one.expect("a claim").into_iter().chain(two.expect("a claim")).collect();
            assert!(!claimed.is_empty());
            for work in claimed {
                assert!(seen.insert(work.call), "{} was claimed twice", work.call);
            }
        }
    }

    async fn a_zombie_whose_lease_passed_on_can_neither_begin_nor_record(fixture: &Fixture) {
        let (zombie, zombie_lessee) = fixture.another().await;
        let written = zombie.accept(&[arrival("1", "CRM-1", &["waste"])], &zombie_lessee).await.expect("accept");
        let old = &written.work[0];
        fixture.ledger.heartbeat(fixture.lessee.worker, at(60)).await.expect("a heartbeat");
        let rescued = fixture.ledger.rescue(at(30)).await.expect("a rescue");
        assert_eq!(rescued, Rescued { calls: 1, events: 1 });
        assert!(zombie.heartbeat(zombie_lessee.worker, at(30)).await.expect("a heartbeat").forgotten);
        assert!(!zombie.heartbeat(zombie_lessee.worker, at(31)).await.expect("a heartbeat").forgotten);

        // Freed but not yet taken.
        let begun = zombie.begin(&[(old.call, old.council.clone(), old.lease)]).await.expect("begin");
        assert_eq!(begun, [Recorded::LeaseLost]);
        let late = zombie.record(&[settle(old, delivered("W-1"))], &zombie_lessee).await.expect("record");
        assert_eq!(late.replies, [Ok(Recorded::LeaseLost)]);

        // Taken by another.
        let new = fixture.claim("waste", 1, at(60)).await.remove(0);
        assert!(new.rescued);
        assert_eq!((new.attempt, new.lease.0), (2, 2));
        let begun = zombie.begin(&[(old.call, old.council.clone(), old.lease)]).await.expect("begin");
        assert_eq!(begun, [Recorded::LeaseLost]);
        let late = zombie.record(&[settle(old, delivered("W-1"))], &zombie_lessee).await.expect("record");
        assert_eq!(late.replies, [Ok(Recorded::LeaseLost)]);
        assert!(late.events.is_empty());

        // Even with the number of the new lease: it is held by another.
        let late = zombie.record(&[settle(&new, delivered("W-1"))], &zombie_lessee).await.expect("record");
        assert_eq!(late.replies, [Ok(Recorded::LeaseLost)]);
        let on_time = fixture.record(&[settle(&new, delivered("W-2"))]).await;
        assert_eq!(on_time.replies, [Ok(Recorded::Written)]);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.attempts.len(), 1);
        assert_eq!(history.handovers[0].job.as_ref().map(|job| job.as_str()), Some("W-2"));
    }

    async fn a_worker_that_took_its_call_again_cannot_write_under_the_old_lease(fixture: &Fixture) {
        let old = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        // Thought dead for a while: freed, then taken again by the same worker.
        fixture.ledger.rescue(at(30)).await.expect("a rescue");
        let new = fixture.claim("waste", 1, at(60)).await.remove(0);
        let old_begun = [(old.call, old.council.clone(), old.lease)];
        assert_eq!(fixture.ledger.begin(&old_begun).await.expect("begin"), [Recorded::LeaseLost]);
        for next in [delivered("W-1"), again(at(90), Phase::Send)] {
            assert_eq!(fixture.record(&[settle(&old, next)]).await.replies, [Ok(Recorded::LeaseLost)]);
        }
        assert_eq!(fixture.record(&[settle(&new, delivered("W-2"))]).await.replies, [Ok(Recorded::Written)]);
    }

    async fn a_worker_that_lives_keeps_what_it_holds(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.ledger.heartbeat(fixture.lessee.worker, at(60)).await.expect("a heartbeat");
        assert_eq!(fixture.ledger.rescue(at(30)).await.expect("a rescue"), Rescued::default());
        let written = fixture.record(&[settle(&work, delivered("W-1"))]).await;
        assert_eq!(written.replies, [Ok(Recorded::Written)]);
    }

    async fn what_a_dead_worker_had_begun_is_told_to_its_heir(fixture: &Fixture) {
        let works = fixture.submit("CRM-1", &["waste", "housing"]).await;
        let begun = [(works[0].call, works[0].council.clone(), works[0].lease)];
        assert_eq!(fixture.ledger.begin(&begun).await.expect("begin"), [Recorded::Written]);
        let (_, heir) = fixture.another().await;
        fixture.ledger.heartbeat(heir.worker, at(60)).await.expect("a heartbeat");
        fixture.ledger.rescue(at(30)).await.expect("a rescue");
        let waste = fixture.ledger.claim_due(&system("waste"), 1, at(60), heir.worker).await.expect("a claim");
        assert!(waste[0].rescued && waste[0].begun);
        let housing = fixture.ledger.claim_due(&system("housing"), 1, at(60), heir.worker).await.expect("a claim");
        assert!(housing[0].rescued && !housing[0].begun);

        // Once it is put back on purpose, nothing is in doubt any more.
        let written = fixture.ledger.record(&[settle(&waste[0], again(at(70), Phase::Send))], &heir).await;
        assert_eq!(written.expect("record").replies, [Ok(Recorded::Written)]);
        let third = fixture.claim("waste", 1, at(70)).await.remove(0);
        assert!(!third.rescued && !third.begun);
        assert_eq!(third.attempt, 3);
    }

    async fn a_worker_that_stops_gives_back_what_it_has_not_begun(fixture: &Fixture) {
        let works = fixture.submit("CRM-1", &["waste", "housing"]).await;
        let begun = [(works[0].call, works[0].council.clone(), works[0].lease)];
        fixture.ledger.begin(&begun).await.expect("begin");
        fixture.ledger.release(fixture.lessee.worker).await.expect("a release");
        let heir = WorkerId(Uuid::now_v7());
        let claim = async |name: &str| {
            fixture.ledger.claim_due(&system(name), 1, at(10), heir).await.expect("a claim").len()
        };
        assert_eq!(claim("housing").await, 1);
        assert_eq!(claim("waste").await, 0);
        assert_eq!(fixture.ledger.claim_outbox(10, heir).await.expect("a claim").len(), 1);
        // What it had begun is freed by the next rescue, since the worker is forgotten.
        fixture.ledger.heartbeat(heir, at(60)).await.expect("a heartbeat");
        assert_eq!(fixture.ledger.rescue(at(0)).await.expect("a rescue").calls, 1);
        assert_eq!(claim("waste").await, 1);
    }

    async fn a_call_that_is_settled_twice_in_one_batch_is_settled_by_the_first(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let written = fixture.record(&[settle(&work, delivered("W-1")), settle(&work, park())]).await;
        assert_eq!(written.replies, [Ok(Recorded::Written), Ok(Recorded::LeaseLost)]);
        assert_eq!(fixture.history("CRM-1").await.handovers[0].state, HandoverState::Awaiting);
        let other = fixture.submit("CRM-2", &["waste"]).await.remove(0);
        let batch = [settle(&other, again(at(5), Phase::Send)), settle(&other, again(at(9), Phase::LookUp))];
        let written = fixture.record(&batch).await;
        assert_eq!(written.replies, [Ok(Recorded::Written), Ok(Recorded::LeaseLost)]);
        assert_eq!(fixture.claim("waste", 1, at(5)).await[0].phase, Phase::Send);
    }

    async fn a_lease_that_passed_on_does_not_stand_in_the_way_of_the_one_that_followed(fixture: &Fixture) {
        // As when an outcome was written, its answer was lost, and it is handed in again with that of the next attempt.
        let twice = async |ticket: &str| {
            let old = fixture.submit(ticket, &["waste"]).await.remove(0);
            fixture.record(&[settle(&old, again(at(0), Phase::Send))]).await;
            let new = fixture.claim("waste", 1, at(0)).await.remove(0);
            assert_eq!(new.call, old.call);
            (old, new)
        };
        let one_of_two = [Ok(Recorded::LeaseLost), Ok(Recorded::Written)];
        let ends = [
            ("CRM-1", again(at(5), Phase::Send), again(at(90), Phase::LookUp)),
            ("CRM-2", again(at(5), Phase::Send), delivered("W-2")),
            ("CRM-3", delivered("W-3"), again(at(90), Phase::LookUp)),
            ("CRM-4", park(), delivered("W-4")),
        ];
        for (ticket, stale, next) in ends {
            let (old, new) = twice(ticket).await;
            let written = fixture.record(&[settle(&old, stale), settle(&new, next.clone())]).await;
            assert_eq!(written.replies, one_of_two, "{ticket}");
            let job = fixture.history(ticket).await.handovers[0].job.clone();
            let expected = if let Next::Delivered { job, .. } = next { job } else { None };
            assert_eq!(job, expected, "{ticket}");
        }
        let due = fixture.claim("waste", 9, at(90)).await;
        assert_eq!(due.iter().map(|work| work.phase).collect::<Vec<_>>(), [Phase::LookUp, Phase::LookUp]);

        let (old, new) = twice("CRM-5").await;
        let both = [&old, &new].map(|work| (work.call, work.council.clone(), work.lease));
        let begun = fixture.ledger.begin(&both).await.expect("begin");
        assert_eq!(begun, [Recorded::LeaseLost, Recorded::Written]);
        let (old, new) = twice("CRM-6").await;
        let both = [&old, &new].map(|work| Deferral {
            call: work.call,
            council: work.council.clone(),
            lease: work.lease,
            at: None,
        });
        let given = fixture.ledger.defer(&both, fixture.lessee.worker).await.expect("given back");
        assert_eq!(given, [Recorded::LeaseLost, Recorded::Written]);
        assert_eq!(fixture.claim("waste", 1, at(0)).await[0].attempt, new.attempt, "no attempt is counted");
    }

    async fn the_database_tells_the_time(fixture: &Fixture) {
        let first = fixture.ledger.now().await.expect("a time");
        let second = fixture.ledger.now().await.expect("a time");
        assert!(second >= first);
        assert!(first > jiff::Timestamp::from_second(1_700_000_000).expect("a time"));
    }
}
