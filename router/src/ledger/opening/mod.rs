//! One opening of a ticket with its pieces of work: what is known, and the news that change it.
//!
//! Everything here is pure: SQL loads an opening and stores it again, the transitions are decided here.

mod edit;
mod heard;
mod queue;
mod resolved;
mod revised;
mod settled;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use mappings::domain::{
    CallId, Council, Disposition, EventId, HandoverId, HandoverState, Job, Operation, ParkClass, Progress,
    RequestId, RequestState, Service, SystemName, Ticket,
};
use mappings::mapping::Owner;
use serde_json::{Value, json};
use uuid::Uuid;

pub use edit::{Edited, edit};

use crate::closing::{Closure, Decision, Part, Standing};
use crate::event::{Event, Kind};

/// What is known of one opening, and whether it was changed since it was loaded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Opening {
    pub(super) council: Council,
    pub(super) request: RequestId,
    pub(super) ticket: Ticket,
    pub(super) service: Service,
    pub(super) state: RequestState,
    pub(super) closed_at: Option<Timestamp>,
    pub(super) disposition: Option<Disposition>,
    pub(super) reason: Option<String>,
    pub(super) say: Option<String>,
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
    pub(super) progress: Option<Progress>,
    pub(super) disposition: Option<Disposition>,
    pub(super) reason: Option<String>,
    pub(super) class: Option<ParkClass>,
    pub(super) say: Option<String>,
    pub(super) said: Option<String>,
    pub(super) said_at: Option<Timestamp>,
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
            progress: None,
            disposition: None,
            reason: None,
            class: None,
            say: None,
            said: None,
            said_at: None,
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
        data["reason"] = json!(reason);
        if self.state == RequestState::Open {
            self.state = RequestState::Held;
            self.reason = Some(reason);
            self.changed = true;
        }
        effects.events.push(self.event(Kind::Held, at, data));
    }

    /// Asks the closing rules, where the ticket is open. Says whether they changed it.
    fn decide(
        &mut self,
        closer: &dyn Fn(&Standing) -> Decision,
        at: Timestamp,
        effects: &mut Effects,
    ) -> bool {
        let asked = |piece: &Piece| piece.state == HandoverState::Ended && piece.operation.is_some();
        // What was asked last of an ended piece is still under way: what it comes to is part of the decision.
        if self.state != RequestState::Open || self.pieces.iter().any(asked) {
            return false;
        }
        match closer(&self.standing()) {
            Decision::Wait => false,
            Decision::Hold(reason) => {
                self.hold(reason, json!({}), at, effects);
                true
            }
            Decision::Close(closure) => {
                self.close(closure, at, effects);
                true
            }
        }
    }

    fn standing(&self) -> Standing {
        let parts = self.pieces.iter().filter(|piece| !piece.closure).map(|piece| Part {
            system: piece.system.clone(),
            state: piece.state,
            disposition: piece.disposition,
            reason: piece.reason.clone(),
            say: piece.say.clone(),
            said: piece.said.clone(),
        });
        Standing {
            council: self.council.clone(),
            request: self.request,
            ticket: self.ticket.clone(),
            service: self.service.clone(),
            withdrawn: self.withdrawn,
            handovers: parts.collect(),
        }
    }

    fn close(&mut self, closure: Closure, at: Timestamp, effects: &mut Effects) {
        let Closure { disposition, reason, say, crm } = closure;
        self.state = if crm.is_some() { RequestState::Closing } else { RequestState::Closed };
        self.closed_at = Some(at);
        self.disposition = Some(disposition);
        self.reason = reason;
        self.say = Some(say);
        self.changed = true;
        let payload = self.payload();
        effects.events.push(self.event(Kind::Closed, at, payload.clone()));
        let Some(crm) = crm else { return };
        let piece = Piece::due(crm, true);
        effects.calls.push(piece.first_call(Some(payload), at));
        self.pieces.push(piece);
    }

    /// The closure as its event and its call carry it.
    fn payload(&self) -> Value {
        let evidence: Vec<Value> = self.pieces.iter().filter(|piece| !piece.closure).map(evidence).collect();
        json!({
            "disposition": self.disposition.map(Disposition::as_str),
            "reason": self.reason,
            "say": self.say,
            "evidence": evidence,
        })
    }
}

/// What a closure shows for a piece of work: the system's own word where it gave one.
fn evidence(piece: &Piece) -> Value {
    // What the system said before the customer withdrew the request is no evidence of that.
    let own = piece.reason.as_deref() != Some(revised::WITHDRAWN);
    let said = piece.said.as_deref().filter(|_| own).or(piece.reason.as_deref());
    let said = said.or(piece.disposition.map(Disposition::as_str));
    let at = piece.said_at.filter(|_| own).or(piece.ended_at).map(|at| at.to_string());
    json!({"system": piece.system.as_str(), "said": said, "at": at})
}
