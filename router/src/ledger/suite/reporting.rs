//! Figures of reports: each closed request is in them once, and what is open as it stands.

use jiff::civil::date;
use mappings::domain::{Disposition, RequestState};

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Ledger, Page};
use crate::report::{By, Count, Figures, Scope, Time};

fn scope() -> Scope {
    Scope { from: date(2027, 1, 15), to: date(2027, 1, 15), council: Some(council()) }
}

async fn figures(ledger: &dyn Ledger, by: By, key: &str) -> Figures {
    let groups = ledger.figures(&scope(), at(20)).await.expect("figures");
    let found = groups.into_iter().find(|group| group.by == by && group.key == key);
    found.map(|group| group.figures).unwrap_or_default()
}

impl Fixture {
    /// Has waste do the work, and the CRM take the closure.
    async fn finish(&self, ticket: &str, word: &str) {
        let job = format!("W-{ticket}");
        self.deliver(ticket, "waste", &job).await;
        let closure = self.complete(&[said("waste", ticket, &job, word)]).await.work.remove(0);
        self.record(&[settle(&closure, delivered("CRM"))]).await;
        assert_eq!(self.history(ticket).await.line.state, RequestState::Closed);
    }
}

both! {
    async fn a_closed_request_is_folded_once_and_counts_the_same_before_and_after(fixture: &Fixture) {
        let ledger = &*fixture.ledger;
        fixture.finish("CRM-1", "Completed").await;
        fixture.finish("CRM-2", "Not Out").await;
        fixture.deliver("CRM-3", "waste", "W-3").await;
        let before = ledger.figures(&scope(), at(20)).await.expect("figures");
        assert_eq!(ledger.fold(1).await.expect("a fold"), 1);
        assert_eq!(ledger.figures(&scope(), at(20)).await.expect("figures"), before);
        assert_eq!(ledger.fold(10).await.expect("a fold"), 1);
        assert_eq!(ledger.fold(10).await.expect("a fold"), 0);
        assert_eq!(ledger.figures(&scope(), at(20)).await.expect("figures"), before);

        let all = figures(ledger, By::All, "").await;
        let counted = [Count::CameIn, Count::Closed, Count::Automatically, Count::Declined, Count::OpenWeeks];
        assert_eq!(counted.map(|count| all.of(count)), [3, 2, 2, 1, 0]);
        let waste = figures(ledger, By::System, "waste").await;
        assert_eq!(waste.times(Time::WaitedForWork).map(|times| times.count()), Some(3));
        assert_eq!(figures(ledger, By::Service, "waste.missed-bin").await, figures(ledger, By::Channel, "").await);
    }

    async fn what_came_in_on_other_days_or_to_other_councils_is_left_out(fixture: &Fixture) {
        let ledger = &*fixture.ledger;
        fixture.finish("CRM-1", "Completed").await;
        ledger.fold(10).await.expect("a fold");
        let next = Scope { from: date(2027, 1, 16), to: date(2027, 2, 1), council: None };
        assert_eq!(ledger.figures(&next, at(20)).await.expect("figures"), []);
        let other = Scope { council: Some(mappings::domain::Council::parse("epping").expect("valid")), ..scope() };
        assert_eq!(ledger.figures(&other, at(20)).await.expect("figures"), []);
        assert_eq!(ledger.courses(&other, None, 10).await.expect("a page").courses, []);
    }

    async fn routers_that_fold_at_once_lose_no_request_and_count_none_twice(fixture: &Fixture) {
        for number in 0..12 {
            fixture.finish(&format!("CRM-{number}"), "Completed").await;
        }
        let (other, _) = fixture.another().await;
        let fold = async |ledger: &dyn Ledger| {
            let mut folded = 0;
            for _ in 0..12 {
                folded += ledger.fold(1).await.expect("a fold");
            }
            folded
        };
        let (mine, others) = tokio::join!(fold(&*fixture.ledger), fold(&*other));
        let rest = fixture.ledger.fold(100).await.expect("a fold");
        assert_eq!(mine + others + rest, 12);
        let all = figures(&*fixture.ledger, By::All, "").await;
        assert_eq!((all.of(Count::CameIn), all.of(Count::Closed)), (12, 12));
        assert_eq!(all.times(Time::Close).map(|times| times.count()), Some(12));
    }

    async fn what_changes_after_a_ticket_closed_is_not_counted_anew(fixture: &Fixture) {
        let ledger = &*fixture.ledger;
        fixture.finish("CRM-1", "Completed").await;
        ledger.fold(10).await.expect("a fold");
        let changed = revised(
            "D-2",
            "CRM-1",
            mappings::domain::Revision::Amended,
            serde_json::json!({"summary": "Two bins"}),
        );
        fixture.accept(&[changed]).await;
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Held);
        let all = figures(ledger, By::All, "").await;
        let counted = [Count::CameIn, Count::Closed, Count::OpenMonths];
        assert_eq!(counted.map(|count| all.of(count)), [1, 1, 1], "it is open again, and came in once");
    }

    async fn pages_of_requests_hold_each_once(fixture: &Fixture) {
        for number in 0..5 {
            fixture.deliver(&format!("CRM-{number}"), "waste", &format!("W-{number}")).await;
        }
        let (mut after, mut courses) = (None, Vec::new());
        loop {
            let Page { courses: some, next } = fixture.ledger.courses(&scope(), after, 2).await.expect("a page");
            courses.extend(some);
            let Some(next) = next else { break };
            after = Some(next);
        }
        assert_eq!(courses.len(), 5);
        assert!(courses.iter().all(|course| course.parts.len() == 1 && course.disposition.is_none()));
        assert!(courses.iter().all(|course| course.disposition != Some(Disposition::Completed)));
    }
}
