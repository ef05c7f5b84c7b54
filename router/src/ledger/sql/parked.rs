//! Parked handovers by what they have in common.

use mappings::domain::{CallId, Council, HandoverId, RequestId, Service, SystemName, Ticket};
use serde_json::Value;

use super::SqlLedger;
use super::store::{Row, Statement};
use crate::ledger::{Error, Selection, Stuck};

impl SqlLedger {
    pub(super) async fn select_parked(
        &self,
        selection: &Selection,
        most: usize,
    ) -> Result<Vec<Stuck>, Error> {
        // The last attempt is the one that led to the parking.
        let mut sql =
            "select h.council, h.ticket, h.request, h.id, h.call, h.service, h.system, a.operation, \
                       h.class, h.reason, a.number, a.ended_at from handovers h join attempts a \
                       on a.council = h.council and a.request = h.request and a.call = h.call \
                       where h.state = 'parked' and a.number = (select max(b.number) from attempts b \
                       where b.council = h.council and b.request = h.request and b.call = h.call)"
                .to_owned();
        let mut texts = Vec::new();
        let mut also = |condition: &str, text: String| {
            texts.push(text);
            sql.push_str(&format!(" and {}", condition.replace('?', &format!("${}", texts.len()))));
        };
        let Selection { system, class, reason, since, service, council, ticket } = selection;
        if let Some(system) = system {
            also("h.system = ?", system.to_string());
        }
        if let Some(class) = class {
            also("h.class = ?", class.to_string());
        }
        if let Some(reason) = reason {
            also("lower(h.reason) like lower(?) escape '\\'", format!("%{}%", literal(reason)));
        }
        if let Some(service) = service {
            also("h.service = ?", service.to_string());
        }
        if let Some(council) = council {
            also("h.council = ?", council.to_string());
        }
        if let Some(ticket) = ticket {
            also("h.ticket = ?", ticket.to_string());
        }
        let next = texts.len() + 1;
        sql.push_str(&format!(
            " and a.ended_at >= ${next} order by a.ended_at, h.council, h.request, h.id limit ${}",
            next + 1
        ));
        let since = since.map_or(i64::MIN, jiff::Timestamp::as_millisecond);
        let statement = texts.into_iter().fold(Statement::new(sql), Statement::text);
        let mut tx = self.store.snapshot().await?;
        let rows = tx.run(statement.int(since).int(i64::try_from(most).unwrap_or(i64::MAX))).await?;
        tx.commit().await?;
        rows.into_iter().map(|mut row| stuck(&mut row)).collect()
    }

    pub(super) async fn read_document(
        &self,
        council: &Council,
        request: RequestId,
    ) -> Result<Option<Value>, Error> {
        let mut tx = self.store.snapshot().await?;
        let sql = "select document from documents where council = $1 and request = $2";
        let rows = tx.run(Statement::new(sql).text(council.as_str()).text(request.to_string())).await?;
        tx.commit().await?;
        rows.into_iter()
            .next()
            .map(|mut row| row.get("documents.document", mappings::digits::from_str))
            .transpose()
    }
}

/// A text that `like` takes for itself.
fn literal(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}

fn stuck(row: &mut Row) -> Result<Stuck, Error> {
    Ok(Stuck {
        council: row.get("handovers.council", Council::parse)?,
        ticket: row.get("handovers.ticket", Ticket::parse)?,
        request: row.get("handovers.request", RequestId::parse)?,
        handover: row.get("handovers.id", HandoverId::parse)?,
        call: row.get("handovers.call", CallId::parse)?,
        service: row.get("handovers.service", Service::parse)?,
        system: row.get("handovers.system", SystemName::parse)?,
        operation: row.get("attempts.operation", str::parse)?,
        class: row.get("handovers.class", str::parse)?,
        reason: row.maybe_text("handovers.reason")?.unwrap_or_default(),
        attempts: row.number("attempts.number")?,
        parked_at: row.time("attempts.ended_at")?,
    })
}
