//! Whether the process lives, and whether it can do its work.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::sync::watch;

use crate::listen::{Crowds, Endpoint, Needs};

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
    /// What is asked of systems again and again and fails, a phrase each. Other work goes on, and neither a restart nor
    /// another router mends a system that does not answer: it is told and makes nobody unready.
    pub failing: Vec<String>,
    /// How many messages the broker has set aside. They wait for a person and keep nothing else from going on.
    pub dead_letters: u64,
    /// The process is stopping.
    pub stopping: bool,
}

/// Health, as every listener serves it: no field of it holds anything of a request.
pub fn endpoints(readiness: &watch::Receiver<Readiness>, crowds: &Crowds) -> Vec<Endpoint> {
    let state = (readiness.clone(), crowds.clone());
    vec![
        Endpoint::get("/health/live", Needs::Nothing, get(live)),
        Endpoint::get("/health/ready", Needs::Nothing, get(ready).with_state(state)),
    ]
}

/// The process answers.
async fn live() -> &'static str {
    "live\n"
}

/// 200 when requests can be taken and closures given back, else 503 with the part that cannot.
async fn ready(State((readiness, crowds)): State<(watch::Receiver<Readiness>, Crowds)>) -> Response {
    let now = readiness.borrow().clone();
    let ready = now.ledger.is_none() && now.bus.is_none() && !now.stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let part = |reason: &Option<String>| reason.clone().unwrap_or_else(|| "ready".to_owned());
    let body = json!({
        "ready": ready, "ledger": part(&now.ledger), "bus": part(&now.bus), "events": part(&now.events),
        "dead_letters": now.dead_letters, "stopping": now.stopping, "systems": now.systems,
        "limits_reached": crowds.limits_reached(), "failing": now.failing,
    });
    (status, Json(body)).into_response()
}
