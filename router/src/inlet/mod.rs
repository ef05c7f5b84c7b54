//! What comes in from RabbitMQ: requests to the intake, completions to the correlator, each acknowledged when
//! the ledger has it.

mod pressure;
mod suspects;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use mappings::bounds::Bounds;
use mappings::domain::{Job, SystemName, Ticket};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, Inbound, Queue};
use crate::clock::Clock;
use crate::complete;
use crate::envelope::{self, Data, Delivery};
use crate::failpoint::{self, Point};
use crate::intake::{Intake, KEPT_BODY, Message, Understood};
use crate::ledger::{Completion, Failed, InboxKey, KeptAs, Ledger, Refusal, Way, Writer};
use crate::reading::{Memory, memory_of_packed};
use crate::unpack;
use pressure::{Pressure, Turn};
use suspects::{Rest, Returned, Suspect, TOGETHER};

pub use suspects::Suspects;

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
    /// The largest document that is read.
    pub bounds: Bounds,
    /// The memory for documents.
    pub memory: Memory,
    /// To hold back what the ledger cannot take.
    pub bus: Bus,
    /// The most deliveries that are held unacknowledged.
    pub most: usize,
    /// How often the broker gives a delivery out before it sets it aside.
    pub delivery_limit: u32,
    /// Of what came back, how often it was read.
    pub ledger: Arc<dyn Ledger>,
    /// What came back, on both queues.
    pub suspects: Suspects,
}

/// How often it is looked whether the ledger keeps up.
const LOOK: Duration = Duration::from_millis(200);

impl Inlet {
    /// Takes deliveries until shutdown; those under way are finished, all others come again.
    ///
    /// While the ledger cannot write or falls behind, nothing is consumed: what has come waits here, what has not
    /// waits at the broker, where other routers can take it.
    pub async fn run(self, queue: Queue, mut inbound: mpsc::Receiver<Inbound>, shutdown: CancellationToken) {
        let pressure = Pressure::default();
        let mut under_way = FuturesUnordered::new();
        let mut returned = VecDeque::new();
        let mut suspects: Vec<Suspect> = Vec::new();
        let mut careful: Option<BoxFuture<'_, Step>> = None;
        let mut rest = None;
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let gauge = metrics::gauge!("dovetail_bus_unacknowledged", "queue" => queue.to_string());
        loop {
            let held = under_way.len() + returned.len() + suspects.len();
            gauge.set(u32::try_from(held).map_or(f64::INFINITY, f64::from));
            if careful.is_none() {
                careful =
                    self.next_step(&mut returned, &mut suspects, rest.is_some(), (&pressure, &shutdown));
            }
            if careful.is_none() {
                rest = None;
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(()) = under_way.next() => {}
                step = OptionFuture::from(careful.as_mut()), if careful.is_some() => {
                    careful = None;
                    match step {
                        Some(Step::Sorted(more)) => suspects.extend(more),
                        Some(Step::Rested(begun)) => rest = Some(begun),
                        Some(Step::Alone) | None => {}
                    }
                }
                _ = tick.tick() => self.turn(queue, pressure.look(tokio::time::Instant::now())),
                next = inbound.recv(), if held < self.most => {
                    let Some(next) = next else { break };
                    if self.suspects.holds(&next) {
                        returned.push_back(self.suspects.add(next));
                    } else {
                        under_way.push(self.take(next, &pressure, &shutdown));
                    }
                }
            }
        }
        drop((returned, suspects));
        if let Some(careful) = careful {
            careful.await;
        }
        drop(rest);
        while under_way.next().await.is_some() {}
    }

    /// What is done next with what came back: those that are not known are read together, before those that are known
    /// as suspect, which are read one by one while both queues rest.
    fn next_step<'a>(
        &'a self,
        returned: &mut VecDeque<Returned>,
        suspects: &mut Vec<Suspect>,
        is_resting: bool,
        (pressure, shutdown): (&'a Pressure, &'a CancellationToken),
    ) -> Option<BoxFuture<'a, Step>> {
        if !returned.is_empty() {
            let some: Vec<Returned> = returned.drain(..returned.len().min(TOGETHER)).collect();
            let sorting = self.take_returned(some, pressure, shutdown);
            return Some(sorting.map(Step::Sorted).boxed());
        }
        // The least suspect first.
        let place = (0..suspects.len()).min_by_key(|place| suspects[*place].times)?;
        if !is_resting {
            let resting = shutdown.run_until_cancelled(self.suspects.rest(&self.bus));
            return Some(resting.map(|rest| rest.map_or(Step::Alone, Step::Rested)).boxed());
        }
        let suspect = suspects.remove(place);
        Some(self.take_alone(suspect, pressure, shutdown).map(|()| Step::Alone).boxed())
    }

    /// Turns the tap of the queue.
    fn turn(&self, queue: Queue, turn: Turn) {
        if self.suspects.is_resting() {
            return;
        }
        match turn {
            Turn::Off(reason) if !self.bus.is_paused(queue) => {
                tracing::warn!(queue = %queue, reason, "nothing is consumed until the ledger keeps up");
                self.bus.pause(queue);
            }
            Turn::On if self.bus.is_paused(queue) => {
                tracing::info!(queue = %queue, "consuming again");
                self.bus.resume(queue);
            }
            Turn::Off(_) | Turn::On | Turn::AsItIs => return,
        }
        let paused = if self.bus.is_paused(queue) { 1.0 } else { 0.0 };
        metrics::gauge!("dovetail_bus_paused", "queue" => queue.to_string()).set(paused);
    }

    /// Takes one delivery and acknowledges it. While the ledger cannot write, the delivery waits here,
    /// unacknowledged: the prefetch bounds how many do. One whose connection is gone comes again by itself.
    async fn take(&self, inbound: Inbound, pressure: &Pressure, shutdown: &CancellationToken) {
        let _together = self.suspects.beside_others().await;
        self.carry(inbound, pressure, shutdown).await;
    }

    /// Reads a delivery, has the ledger take it, and acknowledges it.
    async fn carry(&self, inbound: Inbound, pressure: &Pressure, shutdown: &CancellationToken) {
        let (queue, receipt) = (inbound.queue, inbound.receipt.clone());
        let hash = self.suspects.hash(&inbound.body);
        failpoint::hit(Point::Received).await;
        if failpoint::acknowledges_first() {
            receipt.ack().await;
            // Until the broker has it, too: the checker must find what a kill loses from here on.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        // What is long to read holds up neither the queue nor the other tasks; how long shows only when it is unpacked.
        let (length, bounds) = (inbound.length(), self.bounds);
        let measure = move || {
            let needed = memory_of_packed(&inbound.body, inbound.content_encoding.as_deref(), &bounds);
            (inbound, needed)
        };
        let (inbound, needed) = self.memory.read(length, measure).await;
        let _memory = self.memory.enter(needed).await;
        let inlet = self.clone();
        let read = self.memory.read(length, move || inlet.read(inbound)).await;
        let mut waiting = pressure.enter(tokio::time::Instant::now());
        let mut pause = Duration::from_millis(50);
        while let Err(error) = self.accept(&read).await {
            waiting.failed();
            tracing::error!(error = %error, queue = %queue, "a delivery could not be written yet");
            if !receipt.is_live() {
                self.suspects.lived(hash);
                return;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(2)),
            }
        }
        drop(waiting);
        failpoint::hit(Point::Acknowledging).await;
        if !receipt.ack().await {
            self.suspects.lived(hash);
            tracing::warn!(queue = %queue, "a delivery could not be acknowledged; it will come again");
        }
        failpoint::hit(Point::Acknowledged).await;
    }

    fn read(&self, inbound: Inbound) -> Read {
        failpoint::reading(&inbound.body);
        let now = self.clock.now();
        match inbound.queue {
            Queue::Intake => Read::Requests(self.intake.read(request(inbound, &self.bounds), now)),
            Queue::Completions => match completion(inbound, &self.bounds, now) {
                Ok(completion) => Read::Completion(Box::new(completion)),
                Err(refusal) => Read::Requests(vec![Err(refusal)]),
            },
        }
    }

    async fn accept(&self, read: &Read) -> Result<(), Failed> {
        match read {
            Read::Requests(requests) => self.intake.accept(requests.clone()).await.map(|_| ()),
            Read::Completion(completion) => {
                complete::take(&self.writer, Completion::clone(completion)).await.map(drop)
            }
        }
    }
}

/// What came of one step with deliveries that came back.
enum Step {
    /// All were read but these, which are known as suspect.
    Sorted(Vec<Suspect>),
    /// Both queues rest.
    Rested(Rest),
    /// One suspect was read alone, or shutdown came first.
    Alone,
}

/// What a delivery was understood as.
enum Read {
    Requests(Vec<Understood>),
    Completion(Box<Completion>),
}

fn request(inbound: Inbound, bounds: &Bounds) -> Message {
    let headers = &inbound.headers;
    let trace = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("traceparent"));
    let traceparent = trace.and_then(|(_, value)| envelope::traceparent(value.clone()));
    let content_type = inbound.media_type();
    let crm = inbound.routing_key.strip_prefix(NATIVE).and_then(|crm| SystemName::parse(crm).ok());
    let message = match (inbound.unpacked(bounds), crm) {
        (Ok(body), Some(crm)) => Message::native("amqp", crm, content_type, body.into_owned(), bounds),
        (Ok(body), None) => Message::read("amqp", &body, |body| {
            envelope::from_amqp(content_type.as_deref(), headers, body, bounds)
        }),
        (Err(error), _) => Message::packed("amqp", &inbound.body, inbound.content_encoding.as_deref(), error),
    };
    Message { traceparent, ..message }
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

fn completion(inbound: Inbound, bounds: &Bounds, now: Timestamp) -> Result<Completion, Box<Refusal>> {
    let kept = unpack::beginning(&inbound.body, inbound.content_encoding.as_deref(), KEPT_BODY).into_owned();
    let delivery = inbound.read(bounds).map_err(|error| error.to_string());
    delivery
        .and_then(|delivery| reported(delivery, now))
        .map_err(|reason| Box::new(refusal(kept, reason, now)))
}

/// Reads a completion from an event of `backoffice.events`.
///
/// # Errors
/// A sentence that says what was found and expected.
pub fn reported(delivery: Delivery, now: Timestamp) -> Result<Completion, String> {
    let envelope = match delivery {
        Delivery::Event(envelope) if envelope.kind == COMPLETION => envelope,
        Delivery::Event(_) | Delivery::Events(_) | Delivery::Foreign { .. } => {
            return Err(format!("expected one CloudEvent of type {COMPLETION}"));
        }
    };
    let Data::Json(data) = &envelope.data else { return Err("data: expected JSON".to_owned()) };
    let reported: Reported = mappings::domain::read(data).map_err(|error| format!("data.{error}"))?;
    let invalid = |error: mappings::domain::InvalidId| error.to_string();
    let mut completion = Completion {
        system: SystemName::parse(&reported.system).map_err(invalid)?,
        key: format!("{}#{}", envelope.source, envelope.id),
        job: reported.job.as_deref().map(Job::parse).transpose().map_err(invalid)?,
        reference: reported.reference.as_deref().map(Ticket::parse).transpose().map_err(invalid)?,
        said: reported.status,
        note: reported.note,
        said_at: reported.at,
        received_at: now,
        way: Way::Queue,
    };
    completion.key = complete::key(&completion);
    Ok(completion)
}

fn refusal(body: Vec<u8>, reason: String, now: Timestamp) -> Refusal {
    Refusal {
        key: InboxKey { source: "/amqp/completions".to_owned(), id: envelope::digest(&body) },
        council: None,
        ticket: None,
        path: None,
        reason: reason.into(),
        revision: None,
        body,
        kept_as: KeptAs::Nothing,
        received_at: now,
        traceparent: None,
        sent_with: None,
    }
}
