//! Events that are not yet on the bus.

use mappings::domain::{Council, EventId, RequestId, Ticket};

use super::SqlLedger;
use super::store::{Row, Statement};
use crate::event::{Event, Kind};
use crate::ledger::{Error, WorkerId};

impl SqlLedger {
    pub(super) async fn lease_outbox(&self, most: usize, worker: WorkerId) -> Result<Vec<Event>, Error> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let mut tx = self.store.begin().await?;
        let statement = Statement::new(
            "with picked as (select id from outbox where worker is null order by at, id limit $1 {skip locked}) \
             update outbox set worker = $2 from picked where outbox.id = picked.id \
             returning outbox.id, outbox.council, outbox.request, outbox.at",
        )
        .int(i64::try_from(most).unwrap_or(i64::MAX))
        .text(worker.0.to_string());
        let rows = tx.run(statement).await?;
        if rows.is_empty() {
            tx.close().await?;
            return Ok(Vec::new());
        }
        let keys = rows
            .into_iter()
            .map(|mut row| {
                Ok((
                    row.text("outbox.id")?,
                    row.text("outbox.council")?,
                    row.text("outbox.request")?,
                    row.int("outbox.at")?,
                ))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let statement = Statement::new(
            "with v as ({rows}) select e.id, e.kind, e.council, e.ticket, e.request, e.at, e.data, e.traceparent \
             from v join events e on e.council = v.council and e.request = v.request and e.at = v.at \
             and e.id = v.id order by e.at, e.id",
        )
        .texts("id", &keys, |(id, ..)| id.as_str())
        .texts("council", &keys, |(_, council, ..)| council.as_str())
        .texts("request", &keys, |(_, _, request, _)| request.as_str())
        .ints("at", &keys, |(.., at)| *at);
        let rows = tx.run(statement).await?;
        let events = rows.into_iter().map(|mut row| event(&mut row)).collect::<Result<Vec<_>, _>>()?;
        match tx.commit().await {
            Ok(()) => Ok(events),
            Err(error) => {
                self.doubts.add_events(worker, events.iter().map(|event| event.id));
                Err(error)
            }
        }
    }

    pub(super) async fn take_published(&self, events: &[EventId]) -> Result<(), Error> {
        self.alone(published(events)).await.map(drop)
    }
}

/// Takes events out of the outbox, which earlier transactions put in.
pub(super) fn published(events: &[EventId]) -> Statement {
    Statement::new("with v as ({rows}) delete from outbox where id in (select id from v)")
        .texts("id", events, EventId::to_string)
        .apart()
}

/// Reads an event: id, kind, council, ticket, request, at, data, traceparent.
pub(super) fn event(row: &mut Row) -> Result<Event, Error> {
    Ok(Event {
        id: row.get("events.id", EventId::parse)?,
        kind: row.get("events.kind", |word| Kind::from_word(word).ok_or("an event's word"))?,
        council: absent_when_empty(row.text("events.council")?)
            .map(|text| Council::parse(&text))
            .transpose()
            .map_err(|error| Error::Stored { column: "events.council", found: error.found })?,
        ticket: row.maybe("events.ticket", Ticket::parse)?,
        request: absent_when_empty(row.text("events.request")?)
            .map(|text| RequestId::parse(&text))
            .transpose()
            .map_err(|error| Error::Stored { column: "events.request", found: error.found })?,
        at: row.time("events.at")?,
        data: row.get("events.data", mappings::digits::from_str)?,
        traceparent: row.maybe_text("events.traceparent")?,
    })
}

fn absent_when_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
