//! The clocks of tickets: when to look at one next, and what a look needs to know.

use std::sync::Arc;

use jiff::Timestamp;
use mappings::domain::{Council, HandoverState, Job, Priority, SystemName, Ticket};
use mappings::mapping::Owner;
use serde_json::Value;

use super::Line;
use crate::event::{Event, Kind};

/// How the clock of one opening is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockSetting {
    /// When it is looked at next; `None`: not before something changes.
    pub next_at: Option<Timestamp>,
    /// When what was promised to the customer is reached.
    pub target_at: Option<Timestamp>,
    /// A digest of the rules it was set by: under others it is set anew.
    pub rule: String,
    /// Whether it is looked at when the ticket closes, since the customer may be asked what they think.
    pub feedback: bool,
}

impl ClockSetting {
    /// The clock is looked at as soon as can be, which sets it.
    pub fn at_once(now: Timestamp) -> Self {
        Self { next_at: Some(now), ..Self::default() }
    }
}

/// What was promised, and to what request: beside the line of a list, what a look at a clock goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct Promised {
    /// How soon it was asked for.
    pub priority: Priority,
    /// When the customer first called about this ticket, in whichever opening.
    pub first_call: Timestamp,
    /// The request; null once it is pruned.
    pub document: Arc<Value>,
}

/// A clock that is due to be looked at.
#[derive(Debug, Clone)]
pub struct Clocked {
    /// The opening.
    pub line: Line,
    /// What was promised.
    pub promised: Promised,
    /// Whether the ticket was opened again since: this opening has nothing more to say.
    pub superseded: bool,
    /// Its pieces of work, without the closure, in the order of the route.
    pub work: Vec<Holding>,
    /// What happened, oldest first.
    pub events: Vec<Event>,
}

/// A piece of work, as far as a clock cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The system.
    pub system: SystemName,
    /// Where it stands.
    pub state: HandoverState,
    /// The system's reference.
    pub job: Option<Job>,
}

/// What a look at a clock came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// What is told, in order.
    pub tell: Vec<(Kind, Value)>,
    /// How the clock is set from now on.
    pub setting: ClockSetting,
}

/// Looks at a clock, inside the transaction that writes what it tells.
pub type Look = Arc<dyn Fn(&Clocked) -> Looked + Send + Sync>;

/// Somebody says who owns a piece of work from now on.
#[derive(Debug, Clone)]
pub struct OwnerChange {
    /// The council.
    pub council: Council,
    /// The ticket; its latest opening is meant.
    pub ticket: Ticket,
    /// The system whose handover it is.
    pub system: SystemName,
    /// In which direction it goes.
    pub direction: Direction,
    /// Who owns it now.
    pub owner: Owner,
    /// Who says so.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// In which direction a piece of work goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To another team that does the work.
    Over,
    /// Back to whoever gave it away.
    Back,
}

/// What became of a change of owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerChanged {
    /// It is in the timeline, and holds.
    Written,
    /// The ledger does not know the ticket.
    NoSuchTicket,
    /// The ticket was never handed over to that system.
    NoSuchHandover,
    /// The ticket is closed.
    Closed,
}
