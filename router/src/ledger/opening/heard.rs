//! What a system's word means for its piece of work and for the ticket.

use jiff::Timestamp;
use mappings::domain::{HandoverId, HandoverState, Operation, RequestState};
use serde_json::json;

use super::queue::Untold;
use super::{Effects, Opening, Piece};
use crate::closing::{Decision, Standing};
use crate::event::Kind;
use crate::ledger::{Completion, Correlated, Meaning};
use crate::timeline::when;

impl Opening {
    /// Applies a completion to the piece it was correlated with.
    pub(in crate::ledger) fn heard(
        &mut self,
        handover: HandoverId,
        completion: &Completion,
        meaning: Meaning,
        at: Timestamp,
        closer: &dyn Fn(&Standing) -> Decision,
        effects: &mut Effects,
    ) -> Correlated {
        let Some(index) = self.pieces.iter().position(|piece| piece.id == handover) else {
            return Correlated::Waiting;
        };
        let piece = &self.pieces[index];
        if piece.state == HandoverState::Due && piece.job.is_none() {
            return Correlated::Waiting;
        }
        let said_at = completion.happened_at(self.asked_at);
        let has_ended = piece.state == HandoverState::Ended;
        match &meaning {
            // An ending counts whatever its date: clocks differ, and lists date work and progress differently.
            Meaning::Ended { .. } if !has_ended => {}
            Meaning::Progress { .. } if is_older(said_at, piece) => return Correlated::Superseded,
            Meaning::Ended { .. } | Meaning::Progress { .. } | Meaning::Unrecognised => {
                if says_the_same(&completion.said, said_at, piece) {
                    return Correlated::Duplicate;
                }
            }
        }
        if has_ended {
            return self.heard_after_the_end(index, completion, meaning, at, effects);
        }
        if matches!(meaning, Meaning::Ended { .. }) {
            self.pieces[index].doubt = doubt(said_at, piece);
        }
        self.keep_word(index, completion, &meaning);
        self.take(index, &completion.said, meaning, at, closer, effects)
    }

    /// Applies what a word of a system means, which is kept with the piece already.
    pub(super) fn take(
        &mut self,
        index: usize,
        said: &str,
        meaning: Meaning,
        at: Timestamp,
        closer: &dyn Fn(&Standing) -> Decision,
        effects: &mut Effects,
    ) -> Correlated {
        match meaning {
            Meaning::Ended { disposition, reason, say } => {
                if self.end(index, disposition, reason, say, at) == Untold::Change {
                    self.hold_untold(index, "its work has ended", at, effects);
                }
                if !self.decide(closer, at, effects) {
                    self.tell_ended(index, at, effects);
                }
                Correlated::Applied
            }
            Meaning::Progress { progress, say } => {
                let piece = &mut self.pieces[index];
                piece.touch();
                let arrived = piece.state == HandoverState::Parked
                    && matches!(piece.operation, Some(Operation::Create) | None);
                if arrived {
                    // The system has the job after all.
                    piece.state = HandoverState::Awaiting;
                    piece.class = None;
                    piece.reason = None;
                    piece.settle();
                }
                piece.progress = Some(progress);
                piece.say = say;
                let data = json!({
                    "system": piece.system.as_str(),
                    "job": piece.job.as_ref().map(|job| job.as_str()),
                    "progress": progress.as_str(),
                    "said": said,
                    "say": piece.say,
                });
                effects.events.push(self.event(Kind::Progressed, at, data));
                if arrived {
                    self.release_next(index, at, effects);
                }
                Correlated::Applied
            }
            Meaning::Unrecognised => {
                let system = &self.pieces[index].system;
                let reason = format!("{system} said {said:?}, which Dovetail does not know");
                let data = json!({"system": system.as_str(), "said": said});
                self.hold(reason, data, at, effects);
                Correlated::Held
            }
        }
    }

    /// Something is said by our reference alone of a ticket that was opened more than once: it may be about the
    /// work of an earlier opening, so a person decides.
    pub(in crate::ledger) fn doubted(
        &mut self,
        completion: &Completion,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Correlated {
        let system = &completion.system;
        let reason = format!(
            "{system} said {:?} without its own reference, and that may be about the work before the ticket was \
             opened again",
            completion.said
        );
        let data = json!({"system": system.as_str(), "said": completion.said});
        self.hold(reason, data, at, effects);
        Correlated::Held
    }

    /// Whether a piece ended.
    pub(in crate::ledger) fn is_ended(&self, handover: HandoverId) -> bool {
        self.pieces.iter().any(|piece| piece.id == handover && piece.state == HandoverState::Ended)
    }

    /// Something is said of a job that ended: the same again, something older, or a contradiction.
    fn heard_after_the_end(
        &mut self,
        index: usize,
        completion: &Completion,
        meaning: Meaning,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Correlated {
        let piece = &self.pieces[index];
        let ended_as = piece.disposition;
        match meaning {
            Meaning::Ended { disposition, .. } if ended_as == Some(disposition) => {
                return Correlated::Duplicate;
            }
            Meaning::Progress { .. } if !is_newer(completion.happened_at(self.asked_at), piece) => {
                return Correlated::Superseded;
            }
            // The word that ended it, as a person said what it means, once more.
            Meaning::Unrecognised if piece.said.as_deref() == Some(completion.said.as_str()) => {
                return Correlated::Duplicate;
            }
            Meaning::Ended { .. } | Meaning::Progress { .. } | Meaning::Unrecognised => {}
        }
        let ended_as = ended_as.map_or("ended", |disposition| disposition.as_str());
        let reason = match self.state {
            RequestState::Closing if self.can_be_stopped() => format!(
                "{} said {:?} after its job ended as {ended_as}, so the ticket was not closed",
                piece.system, completion.said
            ),
            RequestState::Closed | RequestState::Closing => {
                format!(
                    "{} said {:?} after the ticket was closed as {ended_as}",
                    piece.system, completion.said
                )
            }
            RequestState::Open | RequestState::Held => {
                format!("{} said {:?} after its job ended as {ended_as}", piece.system, completion.said)
            }
        };
        let data = json!({"system": piece.system.as_str(), "said": completion.said});
        self.hold(reason, data, at, effects);
        Correlated::Held
    }

    fn keep_word(&mut self, index: usize, completion: &Completion, meaning: &Meaning) {
        let said_at = completion.happened_at(self.asked_at);
        let piece = &mut self.pieces[index];
        piece.touch();
        piece.said = Some(completion.said.clone());
        // An ending without a date is dated by when it was heard, not by the progress before it.
        piece.said_at = match meaning {
            Meaning::Ended { .. } => said_at,
            Meaning::Progress { .. } | Meaning::Unrecognised => said_at.or(piece.said_at),
        };
        // A date in the future comes from a clock that is fast, and would hide what is said until then.
        let latest = said_at.map(|said_at| said_at.min(completion.received_at));
        piece.latest_at = piece.latest_at.max(latest);
        if piece.job.is_none() {
            piece.job.clone_from(&completion.job);
        }
    }
}

/// Whether something later was heard of the piece already.
fn is_older(said_at: Option<Timestamp>, piece: &Piece) -> bool {
    matches!((said_at, piece.latest_at), (Some(new), Some(latest)) if new < latest)
}

/// Whether something is dated after all that was heard of a piece that ended.
fn is_newer(said_at: Option<Timestamp>, piece: &Piece) -> bool {
    let ended_at = piece.said_at.or(piece.ended_at);
    matches!((said_at, piece.latest_at.max(ended_at)), (Some(new), Some(latest)) if new > latest)
}

fn says_the_same(said: &str, said_at: Option<Timestamp>, piece: &Piece) -> bool {
    let at_the_same_time = match (said_at, piece.said_at) {
        (Some(new), Some(last)) => new == last,
        (None, _) | (_, None) => true,
    };
    piece.said.as_deref() == Some(said) && at_the_same_time
}

/// What speaks against an ending: it is dated before what was heard last.
fn doubt(said_at: Option<Timestamp>, piece: &Piece) -> Option<String> {
    let (ended, latest) = (said_at?, piece.latest_at?);
    let last = piece.said.as_deref().filter(|_| ended < latest)?;
    let (before, after) = (when::short(ended), when::short(latest));
    // Within one minute only the seconds tell them apart.
    let (before, after) =
        if before == after { (when::exact(ended), when::exact(latest)) } else { (before, after) };
    Some(format!("dated {before}, before “{last}” of {after}"))
}
