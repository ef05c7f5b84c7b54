//! Openings that the ledger has not seen.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::clocks;
use super::draft::{Draft, store_changes};
use super::store::{Statement, Tx};
use crate::event::Kind;
use crate::ledger::opening::Opening;
use crate::ledger::{ClockSetting, Error};

/// An opening with what is kept of its request.
pub(super) struct Fresh {
    pub(super) opening: Opening,
    /// Which opening of the ticket it is, from 1.
    pub(super) number: i64,
    pub(super) channel: Option<String>,
    pub(super) priority: String,
    pub(super) raised_at: Timestamp,
    pub(super) accepted_at: Timestamp,
    pub(super) document: Arc<Value>,
    /// What the CRM sent to open the ticket again.
    pub(super) reopened: Option<Value>,
    /// The name of the HTTP key that it was sent with.
    pub(super) sent_with: Option<String>,
    pub(super) clock: ClockSetting,
}

/// Writes openings, their documents, handovers, first calls and events.
pub(super) async fn add(tx: &mut Tx, new: Vec<Fresh>, draft: &mut Draft<'_>) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    // All batches open tickets in one order, so that two that open the same do not wait for each other.
    let mut sorted: Vec<&Fresh> = new.iter().collect();
    sorted.sort_by_key(|new| (&new.opening.council, &new.opening.ticket));
    let statement = Statement::new(
        "with v as ({rows}) insert into requests (council, id, ticket, opening, service, channel, priority, state, \
         raised_at, accepted_at, needs, traceparent, clock_at, target_at, clock_rule, feedback) select council, id, \
         ticket, opening, service, channel, priority, 'open', raised_at, accepted_at, needs, traceparent, clock_at, \
         target_at, clock_rule, feedback from v",
    )
    .texts("council", &sorted, |new| new.opening.council.as_str())
    .texts("id", &sorted, |new| new.opening.request.to_string())
    .texts("ticket", &sorted, |new| new.opening.ticket.as_str())
    .ints("opening", &sorted, |new| new.number)
    .texts("service", &sorted, |new| new.opening.service.as_str())
    .texts("channel", &sorted, |new| new.channel.as_deref())
    .texts("priority", &sorted, |new| new.priority.as_str())
    .ints("raised_at", &sorted, |new| new.raised_at.as_millisecond())
    .ints("accepted_at", &sorted, |new| new.accepted_at.as_millisecond())
    .texts("needs", &sorted, |new| new.opening.needs.as_deref())
    .texts("traceparent", &sorted, |new| new.opening.traceparent.as_deref());
    tx.write(clocks::columns(statement, &sorted, |new| &new.clock)).await?;
    let statement = Statement::new(
        "with v as ({rows}) insert into documents (council, request, document) \
         select council, request, document from v",
    )
    .texts("council", &sorted, |new| new.opening.council.as_str())
    .texts("request", &sorted, |new| new.opening.request.to_string())
    .texts("document", &sorted, |new| new.document.to_string());
    tx.write(statement).await?;
    let mut openings = Vec::with_capacity(new.len());
    for Fresh { opening, number, accepted_at, document, reopened, sent_with, .. } in new {
        let systems: Vec<&str> = opening.pieces.iter().map(|piece| piece.system.as_str()).collect();
        let (kind, data) = match &reopened {
            None => (Kind::Accepted, json!({"service": opening.service.as_str(), "systems": systems})),
            Some(change) => {
                let data = json!({
                    "service": opening.service.as_str(), "systems": systems, "opening": number,
                    "reason": change.get("reason"),
                });
                (Kind::Reopened, data)
            }
        };
        draft.event(opening.event(kind, accepted_at, data).sent_with(sent_with.as_deref()));
        for piece in &opening.pieces {
            let call = piece.first_call(reopened.clone(), accepted_at);
            draft.call(call, &opening, Arc::clone(&document));
        }
        openings.push(opening);
    }
    store_changes(tx, &mut openings).await
}
