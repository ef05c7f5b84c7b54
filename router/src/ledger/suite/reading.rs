//! What can be read back.

use mappings::domain::{Disposition, RequestState};

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Error, Filter, Parked, Problem, open};

both! {
    async fn tickets_are_listed_newest_first_a_page_at_a_time(fixture: &Fixture) {
        for n in 0..5 {
            fixture.submit(&format!("CRM-{n}"), &["waste"]).await;
        }
        let mut filter = Filter { most: 2, ..Filter::default() };
        let mut seen = Vec::new();
        loop {
            let page = fixture.ledger.tickets(&filter).await.expect("a page");
            let Some(last) = page.last() else { break };
            filter.before = Some(last.request);
            seen.extend(page.into_iter().map(|line| line.ticket.to_string()));
        }
        assert_eq!(seen, ["CRM-4", "CRM-3", "CRM-2", "CRM-1", "CRM-0"]);
    }

    async fn tickets_are_listed_by_council_ticket_and_state(fixture: &Fixture) {
        let batch = [
            arrival_of("harlow", "1", "T-1", &["waste"]),
            arrival_of("epping", "2", "T-1", &["waste"]),
            arrival_of("epping", "3", "T-2", &["waste"]),
        ];
        let works = fixture.accept(&batch).await.work;
        fixture.record(&[settle(&works[2], rejected(Disposition::Declined))]).await;
        let found = async |filter: Filter| {
            let lines = fixture.ledger.tickets(&Filter { most: 9, ..filter }).await.expect("a list");
            lines.into_iter().map(|line| format!("{} {}", line.council, line.ticket)).collect::<Vec<_>>()
        };
        let epping = Some(works[1].council.clone());
        assert_eq!(
            found(Filter { council: epping.clone(), ..Filter::default() }).await,
            ["epping T-2", "epping T-1"]
        );
        assert_eq!(
            found(Filter { ticket: Some(ticket("T-1")), ..Filter::default() }).await,
            ["epping T-1", "harlow T-1"]
        );
        assert_eq!(
            found(Filter { state: Some(RequestState::Closed), ..Filter::default() }).await,
            ["epping T-2"]
        );
        assert_eq!(
            found(Filter { council: epping, state: Some(RequestState::Open), ..Filter::default() }).await,
            ["epping T-1"]
        );
    }

    async fn a_ticket_that_is_not_known_is_not_found(fixture: &Fixture) {
        assert!(fixture.ledger.ticket(None, &ticket("CRM-1")).await.expect("a read").is_none());
    }

    async fn counts_tell_open_from_parked(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.submit("CRM-2", &["waste"]).await;
        fixture.record(&[settle(&work, park())]).await;
        let counts = fixture.ledger.counts().await.expect("counts");
        let mut tickets = counts.tickets;
        tickets.sort_by_key(|(_, parked, _)| *parked);
        assert_eq!(tickets, [(RequestState::Open, Parked::Yes, 1), (RequestState::Open, Parked::No, 1)]);
        assert_eq!((counts.due, counts.leased), (1, 1));
    }

    async fn problems_name_each_kind_and_no_more_than_asked_for(fixture: &Fixture) {
        for n in 0..3 {
            fixture.deliver(&format!("CRM-{n}"), "waste", &format!("W-{n}")).await;
            fixture.hear(said("waste", &n.to_string(), &format!("W-{n}"), "No Access")).await;
        }
        let problems = fixture.ledger.problems(2).await.expect("problems");
        assert_eq!(problems.len(), 2);
        assert!(matches!(&problems[0], Problem::Held { line, .. } if line.ticket == ticket("CRM-2")));
    }

    async fn a_ledger_that_is_opened_again_still_knows(fixture: &Fixture) {
        fixture.submit("CRM-1", &["waste"]).await;
        let (again, _) = fixture.another().await;
        assert!(again.ticket(Some(&council()), &ticket("CRM-1")).await.expect("a read").is_some());
    }
}

#[tokio::test]
async fn an_address_of_no_database_is_refused_without_its_password() {
    for (address, expected) in [
        ("mysql://dovetail:secret@db/dovetail", "mysql://***@db/dovetail"),
        ("sqlite::memory:", "sqlite::memory:"),
        ("sqlite:", "sqlite:"),
        ("sqlite:ledger.db?mode=rwc", "sqlite:ledger.db?mode=rwc"),
    ] {
        let opened = open(address, closer(), reader(), 2).await;
        let Err(Error::Address(shown)) = opened else { panic!("{address} was opened") };
        assert_eq!(shown, expected);
    }
}
