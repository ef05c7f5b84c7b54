//! Whose turn it is, and which jobs to ask about.

use std::time::Duration;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Activity, Failing, PollFailure};

both! {
    async fn a_turn_is_taken_by_one_router_and_comes_again(fixture: &Fixture) {
        let (other, _) = fixture.another().await;
        let waste = system("waste");
        assert_eq!(fixture.ledger.claim_poll(&waste, at(0), MINUTE).await.expect("a turn"), Some(at(0)));
        assert_eq!(other.claim_poll(&waste, at(59), MINUTE).await.expect("no turn"), None);
        assert_eq!(other.claim_poll(&system("housing"), at(59), MINUTE).await.expect("a turn"), Some(at(59)));
        fixture.ledger.advance_poll(&waste, at(50)).await.expect("moved");
        assert_eq!(other.claim_poll(&waste, at(60), MINUTE).await.expect("a turn"), Some(at(50)));
        assert_eq!(fixture.ledger.claim_poll(&waste, at(61), MINUTE).await.expect("no turn"), None);
    }

    async fn a_position_never_moves_back(fixture: &Fixture) {
        let waste = system("waste");
        fixture.ledger.claim_poll(&waste, at(0), MINUTE).await.expect("a turn");
        fixture.ledger.advance_poll(&waste, at(50)).await.expect("moved");
        fixture.ledger.advance_poll(&waste, at(40)).await.expect("not moved");
        assert_eq!(fixture.ledger.claim_poll(&waste, at(60), MINUTE).await.expect("a turn"), Some(at(50)));
    }

    async fn a_poll_that_never_succeeds_keeps_its_start_and_says_why_and_how_often_it_fails(fixture: &Fixture) {
        let waste = system("waste");
        let stand = async || fixture.ledger.asked().await.expect("read").remove(0);
        for turn in 0..5 {
            let position = fixture.ledger.claim_poll(&waste, at(turn * 60), MINUTE).await.expect("a turn");
            assert_eq!(position, Some(at(0)), "turn {turn}");
            let failure = PollFailure { reason: format!("answer {turn}"), lasting: turn > 3 };
            let kept = fixture.ledger.keep_failure(&waste, Activity::News, &failure, at(turn * 60 + 1));
            kept.await.expect("kept");
        }
        let failing = Failing {
            system: waste.clone(),
            activity: Activity::News,
            since: at(1),
            last_at: at(241),
            times: 5,
            failure: PollFailure { reason: "answer 4".to_owned(), lasting: true },
        };
        let asked = stand().await;
        assert_eq!((asked.polled_to, asked.succeeded), (Some(at(0)), false));
        assert_eq!(asked.failing, std::slice::from_ref(&failing));
        assert_eq!(fixture.ledger.failures().await.expect("read"), [failing]);
        // A part of the time was heard: that is no success yet.
        fixture.ledger.advance_poll(&waste, at(300)).await.expect("moved");
        assert_eq!(stand().await.failing.len(), 1);
        fixture.ledger.end_failure(&waste, Activity::Files).await.expect("another matter");
        fixture.ledger.end_failure(&waste, Activity::News).await.expect("ended");
        let asked = stand().await;
        assert_eq!((asked.succeeded, asked.failing.len()), (true, 0));
    }

    async fn what_fails_without_a_turn_of_its_own_is_kept_and_told_on_the_tickets_of_the_system(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.deliver("CRM-2", "housing", "H-2").await;
        let failure = PollFailure { reason: "permission denied".to_owned(), lasting: false };
        let waste = system("waste");
        let kept = fixture.ledger.keep_failure(&waste, Activity::Files, &failure, at(5));
        kept.await.expect("kept");
        let failing = async |reference: &str| {
            let history = fixture.ledger.ticket(None, &ticket(reference)).await.expect("a read");
            history.expect("known").failing.len()
        };
        assert_eq!((failing("CRM-1").await, failing("CRM-2").await), (1, 0));
        assert_eq!(fixture.ledger.asked().await.expect("read")[0].failing[0].failure, failure);
    }

    async fn a_pause_between_polls_that_changed_holds_at_once(fixture: &Fixture) {
        let waste = system("waste");
        let claim = async |now: i64, every: Duration| {
            fixture.ledger.claim_poll(&waste, at(now), every).await.expect("a claim").is_some()
        };
        assert!(claim(0, MINUTE * 60).await);
        assert!(!claim(59, MINUTE).await);
        assert!(claim(60, MINUTE).await, "it was an hour, and is a minute now");
        assert!(!claim(120, MINUTE * 10).await, "it is ten minutes now");
        assert!(claim(660, MINUTE * 10).await);
    }

    async fn two_routers_at_once_take_one_turn(fixture: &Fixture) {
        let (other, _) = fixture.another().await;
        let waste = system("waste");
        for round in 0..20 {
            let now = at(round * 60);
            let (one, two) =
                tokio::join!(fixture.ledger.claim_poll(&waste, now, MINUTE), other.claim_poll(&waste, now, MINUTE));
            let turns = [one.expect("a turn"), two.expect("a turn")];
            assert_eq!(turns.iter().filter(|turn| turn.is_some()).count(), 1, "{turns:?}");
        }
    }

    async fn open_jobs_are_asked_about_in_turn_until_they_end(fixture: &Fixture) {
        for n in 1..=3 {
            fixture.deliver(&format!("CRM-{n}"), "revenues", &format!("R-{n}")).await;
        }
        fixture.submit("CRM-4", &["revenues"]).await;
        let revenues = system("revenues");
        let asked = async |before: i64, now: i64, most: usize| {
            let checks = fixture.ledger.claim_checks(&revenues, at(before), at(now), most).await;
            let mut jobs: Vec<_> =
                checks.expect("checks").into_iter().map(|check| check.job.to_string()).collect();
            jobs.sort();
            jobs
        };
        let first = asked(0, 10, 2).await;
        assert_eq!(first.len(), 2);
        let second = asked(0, 10, 2).await;
        assert_eq!(second.len(), 1);
        assert!(!first.contains(&second[0]));
        assert!(asked(10, 20, 9).await.is_empty());
        fixture.hear(said("revenues", "k1", "R-2", "Completed")).await;
        assert_eq!(asked(11, 20, 9).await, ["R-1", "R-3"]);
    }
}
