//! The jobs of a simulator, and the words of a person about one.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Sim, read, respond, wrong};
use crate::simulator::book::{Book, Index, Phase, Text};
use crate::simulator::call::Reply;
use crate::simulator::{Shared, mover};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
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

pub(super) async fn list(State(shared): Sim, Query(asked): Query<Asked>) -> Response {
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

pub(super) async fn show(State(shared): Sim, Path(id): Path<String>) -> Response {
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

pub(super) async fn step(State(shared): Sim, Path(id): Path<String>) -> Response {
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
pub(super) async fn say(State(shared): Sim, Path(id): Path<String>, body: Bytes) -> Response {
    change(&shared, &id, |book, index| {
        let word: Word = read(&body)?;
        let Some(status) = word.status else { return Err(wrong(400, "expected a status".to_owned())) };
        book.job_mut(index).follow_on = word.follow_on.map(Text::Owned);
        book.say(index, Text::Owned(status), word.note.map(Text::Owned), Phase::Waiting, shared.now());
        Ok(())
    })
}

/// Ends a job; as done where no status is given.
pub(super) async fn complete(State(shared): Sim, Path(id): Path<String>, body: Bytes) -> Response {
    change(&shared, &id, |book, index| {
        let word: Word = read(&body)?;
        let status = word.status.map_or(Text::Borrowed(shared.done()), Text::Owned);
        book.job_mut(index).follow_on = word.follow_on.map(Text::Owned);
        book.say(index, status, word.note.map(Text::Owned), Phase::Ended, shared.now());
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
