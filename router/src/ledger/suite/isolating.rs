//! Systems that take no calls, calls that are given back, and workers that share what a system can bear.

use jiff::Timestamp;
use mappings::domain::Phase;
use uuid::Uuid;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Agreement, Halt, Recorded, Switch, Switched, WorkerId};

async fn switch(fixture: &Fixture, switch: Switch, now: Timestamp) -> Switched {
    fixture.ledger.switch(&system("waste"), &switch, now).await.expect("a switch")
}

async fn halts(fixture: &Fixture) -> Vec<Halt> {
    fixture.ledger.halts().await.expect("a read")
}

fn open(openings: u32, probe_at: Timestamp) -> Switch {
    Switch::Open { openings, probe_at, reason: "cannot connect".into() }
}

fn pause(by: &str) -> Switch {
    Switch::Pause { by: by.into(), reason: Some("moving to a new server".into()) }
}

both! {
    async fn a_call_that_is_given_back_is_due_again_and_no_attempt_is_counted(fixture: &Fixture) {
        let first = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        assert_eq!(first.attempt, 1);
        let given = fixture.ledger.defer(&[deferral(&first, None)], fixture.lessee.worker).await.expect("deferred");
        assert_eq!(given, [Recorded::Written]);
        // Due as it was, under a new lease, and still the first attempt.
        let again = fixture.claim("waste", 1, at(0)).await.remove(0);
        assert_eq!((again.attempt, again.lease.0, again.call), (1, 2, first.call));
        let later = [deferral(&again, Some(at(100)))];
        assert_eq!(fixture.ledger.defer(&later, fixture.lessee.worker).await.expect("deferred"), [Recorded::Written]);
        assert!(fixture.claim("waste", 1, at(99)).await.is_empty());
        let third = fixture.claim("waste", 1, at(100)).await.remove(0);
        assert_eq!((third.attempt, third.lease.0), (1, 3));
        // Never sooner than it was due.
        fixture.record(&[settle(&third, crate::ledger::Next::Again { at: at(200), phase: Phase::LookUp })]).await;
        let fourth = fixture.claim("waste", 1, at(200)).await.remove(0);
        assert_eq!((fourth.attempt, fourth.phase), (2, Phase::LookUp));
        fixture.ledger.defer(&[deferral(&fourth, Some(at(10)))], fixture.lessee.worker).await.expect("deferred");
        assert!(fixture.claim("waste", 1, at(199)).await.is_empty());
        let fifth = fixture.claim("waste", 1, at(200)).await.remove(0);
        assert_eq!((fifth.attempt, fifth.phase), (2, Phase::LookUp), "what it was to do it is to do");
        fixture.record(&[settle(&fifth, delivered("W-1"))]).await;
        let history = fixture.history("CRM-1").await;
        let numbers: Vec<u32> = history.attempts.iter().map(|tried| tried.number).collect();
        assert_eq!(numbers, [1, 2], "two attempts were made, and two are counted");
    }

    async fn only_whoever_holds_a_call_gives_it_back(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let (other, lessee) = fixture.another().await;
        let held = [deferral(&work, None)];
        assert_eq!(other.defer(&held, lessee.worker).await.expect("a reply"), [Recorded::LeaseLost]);
        let worker = fixture.lessee.worker;
        assert_eq!(fixture.ledger.defer(&held, worker).await.expect("a reply"), [Recorded::Written]);
        assert_eq!(fixture.ledger.defer(&held, worker).await.expect("a reply"), [Recorded::LeaseLost]);
        let late = fixture.record(&[settle(&work, delivered("W-1"))]).await;
        assert_eq!(late.replies, [Ok(Recorded::LeaseLost)], "what was given back cannot be written about");
        assert_eq!(fixture.ledger.defer(&[], worker).await.expect("a reply"), []);
    }

    async fn a_call_in_doubt_stays_in_doubt_when_it_is_given_back(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.ledger.begin(&[(work.call, work.council.clone(), work.lease)]).await.expect("begun");
        let (_, heir) = fixture.another().await;
        fixture.ledger.heartbeat(heir.worker, at(60)).await.expect("a heartbeat");
        fixture.ledger.rescue(at(30)).await.expect("a rescue");
        let taken = fixture.ledger.claim_due(&system("waste"), 1, at(60), heir.worker).await.expect("a claim");
        assert!(taken[0].rescued && taken[0].begun);
        fixture.ledger.defer(&[deferral(&taken[0], None)], heir.worker).await.expect("deferred");
        let again = fixture.ledger.claim_due(&system("waste"), 1, at(60), heir.worker).await.expect("a claim");
        assert!(again[0].rescued && again[0].begun, "the dead worker may have made the call");
    }

    async fn a_pause_is_kept_with_who_when_and_why_until_somebody_ends_it(fixture: &Fixture) {
        assert!(halts(fixture).await.is_empty());
        let paused = switch(fixture, pause("jo"), at(5)).await;
        assert!(paused.applied);
        let kept = halts(fixture).await.remove(0).pause.expect("a pause");
        assert_eq!((kept.by.as_str(), kept.at), ("jo", at(5)));
        assert_eq!(kept.reason.as_deref(), Some("moving to a new server"));
        let second = switch(fixture, pause("sam"), at(6)).await;
        assert!(!second.applied, "it is paused already");
        assert_eq!(second.halt.pause.map(|pause| pause.by), Some("jo".to_owned()));
        assert!(switch(fixture, Switch::Resume { by: "sam".into() }, at(7)).await.applied);
        assert!(halts(fixture).await.is_empty());
        assert!(!switch(fixture, Switch::Resume { by: "sam".into() }, at(8)).await.applied);
        let changes = fixture.ledger.system_changes(10).await.expect("a read");
        let changes: Vec<_> = changes.iter().map(|kept| (kept.change.as_str(), kept.by.as_deref(), kept.at)).collect();
        assert_eq!(changes, [("resumed", Some("sam"), at(7)), ("paused", Some("jo"), at(5))]);
    }

    async fn a_ticket_tells_which_of_its_systems_take_no_calls(fixture: &Fixture) {
        fixture.submit("CRM-1", &["waste"]).await;
        fixture.submit("CRM-2", &["housing"]).await;
        switch(fixture, pause("jo"), at(5)).await;
        assert_eq!(fixture.history("CRM-1").await.halts.len(), 1);
        assert_eq!(fixture.history("CRM-2").await.halts, []);
    }

    async fn a_breaker_opens_once_for_all_who_saw_the_same(fixture: &Fixture) {
        assert!(switch(fixture, open(0, at(30)), at(0)).await.applied);
        let second = switch(fixture, open(0, at(40)), at(1)).await;
        assert!(!second.applied);
        let breaker = second.halt.breaker.expect("open");
        assert_eq!((breaker.since, breaker.openings, breaker.probe_at), (at(0), 1, at(30)));
        // It opens again after a probe that failed.
        assert!(switch(fixture, open(1, at(90)), at(31)).await.applied);
        let breaker = halts(fixture).await.remove(0).breaker.expect("open");
        assert_eq!((breaker.since, breaker.openings, breaker.probe_at), (at(0), 2, at(90)));
        assert_eq!(breaker.reason, "cannot connect");
    }

    async fn one_of_several_workers_makes_the_call_that_tries_again(fixture: &Fixture) {
        let (other, lessee) = fixture.another().await;
        let (ours, theirs) = (fixture.lessee.worker, lessee.worker);
        let probe = |worker| Switch::Probe { worker, until: at(60) };
        assert!(!switch(fixture, probe(ours), at(30)).await.applied, "there is nothing to find out");
        switch(fixture, open(0, at(30)), at(0)).await;
        assert!(!switch(fixture, probe(ours), at(29)).await.applied, "it is too early");
        let (our, their) = (probe(ours), probe(theirs));
        let waste = system("waste");
        let (one, two) = tokio::join!(
            fixture.ledger.switch(&waste, &our, at(30)),
            other.switch(&waste, &their, at(30)),
        );
        let (one, two) = (one.expect("a switch"), two.expect("a switch"));
        assert!(one.applied != two.applied, "{one:?} {two:?}");
        let (winner, loser) = if one.applied { (ours, theirs) } else { (theirs, ours) };
        assert!(!switch(fixture, probe(loser), at(59)).await.applied);
        assert!(!switch(fixture, Switch::Close { worker: loser }, at(59)).await.applied);
        assert!(switch(fixture, Switch::Close { worker: winner }, at(59)).await.applied);
        assert!(halts(fixture).await.is_empty());
        // A prober that died is replaced.
        switch(fixture, open(0, at(30)), at(60)).await;
        assert!(switch(fixture, probe(winner), at(59)).await.applied);
        assert!(switch(fixture, probe(loser), at(60)).await.applied);
    }

    async fn whoever_gets_another_answer_of_a_silent_system_ends_its_rest(fixture: &Fixture) {
        assert!(!switch(fixture, Switch::Answered, at(0)).await.applied, "it takes calls as usual");
        switch(fixture, open(0, at(900)), at(0)).await;
        assert!(switch(fixture, Switch::Probe { worker: fixture.lessee.worker, until: at(960) }, at(900)).await.applied);
        switch(fixture, pause("jo"), at(901)).await;
        assert!(switch(fixture, Switch::Answered, at(902)).await.applied, "nobody else need know who tries");
        let left = halts(fixture).await.remove(0);
        assert_eq!((left.pause.map(|pause| pause.by), left.breaker), (Some("jo".into()), None), "the pause stays");
        let changes = fixture.ledger.system_changes(1).await.expect("a read");
        assert_eq!(changes[0].change, "closed");
    }

    async fn a_person_can_have_a_silent_system_tried_at_once(fixture: &Fixture) {
        switch(fixture, open(0, at(900)), at(0)).await;
        assert!(switch(fixture, Switch::Resume { by: "jo".into() }, at(10)).await.applied);
        let breaker = halts(fixture).await.remove(0).breaker.expect("still open");
        assert_eq!(breaker.probe_at, at(10));
        let worker = fixture.lessee.worker;
        switch(fixture, pause("jo"), at(11)).await;
        let probe = Switch::Probe { worker, until: at(60) };
        assert!(!switch(fixture, probe.clone(), at(12)).await.applied, "a pause goes before all else");
        switch(fixture, Switch::Resume { by: "jo".into() }, at(13)).await;
        assert!(switch(fixture, probe, at(13)).await.applied);
    }

    async fn a_heartbeat_tells_who_lives_and_what_they_keep_to(fixture: &Fixture) {
        let ours = fixture.lessee.worker;
        let (other, lessee) = fixture.another().await;
        let peers = other.heartbeat(lessee.worker, at(1)).await.expect("a heartbeat").peers;
        assert!(peers.is_sorted_by_key(|peer| peer.worker.0));
        assert_eq!(peers.iter().filter(|peer| peer.worker == ours || peer.worker == lessee.worker).count(), 2);
        assert!(peers.iter().all(|peer| peer.agreed.is_none()));
        let agreement = Agreement { among: -7, lagging: vec![system("crm"), system("waste")] };
        other.agree(lessee.worker, &agreement).await.expect("said");
        let peers = fixture.ledger.heartbeat(ours, at(2)).await.expect("a heartbeat").peers;
        let theirs = peers.iter().find(|peer| peer.worker == lessee.worker).expect("it lives");
        assert_eq!(theirs.agreed, Some(agreement));
        // What was said lasts from heartbeat to heartbeat, and no longer than the worker.
        let none = Agreement { among: 8, lagging: Vec::new() };
        other.agree(lessee.worker, &none).await.expect("said");
        let peers = other.heartbeat(lessee.worker, at(3)).await.expect("a heartbeat").peers;
        assert!(peers.iter().any(|peer| peer.agreed.as_ref() == Some(&none)));
        other.release(lessee.worker).await.expect("released");
        let peers = fixture.ledger.heartbeat(ours, at(4)).await.expect("a heartbeat").peers;
        assert!(peers.iter().all(|peer| peer.worker != lessee.worker));
        let nobody = WorkerId(Uuid::now_v7());
        fixture.ledger.agree(nobody, &none).await.expect("nothing to say it of");
    }
}
