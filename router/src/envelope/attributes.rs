//! The attributes of an event, checked one by one, whatever transport they came by.

use jiff::Timestamp;

use super::{Data, Envelope, Error};

/// One attribute as a transport gives it.
pub(super) enum Given {
    /// A text.
    Text(String),
    /// Something else: the name of its kind, for the reason.
    Other(&'static str),
}

/// Checks the attributes that `get` finds and puts the event together.
///
/// `trace` is the trace context of the transport, for an event that names none itself.
pub(super) fn assemble(
    mut get: impl FnMut(&'static str) -> Option<Given>,
    data: impl FnOnce() -> Result<Data, Error>,
    trace: Option<String>,
) -> Result<Envelope, Error> {
    const VERSION: &str = "\"1.0\"";
    let version = required(&mut get, "specversion", VERSION)?;
    if version != "1.0" {
        return Err(wrong("specversion", &version, VERSION));
    }
    let id = required(&mut get, "id", "a text that is unique within the source")?;
    let source = required(&mut get, "source", SOURCE)?;
    if source.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(wrong("source", &source, SOURCE));
    }
    let kind = required(&mut get, "type", "a text such as \"uk.dovetail.request.submitted.v1\"")?;
    let subject = optional(&mut get, "subject", "a text")?;
    let time = match optional(&mut get, "time", TIME)? {
        Some(text) => Some(text.parse::<Timestamp>().map_err(|_| wrong("time", &text, TIME))?),
        None => None,
    };
    let correlationid = optional(&mut get, "correlationid", "a text")?;
    let traceparent = match get("traceparent") {
        Some(Given::Text(text)) => Some(text).filter(|text| is_traceparent(text)),
        Some(Given::Other(_)) | None => None,
    }
    .or_else(|| trace.filter(|text| is_traceparent(text)));
    Ok(Envelope { id, source, kind, subject, time, traceparent, correlationid, data: data()? })
}

const SOURCE: &str = "a URI reference, for example \"/crm/harlow\"";
const TIME: &str = "an RFC 3339 time, for example \"2026-11-22T09:15:00Z\"";

fn required(
    get: &mut impl FnMut(&'static str) -> Option<Given>,
    attribute: &'static str,
    expected: &'static str,
) -> Result<String, Error> {
    optional(get, attribute, expected)?.ok_or(Error::Missing { attribute, expected })
}

/// An attribute that is there must be a text with something in it.
pub(super) fn optional(
    get: &mut impl FnMut(&'static str) -> Option<Given>,
    attribute: &'static str,
    expected: &'static str,
) -> Result<Option<String>, Error> {
    match get(attribute) {
        Some(Given::Text(text)) if text.is_empty() => Err(wrong(attribute, &text, expected)),
        Some(Given::Text(text)) => Ok(Some(text)),
        Some(Given::Other(kind)) => Err(Error::Attribute { attribute, found: kind.to_owned(), expected }),
        None => Ok(None),
    }
}

pub(super) fn wrong(attribute: &'static str, found: &str, expected: &'static str) -> Error {
    let shown: String = found.chars().take(80).collect();
    Error::Attribute { attribute, found: format!("{shown:?}"), expected }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, as of <https://www.w3.org/TR/trace-context/>.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    match parts.as_slice() {
        [version, trace, span, flags] => {
            hex(version, 2) && *version != "ff" && hex(trace, 32) && hex(span, 16) && hex(flags, 2)
        }
        [..] => false,
    }
}
