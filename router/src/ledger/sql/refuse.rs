//! Deliveries that could not be understood or routed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mappings::domain::{Council, EventId};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::draft::Draft;
use super::inbox::Key;
use super::revise::Revising;
use super::store::{Statement, Tx};
use super::transition::Transition;
use crate::event::{Event, Kind};
use crate::intake::KEPT_BODY;
use crate::ledger::{Error, KeptAs, Refusal};

/// Whether a refusal `f` was put right: the same delivery, or another one with the same request, was taken since. Of
/// revisions this is noted when they are taken.
pub(super) const PUT_RIGHT: &str = "f.revision is null and (exists (select 1 from inbox i where i.council = f.council \
     and i.source = f.source and i.id = f.id and i.received_at > f.received_at) or exists (select 1 from requests r \
     where r.ticket = f.ticket and (r.council = f.council or f.council = '') and r.accepted_at > f.received_at))";

/// The most bytes of a body that are known to be all of it.
const WHOLE: usize = KEPT_BODY - 1;

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
    // What is refused again in other words is told again; so is what was put right and is wrong again.
    let statement = Statement::new(
        "with v as ({rows}) insert into refusals (council, source, id, ticket, path, reason, body, received_at, \
         traceparent, sent_with, name, cause, revision, kept_as) select council, source, id, ticket, path, reason, body, \
         received_at, traceparent, sent_with, name, cause, revision, kept_as from v where true \
         on conflict (council, source, id) do update set ticket = excluded.ticket, path = excluded.path, \
         reason = excluded.reason, body = excluded.body, received_at = excluded.received_at, \
         cause = excluded.cause, revision = excluded.revision, kept_as = excluded.kept_as, settled_at = null, \
         settled = null where refusals.reason <> excluded.reason or refusals.settled = 'put right' \
         returning council, source, id",
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
    .texts("sent_with", &places, |(_, at)| batch[*at].sent_with.as_deref())
    .texts("name", &places, |(key, _)| name([&key.council, &key.source, &key.id]))
    .texts("cause", &places, |(_, at)| cause(&batch[*at]))
    .texts("revision", &places, |(_, at)| batch[*at].revision.map(|revision| revision.as_str()))
    .texts("kept_as", &places, |(_, at)| kept_as(&batch[*at]).as_str());
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

/// Notes which refused revisions were put right by others that are taken now.
pub(super) async fn settle_revisions(tx: &mut Tx, taken: &[Revising<'_>]) -> Result<(), Error> {
    if taken.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) update refusals set settled_at = v.at, settled = 'put right' from v \
         where refusals.council = v.council and refusals.ticket = v.ticket and refusals.revision = v.revision \
         and refusals.settled_at is null and refusals.received_at < v.at",
    )
    .texts("council", taken, |taken| taken.revised.council.as_str())
    .texts("ticket", taken, |taken| taken.revised.ticket.as_str())
    .texts("revision", taken, |taken| taken.revised.revision.as_str())
    .ints("at", taken, |taken| taken.received_at.as_millisecond());
    tx.write(statement).await
}

/// By which people call a refusal, or what several have in common.
fn name<'t>(parts: impl IntoIterator<Item = &'t String>) -> String {
    let whole = parts.into_iter().map(String::as_str).collect::<Vec<_>>().join("\u{1f}");
    Sha256::digest(whole).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// What refusals of one source and cause have in common: their reason without what it quotes, and without numbers.
fn cause(refusal: &Refusal) -> String {
    let path = refusal.path.as_ref().map(|path| common(path.as_str())).unwrap_or_default();
    name([&refusal.key.source, &path, &common(refusal.reason.as_str())])
}

fn common(text: &str) -> String {
    let mut common = String::with_capacity(text.len());
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            '“' => quoted = true,
            '”' => quoted = false,
            _ if quoted || letter.is_numeric() => {}
            _ => common.push(letter),
        }
    }
    common
}

/// How a body can be read again: only where it is whole.
fn kept_as(refusal: &Refusal) -> KeptAs {
    let is_whole = refusal.body.len() <= WHOLE && std::str::from_utf8(&refusal.body).is_ok();
    if is_whole { refusal.kept_as } else { KeptAs::Nothing }
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

#[cfg(test)]
mod tests {
    use super::common;

    #[test]
    fn refusals_of_one_cause_differ_in_what_they_quote_and_in_numbers() {
        assert_eq!(common("no route for \"a\": 12 known"), common("no route for \"b.c\": 3 known"));
        assert_eq!(common("said “x” on day 4"), common("said “y” on day 17"));
        assert_ne!(common("absent or empty"), common("invalid type"));
    }
}
