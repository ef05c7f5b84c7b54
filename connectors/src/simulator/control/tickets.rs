//! The tickets of a simulated CRM, and what a person does to one.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Sim, one, read, respond, wrong};
use crate::simulator::call::Reply;
use crate::simulator::tickets::Ticket;

pub(super) async fn list(State(shared): Sim) -> Response {
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
pub(super) async fn open(State(shared): Sim, body: Bytes) -> Response {
    respond(read(&body).map(|Open { count, subject }| {
        let fields = json!({"Queue": "General", "Subject": subject});
        let mut tickets = shared.tickets();
        let ids: Vec<_> = (0..count).map(|_| tickets.open_next(&fields, "adviser")).collect();
        Reply::json(201, &json!({"ids": ids}))
    }))
}

pub(super) async fn show(State(shared): Sim, Path(id): Path<String>) -> Response {
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
pub(super) async fn set(State(shared): Sim, Path(id): Path<String>, body: Bytes) -> Response {
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
        "refers_to": ticket.refers_to,
        "closures": ticket.closures,
        "closed_by_hand": ticket.closed_by_hand,
        "messages": ticket.messages,
        "notes": ticket.notes,
        "created_at": ticket.created.to_string(),
        "updated_at": ticket.updated.to_string(),
    })
}
