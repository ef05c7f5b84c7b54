//! A scenario as it was read.

use jiff::{Span, Timestamp};
use mappings::domain::{Council, Job, Service, SystemName, Ticket};
use serde_json::Value;

use connectors::simulator::{Fault, Refuse, Scope};

use super::decide::Decides;
use super::overlay::Overlay;
use super::owners::PassesOn;
use crate::event::Kind;

/// One story: what is given, what happens, and how it must end.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file it stands in.
    pub file: String,
    /// Its line there.
    pub line: usize,
    /// What it tells, as a sentence.
    pub name: String,
    pub(super) given: Given,
    pub(super) steps: Vec<Step>,
    pub(super) then: Vec<Expected>,
}

/// What holds from the start.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// The time of the first step.
    pub(super) time: Timestamp,
    /// The council of requests that name none.
    pub(super) council: Council,
    /// The service of requests that name none.
    pub(super) service: Service,
    /// What is laid over every request.
    pub(super) request: Value,
    /// The clocks of what was promised run.
    pub(super) clocks: bool,
    /// The CRM does not send: it is asked for its tickets.
    pub(super) polled: bool,
    /// The partner speaks GeoReport v2 and no more.
    pub(super) plain: bool,
    /// What is laid over the mappings.
    pub(super) overlays: Vec<Overlay>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) moment: Option<Moment>,
    pub(super) act: Option<Act>,
    /// How often it happens.
    pub(super) times: u32,
}

/// When a step happens, where time passes before it.
#[derive(Debug, Clone)]
pub(super) enum Moment {
    /// At this time.
    At(Timestamp),
    /// So long after the step before; days are days of the calendar in London.
    After(Span),
}

/// What happens.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// The CRM sends a request.
    Request { ticket: Ticket, council: Option<Council>, service: Option<Service>, over: Value },
    /// A person opens a ticket in the CRM, which sends nothing.
    Opens { ticket: Ticket, fields: Value },
    /// The CRM sends that a request was amended, withdrawn or reopened.
    Change { word: &'static str, ticket: Ticket, council: Option<Council>, data: Value },
    /// The next job of a system is called so.
    Accepts(SystemName, Job),
    /// The next order is refused.
    Refuses(SystemName, Refuse),
    /// The next calls of a kind are answered so, or not at all.
    Answers(SystemName, Fault, Scope),
    /// A system no longer knows the job of a ticket.
    Forgets(SystemName, Ticket),
    /// Every system is asked about its open jobs.
    Reconcile,
    /// Connections to the system are refused, or taken again.
    Down(SystemName),
    /// They are taken again.
    Up(SystemName),
    /// A person pauses a system.
    Pauses(SystemName),
    /// A person lets it go on.
    Resumes(SystemName),
    /// A system says a word about a job.
    Says(Word),
    /// A system puts a file into its folder, and two looks pass.
    Puts { system: SystemName, name: String, content: String },
    /// A person puts a ticket into a status at the CRM's own screen.
    ByHand { ticket: Option<Ticket>, status: &'static str },
    /// A person stops the closure before its time.
    Stop(Option<Ticket>),
    /// A person decides about a ticket that waits for one.
    Decides(Decides),
    /// A person says who has the work from now on.
    PassesOn(PassesOn),
    /// Dovetail is started anew with other rules, laid over the mappings.
    Rules(Vec<Overlay>),
    /// What must hold by now.
    Expect(Vec<Expected>),
}

/// What a system says about a job.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) system: SystemName,
    pub(super) said: String,
    pub(super) about: Option<Ticket>,
    pub(super) job: Option<Job>,
    pub(super) note: Option<String>,
    pub(super) follow_on: Option<String>,
    pub(super) by: Option<By>,
    pub(super) dated: Option<Timestamp>,
}

/// The way a word comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The system calls us.
    Webhook,
    /// We ask, at the next turn.
    Poll,
    /// Over RabbitMQ.
    Queue,
    /// In a file, when two looks have passed.
    File,
    /// In no way: the system knows it, tells nobody, and lists it among no changes.
    Nobody,
}

/// One thing that must hold.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) line: usize,
    /// The ticket it is about; `None` is the first that the scenario names.
    pub(super) ticket: Option<Ticket>,
    pub(super) what: What,
}

/// What must hold.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// The ticket's state, or `unknown`.
    State(String),
    /// How it closed.
    Disposition(String),
    /// Parts of the reason it is held, parked or closed for.
    Reason(Vec<String>),
    /// Parts of what the customer was told.
    Told(Vec<String>),
    /// What the customer was not told.
    NotTold(Vec<String>),
    /// How often a call closed the ticket in the CRM.
    Closures(u64),
    /// The ticket's status in the CRM.
    CrmStatus(String),
    /// How many tickets of the CRM refer to it.
    Linked(u64),
    /// All its events, oldest first.
    Events(Vec<String>),
    /// Some of its events, in any order.
    Includes(Vec<String>),
    /// Events it must not have.
    Excludes(Vec<String>),
    /// Parts of the data of one of its events of a kind, as a document laid under it.
    Says(Kind, Value),
    /// The class a handover is parked with.
    Parked(String),
    /// What waits for a person, sorted: held, parked, orphan, early, refused.
    Problems(Vec<String>),
    /// The systems whose part has not ended.
    WaitsFor(Vec<String>),
    /// Parts of what the person who decided last read.
    PersonRead(Vec<String>),
    /// Parts of what staff read of it.
    StaffRead(Vec<String>),
    /// What a system was asked for, without polls and read-backs.
    Calls(SystemName, Vec<String>),
    /// The files of a system in one of its folders, sorted.
    Files(SystemName, &'static str, Vec<String>),
    /// What the receipt of a file counts, such as `2 taken, 1 known already, 0 bad`.
    Receipt(String, String),
    /// How many jobs a system made.
    Jobs(SystemName, u64),
    /// Numbers of what the last comparison with the open jobs of a system came to, or `put off`.
    Compared(SystemName, Value),
    /// Parts of what was added to the latest job at a system.
    Remarks(SystemName, Vec<String>),
}
