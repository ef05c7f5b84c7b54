//! RabbitMQ: requests and completions come in, events go out. Nothing outside this module knows AMQP.
//!
//! [`open`] gives the ends to the app; [`Supervisor::run`] keeps two connections alive behind them, one that
//! reads and one that writes. Whatever breaks, the ends stay the same: deliveries come again, and what was not
//! confirmed is reported [`Fate::Lost`].

mod client;
mod consumer;
mod dead;
mod error;
mod inbound;
mod inflow;
mod link;
mod publisher;
mod state;
#[cfg(test)]
mod tests;
mod topology;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use client::{Client, reach};
pub use dead::{DeadLetter, DeadLetters};
pub use error::Error;
pub use inbound::{Inbound, Receipt};
pub use publisher::{Closed, Confirmed, Fate, Outgoing, Publisher};
pub use state::State;
pub use topology::Topology;

use crate::clock::Clock;
use consumer::{Reader, Tap};
use inflow::Inflow;
use link::{Link, address};
use publisher::{Confirms, Writer};
use state::{Board, Side};

/// Whether what the AMQP client logs may be written down. Of messages that come back it logs the bodies, and at its finest
/// level every frame. And it logs the end of each channel as an error, when we say good-bye too: a connection that is
/// lost is told here, with its cause.
pub fn may_be_logged(target: &str, level: tracing::Level) -> bool {
    let begins = |parts: &[&str]| parts.iter().any(|part| target.starts_with(part));
    let is_of_the_client = begins(&["lapin", "amq_protocol"]);
    let is_left_out = begins(&["lapin::returned_messages", "lapin::channels"]);
    !is_of_the_client || (level < tracing::Level::TRACE && !is_left_out)
}

/// How long a command waits for any answer of the broker.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How the bus is used.
#[derive(Clone)]
pub struct Settings {
    /// `amqp://user:password@host:5672/%2f`, or `amqps://`.
    pub url: String,
    /// The name the broker shows for the connections.
    pub name: String,
    /// The names of exchanges and queues.
    pub topology: Topology,
    /// How many deliveries of a queue may wait for their acknowledgement.
    pub prefetch: u16,
    /// How many bytes of deliveries may, before no more is read.
    pub unacknowledged_bytes: usize,
    /// How many messages may wait for their confirm.
    pub window: usize,
    /// Asked of the broker where the address names none; a dead link is noticed after two of them.
    pub heartbeat: Duration,
    /// How long any answer of the broker may take, confirms among them.
    pub timeout: Duration,
    /// How long a shutdown waits for acknowledgements and confirms.
    pub drain: Duration,
}

impl Settings {
    /// The usual settings for a broker at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: "dovetail".to_owned(),
            topology: Topology::default(),
            prefetch: 500,
            unacknowledged_bytes: 64 * 1024 * 1024,
            window: 512,
            heartbeat: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("topology", &self.topology)
            .finish_non_exhaustive()
    }
}

/// One of the two queues Dovetail takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Requests.
    Intake,
    /// Completions.
    Completions,
}

impl Queue {
    fn name(self, topology: &Topology) -> &str {
        match self {
            Self::Intake => &topology.intake,
            Self::Completions => &topology.completions,
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intake => "intake",
            Self::Completions => "completions",
        })
    }
}

/// The ends of an open bus.
pub struct Ends {
    /// To look at it and to hold it back.
    pub bus: Bus,
    /// Requests; ends after a shutdown.
    pub intake: mpsc::Receiver<Inbound>,
    /// Completions; ends after a shutdown.
    pub completions: mpsc::Receiver<Inbound>,
    /// To publish.
    pub publisher: Publisher,
    /// What became of what was published; ends after a shutdown.
    pub confirmed: mpsc::UnboundedReceiver<Confirmed>,
    /// To be run.
    pub supervisor: Supervisor,
}

/// Opens the bus; no connection is made before [`Supervisor::run`].
///
/// # Errors
/// The address cannot be read.
pub fn open(settings: Settings, clock: Clock) -> Result<Ends, Error> {
    let uri = address(&settings.url, settings.heartbeat)?;
    let board = Arc::new(Board::new(clock.now()));
    let paused = Arc::new([watch::Sender::new(false), watch::Sender::new(false)]);
    let (to_intake, intake) = mpsc::channel(usize::from(settings.prefetch.max(1)));
    let (to_completions, completions) = mpsc::channel(usize::from(settings.prefetch.max(1)));
    let (publisher, outgoing) = mpsc::channel(settings.window.max(1));
    let (to_confirmed, confirmed) = mpsc::unbounded_channel();
    let inflow = Arc::new(Inflow::new(settings.unacknowledged_bytes));
    let settings = Arc::new(settings);
    let link = |side| Link::new(uri.clone(), &settings.name, side, board.clone(), clock.clone());
    let reader = Reader {
        link: link(Side::Reading).held_back_by(Arc::clone(&inflow)),
        inflow: Arc::clone(&inflow),
        settings: settings.clone(),
        taps: [
            Tap { queue: Queue::Intake, paused: paused[0].subscribe(), messages: to_intake },
            Tap { queue: Queue::Completions, paused: paused[1].subscribe(), messages: to_completions },
        ],
        held: mpsc::channel(1),
    };
    let writer = Writer {
        link: link(Side::Writing),
        settings: settings.clone(),
        outgoing,
        confirmed: Confirms::new(to_confirmed),
    };
    Ok(Ends {
        bus: Bus { board, paused, inflow },
        intake,
        completions,
        publisher: Publisher(publisher),
        confirmed,
        supervisor: Supervisor { reader, writer },
    })
}

/// What keeps the connections alive.
pub struct Supervisor {
    reader: Reader,
    writer: Writer,
}

impl Supervisor {
    /// Runs until shutdown. Then no more deliveries are given out and the receivers end; it waits, at most the
    /// [drain](Settings::drain) time, until every [`Receipt`] and every [`Publisher`] is dropped.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut sides = JoinSet::new();
        sides.spawn(self.reader.run(shutdown.clone()));
        sides.spawn(self.writer.run(shutdown));
        while let Some(ended) = sides.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

/// A look at the bus, and the hand on its taps.
#[derive(Debug, Clone)]
pub struct Bus {
    board: Arc<Board>,
    paused: Arc<[watch::Sender<bool>; 2]>,
    inflow: Arc<Inflow>,
}

impl Bus {
    /// Whether the bus can be used, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.board.watch()
    }

    /// How many messages the broker has set aside, now and whenever that changes; seen every few seconds.
    pub fn dead_letters(&self) -> watch::Receiver<u64> {
        self.board.dead_letters()
    }

    /// Stops taking from a queue. What was delivered can still be acknowledged; the rest waits at the broker.
    pub fn pause(&self, queue: Queue) {
        self.tap(queue).send_replace(true);
    }

    /// Takes from the queue again.
    pub fn resume(&self, queue: Queue) {
        self.tap(queue).send_replace(false);
    }

    /// Whether the queue is paused.
    pub fn is_paused(&self, queue: Queue) -> bool {
        *self.tap(queue).borrow()
    }

    /// When a message last came from the queue.
    pub fn last_delivery(&self, queue: Queue) -> Option<Timestamp> {
        self.board.last_delivery(queue)
    }

    /// How many messages waited at the broker when it was last asked, a few seconds ago.
    pub fn depth(&self, queue: Queue) -> Option<u64> {
        self.board.depth(queue)
    }

    /// Waits until no more than so many deliveries of both queues are held unacknowledged. What is still to come only
    /// stays away while both queues are paused.
    pub async fn holds_at_most(&self, deliveries: usize) {
        self.inflow.holds_at_most(deliveries).await;
    }

    fn tap(&self, queue: Queue) -> &watch::Sender<bool> {
        match queue {
            Queue::Intake => &self.paused[0],
            Queue::Completions => &self.paused[1],
        }
    }
}
