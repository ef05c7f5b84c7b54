//! What a person decides: of handovers that are parked, and of tickets that are held.

use jiff::Timestamp;
use mappings::domain::{
    CallId, Council, HandoverId, Job, Operation, ParkClass, RequestId, RequestState, Service, SystemName,
    Ticket,
};
use serde_json::Value;

use super::Meaning;
use crate::closing::Closure;

/// One decision of a person about one opening of a ticket.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// The council.
    pub council: Council,
    /// The opening.
    pub request: RequestId,
    /// Who decides, and why.
    pub person: Person,
    /// When, on the ledger's clock; a call that is sent again is due then.
    pub at: Timestamp,
    /// What is decided.
    pub choice: Choice,
}

/// A person's word that news of work which Dovetail did not order belongs to a ticket.
#[derive(Debug, Clone)]
pub struct Link {
    /// The council.
    pub council: Council,
    /// The opening.
    pub request: RequestId,
    /// The system that the news came from.
    pub system: SystemName,
    /// The job that the news names, or the reference in it that is not ours.
    pub named: String,
    /// Who says so, and why.
    pub person: Person,
    /// When, on the ledger's clock.
    pub at: Timestamp,
}

/// Who decided, as the timeline tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// Their reason.
    pub because: String,
}

/// What is decided, each with the state in which it was seen: what was resolved meanwhile is left alone.
#[derive(Debug, Clone)]
pub enum Choice {
    /// The parked call was carried out after all. The handover awaits completion; a closure counts as taken.
    WasDone {
        /// The handover as it was seen.
        seen: Seen,
        /// The system's reference, where the person has it.
        job: Option<Job>,
    },
    /// The parked call was not carried out, or may be made again: it is due, as a call that is sent.
    SendAgain {
        /// The handover as it was seen.
        seen: Seen,
    },
    /// The parked call is due again. Where an attempt may have been carried out, the system is asked first.
    Replay {
        /// The handover as it was seen.
        seen: Seen,
        /// A JSON merge patch (RFC 7396) that puts the request right first.
        edit: Option<Value>,
    },
    /// The ticket closes so, through the same closure as any other. What is parked of it is given up.
    Close {
        /// The ticket as it was seen.
        seen: SeenTicket,
        /// How.
        closure: Closure,
    },
    /// The held ticket is open again.
    KeepOpen {
        /// The ticket as it was seen.
        seen: SeenTicket,
    },
    /// A word of a system that no mapping knows means this, for this ticket; it goes on by the rules.
    StatusMeans {
        /// The ticket as it was seen.
        seen: SeenTicket,
        /// The system.
        system: SystemName,
        /// Its word.
        said: String,
        /// What it means.
        meaning: Meaning,
    },
}

/// A parked handover, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The handover.
    pub handover: HandoverId,
    /// Its system.
    pub system: SystemName,
    /// How many attempts had been counted at its call: one more, and it is another parking.
    pub attempts: u32,
}

/// A ticket, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTicket {
    /// Its state.
    pub state: RequestState,
    /// Why it was held.
    pub reason: Option<String>,
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// It is in the ledger.
    Written,
    /// It does not fit what the ledger has now, for this reason; nothing was written.
    Refused(String),
}

/// A handover that is parked.
#[derive(Debug, Clone, PartialEq)]
pub struct Stuck {
    /// The council.
    pub council: Council,
    /// The ticket.
    pub ticket: Ticket,
    /// The opening.
    pub request: RequestId,
    /// The handover.
    pub handover: HandoverId,
    /// Its call: the key under which it is sent again.
    pub call: CallId,
    /// The service asked for.
    pub service: Service,
    /// The system.
    pub system: SystemName,
    /// What was asked of the system.
    pub operation: Operation,
    /// Who can help.
    pub class: ParkClass,
    /// Why.
    pub reason: String,
    /// The number of its last attempt.
    pub attempts: u32,
    /// When that came to its end.
    pub parked_at: Timestamp,
}

impl Stuck {
    /// The handover as it stands here, for a decision about it.
    pub fn seen(&self) -> Seen {
        Seen { handover: self.handover, system: self.system.clone(), attempts: self.attempts }
    }
}
