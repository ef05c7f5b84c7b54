//! Hears the events and checks every id: accepted, handed over and closed, each exactly once a ticket.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde::Deserialize;
use tokio::sync::watch;

use crate::broker::Broker;
use crate::request::{Batch, Format};

/// What was heard of one ticket: how often each event came, and when it closed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ticket {
    accepted: u8,
    handed_over: u8,
    closed: u8,
    /// When it closed.
    pub(crate) closed_at: Option<Instant>,
}

/// What was heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// By number.
    pub(crate) tickets: Vec<Ticket>,
    ids: HashSet<u64>,
    doubles: u64,
    unexpected: Vec<String>,
    /// The first event of all.
    pub(crate) first: Option<Instant>,
    /// The last closure.
    pub(crate) last_closed: Option<Instant>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Events heard.
    pub(crate) events: usize,
    /// Tickets accepted.
    pub(crate) accepted: usize,
    /// Tickets closed.
    pub(crate) closed: usize,
}

/// The part of an event that is checked.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
}

/// A consumer of the CRM's queue of events.
pub(crate) struct Hearing {
    heard: Arc<Mutex<Heard>>,
    progress: watch::Receiver<Progress>,
    _connection: Connection,
    task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Hearing {
    /// Starts to hear.
    pub(crate) async fn start(broker: &Broker, batch: Batch) -> anyhow::Result<Self> {
        let connection = Connection::connect(&broker.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let queue = broker.heard.as_str().into();
        let mut consumer = channel.basic_consume(queue, "crm".into(), options, FieldTable::default()).await?;
        let tickets = vec![Ticket::default(); batch.count];
        let heard = Arc::new(Mutex::new(Heard { tickets, ..Heard::default() }));
        let (tell, progress) = watch::channel(Progress::default());
        let all = Arc::clone(&heard);
        let tracker = tokio_util::task::TaskTracker::new();
        let task = tracker.spawn(async move {
            let _channel = channel;
            while let Some(Ok(delivery)) = consumer.next().await {
                let now = Instant::now();
                let mut step = Progress::default();
                lock(&all).note(&batch, &delivery.data, now, &mut step);
                tell.send_modify(|progress| {
                    progress.events += 1;
                    progress.accepted += step.accepted;
                    progress.closed += step.closed;
                });
            }
        });
        let task = tokio_util::task::AbortOnDropHandle::new(task);
        Ok(Self { heard, progress, _connection: connection, task })
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }

    /// Waits until it is enough.
    ///
    /// # Errors
    /// Nothing was heard for a while.
    pub(crate) async fn until(
        &self,
        what: &str,
        patience: Duration,
        enough: impl Fn(Progress) -> bool,
    ) -> anyhow::Result<()> {
        let mut progress = self.progress.clone();
        loop {
            let seen = *progress.borrow_and_update();
            if enough(seen) {
                return Ok(());
            }
            match tokio::time::timeout(patience, progress.changed()).await {
                Ok(changed) => changed.context("the consumer of events has ended")?,
                Err(_) => bail!("nothing more was heard for {patience:?}, waiting for {what}: {seen:?}"),
            }
        }
    }

    /// Ends the hearing.
    pub(crate) fn end(self) {
        self.task.abort();
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heard {
    fn note(&mut self, batch: &Batch, body: &[u8], now: Instant, step: &mut Progress) {
        self.first.get_or_insert(now);
        let Ok(event) = serde_json::from_slice::<Event<'_>>(body) else {
            return self.surprise(format!("not an event: {}", String::from_utf8_lossy(body)));
        };
        if !self.ids.insert(hash(&event.id)) {
            self.doubles += 1;
            return;
        }
        let number = event.subject.as_deref().and_then(|subject| batch.number_in(subject));
        let Some(ticket) = number.and_then(|number| self.tickets.get_mut(number)) else {
            return self.surprise(format!("{} about {:?}", event.kind, event.subject));
        };
        match &*event.kind {
            "uk.dovetail.ticket.accepted.v1" => {
                ticket.accepted = ticket.accepted.saturating_add(1);
                step.accepted = 1;
            }
            "uk.dovetail.ticket.handed-over.v1" => ticket.handed_over = ticket.handed_over.saturating_add(1),
            "uk.dovetail.ticket.closed.v1" => {
                ticket.closed = ticket.closed.saturating_add(1);
                ticket.closed_at = Some(now);
                self.last_closed = Some(now);
                step.closed = 1;
            }
            _ => self.surprise(format!("{} about {:?}", event.kind, event.subject)),
        }
    }

    fn surprise(&mut self, what: String) {
        if self.unexpected.len() < 5 {
            self.unexpected.push(what);
        }
    }

    /// Checks every ticket whose format is one of these: each event exactly once, and nothing that is not ours.
    ///
    /// # Errors
    /// Says what is missing or too much.
    pub(crate) fn check(&self, batch: &Batch, formats: &[Format]) -> anyhow::Result<()> {
        let expected =
            self.tickets.iter().enumerate().filter(|(number, _)| formats.contains(&batch.format(*number)));
        let mut wrong = expected
            .filter(|(_, ticket)| (ticket.accepted, ticket.handed_over, ticket.closed) != (1, 1, 1))
            .map(|(number, ticket)| {
                format!(
                    "{}: accepted {}, handed over {}, closed {}",
                    batch.ticket(number),
                    ticket.accepted,
                    ticket.handed_over,
                    ticket.closed
                )
            })
            .peekable();
        if wrong.peek().is_some() {
            let some: Vec<String> = wrong.by_ref().take(3).collect();
            bail!(
                "{} tickets are not closed exactly once: {} …",
                some.len() + wrong.count(),
                some.join("; ")
            );
        }
        if self.doubles > 0 || !self.unexpected.is_empty() {
            bail!("{} events came twice; unexpected: {:?}", self.doubles, self.unexpected);
        }
        Ok(())
    }
}

fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
