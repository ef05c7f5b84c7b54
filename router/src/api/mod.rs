//! The HTTP doors: requests in, completions in, health and metrics.

mod body;
mod callbacks;
mod health;
mod problem;
mod requests;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use mappings::bounds::Bounds;
use mappings::mapping::Catalogue;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::complete::Listener;
use crate::config::Key;
use crate::intake::Intake;
use crate::reading::Memory;

pub use health::Readiness;
pub use problem::Problem;

/// What the doors need.
#[derive(Clone)]
pub struct Doors {
    /// For requests.
    pub intake: Intake,
    /// Who may submit them.
    pub keys: Arc<Vec<Key>>,
    /// For completions, by the path of the webhook.
    pub listeners: Arc<HashMap<String, Listener>>,
    /// To know a CRM by name.
    pub catalogue: Arc<Catalogue>,
    /// Whether the parts work.
    pub readiness: watch::Receiver<Readiness>,
    /// For `/metrics`; absent where another part of the process has them.
    pub metrics: Option<PrometheusHandle>,
    /// The time.
    pub clock: Clock,
    /// The largest document that is read.
    pub bounds: Bounds,
    /// The memory for bodies of requests.
    pub bodies: Memory,
    /// The memory for bodies of callbacks, of their own since anybody may call.
    pub callbacks: Memory,
    /// The memory for documents, shared with the bus.
    pub memory: Memory,
}

/// The doors as routes.
pub fn routes(doors: Doors) -> Router {
    let mut router = Router::new()
        .route("/v1/requests", post(requests::submit))
        .route("/v1/requests/{crm}", post(requests::submit_native))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics));
    for path in doors.listeners.keys() {
        router = router.route(path, post(callbacks::hear));
    }
    // The limit is applied where bodies are read, so that an excess is answered as a problem with its size.
    router.layer(DefaultBodyLimit::disable()).with_state(doors)
}
