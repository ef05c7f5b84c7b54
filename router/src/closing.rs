//! When a ticket closes, and when a person must decide: a pure reading of its handovers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mappings::domain::{
    Council, Disposition, HandoverState, Job, Progress, RequestId, Service, SystemName, Ticket,
};
use mappings::mapping::{Catalogue, CloseRules, FollowOn, InDoubt, Meaning, System, When};

use crate::ledger::{Closer, Completion, Reader};
use crate::timeline::words;

/// What the customer is told when work was called off because they asked for that.
pub const CANCELLED_AS_ASKED: &str = "You asked us to cancel it, and it has been cancelled.";

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
    /// The system's reference.
    pub job: Option<Job>,
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
    /// When the system says it ended, or else when we heard of it.
    pub at: Option<Timestamp>,
    /// What speaks against how it ended.
    pub doubt: Option<String>,
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
    /// What it rests on.
    pub grounds: Grounds,
}

/// What a closure rests on, and what it leaves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grounds {
    /// How long it can still be stopped.
    pub undo: Duration,
    /// File and line of the closing rules that decided.
    pub rule: Option<String>,
    /// File and line of what each system's word means.
    pub decided_by: BTreeMap<SystemName, String>,
    /// The systems whose part has not ended, with the team that has it.
    pub outstanding: Vec<(SystemName, String)>,
    /// What follows, where a request that is linked to this ticket is to be opened for it.
    pub follow_on: Option<String>,
}

/// Reads the closing rules of the service for this standing.
///
/// The ticket closes when as many handovers ended as the route wants (all of them, unless it says otherwise), each in a
/// disposition that its system's mapping lets close by itself. The whole is `completed` when every part that counts is;
/// otherwise it takes the first part that is not.
pub fn decide(standing: &Standing, catalogue: &Catalogue) -> Decision {
    let systems: Vec<&SystemName> = standing.handovers.iter().map(|part| &part.system).collect();
    let together = catalogue.together(&standing.service, &systems);
    let (mut ended, mut outstanding) = (Vec::new(), Vec::new());
    for part in &standing.handovers {
        match (part.state, part.disposition) {
            (HandoverState::Ended, Some(disposition)) => ended.push((part, disposition)),
            (
                HandoverState::Due | HandoverState::Awaiting | HandoverState::Parked | HandoverState::Ended,
                _,
            ) => outstanding.push(part),
        }
    }
    let counted: Vec<(&Part, Disposition)> = match &together.when {
        When::Lead(lead) => ended.iter().copied().filter(|(part, _)| part.system == *lead).collect(),
        When::All | When::Any if outstanding.is_empty() => ended.clone(),
        When::All => Vec::new(),
        When::Any => ended.iter().copied().filter(|(_, d)| *d == Disposition::Completed).collect(),
    };
    if together.same_work
        && let Some(reason) = disagreement(&ended)
    {
        return Decision::Hold(reason);
    }
    let whole = counted.iter().find(|(_, d)| *d != Disposition::Completed).or_else(|| counted.first());
    let Some((part, disposition)) = whole else { return Decision::Wait };
    for (part, disposition) in &counted {
        let as_asked = standing.withdrawn && *disposition == Disposition::Cancelled;
        let rules = rules_of(catalogue, standing, &part.system);
        if let Some(doubt) = part.doubt.as_ref().filter(|_| rules.in_doubt == InDoubt::Hold) {
            let ended = words::ended(*disposition);
            return Decision::Hold(format!("{} says {ended}, but that is {doubt}", part.system));
        }
        if !as_asked && !closes(&rules, *disposition) {
            let ended = words::ended(*disposition);
            return Decision::Hold(match &part.said {
                Some(said) => format!("{} says {ended}: “{said}”", part.system),
                None => format!("{} says {ended}", part.system),
            });
        }
    }
    let rules = rules_of(catalogue, standing, &part.system);
    let linked = *disposition == Disposition::FollowOn && rules.follow_on == FollowOn::OpenLinked;
    let place = |part: &Part| {
        let system = catalogue.system(&part.system)?;
        Some((part.system.clone(), system.place_of(&standing.service, part.said.as_deref()?)?.to_owned()))
    };
    let undo = counted.iter().map(|(part, _)| rules_of(catalogue, standing, &part.system).undo).max();
    let grounds = Grounds {
        undo: undo.unwrap_or_default(),
        decided_by: ended.iter().filter_map(|(part, _)| place(part)).collect(),
        outstanding: outstanding.iter().map(|part| (part.system.clone(), team(catalogue, part))).collect(),
        follow_on: linked.then(|| part.say.clone().unwrap_or_else(|| plain(*disposition).to_owned())),
        rule: rules.place,
    };
    Decision::Close(Closure {
        disposition: *disposition,
        reason: part.reason.clone(),
        say: told(standing, catalogue, &ended, &outstanding),
        crm: catalogue.crm_of(&standing.council).cloned(),
        grounds,
    })
}

fn rules_of(catalogue: &Catalogue, standing: &Standing, system: &SystemName) -> CloseRules {
    let rules = catalogue.system(system).map(|system| system.close_rules(&standing.service));
    rules.unwrap_or_default().of(&standing.council)
}

fn closes(rules: &CloseRules, disposition: Disposition) -> bool {
    rules.automatically.contains(&disposition)
        || (disposition == Disposition::FollowOn && rules.follow_on == FollowOn::OpenLinked)
}

fn team(catalogue: &Catalogue, part: &Part) -> String {
    let system = catalogue.system(&part.system);
    system.map_or_else(|| part.system.to_string(), |system| system.owner.team.clone())
}

/// Two systems that did the same work and say different things of it.
fn disagreement(ended: &[(&Part, Disposition)]) -> Option<String> {
    let (first, one) = ended.first()?;
    let (second, other) = ended.iter().find(|(_, other)| other != one)?;
    let says = |part: &Part, disposition: &Disposition| {
        format!("{} says {}", part.system, words::ended(*disposition))
    };
    Some(format!("{}, but {}: they disagree about the same work", says(first, one), says(second, other)))
}

/// What the customer is told: of each part once, with its team where the parts ended differently, and of what is left.
fn told(
    standing: &Standing,
    catalogue: &Catalogue,
    ended: &[(&Part, Disposition)],
    outstanding: &[&Part],
) -> String {
    let differ =
        ended.iter().any(|(_, disposition)| Some(*disposition) != ended.first().map(|(_, first)| *first));
    let mut said: Vec<String> = Vec::new();
    for (part, disposition) in ended {
        let say = words_of(standing, catalogue, part, *disposition);
        let line = if differ { format!("{}: {say}", team(catalogue, part)) } else { say };
        if !said.contains(&line) {
            said.push(line);
        }
    }
    said.extend(
        outstanding.iter().map(|part| format!("{} still has a part of it to do.", team(catalogue, part))),
    );
    said.join(" ")
}

/// What the customer is told of one part: the mapping's template, or else the words of the status.
fn words_of(standing: &Standing, catalogue: &Catalogue, part: &Part, disposition: Disposition) -> String {
    if standing.withdrawn && disposition == Disposition::Cancelled {
        return CANCELLED_AS_ASKED.to_owned();
    }
    let say = part.say.clone().unwrap_or_else(|| plain(disposition).to_owned());
    let rules = rules_of(catalogue, standing, &part.system);
    let Some(template) = rules.say.get(&disposition) else { return say };
    let date = part.at.map(|at| {
        let london = TimeZone::get("Europe/London").unwrap_or(TimeZone::UTC);
        at.to_zoned(london).strftime("%-d %B %Y").to_string()
    });
    let title = catalogue.system(&part.system).map(|system| system.title.clone());
    let fills = [
        ("{say}", Some(say)),
        ("{words}", part.said.clone()),
        ("{date}", date),
        ("{job}", part.job.as_ref().map(|job| job.as_str().to_owned())),
        ("{team}", Some(team(catalogue, part))),
        ("{ticket}", Some(standing.ticket.as_str().to_owned())),
        ("{system}", title),
    ];
    // Each name is filled in where the template has it, never where a system's words do.
    let mut filled = String::new();
    let mut rest = template.as_str();
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        rest = &rest[start..];
        match fills.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                filled.push_str(value.as_deref().unwrap_or_default());
                rest = &rest[name.len()..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a completion means for a service, by the status vocabulary of its system. More work to follow is no end where
/// the service keeps the ticket open for it.
pub fn meaning(
    catalogue: &Catalogue,
    system: &SystemName,
    service: &Service,
    completion: &Completion,
) -> Meaning {
    let Some(system) = catalogue.system(system) else { return Meaning::Unrecognised };
    let meaning = system.meaning(Some(service), &completion.said, completion.note.as_deref());
    of_service(system, service, meaning)
}

/// What a word means for a service: more work to follow is no end where the service keeps the ticket open for it.
pub fn of_service(system: &System, service: &Service, meaning: Meaning) -> Meaning {
    match meaning {
        Meaning::Ended { disposition: Disposition::FollowOn, say, .. }
            if system.close_rules(service).follow_on == FollowOn::KeepOpen =>
        {
            Meaning::Progress { progress: Progress::Waiting, say }
        }
        meaning @ (Meaning::Ended { .. } | Meaning::Progress { .. } | Meaning::Unrecognised) => meaning,
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
