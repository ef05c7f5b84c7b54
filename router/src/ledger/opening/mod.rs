//! One opening of a ticket with its pieces of work: what is known, and the news that change it.
//!
//! Everything here is pure: SQL loads an opening and stores it again, the transitions are decided here.

mod heard;
mod settled;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use mappings::domain::{
    CallId, Council, Disposition, EventId, HandoverId, HandoverState, Job, Operation, ParkClass, Progress,
    RequestId, RequestState, Service, SystemName, Ticket,
};
use mappings::mapping::Owner;
use serde_json::{Value, json};
use uuid::Uuid;

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
    pub(super) call: CallId,
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

    /// The customer or the CRM changed their mind: a person must decide, whatever the state.
    pub(super) fn noted(&mut self, word: &str, at: Timestamp, effects: &mut Effects) {
        let closed = self.state == RequestState::Closed;
        let reason = if closed {
            format!("the CRM sent {word} after the ticket was closed")
        } else {
            format!("the CRM sent {word}")
        };
        if word == "reopened" {
            effects.events.push(self.event(Kind::Reopened, at, json!({"reason": reason})));
        }
        self.state = RequestState::Held;
        self.reason = Some(reason.clone());
        self.closed_at = None;
        self.disposition = None;
        self.say = None;
        self.changed = true;
        effects.events.push(self.event(Kind::Held, at, json!({"reason": reason, "change": word})));
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
        if self.state != RequestState::Open {
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
            handovers: parts.collect(),
        }
    }

    fn close(&mut self, closure: Closure, at: Timestamp, effects: &mut Effects) {
        let Closure { disposition, reason, say, crm } = closure;
        let evidence: Vec<Value> = self.pieces.iter().filter(|piece| !piece.closure).map(evidence).collect();
        let payload = json!({
            "disposition": disposition.as_str(), "reason": reason, "say": say, "evidence": evidence,
        });
        self.state = if crm.is_some() { RequestState::Closing } else { RequestState::Closed };
        self.closed_at = Some(at);
        self.disposition = Some(disposition);
        self.reason = reason;
        self.say = Some(say);
        self.changed = true;
        effects.events.push(self.event(Kind::Closed, at, payload.clone()));
        let Some(crm) = crm else { return };
        let piece = Piece::due(crm, true);
        effects.calls.push(NewCall {
            call: piece.call,
            handover: piece.id,
            system: piece.system.clone(),
            operation: Operation::Close,
            payload: Some(payload),
            due_at: at,
        });
        self.pieces.push(piece);
    }
}

/// What a closure shows for a piece of work: the system's own word where it gave one.
fn evidence(piece: &Piece) -> Value {
    let said = piece.said.as_deref().or(piece.reason.as_deref());
    let said = said.or(piece.disposition.map(Disposition::as_str));
    let at = piece.said_at.or(piece.ended_at).map(|at| at.to_string());
    json!({"system": piece.system.as_str(), "said": said, "at": at})
}
