//! One opening of a ticket with its pieces of work: what is known, and the news that change it.
//!
//! Everything here is pure: SQL loads an opening and stores it again, the transitions are decided here.

mod closing;
mod edit;
mod heard;
mod linked;
mod queue;
mod resolved;
mod revised;
mod settled;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use mappings::domain::{
    CallId, Council, Disposition, EventId, HandoverId, HandoverState, Job, OneLine, Operation, ParkClass,
    Progress, RequestId, RequestState, Service, SystemName, Ticket,
};
use mappings::mapping::Owner;
use serde_json::{Value, json};
use uuid::Uuid;

pub use edit::{Edited, edit};

use crate::event::{Event, Kind};

/// What is known of one opening, and whether it was changed since it was loaded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Opening {
    pub(super) council: Council,
    pub(super) request: RequestId,
    pub(super) ticket: Ticket,
    pub(super) service: Service,
    pub(super) state: RequestState,
    /// When the customer asked, by the CRM's clock or ours, whichever is earlier.
    pub(super) asked_at: Timestamp,
    pub(super) closed_at: Option<Timestamp>,
    /// Until when a closure that is decided can be stopped.
    pub(super) closes_at: Option<Timestamp>,
    pub(super) disposition: Option<Disposition>,
    pub(super) reason: Option<String>,
    pub(super) say: Option<String>,
    /// The formats that the customer needs, as JSON.
    pub(super) needs: Option<String>,
    pub(super) traceparent: Option<String>,
    /// The customer does not want the work any more.
    pub(super) withdrawn: bool,
    pub(super) pieces: Vec<Piece>,
    pub(super) changed: bool,
}

/// One handover of an opening.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) id: HandoverId,
    pub(super) system: SystemName,
    pub(super) closure: bool,
    pub(super) state: HandoverState,
    /// The latest call that was made or is to be made.
    pub(super) call: CallId,
    /// What that call asks, while it is live or parked; while there is one, no other of this piece is live.
    pub(super) operation: Option<Operation>,
    /// What a parked call carries.
    pub(super) payload: Option<Value>,
    /// Calls that wait for the one before, in order.
    pub(super) queue: Vec<Queued>,
    /// The numbers of calls that wait no more, but do so in the database.
    pub(super) gone: BTreeSet<i64>,
    pub(super) job: Option<Job>,
    /// The reference that the system gave first, where it gave another later: a token before the number.
    pub(super) former_job: Option<Job>,
    /// How far the live or parked call was carried out.
    pub(super) carried: Option<Value>,
    pub(super) progress: Option<Progress>,
    pub(super) disposition: Option<Disposition>,
    pub(super) reason: Option<String>,
    pub(super) class: Option<ParkClass>,
    pub(super) say: Option<String>,
    pub(super) said: Option<String>,
    /// When the system says that its last word came true; of an ended piece, when it says that it ended.
    pub(super) said_at: Option<Timestamp>,
    /// The latest date of all that was heard.
    pub(super) latest_at: Option<Timestamp>,
    /// What speaks against how it ended.
    pub(super) doubt: Option<String>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) kept: Kept,
}

/// A call that waits for the one before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Queued {
    pub(super) number: i64,
    pub(super) call: CallId,
    pub(super) operation: Operation,
    pub(super) payload: Value,
    /// The database has it.
    pub(super) kept: bool,
}

/// Whether the database has a piece as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It has.
    AsItIs,
    /// It has an older state.
    Changed,
    /// It has never seen it.
    New,
}

/// What follows from news: events to publish and calls to make.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Effects {
    pub(super) events: Vec<Event>,
    pub(super) calls: Vec<NewCall>,
    /// Calls that are due no more.
    pub(super) taken_out: Vec<CallId>,
}

impl Effects {
    /// Names the HTTP key that a revision was sent with.
    pub(super) fn name_sender(&mut self, sent_with: Option<&str>) {
        let told = self.events.drain(..).map(|event| match event.data.get("change") {
            Some(_) => event.sent_with(sent_with),
            None => event,
        });
        self.events = told.collect();
    }

    /// Names who owns the work that was handed over.
    pub(super) fn name_owner(&mut self, owner: &Owner) {
        for event in self.events.iter_mut().filter(|event| event.kind == Kind::HandedOver) {
            event.data["owner"] =
                json!({"team": owner.team, "contact": owner.contact, "senior": owner.senior});
        }
    }
}

/// A call that becomes due with a change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewCall {
    pub(super) call: CallId,
    pub(super) handover: HandoverId,
    pub(super) system: SystemName,
    pub(super) operation: Operation,
    pub(super) payload: Option<Value>,
    /// The system's job reference, where it is known.
    pub(super) job: Option<Job>,
    pub(super) due_at: Timestamp,
}

impl Piece {
    /// A piece of work whose first call is due.
    pub(super) fn due(system: SystemName, closure: bool) -> Self {
        Self {
            id: HandoverId(Uuid::now_v7()),
            system,
            closure,
            state: HandoverState::Due,
            call: CallId(Uuid::now_v7()),
            operation: Some(if closure { Operation::Close } else { Operation::Create }),
            payload: None,
            queue: Vec::new(),
            gone: BTreeSet::new(),
            job: None,
            former_job: None,
            carried: None,
            progress: None,
            disposition: None,
            reason: None,
            class: None,
            say: None,
            said: None,
            said_at: None,
            latest_at: None,
            doubt: None,
            ended_at: None,
            kept: Kept::New,
        }
    }

    /// Its first call, which is due.
    pub(super) fn first_call(&self, payload: Option<Value>, due_at: Timestamp) -> NewCall {
        NewCall {
            call: self.call,
            handover: self.id,
            system: self.system.clone(),
            operation: if self.closure { Operation::Close } else { Operation::Create },
            payload,
            job: None,
            due_at,
        }
    }

    /// Whether the system knows its job by this reference, or did at first.
    pub(super) fn is_known_by(&self, job: &Job) -> bool {
        self.job.as_ref() == Some(job) || self.former_job.as_ref() == Some(job)
    }

    /// Takes a reference that the system gave after another.
    fn rename(&mut self, job: Option<Job>) {
        let Some(job) = job.filter(|job| self.job.as_ref() != Some(job)) else { return };
        self.former_job = self.job.replace(job);
    }

    fn touch(&mut self) {
        if self.kept == Kept::AsItIs {
            self.kept = Kept::Changed;
        }
    }
}

impl Opening {
    /// An event about this opening.
    pub(super) fn event(&self, kind: Kind, at: Timestamp, data: Value) -> Event {
        Event {
            id: EventId(Uuid::now_v7()),
            kind,
            council: Some(self.council.clone()),
            ticket: Some(self.ticket.clone()),
            request: Some(self.request),
            at,
            data,
            traceparent: self.traceparent.clone(),
        }
    }

    /// A person must decide. What is closed or closing stays so: the event tells.
    fn hold(&mut self, reason: String, mut data: Value, at: Timestamp, effects: &mut Effects) {
        let reason = OneLine::new(&reason).to_string();
        data["reason"] = json!(reason);
        if self.state == RequestState::Open || self.can_be_stopped() {
            self.back_to(RequestState::Held);
            self.reason = Some(reason);
        }
        effects.events.push(self.event(Kind::Held, at, data));
    }
}
