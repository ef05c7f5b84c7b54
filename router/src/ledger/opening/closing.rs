//! How an opening closes: at once, or after a time in which it can still be stopped.

use jiff::Timestamp;
use mappings::domain::{Disposition, HandoverState, Operation, RequestState};
use serde_json::{Value, json};

use super::{Effects, Opening, Piece, revised};
use crate::closing::{Closure, Decision, Grounds, Part, Standing};
use crate::event::Kind;

impl Opening {
    /// Asks the closing rules, where the ticket is open. Says whether they changed it.
    pub(super) fn decide(
        &mut self,
        closer: &dyn Fn(&Standing) -> Decision,
        at: Timestamp,
        effects: &mut Effects,
    ) -> bool {
        if self.state != RequestState::Open {
            return false;
        }
        match self.ruling(closer) {
            Decision::Wait => false,
            Decision::Hold(reason) => {
                self.hold(reason, json!({}), at, effects);
                true
            }
            Decision::Close(closure) if closure.grounds.undo.is_zero() => {
                self.close(closure, at, effects);
                true
            }
            Decision::Close(closure) => {
                self.close_later(closure, at, effects);
                true
            }
        }
    }

    /// Whether a closure is decided and can still be stopped.
    pub(super) fn can_be_stopped(&self) -> bool {
        self.state == RequestState::Closing && self.closes_at.is_some()
    }

    /// The time for stopping the closure is over: the rules are asked once more, and the closure is written.
    pub(in crate::ledger) fn close_at_last(
        &mut self,
        closer: &dyn Fn(&Standing) -> Decision,
        now: Timestamp,
        effects: &mut Effects,
    ) -> bool {
        if !self.can_be_stopped() || self.closes_at.is_some_and(|at| at > now) {
            return false;
        }
        self.back_to(RequestState::Open);
        match self.ruling(closer) {
            Decision::Wait => {}
            Decision::Hold(reason) => self.hold(reason, json!({}), now, effects),
            Decision::Close(closure) => self.close(closure, now, effects),
        }
        true
    }

    /// A person stops the closure: the ticket is held. `false` where there is none that can be stopped.
    pub(in crate::ledger) fn stop(&mut self, by: &str, at: Timestamp, effects: &mut Effects) -> bool {
        if !self.can_be_stopped() {
            return false;
        }
        self.hold(format!("{by} stopped the closure"), json!({"stopped_by": by}), at, effects);
        true
    }

    /// What was decided no longer holds.
    pub(super) fn back_to(&mut self, state: RequestState) {
        self.state = state;
        self.closes_at = None;
        self.closed_at = None;
        self.disposition = None;
        self.reason = None;
        self.say = None;
        self.changed = true;
    }

    /// What the closing rules say now.
    fn ruling(&self, closer: &dyn Fn(&Standing) -> Decision) -> Decision {
        // Work that is done needs no number any more.
        let orders = |piece: &Piece| piece.operation == Some(Operation::Create) && piece.carried.is_some();
        let asked = |piece: &Piece| {
            piece.state == HandoverState::Ended && piece.operation.is_some() && !orders(piece)
        };
        // What was asked last of an ended piece is still under way: what it comes to is part of the decision.
        if self.pieces.iter().any(asked) { Decision::Wait } else { closer(&self.standing()) }
    }

    fn standing(&self) -> Standing {
        let parts = self.pieces.iter().filter(|piece| !piece.closure).map(|piece| Part {
            system: piece.system.clone(),
            job: piece.job.clone(),
            state: piece.state,
            disposition: piece.disposition,
            reason: piece.reason.clone(),
            say: piece.say.clone(),
            said: piece.said.clone().filter(|_| is_own_word(piece)),
            at: piece.said_at.filter(|_| is_own_word(piece)).or(piece.ended_at),
            doubt: piece.doubt.clone(),
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

    /// The closure is decided, and nobody but the timeline and the bus is told before its time.
    fn close_later(&mut self, closure: Closure, at: Timestamp, effects: &mut Effects) {
        let closes_at = at + closure.grounds.undo;
        let Closure { disposition, reason, say, grounds, .. } = closure;
        let data = json!({
            "closes_at": closes_at.to_string(), "disposition": disposition.as_str(), "reason": reason,
            "say": say, "rule": grounds.rule,
        });
        effects.events.push(self.event(Kind::Progressed, at, data));
        self.state = RequestState::Closing;
        self.closes_at = Some(closes_at);
        self.disposition = Some(disposition);
        self.reason = reason;
        self.say = Some(say);
        self.changed = true;
    }

    pub(super) fn close(&mut self, closure: Closure, at: Timestamp, effects: &mut Effects) {
        let Closure { disposition, reason, say, crm, grounds } = closure;
        self.state = if crm.is_some() { RequestState::Closing } else { RequestState::Closed };
        self.closes_at = None;
        self.closed_at = Some(at);
        self.disposition = Some(disposition);
        self.reason = reason;
        self.say = Some(say);
        self.changed = true;
        let payload = self.payload(&grounds);
        effects.events.push(self.event(Kind::Closed, at, payload.clone()));
        if let Some(linked) = payload.get("linked") {
            let mut linked = linked.clone();
            linked["crm"] = json!(crm.as_ref().map(|crm| crm.as_str()));
            effects.events.push(self.event(Kind::FollowOn, at, linked));
        }
        let Some(crm) = crm else { return };
        let piece = Piece::due(crm, true);
        effects.calls.push(piece.first_call(Some(payload), at));
        self.pieces.push(piece);
    }

    /// The closure as its event and its call carry it.
    pub(super) fn payload(&self, grounds: &Grounds) -> Value {
        let pieces = self.pieces.iter().filter(|piece| !piece.closure && piece.disposition.is_some());
        let evidence: Vec<Value> =
            pieces.map(|piece| evidence(piece, grounds.decided_by.get(&piece.system))).collect();
        let mut payload = json!({
            "disposition": self.disposition.map(Disposition::as_str), "reason": self.reason, "say": self.say,
            "evidence": evidence, "rule": grounds.rule, "decided_at": self.closed_at.map(|at| at.to_string()),
        });
        if !grounds.outstanding.is_empty() {
            let left = grounds
                .outstanding
                .iter()
                .map(|(system, team)| json!({"system": system.as_str(), "team": team}));
            payload["outstanding"] = left.collect();
        }
        if let Some(needs) = self.needs.as_deref().and_then(|needs| serde_json::from_str::<Value>(needs).ok())
        {
            payload["needs"] = needs;
        }
        if let Some(words) = &grounds.follow_on {
            payload["linked"] = json!({
                "follows": self.ticket.as_str(), "service": self.service.as_str(), "summary": words,
            });
        }
        payload
    }
}

/// Whether what a system said last is about how its work ended: what it said before the customer withdrew the request
/// is no evidence of that.
fn is_own_word(piece: &Piece) -> bool {
    piece.reason.as_deref() != Some(revised::WITHDRAWN)
}

/// What a closure shows for a piece of work: the system's own word where it gave one, and what decided its meaning.
fn evidence(piece: &Piece, decided_by: Option<&String>) -> Value {
    let own = is_own_word(piece);
    let said = piece.said.as_deref().filter(|_| own).or(piece.reason.as_deref());
    let said = said.or(piece.disposition.map(Disposition::as_str));
    let at = piece.said_at.filter(|_| own).or(piece.ended_at).map(|at| at.to_string());
    let mut evidence = json!({
        "system": piece.system.as_str(), "said": said, "at": at,
        "job": piece.job.as_ref().map(|job| job.as_str()),
        "disposition": piece.disposition.map(Disposition::as_str), "decided_by": decided_by,
    });
    if let Some(doubt) = &piece.doubt {
        evidence["doubt"] = json!(doubt);
    }
    evidence
}
