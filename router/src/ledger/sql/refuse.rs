//! Deliveries that could not be understood or routed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mappings::domain::{Council, EventId};
use serde_json::json;
use uuid::Uuid;

use super::draft::Draft;
use super::inbox::Key;
use super::store::{Statement, Tx};
use super::transition::Transition;
use crate::event::{Event, Kind};
use crate::ledger::{Error, Refusal};

/// Keeps refusals.
pub(super) struct Refuse;

#[async_trait]
impl Transition for Refuse {
    type Item = Refusal;
    type Reply = bool;

    async fn write(&self, tx: &mut Tx, batch: &[Refusal], draft: &mut Draft<'_>) -> Result<Vec<bool>, Error> {
        keep(tx, batch, draft).await
    }
}

/// Keeps refusals, and answers those whose ticket is known; says which were not kept before.
pub(super) async fn keep(tx: &mut Tx, batch: &[Refusal], draft: &mut Draft<'_>) -> Result<Vec<bool>, Error> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let mut places = BTreeMap::new();
    for (place, refusal) in batch.iter().enumerate() {
        let council = refusal.council.as_ref().map_or("", Council::as_str);
        places.entry(Key::new(council, &refusal.key)).or_insert(place);
    }
    let statement = Statement::new(
            "with v as ({rows}) insert into refusals (council, source, id, ticket, path, reason, body, received_at, \
             traceparent, sent_with) select council, source, id, ticket, path, reason, body, received_at, \
             traceparent, sent_with from v \
             where true on conflict (council, source, id) do nothing returning council, source, id",
        )
        .texts("council", &places, |(key, _)| key.council.as_str())
        .texts("source", &places, |(key, _)| key.source.as_str())
        .texts("id", &places, |(key, _)| key.id.as_str())
        .texts("ticket", &places, |(_, at)| batch[*at].ticket.as_ref().map(|ticket| ticket.as_str()))
        .texts("path", &places, |(_, at)| batch[*at].path.as_ref().map(|path| path.as_str()))
        .texts("reason", &places, |(_, at)| batch[*at].reason.as_str())
        .texts("body", &places, |(_, at)| String::from_utf8_lossy(&batch[*at].body).into_owned())
        .ints("received_at", &places, |(_, at)| batch[*at].received_at.as_millisecond())
        .texts("traceparent", &places, |(_, at)| batch[*at].traceparent.as_deref())
        .texts("sent_with", &places, |(_, at)| batch[*at].sent_with.as_deref());
    let mut replies = vec![false; batch.len()];
    for mut row in tx.run(statement).await? {
        let key = Key {
            council: row.text("refusals.council")?,
            source: row.text("refusals.source")?,
            id: row.text("refusals.id")?,
        };
        if let Some(place) = places.get(&key) {
            replies[*place] = true;
        }
    }
    for (refusal, new) in batch.iter().zip(&replies) {
        if *new && refusal.ticket.is_some() {
            draft.event(rejected(refusal));
        }
    }
    Ok(replies)
}

fn rejected(refusal: &Refusal) -> Event {
    let event = Event {
        id: EventId(Uuid::now_v7()),
        kind: Kind::Rejected,
        council: refusal.council.clone(),
        ticket: refusal.ticket.clone(),
        request: None,
        at: refusal.received_at,
        data: json!({"path": refusal.path.as_ref().map(|path| path.as_str()), "reason": refusal.reason.as_str()}),
        traceparent: refusal.traceparent.clone(),
    };
    event.sent_with(refusal.sent_with.as_deref())
}
