//! `POST /v1/requests`: CloudEvents over HTTP (structured, binary, batch), and a CRM's native messages.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mappings::domain::SystemName;
use serde_json::{Value, json};

use super::admission::EXPECTED;
use super::body::{self, Whole};
use super::strangers::{Caller, Turned};
use super::{Doors, Problem, scope};
use crate::config::Key;
use crate::envelope::{self, Delivery};
use crate::intake::{Message, Receipt};
use crate::ledger::Accepted;

/// Takes one CloudEvent or a batch.
pub(super) async fn submit(
    State(doors): State<Doors>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    receive(doors, caller, None, headers, body).await
}

/// Takes a native message of the CRM that the path names.
pub(super) async fn submit_native(
    State(doors): State<Doors>,
    Path(crm): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let known = SystemName::parse(&crm)
        .ok()
        .filter(|name| doors.catalogue.system(name).is_some_and(|s| s.intake().is_some()));
    let Some(crm) = known else {
        let detail = format!(
            "{crm:?} has no native door here: expected the name of a CRM that is in use (mappings.systems) and whose folder \
             holds an intake"
        );
        admit(&doors, &caller, &headers)?;
        return Err(Problem::new(StatusCode::NOT_FOUND, "No such door", detail));
    };
    receive(doors, caller, Some(crm), headers, body).await
}

async fn receive(
    doors: Doors,
    caller: Caller,
    crm: Option<SystemName>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = admit(&doors, &caller, &headers)?;
    let whole = body::read(body, &headers, doors.bounds.bytes, &doors.bodies).await?;
    let mut headers = headers;
    let whole = body::unpacked(whole, &mut headers, &doors.bounds, &doors.bodies, &doors.memory).await?;
    let Whole { bytes, part: _part, .. } = whole;
    let (length, bounds) = (bytes.len(), doors.bounds);
    let (bytes, _memory) = body::admit(bytes, bounds, &doors.memory).await?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let traceparent = header(HeaderName::from_static("traceparent")).and_then(envelope::traceparent);
    let content_type = header(header::CONTENT_TYPE);
    let read = move || match crm {
        Some(crm) => Message::native("http", crm, content_type, bytes, &bounds),
        None => Message::read("http", &bytes, |body| envelope::from_http(&headers, body, &bounds)),
    };
    let message = doors.memory.read(length, read).await;
    // A batch that cannot be read as a whole is one problem.
    let batch = matches!(message.delivery, Ok(Delivery::Events(_)));
    let message = Message { traceparent, ..message };
    let (intake, now) = (doors.intake.clone(), doors.clock.now());
    let read = doors.memory.read(length, move || intake.read(message, now)).await;
    let read = scope::bound(key, read).inspect_err(|problem| {
        turn_away(&doors, &caller, "council", problem.detail.clone(), Some(&key.name));
    })?;
    let receipts = doors.intake.accept(read).await.map_err(|error| {
        tracing::error!(error = %error, "a request could not be written");
        let detail =
            "the ledger cannot write now; nothing was accepted. Hint: send it again with the same id";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not accepted", detail)
    })?;
    answer(receipts, batch)
}

/// The key that a caller holds; its use is counted, and whoever has none is.
pub(super) fn admit<'d>(doors: &'d Doors, caller: &Caller, headers: &HeaderMap) -> Result<&'d Key, Problem> {
    match doors.keys.admit(headers) {
        Ok((key, age)) => {
            let (name, secret) = (key.name.clone(), age.as_str());
            metrics::counter!("dovetail_http_keys_used_total", "name" => name, "secret" => secret)
                .increment(1);
            Ok(key)
        }
        Err(denied) => {
            turn_away(doors, caller, denied.as_str(), denied.to_string(), None);
            let problem =
                Problem::new(StatusCode::UNAUTHORIZED, "Not admitted", format!("{denied}; {EXPECTED}"));
            Err(doors
                .keys
                .challenges()
                .iter()
                .fold(problem, |problem, challenge| problem.with(header::WWW_AUTHENTICATE, challenge)))
        }
    }
}

/// Counts, and tells, that a key is not enough.
pub(super) fn turn_away(
    doors: &Doors,
    caller: &Caller,
    reason: &'static str,
    detail: String,
    key: Option<&str>,
) {
    let turned = Turned { door: "requests", caller, reason, detail, key };
    doors.strangers.turn_away(&turned, doors.clock.now());
}

/// A single request that was refused is a problem; a batch tells the fate of each.
fn answer(mut receipts: Vec<Receipt>, batch: bool) -> Result<Response, Problem> {
    if batch {
        let each: Vec<Value> = receipts.iter().map(receipt).collect();
        return Ok((StatusCode::OK, Json(json!({ "receipts": each }))).into_response());
    }
    let Some(single) = receipts.pop() else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "Empty", "no event was given"));
    };
    match single {
        Receipt::Refused { path, reason } => Err(Problem {
            path,
            ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "The request cannot be taken", reason)
        }),
        Receipt::Accepted(_, Accepted::New(_) | Accepted::Early) => {
            Ok((StatusCode::ACCEPTED, Json(receipt(&single))).into_response())
        }
        Receipt::Accepted(
            _,
            Accepted::DuplicateDelivery | Accepted::DuplicateTicket(_) | Accepted::IdInUse,
        ) => Ok((StatusCode::OK, Json(receipt(&single))).into_response()),
    }
}

fn receipt(receipt: &Receipt) -> Value {
    match receipt {
        Receipt::Refused { path, reason } => json!({"result": "refused", "path": path, "reason": reason}),
        Receipt::Accepted(ticket, accepted) => match accepted {
            Accepted::New(request) => {
                json!({"result": "accepted", "ticket": ticket.as_str(), "request": request.to_string()})
            }
            Accepted::DuplicateDelivery => json!({"result": "duplicate", "ticket": ticket.as_str()}),
            Accepted::DuplicateTicket(request) => {
                json!({"result": "duplicate", "ticket": ticket.as_str(), "request": request.to_string()})
            }
            Accepted::Early => json!({"result": "early", "ticket": ticket.as_str()}),
            Accepted::IdInUse => json!({"result": "refused", "ticket": ticket.as_str()}),
        },
    }
}
