//! `GET /v1/tickets/{council}/{reference}`: how a ticket stands, for whoever submits requests.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use mappings::domain::{Council, Ticket};
use serde_json::{Value, json};

use super::requests::{admit, turn_away};
use super::strangers::Caller;
use super::{Doors, Problem};
use crate::ledger::History;
use crate::timeline::{self, Story};

/// Tells how a ticket of one of the key's councils stands: its latest opening, without anything about the customer.
pub(super) async fn show(
    State(doors): State<Doors>,
    Path((council, reference)): Path<(String, String)>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let key = admit(&doors, &caller, &headers)?;
    let Ok(council) = Council::parse(&council) else { return Err(unknown(&reference)) };
    if !key.speaks_for(&council) {
        let detail = format!("the key {:?} does not speak for council {:?}", key.name, council.as_str());
        turn_away(&doors, &caller, "council", detail.clone(), Some(&key.name));
        return Err(Problem::new(StatusCode::FORBIDDEN, "Not permitted", detail));
    }
    let Ok(ticket) = Ticket::parse(&reference) else { return Err(unknown(&reference)) };
    let history = doors.ledger.ticket(Some(&council), &ticket).await.map_err(|error| {
        tracing::error!(error = %error, "a ticket could not be read");
        let detail = "the ledger cannot be read now. Hint: ask again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not answered", detail)
    })?;
    let history = history.ok_or_else(|| unknown(&reference))?;
    let story = timeline::tell(&history, &doors.catalogue, doors.clock.now());
    Ok(Json(standing(&history, story)))
}

fn standing(history: &History, story: Story) -> Value {
    let line = &history.line;
    let with: Vec<Value> = story
        .with_whom
        .iter()
        .map(|holder| json!({"system": holder.system, "team": holder.team, "job": holder.job}))
        .collect();
    json!({
        "council": line.council.as_str(),
        "ticket": line.ticket.as_str(),
        "service": line.service.as_str(),
        "title": story.title,
        "state": line.state.as_str(),
        "headline": story.headline,
        "with": with,
        "next": story.next,
        "told": story.told,
        "disposition": line.disposition.map(|disposition| disposition.as_str()),
        "raised_at": line.raised_at.to_string(),
        "accepted_at": line.accepted_at.to_string(),
        "closed_at": line.closed_at.map(|at| at.to_string()),
    })
}

fn unknown(reference: &str) -> Problem {
    let shown: String = reference.chars().take(100).collect();
    let detail = format!(
        "{shown:?} is no ticket here. Hint: the address is /v1/tickets/<council>/<the CRM's reference>"
    );
    Problem::new(StatusCode::NOT_FOUND, "No such ticket", detail)
}
