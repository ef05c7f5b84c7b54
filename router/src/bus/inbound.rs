//! A message taken from a queue, and the receipt by which it is acknowledged.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use lapin::Acker;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};
use mappings::bounds::Bounds;
use tokio::sync::mpsc;

use super::Queue;
use super::inflow::Weight;
use crate::envelope;

/// How long an acknowledgement may wait to be written to the connection.
const WRITTEN: Duration = Duration::from_secs(10);

/// One delivery. It must be [acknowledged](Self::ack) once the ledger has it.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The body as it came.
    pub body: Vec<u8>,
    /// The AMQP property of that name.
    pub content_type: Option<String>,
    /// The headers whose values can be written as text, others left out.
    pub headers: Vec<(String, String)>,
    /// The AMQP property of that name.
    pub message_id: Option<String>,
    /// The key it was published with.
    pub routing_key: String,
    /// The broker has given it out before.
    pub redelivered: bool,
    /// How many times the broker has given it out before.
    pub delivery_count: u32,
    /// Where it was taken from.
    pub queue: Queue,
    /// By which it is acknowledged; may be kept when the rest is given away.
    pub receipt: Receipt,
}

/// The right to acknowledge one delivery.
#[derive(Clone)]
pub struct Receipt {
    acker: Acker,
    /// As long as one is held, a shutdown waits (for a while) before it closes the connection.
    _held: mpsc::Sender<Infallible>,
    /// Counted by the feed that gave it out.
    _unacknowledged: Arc<()>,
    /// Counted with all others.
    _weight: Arc<Weight>,
}

impl Inbound {
    pub(super) fn new(
        delivery: Delivery,
        queue: Queue,
        held: mpsc::Sender<Infallible>,
        unacknowledged: Arc<()>,
        weight: Weight,
    ) -> Self {
        let properties = delivery.properties;
        let headers = properties.headers().as_ref().map(texts).unwrap_or_default();
        let delivery_count = headers
            .iter()
            .find(|(name, _)| name == "x-delivery-count")
            .and_then(|(_, count)| count.parse().ok())
            .unwrap_or(u32::from(delivery.redelivered));
        Self {
            body: delivery.data,
            content_type: properties.content_type().as_ref().map(ToString::to_string),
            headers,
            message_id: properties.message_id().as_ref().map(ToString::to_string),
            routing_key: delivery.routing_key.to_string(),
            redelivered: delivery.redelivered,
            delivery_count,
            queue,
            receipt: Receipt {
                acker: delivery.acker,
                _held: held,
                _unacknowledged: unacknowledged,
                _weight: Arc::new(weight),
            },
        }
    }

    /// Reads it as CloudEvents. The body stays, so that what cannot be read can be kept.
    ///
    /// # Errors
    /// [`envelope::Error`] says where, what was found and what was expected.
    pub fn read(&self, bounds: &Bounds) -> Result<envelope::Delivery, envelope::Error> {
        envelope::from_amqp(self.content_type.as_deref(), &self.headers, &self.body, bounds)
    }

    /// Acknowledges it; `false`: its connection is gone, and the broker will give it out again.
    pub async fn ack(&self) -> bool {
        self.receipt.ack().await
    }

    /// Gives it back to the queue at once. Only where our own infrastructure failed: what the message itself
    /// makes impossible would circle until the broker's delivery limit.
    pub async fn requeue(&self) -> bool {
        self.receipt.requeue().await
    }
}

impl Receipt {
    /// Acknowledges the delivery; `false`: its connection is gone, and the broker will give it out again.
    pub async fn ack(&self) -> bool {
        let written = self.acker.ack(BasicAckOptions::default());
        matches!(tokio::time::timeout(WRITTEN, written).await, Ok(Ok(true)))
    }

    /// Acknowledges many deliveries, written to the connection together; the answers are in the order given.
    pub async fn ack_all(receipts: &[Receipt]) -> Vec<bool> {
        join_all(receipts.iter().map(Receipt::ack)).await
    }

    /// Gives the delivery back to the queue; `false`: its connection is gone, and it goes back by itself.
    pub async fn requeue(&self) -> bool {
        let written = self.acker.nack(BasicNackOptions { multiple: false, requeue: true });
        matches!(tokio::time::timeout(WRITTEN, written).await, Ok(Ok(true)))
    }

    /// Whether it can still be acknowledged; not so after its connection was lost, or it was used.
    pub fn is_live(&self) -> bool {
        self.acker.usable()
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("live", &self.is_live()).finish()
    }
}

/// The headers as text, whatever kind of value each client chose for them.
pub(super) fn texts(headers: &FieldTable) -> Vec<(String, String)> {
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        AMQPValue::ByteArray(bytes) => Some(String::from_utf8_lossy(bytes.as_slice()).into_owned()),
        AMQPValue::Boolean(value) => Some(value.to_string()),
        AMQPValue::ShortShortInt(value) => Some(value.to_string()),
        AMQPValue::ShortShortUInt(value) => Some(value.to_string()),
        AMQPValue::ShortInt(value) => Some(value.to_string()),
        AMQPValue::ShortUInt(value) => Some(value.to_string()),
        AMQPValue::LongInt(value) => Some(value.to_string()),
        AMQPValue::LongUInt(value) => Some(value.to_string()),
        AMQPValue::LongLongInt(value) => Some(value.to_string()),
        AMQPValue::Float(value) => Some(value.to_string()),
        AMQPValue::Double(value) => Some(value.to_string()),
        AMQPValue::Timestamp(seconds) => {
            let seconds = i64::try_from(*seconds).ok()?;
            Timestamp::from_second(seconds).ok().map(|time| time.to_string())
        }
        AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::Void => None,
    };
    headers.inner().iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_alike_whatever_kind_of_value_the_client_chose() {
        let mut table = FieldTable::default();
        table.insert("cloudEvents:id".into(), AMQPValue::LongString("42".into()));
        table.insert("number".into(), AMQPValue::LongLongInt(42));
        table.insert("time".into(), AMQPValue::Timestamp(1_763_802_900));
        table.insert("x-death".into(), AMQPValue::FieldTable(FieldTable::default()));
        table.insert("nothing".into(), AMQPValue::Void);
        let mut read = texts(&table);
        read.sort();
        let expected = [("cloudEvents:id", "42"), ("number", "42"), ("time", "2025-11-22T09:15:00Z")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
