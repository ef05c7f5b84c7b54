//! The webhooks that systems call when a job changed.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::requests::read;
use super::{Doors, Problem};
use crate::complete::Refused;

/// The largest event that is read from a system.
const LARGEST: usize = 1024 * 1024;

/// Takes an event and answers as the mapping says.
pub(super) async fn hear(
    State(doors): State<Doors>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Some(listener) = doors.listeners.get(uri.path()) else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "No such door",
            format!("nothing listens at {}", uri.path()),
        ));
    };
    let body = read(body, &headers, LARGEST.min(doors.max_body_bytes)).await?;
    match listener.hear(&headers, &body).await {
        Ok((status, text)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            Ok((status, text).into_response())
        }
        Err(refused) => {
            tracing::warn!(system = %listener.system, error = %refused, "an event of a system was not taken");
            metrics::counter!("dovetail_callbacks_refused_total", "system" => listener.system.to_string())
                .increment(1);
            Err(problem(&refused))
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
