//! The stub of a back office: takes an order in any of the formats, answers with a job, and says a little later by
//! webhook that the job is done.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::request::{Batch, Format};

/// The secret of its webhooks.
pub(crate) const SECRET: &str = "load-secret";
/// How many webhooks it sends at once.
const AT_ONCE: usize = 64;
/// How often a webhook is tried.
const TRIES: u32 = 50;
/// How long it hangs when it hangs.
const HANG: Duration = Duration::from_secs(30);

/// A stub at work.
pub(crate) struct Office {
    /// Where it is called.
    pub(crate) url: String,
    desk: Arc<Desk>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Desk {
    batch: Batch,
    work: Duration,
    orders: Vec<AtomicU32>,
    unread: AtomicUsize,
    undelivered: AtomicUsize,
    hanging: HashMap<&'static str, AtomicBool>,
    callbacks: Mutex<Vec<SocketAddr>>,
    turn: AtomicUsize,
    client: reqwest::Client,
    places: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Office {
    /// Opens it for the orders of one batch; `work` passes between an answer and its webhook.
    pub(crate) async fn open(batch: Batch, work: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(AT_ONCE)
            .build()?;
        let desk = Arc::new(Desk {
            orders: (0..batch.count).map(|_| AtomicU32::new(0)).collect(),
            batch,
            work,
            unread: AtomicUsize::new(0),
            undelivered: AtomicUsize::new(0),
            hanging: Format::ALL.iter().map(|format| (format.word(), AtomicBool::new(false))).collect(),
            callbacks: Mutex::default(),
            turn: AtomicUsize::new(0),
            client,
            places: Semaphore::new(AT_ONCE),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        let routes = Router::new().route("/{format}/orders", post(order)).with_state(Arc::clone(&desk));
        let until = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            // Its end is the end of the measurement.
            let _ = axum::serve(listener, routes).with_graceful_shutdown(until).await;
        });
        Ok(Self { url, desk, stop, tasks })
    }

    /// Where completions are sent, in turn.
    pub(crate) fn call_back(&self, addresses: Vec<SocketAddr>) {
        *self.desk.callbacks.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Lets every call in a format hang from now on, or no longer.
    pub(crate) fn hang(&self, format: Format, hangs: bool) {
        if let Some(switch) = self.desk.hanging.get(format.word()) {
            switch.store(hangs, Ordering::Relaxed);
        }
    }

    /// Checks that every order of these formats came exactly once and that every webhook arrived.
    ///
    /// # Errors
    /// Says what did not.
    pub(crate) fn check(&self, formats: &[Format]) -> anyhow::Result<()> {
        let desk = &self.desk;
        let wrong = desk.orders.iter().enumerate().filter(|(number, orders)| {
            formats.contains(&desk.batch.format(*number)) && orders.load(Ordering::Relaxed) != 1
        });
        let (wrong, unread) = (wrong.count(), desk.unread.load(Ordering::Relaxed));
        let undelivered = desk.undelivered.load(Ordering::Relaxed);
        if wrong + unread + undelivered > 0 {
            bail!(
                "{wrong} orders did not come exactly once; {unread} could not be read; {undelivered} webhooks were refused"
            );
        }
        Ok(())
    }

    /// Closes it.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        // A call that hangs may take half a minute; nobody waits for its answer any more.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await;
    }
}

async fn order(State(desk): State<Arc<Desk>>, Path(format): Path<String>, body: String) -> Response {
    let known = Format::ALL.into_iter().find(|known| known.word() == format);
    let (Some(format), Some(number)) = (known, desk.batch.number_in(&body)) else {
        desk.unread.fetch_add(1, Ordering::Relaxed);
        return StatusCode::BAD_REQUEST.into_response();
    };
    if desk.hanging.get(format.word()).is_some_and(|hangs| hangs.load(Ordering::Relaxed)) {
        tokio::select! {
            () = tokio::time::sleep(HANG) => {}
            () = desk.stop.cancelled() => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
    // A second order under the same key is the same job.
    if desk.orders[number].fetch_add(1, Ordering::Relaxed) == 0 {
        let told = Arc::clone(&desk);
        desk.tasks.spawn(async move {
            let stop = told.stop.clone();
            tokio::select! {
                told = told.tell(format, number) => drop(told),
                () = stop.cancelled() => {}
            }
        });
    }
    let job = format!("J{number}");
    match format {
        Format::Json => {
            let answer = json!({"job": job, "status": "accepted", "received": "2026-11-22T09:15:02Z"});
            (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], answer.to_string())
        }
        Format::Xml => {
            let answer = format!("<Receipt><Reference>{job}</Reference><Status>Accepted</Status></Receipt>");
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/xml")], answer)
        }
        Format::Soap => {
            let answer = format!(
                "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>\
                 <CreateWorksheetResponse xmlns=\"urn:dovetail:load\"><ErrorCode>0</ErrorCode>\
                 <WorksheetResponse><anyType>{job}</anyType></WorksheetResponse></CreateWorksheetResponse>\
                 </soap:Body></soap:Envelope>"
            );
            (StatusCode::OK, [(header::CONTENT_TYPE, "text/xml; charset=utf-8")], answer)
        }
        Format::Form => {
            let answer = format!(
                "<service_requests><request><service_request_id>{job}</service_request_id></request></service_requests>"
            );
            (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/xml")], answer)
        }
    }
    .into_response()
}

impl Desk {
    /// Says that a job is done, again and again until it is heard.
    async fn tell(self: Arc<Self>, format: Format, number: usize) -> anyhow::Result<()> {
        tokio::time::sleep(self.work).await;
        let _place = self.places.acquire().await?;
        let body = json!({
            "id": format!("D{number}"), "job": format!("J{number}"), "reference": self.batch.ticket(number),
            "status": "done", "at": "2026-11-23T10:00:00Z",
        })
        .to_string();
        for _ in 0..TRIES {
            let address = {
                let callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                *callbacks.get(turn % callbacks.len().max(1)).context("nobody listens")?
            };
            let sent = self
                .client
                .post(format!("http://{address}/callbacks/{}", format.word()))
                .header("x-secret", SECRET)
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.clone())
                .send()
                .await;
            if sent.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.undelivered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
