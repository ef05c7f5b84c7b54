//! What one transaction is about to leave behind: events, calls, and the places they take in memory.

use std::sync::Arc;

use jiff::Timestamp;
use mappings::domain::{CallId, HandoverState, RequestId};
use serde_json::Value;
use tokio::time::Instant;

use super::store::{Statement, Tx};
use crate::event::Event;
use crate::ledger::opening::{Kept, NewCall, Opening, Piece};
use crate::ledger::{Error, Lease, Lessee, Outbox, Places, Unwritable, Work, Written};

/// A closed ticket's clock is looked at only where the customer may be asked what they think; one that is opened
/// again is looked at as soon as can be.
const CLOCK: &str = "clock_at = case when v.state = 'closed' and requests.feedback = 1 then v.closed_at \
     when v.state = 'closed' then null when requests.state = 'closed' then requests.accepted_at \
     else requests.clock_at end";

/// Collects what a transaction leaves behind. Dropped before it is [kept](Draft::kept), it gives its places back.
pub(super) struct Draft<'a> {
    lessee: &'a Lessee,
    /// The first lease of a call.
    first: Lease,
    begun_at: Instant,
    events: Vec<(Event, bool)>,
    calls: Vec<Call>,
    taken: Vec<Places>,
    /// Places of calls that were taken out again.
    returned: Vec<Places>,
}

struct Call {
    work: Work,
    due_at: Timestamp,
    leased: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(lessee: &'a Lessee, first: Lease) -> Self {
        Self {
            lessee,
            first,
            begun_at: Instant::now(),
            events: Vec::new(),
            calls: Vec::new(),
            taken: Vec::new(),
            returned: Vec::new(),
        }
    }

    /// The worker that writes.
    pub(super) fn lessee(&self) -> &'a Lessee {
        self.lessee
    }

    /// Adds an event, leased to the worker while its relay has places.
    pub(super) fn event(&mut self, event: Event) {
        debug_assert_eq!(event.check(), Ok(()), "{event:?} is not as its schema in docs/schemas promises");
        let leased = match &self.lessee.outbox {
            Outbox::Off => false,
            Outbox::On(places) => self.take(places.clone()),
        };
        self.events.push((event, leased));
    }

    /// Adds a call that is due, leased to the worker while it has room for the system.
    pub(super) fn call(&mut self, call: NewCall, opening: &Opening, document: Arc<Value>) {
        let leased = self.take(self.lessee.room.of(&call.system));
        let work = Work {
            call: call.call,
            handover: call.handover,
            request: opening.request,
            council: opening.council.clone(),
            ticket: opening.ticket.clone(),
            service: opening.service.clone(),
            system: call.system,
            operation: call.operation,
            phase: mappings::domain::Phase::Send,
            lease: self.first,
            attempt: u32::from(leased),
            spent: 0,
            rescued: false,
            begun: false,
            job: call.job,
            carried: None,
            document,
            payload: call.payload,
            traceparent: opening.traceparent.clone(),
            asked_at: self.begun_at,
        };
        self.calls.push(Call { work, due_at: call.due_at, leased });
    }

    /// Whether a call was added by this transaction: nobody has seen it yet.
    pub(super) fn has(&self, call: CallId) -> bool {
        self.calls.iter().any(|own| own.work.call == call)
    }

    /// Takes a call out that was added by this transaction; `false` when it was not.
    pub(super) fn take_out(&mut self, call: CallId) -> bool {
        let Some(place) = self.calls.iter().position(|own| own.work.call == call) else { return false };
        let call = self.calls.remove(place);
        if call.leased {
            self.returned.push(self.lessee.room.of(&call.work.system));
        }
        true
    }

    /// Gives the calls of a request its document, which was not at hand when they were added.
    pub(super) fn with_document(&mut self, request: RequestId, document: &Arc<Value>) {
        for call in self.calls.iter_mut().filter(|call| call.work.request == request) {
            call.work.document = Arc::clone(document);
        }
    }

    /// The requests whose leased calls have yet to be given a document.
    pub(super) fn without_document(&self) -> Vec<&Work> {
        let lacking = |call: &&Call| call.leased && call.work.document.is_null();
        self.calls.iter().filter(lacking).map(|call| &call.work).collect()
    }

    fn take(&mut self, places: Places) -> bool {
        let taken = places.take();
        if taken {
            self.taken.push(places);
        }
        taken
    }

    /// Writes the events and the calls.
    pub(super) async fn write(&self, tx: &mut Tx) -> Result<(), Error> {
        self.write_calls(tx).await?;
        self.write_events(tx).await
    }

    async fn write_calls(&self, tx: &mut Tx) -> Result<(), Error> {
        if self.calls.is_empty() {
            return Ok(());
        }
        let worker = self.lessee.worker.0.to_string();
        let statement = Statement::new(
            "with v as ({rows}) insert into due (council, id, handover, request, system, operation, phase, due_at, \
             lease, worker, attempts, spent, begun, rescued, payload) select council, id, handover, request, system, \
             operation, phase, due_at, lease, worker, attempts, 0, 0, 0, payload from v",
        )
        .texts("council", &self.calls, |call| call.work.council.as_str())
        .texts("id", &self.calls, |call| call.work.call.to_string())
        .texts("handover", &self.calls, |call| call.work.handover.to_string())
        .texts("request", &self.calls, |call| call.work.request.to_string())
        .texts("system", &self.calls, |call| call.work.system.as_str())
        .texts("operation", &self.calls, |call| call.work.operation.as_str())
        .texts("phase", &self.calls, |call| call.work.phase.as_str())
        .ints("due_at", &self.calls, |call| call.due_at.as_millisecond())
        .ints("lease", &self.calls, |call| if call.leased { self.first.0 } else { 0 })
        .texts("worker", &self.calls, |call| call.leased.then_some(worker.as_str()))
        .ints("attempts", &self.calls, |call| i64::from(call.work.attempt))
        .texts("payload", &self.calls, |call| call.work.payload.as_ref().map(Value::to_string));
        tx.write(statement).await
    }

    async fn write_events(&self, tx: &mut Tx) -> Result<(), Error> {
        if self.events.is_empty() {
            return Ok(());
        }
        let events = &self.events;
        let statement = Statement::new(
            "with v as ({rows}) insert into events (council, request, at, id, kind, ticket, data, traceparent) \
             select council, request, at, id, kind, ticket, data, traceparent from v",
        )
        .texts("council", events, |(event, _)| council(event))
        .texts("request", events, |(event, _)| request(event))
        .ints("at", events, |(event, _)| event.at.as_millisecond())
        .texts("id", events, |(event, _)| event.id.to_string())
        .texts("kind", events, |(event, _)| event.kind.word())
        .texts("ticket", events, |(event, _)| event.ticket.as_ref().map(|ticket| ticket.as_str()))
        .texts("data", events, |(event, _)| event.data.to_string())
        .texts("traceparent", events, |(event, _)| event.traceparent.as_deref());
        tx.write(statement).await?;
        if matches!(self.lessee.outbox, Outbox::Off) {
            return Ok(());
        }
        let worker = self.lessee.worker.0.to_string();
        let statement = Statement::new(
            "with v as ({rows}) insert into outbox (id, council, request, at, worker) \
             select id, council, request, at, worker from v",
        )
        .texts("id", events, |(event, _)| event.id.to_string())
        .texts("council", events, |(event, _)| council(event))
        .texts("request", events, |(event, _)| request(event))
        .ints("at", events, |(event, _)| event.at.as_millisecond())
        .texts("worker", events, |(_, leased)| leased.then_some(worker.as_str()));
        tx.write(statement).await
    }

    /// What the worker is left with once the transaction is committed.
    pub(super) fn kept<R>(mut self, replies: Vec<R>) -> Written<R> {
        self.taken.clear();
        self.returned.drain(..).for_each(|places| places.give_back());
        Written {
            replies: replies.into_iter().map(Ok::<R, Unwritable>).collect(),
            events: self.events.drain(..).filter(|(_, leased)| *leased).map(|(event, _)| event).collect(),
            work: self.calls.drain(..).filter(|call| call.leased).map(|call| call.work).collect(),
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        for places in self.taken.drain(..) {
            places.give_back();
        }
    }
}

fn council(event: &Event) -> &str {
    event.council.as_ref().map_or("", |council| council.as_str())
}

fn request(event: &Event) -> String {
    event.request.map_or_else(String::new, |request| request.to_string())
}

/// Stores what was changed of some openings.
pub(super) async fn store_changes(tx: &mut Tx, openings: &mut [Opening]) -> Result<(), Error> {
    let changed: Vec<&Opening> = openings.iter().filter(|opening| opening.changed).collect();
    if !changed.is_empty() {
        let statement = Statement::new(format!(
            "with v as ({{rows}}) update requests set state = v.state, closed_at = v.closed_at, \
             closes_at = v.closes_at, disposition = v.disposition, reason = v.reason, say = v.say, \
             needs = v.needs, withdrawn = v.withdrawn, {CLOCK} from v \
             where requests.council = v.council and requests.id = v.id",
        ))
        .texts("council", &changed, |opening| opening.council.as_str())
        .texts("id", &changed, |opening| opening.request.to_string())
        .texts("state", &changed, |opening| opening.state.as_str())
        .ints("closed_at", &changed, |opening| opening.closed_at.map(Timestamp::as_millisecond))
        .ints("closes_at", &changed, |opening| opening.closes_at.map(Timestamp::as_millisecond))
        .texts("disposition", &changed, |opening| opening.disposition.map(|word| word.as_str()))
        .texts("reason", &changed, |opening| opening.reason.as_deref())
        .texts("say", &changed, |opening| opening.say.as_deref())
        .texts("needs", &changed, |opening| opening.needs.as_deref())
        .ints("withdrawn", &changed, |opening| i64::from(opening.withdrawn));
        tx.write(statement).await?;
    }
    insert_pieces(tx, openings).await?;
    update_pieces(tx, openings).await?;
    store_queues(tx, openings).await?;
    for opening in openings {
        opening.changed = false;
        for piece in &mut opening.pieces {
            piece.kept = Kept::AsItIs;
            piece.gone.clear();
            piece.queue.iter_mut().for_each(|queued| queued.kept = true);
        }
    }
    Ok(())
}

type Row<'a> = (&'a Opening, &'a Piece);

fn pieces<'a>(openings: &'a [Opening], kept: Kept) -> Vec<Row<'a>> {
    let all = openings.iter().flat_map(|opening| opening.pieces.iter().map(move |piece| (opening, piece)));
    all.filter(|(_, piece)| piece.kept == kept).collect()
}

async fn insert_pieces(tx: &mut Tx, openings: &[Opening]) -> Result<(), Error> {
    let new = pieces(openings, Kept::New);
    if new.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) insert into handovers (council, request, id, ticket, service, system, closure, state, \
         call, operation, asked_at) select council, request, id, ticket, service, system, closure, state, call, \
         operation, 0 from v",
    )
    .texts("council", &new, |(opening, _)| opening.council.as_str())
    .texts("request", &new, |(opening, _)| opening.request.to_string())
    .texts("id", &new, |(_, piece)| piece.id.to_string())
    .texts("ticket", &new, |(opening, _)| opening.ticket.as_str())
    .texts("service", &new, |(opening, _)| opening.service.as_str())
    .texts("system", &new, |(_, piece)| piece.system.as_str())
    .ints("closure", &new, |(_, piece)| i64::from(piece.closure))
    .texts("state", &new, |_| HandoverState::Due.as_str())
    .texts("call", &new, |(_, piece)| piece.call.to_string())
    .texts("operation", &new, |(_, piece)| piece.operation.map(|word| word.as_str()));
    tx.write(statement).await
}

async fn update_pieces(tx: &mut Tx, openings: &[Opening]) -> Result<(), Error> {
    let changed = pieces(openings, Kept::Changed);
    if changed.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) update handovers set state = v.state, job = v.job, former_job = v.former_job, carried = v.carried, progress = v.progress, \
         disposition = v.disposition, reason = v.reason, class = v.class, say = v.say, said = v.said, \
         said_at = v.said_at, latest_at = v.latest_at, doubt = v.doubt, ended_at = v.ended_at, call = v.call, operation = v.operation, payload = v.payload, \
         waiting = v.waiting from v where handovers.council = v.council \
         and handovers.request = v.request and handovers.id = v.id",
    )
    .texts("council", &changed, |(opening, _)| opening.council.as_str())
    .texts("request", &changed, |(opening, _)| opening.request.to_string())
    .texts("id", &changed, |(_, piece)| piece.id.to_string())
    .texts("state", &changed, |(_, piece)| piece.state.as_str())
    .texts("job", &changed, |(_, piece)| piece.job.as_ref().map(|job| job.as_str()))
    .texts("former_job", &changed, |(_, piece)| piece.former_job.as_ref().map(|job| job.as_str()))
    .texts("carried", &changed, |(_, piece)| piece.carried.as_ref().map(Value::to_string))
    .texts("progress", &changed, |(_, piece)| piece.progress.map(|word| word.as_str()))
    .texts("disposition", &changed, |(_, piece)| piece.disposition.map(|word| word.as_str()))
    .texts("reason", &changed, |(_, piece)| piece.reason.as_deref())
    .texts("class", &changed, |(_, piece)| piece.class.map(|word| word.as_str()))
    .texts("say", &changed, |(_, piece)| piece.say.as_deref())
    .texts("said", &changed, |(_, piece)| piece.said.as_deref())
    .ints("said_at", &changed, |(_, piece)| piece.said_at.map(Timestamp::as_millisecond))
    .ints("latest_at", &changed, |(_, piece)| piece.latest_at.map(Timestamp::as_millisecond))
    .texts("doubt", &changed, |(_, piece)| piece.doubt.as_deref())
    .ints("ended_at", &changed, |(_, piece)| piece.ended_at.map(Timestamp::as_millisecond))
    .texts("call", &changed, |(_, piece)| piece.call.to_string())
    .texts("operation", &changed, |(_, piece)| piece.operation.map(|word| word.as_str()))
    .texts("payload", &changed, |(_, piece)| piece.payload.as_ref().map(Value::to_string))
    .ints("waiting", &changed, |(_, piece)| i64::try_from(piece.queue.len()).unwrap_or(i64::MAX));
    tx.write(statement).await
}

/// Stores which calls wait, and takes out those that do no more.
async fn store_queues(tx: &mut Tx, openings: &[Opening]) -> Result<(), Error> {
    let all = || openings.iter().flat_map(|opening| opening.pieces.iter().map(move |piece| (opening, piece)));
    let gone: Vec<_> =
        all().flat_map(|(of, piece)| piece.gone.iter().map(move |number| (of, piece, *number))).collect();
    if !gone.is_empty() {
        let statement = Statement::new(
            "with v as ({rows}) delete from waiting_calls where (council, request, handover, number) in \
             (select council, request, handover, number from v)",
        )
        .texts("council", &gone, |(opening, ..)| opening.council.as_str())
        .texts("request", &gone, |(opening, ..)| opening.request.to_string())
        .texts("handover", &gone, |(_, piece, _)| piece.id.to_string())
        .ints("number", &gone, |(.., number)| *number);
        tx.write(statement).await?;
    }
    let queued = all().flat_map(|(of, piece)| piece.queue.iter().map(move |queued| (of, piece, queued)));
    let new: Vec<_> = queued.filter(|(.., queued)| !queued.kept).collect();
    if new.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) insert into waiting_calls (council, request, handover, number, call, operation, payload) \
         select council, request, handover, number, call, operation, payload from v",
    )
    .texts("council", &new, |(opening, ..)| opening.council.as_str())
    .texts("request", &new, |(opening, ..)| opening.request.to_string())
    .texts("handover", &new, |(_, piece, _)| piece.id.to_string())
    .ints("number", &new, |(.., queued)| queued.number)
    .texts("call", &new, |(.., queued)| queued.call.to_string())
    .texts("operation", &new, |(.., queued)| queued.operation.as_str())
    .texts("payload", &new, |(.., queued)| queued.payload.to_string());
    tx.write(statement).await
}
