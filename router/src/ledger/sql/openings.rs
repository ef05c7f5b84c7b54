//! Loading openings of tickets, locked in the order of their ids.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use mappings::domain::{CallId, Council, HandoverId, Job, RequestId, Service, SystemName, Ticket};
use serde_json::Value;

use super::draft::Draft;
use super::revise::Documents;
use super::store::{Row, Statement, Tx};
use crate::ledger::Error;
use crate::ledger::opening::{Effects, Kept, Opening, Piece, Queued};

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
            "with v as ({rows}) select r.council, r.id, r.ticket, r.service, r.state, r.raised_at, r.accepted_at, r.closed_at, r.closes_at, \
             r.disposition, r.reason, r.say, r.needs, r.traceparent, r.withdrawn \
             from v join requests r on r.council = v.council and r.id = v.id \
             order by r.id {lock}",
        );
        let mut openings = Self::default();
        for mut row in tx.run(of(statement, &wanted)).await? {
            let opening = opening(&mut row)?;
            openings.places.insert(opening.request, openings.all.len());
            openings.all.push(opening);
        }
        let statement = Statement::new(
            "with v as ({rows}) select h.request, h.id, h.system, h.closure, h.state, h.call, h.job, h.former_job, \
             h.carried, h.progress, h.disposition, h.reason, h.class, h.say, h.said, h.said_at, h.latest_at, h.doubt, h.ended_at, \
             h.operation, h.payload, h.waiting from v join handovers h on h.council = v.council and h.request = v.id order by h.id",
        );
        let mut waiting = BTreeMap::new();
        for mut row in tx.run(of(statement, &wanted)).await? {
            let request = row.get("handovers.request", RequestId::parse)?;
            let piece = piece(&mut row)?;
            if row.int("handovers.waiting")? > 0 {
                waiting.extend(wanted.iter().filter(|(wanted, _)| *wanted == request).cloned());
            }
            if let Some(opening) = openings.get(request) {
                opening.pieces.push(piece);
            }
        }
        if !waiting.is_empty() {
            openings.load_queues(tx, &waiting.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(openings)
    }

    /// Loads what waits for the call before it, of openings that have such.
    async fn load_queues(&mut self, tx: &mut Tx, wanted: &[(RequestId, Council)]) -> Result<(), Error> {
        let statement = Statement::new(
            "with v as ({rows}) select w.request, w.handover, w.number, w.call, w.operation, w.payload from v \
             join waiting_calls w on w.council = v.council and w.request = v.id order by w.number",
        );
        for mut row in tx.run(of(statement, wanted)).await? {
            let request = row.get("waiting_calls.request", RequestId::parse)?;
            let handover = row.get("waiting_calls.handover", HandoverId::parse)?;
            let queued = Queued {
                number: row.int("waiting_calls.number")?,
                call: row.get("waiting_calls.call", CallId::parse)?,
                operation: row.get("waiting_calls.operation", str::parse)?,
                payload: row.get("waiting_calls.payload", mappings::digits::from_str)?,
                kept: true,
            };
            let pieces = self.get(request).map(|opening| &mut opening.pieces);
            if let Some(piece) = pieces.and_then(|all| all.iter_mut().find(|piece| piece.id == handover)) {
                piece.queue.push(queued);
            }
        }
        Ok(())
    }

    /// The requests of all of them, as they are now.
    pub(super) async fn documents(&self, tx: &mut Tx) -> Result<Documents, Error> {
        let mut documents = Documents::new();
        if self.all.is_empty() {
            return Ok(documents);
        }
        let statement = Statement::new(
            "with v as ({rows}) select d.request, d.document from v join documents d \
             on d.council = v.council and d.request = v.id",
        )
        .texts("council", &self.all, |opening| opening.council.as_str())
        .texts("id", &self.all, |opening| opening.request.to_string());
        for mut row in tx.run(statement).await? {
            let request = row.get("documents.request", RequestId::parse)?;
            documents.insert(request, Arc::new(row.get("documents.document", mappings::digits::from_str)?));
        }
        Ok(documents)
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
        asked_at: row.time("requests.raised_at")?.min(row.time("requests.accepted_at")?),
        closed_at: row.maybe_time("requests.closed_at")?,
        closes_at: row.maybe_time("requests.closes_at")?,
        disposition: row.maybe("requests.disposition", str::parse)?,
        reason: row.maybe_text("requests.reason")?,
        say: row.maybe_text("requests.say")?,
        needs: row.maybe_text("requests.needs")?,
        traceparent: row.maybe_text("requests.traceparent")?,
        withdrawn: row.flag("requests.withdrawn")?,
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
        former_job: row.maybe("handovers.former_job", Job::parse)?,
        carried: row.maybe("handovers.carried", mappings::digits::from_str)?,
        progress: row.maybe("handovers.progress", str::parse)?,
        disposition: row.maybe("handovers.disposition", str::parse)?,
        reason: row.maybe_text("handovers.reason")?,
        class: row.maybe("handovers.class", str::parse)?,
        say: row.maybe_text("handovers.say")?,
        said: row.maybe_text("handovers.said")?,
        said_at: row.maybe_time("handovers.said_at")?,
        latest_at: row.maybe_time("handovers.latest_at")?,
        doubt: row.maybe_text("handovers.doubt")?,
        ended_at: row.maybe_time("handovers.ended_at")?,
        operation: row.maybe("handovers.operation", str::parse)?,
        payload: row.maybe("handovers.payload", mappings::digits::from_str)?,
        queue: Vec::new(),
        gone: BTreeSet::new(),
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
        let document: Value = row.get("documents.document", mappings::digits::from_str)?;
        draft.with_document(request, &Arc::new(document));
    }
    Ok(())
}
