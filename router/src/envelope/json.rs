//! The JSON format of CloudEvents: <https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mappings::bounds::Bounds;
use serde_json::{Map, Value, json};

use super::attributes::{Given, assemble, optional};
use super::error::Place;
use super::{Data, Envelope, Error, text};

/// Reads a text as JSON, with the place of the first mistake. Nothing is built of one that exceeds the bounds.
pub(super) fn parse(
    bytes: &[u8],
    content_type: Option<&str>,
    place: Place,
    bounds: &Bounds,
) -> Result<Value, Error> {
    let text = text::decode(bytes, content_type)?;
    bounds.measure(&text)?;
    mappings::digits::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let reason = error.to_string();
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
        Error::NotJson { place, line, column, reason: reason.to_owned() }
    })
}

/// Reads one event in structured mode.
pub(super) fn read(document: Value, trace: Option<String>, bounds: &Bounds) -> Result<Envelope, Error> {
    let Value::Object(mut event) = document else {
        return Err(Error::Shape {
            found: kind(&document),
            expected: "a JSON object with the CloudEvents attributes",
        });
    };
    let content = Content {
        data: event.remove("data"),
        data_base64: event.remove("data_base64"),
        content_type: take(&mut event, "datacontenttype"),
    };
    assemble(|name| take(&mut event, name), || content.read(bounds), trace)
}

/// Reads the events of a batch; one that cannot be read fails the whole.
pub(super) fn read_batch(
    document: Value,
    trace: Option<&String>,
    bounds: &Bounds,
) -> Result<Vec<Envelope>, Error> {
    let Value::Array(events) = document else {
        return Err(Error::Shape { found: kind(&document), expected: "a JSON array of CloudEvents" });
    };
    events
        .into_iter()
        .enumerate()
        .map(|(index, event)| {
            read(event, trace.cloned(), bounds)
                .map_err(|source| Error::InBatch { index, source: Box::new(source) })
        })
        .collect()
}

/// Writes one event in structured mode.
pub(super) fn write(envelope: &Envelope) -> Value {
    let mut event = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            event.insert(name.to_owned(), Value::String(value));
        }
    };
    put("specversion", Some("1.0".to_owned()));
    put("id", Some(envelope.id.clone()));
    put("source", Some(envelope.source.clone()));
    put("type", Some(envelope.kind.clone()));
    put("subject", envelope.subject.clone());
    put("time", envelope.time.map(|time| time.to_string()));
    put("traceparent", envelope.traceparent.clone());
    put("correlationid", envelope.correlationid.clone());
    let (content_type, (name, data)) = match &envelope.data {
        Data::Json(data) => ("application/json", ("data", data.clone())),
        Data::Bytes { content_type, bytes } => {
            (content_type.as_str(), ("data_base64", json!(STANDARD.encode(bytes))))
        }
    };
    put("datacontenttype", Some(content_type.to_owned()));
    event.insert(name.to_owned(), data);
    Value::Object(event)
}

/// What bytes are, by their media type; none means JSON (the JSON format of CloudEvents, section 3.1). One that says
/// nothing, as clients write it who send text or bytes, is asked of the bytes.
pub(super) fn content(
    bytes: &[u8],
    content_type: Option<&str>,
    place: Place,
    bounds: &Bounds,
) -> Result<Data, Error> {
    match content_type {
        None => parse(bytes, None, place, bounds).map(Data::Json),
        Some(said) if is_json(said) => parse(bytes, Some(said), place, bounds).map(Data::Json),
        Some(said) => match says_nothing(said).then(|| parse(bytes, Some(said), place, bounds)) {
            Some(Ok(data)) => Ok(Data::Json(data)),
            Some(Err(error @ Error::Excess(_))) => Err(error),
            Some(Err(_)) | None => Ok(Data::Bytes { content_type: said.to_owned(), bytes: bytes.to_vec() }),
        },
    }
}

/// Media types that clients set of themselves, whatever they send: of texts, of bytes, and of whatever curl sends.
fn says_nothing(content_type: &str) -> bool {
    matches!(
        media_type(content_type).as_str(),
        "" | "*/*"
            | "text/plain"
            | "application/octet-stream"
            | "binary/octet-stream"
            | "application/x-www-form-urlencoded"
    )
}

/// Whether a media type is JSON: `application/json`, `text/json` or anything that ends in `+json`.
pub(super) fn is_json(content_type: &str) -> bool {
    let media = media_type(content_type);
    media.ends_with("+json") || media == "application/json" || media == "text/json"
}

/// A content type without its parameters, in lower case.
pub(super) fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The members of an event that make its data.
struct Content {
    data: Option<Value>,
    data_base64: Option<Value>,
    content_type: Option<Given>,
}

impl Content {
    fn read(mut self, bounds: &Bounds) -> Result<Data, Error> {
        const BASE64: &str = "base64 text (RFC 4648), and no \"data\" beside it";
        let content_type = optional(&mut |_| self.content_type.take(), "datacontenttype", "a media type")?;
        let is_json = content_type.as_deref().is_none_or(is_json);
        match (self.data, self.data_base64) {
            (Some(_), Some(_)) => Err(Error::Attribute {
                attribute: "data_base64",
                found: "given beside \"data\"".to_owned(),
                expected: BASE64,
            }),
            (None, Some(Value::String(text))) => {
                let bytes = STANDARD.decode(&text).map_err(|_| Error::Attribute {
                    attribute: "data_base64",
                    // It is data, which may be personal.
                    found: format!("another text, of {} bytes", text.len()),
                    expected: BASE64,
                })?;
                content(&bytes, content_type.as_deref(), Place::DataBase64, bounds)
            }
            (None, Some(other)) => Err(Error::Attribute {
                attribute: "data_base64",
                found: kind(&other).to_owned(),
                expected: BASE64,
            }),
            (Some(Value::String(text)), None) if !is_json => {
                Ok(Data::Bytes { content_type: content_type.unwrap_or_default(), bytes: text.into_bytes() })
            }
            (Some(value), None) => Ok(Data::Json(value)),
            (None, None) => Ok(Data::Json(Value::Null)),
        }
    }
}

/// Takes an attribute out of an event; `null` counts as absent, as the format says.
fn take(event: &mut Map<String, Value>, name: &str) -> Option<Given> {
    match event.remove(name)? {
        Value::Null => None,
        Value::String(text) => Some(Given::Text(text)),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Some(Given::Other(kind(&other)))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
