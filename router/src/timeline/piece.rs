//! One piece of the work: one system's part, as it stands.

use std::time::Duration;

use jiff::Timestamp;
use mappings::domain::{Disposition, HandoverState, Operation, ParkClass, Phase};
use mappings::mapping::{Idempotency, Poll};

use super::{Holder, Names, asked, halted, words};
use crate::dispatch::idempotency;
use crate::event::Kind;
use crate::gate;
use crate::ledger::{Handover, History, Tried};
use crate::sla;

/// One system's part, with what its mapping says of the system.
pub(super) struct Piece<'a> {
    pub(super) handover: &'a Handover,
    /// The system's name in a sentence.
    pub(super) name: String,
    /// The team in a sentence.
    pub(super) team: String,
    /// The tries at its calls, oldest first.
    pub(super) tried: Vec<&'a Tried>,
    /// How many of them were made since a person last let it go on.
    pub(super) fresh: usize,
    /// How often it is asked for news.
    pub(super) asked: Option<Duration>,
    /// Whether it tells us by itself.
    pub(super) tells: bool,
    /// Tries before a person is asked.
    pub(super) most_tries: Option<u32>,
    /// Why it waits, where that lies with the system as a whole.
    pub(super) waits: Option<String>,
    /// Whether a call whose answer was lost is sent again under its key, and not looked up first.
    pub(super) by_key: bool,
    /// Why no news of it comes, a sentence without its full stop each.
    pub(super) unheard: Vec<String>,
    /// The endings that close a ticket without a person.
    pub(super) closes: Vec<Disposition>,
}

impl<'a> Piece<'a> {
    pub(super) fn new(
        handover: &'a Handover,
        history: &'a History,
        names: &Names<'_>,
        now: Timestamp,
    ) -> Self {
        let system = names.system(&handover.system);
        let name = names.spoken(&handover.system);
        let tried: Vec<&Tried> =
            history.attempts.iter().filter(|tried| tried.handover == handover.id).collect();
        let released =
            history.events.iter().rev().find(|event| {
                event.kind == Kind::Decided && event.data["system"] == handover.system.as_str()
            });
        let fresh = |tried: &&&Tried| released.is_none_or(|event| tried.attempt.started_at >= event.at);
        let halt = history.halts.iter().find(|halt| halt.system == handover.system);
        let shut = system.and_then(|system| gate::shut(halt, &system.limits, now));
        // A try that is due only after the system opens does not wait for it.
        let shut = shut.filter(|shut| match (shut.until(), handover.due_at) {
            (Some(until), Some(due)) => due <= until,
            (None, _) | (_, None) => true,
        });
        Self {
            handover,
            fresh: tried.iter().filter(fresh).count(),
            waits: shut
                .filter(|_| handover.state == HandoverState::Due)
                .map(|shut| words::sentence(&halted::told(&name, &shut, now))),
            by_key: system.is_some_and(|system| {
                let operation = handover.operation.unwrap_or(Operation::Create);
                *idempotency(system, &history.line.service, operation) == Idempotency::Key
            }),
            unheard: history
                .failing
                .iter()
                .filter(|one| one.system == handover.system && one.is_for_a_person())
                .map(|one| asked::failing(&name, one))
                .collect(),
            team: system.map_or_else(|| name.clone(), |system| system.owner.team.clone()),
            name,
            tried,
            asked: system.and_then(|system| system.poll.as_ref()).map(|poll| match poll {
                Poll::Changed { every, .. } | Poll::EachJob { every, .. } => *every,
            }),
            tells: system.is_some_and(|system| system.webhook.is_some()),
            most_tries: system.map(|system| system.retry.attempts),
            closes: system
                .map(|system| system.close_rules(&history.line.service).automatically)
                .unwrap_or_default(),
        }
    }

    /// Whether an earlier try may have been carried out, so that it is being found out.
    pub(super) fn uncertain(&self) -> bool {
        self.tried.last().is_some_and(|tried| {
            tried.attempt.outcome == "unknown"
                || (tried.phase == Phase::LookUp && tried.attempt.outcome == "retry")
        })
    }

    /// Where the piece stands: the beginning of a sentence, without a full stop.
    pub(super) fn standing(&self) -> String {
        let name = &self.name;
        match self.handover.state {
            HandoverState::Due if self.waits.is_some() => format!("Waiting: {name} takes no calls for now"),
            HandoverState::Due if self.uncertain() && self.by_key => {
                format!("Being sent to {name} once more, since the answer was lost")
            }
            HandoverState::Due if self.uncertain() => format!("Finding out whether {name} has it"),
            HandoverState::Due if self.fresh == 0 => format!("On its way to {name}"),
            HandoverState::Due => format!("Not with {name} yet: it did not get through"),
            HandoverState::Awaiting => match self.handover.progress {
                Some(progress) => format!("With {name}: {}", words::progress(progress)),
                None => format!("With {name}"),
            },
            HandoverState::Ended => self.ended(),
            HandoverState::Parked if self.handover.operation == Some(Operation::Amend) => {
                format!("With {name}, who may not know what changed")
            }
            HandoverState::Parked if self.handover.operation == Some(Operation::Cancel) => {
                format!("With {name}, who may not know that it is not wanted any more")
            }
            HandoverState::Parked => match self.handover.class {
                Some(ParkClass::Data) => format!("Stopped before {name}: the request lacks something"),
                Some(ParkClass::Refused) => format!("Stopped: {name} refused it in words we do not know"),
                Some(ParkClass::Technical) if self.was_not_sent() => {
                    format!("Stopped before {name}: it could not be sent")
                }
                Some(ParkClass::Technical) => format!("Stopped: {name} cannot be reached or does not work"),
                Some(ParkClass::Uncertain) => {
                    format!("Stopped: {name} may have it, and we cannot find out by ourselves")
                }
                None => format!("Stopped before {name}"),
            },
        }
    }

    /// How the piece ended. One that never got to the system was not finished by it.
    fn ended(&self) -> String {
        let name = &self.name;
        let lead = if self.got_there() {
            format!("{name} has finished its part")
        } else if self.last_outcome() == Some("rejected") {
            format!("{name} did not take it")
        } else if self.uncertain() {
            format!("Given up: {name} may have it")
        } else {
            format!("It was not given to {name}")
        };
        match self.handover.disposition {
            Some(disposition) => format!("{lead}: {}", words::ended(disposition)),
            None => lead,
        }
    }

    /// Whether the system had the work, by its answers or its own words.
    fn got_there(&self) -> bool {
        let answered = |tried: &&Tried| matches!(tried.attempt.outcome.as_str(), "delivered" | "pending");
        self.handover.job.is_some() || self.handover.said.is_some() || self.tried.iter().any(answered)
    }

    fn last_outcome(&self) -> Option<&str> {
        self.tried.last().map(|tried| tried.attempt.outcome.as_str())
    }

    /// Whether the last try ended before anything, or all, was sent.
    pub(super) fn was_not_sent(&self) -> bool {
        self.last_outcome() == Some("not_sent")
    }

    /// Of the closing of the ticket: whether it is known that our words got no further. What the CRM said beside taking the
    /// closure is mostly that somebody else had closed the ticket.
    pub(super) fn is_untold(&self) -> bool {
        match self.handover.state {
            HandoverState::Due | HandoverState::Awaiting => false,
            HandoverState::Parked => true,
            HandoverState::Ended => self.handover.reason.is_some(),
        }
    }

    pub(super) fn holder(&self, history: &History, names: &Names<'_>) -> Holder {
        let owner = sla::owner_of(&self.handover.system, &history.events, names.catalogue);
        Holder {
            team: owner.as_ref().map(|owner| owner.team.clone()),
            contact: owner.as_ref().map(|owner| owner.contact.clone()),
            senior: owner.and_then(|owner| owner.senior),
            system: names.title(&self.handover.system),
            job: self.handover.job.as_ref().map(ToString::to_string),
            standing: if self.handover.closure {
                words::sentence(&self.closing())
            } else {
                words::sentence(&self.standing())
            },
        }
    }

    /// Where the closing of the ticket stands; for the piece that is the closure.
    pub(super) fn closing(&self) -> String {
        let name = &self.name;
        match self.handover.state {
            HandoverState::Due if self.fresh == 0 => format!("{name} is being told to close the ticket"),
            HandoverState::Due => format!("{name} could not be told yet to close the ticket"),
            HandoverState::Ended if self.last_outcome() == Some("rejected") => {
                format!("{name} refused to close the ticket")
            }
            HandoverState::Awaiting | HandoverState::Ended => format!("The ticket is closed in {name}"),
            HandoverState::Parked => format!("The ticket could not be closed in {name}"),
        }
    }
}
