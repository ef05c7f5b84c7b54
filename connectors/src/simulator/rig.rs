//! What the simulators' tests share: a running simulator, raw calls to it, and a router that takes callbacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Kind, Pace, Settings, Simulator, pusher, start};

/// Longer than anything here takes; reached only where a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running simulator and a client of it.
pub(super) struct Rig {
    pub(super) sim: Simulator,
    pub(super) client: Client,
    pub(super) shutdown: CancellationToken,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Settings under which jobs move only when a test steps them.
pub(super) fn still() -> Settings {
    Settings { pace: Pace { step: Duration::from_millis(1), paused: true }, ..Settings::default() }
}

impl Rig {
    pub(super) async fn start(kind: Kind, settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let sim = start(kind, listener, settings, shutdown.clone()).await;
        Self { sim, client: pusher::client(), shutdown }
    }

    pub(super) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.sim.url()))
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        send(self.call(Method::GET, path)).await.unwrap().json()
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Answered {
        send(self.call(Method::POST, path).body(body.to_owned())).await.unwrap()
    }
}

pub(super) async fn send(request: RequestBuilder) -> reqwest::Result<Answered> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = String::from_utf8_lossy(&answer.bytes().await?).into_owned();
    Ok(Answered { status, headers, body })
}

/// A callback as the router saw it.
#[derive(Debug)]
pub(super) struct Pushed {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// A router that takes callbacks, after it has refused the first few.
pub(super) struct Callbacks {
    pub(super) url: String,
    received: mpsc::UnboundedReceiver<Pushed>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Taking {
    refuse: Arc<AtomicU32>,
    taken: mpsc::UnboundedSender<Pushed>,
}

impl Callbacks {
    pub(super) async fn refusing(first: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (taken, received) = mpsc::unbounded_channel();
        let taking = Taking { refuse: Arc::new(AtomicU32::new(first)), taken };
        let app = Router::new().fallback(take).with_state(taking);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, received, _tasks: tasks }
    }

    pub(super) async fn next(&mut self) -> Pushed {
        tokio::time::timeout(PATIENCE, self.received.recv()).await.unwrap().unwrap()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }
}

async fn take(State(taking): State<Taking>, request: Request) -> StatusCode {
    if taking.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let pushed = Pushed {
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.into()).unwrap(),
    };
    taking.taken.send(pushed).unwrap();
    StatusCode::OK
}
