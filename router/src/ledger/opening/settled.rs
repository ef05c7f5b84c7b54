//! What an attempt means for its piece of work and for the ticket.

use jiff::Timestamp;
use mappings::domain::{
    Disposition, HandoverId, HandoverState, Job, OneLine, Operation, ParkClass, RequestState,
};
use serde_json::json;

use super::queue::Untold;
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
            (_, Next::Pending { job, reason, carried, .. }) => {
                let piece = &mut self.pieces[index];
                piece.touch();
                let is_first = piece.carried.is_none();
                piece.carried = Some(json!({"call": piece.call.to_string(), "walk": carried}));
                if is_first && operation == Operation::Create {
                    let note = Some(reason.clone());
                    self.handed_over(index, job.clone(), note, at, effects);
                } else {
                    piece.rename(job.clone());
                }
            }
            (Operation::Create, Next::Rejected { .. } | Next::Park { .. } | Next::Unable { .. })
                if self.pieces[index].carried.is_some()
                    && self.pieces[index].state == HandoverState::Ended =>
            {
                // The work has ended, whatever the rest would have been.
                self.pieces[index].settle();
            }
            (Operation::Close, Next::Delivered { note, .. }) => self.closure_taken(index, note.clone(), at),
            (Operation::Close, Next::Rejected { disposition, reason, say }) => {
                self.pieces[index].settle();
                self.end(index, *disposition, Some(reason.clone()), say.clone(), at);
                let system = self.pieces[index].system.clone();
                self.state = RequestState::Held;
                self.closes_at = None;
                self.reason =
                    Some(OneLine::new(&format!("{system} refused the closure: {reason}")).to_string());
                self.changed = true;
                let data = json!({"system": system.as_str(), "reason": self.reason});
                effects.events.push(self.event(Kind::Held, at, data));
            }
            (Operation::Create, Next::Delivered { job, note }) => {
                let was_pending = self.pieces[index].carried.is_some();
                self.pieces[index].settle();
                if was_pending {
                    self.said_the_rest(index, job.clone(), note.clone(), at, effects);
                } else {
                    self.handed_over(index, job.clone(), note.clone(), at, effects);
                }
                self.release_next(index, at, effects);
            }
            (Operation::Create, Next::Rejected { disposition, reason, say }) => {
                self.pieces[index].settle();
                // What changed concerns nobody: there is no work.
                self.end(index, *disposition, Some(reason.clone()), say.clone(), at);
                self.decide_or_tell(index, at, closer, effects);
            }
            (Operation::Amend | Operation::Cancel, _) => {
                self.asked(index, operation, next, at, closer, effects);
            }
            (Operation::Create | Operation::Close, Next::Park { class, reason }) => {
                self.park(index, *class, reason, at, effects);
            }
            (Operation::Create | Operation::Close, Next::Unable { reason }) => {
                self.park(index, ParkClass::Technical, reason, at, effects);
            }
        }
    }

    /// The system has the work.
    fn handed_over(
        &mut self,
        index: usize,
        job: Option<Job>,
        note: Option<String>,
        at: Timestamp,
        effects: &mut Effects,
    ) {
        let piece = &mut self.pieces[index];
        piece.job = job.or(piece.job.take());
        if piece.state != HandoverState::Ended {
            piece.state = HandoverState::Awaiting;
            piece.class = None;
            piece.reason = note;
        }
        let data = json!({
            "system": piece.system.as_str(), "job": piece.job.as_ref().map(|job| job.as_str()),
        });
        effects.events.push(self.event(Kind::HandedOver, at, data));
    }

    /// The system, which has the work already, said what was missing: the job's number.
    fn said_the_rest(
        &mut self,
        index: usize,
        job: Option<Job>,
        note: Option<String>,
        at: Timestamp,
        effects: &mut Effects,
    ) {
        let piece = &mut self.pieces[index];
        piece.rename(job);
        if piece.state == HandoverState::Ended {
            return;
        }
        piece.state = HandoverState::Awaiting;
        piece.class = None;
        piece.reason = note;
        let as_text = |job: &Option<Job>| job.as_ref().map(|job| job.as_str().to_owned());
        let data = json!({
            "system": piece.system.as_str(), "job": as_text(&piece.job), "former_job": as_text(&piece.former_job),
        });
        effects.events.push(self.event(Kind::Progressed, at, data));
    }

    /// Applies what came of telling a system that something changed, or of asking it to call the work off.
    fn asked(
        &mut self,
        index: usize,
        operation: Operation,
        next: &Next,
        at: Timestamp,
        closer: &dyn Fn(&Standing) -> Decision,
        effects: &mut Effects,
    ) {
        let has_ended = self.pieces[index].state == HandoverState::Ended;
        if next.settles() && !matches!(next, Next::Park { .. }) || has_ended {
            self.pieces[index].settle();
        }
        match next {
            Next::Again { .. } | Next::Pending { .. } => return,
            Next::Delivered { .. } if has_ended => {}
            Next::Delivered { .. } if operation == Operation::Cancel => self.call_off(index, at),
            Next::Delivered { .. } => {
                let piece = &mut self.pieces[index];
                piece.state = HandoverState::Awaiting;
                piece.class = None;
                piece.reason = None;
                let data = json!({
                    "system": piece.system.as_str(), "job": piece.job.as_ref().map(|job| job.as_str()),
                    "told": operation.as_str(),
                });
                effects.events.push(self.event(Kind::Progressed, at, data));
                return self.release_next(index, at, effects);
            }
            Next::Rejected { disposition, reason, say } => {
                if !has_ended {
                    self.end(index, *disposition, Some(reason.clone()), say.clone(), at);
                }
                if operation == Operation::Amend {
                    self.hold_untold(index, &format!("it refused, {reason}"), at, effects);
                }
            }
            Next::Unable { reason } | Next::Park { reason, .. } if has_ended => {
                if operation == Operation::Amend {
                    self.hold_untold(index, &format!("its work has ended, and {reason}"), at, effects);
                }
            }
            Next::Unable { reason } => {
                self.hold_asked(index, operation, reason, at, effects);
                return self.release_next(index, at, effects);
            }
            Next::Park { class, reason } => return self.park(index, *class, reason, at, effects),
        }
        if has_ended {
            self.decide(closer, at, effects);
        } else {
            self.decide_or_tell(index, at, closer, effects);
        }
    }

    /// Sets a piece aside for a person; what waits behind its call waits with it.
    fn park(&mut self, index: usize, class: ParkClass, reason: &str, at: Timestamp, effects: &mut Effects) {
        let reason = OneLine::new(reason);
        let piece = &mut self.pieces[index];
        piece.touch();
        piece.state = HandoverState::Parked;
        piece.class = Some(class);
        piece.reason = Some(reason.to_string());
        let data = json!({
            "system": piece.system.as_str(), "class": class.as_str(), "reason": reason.as_str(),
            "operation": piece.operation.map(Operation::as_str), "waiting": piece.queue.len(),
        });
        effects.events.push(self.event(Kind::Held, at, data));
    }

    fn decide_or_tell(
        &mut self,
        index: usize,
        at: Timestamp,
        closer: &dyn Fn(&Standing) -> Decision,
        effects: &mut Effects,
    ) {
        if !self.decide(closer, at, effects) {
            self.tell_ended(index, at, effects);
        }
    }

    /// The CRM has the closure.
    pub(super) fn closure_taken(&mut self, index: usize, note: Option<String>, at: Timestamp) {
        self.pieces[index].settle();
        self.end(index, Disposition::Completed, note, None, at);
        if self.state == RequestState::Closing {
            self.state = RequestState::Closed;
            self.closes_at = None;
            self.changed = true;
        }
    }

    /// A piece of work ended: nothing more is asked of it. A call under way stays so until it is settled.
    pub(super) fn end(
        &mut self,
        index: usize,
        disposition: Disposition,
        reason: Option<String>,
        say: Option<String>,
        at: Timestamp,
    ) -> Untold {
        let piece = &mut self.pieces[index];
        piece.touch();
        let mut untold = piece.drop_queue();
        if piece.state == HandoverState::Parked {
            if piece.operation == Some(Operation::Amend) {
                untold = Untold::Change;
            }
            piece.settle();
        }
        piece.state = HandoverState::Ended;
        piece.disposition = Some(disposition);
        piece.reason = reason;
        piece.say = say;
        piece.class = None;
        piece.ended_at = Some(at);
        untold
    }

    /// Tells that one piece ended while the ticket goes on.
    pub(super) fn tell_ended(&mut self, index: usize, at: Timestamp, effects: &mut Effects) {
        let piece = &self.pieces[index];
        let mut data = json!({
            "system": piece.system.as_str(),
            "job": piece.job.as_ref().map(|job| job.as_str()),
            "disposition": piece.disposition.map(Disposition::as_str),
            "reason": piece.reason,
            "said": piece.said,
            "say": piece.say,
        });
        if let Some(doubt) = &piece.doubt {
            data["doubt"] = json!(doubt);
        }
        effects.events.push(self.event(Kind::Progressed, at, data));
    }
}
