//! What the broker has set aside: read it, give it back to where it came from, or take it away.

use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use super::TIMEOUT;
use super::client::Client;
use super::error::{Error, within};
use super::inbound::texts;
use super::link::short;
use super::topology::Topology;

/// Headers that the broker adds when it sets a message aside.
const OF_THE_BROKER: [&str; 8] = [
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-delivery-count",
];

/// The queue of what was set aside. What is read of it and neither returned nor dropped goes back when this is dropped.
pub struct DeadLetters<'a> {
    client: &'a Client,
    queue: String,
}

/// One message that was set aside.
#[derive(Debug)]
pub struct DeadLetter {
    /// The queue that it was in.
    pub queue: Option<String>,
    /// Why the broker set it aside, in its words: `delivery_limit`, `rejected`, `expired`.
    pub reason: Option<String>,
    /// The exchange it was published to.
    pub exchange: Option<String>,
    /// The key it was published with.
    pub routing_key: String,
    /// The AMQP property of that name.
    pub content_type: Option<String>,
    /// Its headers as text, without those of the broker.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
    message: BasicGetMessage,
}

impl<'a> DeadLetters<'a> {
    /// Those of a topology.
    pub fn new(client: &'a Client, topology: &Topology) -> Self {
        Self { client, queue: topology.dead.clone() }
    }

    /// How many there are; none where the queue is not there yet.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn count(&self) -> Result<u64, Error> {
        let declared = self.client.channel().queue_declare(
            short(&self.queue)?,
            QueueDeclareOptions::durable().passive(),
            FieldTable::default(),
        );
        match within(TIMEOUT, "looking at a queue", declared).await {
            Ok(queue) => Ok(u64::from(queue.message_count())),
            Err(Error::Broker { source, .. }) if is_not_found(&source) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The next one that was not read over this connection yet; `None` after the last.
    ///
    /// # Errors
    /// The broker does not answer, or has a message that the client cannot read.
    pub async fn next(&self) -> Result<Option<DeadLetter>, Error> {
        let channel = self.client.channel();
        let getting = channel.basic_get(short(&self.queue)?, BasicGetOptions::default());
        let got = within(TIMEOUT, "reading what was set aside", getting).await?;
        Ok(got.map(DeadLetter::new))
    }

    /// Publishes one again where it was published before, and takes it away when a queue has it.
    ///
    /// # Errors
    /// No queue takes it, or the broker does not answer: it is still there.
    pub async fn give_back(&self, letter: &DeadLetter) -> Result<(), Error> {
        let delivery = &letter.message.delivery;
        let mut headers = delivery.properties.headers().clone().unwrap_or_default();
        headers = headers.inner().iter().filter(|(name, _)| !OF_THE_BROKER.contains(&name.as_str())).fold(
            FieldTable::default(),
            |mut kept, (name, value)| {
                kept.insert(name.clone(), value.clone());
                kept
            },
        );
        let properties = delivery.properties.clone().with_headers(headers);
        let exchange = short(letter.exchange.as_deref().unwrap_or_default())?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        self.client
            .publish_as(exchange, short(&letter.routing_key)?, options, &letter.body, properties)
            .await?;
        self.take_away(letter).await
    }

    /// Takes one away for good.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn take_away(&self, letter: &DeadLetter) -> Result<(), Error> {
        let acknowledged = letter.message.delivery.acker.ack(BasicAckOptions::default());
        within(TIMEOUT, "taking away what was set aside", acknowledged).await.map(drop)
    }
}

impl DeadLetter {
    fn new(mut message: BasicGetMessage) -> Self {
        let body = std::mem::take(&mut message.delivery.data);
        let properties = &message.delivery.properties;
        let table = properties.headers().clone().unwrap_or_default();
        // The latest death comes first.
        let death = table.inner().get("x-death").and_then(first);
        let of_death = |name: &str| {
            let Some(AMQPValue::FieldTable(death)) = death else { return None };
            death.inner().get(name)
        };
        let key = of_death("routing-keys").and_then(first).and_then(text);
        Self {
            queue: of_death("queue").and_then(text),
            reason: of_death("reason").and_then(text),
            exchange: of_death("exchange").and_then(text),
            routing_key: key.unwrap_or_else(|| message.delivery.routing_key.to_string()),
            content_type: properties.content_type().as_ref().map(ToString::to_string),
            headers: texts(&table)
                .into_iter()
                .filter(|(name, _)| !OF_THE_BROKER.contains(&name.as_str()))
                .collect(),
            body,
            message,
        }
    }
}

fn first(list: &AMQPValue) -> Option<&AMQPValue> {
    let AMQPValue::FieldArray(list) = list else { return None };
    list.as_slice().first()
}

fn text(value: &AMQPValue) -> Option<String> {
    if let AMQPValue::LongString(text) = value {
        return Some(String::from_utf8_lossy(text.as_bytes()).into_owned());
    }
    let AMQPValue::ShortString(text) = value else { return None };
    Some(text.to_string())
}

fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(error) if error.get_id() == 404)
}
