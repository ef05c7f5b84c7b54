//! What people decide about what is parked or held, each decision on the state in which it was seen.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{CallId, Council, Operation, ParkClass, Phase, RequestId};
use serde_json::Value;

use super::draft::{Draft, store_changes};
use super::hear::{self, Heard};
use super::openings::{self, Openings};
use super::store::{Statement, Tx};
use super::transition::Transition;
use super::waiting::{Awaited, waiting};
use crate::closing::{Decision, Standing};
use crate::ledger::opening::{Effects, Opening, edit};
use crate::ledger::{Choice, Closer, Error, Reader, Resolution, Resolved, Seen};

/// Writes decisions.
pub(super) struct Resolve<'a> {
    pub(super) closer: &'a Closer,
    pub(super) reader: &'a Reader,
}

/// The last attempt at a call.
struct Last {
    number: u32,
    operation: Operation,
    phase: Phase,
    outcome: String,
    /// How many attempts are on record: fewer than were counted where a worker died with one.
    recorded: u32,
}

/// A call that goes on where it stopped.
struct Again {
    council: Council,
    call: CallId,
    handover: String,
    request: RequestId,
    system: String,
    operation: Operation,
    phase: Phase,
    at: Timestamp,
    attempts: u32,
    payload: Option<Value>,
}

/// A document that was put right, or changed by the customer.
pub(super) struct Version {
    pub(super) council: Council,
    pub(super) request: RequestId,
    pub(super) before: Value,
    pub(super) after: Value,
    pub(super) at: Timestamp,
    /// Who did so.
    pub(super) person: String,
}

/// What a batch of decisions adds.
#[derive(Default)]
struct Made {
    again: Vec<Again>,
    versions: Vec<Version>,
}

#[async_trait]
impl Transition for Resolve<'_> {
    type Item = Resolution;
    type Reply = Resolved;

    async fn write(
        &self,
        tx: &mut Tx,
        batch: &[Resolution],
        draft: &mut Draft<'_>,
    ) -> Result<Vec<Resolved>, Error> {
        tx.gates(&systems(batch)).await?;
        let wanted = batch.iter().map(|resolution| (resolution.request, resolution.council.clone()));
        let mut openings = Openings::lock(tx, wanted).await?;
        let last = last_attempts(tx, &openings.all).await?;
        let mut documents = documents(tx, batch).await?;
        let mut made = Made::default();
        let mut done = Vec::new();
        let mut replies = Vec::with_capacity(batch.len());
        for resolution in batch {
            let Some(opening) = openings.get(resolution.request) else {
                replies.push(Resolved::Refused("the ledger has no such ticket".to_owned()));
                continue;
            };
            let mut effects = Effects::default();
            let document = documents.get_mut(&resolution.request);
            let closer = &**self.closer;
            let resolved = apply(opening, resolution, &last, document, closer, &mut made, &mut effects);
            replies.push(match resolved {
                Ok(()) => {
                    openings::add(draft, opening, effects);
                    done.push(resolution);
                    Resolved::Written
                }
                Err(reason) => Resolved::Refused(reason),
            });
        }
        add_versions(tx, &made.versions).await?;
        add_calls(tx, &made.again).await?;
        store_changes(tx, &mut openings.all).await?;
        self.hear_waiting(tx, &done, &mut openings, draft).await?;
        openings::add_documents(tx, draft).await?;
        Ok(replies)
    }
}

impl Resolve<'_> {
    /// Applies the completions that waited for a job of which only a person knew.
    async fn hear_waiting(
        &self,
        tx: &mut Tx,
        done: &[&Resolution],
        openings: &mut Openings,
        draft: &mut Draft<'_>,
    ) -> Result<(), Error> {
        let mut awaited = Vec::new();
        for resolution in done {
            let Choice::WasDone { seen, job } = &resolution.choice else { continue };
            if let Some(opening) = openings.get(resolution.request) {
                awaited.push((seen, opening.ticket.clone(), job));
            }
        }
        let Some(latest) = done.iter().map(|resolution| resolution.at).max() else { return Ok(()) };
        if awaited.is_empty() {
            return Ok(());
        }
        let awaited: Vec<Awaited<'_>> = awaited
            .iter()
            .map(|(seen, ticket, job)| Awaited { system: &seen.system, ticket, job: job.as_ref() })
            .collect();
        let waiting = waiting(tx, &awaited).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let news = Heard { completions: &waiting, kept: true, not_before: Some(latest) };
        hear::hear(tx, &news, self.closer, self.reader, draft).await.map(drop)
    }
}

/// The systems whose job references these decisions make known.
fn systems(batch: &[Resolution]) -> Vec<Arc<str>> {
    let mut systems = BTreeSet::new();
    for resolution in batch {
        if let Choice::WasDone { seen, job: Some(_) } = &resolution.choice {
            systems.insert(seen.system.as_str());
        }
    }
    systems.into_iter().map(Arc::from).collect()
}

/// Applies one decision; the reason where it does not fit, and then nothing is changed.
fn apply(
    opening: &mut Opening,
    resolution: &Resolution,
    last: &HashMap<CallId, Last>,
    document: Option<&mut Value>,
    closer: &dyn Fn(&Standing) -> Decision,
    made: &mut Made,
    effects: &mut Effects,
) -> Result<(), String> {
    let Resolution { person, at, choice, .. } = resolution;
    match choice {
        Choice::WasDone { seen, job } => {
            as_seen(opening, seen, last)?;
            opening.was_done(seen.handover, job.clone(), person, *at, closer, effects)
        }
        Choice::SendAgain { seen } => {
            let last = as_seen(opening, seen, last)?;
            let uncertain = class(opening, seen) == Some(ParkClass::Uncertain);
            let phase = if uncertain { Phase::Send } else { safe_phase(last) };
            let released = opening.released(seen.handover, "send_again", &[], person, *at, effects)?;
            made.again.extend(again(opening, seen, last, phase, *at, released.payload));
            Ok(())
        }
        Choice::Replay { seen, edit: patch } => {
            let last = as_seen(opening, seen, last)?;
            if class(opening, seen) == Some(ParkClass::Uncertain) {
                return Err("it may have been done: whether it was must be said".to_owned());
            }
            let edited = match (patch, &document) {
                (None, _) => None,
                (Some(_), None) => return Err("its document is gone".to_owned()),
                (Some(patch), Some(document)) => Some(edit(document, patch)?),
            };
            let changes = edited.as_ref().map_or(&[][..], |edited| &edited.changes);
            let released = opening.released(seen.handover, "replay", changes, person, *at, effects)?;
            made.again.extend(again(opening, seen, last, safe_phase(last), *at, released.payload));
            if let (Some(edited), Some(document)) = (edited, document)
                && !edited.changes.is_empty()
            {
                made.versions.push(Version {
                    council: opening.council.clone(),
                    request: opening.request,
                    before: std::mem::replace(document, edited.document.clone()),
                    after: edited.document,
                    at: *at,
                    person: person.name.clone(),
                });
            }
            Ok(())
        }
        Choice::Close { seen, closure } => opening.closed_by(seen, closure, person, *at, effects),
        Choice::KeepOpen { seen } => opening.kept_open(seen, person, *at, effects),
        Choice::StatusMeans { seen, system, said, meaning } => {
            let word = (seen, system, said.as_str());
            opening.status_means(word, meaning.clone(), person, *at, closer, effects)
        }
    }
}

fn class(opening: &Opening, seen: &Seen) -> Option<ParkClass> {
    opening.pieces.iter().find(|piece| piece.id == seen.handover).and_then(|piece| piece.class)
}

/// The last attempt at a parked call, where it is the one that was seen.
fn as_seen<'a>(opening: &Opening, seen: &Seen, last: &'a HashMap<CallId, Last>) -> Result<&'a Last, String> {
    let piece = opening.pieces.iter().find(|piece| piece.id == seen.handover);
    let last = piece.and_then(|piece| last.get(&piece.call)).ok_or("the ledger has no such handover")?;
    if last.number == seen.attempts {
        Ok(last)
    } else {
        Err(format!("it was tried again meanwhile: {} attempts by now, not {}", last.number, seen.attempts))
    }
}

/// An attempt that may have been carried out is looked up before the call is sent again.
fn safe_phase(last: &Last) -> Phase {
    let looked_up = last.phase == Phase::LookUp && last.outcome != "absent";
    if looked_up || last.outcome == "unknown" || last.recorded < last.number {
        Phase::LookUp
    } else {
        Phase::Send
    }
}

fn again(
    opening: &Opening,
    seen: &Seen,
    last: &Last,
    phase: Phase,
    at: Timestamp,
    payload: Option<Value>,
) -> Option<Again> {
    let piece = opening.pieces.iter().find(|piece| piece.id == seen.handover)?;
    Some(Again {
        council: opening.council.clone(),
        call: piece.call,
        handover: piece.id.to_string(),
        request: opening.request,
        system: piece.system.to_string(),
        operation: last.operation,
        phase,
        at,
        attempts: last.number,
        payload,
    })
}

async fn last_attempts(tx: &mut Tx, openings: &[Opening]) -> Result<HashMap<CallId, Last>, Error> {
    let calls: Vec<_> = openings
        .iter()
        .flat_map(|opening| opening.pieces.iter().map(move |piece| (opening, piece.call)))
        .collect();
    let statement = Statement::new(
        "with v as ({rows}), n as (select v.council, v.request, v.call, max(a.number) as last, count(*) as recorded \
         from v join attempts a on a.council = v.council and a.request = v.request and a.call = v.call \
         group by v.council, v.request, v.call) select n.call, n.last, a.operation, a.phase, a.outcome, n.recorded \
         from n join attempts a on a.council = n.council and a.request = n.request and a.call = n.call \
         and a.number = n.last",
    )
    .texts("council", &calls, |(opening, _)| opening.council.as_str())
    .texts("request", &calls, |(opening, _)| opening.request.to_string())
    .texts("call", &calls, |(_, call)| call.to_string());
    let rows = tx.run(statement).await?;
    rows.into_iter()
        .map(|mut row| {
            let call = row.get("attempts.call", CallId::parse)?;
            let last = Last {
                number: row.number("attempts.number")?,
                operation: row.get("attempts.operation", str::parse)?,
                phase: row.get("attempts.phase", str::parse)?,
                outcome: row.text("attempts.outcome")?,
                recorded: row.number("recorded")?,
            };
            Ok((call, last))
        })
        .collect()
}

/// The documents that are to be edited.
async fn documents(tx: &mut Tx, batch: &[Resolution]) -> Result<HashMap<RequestId, Value>, Error> {
    let edited = |resolution: &&Resolution| matches!(resolution.choice, Choice::Replay { edit: Some(_), .. });
    let wanted: BTreeSet<_> = batch
        .iter()
        .filter(edited)
        .map(|resolution| (resolution.council.as_str(), resolution.request))
        .collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let statement = Statement::new(
        "with v as ({rows}) select d.request, d.document from v join documents d \
         on d.council = v.council and d.request = v.request",
    )
    .texts("council", &wanted, |(council, _)| *council)
    .texts("request", &wanted, |(_, request)| request.to_string());
    let rows = tx.run(statement).await?;
    rows.into_iter()
        .map(|mut row| {
            let request = row.get("documents.request", RequestId::parse)?;
            Ok((request, row.get("documents.document", mappings::digits::from_str)?))
        })
        .collect()
}

/// Keeps documents as they were, and puts the new ones in their place.
pub(super) async fn add_versions(tx: &mut Tx, versions: &[Version]) -> Result<(), Error> {
    for Version { council, request, before, after, at, person } in versions {
        let statement = Statement::new(
            "insert into earlier_documents (council, request, version, document, until_at, person) \
             select $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5 from earlier_documents \
             where council = $1 and request = $2",
        )
        .text(council.as_str())
        .text(request.to_string())
        .text(before.to_string())
        .int(at.as_millisecond())
        .text(person.as_str());
        tx.run(statement).await?;
        let statement =
            Statement::new("update documents set document = $3 where council = $1 and request = $2")
                .text(council.as_str())
                .text(request.to_string())
                .text(after.to_string());
        tx.run(statement).await?;
    }
    Ok(())
}

/// Makes calls due where they stopped: lease and attempts go on, the limit on attempts starts anew.
async fn add_calls(tx: &mut Tx, again: &[Again]) -> Result<(), Error> {
    if again.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) insert into due (council, id, handover, request, system, operation, phase, due_at, \
         lease, worker, attempts, spent, begun, rescued, payload) select council, id, handover, request, system, \
         operation, phase, due_at, attempts, null, attempts, attempts, 0, 0, payload from v",
    )
    .texts("council", again, |again| again.council.as_str())
    .texts("id", again, |again| again.call.to_string())
    .texts("handover", again, |again| again.handover.as_str())
    .texts("request", again, |again| again.request.to_string())
    .texts("system", again, |again| again.system.as_str())
    .texts("operation", again, |again| again.operation.as_str())
    .texts("phase", again, |again| again.phase.as_str())
    .ints("due_at", again, |again| again.at.as_millisecond())
    .ints("attempts", again, |again| i64::from(again.attempts))
    .texts("payload", again, |again| again.payload.as_ref().map(Value::to_string));
    tx.run(statement).await.map(drop)
}
