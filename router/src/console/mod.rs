//! The console: pages that contact-centre staff read, without scripts. It writes nothing.

mod page;
mod problems;
mod tickets;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use mappings::mapping::Catalogue;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::api::{Readiness, health};
use crate::clock::Clock;
use crate::ledger::{Filter, Ledger};
use crate::listen::{Crowds, Endpoint, Needs};
use page::{Home, Message, Page};
use view::Row;

/// Tickets on the first page.
const NEWEST: usize = 15;

const STYLES: &str = include_str!("../../templates/console.css");

/// What every page reads from.
#[derive(Clone)]
pub struct Desk {
    /// The tickets.
    pub ledger: Arc<dyn Ledger>,
    /// The names of systems and services.
    pub catalogue: Arc<Catalogue>,
    /// The time.
    pub clock: Clock,
    /// What waits for a person beside the tickets.
    pub readiness: watch::Receiver<Readiness>,
    /// Who is connected.
    pub crowds: Crowds,
}

/// What the console's listener serves: the pages, their stylesheet, the metrics (absent where another part of the
/// process has them), and health.
pub fn endpoints(desk: &Desk, metrics: Option<PrometheusHandle>) -> Vec<Endpoint> {
    let page = |path: &str, handler: MethodRouter<Desk>| {
        Endpoint::get(path, Needs::Nothing, handler.with_state(desk.clone()))
    };
    let mut endpoints = vec![
        page("/", get(home)),
        page("/tickets", get(tickets::find)),
        page("/tickets/{council}/{reference}", get(tickets::show)),
        page("/problems", get(problems::list)),
        page("/console.css", get(styles)),
        Endpoint::get("/metrics", Needs::Nothing, get(figures).with_state(metrics)),
    ];
    endpoints.extend(health(&desk.readiness, &desk.crowds));
    endpoints
}

/// Answers what is no page.
pub fn fallback() -> Router {
    Router::new().fallback(nowhere)
}

async fn home(State(desk): State<Desk>) -> Result<Page<Home>, Message> {
    let filter = Filter { most: NEWEST, ..Filter::default() };
    let lines = desk.ledger.tickets(&filter).await.map_err(Message::ledger_failed)?;
    let rows = lines.iter().map(|line| Row::new(line, &desk.catalogue)).collect();
    Ok(Page(Home { rows, reference: String::new() }))
}

async fn styles() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=300")], STYLES).into_response()
}

/// The metrics in the Prometheus text format.
async fn figures(State(metrics): State<Option<PrometheusHandle>>) -> Response {
    match metrics {
        Some(handle) => {
            handle.run_upkeep();
            ([("content-type", "text/plain; version=0.0.4")], handle.render()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn nowhere() -> Message {
    Message::not_found(
        "There is no such page",
        ["The address may be mistyped, or the page may have moved.".to_owned()],
    )
}

#[cfg(test)]
pub(crate) mod tests;
