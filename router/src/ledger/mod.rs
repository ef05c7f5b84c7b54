//! The ledger: the only place that remembers, and the only place with SQL.
//!
//! Every method of [`Ledger`] is one transition, takes a batch and commits it in one transaction. A row
//! that cannot be written does not take its neighbours along: the batch is split, and its reply says
//! [`Unwritable`]. An `Err` means that the database failed; the caller tries again, which is safe: what was
//! written all the same is recognised.

mod arrival;
mod backlog;
mod batch;
mod clocks;
mod completion;
mod courses;
mod halt;
mod history;
mod lease;
mod opening;
mod problem;
mod reconciliation;
mod resolution;
mod selection;
mod settlement;
mod sole;
mod sql;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{CallId, Council, EventId, HandoverId, RequestId, SystemName, Ticket};
use serde_json::Value;

pub use arrival::{Accepted, Arrival, Change, InboxKey, KeptAs, Refusal};
pub use backlog::{Backlog, ClosuresAgain};
pub use batch::{Batch, Flushed, Replies};
pub use clocks::{
    ClockSetting, Clocked, Direction, Holding, Look, Looked, OwnerChange, OwnerChanged, Promised,
};
pub use completion::{Check, Completion, Correlated, Meaning, Reader, Way};
pub use courses::Page;
pub use halt::{Agreement, Beat, Breaker, Deferral, Halt, Pause, Peer, Switch, Switched, SystemChange};
pub use history::{Counts, Filter, Handover, Heard, History, Line, Parked, Tried};
pub use lease::{Lease, Lessee, Outbox, Place, Places, Rescued, Room, WorkerId, Written};
pub use opening::{Edited, edit};
pub use problem::{
    Dismissal, KeptRefusal, LISTED_SINGLY, Problem, ProblemChange, ProblemKind, ProblemPage, ProblemSearch,
    ProblemTally,
};
pub use reconciliation::{Activity, Asked, Failing, OpenJob, PollFailure, Reconciled, Turn};
pub use resolution::{Choice, Link, Person, Resolution, Resolved, Seen, SeenTicket, Stuck};
pub use selection::{InvalidSelection, Selection};
pub use settlement::{Attempt, Next, Recorded, Settlement, Work};
pub use sole::{NotSole, Sole};
pub use sql::{Probe, add_schema, open, open_to_read, remove_schema};
pub use writer::{Failed, Lanes, Writer};

use crate::closing::{Decision, Standing};
use crate::event::Event;
use crate::report::{Group, Scope};

/// The closing rules, as the ledger asks for them inside a transaction.
pub type Closer = Arc<dyn Fn(&Standing) -> Decision + Send + Sync>;

/// Why the ledger could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or could not be reached.
    #[error("the ledger's database failed")]
    Database(#[from] sqlx::Error),
    /// The database's tables could not be brought up to date.
    #[error("the ledger's tables could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A stored value is not of its form: the database was changed by another hand.
    #[error("the ledger holds {found:?} in {column}, which this release cannot read")]
    Stored {
        /// The column.
        column: &'static str,
        /// What stands there.
        found: String,
    },
    /// The database holds no ledger that this release can read.
    #[error(transparent)]
    Schema(#[from] Schema),
    /// The address of the database names no kind that is supported.
    #[error("{0:?} is not a ledger: expected postgres://… or sqlite:<file>")]
    Address(String),
}

/// Why a database holds no ledger that this release can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Schema {
    /// It has none of our tables.
    #[error("the database holds no ledger yet: dovetail serve makes its tables when it starts")]
    None,
    /// An older release made its tables.
    #[error(
        "the ledger was made by an older release (its tables are at step {found}, this release reads step {expected}): \
         dovetail serve of this release brings it up to date"
    )]
    Older {
        /// The last step that was done.
        found: i64,
        /// The last step that this release knows.
        expected: i64,
    },
    /// Another release made its tables otherwise.
    #[error(
        "the ledger was made by another release, whose tables differ from step {step} on: use that release"
    )]
    Other {
        /// The first step that differs.
        step: i64,
    },
}

/// A person's word that a closure is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The council.
    pub council: Council,
    /// The ticket.
    pub ticket: Ticket,
    /// Who says so.
    pub by: String,
}

/// Why one row was refused by the database, which it always will be: its neighbours were written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database cannot hold it: {0}")]
pub struct Unwritable(pub String);

/// The transitions of the ledger. PostgreSQL and SQLite behave alike: one suite proves it on both.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The database's time.
    async fn now(&self) -> Result<Timestamp, Error>;

    /// Inbox key, request, handovers, first calls and `ticket.accepted`, in one transaction.
    async fn accept(&self, batch: &[Arrival], lessee: &Lessee) -> Result<Written<Accepted>, Error>;

    /// Keeps what could not be understood; `request.rejected` where the ticket is known. `false`: kept before.
    async fn refuse(&self, batch: &[Refusal], lessee: &Lessee) -> Result<Written<bool>, Error>;

    /// How often a router began to read each of these deliveries and did not end; those of whom that is not known are
    /// left out. A delivery is known by the digest of its body.
    async fn suspicions(&self, deliveries: &[String]) -> Result<HashMap<String, u64>, Error>;

    /// Notes that deliveries which came back are about to be read: each counts once more until it is
    /// [cleared](Self::clear), which a router that ends while it reads them never does.
    async fn suspect(&self, deliveries: &[String], now: Timestamp) -> Result<(), Error>;

    /// Forgets that deliveries were suspect: a router has read them and lives.
    async fn clear(&self, deliveries: &[String]) -> Result<(), Error>;

    /// Leases up to `most` calls of a system that are due, oldest first, and counts an attempt for each.
    async fn claim_due(
        &self,
        system: &SystemName,
        most: usize,
        now: Timestamp,
        worker: WorkerId,
    ) -> Result<Vec<Work>, Error>;

    /// Marks attempts as begun, before the first byte is sent, for systems that offer neither a key nor a look-up.
    async fn begin(&self, batch: &[(CallId, Council, Lease)]) -> Result<Vec<Recorded>, Error>;

    /// Gives back calls that were leased and not begun; no attempt is counted for them.
    async fn defer(&self, batch: &[Deferral], worker: WorkerId) -> Result<Vec<Recorded>, Error>;

    /// Writes what attempts came to, each under its lease; applies completions that waited for the job reference.
    async fn record(&self, batch: &[Settlement], lessee: &Lessee) -> Result<Written<Recorded>, Error>;

    /// Correlates completions, applies them, and writes the closure where the closing rules say so.
    async fn complete(&self, batch: &[Completion], lessee: &Lessee) -> Result<Written<Correlated>, Error>;

    /// What [`accept`](Self::accept), [`record`](Self::record), [`complete`](Self::complete) and
    /// [`mark_published`](Self::mark_published) do, in one transaction where that can be.
    async fn flush(&self, batch: &Batch, lessee: &Lessee) -> Flushed;

    /// Writes what people decided, each where the ledger is still as they saw it. What is to be sent again is due.
    async fn resolve(&self, batch: &[Resolution], lessee: &Lessee) -> Result<Written<Resolved>, Error>;

    /// Links news of work that Dovetail did not order with the piece of work that it is about, as people say. What waited
    /// is heard at once, and what is said later of the same is found by itself.
    async fn link(&self, batch: &[Link], lessee: &Lessee) -> Result<Written<Resolved>, Error>;

    /// Parked handovers that a selection means, those parked first before others, up to `most`.
    async fn parked(&self, selection: &Selection, most: usize) -> Result<Vec<Stuck>, Error>;

    /// What was asked for: the request document as it stands; `None` if the ledger does not know it.
    async fn document(&self, council: &Council, request: RequestId) -> Result<Option<Value>, Error>;
    /// Writes the closures whose time for being stopped is over, up to `most`.
    async fn close_due(&self, now: Timestamp, most: usize, lessee: &Lessee) -> Result<Written<bool>, Error>;

    /// Stops a closure that is decided and not written yet: its ticket is held. `false`: there is none to stop.
    async fn stop_closure(&self, stop: &Stop, now: Timestamp, lessee: &Lessee) -> Result<bool, Error>;

    /// Leases up to `most` events that nobody holds, oldest first.
    async fn claim_outbox(&self, most: usize, worker: WorkerId) -> Result<Vec<Event>, Error>;

    /// Takes confirmed events out of the outbox; they stay in the timeline.
    async fn mark_published(&self, events: &[EventId]) -> Result<(), Error>;

    /// Takes the turn to poll a system, where it is due: returns the position reached, or `None` if it is not our turn.
    /// The position of a system that was never polled is the time of its first turn.
    async fn claim_poll(
        &self,
        system: &SystemName,
        now: Timestamp,
        every: Duration,
    ) -> Result<Option<Timestamp>, Error>;

    /// Keeps that asking a system failed, and since when and how often it does, until it succeeds.
    async fn keep_failure(
        &self,
        system: &SystemName,
        activity: Activity,
        failure: &PollFailure,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Keeps that asking a system succeeded.
    async fn end_failure(&self, system: &SystemName, activity: Activity) -> Result<(), Error>;

    /// What is asked of systems again and again and failed the last time.
    async fn failures(&self) -> Result<Vec<Failing>, Error>;

    /// Moves the position on after a poll whose reports are all in the ledger.
    async fn advance_poll(&self, system: &SystemName, position: Timestamp) -> Result<(), Error>;

    /// Open jobs of a system that were not asked about since `before`, oldest first, marked as asked now.
    async fn claim_checks(
        &self,
        system: &SystemName,
        before: Timestamp,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Check>, Error>;

    /// Takes the turn to ask a system about its open jobs where it is due, or keeps it: `false` where it is not due, or
    /// another worker does it.
    async fn claim_reconciliation(&self, system: &SystemName, turn: &Turn) -> Result<bool, Error>;

    /// A page of a system's open jobs that it gave a reference, after `place`; nothing is marked.
    async fn open_jobs(
        &self,
        system: &SystemName,
        place: Option<(Timestamp, HandoverId)>,
        most: usize,
    ) -> Result<Vec<OpenJob>, Error>;

    /// Writes what asking came to, where the worker still has the turn, and gives the turn up.
    async fn record_reconciliation(
        &self,
        system: &SystemName,
        worker: WorkerId,
        reconciled: &Reconciled,
    ) -> Result<bool, Error>;

    /// Makes a system due to be asked about its open jobs; keeps why, where news of it may have been missed.
    async fn tell_gap(&self, system: &SystemName, why: Option<&str>, now: Timestamp) -> Result<(), Error>;

    /// When each system was asked, for news and about its open jobs.
    async fn asked(&self) -> Result<Vec<Asked>, Error>;

    /// Looks at up to `most` clocks that are due, oldest first, writes what they tell and when to look again; says how
    /// many. Others that do the same at once look at other clocks.
    async fn claim_clocks(
        &self,
        now: Timestamp,
        most: usize,
        look: &Look,
        lessee: &Lessee,
    ) -> Result<usize, Error>;

    /// Makes up to `most` clocks of open tickets due that were set by other rules than these; says how many.
    async fn unset_clocks(&self, rule: &str, now: Timestamp, most: usize) -> Result<usize, Error>;

    /// Writes who owns pieces of work from now on.
    async fn change_owner(
        &self,
        batch: &[OwnerChange],
        lessee: &Lessee,
    ) -> Result<Written<OwnerChanged>, Error>;

    /// Says that a worker lives. It does so before its first write: the leases of a worker that never did are void.
    ///
    /// Frees besides what a failed write may have leased to the worker without its hearing of it.
    async fn heartbeat(&self, worker: WorkerId, now: Timestamp) -> Result<Beat, Error>;

    /// Says in which place a worker runs, where others of the same place can see that it has ended.
    async fn tell_home(&self, worker: WorkerId, home: &str) -> Result<(), Error>;

    /// Forgets workers that have ended for sure; the next [`rescue`](Self::rescue) frees what they held.
    async fn bury(&self, workers: &[WorkerId]) -> Result<(), Error>;

    /// A look of a worker whether the database answers and takes writes, beside all that is done with it.
    fn probe(&self, worker: WorkerId) -> Probe;

    /// Says that a worker keeps to its shares among certain live workers.
    async fn agree(&self, worker: WorkerId, agreement: &Agreement) -> Result<(), Error>;

    /// The systems that take no calls for now: one small read for all of them.
    async fn halts(&self) -> Result<Vec<Halt>, Error>;

    /// Changes how a system stands, where the condition of the switch holds.
    async fn switch(&self, system: &SystemName, switch: &Switch, now: Timestamp) -> Result<Switched, Error>;

    /// The latest changes of how systems stand, newest first.
    async fn system_changes(&self, most: usize) -> Result<Vec<SystemChange>, Error>;

    /// Frees what workers hold whose last heartbeat is before `dead_before`, and forgets them.
    async fn rescue(&self, dead_before: Timestamp) -> Result<Rescued, Error>;

    /// Applies revisions that came before their request and were missed when it came; refuses those received before
    /// `given_up_before` whose request never did. Returns how many were looked at.
    async fn settle_early(&self, given_up_before: Timestamp, lessee: &Lessee) -> Result<u64, Error>;

    /// Frees what this worker holds and has not begun, and forgets the worker; called at the end of a graceful stop.
    ///
    /// What was on its way when the time for stopping ran out may have been carried out: the calls count as rescued.
    async fn release(&self, worker: WorkerId) -> Result<(), Error>;

    /// All that is known of a ticket, its latest opening; `None` if the ledger does not know it.
    async fn ticket(&self, council: Option<&Council>, ticket: &Ticket) -> Result<Option<History>, Error>;

    /// Tickets, newest first, a page at a time.
    async fn tickets(&self, filter: &Filter) -> Result<Vec<Line>, Error>;

    /// What waits for a person, a page at a time, and how much there is of each kind.
    async fn find_problems(&self, search: &ProblemSearch) -> Result<ProblemPage, Error>;

    /// What waits for a person: the first of each kind, up to `most`.
    async fn problems(&self, most: usize) -> Result<Vec<Problem>, Error> {
        Ok(self.find_problems(&ProblemSearch::first(most)).await?.problems)
    }

    /// The refused deliveries whose name begins so, up to `most`, also those that are done with.
    async fn refusals(&self, name: &str, most: usize) -> Result<Vec<KeptRefusal>, Error>;

    /// Takes problems from the list with a person's reason, which is kept; says how many.
    async fn dismiss(&self, which: &Dismissal, person: &Person, now: Timestamp) -> Result<u64, Error>;

    /// Keeps that a person had a refused delivery read again, and whether it was taken then.
    async fn retried(&self, name: &str, taken: bool, person: &Person, now: Timestamp) -> Result<(), Error>;

    /// Notes that what was refused under this key was taken after all.
    async fn put_right(&self, key: &InboxKey, now: Timestamp) -> Result<(), Error>;

    /// Notes which refused deliveries were put right meanwhile, since their tickets came in; says how many.
    async fn settle_refusals(&self, now: Timestamp) -> Result<u64, Error>;

    /// How much waits or goes on, of what is not done with; for metrics, every so often.
    async fn backlog(&self, now: Timestamp) -> Result<Backlog, Error>;

    /// How many there are of each; scans, so never on a hot path.
    async fn counts(&self) -> Result<Counts, Error>;

    /// Adds up to `most` closed requests to the figures of the day on which they came in, each once; says how many.
    async fn fold(&self, most: usize) -> Result<usize, Error>;

    /// What reports are made of: a few rows a day, and the requests that are open or not folded yet as they are now.
    async fn figures(&self, scope: &Scope, now: Timestamp) -> Result<Vec<Group>, Error>;

    /// A page of up to `most` requests after another, of which it holds those that are meant; reads them all.
    async fn courses(&self, scope: &Scope, after: Option<RequestId>, most: usize) -> Result<Page, Error>;
}

#[cfg(test)]
mod suite;
