//! The ledger in SQL, written once for PostgreSQL and SQLite.

mod accept;
mod backlog;
mod claim;
mod clocks;
mod closings;
mod complete;
mod defer;
mod dismiss;
mod doubts;
mod draft;
mod early;
mod failures;
mod figures;
mod fresh;
mod hear;
mod history;
mod inbox;
mod link;
mod lists;
mod openings;
mod outbox;
mod owners;
mod parked;
mod polls;
mod problems;
mod query;
mod reconciliations;
mod record;
mod refuse;
mod replay;
mod revise;
mod store;
mod suspects;
mod systems;
mod together;
mod transition;
mod waiting;
mod workers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{CallId, Council, EventId, HandoverId, RequestId, SystemName, Ticket};
use serde_json::Value;

use self::accept::Accept;
use self::clocks::{Due, LookAt};
use self::complete::Complete;
use self::doubts::Doubts;
use self::link::LinkNews;
use self::owners::ChangeOwner;
use self::record::Record;
use self::refuse::Refuse;
use self::replay::Resolve;
use self::store::{Fault, Row, Statement, Store, fault};
pub use self::store::{Probe, add_schema, remove_schema};
use super::{
    Accepted, Activity, Agreement, Arrival, Asked, Backlog, Batch, Beat, Check, Closer, Completion,
    Correlated, Counts, Deferral, Dismissal, Error, Failing, Filter, Flushed, Halt, History, InboxKey,
    KeptRefusal, Lease, Ledger, Lessee, Line, Link, Look, OpenJob, OwnerChange, OwnerChanged, Page, Person,
    PollFailure, ProblemPage, ProblemSearch, Reader, Reconciled, Recorded, Refusal, Rescued, Resolution,
    Resolved, Selection, Settlement, Stop, Stuck, Switch, Switched, SystemChange, Turn, Work, WorkerId,
    Written,
};
use crate::event::Event;
use crate::failpoint::{self, Write};
use crate::report::{Group, Scope};

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

/// Opens the ledger at an address to read it only: nothing is made, brought up to date or written, so that a user who may
/// only read will do.
///
/// # Errors
/// [`Error::Schema`] where there is no ledger that this release can read; otherwise as [`open`].
pub async fn open_to_read(
    address: &str,
    closer: Closer,
    reader: Reader,
    max_connections: u32,
) -> Result<Arc<dyn Ledger>, Error> {
    let store = Store::open_to_read(address, max_connections).await?;
    Ok(Arc::new(SqlLedger { store, closer, reader, doubts: Doubts::default() }))
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

    async fn suspicions(&self, deliveries: &[String]) -> Result<HashMap<String, u64>, Error> {
        self.times_suspected(deliveries).await
    }

    async fn suspect(&self, deliveries: &[String], now: Timestamp) -> Result<(), Error> {
        self.count_suspects(deliveries, now).await
    }

    async fn clear(&self, deliveries: &[String]) -> Result<(), Error> {
        self.clear_suspects(deliveries).await
    }

    async fn accept(&self, batch: &[Arrival], lessee: &Lessee) -> Result<Written<Accepted>, Error> {
        let accept = Accept { closer: &self.closer };
        failpoint::during(Write::Accept, self.write(&accept, batch, lessee)).await
    }

    async fn refuse(&self, batch: &[Refusal], lessee: &Lessee) -> Result<Written<bool>, Error> {
        failpoint::during(Write::Refuse, self.write(&Refuse, batch, lessee)).await
    }

    async fn claim_due(
        &self,
        system: &SystemName,
        most: usize,
        now: Timestamp,
        worker: WorkerId,
    ) -> Result<Vec<Work>, Error> {
        failpoint::during(Write::Claim, self.lease_due(system, most, now, worker)).await
    }

    async fn begin(&self, batch: &[(CallId, Council, Lease)]) -> Result<Vec<Recorded>, Error> {
        failpoint::during(Write::Begin, self.mark_begun(batch)).await
    }

    async fn defer(&self, batch: &[Deferral], worker: WorkerId) -> Result<Vec<Recorded>, Error> {
        self.give_back(batch, worker).await
    }

    async fn record(&self, batch: &[Settlement], lessee: &Lessee) -> Result<Written<Recorded>, Error> {
        let record = Record { closer: &self.closer, reader: &self.reader };
        failpoint::during(Write::Record, self.write(&record, batch, lessee)).await
    }

    async fn complete(&self, batch: &[Completion], lessee: &Lessee) -> Result<Written<Correlated>, Error> {
        let complete = Complete { closer: &self.closer, reader: &self.reader };
        failpoint::during(Write::Complete, self.write(&complete, batch, lessee)).await
    }

    async fn flush(&self, batch: &Batch, lessee: &Lessee) -> Flushed {
        self.flush_together(batch, lessee).await
    }

    async fn resolve(&self, batch: &[Resolution], lessee: &Lessee) -> Result<Written<Resolved>, Error> {
        let resolve = Resolve { closer: &self.closer, reader: &self.reader };
        self.write(&resolve, batch, lessee).await
    }

    async fn link(&self, batch: &[Link], lessee: &Lessee) -> Result<Written<Resolved>, Error> {
        let link = LinkNews { closer: &self.closer, reader: &self.reader };
        self.write(&link, batch, lessee).await
    }

    async fn parked(&self, selection: &Selection, most: usize) -> Result<Vec<Stuck>, Error> {
        self.select_parked(selection, most).await
    }

    async fn document(&self, council: &Council, request: RequestId) -> Result<Option<Value>, Error> {
        self.read_document(council, request).await
    }

    async fn close_due(&self, now: Timestamp, most: usize, lessee: &Lessee) -> Result<Written<bool>, Error> {
        self.close_what_is_due(now, most, lessee).await
    }

    async fn stop_closure(&self, stop: &Stop, now: Timestamp, lessee: &Lessee) -> Result<bool, Error> {
        self.stop(stop, now, lessee).await
    }

    async fn claim_outbox(&self, most: usize, worker: WorkerId) -> Result<Vec<Event>, Error> {
        failpoint::during(Write::Take, self.lease_outbox(most, worker)).await
    }

    async fn mark_published(&self, events: &[EventId]) -> Result<(), Error> {
        failpoint::during(Write::Mark, self.take_published(events)).await
    }

    async fn claim_poll(
        &self,
        system: &SystemName,
        now: Timestamp,
        every: Duration,
    ) -> Result<Option<Timestamp>, Error> {
        failpoint::during(Write::Turn, self.take_turn(system, now, every)).await
    }

    async fn keep_failure(
        &self,
        system: &SystemName,
        activity: Activity,
        failure: &PollFailure,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.add_failure((system, activity), failure, now).await
    }

    async fn end_failure(&self, system: &SystemName, activity: Activity) -> Result<(), Error> {
        self.remove_failure(system, activity).await
    }

    async fn failures(&self) -> Result<Vec<Failing>, Error> {
        self.all_failures().await
    }

    async fn advance_poll(&self, system: &SystemName, position: Timestamp) -> Result<(), Error> {
        failpoint::during(Write::Advance, self.move_position(system, position)).await
    }

    async fn claim_checks(
        &self,
        system: &SystemName,
        before: Timestamp,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Check>, Error> {
        failpoint::during(Write::Ask, self.take_checks(system, before, now, most)).await
    }

    async fn claim_reconciliation(&self, system: &SystemName, turn: &Turn) -> Result<bool, Error> {
        failpoint::during(Write::Reconcile, self.take_reconciliation(system, turn)).await
    }

    async fn open_jobs(
        &self,
        system: &SystemName,
        place: Option<(Timestamp, HandoverId)>,
        most: usize,
    ) -> Result<Vec<OpenJob>, Error> {
        self.page_of_open_jobs(system, place, most).await
    }

    async fn record_reconciliation(
        &self,
        system: &SystemName,
        worker: WorkerId,
        reconciled: &Reconciled,
    ) -> Result<bool, Error> {
        failpoint::during(Write::Reconcile, self.keep_reconciled(system, worker, reconciled)).await
    }

    async fn tell_gap(&self, system: &SystemName, why: Option<&str>, now: Timestamp) -> Result<(), Error> {
        failpoint::during(Write::Reconcile, self.keep_gap(system, why, now)).await
    }

    async fn asked(&self) -> Result<Vec<Asked>, Error> {
        self.all_asked().await
    }

    async fn claim_clocks(
        &self,
        now: Timestamp,
        most: usize,
        look: &Look,
        lessee: &Lessee,
    ) -> Result<usize, Error> {
        let (look, due) = (LookAt { look }, [Due { now, most }]);
        let written = failpoint::during(Write::Look, self.write(&look, &due, lessee)).await?;
        Ok(written.replies.into_iter().flatten().sum())
    }

    async fn unset_clocks(&self, rule: &str, now: Timestamp, most: usize) -> Result<usize, Error> {
        self.make_clocks_due(rule, now, most).await
    }

    async fn change_owner(
        &self,
        batch: &[OwnerChange],
        lessee: &Lessee,
    ) -> Result<Written<OwnerChanged>, Error> {
        self.write(&ChangeOwner, batch, lessee).await
    }

    async fn heartbeat(&self, worker: WorkerId, now: Timestamp) -> Result<Beat, Error> {
        failpoint::during(Write::Beat, self.beat(worker, now)).await
    }

    async fn tell_home(&self, worker: WorkerId, home: &str) -> Result<(), Error> {
        self.keep_home(worker, home).await
    }

    async fn bury(&self, workers: &[WorkerId]) -> Result<(), Error> {
        self.forget(workers).await
    }

    fn probe(&self, worker: WorkerId) -> Probe {
        self.store.probe(worker)
    }

    async fn agree(&self, worker: WorkerId, agreement: &Agreement) -> Result<(), Error> {
        self.keep_agreement(worker, agreement).await
    }

    async fn halts(&self) -> Result<Vec<Halt>, Error> {
        self.all_halts().await
    }

    async fn switch(&self, system: &SystemName, switch: &Switch, now: Timestamp) -> Result<Switched, Error> {
        self.halt_or_go_on(system, switch, now).await
    }

    async fn system_changes(&self, most: usize) -> Result<Vec<SystemChange>, Error> {
        self.changes(most).await
    }

    async fn rescue(&self, dead_before: Timestamp) -> Result<Rescued, Error> {
        failpoint::during(Write::Rescue, self.take_over(dead_before)).await
    }

    async fn settle_early(&self, given_up_before: Timestamp, lessee: &Lessee) -> Result<u64, Error> {
        SqlLedger::settle_early(self, given_up_before, lessee).await
    }

    async fn release(&self, worker: WorkerId) -> Result<(), Error> {
        failpoint::during(Write::Release, self.give_up(worker)).await?;
        self.store.put_in_order().await
    }

    async fn ticket(&self, council: Option<&Council>, ticket: &Ticket) -> Result<Option<History>, Error> {
        self.history(council, ticket).await
    }

    async fn tickets(&self, filter: &Filter) -> Result<Vec<Line>, Error> {
        self.list(filter).await
    }

    async fn find_problems(&self, search: &ProblemSearch) -> Result<ProblemPage, Error> {
        self.page_of_problems(search).await
    }

    async fn refusals(&self, name: &str, most: usize) -> Result<Vec<KeptRefusal>, Error> {
        self.read_refusals(name, most).await
    }

    async fn dismiss(&self, which: &Dismissal, person: &Person, now: Timestamp) -> Result<u64, Error> {
        self.dismiss_problems(which, person, now).await
    }

    async fn retried(&self, name: &str, taken: bool, person: &Person, now: Timestamp) -> Result<(), Error> {
        self.keep_retried(name, taken, person, now).await
    }

    async fn put_right(&self, key: &InboxKey, now: Timestamp) -> Result<(), Error> {
        self.note_put_right(key, now).await
    }

    async fn settle_refusals(&self, now: Timestamp) -> Result<u64, Error> {
        self.settle_what_came_in(now).await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, Error> {
        self.count_backlog(now).await
    }

    async fn counts(&self) -> Result<Counts, Error> {
        self.count().await
    }

    async fn fold(&self, most: usize) -> Result<usize, Error> {
        failpoint::during(Write::Fold, self.fold_some(most)).await
    }

    async fn figures(&self, scope: &Scope, now: Timestamp) -> Result<Vec<Group>, Error> {
        self.read_figures(scope, now).await
    }

    async fn courses(&self, scope: &Scope, after: Option<RequestId>, most: usize) -> Result<Page, Error> {
        self.read_courses(scope, after, most).await
    }
}
