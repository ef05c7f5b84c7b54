//! What waits for a person: how it is listed, a page at a time, and what a person does about it.

use std::str::FromStr;

use jiff::Timestamp;
use mappings::domain::{Council, InvalidId, ParkClass, Revision, SystemName, Ticket};

use super::{Completion, InboxKey, KeptAs, Line};

/// Of one kind and cause no more than these are listed one by one; of more, their number is told.
pub const LISTED_SINGLY: u32 = 20;

/// Something that waits for a person.
#[derive(Debug, Clone)]
pub enum Problem {
    /// A ticket that is held.
    Held {
        /// The ticket.
        line: Line,
        /// Why.
        reason: String,
        /// What systems said last whose work has not ended.
        said: Vec<(SystemName, String)>,
    },
    /// A handover that is parked.
    Parked {
        /// The ticket.
        line: Line,
        /// The system.
        system: SystemName,
        /// Whether it is the closure of the ticket in the CRM, not work.
        closure: bool,
        /// Who can help.
        class: ParkClass,
        /// Why.
        reason: String,
    },
    /// Handovers that are parked at one system for one reason.
    ParkedAlike {
        /// The system.
        system: SystemName,
        /// Who can help.
        class: ParkClass,
        /// Why.
        reason: String,
        /// How many.
        count: u64,
    },
    /// A completion that no handover answers to.
    Orphan(Completion),
    /// A system says much of work that nobody ordered here.
    Orphans {
        /// The system.
        system: SystemName,
        /// How many words.
        count: u64,
        /// When the last of them came.
        latest_at: Timestamp,
    },
    /// A system said something else of its work after the ticket was closed.
    Contradiction {
        /// The ticket as it closed.
        line: Line,
        /// What was said.
        completion: Completion,
    },
    /// A revision whose request has not come yet.
    Early {
        /// When it came.
        received_at: Timestamp,
        /// The council.
        council: Council,
        /// The ticket.
        ticket: Ticket,
        /// What the customer did.
        revision: Revision,
    },
    /// A delivery that could not be understood, and has not been put right.
    Refused {
        /// By which people call it.
        name: String,
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
        /// The name of the HTTP key it was sent with.
        sent_with: Option<String>,
        /// How what a system said begins, where it is the item of a list or an event of a system; else empty.
        text: String,
        /// How its body can be read again.
        kept_as: KeptAs,
    },
    /// Deliveries of one source that could not be understood for one cause.
    RefusedAlike {
        /// By which people call the cause.
        cause: String,
        /// Where they came from.
        source: String,
        /// Why, of one of them.
        reason: String,
        /// How many.
        count: u64,
        /// When the last of them came.
        latest_at: Timestamp,
    },
}

/// The kinds of problems, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// Tickets that need a decision.
    Held,
    /// Work that could not be passed on.
    Parked,
    /// News of work that nobody ordered here.
    Orphan,
    /// News that contradicts how a ticket was closed.
    Contradiction,
    /// Changes whose request has not come.
    Early,
    /// Deliveries that could not be understood.
    Refused,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Held, Self::Parked, Self::Orphan, Self::Contradiction, Self::Early, Self::Refused];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Parked => "parked",
            Self::Orphan => "orphan",
            Self::Contradiction => "contradiction",
            Self::Early => "early",
            Self::Refused => "refused",
        }
    }
}

impl FromStr for ProblemKind {
    type Err = InvalidId;

    fn from_str(word: &str) -> Result<Self, InvalidId> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| InvalidId {
            kind: "kind of problem",
            found: word.chars().take(80).collect(),
            expected: "held, parked, orphan, contradiction, early or refused",
        })
    }
}

impl Problem {
    /// Its kind.
    pub fn kind(&self) -> ProblemKind {
        match self {
            Self::Held { .. } => ProblemKind::Held,
            Self::Parked { .. } | Self::ParkedAlike { .. } => ProblemKind::Parked,
            Self::Orphan(_) | Self::Orphans { .. } => ProblemKind::Orphan,
            Self::Contradiction { .. } => ProblemKind::Contradiction,
            Self::Early { .. } => ProblemKind::Early,
            Self::Refused { .. } | Self::RefusedAlike { .. } => ProblemKind::Refused,
        }
    }
}

/// Which problems are listed.
#[derive(Debug, Clone)]
pub struct ProblemSearch {
    /// Only of this kind.
    pub kind: Option<ProblemKind>,
    /// One by one, however many are alike.
    pub singly: bool,
    /// Only those of this system, one by one.
    pub system: Option<SystemName>,
    /// Only refused deliveries of this cause, one by one.
    pub cause: Option<String>,
    /// Systems whose news of work that nobody ordered is not for a person.
    pub of_others: Vec<SystemName>,
    /// Only after this place of a page before; of one kind only.
    pub after: Option<String>,
    /// How many of each kind at most.
    pub most: usize,
}

impl ProblemSearch {
    /// Whether all are listed one by one.
    pub fn is_singly(&self) -> bool {
        self.singly || self.system.is_some() || self.cause.is_some()
    }

    /// The first of each kind.
    pub fn first(most: usize) -> Self {
        Self {
            kind: None,
            singly: false,
            system: None,
            cause: None,
            of_others: Vec::new(),
            after: None,
            most,
        }
    }
}

/// A page of problems.
#[derive(Debug, Clone)]
pub struct ProblemPage {
    /// Kind after kind.
    pub problems: Vec<Problem>,
    /// How many there are, of the kinds of which there are any.
    pub tallies: Vec<ProblemTally>,
}

/// How many problems there are of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemTally {
    /// The kind.
    pub kind: ProblemKind,
    /// How many in all, those that are told as a number with them.
    pub total: u64,
    /// How many come after those that are listed.
    pub left: u64,
    /// The place after which those begin.
    pub next: Option<String>,
}

/// A delivery that could not be understood, whole.
#[derive(Debug, Clone)]
pub struct KeptRefusal {
    /// By which people call it.
    pub name: String,
    /// Where it came from.
    pub key: InboxKey,
    /// The council, where it could be read.
    pub council: Option<Council>,
    /// The ticket, where it could be read.
    pub ticket: Option<Ticket>,
    /// Where in the document.
    pub path: Option<String>,
    /// Why.
    pub reason: String,
    /// Its body, or the beginning of it.
    pub body: String,
    /// How the body can be read again.
    pub kept_as: KeptAs,
    /// When it came.
    pub received_at: Timestamp,
    /// When and how it was done with: `put right` or `dismissed`.
    pub settled: Option<(Timestamp, String)>,
    /// What people did about it, oldest first.
    pub changes: Vec<ProblemChange>,
}

/// What a person did about a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemChange {
    /// When.
    pub at: Timestamp,
    /// What: `dismissed` or `retried`.
    pub change: String,
    /// Who.
    pub by: String,
    /// Why.
    pub because: String,
}

/// Which problems are dismissed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dismissal {
    /// A refused delivery, news of work that nobody ordered, or a contradiction, by the beginning of its name.
    One(String),
    /// Refused deliveries of one cause.
    Cause(String),
    /// News of one system of work that nobody ordered.
    Orphans(SystemName),
}
