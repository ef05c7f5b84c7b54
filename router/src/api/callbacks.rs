//! The webhooks that systems call when a job changed.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use mappings::bounds::Bounds;

use super::strangers::{Caller, Turned};
use super::{Doors, Problem, body, plain};
use crate::complete::{Listener, Refused};

/// The largest event that is read from a system.
const LARGEST: usize = 1024 * 1024;

/// Takes an event and answers as the mapping says.
pub(super) async fn hear(
    State(doors): State<Doors>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Some(listener) = doors.listeners.get(plain(uri.path())) else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "No such door",
            format!("nothing listens at {}", uri.path()),
        ));
    };
    // Of a stranger nothing is read whom the headers alone give away.
    let refusal = |refused| refusal(&doors, &caller, listener, &refused);
    listener.admit(&headers).map_err(refusal)?;
    let bounds = Bounds { bytes: LARGEST.min(doors.bounds.bytes), ..doors.bounds };
    let whole = body::read(body, &headers, bounds.bytes - 1, &doors.callbacks).await?;
    let mut headers = headers;
    let whole = body::unpacked(whole, &mut headers, &bounds, &doors.callbacks, &doors.callbacks).await?;
    match listener.hear(&headers, &whole.bytes, whole.packed.as_deref(), &bounds).await {
        Ok((status, text)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            Ok((status, text).into_response())
        }
        Err(refused) => Err(refusal(refused)),
    }
}

fn refusal(doors: &Doors, caller: &Caller, listener: &Listener, refused: &Refused) -> Problem {
    let system = &listener.system;
    metrics::counter!("dovetail_callbacks_refused_total", "system" => system.to_string()).increment(1);
    match refused {
        Refused::Unverified(reason) => {
            let (door, detail) = (system.as_str(), reason.to_string());
            let turned = Turned { door, caller, reason: reason.as_str(), detail, key: None };
            doors.strangers.turn_away(&turned, doors.clock.now());
            let challenge = listener.challenge().unwrap_or_default();
            problem(refused).with(header::WWW_AUTHENTICATE, &challenge)
        }
        Refused::Unreadable(_) | Refused::NotReadBack(_) | Refused::Ledger(_) => {
            tracing::warn!(system = %system, error = %refused, "an event of a system was not taken");
            problem(refused)
        }
    }
}

fn problem(refused: &Refused) -> Problem {
    let (status, title) = match refused {
        Refused::Unverified(_) => (StatusCode::UNAUTHORIZED, "Not verified"),
        Refused::Unreadable(_) => (StatusCode::BAD_REQUEST, "The event cannot be read"),
        Refused::NotReadBack(_) | Refused::Ledger(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "Not taken, send it again")
        }
    };
    // Who cannot prove who they are learns no more than that; the log has the reason.
    let detail = match refused {
        Refused::Unverified(_) => "the proof of who is calling is missing or wrong".to_owned(),
        Refused::Unreadable(_) | Refused::NotReadBack(_) | Refused::Ledger(_) => refused.to_string(),
    };
    Problem::new(status, title, detail)
}
