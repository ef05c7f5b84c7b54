//! Revisions that came before their request did.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{Council, Revised, Revision, Ticket};
use serde_json::Value;
use uuid::Uuid;

use super::draft::Draft;
use super::inbox::Key;
use super::revise::{self, Revising};
use super::store::{Row, Statement, Tx};
use super::transition::Transition;
use super::{SqlLedger, refuse};
use crate::ledger::{Arrival, Change, Closer, Error, InboxKey, KeptAs, Lessee, Refusal};

/// The most revisions that are looked at in one go.
const MOST: i64 = 100;

const COLUMNS: &str = "council, source, id, place, ticket, revision, data, received_at, traceparent, \
                       sent_with";

/// Keeps revisions of tickets that are not known.
pub(super) async fn keep(tx: &mut Tx, early: &[Revising<'_>]) -> Result<(), Error> {
    if early.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(format!(
        "with v as ({{rows}}) insert into early_changes ({COLUMNS}) select {COLUMNS} from v"
    ))
    .texts("council", early, |early| early.revised.council.as_str())
    .texts("source", early, |early| early.key.source.as_str())
    .texts("id", early, |early| early.key.id.as_str())
    .texts("place", early, |_| Uuid::now_v7().to_string())
    .texts("ticket", early, |early| early.revised.ticket.as_str())
    .texts("revision", early, |early| early.revised.revision.as_str())
    .texts("data", early, |early| early.revised.data.to_string())
    .ints("received_at", early, |early| early.received_at.as_millisecond())
    .texts("traceparent", early, |early| early.traceparent)
    .texts("sent_with", early, |early| early.sent_with);
    tx.run(statement).await.map(drop)
}

/// Takes out what came early of some tickets, in the order in which it came.
pub(super) async fn take(tx: &mut Tx, tickets: &BTreeSet<(Council, Ticket)>) -> Result<Vec<Arrival>, Error> {
    if tickets.is_empty() {
        return Ok(Vec::new());
    }
    let statement = Statement::new(format!(
        "with v as ({{rows}}) delete from early_changes where (council, ticket) in (select council, ticket from v) \
         returning {COLUMNS}"
    ))
    .texts("council", tickets, |(council, _)| council.as_str())
    .texts("ticket", tickets, |(_, ticket)| ticket.as_str());
    in_order(tx.run(statement).await?)
}

fn in_order(rows: Vec<Row>) -> Result<Vec<Arrival>, Error> {
    let mut arrivals = rows.into_iter().map(|mut row| arrival(&mut row)).collect::<Result<Vec<_>, _>>()?;
    arrivals.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(arrivals.into_iter().map(|(_, arrival)| arrival).collect())
}

/// A revision as it is kept, and its place among the others.
fn arrival(row: &mut Row) -> Result<(String, Arrival), Error> {
    let council = row.get("early_changes.council", Council::parse)?;
    let key = InboxKey { source: row.text("early_changes.source")?, id: row.text("early_changes.id")? };
    let place = row.text("early_changes.place")?;
    let ticket = row.get("early_changes.ticket", Ticket::parse)?;
    let revision: Revision = row.get("early_changes.revision", str::parse)?;
    let data: Value = row.get("early_changes.data", mappings::digits::from_str)?;
    let raised_at = data.get("raised_at").and_then(Value::as_str).and_then(|at| at.parse().ok());
    let received_at = row.time("early_changes.received_at")?;
    let traceparent = row.maybe_text("early_changes.traceparent")?;
    let sent_with = row.maybe_text("early_changes.sent_with")?;
    let change = Change::Revised(Revised { revision, council, ticket, raised_at, data });
    Ok((place, Arrival { key, change, traceparent, received_at, sent_with }))
}

/// Applies what came early and was missed, or refuses it.
struct Settle<'a> {
    closer: &'a Closer,
    given_up_before: Timestamp,
}

#[async_trait]
impl Transition for Settle<'_> {
    type Item = Arrival;
    type Reply = ();

    async fn write(&self, tx: &mut Tx, batch: &[Arrival], draft: &mut Draft<'_>) -> Result<Vec<()>, Error> {
        // Another router may have been first.
        let statement = Statement::new(
            "with v as ({rows}) delete from early_changes where (council, source, id) in \
             (select council, source, id from v) returning council, source, id",
        );
        let statement = statement
            .texts("council", batch, |arrival| arrival.subject().0.as_str())
            .texts("source", batch, |arrival| arrival.key.source.as_str())
            .texts("id", batch, |arrival| arrival.key.id.as_str());
        let mut mine = BTreeSet::new();
        for mut row in tx.run(statement).await? {
            mine.insert(Key {
                council: row.text("early_changes.council")?,
                source: row.text("early_changes.source")?,
                id: row.text("early_changes.id")?,
            });
        }
        let mine: Vec<&Arrival> = batch.iter().filter(|arrival| mine.contains(&Key::of(arrival))).collect();
        let subjects = mine.iter().map(|arrival| arrival.subject());
        let latest = super::accept::latest(tx, subjects).await?;
        let known = |arrival: &&&Arrival| {
            let (council, ticket) = arrival.subject();
            latest.known.contains_key(&(council.clone(), ticket.clone()))
        };
        let apply = mine.iter().filter(known).filter_map(|arrival| Revising::of(arrival, None)).collect();
        let given_up: Vec<Refusal> = mine
            .iter()
            .filter(|arrival| !known(arrival) && arrival.received_at < self.given_up_before)
            .map(|arrival| arrival.given_up())
            .collect();
        refuse::keep(tx, &given_up, draft).await?;
        revise::apply(tx, apply, self.closer, &mut [], draft).await?;
        Ok(vec![(); batch.len()])
    }
}

impl SqlLedger {
    pub(super) async fn settle_early(
        &self,
        given_up_before: Timestamp,
        lessee: &Lessee,
    ) -> Result<u64, Error> {
        let statement = Statement::new(format!(
            "select {COLUMNS} from early_changes e where received_at < $1 or exists (select 1 from requests r \
             where r.ticket = e.ticket and r.council = e.council) order by received_at limit $2"
        ))
        .int(given_up_before.as_millisecond())
        .int(MOST);
        let mut tx = self.store.snapshot().await?;
        let batch = in_order(tx.run(statement).await?)?;
        tx.commit().await?;
        if batch.is_empty() {
            return Ok(0);
        }
        let settle = Settle { closer: &self.closer, given_up_before };
        self.write(&settle, &batch, lessee).await?;
        Ok(batch.len() as u64)
    }
}

impl Arrival {
    /// The refusal of a revision whose request did not come.
    fn given_up(&self) -> Refusal {
        let (council, ticket) = self.subject();
        let body = match &self.change {
            Change::Submitted { request, .. } => request.document.to_string(),
            Change::Revised(revised) => revised.data.to_string(),
        };
        Refusal {
            key: self.key.clone(),
            council: Some(council.clone()),
            ticket: Some(ticket.clone()),
            path: Some("ticket".into()),
            reason: format!(
                "{ticket} is not known: expected a ticket whose request was submitted before or soon after"
            )
            .into(),
            revision: match &self.change {
                Change::Submitted { .. } => None,
                Change::Revised(revised) => Some(revised.revision),
            },
            body: body.into_bytes(),
            kept_as: KeptAs::Nothing,
            received_at: self.received_at,
            traceparent: self.traceparent.clone(),
            sent_with: self.sent_with.clone(),
        }
    }
}
