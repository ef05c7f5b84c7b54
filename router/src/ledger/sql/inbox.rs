//! Which deliveries were here before.

use std::collections::{BTreeMap, BTreeSet};

use mappings::domain::RequestId;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::store::{Row, Statement, Tx};
use crate::ledger::{Arrival, Error, InboxKey};

/// The most bytes of a part of a key; an index holds no more than 2,700 of them all.
const LONGEST: usize = 300;

/// An inbox key as it is stored, with the council before it; ordered, so that all batches lock alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) council: String,
    pub(super) source: String,
    pub(super) id: String,
}

impl Key {
    /// The key of a delivery of a council; `""` for one that is not known.
    pub(super) fn new(council: &str, key: &InboxKey) -> Self {
        Self { council: council.to_owned(), source: short(&key.source), id: short(&key.id) }
    }

    /// The key of an arrival.
    pub(super) fn of(arrival: &Arrival) -> Self {
        Self::new(arrival.subject().0.as_str(), &arrival.key)
    }
}

/// A text that fits an index and holds no NUL; the end of a long one is replaced by a digest of the whole.
pub(super) fn short(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.replace('\0', "\u{fffd}");
    }
    let start: String = text.chars().take(60).collect();
    let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{} sha256:{digest}", start.replace('\0', "\u{fffd}"))
}

/// What the inbox knows of a batch.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The places of arrivals that were never here before, in order.
    pub(super) new: BTreeSet<usize>,
    /// Those whose key belongs to a delivery about something else.
    pub(super) in_use: Vec<usize>,
}

/// Adds the chosen arrivals to the inbox. Those that were here before are counted.
pub(super) async fn add(
    tx: &mut Tx,
    batch: &[Arrival],
    chosen: impl Fn(&Arrival) -> bool,
) -> Result<Known, Error> {
    let mut known = Known::default();
    let mut places: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    for (place, arrival) in batch.iter().enumerate().filter(|(_, arrival)| chosen(arrival)) {
        places.entry(Key::of(arrival)).or_default().push(place);
    }
    if places.is_empty() {
        return Ok(known);
    }
    let differs = |about: &str, at: &[usize]| {
        at.iter().copied().filter(|place| batch[*place].about() != about).collect::<Vec<_>>()
    };
    let statement = Statement::new(
        "with v as ({rows}) insert into inbox (council, source, id, duplicate, about, received_at, seen, sent_with) \
         select council, source, id, 0, about, received_at, seen, sent_with from v where true \
         on conflict (council, source, id) do nothing returning council, source, id",
    )
    .texts("council", &places, |(key, _)| key.council.as_str())
    .texts("source", &places, |(key, _)| key.source.as_str())
    .texts("id", &places, |(key, _)| key.id.as_str())
    .texts("about", &places, |(_, at)| batch[at[0]].about())
    .ints("received_at", &places, |(_, at)| batch[at[0]].received_at.as_millisecond())
    .ints("seen", &places, |(_, at)| i64::try_from(at.len()).unwrap_or(1))
    .texts("sent_with", &places, |(_, at)| batch[at[0]].sent_with.as_deref());
    for mut row in tx.run(statement).await? {
        if let Some(at) = places.remove(&key(&mut row)?) {
            known.new.insert(at[0]);
            known.in_use.extend(differs(&batch[at[0]].about(), &at));
        }
    }
    if !places.is_empty() {
        let statement = Statement::new(
            "with v as ({rows}) update inbox set seen = inbox.seen + v.seen from v where inbox.council = v.council \
             and inbox.source = v.source and inbox.id = v.id \
             returning inbox.council, inbox.source, inbox.id, inbox.about",
        )
        .texts("council", &places, |(key, _)| key.council.as_str())
        .texts("source", &places, |(key, _)| key.source.as_str())
        .texts("id", &places, |(key, _)| key.id.as_str())
        .ints("seen", &places, |(_, at)| i64::try_from(at.len()).unwrap_or(1));
        for mut row in tx.run(statement).await? {
            let at = places.remove(&key(&mut row)?).unwrap_or_default();
            known.in_use.extend(differs(&row.text("inbox.about")?, &at));
        }
    }
    Ok(known)
}

fn key(row: &mut Row) -> Result<Key, Error> {
    Ok(Key {
        council: row.text("inbox.council")?,
        source: row.text("inbox.source")?,
        id: row.text("inbox.id")?,
    })
}

/// Notes that deliveries were of tickets that are open already.
pub(super) async fn mark_repeated(tx: &mut Tx, repeated: &[(Key, RequestId)]) -> Result<(), Error> {
    if repeated.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) update inbox set request = v.request, duplicate = 1 from v \
         where inbox.council = v.council and inbox.source = v.source and inbox.id = v.id",
    )
    .texts("council", repeated, |(key, _)| key.council.as_str())
    .texts("source", repeated, |(key, _)| key.source.as_str())
    .texts("id", repeated, |(key, _)| key.id.as_str())
    .texts("request", repeated, |(_, request)| request.to_string());
    tx.write(statement).await
}

/// Keeps what was sent about tickets that are known.
pub(super) async fn keep_sent(tx: &mut Tx, sent: &[(Key, RequestId, &Value)]) -> Result<(), Error> {
    if sent.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) update inbox set request = v.request, sent = v.sent from v \
         where inbox.council = v.council and inbox.source = v.source and inbox.id = v.id",
    )
    .texts("council", sent, |(key, ..)| key.council.as_str())
    .texts("source", sent, |(key, ..)| key.source.as_str())
    .texts("id", sent, |(key, ..)| key.id.as_str())
    .texts("request", sent, |(_, request, _)| request.to_string())
    .texts("sent", sent, |(.., data)| data.to_string());
    tx.write(statement).await
}
