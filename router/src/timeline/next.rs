//! Where a ticket is and what happens next.

use std::time::Duration;

use jiff::Timestamp;
use mappings::domain::{HandoverState, Operation, ParkClass, RequestState, SystemName};
use mappings::mapping::Catalogue;

use super::piece::Piece;
use super::{Names, when, words};
use crate::event::{Event, Kind};
use crate::ledger::{Correlated, History};
use crate::sla;

/// What is due for so long and was not begun waits for others.
const TURN: Duration = Duration::from_secs(60);

/// Where the ticket is, in one line.
pub(super) fn headline(history: &History, work: &[&Piece<'_>], closure: Option<&Piece<'_>>) -> String {
    let line = &history.line;
    match line.state {
        RequestState::Open => {
            let standing: Vec<String> = work.iter().map(|piece| piece.standing()).collect();
            if standing.is_empty() { "Open, and nobody has it yet".to_owned() } else { standing.join(". ") }
        }
        RequestState::Held if text_of(held(history), "why").is_some() => {
            "A system could not be told what changed: a person must tell its team".to_owned()
        }
        RequestState::Held => "A person must decide how this ends".to_owned(),
        RequestState::Closing => match closure {
            Some(closure) => format!("The work has ended. {}", closure.closing()),
            None if line.closes_at.is_some() => "The work has ended, and the ticket closes soon".to_owned(),
            None => "The work has ended, and the ticket is being closed".to_owned(),
        },
        RequestState::Closed => match line.disposition {
            Some(disposition) => format!("Closed: {}", words::ended(disposition)),
            None => "Closed".to_owned(),
        },
    }
}

/// What happens next and by when.
pub(super) fn next(
    history: &History,
    work: &[&Piece<'_>],
    closure: Option<&Piece<'_>>,
    names: &Names<'_>,
    now: Timestamp,
) -> Vec<String> {
    let mut next: Vec<String> = match history.line.state {
        RequestState::Open => work.iter().filter_map(|piece| of_piece(piece, now)).collect(),
        RequestState::Held => {
            let parked = work.iter().filter(|piece| piece.handover.state == HandoverState::Parked);
            let decision = std::iter::once(decision(history, work, closure, names));
            decision.chain(words_for_the_customer(work)).chain(parked.map(|piece| help(piece))).collect()
        }
        RequestState::Closing => match closure {
            Some(closure) => of_piece(closure, now).into_iter().collect(),
            None => vec![match history.line.closes_at {
                Some(at) => format!(
                    "The ticket closes by itself {}. Until then it can be stopped: dovetail tickets stop-closure {} --by NAME.",
                    when::spoken(at, now),
                    history.line.ticket
                ),
                None => "The ticket closes by itself; there is nothing to do.".to_owned(),
            }],
        },
        RequestState::Closed => vec![match closure.and_then(|closure| closure.handover.reason.as_deref()) {
            // What the CRM said beside taking the closure, for example that a person had closed it already.
            Some(note) => format!("Nothing: it is finished. {}", words::sentence(note)),
            None => "Nothing: it is finished.".to_owned(),
        }],
    };
    let ended = matches!(history.line.state, RequestState::Closing | RequestState::Closed);
    if let Some(heard) =
        history.completions.iter().rev().find(|heard| ended && heard.correlated == Correlated::Held)
    {
        let (name, said) = (name_of(&heard.completion.system, work), &heard.completion.said);
        next.push(format!("A person should look: {name} said “{said}” after their part had ended."));
    }
    next
}

/// The last event that held the ticket as a whole.
fn held(history: &History) -> Option<&Event> {
    history.events.iter().rev().find(|event| event.kind == Kind::Held && event.data.get("class").is_none())
}

fn text_of<'e>(event: Option<&'e Event>, key: &str) -> Option<&'e str> {
    event?.data.get(key)?.as_str()
}

/// What a person must decide, as the last event that held the ticket tells.
fn decision(
    history: &History,
    work: &[&Piece<'_>],
    closure: Option<&Piece<'_>>,
    names: &Names<'_>,
) -> String {
    let event = held(history);
    let text = |key: &str| text_of(event, key);
    if text("why").is_some() {
        let reason = text("reason").unwrap_or_default();
        return format!("A person must act: {}", super::reason(reason, names.catalogue));
    }
    if let Some(change) = text("change").and_then(|word| word.parse().ok()) {
        let with: Vec<&str> = work.iter().map(|piece| piece.name.as_str()).collect();
        return format!(
            "A person must decide: {}, and {} has work of it. Call them, then settle the ticket by hand.",
            words::change(change),
            with.join(" and ")
        );
    }
    if let Some(said) = text("said") {
        let name = text("system").and_then(|name| SystemName::parse(name).ok());
        let name = name.map_or_else(|| "The system".to_owned(), |name| name_of(&name, work));
        return format!(
            "A person must decide: {name} said “{said}”, and Dovetail does not know what to do with that."
        );
    }
    if let Some(closure) = closure.filter(|closure| closure.handover.state == HandoverState::Ended) {
        let reason = closure.handover.reason.as_deref().map(words::sentence).unwrap_or_default();
        return format!("A person must close the ticket by hand: {} refused to. {reason}", closure.name)
            .trim()
            .to_owned();
    }
    let endings: Vec<String> = work
        .iter()
        .filter_map(|piece| piece.handover.disposition.map(|disposition| (piece, disposition)))
        .filter(|(piece, disposition)| !piece.closes.contains(disposition))
        .map(|(piece, disposition)| format!("{} says {}", piece.name, words::ended(disposition)))
        .collect();
    match (endings.is_empty(), history.line.reason.as_deref()) {
        (false, _) => format!(
            "A person must decide: {}, and that does not close a ticket by itself.",
            endings.join("; ")
        ),
        (true, Some(reason)) => format!("A person must decide: {}", words::sentence(reason)),
        (true, None) => "A person must decide.".to_owned(),
    }
}

/// What the customer could be told of endings that wait for a decision.
fn words_for_the_customer(work: &[&Piece<'_>]) -> Option<String> {
    let undecided = work.iter().filter(|piece| {
        piece.handover.disposition.is_some_and(|disposition| !piece.closes.contains(&disposition))
    });
    let say: Vec<String> =
        undecided.filter_map(|piece| piece.handover.say.as_deref()).map(words::sentence).collect();
    (!say.is_empty()).then(|| format!("Where that is right, the customer can be told: {}", say.join(" ")))
}

fn name_of(system: &SystemName, work: &[&Piece<'_>]) -> String {
    let piece = work.iter().find(|piece| piece.handover.system == *system);
    piece.map_or_else(|| system.to_string(), |piece| piece.name.clone())
}

fn of_piece(piece: &Piece<'_>, now: Timestamp) -> Option<String> {
    match piece.handover.state {
        HandoverState::Due => Some(next_try(piece, now)),
        HandoverState::Awaiting => Some(match asked(piece) {
            Some(asked) => format!("{asked} {}", news(piece)),
            None => news(piece),
        }),
        HandoverState::Parked => Some(help(piece)),
        HandoverState::Ended => None,
    }
}

/// What is being asked of a system that has the work.
fn asked(piece: &Piece<'_>) -> Option<String> {
    match piece.handover.operation? {
        Operation::Amend => Some(format!("{} is being told what changed.", piece.name)),
        Operation::Cancel => Some(format!("{} is being asked to call the work off.", piece.name)),
        Operation::Create | Operation::Close => None,
    }
}

fn next_try(piece: &Piece<'_>, now: Timestamp) -> String {
    if let Some(waits) = &piece.waits {
        return format!("Waiting: {waits}");
    }
    let name = &piece.name;
    let later = piece.handover.due_at.filter(|due| *due > now).map(|due| when::spoken(due, now));
    let waits_for_its_turn = piece.handover.due_at.is_some_and(|due| due + TURN < now);
    match (piece.fresh == 0, piece.uncertain(), later) {
        (true, false, None) if waits_for_its_turn => {
            format!("It waits for its turn: {name} takes only so many calls at once.")
        }
        (true, false, None) if piece.handover.closure => format!("{name} is being told now."),
        (true, false, None) => format!("It is being sent to {name} now."),
        (true, false, Some(at)) => format!("It is sent to {name} {at}."),
        (_, true, later) if piece.by_key => {
            let when = later.unwrap_or_else(|| "now".to_owned());
            format!("It is sent to {name} again {when}, under the same key, so that nothing is done twice.")
        }
        (_, true, None) => format!("{name} is being asked now whether it has this already."),
        (_, true, Some(at)) => {
            format!("{name} is asked {at} whether it has this already; only if not is it sent again.")
        }
        (false, false, None) => format!("The next try is being made now.{}", last_try(piece)),
        (false, false, Some(at)) => format!("The next try is {at}.{}", last_try(piece)),
    }
}

/// Says when the tries run out.
fn last_try(piece: &Piece<'_>) -> String {
    let made = u32::try_from(piece.fresh).unwrap_or(u32::MAX);
    match piece.most_tries {
        Some(most) if made.saturating_add(1) >= most => {
            " If that fails too, a person is asked to help.".to_owned()
        }
        Some(most) => {
            format!(" It is try {} of {most}; after the last one a person is asked to help.", made + 1)
        }
        None => String::new(),
    }
}

fn news(piece: &Piece<'_>) -> String {
    let name = &piece.name;
    let usual = match (piece.tells, piece.asked) {
        (true, Some(every)) => {
            format!("{name} tells us when something changes, and is also asked {}.", when::every(every))
        }
        (true, None) => format!("{name} tells us when something changes."),
        (false, Some(every)) => format!("{name} is asked for news {}.", when::every(every)),
        (false, None) => {
            format!("We wait for {name}, which has no way to tell us by itself: ask {}.", piece.team)
        }
    };
    let unheard = piece.unheard.iter().map(|text| words::sentence(text));
    std::iter::once(usual).chain(unheard).collect::<Vec<_>>().join(" ")
}

fn help(piece: &Piece<'_>) -> String {
    let Piece { name, team, handover, .. } = piece;
    let reason = handover.reason.as_deref().map(words::sentence).unwrap_or_default();
    let todo = match handover.class {
        Some(ParkClass::Data) => {
            format!("A person in the contact centre must put the request right, so that {name} can take it.")
        }
        Some(ParkClass::Refused) => format!("A person at {team} must say what their refusal means."),
        Some(ParkClass::Technical) if piece.was_not_sent() => {
            format!(
                "A person in IT must look why it could not be sent to {name}. It is not tried again by itself."
            )
        }
        Some(ParkClass::Technical) => {
            format!("A person in IT must look at the way to {name}. It is not tried again by itself.")
        }
        Some(ParkClass::Uncertain) => format!(
            "A person at {team} must look whether they have this. It is not sent again before that, so that the \
             work is not ordered twice."
        ),
        None => "A person must look at it.".to_owned(),
    };
    let waiting = match handover.waiting {
        0 => String::new(),
        1 => format!(" What was asked after that waits until then: one message to {name}."),
        more => format!(" What was asked after that waits until then: {more} messages to {name}."),
    };
    format!("{} {reason}{waiting}", todo.trim()).trim().to_owned()
}

/// The promise to the customer, while the ticket is open: `2 working days, due Tue 24 Nov 17:00, 75 % used`.
pub(super) fn target(history: &History, catalogue: &Catalogue, now: Timestamp) -> Option<String> {
    let promise = sla::promise(history, catalogue, now)?;
    let runs = match promise.runs {
        Ok((due, used)) => format!("due {}, {used} % used", when::brief(due, now)),
        Err(beyond) => format!("which has no date: {beyond}"),
    };
    let paused = if promise.paused { "; the clock stands still" } else { "" };
    Some(format!("{}, {runs}{paused}", promise.words))
}
