//! `POST /v1/requests`: CloudEvents over HTTP (structured, binary, batch), and a CRM's native messages.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mappings::domain::SystemName;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::body::{self, Whole};
use super::{Doors, Problem};
use crate::config::Key;
use crate::envelope::{self, Delivery};
use crate::intake::{Message, Receipt};
use crate::ledger::Accepted;

/// Takes one CloudEvent or a batch.
pub(super) async fn submit(
    State(doors): State<Doors>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    receive(doors, None, headers, body).await
}

/// Takes a native message of the CRM that the path names.
pub(super) async fn submit_native(
    State(doors): State<Doors>,
    Path(crm): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let known = SystemName::parse(&crm)
        .ok()
        .filter(|name| doors.catalogue.system(name).is_some_and(|s| s.intake().is_some()));
    let Some(crm) = known else {
        let detail =
            format!("{crm:?} has no native door: expected the name of a CRM whose folder holds an intake");
        return Err(Problem::new(StatusCode::NOT_FOUND, "No such door", detail));
    };
    receive(doors, Some(crm), headers, body).await
}

async fn receive(
    doors: Doors,
    crm: Option<SystemName>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let key = admit(&doors.keys, &headers)?;
    let Whole { bytes, part: _part } = body::read(body, &headers, doors.bounds.bytes, &doors.bodies).await?;
    let (length, bounds) = (bytes.len(), doors.bounds);
    let (bytes, _memory) = body::admit(bytes, bounds, &doors.memory).await?;
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let read = move || match crm {
        Some(crm) => Message::native("http", crm, bytes, &bounds),
        None => Message::read("http", &bytes, |body| envelope::from_http(&headers, body, &bounds)),
    };
    let message = doors.memory.read(length, read).await;
    permit(key, &message.delivery)?;
    let message = Message { traceparent, ..message };
    let (intake, now) = (doors.intake.clone(), doors.clock.now());
    let read = doors.memory.read(length, move || intake.read(message, now)).await;
    let receipts = doors.intake.accept(read).await.map_err(|error| {
        tracing::error!(error = %error, "a request could not be written");
        let detail =
            "the ledger cannot write now; nothing was accepted. Hint: send it again with the same id";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not accepted", detail)
    })?;
    answer(receipts)
}

/// A single request that was refused is a problem; a batch tells the fate of each.
fn answer(mut receipts: Vec<Receipt>) -> Result<Response, Problem> {
    if receipts.len() != 1 {
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
        Receipt::Accepted(_, Accepted::DuplicateDelivery | Accepted::DuplicateTicket(_)) => {
            Ok((StatusCode::OK, Json(receipt(&single))).into_response())
        }
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
        },
    }
}

/// The key that a caller holds.
pub(super) fn admit<'a>(keys: &'a [Key], headers: &HeaderMap) -> Result<&'a Key, Problem> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let found = given
        .and_then(|given| keys.iter().find(|key| bool::from(key.key.as_bytes().ct_eq(given.as_bytes()))));
    found.ok_or_else(|| {
        let detail = "expected `Authorization: Bearer <key>` with a key that is listed under http.keys";
        Problem::new(StatusCode::UNAUTHORIZED, "Not admitted", detail)
    })
}

/// Refuses what speaks for a council that the key does not.
fn permit(key: &Key, delivery: &Result<Delivery, envelope::Error>) -> Result<(), Problem> {
    let every = key.councils.iter().any(|council| council == "*");
    let envelopes = match delivery {
        Ok(Delivery::Event(envelope)) => std::slice::from_ref(envelope),
        Ok(Delivery::Events(envelopes)) => envelopes.as_slice(),
        Ok(Delivery::Foreign { .. }) | Err(_) => &[],
    };
    let foreign = matches!(delivery, Ok(Delivery::Foreign { .. }));
    let others = envelopes.iter().filter_map(|envelope| match &envelope.data {
        envelope::Data::Json(data) => data.get("council").and_then(Value::as_str),
        envelope::Data::Bytes { .. } => None,
    });
    let mut denied = others.filter(|council| !key.councils.iter().any(|own| own == council));
    match (every, denied.next(), foreign) {
        (true, _, _) | (false, None, false) => Ok(()),
        (false, Some(council), _) => {
            let detail = format!("the key {:?} does not speak for council {council:?}", key.name);
            Err(Problem::new(StatusCode::FORBIDDEN, "Not permitted", detail))
        }
        (false, None, true) => {
            let detail =
                format!("the key {:?} does not speak for every council, as a native door requires", key.name);
            Err(Problem::new(StatusCode::FORBIDDEN, "Not permitted", detail))
        }
    }
}
