//! The ledger in SQL, written once for PostgreSQL and SQLite.

mod accept;
mod claim;
mod closings;
mod complete;
mod doubts;
mod draft;
mod hear;
mod history;
mod inbox;
mod lists;
mod openings;
mod outbox;
mod polls;
mod record;
mod refuse;
mod store;
mod transition;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{CallId, Council, EventId, SystemName, Ticket};

use self::accept::Accept;
use self::complete::Complete;
use self::doubts::Doubts;
use self::record::Record;
use self::refuse::Refuse;
use self::store::{Fault, Row, Statement, Store, fault};
pub use self::store::{add_schema, remove_schema};
use super::{
    Accepted, Arrival, Check, Closer, Completion, Correlated, Counts, Error, Filter, History, Lease, Ledger,
    Lessee, Line, Problem, Reader, Recorded, Refusal, Rescued, Settlement, Stop, Work, WorkerId, Written,
};
use crate::event::Event;

/// Opens the ledger at `postgres://…` or `sqlite:<path>` and brings its tables up to date.
///
/// # Errors
/// [`Error::Address`] for any other address; otherwise the database's own.
pub async fn open(
    address: &str,
    closer: Closer,
    reader: Reader,
    max_connections: u32,
) -> Result<Arc<dyn Ledger>, Error> {
    Ok(Arc::new(SqlLedger::connect(address, closer, reader, max_connections).await?))
}

/// The ledger in a database.
pub(super) struct SqlLedger {
    store: Store,
    closer: Closer,
    reader: Reader,
    doubts: Doubts,
}

impl SqlLedger {
    pub(super) async fn connect(
        address: &str,
        closer: Closer,
        reader: Reader,
        max_connections: u32,
    ) -> Result<Self, Error> {
        let store = Store::open(address, max_connections).await?;
        Ok(Self { store, closer, reader, doubts: Doubts::default() })
    }

    /// Behaves as after a commit whose answer was lost.
    #[cfg(test)]
    pub(super) fn doubt<R>(&self, lessee: &Lessee, written: &Written<R>) {
        self.doubts.add(lessee, written);
    }

    /// Runs one statement in a transaction of its own, again where others were in the way.
    async fn alone(&self, statement: Statement) -> Result<Vec<Row>, Error> {
        let mut tries = 0;
        loop {
            let error = match self.alone_once(statement.clone()).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            tries += 1;
            if !matches!(fault(&error), Fault::Contention | Fault::Taken) || tries == transition::TRIES {
                return Err(error);
            }
        }
    }

    async fn alone_once(&self, statement: Statement) -> Result<Vec<Row>, Error> {
        let mut tx = self.store.begin().await?;
        let rows = tx.run(statement).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

#[async_trait]
impl Ledger for SqlLedger {
    async fn now(&self) -> Result<Timestamp, Error> {
        self.store.now().await
    }

    async fn accept(&self, batch: &[Arrival], lessee: &Lessee) -> Result<Written<Accepted>, Error> {
        self.write(&Accept, batch, lessee).await
    }

    async fn refuse(&self, batch: &[Refusal], lessee: &Lessee) -> Result<Written<bool>, Error> {
        self.write(&Refuse, batch, lessee).await
    }

    async fn claim_due(
        &self,
        system: &SystemName,
        most: usize,
        now: Timestamp,
        worker: WorkerId,
    ) -> Result<Vec<Work>, Error> {
        self.lease_due(system, most, now, worker).await
    }

    async fn begin(&self, batch: &[(CallId, Council, Lease)]) -> Result<Vec<Recorded>, Error> {
        self.mark_begun(batch).await
    }

    async fn record(&self, batch: &[Settlement], lessee: &Lessee) -> Result<Written<Recorded>, Error> {
        let record = Record { closer: &self.closer, reader: &self.reader };
        self.write(&record, batch, lessee).await
    }

    async fn complete(&self, batch: &[Completion], lessee: &Lessee) -> Result<Written<Correlated>, Error> {
        let complete = Complete { closer: &self.closer, reader: &self.reader };
        self.write(&complete, batch, lessee).await
    }

    async fn close_due(&self, now: Timestamp, most: usize, lessee: &Lessee) -> Result<Written<bool>, Error> {
        self.close_what_is_due(now, most, lessee).await
    }

    async fn stop_closure(&self, stop: &Stop, now: Timestamp, lessee: &Lessee) -> Result<bool, Error> {
        self.stop(stop, now, lessee).await
    }

    async fn claim_outbox(&self, most: usize, worker: WorkerId) -> Result<Vec<Event>, Error> {
        self.lease_outbox(most, worker).await
    }

    async fn mark_published(&self, events: &[EventId]) -> Result<(), Error> {
        self.take_published(events).await
    }

    async fn claim_poll(
        &self,
        system: &SystemName,
        now: Timestamp,
        every: Duration,
    ) -> Result<Option<Option<Timestamp>>, Error> {
        self.take_turn(system, now, every).await
    }

    async fn advance_poll(&self, system: &SystemName, position: Timestamp) -> Result<(), Error> {
        self.move_position(system, position).await
    }

    async fn claim_checks(
        &self,
        system: &SystemName,
        before: Timestamp,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Check>, Error> {
        self.take_checks(system, before, now, most).await
    }

    async fn heartbeat(&self, worker: WorkerId, now: Timestamp) -> Result<(), Error> {
        self.beat(worker, now).await
    }

    async fn rescue(&self, dead_before: Timestamp) -> Result<Rescued, Error> {
        self.take_over(dead_before).await
    }

    async fn release(&self, worker: WorkerId) -> Result<(), Error> {
        self.give_up(worker).await
    }

    async fn ticket(&self, council: Option<&Council>, ticket: &Ticket) -> Result<Option<History>, Error> {
        self.history(council, ticket).await
    }

    async fn tickets(&self, filter: &Filter) -> Result<Vec<Line>, Error> {
        self.list(filter).await
    }

    async fn problems(&self, most: usize) -> Result<Vec<Problem>, Error> {
        self.waiting_for_a_person(most).await
    }

    async fn counts(&self) -> Result<Counts, Error> {
        self.count().await
    }
}
