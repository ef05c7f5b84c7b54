//! What systems say: early, late, twice, to nobody, and against what they said before.

use jiff::Timestamp;
use mappings::domain::{Disposition, HandoverState, Job, Progress, RequestState};

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Completion, Correlated, Next, Problem};

both! {
    async fn a_completion_is_found_by_job_and_by_our_reference(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.deliver("CRM-2", "waste", "W-2").await;
        assert_eq!(fixture.hear(said("waste", "k1", "W-1", "Completed")).await, Correlated::Applied);
        assert_eq!(fixture.hear(said_of("waste", "k2", "CRM-2", "Completed")).await, Correlated::Applied);
        for reference in ["CRM-1", "CRM-2"] {
            let history = fixture.history(reference).await;
            assert_eq!(history.line.state, RequestState::Closing);
            assert_eq!(history.completions[0].correlated, Correlated::Applied);
            assert_eq!(history.handovers[0].said, Some(("Completed".into(), None)));
        }
    }

    async fn a_completion_before_the_job_reference_waits_and_is_applied_with_it(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        assert_eq!(fixture.hear(said("waste", "k1", "W-1", "Completed")).await, Correlated::Waiting);
        let problems = fixture.ledger.problems(10).await.expect("problems");
        assert!(matches!(&problems[..], [Problem::Orphan(_)]));
        let written = fixture.record(&[settle(&work, delivered("W-1"))]).await;
        assert_eq!(written.work.len(), 1);
        let history = fixture.history("CRM-1").await;
        assert_eq!(words(&history), ["ticket.accepted", "ticket.handed-over", "ticket.closed"]);
        assert_eq!(history.completions[0].correlated, Correlated::Applied);
        assert!(fixture.ledger.problems(10).await.expect("problems").is_empty());
        assert_eq!(fixture.ledger.counts().await.expect("counts").waiting, 0);
    }

    async fn an_early_completion_by_our_reference_waits_for_the_call_in_flight(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        assert_eq!(fixture.hear(said_of("waste", "k1", "CRM-1", "Completed")).await, Correlated::Waiting);
        // It has its ticket, so that it is no orphan.
        assert!(fixture.ledger.problems(10).await.expect("problems").is_empty());
        assert_eq!(fixture.history("CRM-1").await.completions.len(), 1);
        let nothing = Next::Delivered { job: None, note: None };
        fixture.record(&[settle(&work, nothing)]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closing);
        assert_eq!(history.completions[0].correlated, Correlated::Applied);
    }

    async fn early_completions_are_applied_in_the_order_in_which_they_were_said(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let late = timed(said("waste", "k2", "W-1", "Completed"), 60);
        let early = timed(said("waste", "k1", "W-1", "In Progress"), 50);
        assert_eq!(fixture.hear(late).await, Correlated::Waiting);
        assert_eq!(fixture.hear(early).await, Correlated::Waiting);
        fixture.record(&[settle(&work, delivered("W-1"))]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(
            words(&history),
            ["ticket.accepted", "ticket.handed-over", "ticket.progressed", "ticket.closed"]
        );
        assert!(history.completions.iter().all(|heard| heard.correlated == Correlated::Applied));
    }

    async fn an_early_completion_is_applied_when_its_call_is_parked(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        assert_eq!(fixture.hear(said_of("waste", "k1", "CRM-1", "Completed")).await, Correlated::Waiting);
        fixture.record(&[settle(&work, park())]).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closing);
        assert!(!history.line.parked);
    }

    async fn a_completion_of_a_parked_call_is_applied_at_once(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.record(&[settle(&work, park())]).await;
        let word = Completion { job: Job::parse("W-1").ok(), ..said_of("waste", "k1", "CRM-1", "In Progress") };
        assert_eq!(fixture.hear(word).await, Correlated::Applied);
        let handover = fixture.history("CRM-1").await.handovers.remove(0);
        assert_eq!(handover.state, HandoverState::Awaiting);
        assert_eq!(handover.progress, Some(Progress::InProgress));
        assert_eq!(handover.job, Job::parse("W-1").ok());
        assert_eq!(fixture.hear(said("waste", "k2", "W-1", "Completed")).await, Correlated::Applied);
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Closing);
    }

    async fn the_same_word_under_the_same_key_or_another_is_a_duplicate(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let word = said("waste", "k1", "W-1", "Completed");
        let other_way = said("waste", "k2", "W-1", "Completed");
        let written = fixture.complete(&[word.clone(), word.clone(), other_way]).await;
        assert_eq!(
            written.replies,
            [Ok(Correlated::Applied), Ok(Correlated::Duplicate), Ok(Correlated::Duplicate)]
        );
        assert_eq!(written.work.len(), 1);
        assert_eq!(fixture.hear(word).await, Correlated::Duplicate);
    }

    async fn another_system_may_use_the_same_keys_and_jobs(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "1").await;
        fixture.deliver("CRM-2", "housing", "1").await;
        let written = fixture
            .complete(&[said("waste", "k", "1", "In Progress"), said("housing", "k", "1", "Completed")])
            .await;
        assert_eq!(written.replies, [Ok(Correlated::Applied), Ok(Correlated::Applied)]);
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Open);
        assert_eq!(fixture.history("CRM-2").await.line.state, RequestState::Closing);
    }

    async fn progress_that_is_older_than_the_last_word_is_superseded(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let new = timed(said("waste", "k2", "W-1", "Completed"), 60);
        let old = timed(said("waste", "k1", "W-1", "In Progress"), 50);
        assert_eq!(fixture.hear(new).await, Correlated::Applied);
        assert_eq!(fixture.hear(old).await, Correlated::Superseded);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closing);
        assert_eq!(history.handovers[0].disposition, Some(Disposition::Completed));
    }

    async fn an_ending_that_is_older_than_the_last_progress_ends_the_work_and_keeps_the_doubt(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let progress = timed(said("waste", "k1", "W-1", "In Progress"), 9);
        assert_eq!(fixture.hear(progress).await, Correlated::Applied);
        let ending = timed(said("waste", "k2", "W-1", "Completed"), 5);
        assert_eq!(fixture.hear(ending).await, Correlated::Applied);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closing);
        let doubt = history.handovers[0].doubt.as_deref().unwrap_or_default();
        assert!(doubt.contains("before “In Progress” of"), "{doubt}");
        let late = timed(said("waste", "k3", "W-1", "In Progress"), 7);
        assert_eq!(fixture.hear(late).await, Correlated::Superseded, "the dates are kept");
    }

    async fn the_last_moment_that_a_time_can_name_is_kept_and_read_again(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let never = Completion { said_at: Some(Timestamp::MAX), ..said("waste", "k1", "W-1", "Completed") };
        assert_eq!(fixture.hear(never).await, Correlated::Applied);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closing);
        assert_eq!(history.completions[0].completion.said_at, Some(Timestamp::MAX));
    }

    async fn a_late_report_of_progress_without_a_time_reopens_nothing(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.hear(said("waste", "k1", "W-1", "Completed")).await;
        assert_eq!(fixture.hear(said("waste", "k2", "W-1", "In Progress")).await, Correlated::Superseded);
    }

    async fn a_contradiction_while_the_ticket_is_open_holds_it(fixture: &Fixture) {
        let works = fixture.submit("CRM-1", &["waste", "housing"]).await;
        let batch = [settle(&works[0], delivered("W-1")), settle(&works[1], delivered("H-1"))];
        fixture.record(&batch).await;
        assert_eq!(fixture.hear(said("waste", "k1", "W-1", "Completed")).await, Correlated::Applied);
        assert_eq!(fixture.hear(said("waste", "k2", "W-1", "Not Out")).await, Correlated::Held);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Held);
        assert_eq!(
            history.line.reason.as_deref(),
            Some("waste said \"Not Out\" after its job ended as completed")
        );
        assert_eq!(history.handovers[0].disposition, Some(Disposition::Completed));
    }

    async fn a_contradiction_after_the_closure_is_kept_and_told_but_reopens_nothing(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let close = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await.work.remove(0);
        fixture.record(&[settle(&close, delivered("7"))]).await;
        let written = fixture.complete(&[said("waste", "k2", "W-1", "Not Out")]).await;
        assert_eq!(written.replies, [Ok(Correlated::Held)]);
        assert_eq!(written.events[0].kind.word(), "ticket.held");
        assert!(written.work.is_empty());
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closed);
        assert_eq!(history.completions[1].correlated, Correlated::Held);
    }

    async fn a_word_that_no_mapping_knows_holds_the_ticket_and_names_it(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        assert_eq!(fixture.hear(said("waste", "k1", "W-1", "Zzz")).await, Correlated::Held);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Held);
        assert_eq!(
            history.line.reason.as_deref(),
            Some("waste said \"Zzz\", which Dovetail does not know")
        );
        assert_eq!(history.handovers[0].state, HandoverState::Awaiting);
    }

    async fn progress_is_told_and_kept(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let written = fixture.complete(&[said("waste", "k1", "W-1", "Scheduled")]).await;
        assert_eq!(written.events[0].data["progress"], "scheduled");
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Open);
        assert_eq!(history.handovers[0].progress, Some(Progress::Scheduled));
    }

    async fn an_orphan_is_kept_for_a_person_and_nobody_else(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        assert_eq!(fixture.hear(said("waste", "k1", "W-99", "Completed")).await, Correlated::Waiting);
        assert_eq!(fixture.hear(said_of("waste", "k2", "CRM-99", "Completed")).await, Correlated::Waiting);
        assert_eq!(fixture.hear(said("waste", "k1", "W-99", "Completed")).await, Correlated::Duplicate);
        let problems = fixture.ledger.problems(10).await.expect("problems");
        assert_eq!(problems.iter().filter(|problem| matches!(problem, Problem::Orphan(_))).count(), 2);
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Open);
    }

    async fn many_orphans_of_one_system_are_told_as_a_number_and_those_of_others_one_by_one(fixture: &Fixture) {
        let words: Vec<_> =
            (0..3_000).map(|n| said("waste", &format!("k{n}"), &format!("W-{n}"), "Completed")).collect();
        for some in words.chunks(500) {
            fixture.complete(some).await;
        }
        fixture.hear(said("housing", "k1", "H-1", "Completed")).await;
        let problems = fixture.ledger.problems(10).await.expect("problems");
        assert!(
            matches!(&problems[..], [Problem::Orphans { system, count: 3_000, .. }, Problem::Orphan(one)]
                if system.as_str() == "waste" && one.system.as_str() == "housing"),
            "{problems:?}"
        );
    }

    async fn a_reference_that_two_councils_use_is_not_guessed(fixture: &Fixture) {
        let batch = [arrival_of("harlow", "1", "T-1", &["waste"]), arrival_of("epping", "2", "T-1", &["waste"])];
        let works = fixture.accept(&batch).await.work;
        let nothing = Next::Delivered { job: None, note: None };
        fixture.record(&[settle(&works[0], nothing.clone()), settle(&works[1], nothing)]).await;
        assert_eq!(fixture.hear(said_of("waste", "k1", "T-1", "Completed")).await, Correlated::Waiting);
        assert!(matches!(&fixture.ledger.problems(10).await.expect("problems")[..], [Problem::Orphan(_)]));
    }

    async fn a_job_that_serves_two_tickets_speaks_for_both(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.deliver("CRM-2", "waste", "W-1").await;
        let written = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await;
        assert_eq!(written.replies, [Ok(Correlated::Applied)]);
        assert_eq!(written.work.len(), 2);
        // With our reference it speaks for one.
        fixture.deliver("CRM-3", "waste", "W-2").await;
        fixture.deliver("CRM-4", "waste", "W-2").await;
        let named = Completion { reference: Some(ticket("CRM-4")), ..said("waste", "k2", "W-2", "Completed") };
        assert_eq!(fixture.complete(&[named]).await.work.len(), 1);
        assert_eq!(fixture.history("CRM-3").await.line.state, RequestState::Open);
    }

    async fn a_job_that_becomes_known_while_its_completion_comes_in_is_never_missed(fixture: &Fixture) {
        let (other, other_lessee) = fixture.another().await;
        for round in 0..25 {
            let tickets: Vec<String> = (0..8).map(|n| format!("CRM-{round}-{n}")).collect();
            let batch: Vec<_> = tickets.iter().map(|t| arrival(t, t, &["waste"])).collect();
            let works = fixture.accept(&batch).await.work;
            let job = |n: usize| format!("W-{round}-{n}");
            let settled: Vec<_> =
                works.iter().enumerate().map(|(n, work)| settle(work, delivered(&job(n)))).collect();
            let words: Vec<_> = (0..works.len())
                .map(|n| said("waste", &format!("k{round}-{n}"), &job(n), "Completed"))
                .collect();
            let (recorded, heard) = tokio::join!(
                fixture.ledger.record(&settled, &fixture.lessee),
                other.complete(&words, &other_lessee),
            );
            let closures = recorded.expect("record").work.len() + heard.expect("complete").work.len();
            assert_eq!(closures, works.len());
        }
        assert_eq!(fixture.ledger.counts().await.expect("counts").waiting, 0);
    }
}
