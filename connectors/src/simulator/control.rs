//! The control API under `/_sim/`: what the system holds, and what a person there can do. No fault strikes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::book::{Book, Index, Phase, Text};
use super::call::Reply;
use super::crm::Ticket;
use super::{Faults, Shared, clock, mover};

type Sim = State<Arc<Shared>>;

/// An answer, or the answer that says why not.
type Answer = Result<Reply, Reply>;

/// The routes of the control API.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_sim", get(about))
        .route("/_sim/counts", get(counts))
        .route("/_sim/faults", get(faults).post(set_faults).delete(clear_faults))
        .route("/_sim/refuse", post(refuse))
        .route("/_sim/pause", post(pause))
        .route("/_sim/resume", post(resume))
        .route("/_sim/step", post(step))
        .route("/_sim/jobs", get(jobs))
        .route("/_sim/jobs/{id}", get(job))
        .route("/_sim/jobs/{id}/step", post(step_job))
        .route("/_sim/jobs/{id}/say", post(say))
        .route("/_sim/jobs/{id}/complete", post(complete))
        .route("/_sim/tickets", get(tickets).post(open_tickets))
        .route("/_sim/tickets/{id}", get(ticket))
        .route("/_sim/tickets/{id}/set", post(set_ticket))
}

async fn about(State(shared): Sim) -> Response {
    let about = json!({
        "system": shared.kind.as_str(),
        "url": shared.url(),
        "seed": shared.settings.seed,
        "paused": shared.book().paused(),
        "pushes_to": shared.settings.callback,
    });
    Reply::json(200, &about).into_response()
}

async fn counts(State(shared): Sim) -> Response {
    let book = shared.book();
    let counts = book.counts;
    let mut states: BTreeMap<String, u64> = BTreeMap::new();
    for index in 0..book.len() {
        *states.entry(book.job(index).status.to_string()).or_default() += 1;
    }
    let jobs = book.len();
    drop(book);
    let (tickets, closures, closed_twice) =
        shared.tickets().iter().fold((0, 0, 0), |(all, sum, twice), ticket| {
            (all + 1, sum + u64::from(ticket.closures), twice + u64::from(ticket.closures > 1))
        });
    let struck: BTreeMap<_, _> = shared.live.struck().into_iter().collect();
    let counts = json!({
        "seed": shared.settings.seed,
        "calls": counts.calls,
        "creates": counts.creates,
        "refused": counts.refused,
        "jobs": jobs,
        "ended": counts.ended,
        "doubled": counts.doubled,
        "states": states,
        "pushed": counts.pushed,
        "push_failures": counts.push_failures,
        "pushes_given_up": counts.pushes_given_up,
        "tickets": tickets,
        "closures": closures,
        "closed_twice": closed_twice,
        "struck": struck,
    });
    Reply::json(200, &counts).into_response()
}

async fn faults(State(shared): Sim) -> Response {
    show_faults(&shared).into_response()
}

/// Sets the switches that the body names; the others stay as they are.
async fn set_faults(State(shared): Sim, body: Bytes) -> Response {
    let set = || -> Answer {
        let named: serde_json::Map<String, Value> = read(&body)?;
        let mut faults = shared.live.faults();
        for (name, value) in &named {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Object(object) if object.len() == 1 && object.contains_key("next") => {
                    format!("next:{}", object["next"])
                }
                Value::Bool(false) | Value::Null => "off".to_owned(),
                Value::Bool(true) => "1".to_owned(),
                Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
            };
            faults.set(name, &value).map_err(|error| wrong(400, error.to_string()))?;
        }
        shared.live.replace(faults);
        Ok(show_faults(&shared))
    };
    respond(set())
}

async fn clear_faults(State(shared): Sim) -> Response {
    shared.live.replace(Faults::default());
    show_faults(&shared).into_response()
}

fn show_faults(shared: &Shared) -> Reply {
    let named: serde_json::Map<_, _> = shared
        .live
        .faults()
        .named()
        .into_iter()
        .map(|(name, value)| {
            (name.to_owned(), value.parse::<u64>().map_or(Value::String(value), Value::from))
        })
        .collect();
    Reply::json(200, &Value::Object(named))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    for_ms: u64,
}

async fn refuse(State(shared): Sim, body: Bytes) -> Response {
    respond(read(&body).map(|Refuse { for_ms }| {
        shared.refuse_for(Duration::from_millis(for_ms));
        Reply::json(200, &json!({"refusing_ms": for_ms}))
    }))
}

async fn pause(State(shared): Sim) -> Response {
    shared.pause(true);
    Reply::json(200, &json!({"paused": true})).into_response()
}

async fn resume(State(shared): Sim) -> Response {
    shared.pause(false);
    Reply::json(200, &json!({"paused": false})).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    #[serde(default = "one")]
    steps: u32,
}

fn one() -> u32 {
    1
}

async fn step(State(shared): Sim, body: Bytes) -> Response {
    respond(read(&body).map(|Steps { steps }| {
        let moved: usize = (0..steps).map(|_| shared.step()).sum();
        Reply::json(200, &json!({"moved": moved}))
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The reference of the order, whole.
    reference: Option<String>,
    /// The start of the reference, up to a `/` that sets a suffix apart.
    ticket: Option<String>,
    #[serde(default)]
    after: usize,
    #[serde(default = "usize_max")]
    limit: usize,
}

fn usize_max() -> usize {
    usize::MAX
}

async fn jobs(State(shared): Sim, Query(asked): Query<Asked>) -> Response {
    let book = shared.book();
    let found: Vec<Index> = match &asked.reference {
        Some(reference) => book.of_reference(reference).collect(),
        None => (0..book.len()).collect(),
    };
    let of_ticket = |index: &Index| {
        let reference = &book.job(*index).order.reference;
        asked
            .ticket
            .as_ref()
            .is_none_or(|ticket| reference.split('/').next() == Some(ticket) || reference == ticket)
    };
    let jobs: Vec<_> = found
        .into_iter()
        .filter(of_ticket)
        .skip(asked.after)
        .take(asked.limit)
        .map(|index| show_job(&book, index))
        .collect();
    Reply::json(200, &Value::Array(jobs)).into_response()
}

async fn job(State(shared): Sim, Path(id): Path<String>) -> Response {
    let book = shared.book();
    respond(find(&book, &id).map(|index| Reply::json(200, &show_job(&book, index))))
}

fn show_job(book: &Book, index: Index) -> Value {
    let job = book.job(index);
    let tally = book.tally_of(index);
    let phase = match job.phase {
        Phase::Moving => "moving",
        Phase::Waiting => "waiting",
        Phase::Ended => "ended",
    };
    let about: serde_json::Map<_, _> = job
        .order
        .about
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
        .collect();
    json!({
        "id": book.id(index),
        "reference": job.order.reference,
        "key": job.order.key,
        "status": job.status,
        "phase": phase,
        "note": job.note,
        "follow_on": job.follow_on,
        "created_at": job.created.to_string(),
        "updated_at": job.updated.to_string(),
        "delivered": tally.delivered,
        "applied": tally.applied,
        "remarks": job.remarks,
        "about": about,
    })
}

async fn step_job(State(shared): Sim, Path(id): Path<String>) -> Response {
    change(&shared, &id, |book, index| {
        mover::step(&shared, book, index);
        Ok(())
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    status: Option<String>,
    note: Option<String>,
    follow_on: Option<String>,
}

/// Says any word about a job; it stays open, and no longer moves by itself.
async fn say(State(shared): Sim, Path(id): Path<String>, body: Bytes) -> Response {
    change(&shared, &id, |book, index| {
        let word: Word = read(&body)?;
        let Some(status) = word.status else { return Err(wrong(400, "expected a status".to_owned())) };
        book.job_mut(index).follow_on = word.follow_on.map(Text::Owned);
        book.say(index, Text::Owned(status), word.note.map(Text::Owned), Phase::Waiting, clock::now());
        Ok(())
    })
}

/// Ends a job; as done where no status is given.
async fn complete(State(shared): Sim, Path(id): Path<String>, body: Bytes) -> Response {
    change(&shared, &id, |book, index| {
        let word: Word = read(&body)?;
        let status = word.status.map_or(Text::Borrowed(shared.done()), Text::Owned);
        book.job_mut(index).follow_on = word.follow_on.map(Text::Owned);
        book.say(index, status, word.note.map(Text::Owned), Phase::Ended, clock::now());
        Ok(())
    })
}

fn change(shared: &Shared, id: &str, act: impl FnOnce(&mut Book, Index) -> Result<(), Reply>) -> Response {
    let changed = || -> Answer {
        let mut book = shared.book();
        let index = find(&book, id)?;
        act(&mut book, index)?;
        Ok(Reply::json(200, &show_job(&book, index)))
    };
    let answer = respond(changed());
    shared.wake();
    answer
}

fn find(book: &Book, id: &str) -> Result<Index, Reply> {
    book.find(id).ok_or_else(|| wrong(404, format!("no job {id}")))
}

async fn tickets(State(shared): Sim) -> Response {
    let tickets: Vec<_> = shared.tickets().iter().map(show_ticket).collect();
    Reply::json(200, &Value::Array(tickets)).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    #[serde(default = "one")]
    count: u32,
    #[serde(default)]
    subject: String,
}

/// Opens tickets, as an adviser does at the CRM's screen.
async fn open_tickets(State(shared): Sim, body: Bytes) -> Response {
    respond(read(&body).map(|Open { count, subject }| {
        let fields = json!({"Queue": "General", "Subject": subject});
        let mut tickets = shared.tickets();
        let ids: Vec<_> = (0..count).map(|_| tickets.open_next(&fields, "adviser")).collect();
        Reply::json(201, &json!({"ids": ids}))
    }))
}

async fn ticket(State(shared): Sim, Path(id): Path<String>) -> Response {
    let tickets = shared.tickets();
    let found = tickets.get(&id).map(show_ticket);
    respond(
        found.map(|ticket| Reply::json(200, &ticket)).ok_or_else(|| wrong(404, format!("no ticket {id}"))),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetTicket {
    status: String,
    message: Option<String>,
}

/// A person puts a ticket into a status.
async fn set_ticket(State(shared): Sim, Path(id): Path<String>, body: Bytes) -> Response {
    respond(read(&body).and_then(|SetTicket { status, message }| {
        let said = shared.tickets().by_hand(&id, &status, message.as_deref());
        let said = said.ok_or_else(|| wrong(404, format!("no ticket {id}")))?;
        Ok(Reply::json(200, &json!({"said": said})))
    }))
}

fn show_ticket(ticket: &Ticket) -> Value {
    json!({
        "id": ticket.id,
        "status": ticket.status,
        "subject": ticket.subject,
        "queue": ticket.queue,
        "requestor": ticket.requestor,
        "closures": ticket.closures,
        "closed_by_hand": ticket.closed_by_hand,
        "messages": ticket.messages,
        "created_at": ticket.created.to_string(),
        "updated_at": ticket.updated.to_string(),
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| wrong(400, error.to_string()))
}

fn wrong(status: u16, error: String) -> Reply {
    Reply::json(status, &json!({"error": error}))
}

fn respond(answer: Answer) -> Response {
    answer.unwrap_or_else(|refusal| refusal).into_response()
}
