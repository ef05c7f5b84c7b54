//! The story of a ticket in plain English: where it is, who has it, what they last said, what happens next.
//!
//! A pure reading of the ledger's [`History`] with the mappings beside it. It says nothing of the customer:
//! whoever reads it has the ticket in front of them.

mod asked;
mod clock;
mod entries;
mod halted;
mod next;
mod piece;
mod remedy;
pub mod when;
pub mod words;

use jiff::Timestamp;
use mappings::domain::{HandoverState, RequestState, Service, SystemName};
use mappings::mapping::{Catalogue, Meaning, Orphans, System};

use crate::ledger::{Completion, Correlated, Handover, Heard, History, Tried};

pub use asked::{Inquired, inquired};
pub use entries::Entry;
pub use halted::{Halted, halted};
use piece::Piece;
pub use remedy::{Remedy, argument, completion_name, remedies, unknown_words};

/// The systems that tell of work whose mappings say that it is others': no person has to look.
pub fn of_others(catalogue: &Catalogue) -> Vec<SystemName> {
    let others = catalogue.systems().filter(|system| system.orphans == Orphans::OfOthers);
    others.map(|system| system.name.clone()).collect()
}

/// What contact-centre staff read of a ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// What was asked for, in the mapping's words.
    pub title: String,
    /// Where it is, in one line.
    pub headline: String,
    /// Who has work of it in hand; empty when nobody has.
    pub with_whom: Vec<Holder>,
    /// What was last said by whoever does the work; `None` while nothing was.
    pub last_word: Option<LastWord>,
    /// What happens next and by when, a sentence each.
    pub next: Vec<String>,
    /// The promise to the customer while it is not kept, for example `2 working days, due Tue 24 Nov 17:00, 75 % used`.
    pub target: Option<String>,
    /// What the customer is or was told.
    pub told: Option<String>,
    /// What happened, oldest first.
    pub entries: Vec<Entry>,
}

/// Who has a piece of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The team that owns the system.
    pub team: Option<String>,
    /// How the team is reached.
    pub contact: Option<String>,
    /// Who hears of it when it takes too long.
    pub senior: Option<String>,
    /// The system's name for people.
    pub system: String,
    /// The system's own reference of the work.
    pub job: Option<String>,
    /// Where the piece stands, as a whole sentence.
    pub standing: String,
}

/// What was last said of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWord {
    /// The system's name for people.
    pub who: String,
    /// Its own words, where it used any.
    pub said: Option<String>,
    /// What they mean.
    pub meaning: Option<String>,
    /// When it said so.
    pub at: Timestamp,
}

/// Tells the story of a ticket as it stands at `now`.
pub fn tell(history: &History, catalogue: &Catalogue, now: Timestamp) -> Story {
    let names = Names { catalogue };
    let service = &history.line.service;
    let pieces: Vec<Piece<'_>> =
        history.handovers.iter().map(|handover| Piece::new(handover, history, &names, now)).collect();
    let work: Vec<&Piece<'_>> = pieces.iter().filter(|piece| !piece.handover.closure).collect();
    let closure = pieces.iter().rev().find(|piece| piece.handover.closure);
    Story {
        title: names.service(service),
        headline: next::headline(history, &work, closure),
        with_whom: pieces
            .iter()
            .filter(|piece| in_hand(piece, history.line.state))
            .map(|piece| piece.holder(history, &names))
            .collect(),
        last_word: last_word(history, &names),
        next: next::next(history, &work, closure, &names, now),
        target: next::target(history, catalogue, now),
        told: history.say.clone().filter(|_| !closure.is_some_and(Piece::is_untold)),
        entries: entries::entries(history, &names, closure),
    }
}

/// Whether somebody has the piece: until it ended, or while its ending waits for a decision.
fn in_hand(piece: &Piece<'_>, state: RequestState) -> bool {
    piece.handover.state != HandoverState::Ended || (state == RequestState::Held && !piece.handover.closure)
}

/// The latest of what the systems said of the work by themselves or answered when they were given it.
fn last_word(history: &History, names: &Names<'_>) -> Option<LastWord> {
    let heard = history.completions.iter().filter(|heard| match heard.correlated {
        Correlated::Applied | Correlated::Held | Correlated::Waiting => true,
        Correlated::Duplicate | Correlated::Superseded => false,
    });
    let words =
        heard.map(|heard| (names.order(heard, history), of_completion(&heard.completion, history, names)));
    let answers = history.handovers.iter().filter(|handover| !handover.closure).flat_map(|handover| {
        let tried = history.attempts.iter().filter(|tried| tried.handover == handover.id);
        tried.filter_map(|tried| {
            of_answer(tried, handover, names).map(|word| ((tried.attempt.ended_at, 0, None), word))
        })
    });
    answers.chain(words).max_by_key(|(order, _)| *order).map(|(_, word)| word)
}

fn of_completion(completion: &Completion, history: &History, names: &Names<'_>) -> LastWord {
    let note = completion.note.as_deref();
    LastWord {
        who: names.spoken(&completion.system),
        said: Some(quoted(&completion.said, note)),
        meaning: match names.meaning(&history.line.service, &completion.system, &completion.said, note) {
            Meaning::Ended { disposition, say, .. } => {
                Some(words::sentence(say.as_deref().unwrap_or_else(|| words::ended(disposition))))
            }
            Meaning::Progress { progress, say } => {
                Some(words::sentence(say.as_deref().unwrap_or_else(|| words::progress(progress))))
            }
            Meaning::Unrecognised => None,
        },
        at: completion.happened_at(history.line.raised_at).unwrap_or(completion.received_at),
    }
}

fn of_answer(tried: &Tried, handover: &Handover, names: &Names<'_>) -> Option<LastWord> {
    let (said, meaning) = match tried.attempt.outcome.as_str() {
        "delivered" => {
            let reference = handover.job.as_ref().map(|job| format!(" Their reference is {job}."));
            (None, format!("They have it.{}", reference.unwrap_or_default()))
        }
        "rejected" => {
            let ending = handover.disposition.map_or("they refused it", words::ended);
            let answered = tried.attempt.reason.clone().filter(|reason| !words::is_code(reason));
            (answered, words::sentence(handover.say.as_deref().unwrap_or(ending)))
        }
        _ => return None,
    };
    let who = names.spoken(&handover.system);
    Some(LastWord { who, said, meaning: Some(meaning), at: tried.attempt.ended_at })
}

/// A system's words: its status, and what somebody wrote beside it.
pub fn quoted(said: &str, note: Option<&str>) -> String {
    match note.map(str::trim).filter(|note| !note.is_empty() && *note != said) {
        Some(note) => format!("{said} – {note}"),
        None => said.to_owned(),
    }
}

/// The service's name for people, from the first system that works for it.
pub fn service_title(service: &Service, catalogue: &Catalogue) -> String {
    let title = catalogue.systems().find_map(|system| system.service_title(service));
    title.map_or_else(|| service.to_string(), str::to_owned)
}

/// A reason of the ledger as a sentence: a system that it begins with goes by its name for people.
pub fn reason(text: &str, catalogue: &Catalogue) -> String {
    let named = text.split_once(' ').and_then(|(first, rest)| {
        let system = SystemName::parse(first).ok()?;
        catalogue.system(&system)?;
        Some(format!("{} {rest}", Names { catalogue }.spoken(&system)))
    });
    words::sentence(named.as_deref().unwrap_or(text))
}

/// The names of systems and services; what the mappings no longer know goes by its identifier.
struct Names<'a> {
    catalogue: &'a Catalogue,
}

impl Names<'_> {
    fn system(&self, name: &SystemName) -> Option<&System> {
        self.catalogue.system(name).map(AsRef::as_ref)
    }

    /// The system's whole title.
    fn title(&self, name: &SystemName) -> String {
        self.system(name).map_or_else(|| name.to_string(), |system| system.title.clone())
    }

    /// The title as it is said in a sentence: without the product in brackets.
    fn spoken(&self, name: &SystemName) -> String {
        let title = self.title(name);
        match title.split_once(" (") {
            Some((spoken, _)) if title.ends_with(')') => spoken.to_owned(),
            _ => title,
        }
    }

    fn service(&self, service: &Service) -> String {
        service_title(service, self.catalogue)
    }

    /// What sorts the words of systems: when we learned of them; of those learned of together, an ending comes last, and
    /// others in the order in which they were said.
    fn order(&self, heard: &Heard, history: &History) -> (Timestamp, u8, Option<Timestamp>) {
        let completion = &heard.completion;
        let note = completion.note.as_deref();
        let rank = match self.meaning(&history.line.service, &completion.system, &completion.said, note) {
            Meaning::Progress { .. } | Meaning::Unrecognised => 1,
            Meaning::Ended { .. } => 2,
        };
        (completion.received_at, rank, completion.said_at)
    }

    fn meaning(&self, service: &Service, name: &SystemName, said: &str, note: Option<&str>) -> Meaning {
        self.system(name).map_or(Meaning::Unrecognised, |system| system.meaning(Some(service), said, note))
    }
}

#[cfg(test)]
pub(crate) mod tests;
