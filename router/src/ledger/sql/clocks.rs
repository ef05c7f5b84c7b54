//! Clocks that are due, and clocks that were set by other rules.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{EventId, HandoverId, Job, RequestId, SystemName};
use serde_json::Value;
use uuid::Uuid;

use super::SqlLedger;
use super::draft::Draft;
use super::lists::{LINE, line};
use super::outbox::event;
use super::store::{Row, Statement, Tx};
use super::transition::Transition;
use crate::event::Event;
use crate::ledger::{ClockSetting, Clocked, Error, Holding, Look, Looked, Promised};

/// What an opening's clock goes by beside its line, from `requests r`: priority, first call, and whether it was
/// superseded.
pub(super) const PROMISED: &str = "r.priority, (select min(f.raised_at) from requests f where f.ticket = r.ticket \
     and f.council = r.council), case when exists (select 1 from requests l where l.ticket = r.ticket \
     and l.council = r.council and l.opening > r.opening) then 1 else 0 end";

/// Takes clocks that are due, up to a number.
pub(super) struct Due {
    /// The ledger's time.
    pub(super) now: Timestamp,
    /// How many at most.
    pub(super) most: usize,
}

/// Looks at clocks and writes what they tell.
pub(super) struct LookAt<'a> {
    pub(super) look: &'a Look,
}

#[async_trait]
impl Transition for LookAt<'_> {
    type Item = Due;
    type Reply = usize;

    async fn write(&self, tx: &mut Tx, batch: &[Due], draft: &mut Draft<'_>) -> Result<Vec<usize>, Error> {
        let mut counts = Vec::with_capacity(batch.len());
        for due in batch {
            let (clocks, traces) = take(tx, due).await?;
            let mut settings = Vec::with_capacity(clocks.len());
            for (clocked, traceparent) in clocks.iter().zip(traces) {
                let Looked { tell, setting } = (self.look)(clocked);
                for (kind, data) in tell {
                    draft.event(Event {
                        id: EventId(Uuid::now_v7()),
                        kind,
                        council: Some(clocked.line.council.clone()),
                        ticket: Some(clocked.line.ticket.clone()),
                        request: Some(clocked.line.request),
                        at: due.now,
                        data,
                        traceparent: traceparent.clone(),
                    });
                }
                settings.push((clocked, setting));
            }
            set(tx, &settings).await?;
            counts.push(clocks.len());
        }
        Ok(counts)
    }
}

impl SqlLedger {
    pub(super) async fn make_clocks_due(
        &self,
        rule: &str,
        now: Timestamp,
        most: usize,
    ) -> Result<usize, Error> {
        let statement = Statement::new(
            "with picked as (select council, id from requests where state <> 'closed' and clock_rule <> $1 \
             and (clock_at is null or clock_at > $2) limit $3 {skip locked}) \
             update requests set clock_at = $2 from picked where requests.council = picked.council \
             and requests.id = picked.id returning requests.id",
        )
        .text(rule)
        .int(now.as_millisecond())
        .int(i64::try_from(most).unwrap_or(i64::MAX));
        Ok(self.alone(statement).await?.len())
    }
}

/// Locks and loads openings whose clock is due; what others have locked is theirs to look at.
async fn take(tx: &mut Tx, due: &Due) -> Result<(Vec<Clocked>, Vec<Option<String>>), Error> {
    let sql = format!(
        "select {LINE}, {PROMISED}, r.traceparent from requests r where r.clock_at <= $1 order by r.clock_at \
         limit $2 {{skip locked}}"
    );
    let statement =
        Statement::new(sql).int(due.now.as_millisecond()).int(i64::try_from(due.most).unwrap_or(i64::MAX));
    let (mut clocks, mut traces) = (Vec::new(), Vec::new());
    for mut row in tx.run(statement).await? {
        let line = line(&mut row)?;
        let (promised, superseded) = promised(&mut row)?;
        traces.push(row.maybe_text("requests.traceparent")?);
        clocks.push(Clocked { line, promised, superseded, work: Vec::new(), events: Vec::new() });
    }
    if clocks.is_empty() {
        return Ok((clocks, traces));
    }
    let places: HashMap<RequestId, usize> =
        clocks.iter().enumerate().map(|(place, clocked)| (clocked.line.request, place)).collect();
    let found = |row: &mut Row, column| -> Result<Option<usize>, Error> {
        Ok(places.get(&row.get(column, RequestId::parse)?).copied())
    };
    let sql = "with v as ({rows}) select d.request, d.document from v join documents d \
               on d.council = v.council and d.request = v.id";
    for mut row in tx.run(of(sql, &clocks)).await? {
        let place = found(&mut row, "documents.request")?;
        let document: Value = row.get("documents.document", mappings::digits::from_str)?;
        if let Some(place) = place {
            clocks[place].promised.document = Arc::new(document);
        }
    }
    let sql = "with v as ({rows}) select h.request, h.id, h.system, h.state, h.job from v join handovers h \
               on h.council = v.council and h.request = v.id where h.closure = 0 order by h.id";
    for mut row in tx.run(of(sql, &clocks)).await? {
        let place = found(&mut row, "handovers.request")?;
        row.get("handovers.id", HandoverId::parse)?;
        let holding = Holding {
            system: row.get("handovers.system", SystemName::parse)?,
            state: row.get("handovers.state", str::parse)?,
            job: row.maybe("handovers.job", Job::parse)?,
        };
        if let Some(place) = place {
            clocks[place].work.push(holding);
        }
    }
    let sql = "with v as ({rows}) select e.request, e.id, e.kind, e.council, e.ticket, e.request, e.at, e.data, \
               e.traceparent from v join events e on e.council = v.council and e.request = v.id \
               order by e.at, e.id";
    for mut row in tx.run(of(sql, &clocks)).await? {
        let place = found(&mut row, "events.request")?;
        let event = event(&mut row)?;
        if let Some(place) = place {
            clocks[place].events.push(event);
        }
    }
    Ok((clocks, traces))
}

/// Reads the columns of [`PROMISED`]; the document is loaded apart.
pub(super) fn promised(row: &mut Row) -> Result<(Promised, bool), Error> {
    let priority = row.get("requests.priority", str::parse)?;
    let first_call = row.time("requests.raised_at")?;
    let superseded = row.flag("superseded")?;
    Ok((Promised { priority, first_call, document: Arc::default() }, superseded))
}

fn of(sql: &'static str, clocks: &[Clocked]) -> Statement {
    Statement::new(sql).texts("council", clocks, |clocked| clocked.line.council.as_str()).texts(
        "id",
        clocks,
        |clocked| clocked.line.request.to_string(),
    )
}

async fn set(tx: &mut Tx, settings: &[(&Clocked, ClockSetting)]) -> Result<(), Error> {
    if settings.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) update requests set clock_at = v.clock_at, \
         target_at = case when requests.state = 'closed' then requests.target_at else v.target_at end, \
         clock_rule = v.clock_rule, feedback = v.feedback from v where requests.council = v.council \
         and requests.id = v.id",
    )
    .texts("council", settings, |(clocked, _)| clocked.line.council.as_str())
    .texts("id", settings, |(clocked, _)| clocked.line.request.to_string());
    tx.run(columns(statement, settings, |(_, setting)| setting)).await.map(drop)
}

/// Adds the columns of a setting.
pub(super) fn columns<R>(statement: Statement, rows: &[R], of: impl Fn(&R) -> &ClockSetting) -> Statement {
    statement
        .ints("clock_at", rows, |row| of(row).next_at.map(Timestamp::as_millisecond))
        .ints("target_at", rows, |row| of(row).target_at.map(Timestamp::as_millisecond))
        .texts("clock_rule", rows, |row| of(row).rule.as_str())
        .ints("feedback", rows, |row| i64::from(of(row).feedback))
}
