//! The reading side: two consumers on one connection, and the probe that notices when one is gone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::error::{Error, within};
use super::inbound::Inbound;
use super::inflow::Inflow;
use super::link::{Link, Open, short};
use super::state::Board;
use super::topology::Topology;
use super::{Queue, Settings};
use crate::clock::Clock;

/// How often the probe looks whether the queues still know a consumer.
const PROBE: Duration = Duration::from_secs(3);

/// How long messages are taken one by one after one that could not be read.
const CAREFUL: Duration = Duration::from_secs(10);

/// The reading side.
///
/// A message that the client cannot read ends the connection before anyone sees it, so it can only be given out
/// again until the broker sets it aside. Meanwhile messages are taken one by one: what shared a prefetch with it
/// would be counted as given out too often as well.
pub(super) struct Reader {
    pub(super) link: Link,
    pub(super) inflow: Arc<Inflow>,
    pub(super) settings: Arc<Settings>,
    pub(super) taps: [Tap; 2],
    pub(super) held: (mpsc::Sender<Infallible>, mpsc::Receiver<Infallible>),
}

/// Where the messages of one queue go.
pub(super) struct Tap {
    pub(super) queue: Queue,
    pub(super) paused: watch::Receiver<bool>,
    pub(super) messages: mpsc::Sender<Inbound>,
}

impl Reader {
    /// Keeps both queues flowing until shutdown; then waits for the last receipts and closes the connection.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut careful_until = Instant::now();
        let (open, channels) = loop {
            let Some(mut open) = self.link.connect(&shutdown).await else { return };
            match self.read(&mut open, careful_until, &shutdown).await {
                Ok(channels) => break (open, channels),
                Err(error) => {
                    let error = open.cause(error);
                    self.link.lost(&error);
                    if error.is_unreadable() {
                        careful_until = Instant::now() + CAREFUL;
                    }
                }
            }
        };
        let Self { settings, taps, held: (sender, mut held), .. } = self;
        drop((taps, sender));
        if tokio::time::timeout(settings.drain, held.recv()).await.is_err() {
            tracing::warn!("closing the connection with deliveries that were not acknowledged");
        }
        open.close().await;
        drop(channels);
    }

    /// Reads both queues over one connection until it is lost (an error) or shutdown; then gives the channels,
    /// which must stay open for the last acknowledgements.
    async fn read(
        &mut self,
        open: &mut Open,
        careful_until: Instant,
        shutdown: &CancellationToken,
    ) -> Result<[Channel; 2], Error> {
        let timeout = self.settings.timeout;
        let control = within(timeout, "opening a channel", open.connection.create_channel()).await?;
        self.settings.topology.declare(&control, timeout).await?;
        let [intake, completions] = &mut self.taps;
        let common = Common {
            connection: &open.connection,
            settings: &self.settings,
            careful_until,
            held: &self.held.0,
            link: &self.link,
            inflow: &self.inflow,
        };
        let mut feeds = [Feed::start(&common, intake).await?, Feed::start(&common, completions).await?];
        self.link.up();
        let probe = Probe {
            channel: control,
            topology: &self.settings.topology,
            board: &self.link.board,
            paused: feeds.each_ref().map(|feed| feed.paused.clone()),
            held: feeds.each_ref().map(|feed| Arc::clone(&feed.unacknowledged)),
            inflow: &self.inflow,
            prefetch: usize::from(self.settings.prefetch.max(1)),
            timeout,
        };
        let channels = feeds.each_ref().map(|feed| feed.channel.clone());
        let [intake, completions] = &mut feeds;
        let feeding = async { tokio::try_join!(intake.run(shutdown), completions.run(shutdown)) };
        tokio::select! {
            fed = feeding => fed.map(|_| channels),
            gone = probe.run() => Err(gone),
            gone = listen(&self.link, open) => Err(gone),
        }
    }
}

/// Listens to the broker until the connection is gone.
async fn listen(link: &Link, open: &mut Open) -> Error {
    loop {
        match open.said().await {
            Ok(said) => link.heard(&said),
            Err(gone) => return gone,
        }
    }
}

/// What both feeds have in common.
struct Common<'c, 'a> {
    connection: &'c Connection,
    settings: &'a Settings,
    careful_until: Instant,
    held: &'a mpsc::Sender<Infallible>,
    link: &'c Link,
    inflow: &'c Arc<Inflow>,
}

/// One queue's way to its receiver over one channel.
struct Feed<'a> {
    queue: Queue,
    prefetch: u16,
    /// Until then messages are taken one by one.
    careful_until: Instant,
    name: &'a str,
    channel: Channel,
    consumer: Option<Consumer>,
    paused: watch::Receiver<bool>,
    messages: &'a mpsc::Sender<Inbound>,
    held: &'a mpsc::Sender<Infallible>,
    inflow: Arc<Inflow>,
    /// Counts its receipts that are still held.
    unacknowledged: Arc<()>,
    board: Arc<Board>,
    clock: Clock,
    timeout: Duration,
}

impl<'a> Feed<'a> {
    async fn start(common: &Common<'_, 'a>, tap: &'a mut Tap) -> Result<Self, Error> {
        let Common { connection, settings, careful_until, held, link, inflow } = *common;
        let timeout = settings.timeout;
        let channel = within(timeout, "opening a channel", connection.create_channel()).await?;
        let mut feed = Self {
            queue: tap.queue,
            prefetch: settings.prefetch,
            careful_until,
            name: tap.queue.name(&settings.topology),
            channel,
            consumer: None,
            paused: tap.paused.clone(),
            messages: &tap.messages,
            held,
            inflow: Arc::clone(inflow),
            unacknowledged: Arc::new(()),
            board: link.board.clone(),
            clock: link.clock.clone(),
            timeout,
        };
        if !*feed.paused.borrow_and_update() {
            feed.consume().await?;
        }
        Ok(feed)
    }

    /// Passes messages on, stops and starts as asked; ends well on shutdown or when nobody receives any more.
    async fn run(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut paused = self.paused.clone();
        let mut careful = self.careful_until > Instant::now();
        loop {
            let Some(consumer) = &mut self.consumer else {
                match shutdown.run_until_cancelled(becomes(&mut paused, false)).await {
                    Some(()) => self.consume().await?,
                    None => return Ok(()),
                }
                continue;
            };
            let receiving = tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    // What is held is acknowledged meanwhile, as far as that can be.
                    let _late = timeout(self.timeout, self.inflow.has_room()).await;
                    return self.cancel().await.map(|_| ());
                }
                () = becomes_with_room(&mut paused, &self.inflow) => self.cancel().await?,
                () = sleep_until(self.careful_until), if careful => {
                    careful = false;
                    let receiving = self.cancel().await?;
                    self.consume().await?;
                    receiving
                }
                next = consumer.next() => match next {
                    Some(delivery) => self.forward(delivery).await?,
                    None => return Err(Error::ConsumerGone { queue: self.queue }),
                },
            };
            if receiving == Receiving::No {
                return self.cancel().await.map(|_| ());
            }
        }
    }

    async fn consume(&mut self) -> Result<(), Error> {
        let prefetch = if self.careful_until > Instant::now() { 1 } else { self.prefetch };
        let limited = self.channel.basic_qos(prefetch, BasicQosOptions::default());
        within(self.timeout, "setting the prefetch", limited).await?;
        let started = self.channel.basic_consume(
            short(self.name)?,
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        self.consumer = Some(within(self.timeout, "starting to consume", started).await?);
        Ok(())
    }

    /// Stops consuming and keeps the channel, so that what was delivered can still be acknowledged; passes on
    /// what came before the broker heard of it.
    async fn cancel(&mut self) -> Result<Receiving, Error> {
        let Some(mut consumer) = self.consumer.take() else { return Ok(Receiving::Yes) };
        let cancelled = self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        within(self.timeout, "stopping to consume", cancelled).await?;
        while let Some(delivery) = consumer.next().await {
            if self.forward(delivery).await? == Receiving::No {
                return Ok(Receiving::No);
            }
        }
        Ok(Receiving::Yes)
    }

    async fn forward(&self, delivery: lapin::Result<Delivery>) -> Result<Receiving, Error> {
        let delivery = delivery.map_err(|source| Error::Broker { doing: "consuming", source })?;
        self.board.delivered(self.queue, self.clock.now());
        let weight = self.inflow.take(delivery.data.len());
        let message =
            Inbound::new(delivery, self.queue, self.held.clone(), Arc::clone(&self.unacknowledged), weight);
        match self.messages.send(message).await {
            Ok(()) => Ok(Receiving::Yes),
            Err(_) => Ok(Receiving::No),
        }
    }
}

/// Waits until the queue is to be paused and the broker's answer to that would be read: nothing comes before.
async fn becomes_with_room(paused: &mut watch::Receiver<bool>, inflow: &Inflow) {
    becomes(paused, true).await;
    inflow.has_room().await;
}

/// Waits until the tap is turned so; for ever where nobody is left to turn it.
async fn becomes(paused: &mut watch::Receiver<bool>, wanted: bool) {
    if paused.wait_for(|paused| *paused == wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Whether anybody still takes the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Yes,
    No,
}

/// Looks at the queues now and then: a consumer can vanish without a word.
struct Probe<'a> {
    channel: Channel,
    topology: &'a Topology,
    board: &'a Board,
    paused: [watch::Receiver<bool>; 2],
    held: [Arc<()>; 2],
    inflow: &'a Inflow,
    prefetch: usize,
    timeout: Duration,
}

impl Probe<'_> {
    /// Runs until a consumer is gone.
    async fn run(self) -> Error {
        let mut suspicions = [Suspicion::default(), Suspicion::default()];
        loop {
            match self.look(&self.topology.dead).await {
                Ok((letters, _)) => self.board.set_aside(u64::from(letters)),
                Err(Error::TimedOut { .. }) if self.inflow.is_full() => {}
                Err(error) => return error,
            }
            tokio::time::sleep(PROBE).await;
            for (((queue, paused), held), suspicion) in [Queue::Intake, Queue::Completions]
                .into_iter()
                .zip(&self.paused)
                .zip(&self.held)
                .zip(&mut suspicions)
            {
                let (depth, consumers) = match self.look(queue.name(self.topology)).await {
                    Ok(seen) => seen,
                    // The answer waits behind deliveries for which there is no room.
                    Err(Error::TimedOut { .. }) if self.inflow.is_full() => continue,
                    Err(error) => return error,
                };
                self.board.measured(queue, u64::from(depth));
                let seen = Seen {
                    consumers,
                    depth,
                    paused: *paused.borrow(),
                    // The feed holds one itself.
                    full: Arc::strong_count(held) > self.prefetch || self.inflow.is_full(),
                    last_delivery: self.board.last_delivery(queue),
                };
                if suspicion.confirmed(seen) {
                    return Error::ConsumerGone { queue };
                }
            }
        }
    }

    async fn look(&self, queue: &str) -> Result<(u32, u32), Error> {
        let options = QueueDeclareOptions::durable().passive();
        let seen = self.channel.queue_declare(short(queue)?, options, FieldTable::default());
        let seen = within(self.timeout, "looking at a queue", seen).await?;
        Ok((seen.message_count(), seen.consumer_count()))
    }
}

/// What is seen of a queue at one look.
#[derive(Debug, Clone, Copy)]
struct Seen {
    consumers: u32,
    depth: u32,
    paused: bool,
    /// As much is held unacknowledged as the broker gives out.
    full: bool,
    last_delivery: Option<Timestamp>,
}

/// What several looks add up to. One is not enough, since the broker's counts lag.
#[derive(Debug, Default)]
struct Suspicion {
    nobody: u32,
    nothing: u32,
    last_delivery: Option<Timestamp>,
}

impl Suspicion {
    /// Whether our consumer is gone: nobody consumes, or messages wait and we have room, and yet nothing comes.
    /// The second shows it also where other routers consume from the queue.
    fn confirmed(&mut self, seen: Seen) -> bool {
        let Seen { consumers, depth, paused, full, last_delivery } = seen;
        self.nobody = if consumers == 0 && !paused { self.nobody + 1 } else { 0 };
        let came = last_delivery != self.last_delivery;
        self.last_delivery = last_delivery;
        self.nothing = if depth > 0 && !paused && !full && !came { self.nothing + 1 } else { 0 };
        self.nobody >= 2 || self.nothing >= 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Seen = Seen { consumers: 1, depth: 0, paused: false, full: false, last_delivery: None };

    /// After how many equal looks the consumer counts as gone; at most ten.
    fn looks(seen: Seen) -> Option<usize> {
        let mut suspicion = Suspicion::default();
        (1..=10).find(|_| suspicion.confirmed(seen))
    }

    #[test]
    fn a_consumer_that_the_broker_does_not_know_is_gone_at_the_second_look() {
        assert_eq!(looks(WELL), None);
        assert_eq!(looks(Seen { consumers: 0, ..WELL }), Some(2));
        assert_eq!(looks(Seen { consumers: 0, paused: true, ..WELL }), None);
    }

    #[test]
    fn a_consumer_that_gets_nothing_while_messages_wait_is_gone_though_others_consume() {
        let waiting = Seen { consumers: 3, depth: 7, ..WELL };
        assert_eq!(looks(waiting), Some(3));
        assert_eq!(looks(Seen { paused: true, ..waiting }), None);
        assert_eq!(looks(Seen { full: true, ..waiting }), None, "what we hold ourselves keeps it from us");
        let mut suspicion = Suspicion::default();
        for second in 0..10 {
            let last_delivery = Timestamp::from_second(second).ok();
            assert!(!suspicion.confirmed(Seen { last_delivery, ..waiting }), "something came");
        }
    }
}
