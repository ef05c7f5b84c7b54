//! The HTTP doors: requests in, completions in, how tickets stand, health.

mod admission;
mod body;
mod callbacks;
mod handshake;
mod health;
mod problem;
mod requests;
mod scope;
mod strangers;
mod tickets;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::{MethodRouter, get, post};
use mappings::bounds::Bounds;
use mappings::mapping::Catalogue;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::complete::Listener;
use crate::intake::Intake;
use crate::ledger::Ledger;
use crate::listen::{Crowds, Endpoint, Needs};
use crate::reading::Memory;

pub use admission::Keys;
pub use health::{Readiness, endpoints as health};
pub use problem::Problem;
pub use strangers::Strangers;

/// What the doors need.
#[derive(Clone)]
pub struct Doors {
    /// For requests.
    pub intake: Intake,
    /// Who may submit them.
    pub keys: Arc<Keys>,
    /// Those who may not, of late.
    pub strangers: Strangers,
    /// For completions, by the path of the webhook.
    pub listeners: Arc<HashMap<String, Listener>>,
    /// To tell how a ticket stands.
    pub ledger: Arc<dyn Ledger>,
    /// To know a CRM by name.
    pub catalogue: Arc<Catalogue>,
    /// Who is connected.
    pub crowds: Crowds,
    /// Whether the parts work.
    pub readiness: watch::Receiver<Readiness>,
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

/// What the doors serve.
pub fn endpoints(doors: &Doors) -> Vec<Endpoint> {
    let state = || doors.clone();
    let door = |handler: MethodRouter<Doors>| handler.options(handshake::permit).with_state(state());
    // Limits are applied where bodies are read, so that an excess is answered as a problem with its size.
    let mut endpoints = vec![
        Endpoint::post("/v1/requests", Needs::Key, door(post(requests::submit))),
        Endpoint::post("/v1/requests/{crm}", Needs::Key, door(post(requests::submit_native))),
        Endpoint::get(
            "/v1/tickets/{council}/{reference}",
            Needs::Key,
            get(tickets::show).with_state(state()),
        ),
    ];
    let mut paths: Vec<&String> = doors.listeners.keys().collect();
    paths.sort();
    let callback = |path: &&String| Endpoint::post(path, Needs::Proof, door(post(callbacks::hear)));
    endpoints.extend(paths.iter().map(callback));
    endpoints.extend(health(&doors.readiness, &doors.crowds));
    endpoints
}

/// Answers what is no endpoint of the doors.
pub fn fallback() -> Router {
    Router::new().fallback(nowhere)
}

async fn nowhere(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "No such door", format!("nothing is served at {}", uri.path()))
}

/// A path without slashes at its end.
fn plain(path: &str) -> &str {
    path.trim_end_matches('/')
}
