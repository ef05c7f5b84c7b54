//! The modes of the two transports: structured and binary over AMQP; structured, binary and batch over HTTP.

use axum::http::{HeaderMap, HeaderName};
use mappings::bounds::Bounds;
use percent_encoding::percent_decode_str;

use super::attributes::{self, Given, assemble};
use super::error::Place;
use super::glimpse::Glimpse;
use super::json::{self, media_type};
use super::{BATCH, Data, Delivery, Error, STRUCTURED};

/// The prefixes of an attribute among AMQP headers: those of the binding, and those of HTTP and Kafka, since SDKs
/// without a binding for AMQP are used with the headers that they make for another.
const AMQP_PREFIXES: [&str; 4] = ["cloudEvents:", "cloudEvents_", "ce-", "ce_"];

/// Attributes that every event has; one among the headers tells that it is in binary mode.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// Reads what came over AMQP 0-9-1, whose `content_type` is the property of that name.
///
/// A body that exceeds the bounds is refused before anything is built of it. A JSON object that calls itself a
/// CloudEvent is taken for one whatever its content type, since broker consoles and many clients set none or that of a
/// text.
///
/// # Errors
/// [`Error`] says where, what was found and what was expected.
pub fn from_amqp(
    content_type: Option<&str>,
    headers: &[(String, String)],
    body: &[u8],
    bounds: &Bounds,
) -> Result<Delivery, Error> {
    let attribute = |name: &str| {
        headers.iter().find_map(|(key, value)| {
            let given = amqp_attribute(key)?;
            given.eq_ignore_ascii_case(name).then(|| match name {
                "time" => attributes::epoch(value).map_or_else(|| value.clone(), |time| time.to_string()),
                _ => value.clone(),
            })
        })
    };
    let trace = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case("traceparent"));
    let marked = headers
        .iter()
        .filter_map(|(key, _)| amqp_attribute(key))
        .any(|given| REQUIRED.iter().any(|required| given.eq_ignore_ascii_case(required)));
    Message { content_type, trace: trace.map(|(_, value)| value.clone()), marked, body, bounds }
        .read(attribute, Batches::Refused)
}

/// Reads what came over HTTP.
///
/// A body that exceeds the bounds is refused before anything is built of it.
///
/// # Errors
/// [`Error`] says where, what was found and what was expected.
pub fn from_http(headers: &HeaderMap, body: &[u8], bounds: &Bounds) -> Result<Delivery, Error> {
    let text = |name: &str| {
        let value = headers.get(name)?.as_bytes();
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let content_type = text("content-type");
    let attribute = |name: &str| {
        let value = text(&format!("ce-{name}"))?;
        Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
    };
    let marked = headers.keys().map(HeaderName::as_str).any(|name| name.starts_with("ce-"));
    Message { content_type: content_type.as_deref(), trace: text("traceparent"), marked, body, bounds }
        .read(attribute, Batches::Accepted)
}

/// Whether a transport carries batches.
#[derive(Clone, Copy)]
enum Batches {
    Accepted,
    Refused,
}

/// A message as any transport gives it.
struct Message<'a> {
    content_type: Option<&'a str>,
    trace: Option<String>,
    /// At least one header is an attribute.
    marked: bool,
    body: &'a [u8],
    bounds: &'a Bounds,
}

impl Message<'_> {
    fn read(self, attribute: impl Fn(&str) -> Option<String>, batches: Batches) -> Result<Delivery, Error> {
        self.bounds.admit(self.body.len())?;
        let media = self.content_type.map(media_type);
        match (media.as_deref(), batches) {
            (Some(STRUCTURED), _) => self.structured(),
            (Some(BATCH), Batches::Accepted) => {
                let document = json::parse(self.body, self.content_type, Place::Body, self.bounds)?;
                Ok(Delivery::Events(json::read_batch(document, self.trace.as_ref(), self.bounds)?))
            }
            (Some(BATCH), Batches::Refused) => Err(self.unspoken("one event a message on the bus")),
            (Some(media), _) if media.starts_with("application/cloudevents") => {
                Err(self.unspoken("application/cloudevents+json"))
            }
            _ if self.marked => self.binary(attribute),
            _ if self.calls_itself_an_event() => self.structured(),
            _ => Ok(Delivery::Foreign {
                content_type: self.content_type.map(str::to_owned),
                bytes: self.body.to_vec(),
            }),
        }
    }

    fn structured(self) -> Result<Delivery, Error> {
        let document = json::parse(self.body, self.content_type, Place::Body, self.bounds)?;
        json::read(document, self.trace, self.bounds).map(Delivery::Event)
    }

    fn binary(self, attribute: impl Fn(&str) -> Option<String>) -> Result<Delivery, Error> {
        let said = self.content_type.map(str::to_owned).filter(|said| !said.trim().is_empty());
        let said = said.or_else(|| attribute("datacontenttype"));
        let data = || match self.body {
            [] => Ok(Data::Json(serde_json::Value::Null)),
            body => json::content(body, said.as_deref(), Place::Body, self.bounds),
        };
        assemble(|name| attribute(name).map(Given::Text), data, self.trace).map(Delivery::Event)
    }

    /// A JSON object with a `specversion` of its own, whatever its content type says: many clients set one of text.
    fn calls_itself_an_event(&self) -> bool {
        Glimpse::of(self.body).is_event
    }

    fn unspoken(&self, expected: &'static str) -> Error {
        Error::Format { found: self.content_type.unwrap_or_default().chars().take(80).collect(), expected }
    }
}

/// The attribute that an AMQP header is, if it is one.
fn amqp_attribute(header: &str) -> Option<&str> {
    AMQP_PREFIXES.iter().find_map(|prefix| strip_prefix(header, prefix))
}

/// Strips a prefix whatever its case.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}
