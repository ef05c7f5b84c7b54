//! What can be read back: a ticket's history, and lists of tickets.

use jiff::Timestamp;
use mappings::domain::{
    Council, Disposition, HandoverId, HandoverState, Job, Operation, ParkClass, Phase, Progress, RequestId,
    RequestState, Service, SystemName, Ticket,
};

use super::{Attempt, Completion, Correlated, Failing, Halt, Promised};
use crate::event::Event;

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
    /// Until when a closure that is decided can be stopped.
    pub closes_at: Option<Timestamp>,
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
    /// What was promised.
    pub promised: Promised,
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
    /// Of the systems that have a part in it, those that take no calls for now.
    pub halts: Vec<Halt>,
    /// Of these systems, what is asked of them and failed the last time.
    pub failing: Vec<Failing>,
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
    /// What speaks against how it ended.
    pub doubt: Option<String>,
    /// What is asked of the system now, while that is under way or parked.
    pub operation: Option<Operation>,
    /// How much more waits to be asked after that.
    pub waiting: u32,
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
