//! What happened, one entry after the other.

use jiff::Timestamp;
use mappings::domain::{Operation, ParkClass, Phase, Revision, SystemName};
use mappings::mapping::Meaning;
use serde_json::Value;

use super::piece::Piece;
use super::{Names, clock, quoted, when, words};
use crate::event::{Event, Kind};
use crate::ledger::{Correlated, Handover, Heard, History, Tried, Way};
use crate::sla;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What, as a sentence.
    pub text: String,
    /// The other side's own words, as evidence.
    pub said: Option<String>,
    /// What more there is to know.
    pub detail: Option<String>,
}

impl Entry {
    pub(super) fn new(at: Timestamp, text: impl Into<String>) -> Self {
        Self { at, text: text.into(), said: None, detail: None }
    }

    /// The same, with the key over HTTP that it was sent with, where there was one.
    fn sent_with(mut self, event: &Event) -> Self {
        if let Some(name) = event.data.get("sent_with").and_then(Value::as_str) {
            let key = words::sentence(&words::sent_with(name));
            self.detail = Some(match self.detail.take() {
                Some(detail) => format!("{detail} {key}"),
                None => key,
            });
        }
        self
    }
}

/// Everything that happened to the ticket, oldest first. What was written at the same instant is told in the
/// order of cause and effect: asked, taken, tried, heard, decided, closed.
pub(super) fn entries(history: &History, names: &Names<'_>, closure: Option<&Piece<'_>>) -> Vec<Entry> {
    let mut entries = vec![(0, Entry::new(history.line.raised_at, "The customer asked for this."))];
    for event in &history.events {
        let order = if event.kind == Kind::Accepted { 1 } else { 4 };
        let entry = of_event(event, history, names, closure).map(|entry| entry.sent_with(event));
        entries.extend(entry.map(|entry| (order, entry)));
    }
    for handover in &history.handovers {
        let tried: Vec<&Tried> =
            history.attempts.iter().filter(|tried| tried.handover == handover.id).collect();
        let name = names.spoken(&handover.system);
        let order = if handover.closure { 5 } else { 2 };
        let told = tried.chunk_by(|one, other| alike(one, other));
        entries.extend(told.map(|tries| (order, of_tries(tries, handover, &name))));
    }
    let mut heard: Vec<&Heard> = history.completions.iter().collect();
    heard.sort_by_key(|heard| names.order(heard, history));
    for heard in heard {
        entries.extend(of_heard(heard, history, names).map(|entry| (3, entry)));
    }
    entries.sort_by_key(|(order, entry)| (entry.at, *order));
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// Tries that failed in the same way one after the other make one entry.
fn alike(one: &Tried, other: &Tried) -> bool {
    let failed = |tried: &Tried| tried.attempt.outcome == "retry";
    failed(one)
        && failed(other)
        && one.operation == other.operation
        && one.phase == other.phase
        && one.attempt.reason == other.attempt.reason
}

fn of_event(
    event: &Event,
    history: &History,
    names: &Names<'_>,
    closure: Option<&Piece<'_>>,
) -> Option<Entry> {
    let text_of = |key: &str| event.data.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    match event.kind {
        Kind::Accepted => Some(Entry::new(event.at, "Dovetail took the request and will see it through.")),
        Kind::Closed => Some(closed(event, history, closure)),
        Kind::Held => held(event, names, text_of),
        Kind::Decided => Some(decided(event, names, text_of)),
        Kind::Warned | Kind::Escalated | Kind::Overdue | Kind::Chased | Kind::FeedbackDue => {
            Some(clock::entry(event))
        }
        Kind::FollowOn => Some(Entry {
            detail: text_of("summary").map(|summary| words::sentence(&summary)),
            ..Entry::new(event.at, "More work follows: a request that is linked to this one is to be opened.")
        }),
        Kind::TakenBack => Some(clock::moved(event)),
        Kind::HandedOver if sla::is_passed_on(event) => Some(clock::moved(event)),
        Kind::Rejected => Some(Entry {
            detail: text_of("reason").map(|reason| words::sentence(&reason)),
            ..Entry::new(event.at, "A message about this ticket could not be taken.")
        }),
        Kind::Reopened => Some(Entry {
            detail: text_of("reason").map(|reason| words::sentence(&reason)),
            ..Entry::new(
                event.at,
                if event.data.get("opening").is_some() {
                    "The ticket was opened again after it had closed, and the work is ordered anew."
                } else {
                    "We were told that the ticket was opened again. It had not closed, and the work goes on."
                },
            )
        }),
        Kind::Progressed => revised(event, text_of),
        // The tries tell it with more detail.
        Kind::HandedOver => None,
    }
}

/// That the ticket can close: because all work has ended, or because a person said so.
fn closed(event: &Event, history: &History, closure: Option<&Piece<'_>>) -> Entry {
    let by_a_person = history.events.iter().any(|other| {
        other.kind == Kind::Decided
            && other.at == event.at
            && other.data.get("decision") == Some(&"close".into())
    });
    let lead =
        if by_a_person { "The ticket can close" } else { "All work has ended, and the ticket can close" };
    let text = match history.line.disposition {
        Some(disposition) => format!("{lead}: {}.", words::ended(disposition)),
        None => format!("{lead}."),
    };
    let detail = history.say.as_ref().map(|say| {
        if closure.is_some_and(Piece::is_untold) {
            format!("It is not known that the customer was told: {say}")
        } else {
            format!("The customer is told: {say}")
        }
    });
    Entry { detail, ..Entry::new(event.at, text) }
}

/// What the customer did; all else that moves a ticket on is told by the tries and the words of the systems.
fn revised(event: &Event, text_of: impl Fn(&str) -> Option<String>) -> Option<Entry> {
    let revision: Revision = text_of("change")?.parse().ok()?;
    let text = match revision {
        Revision::Amended => "The customer changed the request.",
        Revision::Withdrawn => "The customer does not want it any more.",
        Revision::Reopened => "The ticket was opened again.",
    };
    let detail = text_of("reason").map(|reason| words::sentence(&reason));
    Some(Entry { detail, ..Entry::new(event.at, text) })
}

/// Why a person is needed: work that stopped, a change of mind, a refused closure, or an ending that does not close.
fn held(event: &Event, names: &Names<'_>, text_of: impl Fn(&str) -> Option<String>) -> Option<Entry> {
    if text_of("said").is_some() {
        // The system's word itself is an entry.
        return None;
    }
    let class: Option<ParkClass> = text_of("class").and_then(|class| class.parse().ok());
    let change: Option<Revision> = text_of("change").and_then(|word| word.parse().ok());
    let (text, detail) = match (class, change, text_of("system")) {
        (Some(class), _, _) => (format!("Stopped. {}.", words::class(class)), text_of("reason")),
        (None, Some(change), _) => {
            (format!("We were told that {}. A person must decide.", words::change(change)), None)
        }
        (None, None, Some(_)) if text_of("why").is_some() => {
            let reason = text_of("reason").map(|reason| reason_named(&reason, names));
            ("The system could not be told. A person must tell its team.".to_owned(), reason)
        }
        (None, None, Some(_)) => ("The ticket must be closed by hand.".to_owned(), None),
        (None, None, None) => ("The ticket waits for a person to decide.".to_owned(), None),
    };
    Some(Entry { detail: detail.as_deref().map(words::sentence), ..Entry::new(event.at, text) })
}

/// What a person decided, and why.
fn decided(event: &Event, names: &Names<'_>, text_of: impl Fn(&str) -> Option<String>) -> Entry {
    let who = text_of("by").unwrap_or_else(|| "A person".to_owned());
    let system = text_of("system").and_then(|name| SystemName::parse(&name).ok());
    let name = system.map_or_else(|| "the system".to_owned(), |name| names.spoken(&name));
    let text = match text_of("decision").unwrap_or_default().as_str() {
        "was_done" => match text_of("job") {
            Some(job) => format!("{who} found that {name} has it. Their reference is {job}."),
            None => format!("{who} found that {name} has it."),
        },
        "send_again" => format!("{who} found that {name} has not got it. It is sent again."),
        "replay" => format!("{who} let it go to {name} again."),
        "close" => match text_of("disposition").and_then(|word| word.parse().ok()).map(words::ended) {
            Some(ended) => format!("{who} decided that the ticket closes: {ended}."),
            None => format!("{who} decided that the ticket closes."),
        },
        "keep_open" => format!("{who} decided that the ticket stays open."),
        "link" => match text_of("job") {
            Some(job) => format!("{who} found that what {name} says of {job} is about this ticket."),
            None => format!("{who} found that news of {name} is about this ticket."),
        },
        "status_means" => {
            let said = text_of("said").unwrap_or_default();
            let means = text_of("means").unwrap_or_default();
            let disposition = means.parse().ok().map(words::ended);
            let means = disposition.or_else(|| means.parse().ok().map(words::progress)).unwrap_or("nothing");
            format!("{who} decided what {name} means by “{said}”: {means}.")
        }
        _ => format!("{who} decided."),
    };
    let changes = event.data.get("changes").and_then(Value::as_array);
    let paths: Vec<&str> =
        changes.into_iter().flatten().filter_map(|change| change["path"].as_str()).collect();
    let changed = (!paths.is_empty()).then(|| format!("Put right before: {}.", paths.join(", ")));
    let because = text_of("because").map(|because| words::sentence(&because));
    let detail: Vec<String> = because.into_iter().chain(changed).collect();
    Entry { detail: (!detail.is_empty()).then(|| detail.join(" ")), ..Entry::new(event.at, text) }
}

fn reason_named(reason: &str, names: &Names<'_>) -> String {
    super::reason(reason, names.catalogue)
}

fn of_tries(tries: &[&Tried], handover: &Handover, name: &str) -> Entry {
    let (first, last) = match tries {
        [first, .., last] => (*first, *last),
        [only] => (*only, *only),
        [] => return Entry::new(Timestamp::UNIX_EPOCH, String::new()),
    };
    let attempt = &last.attempt;
    let reason = attempt.reason.as_deref().map(words::sentence);
    let mut entry = Entry { detail: reason, ..Entry::new(attempt.ended_at, told(last, handover, name)) };
    if attempt.outcome == "rejected" {
        // The reason is what the system answered, or the mapping's word for it, which is for programs.
        let answered = attempt.reason.clone().filter(|reason| !words::is_code(reason));
        (entry.said, entry.detail) = (answered, handover.say.as_deref().map(words::sentence));
    }
    if tries.len() == 1 {
        return entry;
    }
    let since = format!("Tried {} times since {}.", tries.len(), when::stamp(first.attempt.ended_at));
    let detail = match &entry.detail {
        Some(reason) => format!("{since} {reason}"),
        None => since,
    };
    Entry { detail: Some(detail), ..entry }
}

/// What a try came to, as a sentence.
fn told(tried: &Tried, handover: &Handover, name: &str) -> String {
    let reference = || match &handover.job {
        Some(job) => format!(" Their reference is {job}."),
        None => String::new(),
    };
    let aim = match (tried.phase, tried.operation) {
        (Phase::LookUp, _) => format!("We asked {name} whether it has this already"),
        (Phase::Send, Operation::Create) => format!("We sent it to {name}"),
        (Phase::Send, Operation::Amend) => format!("We told {name} what changed"),
        (Phase::Send, Operation::Cancel) => format!("We asked {name} to call the work off"),
        (Phase::Send, Operation::Close) => format!("We asked {name} to close the ticket"),
    };
    match (tried.attempt.outcome.as_str(), tried.phase, tried.operation) {
        ("delivered", Phase::LookUp, _) => format!("{aim}: it has.{}", reference()),
        ("delivered", Phase::Send, Operation::Create) => format!("{name} has it.{}", reference()),
        ("delivered", Phase::Send, Operation::Close) => format!("The ticket was closed in {name}."),
        ("delivered", Phase::Send, Operation::Amend | Operation::Cancel) => {
            format!("{aim}, and it took note.")
        }
        ("retry", _, _) => format!("{aim}, but did not get through. It is tried again by itself."),
        ("pending", _, _) => {
            format!("{name} has it, and has yet to say the rest: it is asked again by itself.{}", reference())
        }
        ("absent", _, _) => format!("{aim}: it has not, so it is sent again."),
        ("rejected", _, _) => match handover.disposition {
            Some(disposition) => format!("{aim}, and it refused: {}.", words::ended(disposition)),
            None => format!("{aim}, and it refused."),
        },
        ("unknown", _, _) => format!("{aim}, and got no clear answer: it may or may not have arrived."),
        ("not_sent", _, _) if tried.attempt.call.as_deref().is_some_and(|call| !call.is_empty()) => {
            format!("Not all of it could be sent to {name}.")
        }
        ("not_sent", _, _) => format!("It was not sent to {name}."),
        (_, _, _) => format!("{aim}."),
    }
}

fn of_heard(heard: &Heard, history: &History, names: &Names<'_>) -> Option<Entry> {
    let completion = &heard.completion;
    let name = names.spoken(&completion.system);
    let lead = match completion.way {
        Way::Webhook | Way::Queue => format!("{name} told us"),
        Way::Poll => format!("{name}, asked by us, says"),
        Way::File => format!("{name} told us in a file"),
        Way::Reconciliation => format!("{name}, asked about its open jobs, says"),
    };
    let text = match heard.correlated {
        Correlated::Duplicate => return None,
        Correlated::Superseded => format!("{lead} something older than what we knew. Nothing changes."),
        Correlated::Waiting | Correlated::Applied | Correlated::Held => {
            match names.meaning(
                &history.line.service,
                &completion.system,
                &completion.said,
                completion.note.as_deref(),
            ) {
                Meaning::Ended { disposition, .. } if heard.correlated == Correlated::Held => {
                    let ended = words::ended(disposition);
                    format!("{lead}: {ended}. That does not fit what was said before. A person must decide.")
                }
                Meaning::Ended { disposition, .. } => format!("{lead}: {}.", words::ended(disposition)),
                Meaning::Progress { progress, .. } => format!("{lead}: {}.", words::progress(progress)),
                Meaning::Unrecognised => {
                    format!("{lead} something that Dovetail does not know. A person must decide.")
                }
            }
        }
    };
    let happened = completion.happened_at(history.line.raised_at).filter(|said_at| {
        completion.received_at.duration_since(*said_at).abs() > jiff::SignedDuration::from_mins(1)
    });
    Some(Entry {
        at: completion.received_at,
        text,
        said: Some(quoted(&completion.said, completion.note.as_deref())),
        detail: match doubt(heard, history) {
            Some(doubt) => Some(words::sentence(&format!("that is {doubt}"))),
            None => happened.map(|at| format!("By their account it happened on {}.", when::stamp(at))),
        },
    })
}

/// What speaks against an ending.
fn doubt<'a>(heard: &Heard, history: &'a History) -> Option<&'a str> {
    let ended = heard.correlated == Correlated::Applied;
    let handover = history.handovers.iter().filter(|_| ended).find(|handover| {
        let said = handover.said.as_ref().map(|(said, _)| said.as_str());
        handover.system == heard.completion.system && said == Some(heard.completion.said.as_str())
    });
    handover.and_then(|handover| handover.doubt.as_deref())
}
