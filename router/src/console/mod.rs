//! The console: pages that contact-centre staff read, without scripts. It writes nothing.

mod page;
mod problems;
mod tickets;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mappings::mapping::Catalogue;
use tokio::sync::watch;

use crate::api::Readiness;
use crate::clock::Clock;
use crate::ledger::{Filter, Ledger};
use page::{Home, Message, Page};
use view::Row;

/// Tickets on the first page.
const NEWEST: usize = 15;

const STYLES: &str = include_str!("../../templates/console.css");

/// What every page reads from.
#[derive(Clone)]
struct Desk {
    ledger: Arc<dyn Ledger>,
    catalogue: Arc<Catalogue>,
    clock: Clock,
    readiness: watch::Receiver<Readiness>,
}

/// The console's pages: `/`, `/tickets`, `/problems` and their stylesheet; whatever else is asked for gets a
/// page that says that it is not there.
pub fn routes(
    ledger: Arc<dyn Ledger>,
    catalogue: Arc<Catalogue>,
    clock: Clock,
    readiness: watch::Receiver<Readiness>,
) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/tickets", get(tickets::find))
        .route("/tickets/{council}/{reference}", get(tickets::show))
        .route("/problems", get(problems::list))
        .route("/console.css", get(styles))
        .fallback(nowhere)
        .with_state(Desk { ledger, catalogue, clock, readiness })
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

async fn nowhere() -> Message {
    Message::not_found(
        "There is no such page",
        ["The address may be mistyped, or the page may have moved.".to_owned()],
    )
}

#[cfg(test)]
pub(crate) mod tests;
