//! How systems stand as a whole, and how the live workers share what each can bear.

use jiff::Timestamp;
use mappings::domain::{CallId, Council, SystemName};

use super::{Lease, WorkerId};

/// A system that takes no calls for now. One that takes them as usual has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// The system.
    pub system: SystemName,
    /// A person paused it.
    pub pause: Option<Pause>,
    /// It does not answer and is left alone.
    pub breaker: Option<Breaker>,
}

/// Who paused a system, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in the person's words.
    pub reason: Option<String>,
}

/// A system that is left alone because it does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// Since when.
    pub since: Timestamp,
    /// How often it has opened since the last answer, from 1.
    pub openings: u32,
    /// When one call may try again.
    pub probe_at: Timestamp,
    /// The last failure.
    pub reason: String,
    /// Who makes that one call, and until when nobody else does.
    pub prober: Option<(WorkerId, Timestamp)>,
}

/// What changes how a system stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switch {
    /// A person pauses it; nothing changes where it is paused already.
    Pause {
        /// Who.
        by: String,
        /// Why.
        reason: Option<String>,
    },
    /// A person lets it go on: it is paused no longer, and where it did not answer, it is tried at once.
    Resume {
        /// Who.
        by: String,
    },
    /// It does not answer. Nothing changes where others said so first.
    Open {
        /// How often it had opened since the last answer, as the worker saw it.
        openings: u32,
        /// When one call may try again.
        probe_at: Timestamp,
        /// The failure.
        reason: String,
    },
    /// A worker wants to make the one call that tries again. One of several gets it.
    Probe {
        /// The worker.
        worker: WorkerId,
        /// Until when nobody else may, should the worker die.
        until: Timestamp,
    },
    /// The one call was answered.
    Close {
        /// Who made it.
        worker: WorkerId,
    },
    /// Something else that it was asked was answered: a poll, a read-back, or about an open job.
    Answered,
}

/// What came of a [`Switch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switched {
    /// Whether it changed anything.
    pub applied: bool,
    /// How the system stands now.
    pub halt: Halt,
}

/// A change of how a system stands, as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemChange {
    /// The system.
    pub system: SystemName,
    /// When.
    pub at: Timestamp,
    /// `paused`, `resumed`, `opened` or `closed`; `gap` where its news may have been missed.
    pub change: String,
    /// The person; `None` where Dovetail did it by itself.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A leased call that was not begun, to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferral {
    /// The call.
    pub call: CallId,
    /// Its council.
    pub council: Council,
    /// The lease it is held under.
    pub lease: Lease,
    /// Not to be claimed before; `None` leaves it due as it was.
    pub at: Option<Timestamp>,
}

/// A worker that lives, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The worker.
    pub worker: WorkerId,
    /// To which live workers it has fitted its shares; `None` before it first did.
    pub agreed: Option<Agreement>,
    /// The place in which it runs; `None` where it did not say.
    pub home: Option<String>,
}

/// What a heartbeat came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Who lives, as it was read after the worker was known to live, in the order of their ids.
    pub peers: Vec<Peer>,
    /// The worker was not known to live: what it held may be another's by now.
    pub forgotten: bool,
}

/// That a worker keeps to its shares among certain live workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// Stands for the set of live workers.
    pub among: i64,
    /// Systems at which it still has more calls under way than its share.
    pub lagging: Vec<SystemName>,
}
