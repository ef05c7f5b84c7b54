//! The floor: the bare loop of the same client libraries that does the same outside work for each request and
//! nothing else. Consume one message, post one call, take one webhook, publish three events under confirms,
//! acknowledge. No ledger, no mapping, no checks; a crash loses what it knew.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use futures::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// As Dovetail's default.
const PREFETCH: u16 = 500;
/// As the concurrency of the load program's mappings.
const AT_ONCE: usize = 64;

/// Where its parts are: the same words as for the peers.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// RabbitMQ.
    #[arg(long)]
    amqp: String,
    /// The queue it consumes.
    #[arg(long)]
    queue: String,
    /// The exchange it publishes to.
    #[arg(long)]
    exchange: String,
    /// What it posts to.
    #[arg(long)]
    target: String,
    /// Where it takes webhooks.
    #[arg(long)]
    port: u16,
}

/// What it needs to know of a message.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    data: Request<'a>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    ticket: Cow<'a, str>,
    #[serde(borrow)]
    council: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Answer {
    job: String,
}

#[derive(Deserialize)]
struct Done<'a> {
    #[serde(borrow)]
    reference: Cow<'a, str>,
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>;

struct Loop {
    client: reqwest::Client,
    channel: Channel,
    options: Options,
    waiting: Waiting,
    places: Semaphore,
}

/// Runs until SIGTERM.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let tasks = TaskTracker::new();
    let waiting = Waiting::default();
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    let routes = Router::new().route("/callbacks/json", post(hear)).with_state(Arc::clone(&waiting));
    tasks.spawn(async move {
        // It ends with the process.
        let _ = axum::serve(listener, routes).await;
    });

    let connection = Connection::connect(&options.amqp, ConnectionProperties::default()).await?;
    let inward = connection.create_channel().await?;
    inward.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
    let queue = options.queue.as_str().into();
    let mut consumer = inward
        .basic_consume(queue, "floor".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    let bare = Loop { client, channel, options, waiting, places: Semaphore::new(AT_ONCE) };
    let bare = Arc::new(bare);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            delivery = consumer.next() => {
                let delivery = delivery.context("the consumer has ended")??;
                let bare = Arc::clone(&bare);
                tasks.spawn(async move {
                    if let Err(error) = bare.carry(delivery).await {
                        eprintln!("a request failed: {error:#}");
                    }
                });
            }
        }
    }
}

async fn hear(State(waiting): State<Waiting>, body: Bytes) -> StatusCode {
    let Ok(done) = serde_json::from_slice::<Done<'_>>(&body) else { return StatusCode::BAD_REQUEST };
    let told = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&*done.reference);
    match told.map(|told| told.send(())) {
        Some(Ok(())) => StatusCode::OK,
        Some(Err(())) | None => StatusCode::NOT_FOUND,
    }
}

impl Loop {
    async fn carry(&self, delivery: Delivery) -> anyhow::Result<()> {
        let Message { data: Request { ticket, council } } = serde_json::from_slice(&delivery.data)?;
        let (tell, done) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket.to_string(), tell);
        let accepted = self.publish("accepted", &ticket, &council, "").await?;
        let answer: Answer = {
            let _place = self.places.acquire().await?;
            let post = self.client.post(&self.options.target).header("content-type", "application/json");
            let answer = post.body(delivery.data.clone()).send().await?.error_for_status()?;
            serde_json::from_slice(&answer.bytes().await?)?
        };
        let handed_over = self.publish("handed-over", &ticket, &council, &answer.job).await?;
        done.await?;
        let closed = self.publish("closed", &ticket, &council, &answer.job).await?;
        for confirm in [accepted, handed_over, closed] {
            anyhow::ensure!(confirm.await?.is_ack(), "an event was not confirmed");
        }
        delivery.acker.ack(BasicAckOptions::default()).await?;
        Ok(())
    }

    async fn publish(
        &self,
        word: &str,
        ticket: &str,
        council: &str,
        job: &str,
    ) -> anyhow::Result<impl Future<Output = lapin::Result<Confirmation>> + use<>> {
        let event = json!({
            "specversion": "1.0", "id": Uuid::now_v7().to_string(), "source": "/floor",
            "type": format!("uk.dovetail.ticket.{word}.v1"), "time": "2026-11-23T10:00:00Z",
            "datacontenttype": "application/json", "subject": ticket,
            "data": {"ticket": ticket, "council": council, "system": "json", "job": job, "disposition": "completed",
                     "say": "The work has been done."},
        });
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/cloudevents+json".into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (self.options.exchange.as_str(), format!("{council}.ticket.{word}"));
        let body = event.to_string();
        let confirm = self
            .channel
            .basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties)
            .await?;
        Ok(confirm)
    }
}
