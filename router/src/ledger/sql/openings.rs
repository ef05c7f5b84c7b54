//! Loading openings of tickets, locked in the order of their ids.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mappings::domain::{CallId, Council, HandoverId, Job, RequestId, Service, SystemName, Ticket};
use serde_json::Value;

use super::draft::Draft;
use super::store::{Row, Statement, Tx};
use crate::ledger::Error;
use crate::ledger::opening::{Effects, Kept, Opening, Piece};

/// Openings that a transaction has locked.
#[derive(Debug, Default)]
pub(super) struct Openings {
    pub(super) all: Vec<Opening>,
    places: HashMap<RequestId, usize>,
}

impl Openings {
    /// Locks and loads openings with their handovers; no other transaction changes them until this one ends.
    pub(super) async fn lock(
        tx: &mut Tx,
        wanted: impl IntoIterator<Item = (RequestId, Council)>,
    ) -> Result<Self, Error> {
        let wanted: Vec<_> = wanted.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        if wanted.is_empty() {
            return Ok(Self::default());
        }
        let statement = Statement::new(
            "with v as ({rows}) select r.council, r.id, r.ticket, r.service, r.state, r.closed_at, r.closes_at, \
             r.disposition, r.reason, r.say, r.needs, r.traceparent from v join requests r on r.council = v.council and r.id = v.id \
             order by r.id {lock}",
        );
        let mut openings = Self::default();
        for mut row in tx.run(of(statement, &wanted)).await? {
            let opening = opening(&mut row)?;
            openings.places.insert(opening.request, openings.all.len());
            openings.all.push(opening);
        }
        let statement = Statement::new(
            "with v as ({rows}) select h.request, h.id, h.system, h.closure, h.state, h.call, h.job, h.progress, \
             h.disposition, h.reason, h.class, h.say, h.said, h.said_at, h.ended_at from v join handovers h \
             on h.council = v.council and h.request = v.id order by h.id",
        );
        for mut row in tx.run(of(statement, &wanted)).await? {
            let request = row.get("handovers.request", RequestId::parse)?;
            let piece = piece(&mut row)?;
            if let Some(opening) = openings.get(request) {
                opening.pieces.push(piece);
            }
        }
        Ok(openings)
    }

    /// One of them.
    pub(super) fn get(&mut self, request: RequestId) -> Option<&mut Opening> {
        self.places.get(&request).map(|place| &mut self.all[*place])
    }
}

fn of(statement: Statement, wanted: &[(RequestId, Council)]) -> Statement {
    statement
        .texts("council", wanted, |(_, council)| council.as_str())
        .texts("id", wanted, |(request, _)| request.to_string())
}

fn opening(row: &mut Row) -> Result<Opening, Error> {
    Ok(Opening {
        council: row.get("requests.council", Council::parse)?,
        request: row.get("requests.id", RequestId::parse)?,
        ticket: row.get("requests.ticket", Ticket::parse)?,
        service: row.get("requests.service", Service::parse)?,
        state: row.get("requests.state", str::parse)?,
        closed_at: row.maybe_time("requests.closed_at")?,
        closes_at: row.maybe_time("requests.closes_at")?,
        disposition: row.maybe("requests.disposition", str::parse)?,
        reason: row.maybe_text("requests.reason")?,
        say: row.maybe_text("requests.say")?,
        needs: row.maybe_text("requests.needs")?,
        traceparent: row.maybe_text("requests.traceparent")?,
        pieces: Vec::new(),
        changed: false,
    })
}

fn piece(row: &mut Row) -> Result<Piece, Error> {
    Ok(Piece {
        id: row.get("handovers.id", HandoverId::parse)?,
        system: row.get("handovers.system", SystemName::parse)?,
        closure: row.flag("handovers.closure")?,
        state: row.get("handovers.state", str::parse)?,
        call: row.get("handovers.call", CallId::parse)?,
        job: row.maybe("handovers.job", Job::parse)?,
        progress: row.maybe("handovers.progress", str::parse)?,
        disposition: row.maybe("handovers.disposition", str::parse)?,
        reason: row.maybe_text("handovers.reason")?,
        class: row.maybe("handovers.class", str::parse)?,
        say: row.maybe_text("handovers.say")?,
        said: row.maybe_text("handovers.said")?,
        said_at: row.maybe_time("handovers.said_at")?,
        ended_at: row.maybe_time("handovers.ended_at")?,
        kept: Kept::AsItIs,
    })
}

/// Adds what news of an opening led to.
pub(super) fn add(draft: &mut Draft<'_>, opening: &Opening, effects: Effects) {
    for event in effects.events {
        draft.event(event);
    }
    for call in effects.calls {
        draft.call(call, opening, Arc::default());
    }
}

/// Loads the documents of the calls that are leased to the writer.
pub(super) async fn add_documents(tx: &mut Tx, draft: &mut Draft<'_>) -> Result<(), Error> {
    let wanted = draft.without_document();
    if wanted.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) select d.request, d.document from v join documents d \
         on d.council = v.council and d.request = v.id",
    )
    .texts("council", wanted.iter().copied(), |work| work.council.as_str())
    .texts("id", wanted.iter().copied(), |work| work.request.to_string());
    for mut row in tx.run(statement).await? {
        let request = row.get("documents.request", RequestId::parse)?;
        let document: Value = row.get("documents.document", str::parse)?;
        draft.with_document(request, &Arc::new(document));
    }
    Ok(())
}
