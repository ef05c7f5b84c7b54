//! What is asked of a system one after the other, and what becomes of that when the work ends first.

use jiff::Timestamp;
use mappings::domain::{CallId, HandoverId, HandoverState, Operation};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Effects, NewCall, Opening, Piece, Queued};

/// What of a piece's queue was never asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Untold {
    /// Nothing that matters.
    Nothing,
    /// The system was not told what changed.
    Change,
}

impl Piece {
    /// Its call was settled: none is live or parked.
    pub(in crate::ledger) fn settle(&mut self) {
        self.touch();
        self.operation = None;
        self.payload = None;
        self.carried = None;
    }

    /// Has nothing more wait.
    pub(super) fn drop_queue(&mut self) -> Untold {
        let untold = self.queue.iter().any(|queued| queued.operation == Operation::Amend);
        for queued in std::mem::take(&mut self.queue) {
            self.touch();
            if queued.kept {
                self.gone.insert(queued.number);
            }
        }
        if untold { Untold::Change } else { Untold::Nothing }
    }
}

impl Opening {
    /// Asks something of a system: at once where nothing is under way there, else after all that was asked before.
    pub(super) fn ask(
        &mut self,
        index: usize,
        operation: Operation,
        payload: Value,
        at: Timestamp,
        effects: &mut Effects,
    ) {
        let piece = &mut self.pieces[index];
        piece.touch();
        let last = piece.queue.last().map(|queued| queued.number);
        let number = last.or_else(|| piece.gone.last().copied()).unwrap_or(0) + 1;
        piece.queue.push(Queued { number, call: CallId(Uuid::now_v7()), operation, payload, kept: false });
        self.release_next(index, at, effects);
    }

    /// Makes the next waiting call of a piece due, where none is live or parked. To be called by whatever
    /// [settles](Piece::settle) a call, in the same transaction.
    pub(in crate::ledger) fn release_next(&mut self, index: usize, at: Timestamp, effects: &mut Effects) {
        let piece = &mut self.pieces[index];
        if piece.operation.is_some() || piece.queue.is_empty() {
            return;
        }
        piece.touch();
        let next = piece.queue.remove(0);
        if next.kept {
            piece.gone.insert(next.number);
        }
        piece.call = next.call;
        piece.operation = Some(next.operation);
        effects.calls.push(NewCall {
            call: next.call,
            handover: piece.id,
            system: piece.system.clone(),
            operation: next.operation,
            payload: Some(next.payload),
            job: piece.job.clone(),
            due_at: at,
        });
    }

    /// Keeps what a parked call carries, so that a person can have it made again.
    pub(in crate::ledger) fn keep_payload(&mut self, handover: HandoverId, payload: Option<&Value>) {
        let parked = self.pieces.iter_mut().find(|piece| piece.id == handover);
        if let Some(piece) = parked.filter(|piece| piece.state == HandoverState::Parked) {
            piece.payload = payload.cloned();
        }
    }

    /// A person must tell the system's team what changed: the system was not, for this reason.
    pub(super) fn hold_untold(&mut self, index: usize, why: &str, at: Timestamp, effects: &mut Effects) {
        self.hold_asked(index, Operation::Amend, why, at, effects);
    }

    /// A person must ask the system's team: the system was not asked, or refused, for this reason.
    pub(super) fn hold_asked(
        &mut self,
        index: usize,
        operation: Operation,
        why: &str,
        at: Timestamp,
        effects: &mut Effects,
    ) {
        let system = &self.pieces[index].system;
        let what = match operation {
            Operation::Amend => "was not told what changed",
            Operation::Cancel => "was not asked to call the work off",
            Operation::Create => "was not given the work",
            Operation::Close => "was not told to close the ticket",
        };
        let reason = format!("{system} {what}: {why}. Tell the team");
        let data = json!({"system": system.as_str(), "operation": operation.as_str(), "why": why});
        self.hold(reason, data, at, effects);
    }
}
