//! Who lives, and what is taken over from those who do not.

use jiff::Timestamp;
use mappings::domain::SystemName;
use uuid::Uuid;

use super::SqlLedger;
use super::store::{Row, Statement, Tx};
use crate::ledger::{Agreement, Beat, Error, Peer, Rescued, WorkerId};

impl SqlLedger {
    pub(super) async fn beat(&self, worker: WorkerId, now: Timestamp) -> Result<Beat, Error> {
        let doubts = self.doubts.take();
        let mut tx = self.store.begin().await?;
        let of = |sql| Statement::new(sql).text(worker.0.to_string()).int(now.as_millisecond());
        let known = tx.run(of("update workers set seen_at = $2 where id = $1 returning id")).await?;
        let forgotten = known.is_empty();
        if forgotten {
            let sql = "insert into workers (id, seen_at) values ($1, $2) \
                       on conflict (id) do update set seen_at = excluded.seen_at";
            tx.run(of(sql)).await?;
        }
        doubts.free(&mut tx).await?;
        tx.commit().await?;
        doubts.settled();
        // Read after the commit: of two that come at once, at least one sees the other.
        let mut tx = self.store.snapshot().await?;
        let rows =
            tx.run(Statement::new("select id, agreed, lagging, home from workers order by id")).await?;
        tx.commit().await?;
        let peers = rows.into_iter().map(|mut row| peer(&mut row)).collect::<Result<_, _>>()?;
        Ok(Beat { peers, forgotten })
    }

    pub(super) async fn keep_home(&self, worker: WorkerId, home: &str) -> Result<(), Error> {
        let sql = "update workers set home = $2 where id = $1";
        self.alone(Statement::new(sql).text(worker.0.to_string()).text(home)).await.map(drop)
    }

    pub(super) async fn forget(&self, workers: &[WorkerId]) -> Result<(), Error> {
        let sql = "with v as ({rows}) delete from workers where id in (select id from v)";
        self.alone(Statement::new(sql).texts("id", workers, |worker| worker.0.to_string())).await.map(drop)
    }

    pub(super) async fn keep_agreement(&self, worker: WorkerId, agreement: &Agreement) -> Result<(), Error> {
        let lagging: Vec<&str> = agreement.lagging.iter().map(SystemName::as_str).collect();
        let statement = Statement::new("update workers set agreed = $2, lagging = $3 where id = $1")
            .text(worker.0.to_string())
            .int(agreement.among)
            .text(lagging.join(","));
        self.alone(statement).await.map(drop)
    }

    pub(super) async fn take_over(&self, dead_before: Timestamp) -> Result<Rescued, Error> {
        let mut tx = self.store.begin().await?;
        let forget =
            Statement::new("delete from workers where seen_at < $1").int(dead_before.as_millisecond());
        tx.run(forget).await?;
        tx.run(Statement::new("delete from probes where id not in (select id from workers)")).await?;
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
            "delete from probes where id = $1",
        ] {
            tx.run(Statement::new(sql).text(worker.0.to_string())).await?;
        }
        tx.commit().await
    }
}

fn peer(row: &mut Row) -> Result<Peer, Error> {
    let worker = row.get("workers.id", |id| Uuid::parse_str(id).map(WorkerId))?;
    let among = row.maybe_int("workers.agreed")?;
    let lagging = row.maybe_text("workers.lagging")?.unwrap_or_default();
    let lagging = lagging.split(',').filter(|name| !name.is_empty()).map(SystemName::parse).collect();
    let lagging: Vec<SystemName> = Result::map_err(lagging, |_: mappings::domain::InvalidId| {
        Error::Stored { column: "workers.lagging", found: "a name that is none".to_owned() }
    })?;
    let home = row.maybe_text("workers.home")?;
    Ok(Peer { worker, agreed: among.map(|among| Agreement { among, lagging }), home })
}

async fn count(tx: &mut Tx, sql: &'static str) -> Result<u64, Error> {
    Ok(tx.run(Statement::new(sql)).await?.len() as u64)
}
