//! A publisher of requests, as a CRM would be one: for the demo, for tests, and to see whether a broker answers.

use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel};

use super::TIMEOUT;
use super::error::{Error, within};
use super::link::{Open, address, open, short};
use super::publisher::properties;
use super::topology::Topology;
use crate::envelope::{Envelope, STRUCTURED};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// A connection of its own, which publishes one message after the other.
pub struct Client {
    open: Open,
    channel: Channel,
}

impl Client {
    /// Connects once; a client is not kept alive.
    ///
    /// # Errors
    /// The address cannot be read, or the broker does not answer.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let open = open(address(url, HEARTBEAT)?, "dovetail client").await?;
        let channel = within(TIMEOUT, "opening a channel", open.connection.create_channel()).await?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        within(TIMEOUT, "asking for confirms", confirming).await?;
        Ok(Self { open, channel })
    }

    /// Declares the topology, so that a request finds a queue before the router has run.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn declare(&self, topology: &Topology) -> Result<(), Error> {
        topology.declare(&self.channel, TIMEOUT).await
    }

    /// Publishes an event to the exchange for requests and waits until a queue has it.
    ///
    /// # Errors
    /// No queue is bound, or the broker does not take it.
    pub async fn publish_request(&self, topology: &Topology, envelope: &Envelope) -> Result<(), Error> {
        let body = envelope.to_json().to_string();
        self.publish(&topology.requests, &envelope.kind, STRUCTURED, Vec::new(), body.as_bytes()).await
    }

    /// Publishes any body, for example one that cannot be understood, and waits until a queue has it.
    ///
    /// # Errors
    /// No queue is bound, or the broker does not take it.
    pub async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        content_type: &str,
        headers: Vec<(String, String)>,
        body: &[u8],
    ) -> Result<(), Error> {
        let (exchange, key) = (short(exchange)?, short(routing_key)?);
        let properties = properties("", routing_key, content_type, headers)?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        self.publish_as(exchange, key, options, body, properties).await
    }

    /// Publishes a body with properties that are there already, and waits until a queue has it.
    pub(super) async fn publish_as(
        &self,
        exchange: ShortString,
        key: ShortString,
        options: BasicPublishOptions,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), Error> {
        let published =
            async { self.channel.basic_publish(exchange, key, options, body, properties).await?.await };
        let word = within(TIMEOUT, "publishing", published).await?;
        let nacked = word.is_nack();
        match word.take_message() {
            Some(returned) => {
                Err(Error::Returned { code: returned.reply_code, text: returned.reply_text.to_string() })
            }
            None if nacked => Err(Error::Nacked),
            None => Ok(()),
        }
    }

    /// What the connection does goes this way.
    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Binds a queue of this connection's own to all that an exchange gets, so that nothing published there
    /// comes back as unroutable; the queue goes with the connection.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn collect(&self, exchange: &str) -> Result<(), Error> {
        let options =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let declaring = self.channel.queue_declare(short("")?, options, FieldTable::default());
        let queue = within(TIMEOUT, "declaring a queue", declaring).await?;
        let (name, options) = (queue.name().clone(), QueueBindOptions::default());
        let binding =
            self.channel.queue_bind(name, short(exchange)?, short("#")?, options, FieldTable::default());
        within(TIMEOUT, "binding a queue", binding).await
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.open.close().await;
    }
}

/// Connects to the broker and says how long it took to answer; nothing is declared.
///
/// # Errors
/// The address cannot be read, or the broker does not answer or refuses.
pub async fn reach(url: &str) -> Result<Duration, Error> {
    let started = Instant::now();
    let open = open(address(url, HEARTBEAT)?, "dovetail check").await?;
    let took = started.elapsed();
    open.close().await;
    Ok(took)
}
