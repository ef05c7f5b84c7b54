//! What was promised for a ticket, and how much of it is used up.

use jiff::Timestamp;
use mappings::domain::RequestState;
use mappings::mapping::Catalogue;
use mappings::sla::{Beyond, due, used};

use super::Facts;
use crate::ledger::History;

/// A promise that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The promise in its author's words.
    pub words: String,
    /// When it is reached and how much is used up in per cent, or why that cannot be said.
    pub runs: Result<(Timestamp, u32), Beyond>,
    /// Whether the clock stands still now.
    pub paused: bool,
}

/// The promise of a ticket that is open; `None` where nothing was promised, or the work has ended.
pub fn promise(history: &History, catalogue: &Catalogue, now: Timestamp) -> Option<Promise> {
    match history.line.state {
        RequestState::Open | RequestState::Held => {}
        RequestState::Closing | RequestState::Closed => return None,
    }
    let facts = Facts::of_history(history);
    let terms = facts.terms(catalogue);
    let target = terms.target.as_ref()?;
    let raised_at = history.promised.first_call;
    let pauses = facts.pauses(&terms, now);
    let runs = due(target, raised_at, &pauses, &terms.calendar)
        .and_then(|due| Ok((due, used(target, raised_at, &pauses, &terms.calendar, now)?)));
    let paused = pauses.last().is_some_and(|pause| pause.to >= now);
    Some(Promise { words: target.words.clone(), runs, paused })
}
