//! Exactly one closure, or a person.

use mappings::domain::{Council, Disposition, Request, RequestState};
use serde_json::json;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::{Correlated, History, Stop};

both! {
    async fn a_ticket_of_two_systems_closes_when_both_ended(fixture: &Fixture) {
        let works = fixture.submit("CRM-1", &["waste", "housing"]).await;
        fixture.record(&[settle(&works[0], delivered("W-1")), settle(&works[1], delivered("H-1"))]).await;
        let first = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await;
        assert!(first.work.is_empty());
        assert_eq!(first.events[0].kind.word(), "ticket.progressed");
        let second = fixture.complete(&[said("housing", "k1", "H-1", "Not Out")]).await;
        assert_eq!(second.work.len(), 1);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.disposition, Some(Disposition::Declined));
        let evidence = &second.work[0].payload.as_ref().expect("a closure")["evidence"];
        assert_eq!(evidence.as_array().map(Vec::len), Some(2));
    }

    async fn concurrent_completions_of_two_handovers_write_one_closure(fixture: &Fixture) {
        let (other, other_lessee) = fixture.another().await;
        for round in 0..25 {
            let tickets: Vec<String> = (0..8).map(|n| format!("CRM-{round}-{n}")).collect();
            let batch: Vec<_> = tickets.iter().map(|t| arrival(t, t, &["waste", "housing"])).collect();
            let works = fixture.accept(&batch).await.work;
            let settled: Vec<_> = works
                .iter()
                .map(|work| settle(work, delivered(&format!("{}-{}", work.system, work.ticket))))
                .collect();
            fixture.record(&settled).await;
            let words = |system: &str| -> Vec<_> {
                let word = |t: &String| said(system, t, &format!("{system}-{t}"), "Completed");
                tickets.iter().map(word).collect()
            };
            let (waste, mut housing) = (words("waste"), words("housing"));
            housing.reverse();
            let (one, two) = tokio::join!(
                fixture.ledger.complete(&waste, &fixture.lessee),
                other.complete(&housing, &other_lessee),
            );
            let closures = one.expect("complete").work.len() + two.expect("complete").work.len();
            assert_eq!(closures, tickets.len());
            for ticket in &tickets {
                let history = fixture.history(ticket).await;
                assert_eq!(history.line.state, RequestState::Closing);
                assert_eq!(words_of_closing(&history), 1);
            }
        }
    }

    async fn completions_of_both_handovers_in_one_batch_write_one_closure(fixture: &Fixture) {
        let works = fixture.submit("CRM-1", &["waste", "housing"]).await;
        fixture.record(&[settle(&works[0], delivered("W-1")), settle(&works[1], delivered("H-1"))]).await;
        let written = fixture
            .complete(&[said("waste", "k1", "W-1", "Completed"), said("housing", "k1", "H-1", "Completed")])
            .await;
        assert_eq!(written.work.len(), 1);
        assert_eq!(words_of_closing(&fixture.history("CRM-1").await), 1);
    }

    async fn a_disposition_that_may_not_close_by_itself_holds_the_ticket(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let written = fixture.complete(&[said("waste", "k1", "W-1", "No Access")]).await;
        assert_eq!(written.replies, [Ok(Correlated::Applied)]);
        assert!(written.work.is_empty());
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Held);
        assert_eq!(history.line.reason.as_deref(), Some("it ended as no_access"));
    }

    async fn where_no_crm_takes_calls_the_ticket_is_closed_by_its_event(fixture: &Fixture) {
        let work = fixture.accept(&[arrival_of("epping", "1", "T-1", &["waste"])]).await.work.remove(0);
        fixture.record(&[settle(&work, delivered("W-1"))]).await;
        let written = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await;
        assert!(written.work.is_empty());
        assert_eq!(written.events[0].kind.word(), "ticket.closed");
        assert_eq!(written.events[0].data["evidence"][0]["system"], "waste");
        let history = fixture.ledger.ticket(None, &work.ticket).await.expect("a read").expect("a ticket");
        assert_eq!(history.line.state, RequestState::Closed);
        assert_eq!(history.line.closed_at, Some(at(10)));
    }

    async fn a_closure_that_finds_no_room_is_claimed_with_all_it_carries(fixture: &Fixture) {
        fixture.deliver("CRM-1", "waste", "W-1").await;
        let word = said("waste", "k1", "W-1", "Completed");
        let written = fixture.ledger.complete(&[word], &full_lessee()).await.expect("complete");
        assert!(written.work.is_empty());
        let close = fixture.claim("crm", 10, at(10)).await.remove(0);
        assert_eq!(close.payload.as_ref().expect("a closure")["say"], "It is done.");
        assert_eq!(close.document["ticket"], "CRM-1");
    }

    async fn a_closure_that_can_be_stopped_is_written_when_its_time_is_over(fixture: &Fixture) {
        ended(fixture, "CRM-1").await;
        let history = patient(fixture, "CRM-1").await;
        assert_eq!((history.line.state, history.line.closes_at), (RequestState::Closing, Some(at(70))));
        assert_eq!(words(&history), ["ticket.accepted", "ticket.handed-over", "ticket.progressed"]);
        assert_eq!(close_due(fixture, 69).await, 0);
        let (one, other) = tokio::join!(close_due(fixture, 70), close_due(fixture, 70));
        assert_eq!(one + other, 1, "written once");
        let history = patient(fixture, "CRM-1").await;
        assert_eq!((history.line.state, history.line.closed_at), (RequestState::Closed, Some(at(70))));
        assert_eq!(words(&history).last(), Some(&"ticket.closed"));
        assert_eq!(close_due(fixture, 100).await, 0);
    }

    async fn a_closure_that_was_stopped_is_never_written(fixture: &Fixture) {
        ended(fixture, "CRM-1").await;
        assert!(stop(fixture, "CRM-1").await);
        assert!(!stop(fixture, "CRM-1").await, "there is nothing left to stop");
        assert_eq!(close_due(fixture, 100).await, 0);
        let history = patient(fixture, "CRM-1").await;
        assert_eq!((history.line.state, history.line.disposition), (RequestState::Held, None));
        assert_eq!(words(&history).last(), Some(&"ticket.held"));
        assert!(!stop(fixture, "CRM-9").await, "nobody knows that ticket");
    }

    async fn a_closure_is_stopped_or_written_and_never_both(fixture: &Fixture) {
        for round in 0..20 {
            let ticket = format!("CRM-{round}");
            ended(fixture, &ticket).await;
            let (stopped, closed) = tokio::join!(stop(fixture, &ticket), close_due(fixture, 100));
            assert_eq!(usize::from(stopped) + closed, 1, "{ticket}");
            let events = words(&patient(fixture, &ticket).await);
            let last = if stopped { "ticket.held" } else { "ticket.closed" };
            assert_eq!(events.last(), Some(&last), "{events:?}");
            assert_eq!(events.iter().filter(|word| **word == "ticket.closed").count(), closed);
        }
    }

    async fn news_that_contradicts_stops_a_closure(fixture: &Fixture) {
        ended(fixture, "CRM-1").await;
        let heard = fixture.hear(timed(said("waste", "k-other", "W-CRM-1", "Not Out"), 20)).await;
        assert_eq!(heard, Correlated::Held);
        assert_eq!(close_due(fixture, 100).await, 0);
        let line = patient(fixture, "CRM-1").await.line;
        assert_eq!(line.state, RequestState::Held);
        assert!(line.reason.as_deref().is_some_and(|why| why.contains("so the ticket was not closed")), "{line:?}");
    }

    async fn the_formats_that_the_customer_needs_go_with_the_closure(fixture: &Fixture) {
        let mut one = arrival("CRM-1", "CRM-1", &["waste"]);
        let crate::ledger::Change::Submitted { request, .. } = &mut one.change else { panic!("a request") };
        let mut document = (*request.document).clone();
        document["customer"] = json!({"needs": ["large print"]});
        *request = Request::parse(document).expect("a request");
        let work = fixture.accept(&[one]).await.work.remove(0);
        fixture.record(&[settle(&work, delivered("W-1"))]).await;
        let closed = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await;
        let payload = closed.work[0].payload.as_ref().expect("a closure");
        assert_eq!(payload["needs"], json!(["large print"]));
    }
}

fn words_of_closing(history: &crate::ledger::History) -> usize {
    words(history).into_iter().filter(|word| *word == "ticket.closed").count()
}

/// A ticket of the council that waits a minute before it closes, with its work done.
async fn ended(fixture: &Fixture, ticket: &str) {
    let work = fixture.accept(&[arrival_of("patient", ticket, ticket, &["waste"])]).await.work.remove(0);
    let job = format!("W-{ticket}");
    fixture.record(&[settle(&work, delivered(&job))]).await;
    assert_eq!(fixture.hear(said("waste", ticket, &job, "Completed")).await, Correlated::Applied);
}

async fn patient(fixture: &Fixture, ticket: &str) -> History {
    let council = Council::parse("patient").expect("a council");
    let found = fixture.ledger.ticket(Some(&council), &self::ticket(ticket)).await.expect("a read");
    found.expect("the ticket")
}

async fn close_due(fixture: &Fixture, seconds: i64) -> usize {
    let written = fixture.ledger.close_due(at(seconds), 100, &fixture.lessee).await.expect("a write");
    written.replies.iter().filter(|reply| matches!(reply, Ok(true))).count()
}

async fn stop(fixture: &Fixture, ticket: &str) -> bool {
    let council = Council::parse("patient").expect("a council");
    let stop = Stop { council, ticket: self::ticket(ticket), by: "adviser-17".into() };
    fixture.ledger.stop_closure(&stop, at(15), &fixture.lessee).await.expect("a write")
}
