//! The writing side: events go out one after the other, and their confirms come back in a sliding window.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, poll};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ErrorKind};
use mappings::domain::EventId;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::error::{Error, within};
use super::link::{Link, Open, Said, short};
use super::window::{Returned, Verdict, Window};

/// One message to publish, persistent and mandatory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// By which its [`Confirmed`] is known; also the AMQP `message-id`.
    pub id: EventId,
    /// Where it goes.
    pub exchange: String,
    /// Under which key.
    pub routing_key: String,
    /// The CloudEvents type; also the AMQP `type`.
    pub kind: String,
    /// The media type of the body.
    pub content_type: String,
    /// Headers beside.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What became of one [`Outgoing`]; each gets exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// Of which message.
    pub id: EventId,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// In a queue, safely.
    Published,
    /// In no queue: none is bound for it, or the exchange does not exist. A fault of configuration: to be tried
    /// again later, since a person must act.
    Returned {
        /// The AMQP reply code: 312 where no queue is bound, 404 where the exchange does not exist, 0 where AMQP
        /// cannot carry the message at all.
        code: u16,
        /// In the broker's words.
        text: String,
    },
    /// The broker would not store it, for example since a queue is full: to be tried again.
    Nacked,
    /// The connection went before the broker's word came: to be published again under the same id.
    Lost,
}

/// Nobody publishes any more: the bus has shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bus has shut down")]
pub struct Closed;

/// The way to publish. A shutdown waits (for a while) until the last of them is dropped.
#[derive(Debug, Clone)]
pub struct Publisher(pub(super) mpsc::Sender<Outgoing>);

impl Publisher {
    /// Gives a message to be published; waits while the window is full or the broker is away.
    ///
    /// # Errors
    /// [`Closed`] after a shutdown; the message then gets no [`Confirmed`].
    pub async fn publish(&self, outgoing: Outgoing) -> Result<(), Closed> {
        self.0.send(outgoing).await.map_err(|_| Closed)
    }
}

/// The writing side.
pub(super) struct Writer {
    pub(super) link: Link,
    pub(super) settings: Arc<Settings>,
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
    pub(super) confirmed: Confirms,
}

/// Where the fates are told, and counted.
pub(super) struct Confirms {
    to: mpsc::UnboundedSender<Confirmed>,
    warned: Option<Instant>,
    returned_since: u64,
}

/// A message on its way: its number in the window, and the broker's word.
pub(super) type Flying = Pin<Box<dyn Future<Output = (u64, lapin::Result<Confirmation>)> + Send>>;

impl Writer {
    /// Publishes until shutdown, and then what is still given within the time allowed; every message that was
    /// taken gets its word.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut window = Window::default();
        while let Some(mut open) = self.link.connect(&shutdown).await {
            let written = self.write(&mut open, &mut window, &shutdown).await;
            let written = written.map_err(|error| open.cause(error));
            self.confirmed.tell(window.lose(written.as_ref().err().and_then(closed_by_broker)));
            match written {
                Ok(()) => {
                    open.close().await;
                    break;
                }
                Err(error) => self.link.lost(&error),
            }
        }
        self.outgoing.close();
        while let Ok(Outgoing { id, .. }) = self.outgoing.try_recv() {
            self.confirmed.tell([Confirmed { id, fate: Fate::Lost }]);
        }
    }

    /// Publishes over one connection until it is lost (an error), nobody publishes, or the shutdown is over.
    async fn write(
        &mut self,
        open: &mut Open,
        window: &mut Window,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        let timeout = self.settings.timeout;
        let channel = within(timeout, "opening a channel", open.connection.create_channel()).await?;
        self.settings.topology.declare(&channel, timeout).await?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        within(timeout, "asking for confirms", confirming).await?;
        self.link.up();

        let mut flying = FuturesUnordered::<Flying>::new();
        let mut batch = Vec::new();
        let mut tick = interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut blocked = false;
        let mut unblocked_at = Instant::now();
        let stop = stopped(shutdown, self.settings.drain);
        tokio::pin!(stop);
        let mut closed = false;
        while !(closed && window.len() == 0) {
            let room = self.settings.window.saturating_sub(window.len());
            tokio::select! {
                biased;
                said = open.said() => {
                    let said = said?;
                    self.link.heard(&said);
                    blocked = matches!(said, Said::Blocked(_));
                    unblocked_at = Instant::now();
                }
                () = &mut stop => return Ok(()),
                Some((number, word)) = flying.next() => {
                    note(window, number, word)?;
                    while let std::task::Poll::Ready(Some((number, word))) = poll!(flying.next()) {
                        note(window, number, word)?;
                    }
                    self.confirmed.tell(window.settle());
                }
                given = self.outgoing.recv_many(&mut batch, room), if room > 0 && !blocked && !closed => {
                    closed = given == 0;
                    let (messages, unfit) = enter(window, batch.drain(..));
                    self.confirmed.tell(unfit);
                    for (number, message) in messages {
                        send(&channel, number, message, window, &mut flying).await?;
                    }
                    // A confirm may come while its message is being handed over; no other may follow to settle it.
                    self.confirmed.tell(window.settle());
                }
                _ = tick.tick(), if !blocked => {
                    let late = window.oldest().is_some_and(|sent| sent.max(unblocked_at).elapsed() > timeout);
                    if late {
                        return Err(Error::TimedOut { doing: "waiting for confirms", after: timeout });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Ends when a shutdown has had its time.
async fn stopped(shutdown: &CancellationToken, drain: Duration) {
    shutdown.cancelled().await;
    tokio::time::sleep(drain).await;
}

/// Puts all that was given into the window before the first is sent: where the connection is lost between two, those
/// that were not sent are lost with it, and told. What AMQP cannot carry is told at once.
pub(super) fn enter(
    window: &mut Window,
    given: impl Iterator<Item = Outgoing>,
) -> (Vec<(u64, Message)>, Vec<Confirmed>) {
    let (mut messages, mut unfit) = (Vec::new(), Vec::new());
    for outgoing in given {
        match Message::try_from(outgoing) {
            Ok(mut message) => {
                let exchange = std::mem::take(&mut message.exchange_name);
                messages.push((window.sent(message.id, exchange, Instant::now()), message));
            }
            Err(confirmed) => unfit.push(confirmed),
        }
    }
    (messages, unfit)
}

/// Puts a message on the wire, or just before it: the client writes what has gathered in one go.
pub(super) async fn send(
    channel: &Channel,
    number: u64,
    message: Message,
    window: &mut Window,
    flying: &mut FuturesUnordered<Flying>,
) -> Result<(), Error> {
    let Message { exchange, routing_key, body, properties, .. } = message;
    let channel = channel.clone();
    let mut flight: Flying = Box::pin(async move {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = channel.basic_publish(exchange, routing_key, options, &body, properties).await;
        let word = match sent {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        (number, word)
    });
    // The first poll hands the message to the client: so the numbers are in the order of publishing.
    match poll!(&mut flight) {
        std::task::Poll::Ready((number, word)) => note(window, number, word),
        std::task::Poll::Pending => {
            flying.push(flight);
            Ok(())
        }
    }
}

/// Notes the broker's word in the window.
fn note(window: &mut Window, number: u64, word: lapin::Result<Confirmation>) -> Result<(), Error> {
    let word = word.map_err(|source| Error::Broker { doing: "publishing", source })?;
    let verdict = if word.is_nack() { Verdict::Nack } else { Verdict::Ack };
    let returned = word.take_message().and_then(|message| {
        let id = message.properties.message_id().as_ref()?;
        let id = EventId::parse(id.as_str()).ok()?;
        Some(Returned { id, code: message.reply_code, text: message.reply_text.to_string() })
    });
    window.confirmed(number, verdict, returned);
    Ok(())
}

/// The broker's reason for closing the channel, where it gave one.
fn closed_by_broker(error: &Error) -> Option<(u16, String)> {
    let Error::Broker { source, .. } = error else { return None };
    if let ErrorKind::ProtocolError(reason) = source.kind() {
        Some((reason.get_id(), reason.get_message().to_string()))
    } else {
        None
    }
}

/// An [`Outgoing`] in the words of AMQP.
pub(super) struct Message {
    id: EventId,
    exchange: ShortString,
    exchange_name: String,
    routing_key: ShortString,
    body: Vec<u8>,
    properties: BasicProperties,
}

impl TryFrom<Outgoing> for Message {
    type Error = Confirmed;

    fn try_from(outgoing: Outgoing) -> Result<Self, Confirmed> {
        let Outgoing { id, exchange, routing_key, kind, content_type, headers, body } = outgoing;
        let unfit =
            |error: Error| Confirmed { id, fate: Fate::Returned { code: 0, text: error.to_string() } };
        let properties = properties(&id.to_string(), &kind, &content_type, headers).map_err(unfit)?;
        Ok(Self {
            id,
            exchange: short(&exchange).map_err(unfit)?,
            exchange_name: exchange,
            routing_key: short(&routing_key).map_err(unfit)?,
            body,
            properties,
        })
    }
}

/// The properties of a persistent message.
pub(super) fn properties(
    message_id: &str,
    kind: &str,
    content_type: &str,
    headers: Vec<(String, String)>,
) -> Result<BasicProperties, Error> {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(short(&name)?, AMQPValue::LongString(value.into()));
    }
    Ok(BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(short(message_id)?)
        .with_type(short(kind)?)
        .with_content_type(short(content_type)?)
        .with_headers(table))
}

impl Confirms {
    pub(super) fn new(to: mpsc::UnboundedSender<Confirmed>) -> Self {
        Self { to, warned: None, returned_since: 0 }
    }

    fn tell(&mut self, confirmed: impl IntoIterator<Item = Confirmed>) {
        for confirmed in confirmed {
            let fate = match &confirmed.fate {
                Fate::Published => "published",
                Fate::Returned { code, text } => {
                    self.warn(*code, text);
                    "returned"
                }
                Fate::Nacked => "nacked",
                Fate::Lost => "lost",
            };
            metrics::counter!("dovetail_bus_outgoing_total", "fate" => fate).increment(1);
            // Nobody listens any more after a shutdown in a hurry; the ledger still has the event.
            let _ = self.to.send(confirmed);
        }
    }

    /// Warns of returned messages, at most every ten seconds.
    fn warn(&mut self, code: u16, text: &str) {
        self.returned_since += 1;
        if self.warned.is_none_or(|warned| warned.elapsed() > Duration::from_secs(10)) {
            tracing::warn!(
                messages = self.returned_since,
                code,
                text,
                "the broker returned messages: no queue is bound for them"
            );
            self.warned = Some(Instant::now());
            self.returned_since = 0;
        }
    }
}
