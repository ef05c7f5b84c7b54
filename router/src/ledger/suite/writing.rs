//! Writes that come one by one and are flushed together, and commits whose answer is lost.

use std::sync::Arc;

use mappings::domain::{Phase, RequestState};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::sql::SqlLedger;
use crate::ledger::{Accepted, Batch, Correlated, Failed, Lease, Ledger, Recorded, Work, Writer, Written};

both! {
    async fn every_caller_gets_its_own_reply_and_what_is_left_to_do_is_sent_on(fixture: &Fixture) {
        let (events_in, mut events) = mpsc::unbounded_channel();
        let (work_in, mut work) = mpsc::unbounded_channel();
        let (writer, lanes) =
            Writer::new(Arc::clone(&fixture.ledger), fixture.lessee.clone(), events_in, work_in);
        let shutdown = CancellationToken::new();
        let mut lane = JoinSet::new();
        lane.spawn(lanes.run(shutdown.clone()));

        let mut callers = JoinSet::new();
        for n in 0..300 {
            let writer = writer.clone();
            callers.spawn(async move {
                let ticket = format!("CRM-{}", n % 150);
                (n, writer.accept(arrival(&n.to_string(), &ticket, &["waste"])).await.expect("accept"))
            });
        }
        let replies = callers.join_all().await;
        let new = replies.iter().filter(|(_, reply)| matches!(reply, Accepted::New(_))).count();
        assert_eq!(new, 150);
        for _ in 0..150 {
            let work = work.recv().await.expect("work");
            let call = (work.call, work.council.clone(), work.lease);
            assert_eq!(writer.begin(call.0, call.1, call.2).await.expect("begin"), Recorded::Written);
            let job = format!("W-{}", work.ticket);
            let recorded = writer.record(settle(&work, delivered(&job))).await.expect("record");
            assert_eq!(recorded, Recorded::Written);
            let heard = writer.complete(said("waste", &job, &job, "In Progress")).await.expect("complete");
            assert_eq!(heard, Correlated::Applied);
        }
        for _ in 0..450 {
            let event = events.recv().await.expect("an event");
            writer.mark_published(vec![event.id]).await.expect("published");
        }
        assert_eq!(fixture.ledger.counts().await.expect("counts").outbox, 0);

        shutdown.cancel();
        lane.join_next().await.expect("a task").expect("it ends");
        let late = writer.accept(arrival("late", "CRM-late", &["waste"])).await;
        assert!(matches!(late, Err(Failed::Stopped)));
    }

    async fn what_comes_together_is_written_as_it_would_be_one_after_the_other(fixture: &Fixture) {
        let mut works = Vec::new();
        for ticket in ["CRM-1", "CRM-2", "CRM-3", "CRM-4"] {
            works.extend(fixture.submit(ticket, &["waste"]).await);
        }
        let events = fixture.ledger.claim_outbox(9, fixture.lessee.worker).await.expect("a claim");
        // The second job is known before its order is answered, the third speaks before it is.
        let early = fixture.complete(&[said("waste", "k-3", "W-3", "In Progress")]).await;
        assert_eq!(early.replies, [Ok(Correlated::Waiting)]);
        let batch = |settled: &[usize], completions| Batch {
            arrivals: vec![arrival("again", "CRM-1", &["waste"])],
            settlements: settled.iter().map(|n| settle(&works[*n], delivered(&format!("W-{}", n + 1)))).collect(),
            completions,
            published: events.iter().map(|event| event.id).collect(),
        };
        let words = vec![
            said_of("waste", "k-1", "CRM-1", "Completed"),
            said_of("waste", "k-2", "CRM-2", "In Progress"),
        ];
        let flushed = fixture.ledger.flush(&batch(&[0, 1], words), &fixture.lessee).await;
        assert!(matches!(flushed.arrivals.expect("written")[..], [Ok(Accepted::DuplicateTicket(_))]));
        assert_eq!(flushed.settlements.expect("written"), [Ok(Recorded::Written), Ok(Recorded::Written)]);
        assert_eq!(flushed.completions.expect("written"), [Ok(Correlated::Applied), Ok(Correlated::Applied)]);
        flushed.published.expect("written");
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Closing);
        assert_eq!(fixture.history("CRM-2").await.line.state, RequestState::Open);

        // What waited is heard before what came with the answer; what nobody answers to yet waits.
        let words = vec![said("waste", "k-3b", "W-3", "Completed"), said("waste", "k-9", "W-9", "Completed")];
        let flushed = fixture.ledger.flush(&batch(&[2], words), &fixture.lessee).await;
        assert_eq!(flushed.completions.expect("written"), [Ok(Correlated::Applied), Ok(Correlated::Waiting)]);
        assert_eq!(fixture.history("CRM-3").await.line.state, RequestState::Closing);

        // A row that cannot be written takes none of the other kinds along: this attempt is written already.
        fixture.record(&[settle(&works[3], again(at(1), Phase::Send))]).await;
        let mut poison = fixture.claim("waste", 1, at(4)).await.remove(0);
        poison.attempt = 1;
        let mut flood = batch(&[], vec![said("waste", "k-2b", "W-2", "Completed")]);
        flood.settlements.push(settle(&poison, delivered("W-4")));
        let flushed = fixture.ledger.flush(&flood, &fixture.lessee).await;
        assert!(matches!(flushed.settlements.expect("written")[..], [Err(_)]));
        assert_eq!(flushed.completions.expect("written"), [Ok(Correlated::Applied)]);
        assert_eq!(fixture.history("CRM-2").await.line.state, RequestState::Closing);
    }

    async fn a_lease_that_its_worker_never_heard_of_is_freed_by_its_heartbeat(fixture: &Fixture) {
        let ledger = SqlLedger::connect(&fixture.address, closer(), reader(), 2).await.expect("it opens");
        let free = fixture.lessee.room.of(&system("waste")).free();
        let written: Written<Accepted> = fixture.accept(&[arrival("1", "CRM-1", &["waste"])]).await;
        // As after a commit whose answer was lost.
        ledger.doubt(&fixture.lessee, &written);
        assert_eq!(fixture.lessee.room.of(&system("waste")).free(), free);
        assert!(fixture.claim("waste", 1, at(0)).await.is_empty());
        ledger.heartbeat(fixture.lessee.worker, at(5)).await.expect("a heartbeat");
        let claimed = fixture.claim("waste", 1, at(0)).await;
        assert_eq!(claimed.len(), 1);
        assert!(!claimed[0].rescued);
        assert_eq!(claimed[0].attempt, 1, "nothing was tried before");
        let events = fixture.ledger.claim_outbox(9, fixture.lessee.worker).await.expect("a claim");
        assert_eq!(events.len(), 1);

        // The doubt is over: the next heartbeat leaves the new lease alone.
        ledger.heartbeat(fixture.lessee.worker, at(6)).await.expect("a heartbeat");
        let recorded = fixture.record(&[settle(&claimed[0], delivered("W-1"))]).await;
        assert_eq!(recorded.replies, [Ok(Recorded::Written)]);
    }

    async fn a_lease_that_was_never_written_is_not_taken_for_the_one_that_came_after_it(fixture: &Fixture) {
        let ledger = SqlLedger::connect(&fixture.address, closer(), reader(), 2).await.expect("it opens");
        let first = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        fixture.record(&[settle(&first, again(at(0), Phase::Send))]).await;
        // As after a claim that failed before it was committed.
        let work = vec![Work { lease: Lease(first.lease.0 + 1), ..first }];
        ledger.doubt(&fixture.lessee, &Written::<Accepted> { replies: Vec::new(), events: Vec::new(), work });
        let worker = fixture.lessee.worker;
        let held = ledger.claim_due(&system("waste"), 1, at(0), worker).await.expect("a claim").remove(0);
        ledger.heartbeat(worker, at(5)).await.expect("a heartbeat");
        assert!(fixture.claim("waste", 1, at(5)).await.is_empty(), "it is held");
        let recorded = fixture.record(&[settle(&held, delivered("W-1"))]).await;
        assert_eq!(recorded.replies, [Ok(Recorded::Written)]);
    }
}

#[tokio::test]
async fn connections_that_the_server_ends_are_replaced() {
    let fixture = Fixture::postgres_database().await;
    for n in 0..3 {
        fixture.submit(&format!("CRM-{n}"), &["waste"]).await;
        fixture.end_all_connections().await;
    }
    assert!(fixture.ledger.now().await.is_ok());
    fixture.remove().await;
}
