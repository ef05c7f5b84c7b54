//! The ledger: the only place that remembers, and the only place with SQL.
//!
//! Every method of [`Ledger`] is one transition, takes a batch and commits it in one transaction. A row
//! that cannot be written does not take its neighbours along: the batch is split. An `Err` means that
//! the database failed; nothing was written, and the caller tries again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{
    CallId, Council, Disposition, HandoverId, HandoverState, Job, Operation, ParkClass, Phase, Progress,
    Request, RequestId, RequestState, Service, SystemName, Ticket,
};
use serde_json::Value;
use uuid::Uuid;

use crate::closing::{Decision, Standing};
use crate::event::Event;

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
    /// The address of the database names no kind that is supported.
    #[error("{0:?} is not a ledger: expected postgres://… or sqlite:…")]
    Address(String),
}

/// One running router. Its leases are void once its heartbeat is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerId(pub Uuid);

/// The number of a lease; a write that carries an older number than the row is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease(pub i64);

/// A number of free places in memory, shared by those who fill and those who empty them.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<AtomicI64>);

impl Places {
    /// So many free places.
    pub fn new(free: usize) -> Self {
        Self(Arc::new(AtomicI64::new(i64::try_from(free).unwrap_or(i64::MAX))))
    }

    /// Takes one place, where there is one.
    pub fn take(&self) -> bool {
        let one_less = |free: i64| (free > 0).then(|| free - 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }

    /// Gives one place back.
    pub fn give_back(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// How many places are free now.
    pub fn free(&self) -> usize {
        usize::try_from(self.0.load(Ordering::Acquire)).unwrap_or(0)
    }
}

/// How many calls of each system a worker can still hold in memory.
///
/// A write leases new work to its own worker while there is room, so that the first attempt starts from
/// memory; what finds no room is left for [`Ledger::claim_due`]. A place is taken by the write and given
/// back by dispatch when the call is settled; a write that fails gives back what it took.
#[derive(Debug, Clone, Default)]
pub struct Room(Arc<HashMap<SystemName, Places>>);

impl Room {
    /// Room for so many calls of each system.
    pub fn new(systems: impl IntoIterator<Item = (SystemName, usize)>) -> Self {
        Self(Arc::new(systems.into_iter().map(|(system, free)| (system, Places::new(free))).collect()))
    }

    /// The places of one system; none for a system that is not known.
    pub fn of(&self, system: &SystemName) -> Places {
        self.0.get(system).cloned().unwrap_or_default()
    }
}

/// Whether events go to a broker.
#[derive(Debug, Clone)]
pub enum Outbox {
    /// There is no broker: events are kept in the timeline only.
    Off,
    /// Events are written to the outbox, leased to the writer while its relay has places.
    On(Places),
}

/// Who writes, and how much new work it can take at once.
#[derive(Debug, Clone)]
pub struct Lessee {
    /// The worker.
    pub worker: WorkerId,
    /// Its free places for calls.
    pub room: Room,
    /// Its free places for events.
    pub outbox: Outbox,
}

/// What a write leaves to be done: the replies in the order of the batch, the events to publish and the
/// calls to make, both already leased to the worker that wrote.
#[derive(Debug, Default)]
pub struct Written<T> {
    /// One reply an item of the batch.
    pub replies: Vec<T>,
    /// Events of this write that are in the outbox and leased to the writer, in order.
    pub events: Vec<Event>,
    /// Calls of this write that are due and leased to the writer.
    pub work: Vec<Work>,
}

/// Where a delivery came from: CloudEvents `source` and `id`. A second delivery with the same key is a duplicate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InboxKey {
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
}

/// A delivery that was understood and routed.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its inbox key; the ledger puts the council before it.
    pub key: InboxKey,
    /// What it asks.
    pub change: Change,
    /// The W3C trace it came with.
    pub traceparent: Option<String>,
    /// When it was received, on the ledger's clock.
    pub received_at: Timestamp,
}

/// What an arrival does to its ticket.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new request, with the systems its route names. A ticket that is open already makes it a duplicate.
    Submitted {
        /// The request.
        request: Request,
        /// The systems that get a handover each.
        systems: Vec<SystemName>,
    },
    /// The customer or the CRM changed their mind about a ticket that is known: a person is told (held).
    Noted {
        /// The council.
        council: Council,
        /// The ticket.
        ticket: Ticket,
        /// What happened, for the timeline: amended, withdrawn or reopened.
        word: &'static str,
        /// What was sent.
        data: Value,
    },
}

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the ledger.
    New(RequestId),
    /// The same delivery was accepted before.
    DuplicateDelivery,
    /// Another delivery has opened this ticket already, and it is not closed.
    DuplicateTicket(RequestId),
    /// A change for a ticket that the ledger does not know.
    NoSuchTicket,
}

/// A delivery that could not be understood or routed. It is kept, answered where its ticket is known, and done with.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Its inbox key; for what carries none, `source` names the door and `id` is a digest of the body.
    pub key: InboxKey,
    /// The council, where it could be read.
    pub council: Option<Council>,
    /// The ticket, where it could be read.
    pub ticket: Option<Ticket>,
    /// Where in the document, as a dotted path.
    pub path: Option<String>,
    /// Why, with what was found and what was expected.
    pub reason: String,
    /// The body, cut to 64 KiB, not necessarily text.
    pub body: Vec<u8>,
    /// When it was received.
    pub received_at: Timestamp,
    /// The W3C trace it came with.
    pub traceparent: Option<String>,
}

/// One call that is due, leased to a worker.
#[derive(Debug, Clone)]
pub struct Work {
    /// The call; also the idempotency key of all its attempts.
    pub call: CallId,
    /// The handover it serves.
    pub handover: HandoverId,
    /// The request it serves.
    pub request: RequestId,
    /// The council.
    pub council: Council,
    /// The ticket.
    pub ticket: Ticket,
    /// The service asked for.
    pub service: Service,
    /// The system to call.
    pub system: SystemName,
    /// What to ask of it.
    pub operation: Operation,
    /// Send, or look up first.
    pub phase: Phase,
    /// The fencing number every write about this call must carry.
    pub lease: Lease,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Taken over from a worker that died: its attempt may have been carried out.
    pub rescued: bool,
    /// The dead worker had [begun](Ledger::begin) the attempt.
    pub begun: bool,
    /// The system's job reference, where it is known.
    pub job: Option<Job>,
    /// The canonical request document.
    pub document: Arc<Value>,
    /// What the operation carries besides: the closure as `{disposition, reason, say, evidence}`.
    pub payload: Option<Value>,
    /// The W3C trace of the request.
    pub traceparent: Option<String>,
}

/// What an attempt came to, to be written under its lease.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The call as it was leased.
    pub work: Work,
    /// What the attempt was.
    pub attempt: Attempt,
    /// Where the call goes from here.
    pub next: Next,
}

/// One try at a call, for the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// When it began.
    pub started_at: Timestamp,
    /// When its outcome was known.
    pub ended_at: Timestamp,
    /// The outcome in one word: `delivered`, `retry`, `rejected`, `unknown`, `absent`, `not_sent`.
    pub outcome: String,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The reason in plain words, where it was not delivered; warnings (truncations) where it was.
    pub reason: Option<String>,
    /// The call as text with secrets masked; kept where the outcome was not `delivered`.
    pub call: Option<String>,
    /// The answer as text, cut to 16 KiB; kept likewise.
    pub answer: Option<String>,
}

/// Where a call goes after an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// The system has it. The handover awaits completion; a closure's request is closed.
    Delivered {
        /// The system's reference.
        job: Option<Job>,
        /// What the system said beside it, for example that a person had closed the ticket already.
        note: Option<String>,
    },
    /// Due again.
    Again {
        /// When.
        at: Timestamp,
        /// Send, or look up first.
        phase: Phase,
    },
    /// The system refused in words the mapping knows: the handover ended.
    Rejected {
        /// How it ended.
        disposition: Disposition,
        /// The reason code.
        reason: String,
        /// What the customer may be told.
        say: Option<String>,
    },
    /// Set aside for a person.
    Park {
        /// Who can help.
        class: ParkClass,
        /// Why, in plain words.
        reason: String,
    },
}

/// Whether a settlement was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the ledger.
    Written,
    /// The lease has passed on; nothing was written.
    LeaseLost,
}

/// The way a completion came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The system called us.
    Webhook,
    /// We asked.
    Poll,
    /// It came over RabbitMQ.
    Queue,
}

impl Way {
    /// The word used in the ledger and in timelines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Poll => "poll",
            Self::Queue => "queue",
        }
    }
}

/// A system's word that a job changed state.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The system that says it.
    pub system: SystemName,
    /// What makes it the same word when it comes again, within the system.
    pub key: String,
    /// The system's job reference, where it gives it.
    pub job: Option<Job>,
    /// Our reference, where it gives it back.
    pub reference: Option<Ticket>,
    /// The system's own status word.
    pub said: String,
    /// The system's own note.
    pub note: Option<String>,
    /// When the system says it happened.
    pub said_at: Option<Timestamp>,
    /// When we learned of it.
    pub received_at: Timestamp,
    /// The way it came.
    pub way: Way,
}

/// What a status word means; the catalogue reads it once the handover, and so the service, is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The job ended.
    Ended {
        /// How.
        disposition: Disposition,
        /// The reason code.
        reason: Option<String>,
        /// What the customer may be told.
        say: Option<String>,
    },
    /// The job has come this far.
    Progress {
        /// How far.
        progress: Progress,
        /// What may be said of it.
        say: Option<String>,
    },
    /// No mapping knows the word.
    Unrecognised,
}

/// Reads a completion of a system for a service: the status vocabulary, as the ledger asks for it.
pub type Reader = Arc<dyn Fn(&SystemName, &Service, &Completion) -> Meaning + Send + Sync>;

/// What the correlator made of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correlated {
    /// It moved its handover on.
    Applied,
    /// It was known, or says what is known.
    Duplicate,
    /// It is older than what is known.
    Superseded,
    /// It cannot be understood or contradicts what is known: its ticket is held.
    Held,
    /// No handover answers to it yet; it is kept and applied when one does.
    Waiting,
}

/// One open job that is due to be asked about.
#[derive(Debug, Clone)]
pub struct Check {
    /// The handover.
    pub handover: HandoverId,
    /// The council.
    pub council: Council,
    /// The ticket.
    pub ticket: Ticket,
    /// The service.
    pub service: Service,
    /// The job to ask about.
    pub job: Job,
}

/// What was taken over from dead workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rescued {
    /// Calls that are due again.
    pub calls: u64,
    /// Events that can be published by others again.
    pub events: u64,
}

/// The transitions of the ledger. PostgreSQL and SQLite behave alike: one suite proves it on both.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The database's time.
    async fn now(&self) -> Result<Timestamp, Error>;

    /// Inbox key, request, handovers, first calls and `ticket.accepted`, in one transaction.
    async fn accept(&self, batch: &[Arrival], lessee: &Lessee) -> Result<Written<Accepted>, Error>;

    /// Keeps what could not be understood; `request.rejected` where the ticket is known. `false`: kept before.
    async fn refuse(&self, batch: &[Refusal], lessee: &Lessee) -> Result<Written<bool>, Error>;

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

    /// Writes what attempts came to, each under its lease; applies completions that waited for the job reference.
    async fn record(&self, batch: &[Settlement], lessee: &Lessee) -> Result<Written<Recorded>, Error>;

    /// Correlates completions, applies them, and writes the closure where the closing rules say so.
    async fn complete(&self, batch: &[Completion], lessee: &Lessee) -> Result<Written<Correlated>, Error>;

    /// Leases up to `most` events that nobody holds, oldest first.
    async fn claim_outbox(&self, most: usize, worker: WorkerId) -> Result<Vec<Event>, Error>;

    /// Takes confirmed events out of the outbox; they stay in the timeline.
    async fn mark_published(&self, events: &[mappings::domain::EventId]) -> Result<(), Error>;

    /// Takes the turn to poll a system, where it is due: returns the position reached, or `None` if it is not our turn.
    /// The first turn ever returns `Some(None)`.
    async fn claim_poll(
        &self,
        system: &SystemName,
        now: Timestamp,
        every: Duration,
    ) -> Result<Option<Option<Timestamp>>, Error>;

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

    /// Says that a worker lives.
    async fn heartbeat(&self, worker: WorkerId, now: Timestamp) -> Result<(), Error>;

    /// Frees what workers hold whose last heartbeat is before `dead_before`, and forgets them.
    async fn rescue(&self, dead_before: Timestamp) -> Result<Rescued, Error>;

    /// Frees what this worker holds and has not begun; called at the end of a graceful stop.
    async fn release(&self, worker: WorkerId) -> Result<(), Error>;

    /// All that is known of a ticket, its latest opening; `None` if the ledger does not know it.
    async fn ticket(&self, council: Option<&Council>, ticket: &Ticket) -> Result<Option<History>, Error>;

    /// Tickets, newest first, a page at a time.
    async fn tickets(&self, filter: &Filter) -> Result<Vec<Line>, Error>;

    /// What waits for a person: held tickets, parked handovers, orphaned completions and refused deliveries.
    async fn problems(&self, most: usize) -> Result<Vec<Problem>, Error>;

    /// How many there are of each; scans, so never on a hot path.
    async fn counts(&self) -> Result<Counts, Error>;
}

/// A line of a list of tickets.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The council.
    pub council: Council,
    /// The ticket.
    pub ticket: Ticket,
    /// The opening.
    pub request: RequestId,
    /// What was asked for.
    pub service: Service,
    /// Where it stands.
    pub state: RequestState,
    /// How it closed, where it has.
    pub disposition: Option<Disposition>,
    /// Why it is held or how it closed.
    pub reason: Option<String>,
    /// When the customer called.
    pub raised_at: Timestamp,
    /// When the ledger accepted it.
    pub accepted_at: Timestamp,
    /// When the closure was written.
    pub closed_at: Option<Timestamp>,
    /// Whether a handover of it is parked.
    pub parked: bool,
}

/// Which tickets to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this council.
    pub council: Option<Council>,
    /// Only the openings of this ticket.
    pub ticket: Option<Ticket>,
    /// Only in this state.
    pub state: Option<RequestState>,
    /// Only accepted before this opening: the cursor of the next page.
    pub before: Option<RequestId>,
    /// How many at most.
    pub most: usize,
}

/// All that the ledger knows of one opening of a ticket.
#[derive(Debug, Clone)]
pub struct History {
    /// The ticket.
    pub line: Line,
    /// What the customer is or was told.
    pub say: Option<String>,
    /// Its handovers, the closure last.
    pub handovers: Vec<Handover>,
    /// What happened, oldest first.
    pub events: Vec<Event>,
    /// The tries at its calls, oldest first.
    pub attempts: Vec<Tried>,
    /// What the systems said, oldest first.
    pub completions: Vec<Heard>,
}

/// One handover as it stands.
#[derive(Debug, Clone)]
pub struct Handover {
    /// Its id.
    pub id: HandoverId,
    /// The system.
    pub system: SystemName,
    /// Whether it is the closure of the ticket in the CRM, not work.
    pub closure: bool,
    /// Where it stands.
    pub state: HandoverState,
    /// The system's reference.
    pub job: Option<Job>,
    /// How far the job has come.
    pub progress: Option<Progress>,
    /// How it ended.
    pub disposition: Option<Disposition>,
    /// The reason code it ended or was parked with.
    pub reason: Option<String>,
    /// Who can help, where it is parked.
    pub class: Option<ParkClass>,
    /// What the customer may be told.
    pub say: Option<String>,
    /// The system's last status word, and when it was said.
    pub said: Option<(String, Option<Timestamp>)>,
    /// When its call is due next, where one is.
    pub due_at: Option<Timestamp>,
    /// How many attempts were made.
    pub attempts: u32,
}

/// One try, as kept.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The handover.
    pub handover: HandoverId,
    /// What was asked.
    pub operation: Operation,
    /// Send or look-up.
    pub phase: Phase,
    /// Which attempt, from 1.
    pub number: u32,
    /// What it was and came to.
    pub attempt: Attempt,
}

/// One completion, as kept.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What was said.
    pub completion: Completion,
    /// What the correlator made of it.
    pub correlated: Correlated,
}

/// Something that waits for a person.
#[derive(Debug, Clone)]
pub enum Problem {
    /// A ticket that is held.
    Held {
        /// The ticket.
        line: Line,
        /// Why.
        reason: String,
    },
    /// A handover that is parked.
    Parked {
        /// The ticket.
        line: Line,
        /// The system.
        system: SystemName,
        /// Who can help.
        class: ParkClass,
        /// Why.
        reason: String,
    },
    /// A completion that no handover answers to.
    Orphan(Completion),
    /// A delivery that could not be understood.
    Refused {
        /// When it came.
        received_at: Timestamp,
        /// Where it came from.
        key: InboxKey,
        /// The council, where it could be read.
        council: Option<Council>,
        /// The ticket, where it could be read.
        ticket: Option<Ticket>,
        /// Where in the document.
        path: Option<String>,
        /// Why.
        reason: String,
    },
}

/// How many there are of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Openings of tickets, by state and whether a handover is parked.
    pub tickets: Vec<(RequestState, Parked, u64)>,
    /// Calls due or under way.
    pub due: u64,
    /// Of these, leased to a worker.
    pub leased: u64,
    /// Events not yet published.
    pub outbox: u64,
    /// Deliveries that could not be understood.
    pub refused: u64,
    /// Deliveries that were recognised as duplicates.
    pub duplicates: u64,
    /// Completions that no handover answers to yet.
    pub waiting: u64,
}

/// Whether a ticket has a parked handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parked {
    /// It has.
    Yes,
    /// It has not.
    No,
}
