//! What follows when the customer changes their mind.

use std::collections::HashSet;

use jiff::Timestamp;
use mappings::domain::{
    CallId, Disposition, HandoverState, Operation, ParkClass, RequestId, RequestState, Revision, SystemName,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Effects, Opening, Piece};
use crate::closing::{CANCELLED_AS_ASKED, Decision, Standing};
use crate::event::Kind;

/// The reason of work that was called off because the customer withdrew the request.
pub(super) const WITHDRAWN: &str = "withdrawn";

impl Opening {
    /// The customer changed the request: pieces whose order was not sent are sent as changed, all others are told.
    /// `false` when that came too late.
    pub(in crate::ledger) fn amended(
        &mut self,
        data: &Value,
        unsent: &HashSet<CallId>,
        at: Timestamp,
        effects: &mut Effects,
    ) -> bool {
        if self.is_over() || self.withdrawn {
            let when = if self.withdrawn { "after it was withdrawn" } else { self.too_late() };
            self.noted(Revision::Amended, when, at, effects);
            return false;
        }
        self.tell_revision(Revision::Amended, data, at, effects);
        for index in 0..self.pieces.len() {
            let piece = &self.pieces[index];
            if !piece.closure && piece.state != HandoverState::Ended && !piece.is_unsent(unsent) {
                self.ask(index, Operation::Amend, data.clone(), at, effects);
            }
        }
        true
    }

    /// Calls that are live and may have been sent.
    pub(in crate::ledger) fn live_calls(&self, unsent: &HashSet<CallId>) -> Vec<CallId> {
        let live = self.pieces.iter().filter(|piece| {
            piece.operation.is_some() && piece.state != HandoverState::Parked && !unsent.contains(&piece.call)
        });
        live.map(|piece| piece.call).collect()
    }

    /// The customer does not want it any more. Orders that were not sent are taken out, all others called off.
    pub(in crate::ledger) fn withdrawn(
        &mut self,
        data: &Value,
        unsent: &HashSet<CallId>,
        at: Timestamp,
        closer: &dyn Fn(&Standing) -> Decision,
        effects: &mut Effects,
    ) {
        if self.is_over() {
            let when = self.too_late();
            return self.noted(Revision::Withdrawn, when, at, effects);
        }
        let again = std::mem::replace(&mut self.withdrawn, true);
        self.tell_revision(Revision::Withdrawn, data, at, effects);
        if again {
            return;
        }
        self.changed = true;
        let mut ended = Vec::new();
        for index in 0..self.pieces.len() {
            let piece = &mut self.pieces[index];
            if piece.closure || piece.state == HandoverState::Ended {
                continue;
            }
            if piece.is_unsent(unsent) {
                if piece.state == HandoverState::Due {
                    effects.taken_out.push(piece.call);
                }
                piece.settle();
                self.call_off(index, at);
                ended.push(index);
            } else {
                self.ask(index, Operation::Cancel, data.clone(), at, effects);
            }
        }
        if !self.decide(closer, at, effects) {
            ended.into_iter().for_each(|index| self.tell_ended(index, at, effects));
        }
    }

    /// The ticket was opened again. Returns the next opening where this one is over, with the same systems.
    pub(in crate::ledger) fn reopened(
        &mut self,
        data: &Value,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Option<Self> {
        match self.state {
            RequestState::Open | RequestState::Held => {
                let data = json!({"reason": data.get("reason"), "state": self.state.as_str()});
                effects.events.push(self.event(Kind::Reopened, at, data));
                return None;
            }
            RequestState::Closing if self.can_be_stopped() => {
                let data = json!({"reason": data.get("reason"), "state": self.state.as_str()});
                effects.events.push(self.event(Kind::Reopened, at, data));
                self.noted(Revision::Reopened, self.too_late(), at, effects);
                return None;
            }
            RequestState::Closing => self.break_off_closing(at, effects),
            RequestState::Closed => {}
        }
        let systems: Vec<SystemName> =
            self.pieces.iter().filter(|piece| !piece.closure).map(|piece| piece.system.clone()).collect();
        Some(Self {
            council: self.council.clone(),
            request: RequestId(Uuid::now_v7()),
            ticket: self.ticket.clone(),
            service: self.service.clone(),
            state: RequestState::Open,
            asked_at: at,
            closed_at: None,
            closes_at: None,
            disposition: None,
            reason: None,
            say: None,
            needs: self.needs.clone(),
            traceparent: self.traceparent.clone(),
            withdrawn: false,
            pieces: systems.into_iter().map(|system| Piece::due(system, false)).collect(),
            changed: false,
        })
    }

    /// The CRM knows better than a closure that it has not taken yet: the closure is not asked for again.
    fn break_off_closing(&mut self, at: Timestamp, effects: &mut Effects) {
        for index in 0..self.pieces.len() {
            let piece = &mut self.pieces[index];
            if !piece.closure || piece.state == HandoverState::Ended {
                continue;
            }
            effects.taken_out.push(piece.call);
            piece.settle();
            let reason = "the ticket was opened again before the CRM had taken the closure".to_owned();
            self.end(index, Disposition::Cancelled, Some(reason), None, at);
        }
        self.state = RequestState::Closed;
        self.closes_at = None;
        self.changed = true;
    }

    /// A piece ended because the customer withdrew the request.
    pub(super) fn call_off(&mut self, index: usize, at: Timestamp) {
        self.end(
            index,
            Disposition::Cancelled,
            Some(WITHDRAWN.to_owned()),
            Some(CANCELLED_AS_ASKED.to_owned()),
            at,
        );
    }

    fn is_over(&self) -> bool {
        match self.state {
            RequestState::Open | RequestState::Held => false,
            RequestState::Closing | RequestState::Closed => true,
        }
    }

    /// Why what comes now is not acted upon: nobody has been told of a closure that can still be stopped.
    fn too_late(&self) -> &'static str {
        if self.can_be_stopped() { "after the work had ended" } else { "after the ticket was closed" }
    }

    /// Says what the customer did.
    fn tell_revision(&self, revision: Revision, data: &Value, at: Timestamp, effects: &mut Effects) {
        let data = json!({"change": revision.as_str(), "reason": data.get("reason")});
        effects.events.push(self.event(Kind::Progressed, at, data));
    }

    /// Something came too late to act upon: a person must decide.
    fn noted(&mut self, revision: Revision, when: &str, at: Timestamp, effects: &mut Effects) {
        let reason = format!("the CRM sent {revision} {when}");
        self.back_to(RequestState::Held);
        self.reason = Some(reason.clone());
        let data = json!({"reason": reason, "change": revision.as_str()});
        effects.events.push(self.event(Kind::Held, at, data));
    }
}

impl Piece {
    /// Whether the system has certainly not heard of it: its order is due and was never sent, or could not be made.
    pub(super) fn is_unsent(&self, unsent: &HashSet<CallId>) -> bool {
        match self.state {
            HandoverState::Due => unsent.contains(&self.call),
            HandoverState::Parked => {
                self.operation == Some(Operation::Create) && self.class == Some(ParkClass::Data)
            }
            HandoverState::Awaiting | HandoverState::Ended => false,
        }
    }
}
