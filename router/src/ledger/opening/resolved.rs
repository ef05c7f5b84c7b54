//! What a person's decision means for a piece of work and for the ticket.

use jiff::Timestamp;
use mappings::domain::{Disposition, HandoverId, HandoverState, Job, Operation, RequestState};
use serde_json::{Value, json};

use super::{Effects, Opening};
use crate::closing::{Closure, Decision, Grounds, Standing};
use crate::event::Kind;
use crate::ledger::{Next, Person, SeenTicket};

/// The call of a piece that goes on.
pub(in crate::ledger) struct Released {
    /// What the call carries.
    pub(in crate::ledger) payload: Option<Value>,
}

impl Opening {
    /// The parked call was carried out: the system has the job, or the CRM the closure.
    pub(in crate::ledger) fn was_done(
        &mut self,
        handover: HandoverId,
        job: Option<Job>,
        person: &Person,
        at: Timestamp,
        closer: &dyn Fn(&Standing) -> Decision,
        effects: &mut Effects,
    ) -> Result<(), String> {
        let index = self.parked(handover)?;
        self.tell(
            index,
            "was_done",
            json!({"job": job.as_ref().map(|job| job.as_str())}),
            person,
            at,
            effects,
        );
        if self.pieces[index].closure {
            self.closure_taken(index, Some(format!("{} says that it was closed", person.name)), at);
            return Ok(());
        }
        let operation = self.pieces[index].operation.unwrap_or(Operation::Create);
        self.settled(handover, operation, &Next::Delivered { job, note: None }, at, closer, effects);
        Ok(())
    }

    /// The parked call is to be made again.
    pub(in crate::ledger) fn released(
        &mut self,
        handover: HandoverId,
        decision: &str,
        changes: &[Value],
        person: &Person,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Result<Released, String> {
        let index = self.parked(handover)?;
        let piece = &self.pieces[index];
        if piece.closure && self.state != RequestState::Closing {
            return Err(format!("its ticket is {} by now: that must be decided", self.state));
        }
        let mut data = json!({"class": piece.class.map(|class| class.as_str()), "reason": piece.reason});
        if !changes.is_empty() {
            data["changes"] = Value::from(changes);
        }
        self.tell(index, decision, data, person, at, effects);
        let closure = piece.closure.then(|| self.payload(&Grounds::default()));
        let payload = piece.payload.clone().or(closure);
        let piece = &mut self.pieces[index];
        piece.touch();
        // What is asked about work that the system has leaves the work with it.
        piece.state = match piece.operation {
            Some(Operation::Amend | Operation::Cancel) => HandoverState::Awaiting,
            Some(Operation::Create | Operation::Close) | None => HandoverState::Due,
        };
        piece.class = None;
        piece.reason = None;
        Ok(Released { payload })
    }

    /// The ticket closes as a person says. What is parked of it is given up.
    pub(in crate::ledger) fn closed_by(
        &mut self,
        seen: &SeenTicket,
        closure: &Closure,
        person: &Person,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), String> {
        self.is_as(seen)?;
        let stopped = |state: HandoverState| matches!(state, HandoverState::Ended | HandoverState::Parked);
        match self.state {
            RequestState::Held | RequestState::Open => {}
            RequestState::Closing if self.can_be_stopped() => {
                return Err("it closes by itself soon: stop that closure first".to_owned());
            }
            RequestState::Closing | RequestState::Closed => return Err("it is closed already".to_owned()),
        }
        if let Some(piece) = self.pieces.iter().find(|piece| piece.state == HandoverState::Due) {
            return Err(format!("a call to {} is still to be made", piece.system));
        }
        if self.state == RequestState::Open && !self.pieces.iter().all(|piece| stopped(piece.state)) {
            return Err("its work has not ended".to_owned());
        }
        let data = json!({"disposition": closure.disposition.as_str(), "reason": self.reason});
        self.tell_of_all("close", data, person, at, effects);
        for index in 0..self.pieces.len() {
            if self.pieces[index].state == HandoverState::Parked {
                let reason = format!("given up: {} closed the ticket", person.name);
                self.end(index, Disposition::Cancelled, Some(reason), None, at);
            }
        }
        self.close(closure.clone(), at, effects);
        Ok(())
    }

    /// The held ticket is open again.
    pub(in crate::ledger) fn kept_open(
        &mut self,
        seen: &SeenTicket,
        person: &Person,
        at: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), String> {
        self.is_as(seen)?;
        if self.state != RequestState::Held {
            return Err(format!("it is {}, not held", self.state));
        }
        let data = json!({"reason": self.reason});
        self.tell_of_all("keep_open", data, person, at, effects);
        self.back_to(RequestState::Open);
        Ok(())
    }

    fn parked(&self, handover: HandoverId) -> Result<usize, String> {
        let found = self.pieces.iter().position(|piece| piece.id == handover);
        let index = found.ok_or("the ledger has no such handover")?;
        let piece = &self.pieces[index];
        match piece.state {
            HandoverState::Parked => Ok(index),
            HandoverState::Due | HandoverState::Awaiting | HandoverState::Ended => {
                Err(format!("{} is {} by now, not parked", piece.system, piece.state))
            }
        }
    }

    pub(super) fn is_as(&self, seen: &SeenTicket) -> Result<(), String> {
        if self.state != seen.state {
            return Err(format!("it is {} by now, not {}", self.state, seen.state));
        }
        if self.reason != seen.reason {
            let reason = self.reason.as_deref().unwrap_or("for no reason");
            return Err(format!("it is {} for another reason by now: {reason}", self.state));
        }
        Ok(())
    }

    pub(super) fn tell(
        &self,
        index: usize,
        decision: &str,
        mut data: Value,
        person: &Person,
        at: Timestamp,
        effects: &mut Effects,
    ) {
        data["system"] = json!(self.pieces[index].system.as_str());
        self.tell_of_all(decision, data, person, at, effects);
    }

    fn tell_of_all(
        &self,
        decision: &str,
        mut data: Value,
        person: &Person,
        at: Timestamp,
        effects: &mut Effects,
    ) {
        data["decision"] = json!(decision);
        data["by"] = json!(person.name);
        data["because"] = json!(person.because);
        effects.events.push(self.event(Kind::Decided, at, data));
    }
}
