//! A ticket that was closed in the CRM, and is listed as open again.

use anyhow::Context as _;
use jiff::Timestamp;
use mappings::domain::{Council, RequestState, Revised, Revision, SystemName, Ticket};
use serde_json::json;

use crate::ledger::{Arrival, Change, History, InboxKey, Ledger};

/// What the listing of a ticket that the ledger knows means.
#[derive(Debug)]
pub(super) enum Seen {
    /// Nothing new.
    Known,
    /// It was closed, or is being closed; the list may be older than that, so it is looked at again.
    Unsure,
    /// It was opened again.
    Reopened(Box<Arrival>),
}

/// What it means that a CRM lists a ticket as open at a time.
///
/// # Errors
/// The ledger cannot be read.
pub(super) async fn seen(
    ledger: &dyn Ledger,
    crm: &SystemName,
    (council, ticket): (&Council, &Ticket),
    listed_at: Timestamp,
) -> anyhow::Result<Seen> {
    let Some(history) = ledger.ticket(Some(council), ticket).await? else { return Ok(Seen::Known) };
    match history.line.state {
        RequestState::Open | RequestState::Held => return Ok(Seen::Known),
        RequestState::Closing => return Ok(Seen::Unsure),
        RequestState::Closed => {}
    }
    // Where the CRM takes closures as events only, it is not known when it did.
    let Some(taken_at) = taken_at(&history) else { return Ok(Seen::Known) };
    if taken_at >= listed_at {
        return Ok(Seen::Unsure);
    }
    let data = json!({
        "council": council.as_str(), "ticket": ticket.as_str(), "reason": "The ticket was opened again in the CRM.",
    });
    let revised = Revised::parse(Revision::Reopened, data)
        .map_err(|error| anyhow::anyhow!("{}: {}", error.path, error.reason))
        .context("what was made here is a revision")?;
    let key =
        InboxKey { source: format!("/crm/{crm}"), id: format!("{ticket}/reopened/{}", history.line.request) };
    let change = Change::Revised(revised);
    Ok(Seen::Reopened(Box::new(Arrival {
        key,
        change,
        traceparent: None,
        received_at: listed_at,
        sent_with: None,
    })))
}

/// When the CRM took the closure by a call.
fn taken_at(history: &History) -> Option<Timestamp> {
    let closures: Vec<_> = history.handovers.iter().filter(|handover| handover.closure).collect();
    let tries = history.attempts.iter().filter(|tried| closures.iter().any(|one| one.id == tried.handover));
    tries.map(|tried| tried.attempt.ended_at).max()
}
