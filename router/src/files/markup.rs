//! The rows of an XML document: every element of one name, read as it passes by.

use std::cell::Cell;
use std::io::{BufReader, Read};

use mappings::mapping::{BadRow, Files};
use mappings::xml;
use quick_xml::events::Event;
use quick_xml::{Reader, Writer};
use serde_json::Value;

use super::rows::{Give, Stop, stop};
use super::text::{Bounded, LONGEST_ROW};

/// Elements that say what went wrong.
const FAILURES: &[&str] = &[
    "fault",
    "error",
    "errors",
    "errormessage",
    "exception",
    "exceptionreport",
    "serviceexception",
    "problem",
];

/// A row that is being read.
struct Open {
    line: u64,
    depth: usize,
    written: Writer<Vec<u8>>,
}

impl Open {
    /// Whether more than a row may be stands in it; what follows is passed over.
    fn is_too_long(&self) -> bool {
        self.written.get_ref().len() > LONGEST_ROW
    }

    fn content(self, lists: &[String]) -> Result<Value, BadRow> {
        if self.is_too_long() {
            return Err(BadRow::new("a row of more than 1 MiB", "shorter rows"));
        }
        content(self.written.into_inner(), lists)
    }
}

/// Gives what each element of this local name holds.
///
/// A document without any is an honest one, unless it has what belongs into rows, or says what went wrong.
pub(super) fn rows(text: impl Read, name: &str, files: &Files, give: &mut Give<'_>) -> Result<(), Stop> {
    let lists = &files.xml_lists;
    let left = Cell::new(LONGEST_ROW);
    let mut reader = Reader::from_reader(BufReader::new(Bounded { inner: text, left: &left }));
    // What is wrong within a row is told of that row.
    reader.config_mut().allow_dangling_amp = true;
    let (mut line, mut depth, mut open) = (1, 0_usize, None::<Open>);
    let mut without = Without { rows: true, root: false, other: None };
    let mut bytes = Vec::new();
    loop {
        left.set(LONGEST_ROW);
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
            Event::Eof => return without.end(line, name),
            Event::DocType(_) => return Err(broken(line, "a doctype")),
            Event::Start(start) | Event::Empty(start) => {
                let local = start.local_name();
                let local: &str = local.as_ref();
                if depth == 0 && local.eq_ignore_ascii_case("html") {
                    return Err(broken(line, "HTML"));
                }
                let empty = matches!(event, Event::Empty(_));
                without.see(line, (depth, empty), local, name, files);
                if open.is_none() && local == name {
                    open = Some(Open { line, depth, written: Writer::new(Vec::new()) });
                }
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
            Event::Text(text) if depth == 1 && !text.trim().is_empty() => {
                without.other.get_or_insert_with(|| (line, "text".to_owned()));
                false
            }
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => false,
        };
        if let Some(row) = open.as_mut().filter(|row| !row.is_too_long()) {
            row.written.write_event(event.borrow()).map_err(Stop::Unread)?;
        }
        line += newlines(&bytes);
        if let Some(row) = open.take_if(|row| lone && depth == row.depth)
            && !give(row.line, row.content(lists))
        {
            return Ok(());
        }
    }
}

/// What a document has in place of rows.
struct Without {
    rows: bool,
    root: bool,
    /// The first element that speaks against its being one without news, and its line.
    other: Option<(u64, String)>,
}

impl Without {
    fn see(&mut self, line: u64, (depth, empty): (usize, bool), local: &str, name: &str, files: &Files) {
        self.root = true;
        self.rows &= local != name;
        let trouble = !empty && FAILURES.iter().any(|word| local.eq_ignore_ascii_case(word));
        let of_a_row = depth > 0 && files.columns.needs(local);
        if self.rows && (trouble || of_a_row || local.eq_ignore_ascii_case(name)) {
            self.other.get_or_insert_with(|| (line, format!("an element {local}")));
        }
    }

    fn end(self, line: u64, name: &str) -> Result<(), Stop> {
        match self.other {
            _ if !self.root => Err(broken(line, "no element")),
            Some((line, other)) if self.rows => {
                let expected = format!("an element {name} for each row, or an empty list");
                Err(Stop::Broken(line, BadRow::new(format!("no {name}, but {other}"), expected)))
            }
            Some(_) | None => Ok(()),
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
