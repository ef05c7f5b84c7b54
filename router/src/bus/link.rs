//! One connection to the broker, opened again and again: the client's own recovery can hang for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures::{FutureExt as _, Stream, StreamExt as _};
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use tokio_util::sync::CancellationToken;

use super::error::{Error, within};
use super::inflow::{Inflow, Measured};
use super::state::{Board, Side, State};
use crate::clock::Clock;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that held this long counts as good: the next loss starts again with the first pause.
const HELD: Duration = Duration::from_secs(10);
/// How long a connection may take; with the longest pause it must stay under ten seconds.
const CONNECT: Duration = Duration::from_secs(5);

/// One side's way to the broker.
pub(super) struct Link {
    pub(super) side: Side,
    pub(super) board: Arc<Board>,
    pub(super) clock: Clock,
    uri: AMQPUri,
    name: String,
    /// What holds back the reading of the connection.
    inflow: Option<Arc<Inflow>>,
    attempts: u32,
    up_since: Option<Instant>,
}

/// An open connection with what the broker says about it.
pub(super) struct Open {
    pub(super) connection: Connection,
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
}

/// What the broker says about a connection, as far as it matters.
pub(super) enum Said {
    Blocked(String),
    Unblocked,
}

impl Link {
    pub(super) fn new(uri: AMQPUri, name: &str, side: Side, board: Arc<Board>, clock: Clock) -> Self {
        let name = match side {
            Side::Reading => format!("{name} (reading)"),
            Side::Writing => format!("{name} (writing)"),
        };
        Self { side, board, clock, uri, name, inflow: None, attempts: 0, up_since: None }
    }

    /// The same, read only while the inflow has room.
    pub(super) fn held_back_by(self, inflow: Arc<Inflow>) -> Self {
        Self { inflow: Some(inflow), ..self }
    }

    /// Tries until a connection is open, with growing pauses; `None` on shutdown.
    pub(super) async fn connect(&mut self, shutdown: &CancellationToken) -> Option<Open> {
        loop {
            let pause = pause(self.attempts);
            let opened = async {
                tokio::time::sleep(pause).await;
                match &self.inflow {
                    Some(inflow) => open_measured(self.uri.clone(), &self.name, inflow).await,
                    None => open(self.uri.clone(), &self.name).await,
                }
            };
            match shutdown.run_until_cancelled(opened).await {
                None => return None,
                Some(Ok(open)) => return Some(open),
                Some(Err(error)) => self.down(&error),
            }
        }
    }

    /// Says that everything on the connection is set up.
    pub(super) fn up(&mut self) {
        self.up_since = Some(Instant::now());
        self.board.set(self.side, State::Connected { since: self.clock.now() });
        tracing::info!(side = ?self.side, "connected to the broker");
    }

    /// Says that the connection is lost. After a good while, or where one message was to blame, the next try
    /// comes soon.
    pub(super) fn lost(&mut self, error: &Error) {
        if self.up_since.take().is_some_and(|since| since.elapsed() >= HELD) || error.is_unreadable() {
            self.attempts = 0;
        }
        self.down(error);
    }

    /// Says that there is no connection, and why.
    fn down(&mut self, error: &Error) {
        self.attempts = self.attempts.saturating_add(1);
        tracing::warn!(side = ?self.side, attempts = self.attempts, error = %error, "no connection to the broker");
        metrics::counter!("dovetail_bus_connection_failures_total").increment(1);
        let last_error = Some(error.to_string());
        let since = self.clock.now();
        self.board.set(self.side, State::Connecting { since, attempts: self.attempts, last_error });
    }

    /// Says that the broker has blocked the connection, or let it go on.
    pub(super) fn heard(&self, said: &Said) {
        let since = self.clock.now();
        match said {
            Said::Blocked(reason) => {
                tracing::warn!(side = ?self.side, reason, "the broker blocks publishing");
                self.board.set(self.side, State::Blocked { since, reason: reason.clone() });
            }
            Said::Unblocked => {
                tracing::info!(side = ?self.side, "the broker takes messages again");
                self.board.set(self.side, State::Connected { since });
            }
        }
    }
}

impl Open {
    /// Waits until the broker says something that matters.
    ///
    /// # Errors
    /// The connection is gone. A channel that closed is told to whoever uses it, not here.
    pub(super) async fn said(&mut self) -> Result<Said, Error> {
        loop {
            match self.events.next().await {
                Some(Event::ConnectionBlocked(reason)) => return Ok(Said::Blocked(reason)),
                Some(Event::ConnectionUnblocked) => return Ok(Said::Unblocked),
                Some(Event::Error(source)) if !self.connection.status().connected() => {
                    return Err(Error::Broker { doing: "listening to the broker", source });
                }
                Some(_) => {}
                None => return Err(Error::Gone),
            }
        }
    }

    /// The first thing that went wrong with the connection, where the client told it; what failed after is only
    /// what followed from it.
    pub(super) fn cause(&mut self, error: Error) -> Error {
        while let Some(Some(event)) = self.events.next().now_or_never() {
            if let Event::Error(source) = event {
                return Error::Broker { doing: "listening to the broker", source };
            }
        }
        error
    }

    /// Says good-bye to the broker; an answer is not waited for long.
    pub(super) async fn close(self) {
        let closed = self.connection.close(200, "OK".into());
        if let Err(error) = within(Duration::from_secs(2), "closing the connection", closed).await {
            tracing::debug!(error = %error, "the broker did not say good-bye");
        }
    }
}

/// Opens a connection.
pub(super) async fn open(uri: AMQPUri, name: &str) -> Result<Open, Error> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    opened(Connection::connect_uri(uri, properties)).await
}

/// Opens a connection that is read only while the inflow has room.
async fn open_measured(uri: AMQPUri, name: &str, inflow: &Arc<Inflow>) -> Result<Open, Error> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let parts = RuntimeParts::new(Tokio::current(), Measured::new(Arc::clone(inflow)));
    opened(Connection::connect_uri_with_runtime(uri, properties, Runtime::new(parts))).await
}

async fn opened(connecting: impl Future<Output = lapin::Result<Connection>>) -> Result<Open, Error> {
    let connection = within(CONNECT, "connecting", connecting).await?;
    let events = connection.events_listener().boxed();
    Ok(Open { connection, events })
}

/// Reads the address, and asks for a heartbeat where it does not: the broker's own of a minute would leave a
/// dead link unnoticed for two.
pub(super) fn address(url: &str, heartbeat: Duration) -> Result<AMQPUri, Error> {
    let mut uri: AMQPUri = url.parse().map_err(|_| Error::Address)?;
    let seconds = u16::try_from(heartbeat.as_secs()).unwrap_or(u16::MAX).max(1);
    uri.query.heartbeat.get_or_insert(seconds);
    Ok(uri)
}

/// A name as AMQP takes it.
pub(super) fn short(name: &str) -> Result<ShortString, Error> {
    ShortString::try_new(name).map_err(|_| Error::Name { found: name.chars().take(40).collect() })
}

/// The pause before the next try: none before the first, then 100 ms doubling to 5 s, less up to a fifth.
fn pause(attempts: u32) -> Duration {
    let Some(doublings) = attempts.checked_sub(1) else { return Duration::ZERO };
    let whole = FIRST_PAUSE.saturating_mul(1 << doublings.min(10)).min(LONGEST_PAUSE);
    whole.mul_f64(rand::random_range(0.8..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_from_a_tenth_of_a_second_to_five_seconds() {
        assert_eq!(pause(0), Duration::ZERO);
        assert!((80..=100).contains(&pause(1).as_millis()));
        assert!((160..=200).contains(&pause(2).as_millis()));
        assert!((4000..=5000).contains(&pause(30).as_millis()));
        assert!(pause(u32::MAX) <= LONGEST_PAUSE);
    }

    #[test]
    fn a_heartbeat_is_asked_for_where_the_address_names_none() {
        let heartbeat = |url| address(url, Duration::from_secs(5)).unwrap().query.heartbeat;
        assert_eq!(heartbeat("amqp://localhost/%2f"), Some(5));
        assert_eq!(heartbeat("amqp://localhost/%2f?heartbeat=20"), Some(20));
    }

    #[test]
    fn an_address_that_cannot_be_read_does_not_show_its_password() {
        let error = address("http://u:hunter2@host/", Duration::from_secs(5)).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
