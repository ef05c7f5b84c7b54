//! What is to be done at a system, and what an attempt at it came to.

use std::sync::Arc;

use jiff::Timestamp;
use mappings::domain::{
    CallId, Council, Disposition, HandoverId, Job, Operation, ParkClass, Phase, RequestId, Service,
    SystemName, Ticket,
};
use mappings::mapping::Owner;
use serde_json::Value;
use tokio::time::Instant;

use super::Lease;

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
    /// How many of the attempts were made before a person let it go on: the limit counts those after.
    pub spent: u32,
    /// Taken over from a worker that died: its attempt may have been carried out.
    pub rescued: bool,
    /// The dead worker had [begun](Ledger::begin) the attempt.
    pub begun: bool,
    /// The system's job reference, where it is known.
    pub job: Option<Job>,
    /// The canonical request document.
    pub document: Arc<Value>,
    /// How far an attempt before this one carried the call out, as the connector had it kept: it goes on from there.
    pub carried: Option<Value>,
    /// What the operation carries besides: the closure as `{disposition, reason, say, evidence}`, or the revision
    /// that led to it.
    pub payload: Option<Value>,
    /// The W3C trace of the request.
    pub traceparent: Option<String>,
    /// When the lease was asked for, by the clock of this process.
    pub asked_at: Instant,
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
    /// Who owns the work at the system, for whoever is told that it was handed over.
    pub owner: Option<Owner>,
}

/// One try at a call, for the record.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// When it began.
    pub started_at: Timestamp,
    /// When its outcome was known.
    pub ended_at: Timestamp,
    /// The outcome in one word: `delivered`, `retry`, `pending`, `rejected`, `unknown`, `absent`, `not_sent`.
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
    /// The system has it, and is asked for the rest later. The handover awaits completion, and the call is due again.
    Pending {
        /// When.
        at: Timestamp,
        /// The system's reference so far.
        job: Option<Job>,
        /// What is waited for, in plain words.
        reason: String,
        /// How far it was carried out.
        carried: Value,
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
    /// The mapping has no such operation: a person must tell the system's team, and the work goes on.
    Unable {
        /// What the system cannot take, in plain words.
        reason: String,
    },
    /// Set aside for a person.
    Park {
        /// Who can help.
        class: ParkClass,
        /// Why, in plain words.
        reason: String,
    },
}

impl Next {
    /// Whether it ends the call, rather than making it due again.
    pub fn settles(&self) -> bool {
        match self {
            Self::Again { .. } | Self::Pending { .. } => false,
            Self::Delivered { .. } | Self::Rejected { .. } | Self::Unable { .. } | Self::Park { .. } => true,
        }
    }

    /// Whether it changes what is known of the handover.
    pub fn is_news(&self) -> bool {
        matches!(self, Self::Pending { .. }) || self.settles()
    }
}

/// Whether a settlement was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the ledger.
    Written,
    /// The lease has passed on; nothing was written.
    LeaseLost,
}
