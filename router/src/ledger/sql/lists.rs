//! Lists of tickets, and how many there are of each.

use mappings::domain::{Council, RequestId, RequestState, Service, Ticket};

use super::SqlLedger;
use super::store::{Row, Statement};
use crate::ledger::{Counts, Error, Filter, Line, Parked};

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

/// A number of rows as it is bound.
pub(super) fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
