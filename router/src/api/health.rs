//! Whether the process lives, whether it can do its work, and what it has done.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Doors;

/// Whether each part can do its work now; a text says why not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What keeps the ledger from writing.
    pub ledger: Option<String>,
    /// What keeps the bus from carrying; `None` also where there is none.
    pub bus: Option<String>,
    /// What keeps events from their consumers: the exchange has no queue for them. It keeps nothing else from
    /// going on, and a restart or another router would not mend it, so it is told without making us unready.
    pub events: Option<String>,
    /// The systems that take no calls for now, and why in a word. None of them makes the router unready.
    pub systems: BTreeMap<String, &'static str>,
    /// How many messages the broker has set aside. They wait for a person and keep nothing else from going on.
    pub dead_letters: u64,
    /// The process is stopping.
    pub stopping: bool,
}

/// The process answers.
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// 200 when requests can be taken and closures given back, else 503 with the part that cannot.
pub(super) async fn ready(State(doors): State<Doors>) -> Response {
    let now = doors.readiness.borrow().clone();
    let ready = now.ledger.is_none() && now.bus.is_none() && !now.stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let part = |reason: &Option<String>| reason.clone().unwrap_or_else(|| "ready".to_owned());
    let body = json!({
        "ready": ready, "ledger": part(&now.ledger), "bus": part(&now.bus), "events": part(&now.events),
        "dead_letters": now.dead_letters, "stopping": now.stopping, "systems": now.systems,
    });
    (status, Json(body)).into_response()
}

/// The metrics in the Prometheus text format.
pub(super) async fn metrics(State(doors): State<Doors>) -> Response {
    match &doors.metrics {
        Some(handle) => {
            handle.run_upkeep();
            ([("content-type", "text/plain; version=0.0.4")], handle.render()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
