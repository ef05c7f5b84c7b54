//! The rows of an XML document: every element of one name, read as it passes by.

use std::cell::Cell;
use std::io::{BufReader, Read};

use mappings::mapping::BadRow;
use mappings::xml;
use quick_xml::events::Event;
use quick_xml::{Reader, Writer};
use serde_json::Value;

use super::rows::{Give, Stop, stop};
use super::text::{Bounded, LONGEST_ROW};

/// A row that is being read.
struct Open {
    line: u64,
    depth: usize,
    written: Writer<Vec<u8>>,
}

/// Gives what each element of this local name holds.
pub(super) fn rows(text: impl Read, name: &str, lists: &[String], give: &mut Give<'_>) -> Result<(), Stop> {
    let left = Cell::new(LONGEST_ROW);
    let mut reader = Reader::from_reader(BufReader::new(Bounded { inner: text, left: &left }));
    let (mut line, mut depth, mut open) = (1, 0_usize, None::<Open>);
    let mut bytes = Vec::new();
    loop {
        if open.is_none() {
            left.set(LONGEST_ROW);
        }
        bytes.clear();
        let event = match reader.read_event_into(&mut bytes) {
            Ok(event) => event,
            Err(quick_xml::Error::Io(error)) => {
                let kind = error.kind();
                return Err(stop(line, std::io::Error::new(kind, error.to_string())));
            }
            Err(error) => return Err(broken(line, &format!("XML that is not well formed: {error}"))),
        };
        let lone = match &event {
            Event::Eof if depth > 0 => return Err(broken(line, "the end of the file within an element")),
            Event::Eof => return Ok(()),
            Event::DocType(_) => return Err(broken(line, "a doctype")),
            Event::Start(start) | Event::Empty(start) => {
                let local = start.local_name();
                let local: &str = local.as_ref();
                if depth == 0 && local.eq_ignore_ascii_case("html") {
                    return Err(broken(line, "HTML"));
                }
                if open.is_none() && local == name {
                    open = Some(Open { line, depth, written: Writer::new(Vec::new()) });
                }
                let empty = matches!(event, Event::Empty(_));
                depth += usize::from(!empty);
                empty
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                true
            }
            Event::Text(text) if depth == 0 && !text.trim().is_empty() => {
                return Err(broken(line, "text outside of any element"));
            }
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => false,
        };
        if let Some(row) = &mut open {
            row.written.write_event(event.borrow()).map_err(Stop::Unread)?;
        }
        line += newlines(&bytes);
        if let Some(row) = open.take_if(|row| lone && depth == row.depth)
            && !give(row.line, content(row.written.into_inner(), lists))
        {
            return Ok(());
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

fn broken(line: u64, found: &str) -> Stop {
    Stop::Broken(line, BadRow::new(found, "one whole XML document"))
}

/// What the element of a row holds.
fn content(element: Vec<u8>, lists: &[String]) -> Result<Value, BadRow> {
    let unreadable = |reason: String| BadRow::new(reason, "an element that can be read");
    let text = String::from_utf8(element).map_err(|_| unreadable("bytes that are not text".to_owned()))?;
    let document = xml::read(&text, lists).map_err(|error| unreadable(error.reason))?;
    let Value::Object(members) = document else { return Ok(document) };
    Ok(match members.into_iter().next() {
        // The row itself may be named as a list.
        Some((_, Value::Array(mut items))) if items.len() == 1 => items.remove(0),
        Some((_, row)) => row,
        None => Value::Null,
    })
}
