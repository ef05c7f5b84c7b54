//! What can be read back.

use mappings::domain::{Disposition, Phase, RequestState, Revision};

use serde_json::json;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{
    Dismissal, Error, Filter, InboxKey, KeptAs, LISTED_SINGLY, Parked, Person, Problem, ProblemKind,
    ProblemSearch, Refusal, open,
};

fn refused(id: &str, reference: Option<&str>, reason: &str, seconds: i64) -> Refusal {
    Refusal {
        key: InboxKey { source: "/crm".into(), id: id.into() },
        council: Some(council()),
        ticket: reference.map(ticket),
        path: None,
        reason: reason.into(),
        revision: None,
        body: b"{}".to_vec(),
        kept_as: KeptAs::Event,
        received_at: at(seconds),
        traceparent: None,
        sent_with: None,
    }
}

fn person() -> Person {
    Person { name: "jo".into(), because: "it is so".into() }
}

impl Fixture {
    async fn refuse(&self, id: &str, reference: Option<&str>, reason: &str, seconds: i64) {
        let refusal = refused(id, reference, reason, seconds);
        self.ledger.refuse(&[refusal], &self.lessee).await.expect("refused");
    }
}

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

    async fn problems_are_listed_page_by_page_to_the_last_with_how_many_there_are(fixture: &Fixture) {
        for n in 0..7 {
            fixture.deliver(&format!("CRM-{n}"), "waste", &format!("W-{n}")).await;
            fixture.hear(said("waste", &n.to_string(), &format!("W-{n}"), "No Access")).await;
            fixture.hear(said("housing", &format!("h{n}"), &format!("H-{n}"), "Completed")).await;
            fixture.refuse(&format!("{n}"), None, &format!("reason {n}"), n).await;
        }
        let mut seen = 0;
        let mut search = ProblemSearch::first(3);
        for kind in [ProblemKind::Held, ProblemKind::Orphan, ProblemKind::Refused] {
            search = ProblemSearch { kind: Some(kind), after: None, ..search };
            let mut left = vec![];
            loop {
                let page = fixture.ledger.find_problems(&search).await.expect("a page");
                assert!(page.problems.len() <= 3 && page.problems.iter().all(|problem| problem.kind() == kind));
                seen += page.problems.len();
                let tally = &page.tallies[0];
                assert_eq!((tally.kind, tally.total), (kind, 7));
                left.push(tally.left);
                match &tally.next {
                    Some(next) => search.after = Some(next.clone()),
                    None => break,
                }
            }
            assert_eq!(left, [4, 1, 0]);
        }
        assert_eq!(seen, 21, "none is left out and none is told twice");
        let page = fixture.ledger.find_problems(&ProblemSearch::first(3)).await.expect("a page");
        assert_eq!(page.problems.len(), 9, "three of each kind");
    }

    async fn many_problems_of_one_cause_are_told_as_a_number_and_listed_where_they_are_asked_for(fixture: &Fixture) {
        let many = i64::from(LISTED_SINGLY) + 3;
        for n in 0..many {
            let work = fixture.submit(&format!("CRM-{n}"), &["waste"]).await.remove(0);
            fixture.record(&[settle(&work, park())]).await;
            fixture.refuse(&n.to_string(), None, &format!("no route for \"x{n}\" ({n})"), n).await;
        }
        fixture.refuse("other", None, "it is not JSON", 1).await;
        let page = fixture.ledger.find_problems(&ProblemSearch::first(9)).await.expect("a page");
        let [Problem::ParkedAlike { count, .. }, Problem::RefusedAlike { cause, count: refused, .. }, Problem::Refused { reason, .. }] =
            &page.problems[..]
        else {
            panic!("{:?}", page.problems)
        };
        let all = u64::try_from(many).expect("a number");
        assert_eq!((*count, *refused, reason.as_str()), (all, all, "it is not JSON"));
        assert_eq!(page.tallies.iter().map(|tally| (tally.total, tally.left)).collect::<Vec<_>>(), [(all, 0), (all + 1, 0)]);
        let listed = async |search: ProblemSearch| {
            let page = fixture.ledger.find_problems(&search).await.expect("a page");
            (page.problems.len(), page.tallies[0].total)
        };
        let of_cause = ProblemSearch { cause: Some(cause.clone()), ..ProblemSearch::first(99) };
        assert_eq!(listed(of_cause).await, (23, all));
        let of_system = ProblemSearch {
            kind: Some(ProblemKind::Parked),
            system: Some(system("waste")),
            ..ProblemSearch::first(99)
        };
        assert_eq!(listed(of_system).await, (23, all));
        let jo = person();
        let gone = fixture.ledger.dismiss(&Dismissal::Cause(cause.clone()), &jo, at(99)).await.expect("dismissed");
        assert_eq!(gone, all);
        let left = fixture.ledger.find_problems(&ProblemSearch::first(9)).await.expect("a page");
        assert_eq!(left.tallies[1].total, 1);
    }

    async fn what_is_dismissed_leaves_the_list_and_is_kept_with_who_and_why(fixture: &Fixture) {
        fixture.refuse("1", Some("CRM-1"), "no route", 1).await;
        fixture.hear(said("housing", "0123456789abcdef", "H-1", "Completed")).await;
        let problems = fixture.ledger.problems(9).await.expect("problems");
        let [Problem::Orphan(orphan), Problem::Refused { name, .. }] = &problems[..] else { panic!("{problems:?}") };
        let dismiss = async |name: &str| {
            let which = Dismissal::One(name.to_owned());
            fixture.ledger.dismiss(&which, &person(), at(50)).await.expect("a write")
        };
        assert_eq!((dismiss("ffffffff").await, dismiss(&name[..5]).await, dismiss(name).await), (0, 1, 0));
        assert_eq!(dismiss(&orphan.key[..12]).await, 1);
        assert!(fixture.ledger.problems(9).await.expect("problems").is_empty());
        let kept = fixture.ledger.refusals(name, 9).await.expect("a read").remove(0);
        assert_eq!(kept.settled, Some((at(50), "dismissed".to_owned())));
        let change = &kept.changes[0];
        assert_eq!((change.by.as_str(), change.because.as_str(), change.at), ("jo", "it is so", at(50)));
        // The same again stays dismissed; in other words it is told again. News is heard when its work turns up.
        fixture.refuse("1", Some("CRM-1"), "no route", 60).await;
        assert!(fixture.ledger.problems(9).await.expect("problems").is_empty());
        fixture.refuse("1", Some("CRM-1"), "no such service", 70).await;
        assert_eq!(fixture.ledger.problems(9).await.expect("problems").len(), 1);
        fixture.deliver("CRM-9", "housing", "H-1").await;
        let history = fixture.ledger.ticket(None, &ticket("CRM-9")).await.expect("a read").expect("known");
        assert_eq!(history.completions.len(), 1, "what was dismissed is heard all the same");
    }

    async fn a_refusal_leaves_the_list_when_its_ticket_comes_in_and_returns_with_it(fixture: &Fixture) {
        fixture.refuse("1", Some("CRM-1"), "no route", -60).await;
        fixture.refuse("2", Some("CRM-2"), "no route", -60).await;
        fixture.submit("CRM-1", &["waste"]).await;
        let problems = fixture.ledger.problems(9).await.expect("problems");
        let [Problem::Refused { ticket: Some(left), .. }] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(left.as_str(), "CRM-2");
        assert_eq!(fixture.ledger.settle_refusals(at(10)).await.expect("settled"), 1);
        assert_eq!(fixture.ledger.settle_refusals(at(11)).await.expect("settled"), 0);
        assert_eq!(fixture.ledger.problems(9).await.expect("problems").len(), 1);
        fixture.refuse("1", Some("CRM-1"), "no route", 90).await;
        assert_eq!(fixture.ledger.problems(9).await.expect("problems").len(), 2, "it is wrong again");
    }

    async fn a_refused_change_is_put_right_by_another_change_and_not_by_the_request(fixture: &Fixture) {
        let refused = Refusal { revision: Some(Revision::Amended), ..refused("1", Some("CRM-1"), "no data", -60) };
        fixture.ledger.refuse(&[refused], &fixture.lessee).await.expect("refused");
        fixture.submit("CRM-1", &["waste"]).await;
        assert_eq!(fixture.ledger.problems(9).await.expect("problems").len(), 1);
        let amended = revised("a1", "CRM-1", Revision::Amended, json!({"reason": "the gate is locked"}));
        fixture.accept(&[amended]).await;
        assert!(fixture.ledger.problems(9).await.expect("problems").is_empty());
    }

    async fn a_contradiction_is_a_problem_until_it_is_dismissed_or_its_ticket_is_open(fixture: &Fixture) {
        for n in 1..=2 {
            fixture.deliver(&format!("CRM-{n}"), "waste", &format!("W-{n}")).await;
            let work = fixture.complete(&[said("waste", &format!("k{n}"), &format!("W-{n}"), "Completed")]).await.work;
            fixture.record(&[settle(&work[0], delivered("c"))]).await;
            fixture.hear(said("waste", &format!("0000{n}later"), &format!("W-{n}"), "No Access")).await;
        }
        let problems = fixture.ledger.problems(9).await.expect("problems");
        let [Problem::Contradiction { line, completion }, Problem::Contradiction { .. }] = &problems[..] else {
            panic!("{problems:?}")
        };
        assert_eq!((line.state, completion.said.as_str()), (RequestState::Closed, "No Access"));
        let which = Dismissal::One("00001later".to_owned());
        assert_eq!(fixture.ledger.dismiss(&which, &person(), at(90)).await.expect("a write"), 1);
        assert_eq!(fixture.ledger.problems(9).await.expect("problems").len(), 1);
        fixture.accept(&[revised("r2", "CRM-2", Revision::Reopened, json!({"reason": "it is back"}))]).await;
        assert!(fixture.ledger.problems(9).await.expect("problems").is_empty());
    }

    async fn the_backlog_counts_what_is_not_done_with_by_system_and_council(fixture: &Fixture) {
        for n in 1..=3 {
            fixture.deliver(&format!("CRM-{n}"), "waste", &format!("W-{n}")).await;
        }
        let work = fixture.submit("CRM-4", &["housing"]).await.remove(0);
        fixture.record(&[settle(&work, park())]).await;
        fixture.hear(said("waste", "k1", "W-1", "No Access")).await;
        fixture.hear(said("waste", "k9", "W-9", "Completed")).await;
        let work = fixture.complete(&[said("waste", "k3", "W-3", "Completed")]).await.work.remove(0);
        assert!(fixture.ledger.backlog(at(60)).await.expect("counts").closures.is_empty());
        fixture.record(&[settle(&work, again(at(0), Phase::Send))]).await;
        let claimed = fixture.ledger.claim_due(&system("crm"), 9, at(60), fixture.lessee.worker).await.expect("a claim");
        fixture.record(&[settle(&claimed[0], again(at(0), Phase::Send))]).await;
        let mut backlog = fixture.ledger.backlog(at(60)).await.expect("counts");
        backlog.tickets.sort_by_key(|(_, state, _)| state.as_str());
        let states: Vec<_> = backlog.tickets.iter().map(|(_, state, count)| (state.as_str(), *count)).collect();
        assert_eq!(states, [("closing", 1), ("held", 1), ("open", 2)]);
        backlog.handovers.sort_by_key(|(system, state, _)| (system.clone(), state.as_str()));
        let pieces: Vec<_> =
            backlog.handovers.iter().map(|(system, state, count)| (system.as_str(), state.as_str(), *count)).collect();
        assert_eq!(pieces, [("crm", "due", 1), ("housing", "parked", 1), ("waste", "awaiting", 1)]);
        assert_eq!(backlog.orphans, [(system("waste"), 1)]);
        assert_eq!(backlog.closures.iter().map(|one| one.count).collect::<Vec<_>>(), [1]);
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
        ("mysql://dovetail:secret@db/dovetail", "mysql://dovetail:***@db/dovetail"),
        ("sqlite::memory:", "sqlite::memory:"),
        ("sqlite:", "sqlite:"),
        ("sqlite:ledger.db?mode=rwc", "sqlite:ledger.db?mode=rwc"),
    ] {
        let opened = open(address, closer(), reader(), 2).await;
        let Err(Error::Address(shown)) = opened else { panic!("{address} was opened") };
        assert_eq!(shown, expected);
    }
}
