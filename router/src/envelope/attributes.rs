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
    let own = match get("traceparent") {
        Some(Given::Text(text)) => Some(text),
        Some(Given::Other(_)) | None => None,
    };
    let traceparent = own.and_then(traceparent).or_else(|| trace.and_then(traceparent));
    Ok(Envelope { id, source, kind, subject, time, traceparent, correlationid, data: data()? })
}

const SOURCE: &str = "a URI reference, for example \"/crm/harlow\"";
const TIME: &str = "an RFC 3339 time, for example \"2026-11-22T09:15:00Z\"";

fn required(
    get: &mut impl FnMut(&'static str) -> Option<Given>,
    attribute: &'static str,
    expected: &'static str,
) -> Result<String, Error> {
    match given(get, attribute, expected)? {
        Some(text) if text.is_empty() => Err(wrong(attribute, &text, expected)),
        Some(text) => Ok(text),
        None => Err(Error::Missing { attribute, expected }),
    }
}

/// An attribute that may be absent must be a text; an empty one says nothing, and counts as absent.
pub(super) fn optional(
    get: &mut impl FnMut(&'static str) -> Option<Given>,
    attribute: &'static str,
    expected: &'static str,
) -> Result<Option<String>, Error> {
    Ok(given(get, attribute, expected)?.filter(|text| !text.is_empty()))
}

fn given(
    get: &mut impl FnMut(&'static str) -> Option<Given>,
    attribute: &'static str,
    expected: &'static str,
) -> Result<Option<String>, Error> {
    match get(attribute) {
        Some(Given::Text(text)) => Ok(Some(text)),
        Some(Given::Other(kind)) => Err(Error::Attribute { attribute, found: kind.to_owned(), expected }),
        None => Ok(None),
    }
}

fn wrong(attribute: &'static str, found: &str, expected: &'static str) -> Error {
    let shown: String = found.chars().take(80).collect();
    Error::Attribute { attribute, found: format!("{shown:?}"), expected }
}

/// The W3C trace context of a message, if it is one. Any other text is dropped and counted: it would go out again as a
/// header of every call, and a trace must never cost a request.
pub fn traceparent(text: String) -> Option<String> {
    if is_traceparent(&text) {
        return Some(text);
    }
    metrics::counter!("dovetail_traces_dropped_total").increment(1);
    None
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, neither number zero, as of <https://www.w3.org/TR/trace-context/#traceparent-header>.
/// A version after 00 may have more behind it.
fn is_traceparent(text: &str) -> bool {
    /// A later version of the standard has no business to be longer than this.
    const LONGEST: usize = 256;
    let hex = |part: Option<&str>, len: usize| {
        part.is_some_and(|part| {
            part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
    };
    let number =
        |part: Option<&str>, len| hex(part, len) && part.is_some_and(|part| part.contains(|c| c != '0'));
    let mut parts = text.split('-');
    let version = parts.next();
    let is_whole =
        number(parts.next(), 32) && number(parts.next(), 16) && hex(parts.next(), 2) && hex(version, 2);
    let is_printable = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_whole && is_printable && version != Some("ff") && (version != Some("00") || parts.next().is_none())
}

/// A time that a client wrote as a number: seconds since 1970, or thousandths, millionths or billionths of them, which
/// their size tells apart. `None` where it is no such number.
pub(super) fn epoch(text: &str) -> Option<Timestamp> {
    /// Shorter than any time of the last fifty years, and longer than a year.
    const SHORTEST: usize = 9;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = [whole, fraction].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_number || whole.len() < SHORTEST || fraction.is_empty() {
        return None;
    }
    let number: i128 = whole.parse().ok()?;
    let nanoseconds = match whole.len() {
        ..=11 => {
            let billionths: i128 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
            number * 1_000_000_000 + billionths
        }
        12..=14 => number * 1_000_000,
        15..=17 => number * 1_000,
        18..=19 => number,
        _ => return None,
    };
    Timestamp::from_nanosecond(nanoseconds).ok()
}
