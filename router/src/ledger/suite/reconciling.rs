//! When systems are asked about their open jobs, by whom, and what that came to.

use mappings::domain::HandoverId;
use serde_json::json;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Lessee, Reconciled, Turn};

/// A turn to ask, held for ten minutes; a system never seen is due an hour later.
fn turn(lessee: &Lessee, now: i64, at_once: bool) -> Turn {
    Turn { worker: lessee.worker, now: at(now), first: at(now + 3_600), until: at(now + 600), at_once }
}

fn reconciled(ended_at: i64, due_at: i64, whole: bool) -> Reconciled {
    Reconciled { ended_at: at(ended_at), due_at: at(due_at), whole, report: json!({"asked": 3}) }
}

both! {
    async fn a_system_is_asked_by_one_worker_when_it_is_due(fixture: &Fixture) {
        let (other, other_lessee) = fixture.another().await;
        let waste = system("waste");
        let claim = async |now, at_once| {
            fixture.ledger.claim_reconciliation(&waste, &turn(&fixture.lessee, now, at_once)).await.expect("a claim")
        };
        let claim_other = async |now, at_once| {
            other.claim_reconciliation(&waste, &turn(&other_lessee, now, at_once)).await.expect("a claim")
        };
        assert!(!claim(0, false).await, "one that was never seen is due later");
        assert!(!claim(3_599, false).await);
        assert!(claim(3_600, false).await);
        assert!(!claim_other(3_700, true).await, "another is at it");
        assert!(claim(3_700, false).await, "the turn is kept");
        assert!(!claim_other(4_299, false).await);
        assert!(claim_other(4_300, false).await, "who died does not keep others from it");
        let outcome = reconciled(4_400, 8_000, true);
        let late = fixture.ledger.record_reconciliation(&waste, fixture.lessee.worker, &outcome);
        assert!(!late.await.expect("a write"), "who lost the turn writes nothing");
        let kept = other.record_reconciliation(&waste, other_lessee.worker, &outcome);
        assert!(kept.await.expect("a write"));
        assert!(!claim(7_999, false).await);
        assert!(claim(5_000, true).await, "a person need not wait");
    }

    async fn a_pause_between_comparisons_that_was_made_shorter_holds_at_once(fixture: &Fixture) {
        let waste = system("waste");
        let claim = async |now: i64, every: i64| {
            let turn = Turn { first: at(now + every), ..turn(&fixture.lessee, now, false) };
            fixture.ledger.claim_reconciliation(&waste, &turn).await.expect("a claim")
        };
        assert!(!claim(0, 86_400).await, "due in a day");
        assert!(!claim(60, 600).await, "due in ten minutes from now on");
        assert!(!claim(659, 86_400).await);
        assert!(claim(660, 86_400).await);
    }

    async fn two_routers_at_once_take_one_turn_to_reconcile(fixture: &Fixture) {
        let (other, lessee) = fixture.another().await;
        let waste = system("waste");
        for round in 0..20 {
            let (one, two) = (turn(&fixture.lessee, round * 600, true), turn(&lessee, round * 600, true));
            let (one, two) = tokio::join!(
                fixture.ledger.claim_reconciliation(&waste, &one),
                other.claim_reconciliation(&waste, &two)
            );
            let taken = [one.expect("a claim"), two.expect("a claim")];
            assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{taken:?}");
        }
    }

    async fn a_gap_makes_a_system_due_until_it_was_asked_about_all(fixture: &Fixture) {
        let waste = system("waste");
        let claim = async |now| {
            fixture.ledger.claim_reconciliation(&waste, &turn(&fixture.lessee, now, false)).await.expect("a claim")
        };
        assert!(!claim(0).await);
        fixture.ledger.tell_gap(&waste, Some("nobody asked"), at(10)).await.expect("told");
        fixture.ledger.tell_gap(&system("partner"), Some("nobody asked"), at(10)).await.expect("told");
        assert!(claim(10).await);
        let record = async |outcome: Reconciled| {
            fixture.ledger.record_reconciliation(&waste, fixture.lessee.worker, &outcome).await.expect("a write")
        };
        record(reconciled(11, 12, false)).await;
        let asked = fixture.ledger.asked().await.expect("a read");
        let names: Vec<&str> = asked.iter().map(|asked| asked.system.as_str()).collect();
        assert_eq!(names, ["partner", "waste"]);
        assert_eq!((asked[1].why.as_deref(), asked[1].due_at), (Some("nobody asked"), Some(at(12))));
        assert!(claim(12).await);
        record(reconciled(13, 99, true)).await;
        fixture.ledger.claim_poll(&waste, at(0), MINUTE).await.expect("a turn");
        fixture.ledger.advance_poll(&waste, at(50)).await.expect("moved");
        let asked = fixture.ledger.asked().await.expect("a read").remove(1);
        assert_eq!((asked.why, asked.polled_to), (None, Some(at(50))));
        assert_eq!(asked.last, Some((at(13), json!({"asked": 3}))));
        let changes = fixture.ledger.system_changes(9).await.expect("changes");
        assert_eq!(changes.iter().filter(|change| change.change == "gap").count(), 2);
    }

    async fn open_jobs_are_read_page_by_page_with_what_is_known_of_them(fixture: &Fixture) {
        for n in 1..=5 {
            fixture.deliver(&format!("CRM-{n}"), "waste", &format!("W-{n}")).await;
        }
        fixture.deliver("CRM-6", "housing", "H-6").await;
        fixture.submit("CRM-7", &["waste"]).await;
        fixture.hear(timed(said("waste", "k2", "W-2", "In Progress"), 5)).await;
        fixture.hear(said("waste", "k4", "W-4", "Completed")).await;
        let (mut place, mut jobs, mut pages): (Option<(_, HandoverId)>, Vec<_>, _) = (None, Vec::new(), 0);
        loop {
            let page = fixture.ledger.open_jobs(&system("waste"), place, 3).await.expect("a page");
            let Some(last) = page.last() else { break };
            (place, pages) = (Some(last.place), pages + 1);
            jobs.extend(page);
        }
        jobs.sort_by_key(|job| job.check.job.to_string());
        let names: Vec<String> = jobs.iter().map(|job| job.check.job.to_string()).collect();
        assert_eq!((names.join(" ").as_str(), pages), ("W-1 W-2 W-3 W-5", 2));
        assert_eq!((jobs[1].said.as_deref(), jobs[1].said_at), (Some("In Progress"), Some(at(5))));
        assert!(jobs[1].progress.is_some() && jobs[0].progress.is_none());
    }
}
