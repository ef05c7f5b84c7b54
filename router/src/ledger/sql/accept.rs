//! Deliveries that were understood: requests that are new, and changes to those that are known.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use mappings::domain::{Council, Operation, Request, RequestId, RequestState, SystemName, Ticket};
use serde_json::{Value, json};
use uuid::Uuid;

use super::draft::{Draft, store_changes};
use super::inbox::{self, Key};
use super::openings::{self, Openings};
use super::store::{Statement, Tx};
use super::transition::Transition;
use crate::event::Kind;
use crate::ledger::opening::{Effects, NewCall, Opening, Piece};
use crate::ledger::{Accepted, Arrival, Change, Error};

/// Accepts arrivals.
pub(super) struct Accept;

/// A request that is new, by its place in the batch.
struct New<'a> {
    place: usize,
    arrival: &'a Arrival,
    request: &'a Request,
    systems: &'a [SystemName],
    number: i64,
    opening: Opening,
}

/// A change to a ticket, by its place in the batch.
struct Noted<'a> {
    place: usize,
    arrival: &'a Arrival,
    council: &'a Council,
    ticket: &'a Ticket,
    word: &'static str,
    data: &'a Value,
}

/// The openings of tickets that the ledger knows, the latest of each.
type Latest = HashMap<(Council, Ticket), (RequestId, i64, RequestState)>;

#[async_trait]
impl Transition for Accept {
    type Item = Arrival;
    type Reply = Accepted;

    async fn write(
        &self,
        tx: &mut Tx,
        batch: &[Arrival],
        draft: &mut Draft<'_>,
    ) -> Result<Vec<Accepted>, Error> {
        let mut replies = vec![Accepted::DuplicateDelivery; batch.len()];
        let submitted = |arrival: &Arrival| matches!(arrival.change, Change::Submitted { .. });
        let first = inbox::add(tx, batch, submitted).await?;
        let mut latest = latest(tx, first.iter().map(|place| subject(&batch[*place]))).await?;
        let mut new = Vec::new();
        let mut repeated = Vec::new();
        for place in first {
            let arrival = &batch[place];
            let Change::Submitted { request, systems } = &arrival.change else { continue };
            let subject = (request.council.clone(), request.ticket.clone());
            let number = match latest.get(&subject) {
                Some((open, _, state)) if *state != RequestState::Closed => {
                    replies[place] = Accepted::DuplicateTicket(*open);
                    repeated.push((Key::of(arrival), *open));
                    continue;
                }
                Some((_, number, _)) => number + 1,
                None => 1,
            };
            let opening = opening(arrival, request, systems);
            latest.insert(subject, (opening.request, number, opening.state));
            replies[place] = Accepted::New(opening.request);
            new.push(New { place, arrival, request, systems, number, opening });
        }
        inbox::mark_repeated(tx, &repeated).await?;
        add_requests(tx, new, draft).await?;
        note(tx, batch, &mut replies, draft).await?;
        Ok(replies)
    }
}

/// The ticket an arrival is about.
pub(super) fn subject(arrival: &Arrival) -> (&Council, &Ticket) {
    match &arrival.change {
        Change::Submitted { request, .. } => (&request.council, &request.ticket),
        Change::Noted { council, ticket, .. } => (council, ticket),
    }
}

async fn latest<'a>(
    tx: &mut Tx,
    tickets: impl Iterator<Item = (&'a Council, &'a Ticket)>,
) -> Result<Latest, Error> {
    let tickets: Vec<_> = tickets.collect::<BTreeSet<_>>().into_iter().collect();
    let mut latest = Latest::new();
    if tickets.is_empty() {
        return Ok(latest);
    }
    let statement = Statement::new(
        "with v as ({rows}) select r.council, r.ticket, r.id, r.opening, r.state from v join requests r \
         on r.ticket = v.ticket and r.council = v.council order by r.opening",
    )
    .texts("council", &tickets, |(council, _)| council.as_str())
    .texts("ticket", &tickets, |(_, ticket)| ticket.as_str());
    for mut row in tx.run(statement).await? {
        let council = row.get("requests.council", Council::parse)?;
        let ticket = row.get("requests.ticket", Ticket::parse)?;
        let opening = (
            row.get("requests.id", RequestId::parse)?,
            row.int("requests.opening")?,
            row.get("requests.state", str::parse)?,
        );
        latest.insert((council, ticket), opening);
    }
    Ok(latest)
}

fn opening(arrival: &Arrival, request: &Request, systems: &[SystemName]) -> Opening {
    Opening {
        council: request.council.clone(),
        request: RequestId(Uuid::now_v7()),
        ticket: request.ticket.clone(),
        service: request.service.clone(),
        state: RequestState::Open,
        closed_at: None,
        closes_at: None,
        needs: needs(request),
        disposition: None,
        reason: None,
        say: None,
        traceparent: arrival.traceparent.clone(),
        pieces: systems.iter().map(|system| Piece::due(system.clone(), false)).collect(),
        changed: false,
    }
}

/// The formats that the customer needs, as JSON.
fn needs(request: &Request) -> Option<String> {
    let needs = request.document.pointer("/customer/needs")?.as_array()?;
    (!needs.is_empty()).then(|| json!(needs).to_string())
}

/// Writes requests, their documents, handovers, first calls and events.
async fn add_requests(tx: &mut Tx, mut new: Vec<New<'_>>, draft: &mut Draft<'_>) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    // All batches open tickets in one order, so that two that open the same do not wait for each other.
    new.sort_by(|one, other| {
        (&one.request.council, &one.request.ticket).cmp(&(&other.request.council, &other.request.ticket))
    });
    let statement = Statement::new(
        "with v as ({rows}) insert into requests (council, id, ticket, opening, service, channel, priority, state, \
         raised_at, accepted_at, needs, traceparent) select council, id, ticket, opening, service, channel, \
         priority, 'open', raised_at, accepted_at, needs, traceparent from v",
    )
    .texts("council", &new, |new| new.request.council.as_str())
    .texts("id", &new, |new| new.opening.request.to_string())
    .texts("ticket", &new, |new| new.request.ticket.as_str())
    .ints("opening", &new, |new| new.number)
    .texts("service", &new, |new| new.request.service.as_str())
    .texts("channel", &new, |new| new.request.channel.as_deref())
    .texts("priority", &new, |new| new.request.priority.as_str())
    .ints("raised_at", &new, |new| new.request.raised_at.as_millisecond())
    .ints("accepted_at", &new, |new| new.arrival.received_at.as_millisecond())
    .texts("needs", &new, |new| new.opening.needs.as_deref())
    .texts("traceparent", &new, |new| new.arrival.traceparent.as_deref());
    tx.run(statement).await?;
    let statement = Statement::new(
        "with v as ({rows}) insert into documents (council, request, document) \
         select council, request, document from v",
    )
    .texts("council", &new, |new| new.request.council.as_str())
    .texts("request", &new, |new| new.opening.request.to_string())
    .texts("document", &new, |new| new.request.document.to_string());
    tx.run(statement).await?;
    new.sort_by_key(|new| new.place);
    let mut openings = Vec::with_capacity(new.len());
    for New { arrival, request, systems, opening, .. } in new {
        let names: Vec<&str> = systems.iter().map(SystemName::as_str).collect();
        let data = json!({"service": request.service.as_str(), "systems": names});
        draft.event(opening.event(Kind::Accepted, arrival.received_at, data));
        for piece in &opening.pieces {
            let call = NewCall {
                call: piece.call,
                handover: piece.id,
                system: piece.system.clone(),
                operation: Operation::Create,
                payload: None,
                due_at: arrival.received_at,
            };
            draft.call(call, &opening, Arc::clone(&request.document));
        }
        openings.push(opening);
    }
    store_changes(tx, &mut openings).await
}

/// Puts tickets that are known aside for a person, for what came after them.
async fn note(
    tx: &mut Tx,
    batch: &[Arrival],
    replies: &mut [Accepted],
    draft: &mut Draft<'_>,
) -> Result<(), Error> {
    let noted: Vec<Noted<'_>> = batch
        .iter()
        .enumerate()
        .filter_map(|(place, arrival)| match &arrival.change {
            Change::Submitted { .. } => None,
            Change::Noted { council, ticket, word, data } => {
                Some(Noted { place, arrival, council, ticket, word, data })
            }
        })
        .collect();
    if noted.is_empty() {
        return Ok(());
    }
    let latest = latest(tx, noted.iter().map(|noted| (noted.council, noted.ticket))).await?;
    let of = |noted: &Noted<'_>| latest.get(&(noted.council.clone(), noted.ticket.clone()));
    let known = |arrival: &Arrival| {
        let (council, ticket) = subject(arrival);
        matches!(arrival.change, Change::Noted { .. })
            && latest.contains_key(&(council.clone(), ticket.clone()))
    };
    let first = inbox::add(tx, batch, known).await?;
    let wanted = noted.iter().filter(|noted| first.contains(&noted.place));
    let wanted = wanted.filter_map(|noted| of(noted).map(|found| (found.0, noted.council.clone())));
    let mut openings = Openings::lock(tx, wanted).await?;
    let mut sent = Vec::new();
    for noted in &noted {
        let Some((request, ..)) = of(noted) else {
            replies[noted.place] = Accepted::NoSuchTicket;
            continue;
        };
        if !first.contains(&noted.place) {
            continue;
        }
        let Some(opening) = openings.get(*request) else { continue };
        let mut effects = Effects::default();
        opening.noted(noted.word, noted.arrival.received_at, &mut effects);
        openings::add(draft, opening, effects);
        replies[noted.place] = Accepted::New(*request);
        sent.push((Key::of(noted.arrival), *request, noted.data));
    }
    inbox::keep_sent(tx, &sent).await?;
    store_changes(tx, &mut openings.all).await
}
