//! A message taken from a queue, and the receipt by which it is acknowledged.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use lapin::Acker;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use mappings::bounds::Bounds;
use tokio::sync::mpsc;

use super::Queue;
use super::inflow::Weight;
use crate::{envelope, unpack};

/// In the year 5138: what is larger is no number of seconds.
const LAST_SECOND: i64 = 100_000_000_000;

/// How long an acknowledgement may wait to be written to the connection.
const WRITTEN: Duration = Duration::from_secs(10);

/// One delivery. It must be [acknowledged](Self::ack) once the ledger has it.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The body as it came.
    pub body: Vec<u8>,
    /// The AMQP property of that name, or else the header: SDKs write one where they know only HTTP.
    pub content_type: Option<String>,
    /// The same of the content encoding: how the body is packed, or its character set.
    pub content_encoding: Option<String>,
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
            content_type: or_header(properties.content_type().as_ref(), "content-type", &headers),
            content_encoding: or_header(properties.content_encoding().as_ref(), "content-encoding", &headers),
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

    /// The body as it was before it was packed.
    ///
    /// # Errors
    /// [`unpack::Error`] says what was found and what was expected.
    pub fn unpacked(&self, bounds: &Bounds) -> Result<Cow<'_, [u8]>, unpack::Error> {
        unpack::unpack(&self.body, self.content_encoding.as_deref(), bounds)
    }

    /// How many bytes may have to be read: of a body that is packed, nobody knows yet.
    pub fn length(&self) -> usize {
        let is_packed = unpack::may_be_packed(&self.body, self.content_encoding.as_deref());
        if is_packed { usize::MAX } else { self.body.len() }
    }

    /// The content type with its character set, which some clients write where the content encoding belongs.
    pub fn media_type(&self) -> Option<String> {
        let charset = self.content_encoding.as_deref().and_then(unpack::charset_in);
        match (&self.content_type, charset) {
            (Some(said), Some(charset)) if !said.to_ascii_lowercase().contains("charset") => {
                Some(format!("{said}; charset={charset}"))
            }
            (said, _) => said.clone(),
        }
    }

    /// Reads it as CloudEvents. The body stays, so that what cannot be read can be kept.
    ///
    /// # Errors
    /// [`envelope::Error`] says where, what was found and what was expected.
    pub fn read(&self, bounds: &Bounds) -> Result<envelope::Delivery, envelope::Error> {
        let body = self.unpacked(bounds)?;
        envelope::from_amqp(self.media_type().as_deref(), &self.headers, &body, bounds)
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

/// A property of the message, or else the header that has its name in HTTP.
fn or_header(property: Option<&ShortString>, name: &str, headers: &[(String, String)]) -> Option<String> {
    let property = property.map(ToString::to_string).filter(|value| !value.trim().is_empty());
    property.or_else(|| {
        headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    })
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
            // Some clients write thousandths there, which are a number that the envelope understands.
            let time = i64::try_from(*seconds).ok().filter(|seconds| *seconds < LAST_SECOND);
            let time = time.and_then(|seconds| Timestamp::from_second(seconds).ok());
            Some(time.map_or_else(|| seconds.to_string(), |time| time.to_string()))
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
    fn a_property_that_is_not_set_is_looked_for_among_the_headers() {
        let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
        let found = |property: Option<&str>| {
            or_header(property.map(ShortString::from).as_ref(), "content-type", &headers)
        };
        assert_eq!(found(Some("text/plain")).as_deref(), Some("text/plain"));
        assert_eq!(found(Some("")).as_deref(), Some("application/json"));
        assert_eq!(found(None).as_deref(), Some("application/json"));
        assert_eq!(or_header(None, "content-encoding", &headers), None);
    }

    #[test]
    fn headers_read_alike_whatever_kind_of_value_the_client_chose() {
        let mut table = FieldTable::default();
        table.insert("cloudEvents:id".into(), AMQPValue::LongString("42".into()));
        table.insert("number".into(), AMQPValue::LongLongInt(42));
        table.insert("time".into(), AMQPValue::Timestamp(1_763_802_900));
        table.insert("thousandths".into(), AMQPValue::Timestamp(1_763_802_900_000));
        table.insert("x-death".into(), AMQPValue::FieldTable(FieldTable::default()));
        table.insert("nothing".into(), AMQPValue::Void);
        let mut read = texts(&table);
        read.sort();
        let expected = [
            ("cloudEvents:id", "42"),
            ("number", "42"),
            ("thousandths", "1763802900000"),
            ("time", "2025-11-22T09:15:00Z"),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
