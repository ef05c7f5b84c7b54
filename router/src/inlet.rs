//! What comes in from RabbitMQ: requests to the intake, completions to the correlator, each acknowledged when
//! the ledger has it.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use mappings::domain::{Job, SystemName, Ticket};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::{Inbound, Queue};
use crate::clock::Clock;
use crate::envelope::{self, Data, Delivery};
use crate::intake::{Intake, Message};
use crate::ledger::{Completion, InboxKey, Refusal, Way, WriteError, Writer};

/// The type of a completion on `backoffice.events`.
pub const COMPLETION: &str = "uk.dovetail.job.reported.v1";
/// Routing keys of native messages: `native.<crm>`.
const NATIVE: &str = "native.";

/// Takes deliveries from the bus.
#[derive(Clone)]
pub struct Inlet {
    /// For requests.
    pub intake: Intake,
    /// For completions and refusals.
    pub writer: Writer,
    /// The time.
    pub clock: Clock,
}

impl Inlet {
    /// Takes deliveries until shutdown; those under way are finished, all others come again.
    pub async fn run(self, mut inbound: mpsc::Receiver<Inbound>, shutdown: CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(()) = under_way.next() => {}
                next = inbound.recv() => {
                    let Some(next) = next else { break };
                    under_way.push(self.take(next, &shutdown));
                }
            }
        }
        while under_way.next().await.is_some() {}
    }

    /// Takes one delivery and acknowledges it. While the ledger cannot write, the delivery waits here,
    /// unacknowledged: the prefetch bounds how many do.
    async fn take(&self, inbound: Inbound, shutdown: &CancellationToken) {
        let mut pause = Duration::from_millis(50);
        while let Err(error) = self.accept(&inbound).await {
            tracing::error!(error = %error, queue = inbound.queue.as_str(), "a delivery could not be written yet");
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(2)),
            }
        }
        if !inbound.ack().await {
            tracing::warn!(queue = inbound.queue.as_str(), "a delivery could not be acknowledged; it will come again");
        }
    }

    async fn accept(&self, inbound: &Inbound) -> Result<(), WriteError> {
        let now = self.clock.now();
        match inbound.queue {
            Queue::Intake => {
                let crm = inbound.routing_key.strip_prefix(NATIVE).and_then(|crm| SystemName::parse(crm).ok());
                let delivery = match &crm {
                    Some(_) => Ok(Delivery::Foreign { content_type: inbound.content_type.clone(), bytes: inbound.body.clone() }),
                    None => envelope::from_amqp(inbound.content_type.as_deref(), &inbound.headers, &inbound.body),
                };
                let traceparent = inbound.headers.get("traceparent").cloned();
                let message = Message { door: "amqp", crm, body: inbound.body.clone(), delivery, traceparent };
                self.intake.receive(message, now).await.map(|_| ())
            }
            Queue::Completions => match completion(inbound, now) {
                Ok(completion) => self.writer.complete(completion).await.map(|_| ()),
                Err(reason) => self.writer.refuse(refusal(inbound, reason, now)).await.map(|_| ()),
            },
        }
    }
}

/// The `data` of a completion on the bus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reported {
    system: String,
    job: Option<String>,
    reference: Option<String>,
    status: String,
    at: Option<Timestamp>,
    note: Option<String>,
}

fn completion(inbound: &Inbound, now: Timestamp) -> Result<Completion, String> {
    let delivery = envelope::from_amqp(inbound.content_type.as_deref(), &inbound.headers, &inbound.body);
    let envelope = match delivery.map_err(|error| error.to_string())? {
        Delivery::Event(envelope) if envelope.kind == COMPLETION => envelope,
        Delivery::Event(_) | Delivery::Events(_) | Delivery::Foreign { .. } => {
            return Err(format!("expected one CloudEvent of type {COMPLETION}"));
        }
    };
    let Data::Json(data) = &envelope.data else { return Err("data: expected JSON".to_owned()) };
    let reported: Reported =
        serde_path_to_error::deserialize(data).map_err(|error| format!("data.{}: {}", error.path(), error.inner()))?;
    let invalid = |error: mappings::domain::InvalidId| error.to_string();
    Ok(Completion {
        system: SystemName::parse(&reported.system).map_err(invalid)?,
        key: format!("{}#{}", envelope.source, envelope.id),
        job: reported.job.as_deref().map(Job::parse).transpose().map_err(invalid)?,
        reference: reported.reference.as_deref().map(Ticket::parse).transpose().map_err(invalid)?,
        said: reported.status,
        note: reported.note,
        said_at: reported.at,
        received_at: now,
        way: Way::Queue,
    })
}

fn refusal(inbound: &Inbound, reason: String, now: Timestamp) -> Refusal {
    Refusal {
        key: InboxKey { source: "/amqp/completions".to_owned(), id: envelope::digest(&inbound.body) },
        council: None,
        ticket: None,
        path: None,
        reason,
        body: inbound.body[..inbound.body.len().min(64 * 1024)].to_vec(),
        received_at: now,
        traceparent: None,
    }
}
