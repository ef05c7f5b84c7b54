//! When a ticket closes, and when a person must decide: a pure reading of its handovers.

use std::sync::Arc;

use mappings::domain::{Council, Disposition, HandoverState, RequestId, Service, SystemName, Ticket};
use mappings::mapping::{Catalogue, Meaning};

use crate::ledger::{Closer, Completion, Reader};
use crate::timeline::words;

/// One opening of a ticket with its handovers, as far as closing needs to know them.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The council whose ticket it is.
    pub council: Council,
    /// The opening.
    pub request: RequestId,
    /// The ticket.
    pub ticket: Ticket,
    /// What was asked for.
    pub service: Service,
    /// The customer withdrew it: work that was called off closes the ticket whatever the mapping says.
    pub withdrawn: bool,
    /// The pieces of work, without the closure itself.
    pub handovers: Vec<Part>,
}

/// One piece of work of a [`Standing`].
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The system that has it.
    pub system: SystemName,
    /// Where it stands.
    pub state: HandoverState,
    /// How it ended, where it has.
    pub disposition: Option<Disposition>,
    /// Why it ended so, as a code of the mapping.
    pub reason: Option<String>,
    /// What the customer may be told, in plain English.
    pub say: Option<String>,
    /// The system's own last word.
    pub said: Option<String>,
}

/// What the closing rules make of a [`Standing`].
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Something has not ended.
    Wait,
    /// The ticket closes.
    Close(Closure),
    /// A person must decide, for this reason.
    Hold(String),
}

/// How a ticket closes.
#[derive(Debug, Clone, PartialEq)]
pub struct Closure {
    /// The disposition of the whole.
    pub disposition: Disposition,
    /// Its reason code, where the mapping gives one.
    pub reason: Option<String>,
    /// What the customer is told.
    pub say: String,
    /// The CRM that takes the closure by a call; absent where the event on the bus is enough.
    pub crm: Option<SystemName>,
}

/// Reads the closing rules of the service for this standing.
///
/// The ticket closes when every handover ended in a disposition that its system's mapping lets close by
/// itself. The whole is `completed` when every part is; otherwise it takes the first part that is not.
pub fn decide(standing: &Standing, catalogue: &Catalogue) -> Decision {
    let mut ended = Vec::with_capacity(standing.handovers.len());
    for part in &standing.handovers {
        match (part.state, part.disposition) {
            (HandoverState::Ended, Some(disposition)) => ended.push((part, disposition)),
            (
                HandoverState::Due | HandoverState::Awaiting | HandoverState::Parked | HandoverState::Ended,
                _,
            ) => return Decision::Wait,
        }
    }
    for (part, disposition) in &ended {
        let as_asked = standing.withdrawn && *disposition == Disposition::Cancelled;
        let automatic = as_asked
            || catalogue
                .system(&part.system)
                .map(|system| system.close_rules(&standing.service))
                .is_some_and(|rules| rules.automatically.contains(disposition));
        if !automatic {
            let ended = words::ended(*disposition);
            return Decision::Hold(match &part.said {
                Some(said) => format!("{} says {ended}: “{said}”", part.system),
                None => format!("{} says {ended}", part.system),
            });
        }
    }
    let whole = ended.iter().find(|(_, d)| *d != Disposition::Completed).or_else(|| ended.first());
    let Some((part, disposition)) = whole else { return Decision::Wait };
    let say = ended
        .iter()
        .map(|(part, disposition)| part.say.clone().unwrap_or_else(|| plain(*disposition).to_owned()))
        .fold(Vec::<String>::new(), |mut said, line| {
            if !said.contains(&line) {
                said.push(line);
            }
            said
        })
        .join(" ");
    Decision::Close(Closure {
        disposition: *disposition,
        reason: part.reason.clone(),
        say,
        crm: catalogue.crm_of(&standing.council).cloned(),
    })
}

/// What a completion means for a service, by the status vocabulary of its system.
pub fn meaning(
    catalogue: &Catalogue,
    system: &SystemName,
    service: &Service,
    completion: &Completion,
) -> Meaning {
    match catalogue.system(system) {
        Some(system) => system.meaning(Some(service), &completion.said, completion.note.as_deref()),
        None => Meaning::Unrecognised,
    }
}

/// The closing rules and the status vocabulary of these mappings, as a ledger asks for them.
pub fn rules(catalogue: &Arc<Catalogue>) -> (Closer, Reader) {
    let (rules, words) = (Arc::clone(catalogue), Arc::clone(catalogue));
    let closer: Closer = Arc::new(move |standing| decide(standing, &rules));
    let reader: Reader =
        Arc::new(move |system, service, completion| meaning(&words, system, service, completion));
    (closer, reader)
}

/// What is said where the mapping gives no words.
pub fn plain(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Completed => "The work you asked for has been done.",
        Disposition::FollowOn => "The visit was made, and more work is needed.",
        Disposition::NoAccess => "We came, but could not get in.",
        Disposition::Declined => "We are not able to do this work.",
        Disposition::NotOurs => "This is not the council's to do.",
        Disposition::Duplicate => "This had been reported already, and the work is in hand.",
        Disposition::Cancelled => "The work was called off.",
    }
}
