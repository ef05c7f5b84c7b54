//! Deliveries that were understood: requests that are new, and revisions of those that are known.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use mappings::domain::{Council, Request, RequestId, RequestState, SystemName, Ticket};
use serde_json::{Value, json};
use uuid::Uuid;

use super::draft::Draft;
use super::early;
use super::fresh::{self, Fresh};
use super::inbox::{self, Key};
use super::revise::{self, Revising};
use super::store::{Statement, Tx};
use super::transition::Transition;
use crate::ledger::opening::{Opening, Piece};
use crate::ledger::{Accepted, Arrival, Change, ClockSetting, Closer, Error};

/// Accepts arrivals.
pub(super) struct Accept<'a> {
    pub(super) closer: &'a Closer,
}

/// What the ledger has on some tickets.
#[derive(Default)]
pub(super) struct Latest {
    /// The latest opening of each that is known.
    pub(super) known: HashMap<(Council, Ticket), (RequestId, i64, RequestState)>,
    /// Those of which a revision came before the request.
    pub(super) early: HashSet<(Council, Ticket)>,
}

#[async_trait]
impl Transition for Accept<'_> {
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
        let inbox::Known { new: first, in_use } = inbox::add(tx, batch, submitted).await?;
        in_use.into_iter().for_each(|place| replies[place] = Accepted::IdInUse);
        let mut latest = latest(tx, first.iter().map(|place| batch[*place].subject())).await?;
        let mut new = Vec::new();
        let mut repeated = Vec::new();
        let mut overtaken = BTreeSet::new();
        for place in first {
            let arrival = &batch[place];
            let Change::Submitted { request, systems, clock } = &arrival.change else { continue };
            let subject = (request.council.clone(), request.ticket.clone());
            let number = match latest.known.get(&subject) {
                Some((open, _, state)) if *state != RequestState::Closed => {
                    replies[place] = Accepted::DuplicateTicket(*open);
                    repeated.push((Key::of(arrival), *open));
                    continue;
                }
                Some((_, number, _)) => number + 1,
                None => 1,
            };
            let opening = opening(arrival, request, systems);
            // The clock of a ticket that is opened again goes on from the first call, which only a look tells.
            let again = || ClockSetting::at_once(arrival.received_at);
            let clock = if number == 1 { clock.clone() } else { again() };
            if latest.early.contains(&subject) {
                overtaken.insert(subject.clone());
            }
            latest.known.insert(subject, (opening.request, number, opening.state));
            replies[place] = Accepted::New(opening.request);
            new.push(Fresh {
                opening,
                number,
                channel: request.channel.clone(),
                priority: request.priority.as_str().to_owned(),
                raised_at: request.raised_at,
                accepted_at: arrival.received_at,
                document: Arc::clone(&request.document),
                reopened: None,
                sent_with: arrival.sent_with.clone(),
                clock,
            });
        }
        inbox::mark_repeated(tx, &repeated).await?;
        fresh::add(tx, new, draft).await?;
        self.revise(tx, batch, overtaken, &mut replies, draft).await?;
        Ok(replies)
    }
}

impl Accept<'_> {
    /// Applies the revisions of a batch, after those that came before the requests of the batch did.
    async fn revise(
        &self,
        tx: &mut Tx,
        batch: &[Arrival],
        overtaken: BTreeSet<(Council, Ticket)>,
        replies: &mut [Accepted],
        draft: &mut Draft<'_>,
    ) -> Result<(), Error> {
        let revised = |arrival: &Arrival| matches!(arrival.change, Change::Revised(_));
        let inbox::Known { new: first, in_use } = inbox::add(tx, batch, revised).await?;
        in_use.into_iter().for_each(|place| replies[place] = Accepted::IdInUse);
        let kept = early::take(tx, &overtaken).await?;
        let mut revisings: Vec<Revising<'_>> =
            kept.iter().filter_map(|arrival| Revising::of(arrival, None)).collect();
        revisings.extend(first.into_iter().filter_map(|place| Revising::of(&batch[place], Some(place))));
        revise::apply(tx, revisings, self.closer, replies, draft).await
    }
}

/// What the ledger has on some tickets.
pub(super) async fn latest<'a>(
    tx: &mut Tx,
    tickets: impl Iterator<Item = (&'a Council, &'a Ticket)>,
) -> Result<Latest, Error> {
    let tickets: Vec<_> = tickets.collect::<BTreeSet<_>>().into_iter().collect();
    let mut latest = Latest::default();
    if tickets.is_empty() {
        return Ok(latest);
    }
    let statement = Statement::new(
        "with v as ({rows}) select r.council, r.ticket, r.opening, r.id, r.state from v join requests r \
         on r.ticket = v.ticket and r.council = v.council \
         union all select e.council, e.ticket, 0, null, null from v join early_changes e \
         on e.ticket = v.ticket and e.council = v.council order by 3",
    )
    .texts("council", &tickets, |(council, _)| council.as_str())
    .texts("ticket", &tickets, |(_, ticket)| ticket.as_str());
    for mut row in tx.run(statement).await? {
        let council = row.get("requests.council", Council::parse)?;
        let ticket = row.get("requests.ticket", Ticket::parse)?;
        let number = row.int("requests.opening")?;
        match row.maybe("requests.id", RequestId::parse)? {
            Some(id) => {
                let state = row.get("requests.state", str::parse)?;
                latest.known.insert((council, ticket), (id, number, state));
            }
            None => drop(latest.early.insert((council, ticket))),
        }
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
        asked_at: request.raised_at.min(arrival.received_at),
        closed_at: None,
        closes_at: None,
        needs: needs(&request.document),
        disposition: None,
        reason: None,
        say: None,
        traceparent: arrival.traceparent.clone(),
        withdrawn: false,
        pieces: systems.iter().map(|system| Piece::due(system.clone(), false)).collect(),
        changed: false,
    }
}

/// The formats that the customer needs, as JSON.
pub(super) fn needs(document: &Value) -> Option<String> {
    let needs = document.pointer("/customer/needs")?.as_array()?;
    (!needs.is_empty()).then(|| json!(needs).to_string())
}
