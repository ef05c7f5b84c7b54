//! All that is known of a ticket.

use std::sync::Arc;

use mappings::domain::{Council, HandoverId, Job, SystemName, Ticket};

use super::SqlLedger;
use super::clocks::{PROMISED, promised};
use super::lists::{LINE, line};
use super::outbox::event;
use super::store::{Row, Statement, Tx};
use super::{failures, hear, store, systems};
use crate::event::Event;
use crate::ledger::{Attempt, Error, Handover, Heard, History, Line, Tried};

impl SqlLedger {
    pub(super) async fn history(
        &self,
        council: Option<&Council>,
        ticket: &Ticket,
    ) -> Result<Option<History>, Error> {
        let mut tx = self.store.snapshot().await?;
        let mut sql = format!(
            "select {LINE}, r.say, {PROMISED}, (select d.document from documents d where d.council = r.council \
             and d.request = r.id) from requests r where r.ticket = $1"
        );
        if council.is_some() {
            sql.push_str(" and r.council = $2");
        }
        sql.push_str(" order by r.opening desc, r.id desc limit 1");
        let mut statement = Statement::new(sql).text(ticket.as_str());
        if let Some(council) = council {
            statement = statement.text(council.as_str());
        }
        let Some(mut row) = tx.run(statement).await?.into_iter().next() else {
            tx.commit().await?;
            return Ok(None);
        };
        let line = line(&mut row)?;
        let say = row.maybe_text("requests.say")?;
        let (mut promised, _) = promised(&mut row)?;
        promised.document =
            row.maybe("documents.document", mappings::digits::from_str)?.map(Arc::new).unwrap_or_default();
        let history = History {
            promised,
            say,
            handovers: handovers(&mut tx, &line).await?,
            events: events(&mut tx, &line).await?,
            attempts: attempts(&mut tx, &line).await?,
            completions: completions(&mut tx, &line).await?,
            failing: failures::of_request(&mut tx, line.council.as_str(), line.request.to_string()).await?,
            halts: systems::of_request(&mut tx, line.council.as_str(), line.request.to_string()).await?,
            line,
        };
        tx.commit().await?;
        Ok(Some(history))
    }
}

async fn rows(tx: &mut Tx, sql: &'static str, line: &Line) -> Result<Vec<Row>, Error> {
    tx.run(Statement::new(sql).text(line.council.as_str()).text(line.request.to_string())).await
}

async fn handovers(tx: &mut Tx, line: &Line) -> Result<Vec<Handover>, Error> {
    let sql = "select h.id, h.system, h.closure, h.state, h.job, h.progress, h.disposition, h.reason, h.class, \
               h.say, h.said, h.said_at, h.doubt, h.operation, h.waiting, d.due_at, (select count(*) from attempts a where a.council = h.council \
               and a.request = h.request and a.handover = h.id) from handovers h left join due d \
               on d.council = h.council and d.id = h.call where h.council = $1 and h.request = $2 \
               order by h.closure, h.id";
    let handover = |mut row: store::Row| {
        Ok(Handover {
            id: row.get("handovers.id", HandoverId::parse)?,
            system: row.get("handovers.system", SystemName::parse)?,
            closure: row.flag("handovers.closure")?,
            state: row.get("handovers.state", str::parse)?,
            job: row.maybe("handovers.job", Job::parse)?,
            progress: row.maybe("handovers.progress", str::parse)?,
            disposition: row.maybe("handovers.disposition", str::parse)?,
            reason: row.maybe_text("handovers.reason")?,
            class: row.maybe("handovers.class", str::parse)?,
            say: row.maybe_text("handovers.say")?,
            said: {
                let said = row.maybe_text("handovers.said")?;
                let at = row.maybe_time("handovers.said_at")?;
                said.map(|said| (said, at))
            },
            doubt: row.maybe_text("handovers.doubt")?,
            operation: row.maybe("handovers.operation", str::parse)?,
            waiting: row.number("handovers.waiting")?,
            due_at: row.maybe_time("due.due_at")?,
            attempts: row.number("attempts")?,
        })
    };
    rows(tx, sql, line).await?.into_iter().map(handover).collect()
}

async fn events(tx: &mut Tx, line: &Line) -> Result<Vec<Event>, Error> {
    let sql = "select id, kind, council, ticket, request, at, data, traceparent from events \
               where council = $1 and request = $2 order by at, id";
    rows(tx, sql, line).await?.into_iter().map(|mut row| event(&mut row)).collect()
}

async fn attempts(tx: &mut Tx, line: &Line) -> Result<Vec<Tried>, Error> {
    let sql = "select handover, operation, phase, number, started_at, ended_at, outcome, status, reason, sent, \
               answer from attempts where council = $1 and request = $2 order by started_at, call, number";
    let tried = |mut row: store::Row| {
        Ok(Tried {
            handover: row.get("attempts.handover", HandoverId::parse)?,
            operation: row.get("attempts.operation", str::parse)?,
            phase: row.get("attempts.phase", str::parse)?,
            number: row.number("attempts.number")?,
            attempt: Attempt {
                started_at: row.time("attempts.started_at")?,
                ended_at: row.time("attempts.ended_at")?,
                outcome: row.text("attempts.outcome")?,
                status: row.maybe_int("attempts.status")?.and_then(|status| u16::try_from(status).ok()),
                reason: row.maybe_text("attempts.reason")?,
                call: row.maybe_text("attempts.sent")?,
                answer: row.maybe_text("attempts.answer")?,
            },
        })
    };
    rows(tx, sql, line).await?.into_iter().map(tried).collect()
}

async fn completions(tx: &mut Tx, line: &Line) -> Result<Vec<Heard>, Error> {
    let sql = "select system, key, job, reference, said, note, said_at, received_at, way, state from completions \
               where council = $1 and request = $2 order by received_at, key";
    rows(tx, sql, line).await?.into_iter().map(|mut row| hear::completion(&mut row)).collect()
}
