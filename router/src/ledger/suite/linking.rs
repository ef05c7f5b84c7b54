//! What people say of news: which ticket it is about, and what a word means that no mapping knows.

use mappings::domain::{Disposition, HandoverState, Job, Operation, Progress, RequestState, Revision};
use serde_json::json;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{
    Choice, Completion, Correlated, Link, Meaning, Person, Problem, Resolution, Resolved, SeenTicket, Work,
    Written,
};

fn link_of(work: &Work, named: &str) -> Link {
    Link {
        council: work.council.clone(),
        request: work.request,
        system: work.system.clone(),
        named: named.to_owned(),
        person: Person { name: "jo".into(), because: "they renumbered it".into() },
        at: at(100),
    }
}

async fn link(fixture: &Fixture, link: Link) -> Written<Resolved> {
    fixture.ledger.link(&[link], &fixture.lessee).await.expect("a link")
}

async fn linked(fixture: &Fixture, work: &Work, named: &str) -> Written<Resolved> {
    let written = link(fixture, link_of(work, named)).await;
    assert_eq!(written.replies, [Ok(Resolved::Written)]);
    written
}

fn refused(reason: &str) -> Vec<Result<Resolved, crate::ledger::Unwritable>> {
    vec![Ok(Resolved::Refused(reason.into()))]
}

async fn orphans(fixture: &Fixture) -> usize {
    let problems = fixture.ledger.problems(10).await.expect("problems");
    problems.iter().filter(|problem| matches!(problem, Problem::Orphan(_))).count()
}

fn means(seen: SeenTicket, said: &str, meaning: Meaning) -> Choice {
    Choice::StatusMeans { seen, system: system("waste"), said: said.to_owned(), meaning }
}

fn completed() -> Meaning {
    Meaning::Ended { disposition: Disposition::Completed, reason: None, say: Some("It is done.".into()) }
}

async fn decide(fixture: &Fixture, work: &Work, choice: Choice) -> Written<Resolved> {
    let person = Person { name: "jo".into(), because: "I called them".into() };
    let (council, request) = (work.council.clone(), work.request);
    let resolution = Resolution { council, request, person, at: at(100), choice };
    fixture.ledger.resolve(&[resolution], &fixture.lessee).await.expect("resolved")
}

async fn seen(fixture: &Fixture, reference: &str) -> SeenTicket {
    let line = fixture.history(reference).await.line;
    SeenTicket { state: line.state, reason: line.reason }
}

both! {
    async fn news_of_an_unknown_job_is_applied_once_when_a_person_links_it(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        assert_eq!(fixture.hear(said("waste", "k1", "W-9", "In Progress")).await, Correlated::Waiting);
        assert_eq!(fixture.hear(said("waste", "k2", "W-9", "Completed")).await, Correlated::Waiting);
        assert_eq!(orphans(fixture).await, 2);
        let written = linked(fixture, &work, "W-9").await;
        assert_eq!(operations(&written.work), [Operation::Close]);
        assert_eq!(orphans(fixture).await, 0);
        let history = fixture.history("CRM-1").await;
        assert_eq!(
            words(&history),
            ["ticket.accepted", "ticket.handed-over", "ticket.decided", "ticket.progressed", "ticket.closed"]
        );
        assert_eq!(
            history.events[2].data,
            json!({"decision": "link", "by": "jo", "because": "they renumbered it", "system": "waste", "job": "W-9"})
        );
        assert!(history.completions.iter().all(|heard| heard.correlated == Correlated::Applied));
        assert_eq!(history.handovers[0].job, Job::parse("W-1").ok());
        assert_eq!(fixture.hear(said("waste", "k2", "W-9", "Completed")).await, Correlated::Duplicate);
    }

    async fn what_is_said_later_of_a_linked_job_is_about_its_ticket_by_itself(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.hear(said("waste", "k1", "W-9", "In Progress")).await;
        linked(fixture, &work, "W-9").await;
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Open);
        assert_eq!(fixture.hear(said("waste", "k2", "W-9", "Completed")).await, Correlated::Applied);
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Closing);
        assert_eq!(orphans(fixture).await, 0);
    }

    async fn news_by_a_reference_that_is_not_ours_can_be_linked_too(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        assert_eq!(fixture.hear(said_of("waste", "k1", "crm 1", "In Progress")).await, Correlated::Waiting);
        linked(fixture, &work, "crm 1").await;
        assert_eq!(fixture.hear(said_of("waste", "k2", "crm 1", "Completed")).await, Correlated::Applied);
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Closing);
    }

    async fn news_linked_to_a_parked_handover_is_heard_and_waits_no_more(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.record(&[settle(&work, park())]).await;
        fixture.hear(said("waste", "k1", "W-9", "In Progress")).await;
        linked(fixture, &work, "W-9").await;
        let handover = fixture.history("CRM-1").await.handovers.remove(0);
        assert_eq!((handover.state, handover.job), (HandoverState::Awaiting, Job::parse("W-9").ok()));
    }

    async fn a_link_stays_with_its_opening_when_the_ticket_is_opened_again(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.hear(said("waste", "k1", "W-9", "Completed")).await;
        let close = linked(fixture, &work, "W-9").await.work.remove(0);
        fixture.record(&[settle(&close, delivered("7"))]).await;
        let reopened = revised("r1", "CRM-1", Revision::Reopened, json!({"reason": "again"}));
        fixture.accept(&[reopened]).await;
        let old = Completion { reference: None, ..said("waste", "k2", "W-9", "Not Out") };
        assert_eq!(fixture.hear(old).await, Correlated::Held);
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Open);
    }

    async fn what_cannot_be_linked_is_refused_and_changes_nothing(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        let other = fixture.submit("CRM-2", &["waste"]).await.remove(0);
        let none = link(fixture, link_of(&work, "W-9")).await;
        assert_eq!(none.replies, refused("no news of W-9 from waste waits for its ticket"));
        fixture.hear(said("waste", "k1", "W-9", "In Progress")).await;
        let elsewhere = Link { system: system("housing"), ..link_of(&work, "W-9") };
        let elsewhere = link(fixture, elsewhere).await;
        assert_eq!(elsewhere.replies, refused("no news of W-9 from housing waits for its ticket"));
        let due = link(fixture, link_of(&other, "W-9")).await;
        assert_eq!(
            due.replies,
            refused("waste has not got it yet: link it when the call to waste has ended")
        );
        fixture.hear(said("housing", "k1", "H-9", "In Progress")).await;
        let no_work = link(fixture, Link { system: system("housing"), ..link_of(&work, "H-9") }).await;
        assert_eq!(no_work.replies, refused("CRM-1 has no work for housing"));
        assert_eq!((orphans(fixture).await, fixture.history("CRM-1").await.events.len()), (2, 2));
        linked(fixture, &work, "W-9").await;
        let twice = link(fixture, link_of(&work, "W-9")).await;
        assert_eq!(twice.replies, refused("W-9 is linked to CRM-1 already"));
    }

    async fn a_word_that_a_person_gives_a_meaning_ends_the_work_as_a_known_word_does(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        assert_eq!(fixture.hear(timed(said("waste", "k1", "W-1", "Zzz"), 50)).await, Correlated::Held);
        let held = seen(fixture, "CRM-1").await;
        let written = decide(fixture, &work, means(held.clone(), "Zzz", completed())).await;
        assert_eq!(written.replies, [Ok(Resolved::Written)]);
        assert_eq!(operations(&written.work), [Operation::Close]);
        let history = fixture.history("CRM-1").await;
        assert_eq!(
            words(&history),
            ["ticket.accepted", "ticket.handed-over", "ticket.held", "ticket.decided", "ticket.closed"]
        );
        assert_eq!(history.events[3].data["means"], "completed");
        assert_eq!(history.handovers[0].disposition, Some(Disposition::Completed));
        // The same word again contradicts nothing.
        let again = fixture.hear(timed(said("waste", "k2", "W-1", "Zzz"), 60)).await;
        assert_eq!(again, Correlated::Duplicate);
        let late = decide(fixture, &work, means(held, "Zzz", completed())).await;
        assert_eq!(late.replies, refused("it is closing by now, not held"));
    }

    async fn a_word_may_mean_progress_and_the_ticket_is_open_again(fixture: &Fixture) {
        let work = fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.hear(said("waste", "k1", "W-1", "Zzz")).await;
        let review = Meaning::Progress { progress: Progress::Review, say: None };
        let held = seen(fixture, "CRM-1").await;
        let other = decide(fixture, &work, means(held.clone(), "Yyy", review.clone())).await;
        assert_eq!(other.replies, refused("waste said something else by now"));
        let written = decide(fixture, &work, means(held, "Zzz", review)).await;
        assert_eq!(written.replies, [Ok(Resolved::Written)]);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Open);
        assert_eq!(history.handovers[0].progress, Some(Progress::Review));
        assert_eq!(fixture.hear(said("waste", "k2", "W-1", "Completed")).await, Correlated::Applied);
    }

    async fn held_tickets_are_listed_with_what_was_said_last_of_their_open_work(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        fixture.hear(said("waste", "k1", "W-1", "Zzz")).await;
        let problems = fixture.ledger.problems(10).await.expect("problems");
        let Problem::Held { said, .. } = &problems[0] else { panic!("{problems:?}") };
        assert_eq!(*said, [(system("waste"), "Zzz".to_owned())]);
    }
}
