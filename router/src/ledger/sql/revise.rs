//! Revisions of tickets that are known: what follows is decided by the opening, under its lock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use mappings::domain::{
    CallId, Council, HandoverState, Operation, Priority, RequestId, Revised, Revision, Ticket,
};
use serde_json::Value;

use super::accept::{latest, needs};
use super::draft::{Draft, store_changes};
use super::early;
use super::fresh::{self, Fresh};
use super::inbox::{self, Key};
use super::openings::{self, Openings};
use super::refuse;
use super::replay::{self, Version};
use super::store::{Statement, Tx};
use crate::ledger::opening::Effects;
use crate::ledger::{Accepted, Arrival, Change, ClockSetting, Closer, Error};

/// A revision to be applied.
pub(super) struct Revising<'a> {
    pub(super) revised: &'a Revised,
    pub(super) key: Key,
    pub(super) received_at: Timestamp,
    pub(super) traceparent: Option<&'a str>,
    pub(super) sent_with: Option<&'a str>,
    /// Where its reply goes.
    reply: Option<usize>,
}

impl<'a> Revising<'a> {
    /// The revision of an arrival, where it is one.
    pub(super) fn of(arrival: &'a Arrival, reply: Option<usize>) -> Option<Self> {
        let Change::Revised(revised) = &arrival.change else { return None };
        let (received_at, traceparent) = (arrival.received_at, arrival.traceparent.as_deref());
        let sent_with = arrival.sent_with.as_deref();
        Some(Self { revised, key: Key::of(arrival), received_at, traceparent, sent_with, reply })
    }

    fn subject(&self) -> (Council, Ticket) {
        (self.revised.council.clone(), self.revised.ticket.clone())
    }
}

/// What the revisions of a round lead to, beside the openings themselves.
#[derive(Default)]
struct Round {
    /// The requests as they are now, of tickets that were amended.
    amended: BTreeMap<RequestId, Arc<Value>>,
    /// The same, with what they were before.
    versions: Vec<Version>,
    /// The requests as they were when calls were made that may have been sent: those are not sent differently.
    sent_as: Vec<(Council, CallId, Arc<Value>)>,
    taken_out: Vec<(Council, CallId)>,
    fresh: Vec<Fresh>,
    sent: Vec<(Key, RequestId, Value)>,
}

/// Applies revisions in their order; keeps those whose ticket is not known yet.
pub(super) async fn apply(
    tx: &mut Tx,
    mut revisings: Vec<Revising<'_>>,
    closer: &Closer,
    replies: &mut [Accepted],
    draft: &mut Draft<'_>,
) -> Result<(), Error> {
    // What follows a reopening in one batch is about the new opening, which is written first.
    while !revisings.is_empty() {
        revisings = apply_round(tx, revisings, closer, replies, draft).await?;
    }
    openings::add_documents(tx, draft).await
}

async fn apply_round<'a>(
    tx: &mut Tx,
    revisings: Vec<Revising<'a>>,
    closer: &Closer,
    replies: &mut [Accepted],
    draft: &mut Draft<'_>,
) -> Result<Vec<Revising<'a>>, Error> {
    let tickets = revisings.iter().map(|revising| (&revising.revised.council, &revising.revised.ticket));
    let latest = latest(tx, tickets).await?.known;
    let (known, unknown): (Vec<_>, Vec<_>) =
        revisings.into_iter().partition(|revising| latest.contains_key(&revising.subject()));
    unknown.iter().for_each(|revising| reply(replies, revising, Accepted::Early));
    early::keep(tx, &unknown).await?;
    refuse::settle_revisions(tx, &known).await?;

    let of = |revising: &Revising<'_>| latest[&revising.subject()];
    let wanted = known.iter().map(|revising| (of(revising).0, revising.revised.council.clone()));
    let mut openings = Openings::lock(tx, wanted).await?;
    let unsent = unsent(tx, &openings, draft).await?;
    let mut documents = openings.documents(tx).await?;
    let mut round = Round::default();
    let mut reopened = HashSet::new();
    let mut later = Vec::new();
    for revising in known {
        let (request, number, _) = of(&revising);
        let (Some(opening), Some(document)) = (openings.get(request), documents.get_mut(&request)) else {
            continue;
        };
        if reopened.contains(&request) {
            later.push(revising);
            continue;
        }
        let (data, at) = (&revising.revised.data, revising.received_at);
        let mut effects = Effects::default();
        let mut about = request;
        match revising.revised.revision {
            Revision::Amended => {
                let live = opening.live_calls(&unsent);
                if opening.amended(data, &unsent, at, &mut effects) {
                    let was = Arc::clone(document);
                    let council = &opening.council;
                    let sent_as = live.into_iter().map(|call| (council.clone(), call, Arc::clone(&was)));
                    round.sent_as.extend(sent_as);
                    *document = Arc::new(Revised::applied_to(data, &was));
                    opening.needs = needs(document);
                    opening.changed = true;
                    round.versions.push(Version {
                        council: council.clone(),
                        request,
                        before: Value::clone(&was),
                        after: Value::clone(document),
                        at,
                        person: "the customer".to_owned(),
                    });
                    round.amended.insert(request, Arc::clone(document));
                }
            }
            Revision::Withdrawn => opening.withdrawn(data, &unsent, at, &**closer, &mut effects),
            Revision::Reopened => {
                if let Some(mut next) = opening.reopened(data, at, &mut effects) {
                    if let Some(traceparent) = revising.traceparent {
                        next.traceparent = Some(traceparent.to_owned());
                    }
                    about = next.request;
                    reopened.insert(request);
                    let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
                    round.fresh.push(Fresh {
                        number: number + 1,
                        channel: text("channel"),
                        priority: text("priority").unwrap_or_else(|| Priority::Routine.to_string()),
                        raised_at: revising.revised.raised_at.unwrap_or(at),
                        accepted_at: at,
                        document: Arc::clone(document),
                        reopened: Some(data.clone()),
                        sent_with: revising.sent_with.map(str::to_owned),
                        clock: ClockSetting::at_once(at),
                        opening: next,
                    });
                }
            }
        }
        let taken_out = effects.taken_out.drain(..).map(|call| (opening.council.clone(), call));
        round.taken_out.extend(taken_out);
        effects.name_sender(revising.sent_with);
        openings::add(draft, opening, effects);
        reply(replies, &revising, Accepted::New(about));
        round.sent.push((revising.key, about, data.clone()));
    }
    store_changes(tx, &mut openings.all).await?;
    round.write(tx, draft).await?;
    Ok(later)
}

fn reply(replies: &mut [Accepted], revising: &Revising<'_>, accepted: Accepted) {
    if let Some(reply) = revising.reply.and_then(|place| replies.get_mut(place)) {
        *reply = accepted;
    }
}

/// The orders of these openings that were certainly never sent. None of them is sent before this transaction ends.
async fn unsent(tx: &mut Tx, openings: &Openings, draft: &Draft<'_>) -> Result<HashSet<CallId>, Error> {
    let mut orders = Vec::new();
    let mut unsent = HashSet::new();
    for opening in &openings.all {
        for piece in &opening.pieces {
            let ordered = piece.operation == Some(Operation::Create) && piece.state == HandoverState::Due;
            if draft.has(piece.call) {
                unsent.insert(piece.call);
            } else if ordered {
                orders.push((&opening.council, piece.call));
            }
        }
    }
    if orders.is_empty() {
        return Ok(unsent);
    }
    let statement = Statement::new(
        "with v as ({rows}) update due set lease = due.lease from v where due.council = v.council and due.id = v.id \
         and due.worker is null and due.rescued = 0 and due.unsure = 0 and due.phase = 'send' returning due.id",
    )
    .texts("council", &orders, |(council, _)| council.as_str())
    .texts("id", &orders, |(_, call)| call.to_string());
    for mut row in tx.run(statement).await? {
        unsent.insert(row.get("due.id", CallId::parse)?);
    }
    Ok(unsent)
}

impl Round {
    async fn write(self, tx: &mut Tx, draft: &mut Draft<'_>) -> Result<(), Error> {
        for (request, document) in &self.amended {
            draft.with_document(*request, document);
        }
        self.keep_sent_as(tx).await?;
        replay::add_versions(tx, &self.versions).await?;
        take_out(tx, &self.taken_out, draft).await?;
        fresh::add(tx, self.fresh, draft).await?;
        let sent: Vec<_> =
            self.sent.iter().map(|(key, request, data)| (key.clone(), *request, data)).collect();
        inbox::keep_sent(tx, &sent).await
    }

    async fn keep_sent_as(&self, tx: &mut Tx) -> Result<(), Error> {
        let mut seen = HashSet::new();
        let first: Vec<_> = self.sent_as.iter().filter(|(_, call, _)| seen.insert(*call)).collect();
        if first.is_empty() {
            return Ok(());
        }
        let statement = Statement::new(
            "with v as ({rows}) update due set document = v.document from v where due.council = v.council \
             and due.id = v.id and due.document is null",
        )
        .texts("council", &first, |(council, ..)| council.as_str())
        .texts("id", &first, |(_, call, _)| call.to_string())
        .texts("document", &first, |(.., document)| document.to_string());
        tx.run(statement).await.map(drop)
    }
}

/// Takes calls out that are due no more; whoever holds one finds its lease lost.
async fn take_out(tx: &mut Tx, calls: &[(Council, CallId)], draft: &mut Draft<'_>) -> Result<(), Error> {
    let due: BTreeSet<(&Council, CallId)> = calls
        .iter()
        .filter(|(_, call)| !draft.take_out(*call))
        .map(|(council, call)| (council, *call))
        .collect();
    if due.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) delete from due where (council, id) in (select council, id from v)",
    )
    .texts("council", &due, |(council, _)| council.as_str())
    .texts("id", &due, |(_, call)| call.to_string());
    tx.run(statement).await.map(drop)
}

/// The documents of requests, by request.
pub(super) type Documents = HashMap<RequestId, Arc<Value>>;
