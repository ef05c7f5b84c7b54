//! Lists of tickets, what waits for a person, and how many there are of each.

use std::collections::HashMap;

use mappings::domain::{Council, RequestId, RequestState, Service, SystemName, Ticket};

use super::store::{Row, Statement, Tx};
use super::{SqlLedger, hear};
use crate::ledger::{Counts, Error, Filter, InboxKey, Line, Parked, Problem};

/// Of a system with more orphans than these only their number is told.
const ORPHANS_LISTED: i64 = 20;

/// The columns of a [`Line`], from `requests r`.
pub(super) const LINE: &str = "r.council, r.ticket, r.id, r.service, r.state, r.disposition, r.reason, r.raised_at, \
     r.accepted_at, r.closed_at, r.closes_at, case when exists (select 1 from handovers h where h.council = r.council \
     and h.request = r.id and h.state = 'parked') then 1 else 0 end";

impl SqlLedger {
    pub(super) async fn list(&self, filter: &Filter) -> Result<Vec<Line>, Error> {
        let mut tx = self.store.snapshot().await?;
        let mut sql = format!("select {LINE} from requests r where true");
        let mut binds = Vec::new();
        let mut also = |condition: &str, bind: String| {
            binds.push(bind);
            sql.push_str(&format!(" and {condition} ${}", binds.len()));
        };
        if let Some(council) = &filter.council {
            also("r.council =", council.to_string());
        }
        if let Some(ticket) = &filter.ticket {
            also("r.ticket =", ticket.to_string());
        }
        if let Some(state) = filter.state {
            also("r.state =", state.to_string());
        }
        if let Some(before) = &filter.before {
            also("r.id <", before.to_string());
        }
        if filter.state.is_some_and(|state| state != RequestState::Closed) {
            sql.push_str(" and r.state <> 'closed'");
        }
        sql.push_str(&format!(" order by r.id desc limit ${}", binds.len() + 1));
        let statement = binds.into_iter().fold(Statement::new(sql), Statement::text);
        let rows = tx.run(statement.int(limit(filter.most))).await?;
        tx.commit().await?;
        rows.into_iter().map(|mut row| line(&mut row)).collect()
    }

    pub(super) async fn waiting_for_a_person(&self, most: usize) -> Result<Vec<Problem>, Error> {
        let mut tx = self.store.snapshot().await?;
        let mut problems = held(&mut tx, most).await?;
        problems.extend(parked(&mut tx, most).await?);
        problems.extend(orphans(&mut tx, most).await?);
        problems.extend(early(&mut tx, most).await?);
        problems.extend(refused(&mut tx, most).await?);
        tx.commit().await?;
        Ok(problems)
    }

    pub(super) async fn count(&self) -> Result<Counts, Error> {
        let mut tx = self.store.snapshot().await?;
        let sql = "select r.state, case when p.request is null then 0 else 1 end, count(*) from requests r \
                   left join (select distinct council, request from handovers where state = 'parked') p \
                   on p.council = r.council and p.request = r.id group by 1, 2 order by 1, 2";
        let tickets = tx
            .run(Statement::new(sql))
            .await?
            .into_iter()
            .map(|mut row| {
                let state = row.get("requests.state", str::parse)?;
                let parked = if row.flag("parked")? { Parked::Yes } else { Parked::No };
                Ok((state, parked, row.number("count")?))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let sql = "select (select count(*) from due), (select count(*) from due where worker is not null), \
                   (select count(*) from outbox), (select count(*) from refusals), \
                   (select cast(coalesce(sum(seen - 1 + duplicate), 0) as bigint) from inbox), \
                   (select count(*) from completions where state = 'waiting')";
        let rows = tx.run(Statement::new(sql)).await?;
        tx.commit().await?;
        let mut row = rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
        Ok(Counts {
            tickets,
            due: row.number("due")?,
            leased: row.number("leased")?,
            outbox: row.number("outbox")?,
            refused: row.number("refused")?,
            duplicates: row.number("duplicates")?,
            waiting: row.number("waiting")?,
        })
    }
}

/// Reads the columns of [`LINE`].
pub(super) fn line(row: &mut Row) -> Result<Line, Error> {
    Ok(Line {
        council: row.get("requests.council", Council::parse)?,
        ticket: row.get("requests.ticket", Ticket::parse)?,
        request: row.get("requests.id", RequestId::parse)?,
        service: row.get("requests.service", Service::parse)?,
        state: row.get("requests.state", str::parse)?,
        disposition: row.maybe("requests.disposition", str::parse)?,
        reason: row.maybe_text("requests.reason")?,
        raised_at: row.time("requests.raised_at")?,
        accepted_at: row.time("requests.accepted_at")?,
        closed_at: row.maybe_time("requests.closed_at")?,
        closes_at: row.maybe_time("requests.closes_at")?,
        parked: row.flag("parked")?,
    })
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

async fn held(tx: &mut Tx, most: usize) -> Result<Vec<Problem>, Error> {
    let sql = format!(
        "select {LINE} from requests r where r.state = 'held' and r.state <> 'closed' order by r.id desc limit $1"
    );
    let rows = tx.run(Statement::new(sql).int(limit(most))).await?;
    let lines = rows.into_iter().map(|mut row| line(&mut row)).collect::<Result<Vec<_>, Error>>()?;
    let mut said = last_words(tx, &lines).await?;
    let held = lines.into_iter().map(|line| {
        let reason = line.reason.clone().unwrap_or_default();
        Problem::Held { said: said.remove(&line.request).unwrap_or_default(), line, reason }
    });
    Ok(held.collect())
}

/// What systems said last of work that has not ended, of these tickets.
async fn last_words(
    tx: &mut Tx,
    lines: &[Line],
) -> Result<HashMap<RequestId, Vec<(SystemName, String)>>, Error> {
    let mut words: HashMap<_, Vec<_>> = HashMap::new();
    if lines.is_empty() {
        return Ok(words);
    }
    let statement = Statement::new(
        "with v as ({rows}) select h.request, h.system, h.said from v join handovers h on h.council = v.council \
         and h.request = v.request where h.closure = 0 and h.state <> 'ended' and h.said is not null order by h.system",
    )
    .texts("council", lines, |line| line.council.as_str())
    .texts("request", lines, |line| line.request.to_string());
    for mut row in tx.run(statement).await? {
        let request = row.get("handovers.request", RequestId::parse)?;
        let word = (row.get("handovers.system", SystemName::parse)?, row.text("handovers.said")?);
        words.entry(request).or_default().push(word);
    }
    Ok(words)
}

async fn parked(tx: &mut Tx, most: usize) -> Result<Vec<Problem>, Error> {
    let sql = format!(
        "select {LINE}, p.system, p.closure, p.class, p.reason from handovers p join requests r on r.council = p.council \
         and r.id = p.request where p.state = 'parked' order by p.council, p.request limit $1"
    );
    let rows = tx.run(Statement::new(sql).int(limit(most))).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Problem::Parked {
                line: line(&mut row)?,
                system: row.get("handovers.system", SystemName::parse)?,
                closure: row.flag("handovers.closure")?,
                class: row.get("handovers.class", str::parse)?,
                reason: row.maybe_text("handovers.reason")?.unwrap_or_default(),
            })
        })
        .collect()
}

/// Orphans one by one, and of systems that have many their number alone.
async fn orphans(tx: &mut Tx, most: usize) -> Result<Vec<Problem>, Error> {
    let many = "select system, count(*), max(received_at) from completions where state = 'waiting' and request is null \
                group by system having count(*) > $1 order by system";
    let mut problems = Vec::new();
    for mut row in tx.run(Statement::new(many).int(ORPHANS_LISTED)).await? {
        problems.push(Problem::Orphans {
            system: row.get("completions.system", SystemName::parse)?,
            count: row.number("count")?,
            latest_at: row.time("completions.received_at")?,
        });
    }
    let sql = "select system, key, job, reference, said, note, said_at, received_at, way, state from completions \
               where state = 'waiting' and request is null and system not in (select system from completions \
               where state = 'waiting' and request is null group by system having count(*) > $2) \
               order by received_at desc limit $1";
    let rows = tx.run(Statement::new(sql).int(limit(most)).int(ORPHANS_LISTED)).await?;
    for mut row in rows {
        problems.push(Problem::Orphan(hear::completion(&mut row)?.completion));
    }
    Ok(problems)
}

async fn early(tx: &mut Tx, most: usize) -> Result<Vec<Problem>, Error> {
    let sql =
        "select received_at, council, ticket, revision from early_changes order by received_at desc limit $1";
    let rows = tx.run(Statement::new(sql).int(limit(most))).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(Problem::Early {
                received_at: row.time("early_changes.received_at")?,
                council: row.get("early_changes.council", Council::parse)?,
                ticket: row.get("early_changes.ticket", Ticket::parse)?,
                revision: row.get("early_changes.revision", str::parse)?,
            })
        })
        .collect()
}

async fn refused(tx: &mut Tx, most: usize) -> Result<Vec<Problem>, Error> {
    let sql = "select received_at, source, id, council, ticket, path, reason, sent_with, \
               case when source like '/systems/%' then substr(body, 1, 200) else '' end from refusals \
               order by received_at desc limit $1";
    let rows = tx.run(Statement::new(sql).int(limit(most))).await?;
    rows.into_iter()
        .map(|mut row| {
            let received_at = row.time("refusals.received_at")?;
            let key = InboxKey { source: row.text("refusals.source")?, id: row.text("refusals.id")? };
            let council = row.text("refusals.council")?;
            Ok(Problem::Refused {
                received_at,
                key,
                council: Council::parse(&council).ok(),
                ticket: row.maybe("refusals.ticket", Ticket::parse)?,
                path: row.maybe_text("refusals.path")?,
                reason: row.text("refusals.reason")?,
                sent_with: row.maybe_text("refusals.sent_with")?,
                text: row.text("refusals.body")?,
            })
        })
        .collect()
}
