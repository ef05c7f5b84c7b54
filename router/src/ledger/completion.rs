//! What systems say of their jobs, and what it means.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mappings::domain::{Council, HandoverId, Job, Service, SystemName, Ticket};

/// The way a completion came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The system called us.
    Webhook,
    /// We asked.
    Poll,
    /// It came over RabbitMQ.
    Queue,
    /// It stood in a file.
    File,
    /// We asked about the jobs that were still open.
    Reconciliation,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 5] = [Self::Webhook, Self::Poll, Self::Queue, Self::File, Self::Reconciliation];

    /// The word used in the ledger and in timelines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Poll => "poll",
            Self::Queue => "queue",
            Self::File => "file",
            Self::Reconciliation => "reconciliation",
        }
    }
}

/// A system's word that a job changed state.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The system that says it.
    pub system: SystemName,
    /// What makes it the same word when it comes again, within the system; see [`key`](crate::complete::key).
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

/// How far ahead of ours a system's clock may be, wrong time zones included.
const FAST: SignedDuration = SignedDuration::from_hours(24);

impl Completion {
    /// When the system says that it happened, as far as that can be true of what was asked at `asked_at`.
    ///
    /// A time before the customer called is none: systems write 0001-01-01 (.NET), 1753-01-01 and 1900-01-01 (SQL
    /// Server) or 1970-01-01 where they have no date. Nor is one in the far future, such as 9999-12-31.
    pub fn happened_at(&self, asked_at: Timestamp) -> Option<Timestamp> {
        let latest = self.received_at.saturating_add(FAST).unwrap_or(Timestamp::MAX);
        self.said_at.filter(|said_at| (asked_at..=latest).contains(said_at))
    }
}

pub use mappings::mapping::Meaning;

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

impl Correlated {
    /// Every verdict.
    pub const ALL: [Self; 5] = [Self::Applied, Self::Duplicate, Self::Superseded, Self::Held, Self::Waiting];

    /// The word used in the ledger and in timelines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Superseded => "superseded",
            Self::Held => "held",
            Self::Waiting => "waiting",
        }
    }
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
