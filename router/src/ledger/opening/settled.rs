//! What an attempt means for its piece of work and for the ticket.

use jiff::Timestamp;
use mappings::domain::{Disposition, HandoverId, HandoverState, Operation, RequestState};
use serde_json::json;

use super::{Effects, Opening};
use crate::closing::{Decision, Standing};
use crate::event::Kind;
use crate::ledger::Next;

impl Opening {
    /// Applies what an attempt for a piece came to.
    pub(in crate::ledger) fn settled(
        &mut self,
        handover: HandoverId,
        operation: Operation,
        next: &Next,
        at: Timestamp,
        closer: &dyn Fn(&Standing) -> Decision,
        effects: &mut Effects,
    ) {
        let Some(index) = self.pieces.iter().position(|piece| piece.id == handover) else { return };
        match (operation, next) {
            (_, Next::Again { .. }) => {}
            (Operation::Close, Next::Delivered { note, .. }) => self.closure_taken(index, note.clone(), at),
            (Operation::Close, Next::Rejected { disposition, reason, say }) => {
                self.end(index, *disposition, Some(reason.clone()), say.clone(), at);
                let system = self.pieces[index].system.clone();
                self.state = RequestState::Held;
                self.reason = Some(format!("{system} refused the closure: {reason}"));
                self.changed = true;
                let data = json!({"system": system.as_str(), "reason": self.reason});
                effects.events.push(self.event(Kind::Held, at, data));
            }
            (Operation::Create | Operation::Amend | Operation::Cancel, Next::Delivered { job, note }) => {
                let piece = &mut self.pieces[index];
                piece.touch();
                piece.job = job.clone().or(piece.job.take());
                if piece.state != HandoverState::Ended {
                    piece.state = HandoverState::Awaiting;
                    piece.class = None;
                    piece.reason.clone_from(note);
                }
                let data = json!({
                    "system": piece.system.as_str(), "job": piece.job.as_ref().map(|job| job.as_str()),
                });
                effects.events.push(self.event(Kind::HandedOver, at, data));
            }
            (
                Operation::Create | Operation::Amend | Operation::Cancel,
                Next::Rejected { disposition, reason, say },
            ) => {
                self.end(index, *disposition, Some(reason.clone()), say.clone(), at);
                if !self.decide(closer, at, effects) {
                    self.tell_ended(index, at, effects);
                }
            }
            (_, Next::Park { class, reason }) => {
                let piece = &mut self.pieces[index];
                piece.touch();
                piece.state = HandoverState::Parked;
                piece.class = Some(*class);
                piece.reason = Some(reason.clone());
                let data = json!({
                    "system": piece.system.as_str(), "class": class.as_str(), "reason": reason,
                });
                effects.events.push(self.event(Kind::Held, at, data));
            }
        }
    }

    /// The CRM has the closure.
    pub(super) fn closure_taken(&mut self, index: usize, note: Option<String>, at: Timestamp) {
        self.end(index, Disposition::Completed, note, None, at);
        if self.state == RequestState::Closing {
            self.state = RequestState::Closed;
            self.changed = true;
        }
    }

    /// A piece of work ended.
    pub(super) fn end(
        &mut self,
        index: usize,
        disposition: Disposition,
        reason: Option<String>,
        say: Option<String>,
        at: Timestamp,
    ) {
        let piece = &mut self.pieces[index];
        piece.touch();
        piece.state = HandoverState::Ended;
        piece.disposition = Some(disposition);
        piece.reason = reason;
        piece.say = say;
        piece.class = None;
        piece.ended_at = Some(at);
    }

    /// Tells that one piece ended while the ticket goes on.
    pub(super) fn tell_ended(&mut self, index: usize, at: Timestamp, effects: &mut Effects) {
        let piece = &self.pieces[index];
        let data = json!({
            "system": piece.system.as_str(),
            "job": piece.job.as_ref().map(|job| job.as_str()),
            "disposition": piece.disposition.map(Disposition::as_str),
            "reason": piece.reason,
            "said": piece.said,
            "say": piece.say,
        });
        effects.events.push(self.event(Kind::Progressed, at, data));
    }
}
