//! The items of a list in XML.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use super::json::Cut;
use super::{Entered, Finder, Reached, is_text};
use crate::mapping::ReadError;
use crate::mapping::path::Hop;
use crate::xml;

/// Elements around the items, nested as deep as any XML may be.
const DEEPEST: usize = 200;

/// An item that is being passed over.
struct Open {
    start: usize,
    depth: usize,
    reached: Reached,
}

/// One item as a value.
pub(super) fn item(text: &str, xml_lists: &[String]) -> Result<Value, ReadError> {
    is_text(text)?;
    let document = xml::read(text, xml_lists)?;
    let Value::Object(members) = document else { return Ok(document) };
    Ok(match members.into_iter().next() {
        // The item itself may be named as a list.
        Some((_, Value::Array(mut items))) if items.len() == 1 => items.remove(0),
        Some((_, item)) => item,
        None => Value::Null,
    })
}

/// The same path through elements: an element that is repeated is a list, and one that is not stands for itself.
/// `None` where the path counts elements, or selects attributes or texts.
pub(super) fn finder(mut finder: Finder) -> Option<Finder> {
    let names = |hop: &Hop| matches!(hop, Hop::Name(name) if !name.starts_with(['@', '#']));
    if let [before @ .., Hop::Every] = finder.hops.as_slice()
        && before.last().is_some_and(names)
        && before.len() > 1
    {
        finder.hops.pop();
    }
    let last = finder.hops.len().checked_sub(1)?;
    let follows =
        |(at, hop): (usize, &Hop)| names(hop) || matches!(hop, Hop::Descent) || is_last(hop, at, last);
    finder.hops.iter().enumerate().all(follows).then_some(finder)
}

fn is_last(hop: &Hop, at: usize, last: usize) -> bool {
    matches!(hop, Hop::Every) && at == last
}

/// Cuts a document that starts at `start`.
pub(super) fn cut(body: &str, start: usize, finder: &Finder, xml_lists: &[String]) -> Result<Cut, ReadError> {
    let text = &body[start..];
    let mut reader = Reader::from_str(text);
    // What is wrong within an item is told of that item.
    reader.config_mut().allow_dangling_amp = true;
    let (mut around, mut items, mut copied) = (String::new(), Vec::new(), start);
    let mut outer = vec![finder.start()];
    let mut open: Option<Open> = None;
    let mut has_example = false;
    let place = |reader: &Reader<&[u8]>| -> usize {
        start + usize::try_from(reader.buffer_position()).unwrap_or(text.len())
    };
    loop {
        let at = place(&reader);
        let event = reader.read_event().map_err(|error| malformed(&error, body, at))?;
        let end = place(&reader);
        let ended = match &event {
            Event::Eof => break,
            Event::Start(element) | Event::Empty(element) => {
                let is_empty = matches!(event, Event::Empty(_));
                let name = element.local_name();
                let reached = match &open {
                    Some(_) => Reached::default(),
                    None => {
                        finder.enter(*outer.last().unwrap_or(&finder.start()), Entered::Name(name.as_ref()))
                    }
                };
                if open.is_none() && finder.is_hit(reached) {
                    open = Some(Open { start: at, depth: outer.len(), reached });
                }
                if !is_empty {
                    outer.push(reached);
                }
                if outer.len() > DEEPEST + 1 && open.is_none() {
                    return Err(ReadError { reason: format!("XML nested deeper than {DEEPEST} elements") });
                }
                is_empty
            }
            Event::End(_) => {
                outer.pop();
                true
            }
            Event::DocType(_) => {
                return Err(ReadError { reason: "XML with a doctype, which is refused".into() });
            }
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => false,
        };
        let Some(Open { start, reached, .. }) = open.take_if(|open| ended && outer.len() == open.depth)
        else {
            continue;
        };
        items.push((start..end, reached));
        let text = &body[start..end];
        if has_example || text.len() > super::AROUND / 2 || item(text, xml_lists).is_err() {
            around.push_str(&body[copied..start]);
            copied = end;
        } else {
            has_example = true;
        }
    }
    if outer.len() > 1 {
        let reason = format!("XML that is cut short: {} elements are open", outer.len() - 1);
        return Err(ReadError { reason });
    }
    around.push_str(&body[copied..]);
    Ok((around, items))
}

fn malformed(error: &dyn std::fmt::Display, body: &str, at: usize) -> ReadError {
    let line = body.as_bytes()[..at.min(body.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
    ReadError { reason: format!("XML that is not well formed at line {line}: {error}") }
}
