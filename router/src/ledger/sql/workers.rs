//! Who lives, and what is taken over from those who do not.

use jiff::Timestamp;

use super::SqlLedger;
use super::store::{Statement, Tx};
use crate::ledger::{Error, Rescued, WorkerId};

impl SqlLedger {
    pub(super) async fn beat(&self, worker: WorkerId, now: Timestamp) -> Result<(), Error> {
        let doubts = self.doubts.take();
        let mut tx = self.store.begin().await?;
        let statement = Statement::new(
            "insert into workers (id, seen_at) values ($1, $2) \
             on conflict (id) do update set seen_at = excluded.seen_at",
        )
        .text(worker.0.to_string())
        .int(now.as_millisecond());
        tx.run(statement).await?;
        doubts.free(&mut tx).await?;
        tx.commit().await?;
        doubts.settled();
        Ok(())
    }

    pub(super) async fn take_over(&self, dead_before: Timestamp) -> Result<Rescued, Error> {
        let mut tx = self.store.begin().await?;
        let forget =
            Statement::new("delete from workers where seen_at < $1").int(dead_before.as_millisecond());
        tx.run(forget).await?;
        // What is being settled at this moment is left alone.
        let calls = "with left_behind as (select council, id from due where worker is not null \
                     and worker not in (select id from workers) {skip locked}) \
                     update due set worker = null, rescued = 1 from left_behind \
                     where due.council = left_behind.council and due.id = left_behind.id returning 1";
        let events = "with left_behind as (select id from outbox where worker is not null \
                      and worker not in (select id from workers) {skip locked}) \
                      update outbox set worker = null from left_behind where outbox.id = left_behind.id returning 1";
        let rescued = Rescued { calls: count(&mut tx, calls).await?, events: count(&mut tx, events).await? };
        if rescued.calls + rescued.events == 0 {
            tx.close().await?
        } else {
            tx.commit().await?
        }
        Ok(rescued)
    }

    pub(super) async fn give_up(&self, worker: WorkerId) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        for sql in [
            // What was on its way when the worker stopped may have been carried out.
            "update due set worker = null, rescued = 1 where worker = $1 and begun = 0",
            "update outbox set worker = null where worker = $1",
            "delete from workers where id = $1",
        ] {
            tx.run(Statement::new(sql).text(worker.0.to_string())).await?;
        }
        tx.commit().await
    }
}

async fn count(tx: &mut Tx, sql: &'static str) -> Result<u64, Error> {
    Ok(tx.run(Statement::new(sql)).await?.len() as u64)
}
