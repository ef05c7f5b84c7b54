//! Writes that come one by one and are flushed together, and commits whose answer is lost.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fixture::*;
use super::{Fixture, both};
use crate::ledger::sql::SqlLedger;
use crate::ledger::{Accepted, Correlated, Failed, Recorded, Writer, Written};

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
            writer.mark_published(event.id).await.expect("published");
        }
        assert_eq!(fixture.ledger.counts().await.expect("counts").outbox, 0);

        shutdown.cancel();
        lane.join_next().await.expect("a task").expect("it ends");
        let late = writer.accept(arrival("late", "CRM-late", &["waste"])).await;
        assert!(matches!(late, Err(Failed::Stopped)));
    }

    async fn a_lease_that_its_worker_never_heard_of_is_freed_by_its_heartbeat(fixture: &Fixture) {
        let ledger = SqlLedger::connect(&fixture.address, closer(), reader(), 2).await.expect("it opens");
        let free = fixture.lessee.room.of(&system("waste")).free();
        let written: Written<Accepted> = fixture.accept(&[arrival("1", "CRM-1", &["waste"])]).await;
        // As after a commit whose answer was lost.
        ledger.doubt(&fixture.lessee, &written);
        assert_eq!(fixture.lessee.room.of(&system("waste")).free(), free);
        assert!(fixture.claim("waste", 1, at(0)).await.is_empty());
        use crate::ledger::Ledger;
        ledger.heartbeat(fixture.lessee.worker, at(5)).await.expect("a heartbeat");
        let claimed = fixture.claim("waste", 1, at(0)).await;
        assert_eq!(claimed.len(), 1);
        assert!(!claimed[0].rescued);
        let events = fixture.ledger.claim_outbox(9, fixture.lessee.worker).await.expect("a claim");
        assert_eq!(events.len(), 1);

        // The doubt is over: the next heartbeat leaves the new lease alone.
        ledger.heartbeat(fixture.lessee.worker, at(6)).await.expect("a heartbeat");
        let recorded = fixture.record(&[settle(&claimed[0], delivered("W-1"))]).await;
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
