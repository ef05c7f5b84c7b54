//! Whose turn it is, and which jobs to ask about.

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{PollFailure, Polls};

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

    async fn a_poll_that_never_succeeds_keeps_its_start_and_says_why_it_fails(fixture: &Fixture) {
        let waste = system("waste");
        let stand = async || fixture.ledger.asked().await.expect("read").remove(0);
        for turn in 0..5 {
            let position = fixture.ledger.claim_poll(&waste, at(turn * 60), MINUTE).await.expect("a turn");
            assert_eq!(position, Some(at(0)), "turn {turn}");
            let failure = PollFailure { reason: format!("answer {turn}"), lasting: turn > 3 };
            fixture.ledger.fail_poll(&waste, &failure, at(turn * 60 + 1)).await.expect("kept");
        }
        let failure = PollFailure { reason: "answer 4".to_owned(), lasting: true };
        let asked = stand().await;
        assert_eq!(asked.polled_to, Some(at(0)));
        assert_eq!(asked.polls, Polls { succeeded: false, failing: Some((at(1), failure)) });
        fixture.ledger.advance_poll(&waste, at(300)).await.expect("moved");
        assert_eq!(stand().await.polls, Polls { succeeded: true, failing: None });
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
