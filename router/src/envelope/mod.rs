//! CloudEvents 1.0: what a message says about itself, read from and written to the bus and HTTP.
//!
//! AMQP 0-9-1 has no official binding, so the one of AMQP 1.0 is used with its names as headers:
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/amqp-protocol-binding.md>.

mod attributes;
mod error;
mod glimpse;
mod json;
#[cfg(test)]
mod tests;
mod text;
mod transport;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use attributes::traceparent;
pub use error::Error;
pub use glimpse::Glimpse;
pub use transport::{from_amqp, from_http};

/// The media type of one event in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";

/// The media type of several events in one HTTP body.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// One CloudEvent: its attributes, checked, and what it carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Unique within its `source`.
    pub id: String,
    /// Where it came from; with `id` it is the inbox key.
    pub source: String,
    /// The CloudEvents `type`, for example `uk.dovetail.request.submitted.v1`.
    pub kind: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened, by the sender's clock.
    pub time: Option<Timestamp>,
    /// The W3C trace context; one that is malformed is left out, since a trace must never cost a request.
    pub traceparent: Option<String>,
    /// What it answers to.
    pub correlationid: Option<String>,
    /// What it carries.
    pub data: Data,
}

/// What an event carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A JSON document; `null` where the event carries nothing.
    Json(Value),
    /// Anything else.
    Bytes {
        /// Its media type, as the sender gave it.
        content_type: String,
        /// The content, decoded where it came as `data_base64`.
        bytes: Vec<u8>,
    },
}

/// What came through a door.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// One event.
    Event(Envelope),
    /// A batch, in its order; only over HTTP.
    Events(Vec<Envelope>),
    /// No CloudEvents marks at all: a CRM's native message, which that CRM's mapping translates.
    Foreign {
        /// Its media type, where it has one.
        content_type: Option<String>,
        /// The body as it came.
        bytes: Vec<u8>,
    },
}

impl Envelope {
    /// The event in the CloudEvents JSON format, structured mode.
    pub fn to_json(&self) -> Value {
        json::write(self)
    }
}

/// The inbox key of what carries no id of its own: the SHA-256 of the body, in hex.
pub fn digest(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}
