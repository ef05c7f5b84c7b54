//! What a person says about news that found no ticket, or that no mapping knows.

use jiff::Timestamp;
use mappings::domain::{HandoverId, HandoverState, RequestState, SystemName};
use serde_json::json;

use super::{Effects, Opening};
use crate::closing::{Decision, Standing};
use crate::ledger::{Meaning, Person, SeenTicket};

impl Opening {
    /// News of a job belongs to this opening's piece of work for the system.
    pub(in crate::ledger) fn linked(
        &mut self,
        system: &SystemName,
        named: &str,
        person: &Person,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Result<HandoverId, String> {
        let index = self.piece_of(system)?;
        let piece = &self.pieces[index];
        if piece.state == HandoverState::Due && piece.job.is_none() {
            return Err(format!("{system} has not got it yet: link it when the call to {system} has ended"));
        }
        let id = piece.id;
        self.tell(index, "link", json!({"job": named}), person, at, effects);
        Ok(id)
    }

    /// A word that no mapping knows means this, as a person says; the held ticket goes on by the rules.
    pub(in crate::ledger) fn status_means(
        &mut self,
        (seen, system, said): (&SeenTicket, &SystemName, &str),
        meaning: Meaning,
        person: &Person,
        at: Timestamp,
        closer: &dyn Fn(&Standing) -> Decision,
        effects: &mut Effects,
    ) -> Result<(), String> {
        self.is_as(seen)?;
        if self.state != RequestState::Held {
            return Err(format!("it is {}, not held", self.state));
        }
        let index = self.piece_of(system)?;
        let piece = &self.pieces[index];
        if piece.said.as_deref() != Some(said) {
            return Err(format!("{system} said something else by now"));
        }
        if piece.state == HandoverState::Ended {
            return Err(format!("its work at {system} has ended: the ticket can be closed or kept open"));
        }
        let means = match &meaning {
            Meaning::Ended { disposition, .. } => disposition.as_str(),
            Meaning::Progress { progress, .. } => progress.as_str(),
            Meaning::Unrecognised => return Err("it must be said what the word means".to_owned()),
        };
        self.tell(index, "status_means", json!({"said": said, "means": means}), person, at, effects);
        self.back_to(RequestState::Open);
        self.take(index, said, meaning, at, closer, effects);
        Ok(())
    }

    fn piece_of(&self, system: &SystemName) -> Result<usize, String> {
        let found = self.pieces.iter().position(|piece| !piece.closure && piece.system == *system);
        found.ok_or_else(|| format!("{} has no work for {system}", self.ticket))
    }
}
