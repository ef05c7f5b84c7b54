//! A list in an answer, cut into its items before any of it becomes a tree.
//!
//! The bytes of a long answer are bounded, but the tree of it would be many times as large, and one item that cannot
//! be read would make all of it unreadable. So the places of the items are found in the text, what stands around them
//! is read as the answer that the rules look at, and each item is read by itself.

mod json;
mod xml;

use std::ops::Range;

use serde_json::Value;

use super::ReadError;
use super::path::{self, Filter, Hop, Path};
use crate::UNDECODABLE;
use crate::bounds::Bounds;

/// The most that may stand around the items: it is read as a whole.
const AROUND: usize = 1 << 20;

/// What an item may hold: the tree of a small text may be a hundred times as large.
pub(super) const ITEM: Bounds = Bounds { bytes: usize::MAX, depth: 127, nodes: 100_000 };

/// An answer up to this size is kept whole beside its items, where it can be read.
pub(super) const WHOLE: usize = 1 << 20;

/// A document cut into its items and what stands around them.
pub(super) struct List {
    /// The document without its items, but for the first that can be read.
    pub(super) around: String,
    /// Where each item stands in the text, and how far the path had come there.
    pub(super) items: Vec<(Range<usize>, Reached)>,
    finder: Finder,
    markup: Markup,
}

/// What the document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Markup {
    Json,
    Xml,
}

/// How far a path has come at a place of the document: a bit for each of its steps that may be next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reached(u64);

impl Reached {
    fn with(self, step: usize) -> Self {
        Self(self.0 | 1 << step)
    }

    fn is_nowhere(self) -> bool {
        self.0 == 0
    }

    fn steps(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |step| self.0 & 1 << step != 0)
    }
}

/// A member or item that is entered.
#[derive(Clone, Copy)]
enum Entered<'e> {
    Name(&'e str),
    Index(usize),
}

/// Follows a path through a document as it passes by.
struct Finder {
    hops: Vec<Hop>,
    filter: Option<Filter>,
}

impl Finder {
    fn new(each: &Path) -> Option<Self> {
        let (hops, filter) = each.hops()?;
        let can_follow = hops.len() < 64 && hops.iter().all(|hop| !matches!(hop, Hop::Index(..0)));
        can_follow.then_some(Self { hops, filter })
    }

    /// At the root of the document.
    fn start(&self) -> Reached {
        self.closed(Reached::default().with(0))
    }

    /// A descent is also its own value.
    fn closed(&self, reached: Reached) -> Reached {
        reached.steps().fold(reached, |reached, step| match self.hops.get(step) {
            Some(Hop::Descent) => reached.with(step + 1),
            Some(Hop::Name(_) | Hop::Index(_) | Hop::Every) | None => reached,
        })
    }

    /// Where the path is once a member or item is entered.
    fn enter(&self, reached: Reached, entered: Entered<'_>) -> Reached {
        self.closed(self.entered(reached, entered))
    }

    fn entered(&self, reached: Reached, entered: Entered<'_>) -> Reached {
        reached.steps().fold(Reached::default(), |next, step| match (self.hops.get(step), entered) {
            (Some(Hop::Name(name)), Entered::Name(found)) if name == found => next.with(step + 1),
            (Some(Hop::Index(index)), Entered::Index(at)) if usize::try_from(*index) == Ok(at) => {
                next.with(step + 1)
            }
            (Some(Hop::Every), _) => next.with(step + 1),
            (Some(Hop::Descent), _) => next.with(step),
            (Some(Hop::Name(_) | Hop::Index(_)) | None, _) => next,
        })
    }

    /// Whether the path ends here: the value is an item, or a list of items.
    fn is_hit(&self, reached: Reached) -> bool {
        reached.0 & 1 << self.hops.len() != 0
    }

    /// What the path selects within an item.
    fn within<'v>(&self, item: &'v Value, reached: Reached) -> Vec<&'v Value> {
        let mut hits = Vec::new();
        let mut below = |entered, value: &'v Value| {
            for step in self.entered(reached, entered).steps() {
                path::walk(&self.hops[step..], value, &mut hits);
            }
        };
        match item {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| below(Entered::Name(name), value));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, value)| below(Entered::Index(at), value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        hits
    }
}

impl List {
    /// Cuts a document; `None` where the path cannot be followed through its text, or where it is no JSON or XML.
    ///
    /// # Errors
    /// [`ReadError`] where the text is not one whole document, apart from what stands within its items.
    pub(super) fn cut(body: &str, each: &Path, xml_lists: &[String]) -> Option<Result<Self, ReadError>> {
        let finder = Finder::new(each)?;
        let start = body.find(|c: char| c != '\u{feff}' && !c.is_whitespace())?;
        let cut = match body.as_bytes()[start] {
            b'{' | b'[' => json::cut(body, start, &finder).map(|cut| (cut, Markup::Json, finder)),
            b'<' => {
                let finder = xml::finder(finder)?;
                xml::cut(body, start, &finder, xml_lists).map(|cut| (cut, Markup::Xml, finder))
            }
            _ => return None,
        };
        Some(cut.and_then(|((around, items), markup, finder)| {
            if around.len() > AROUND {
                let reason =
                    format!("what stands around the items of the list is larger than {AROUND} bytes");
                return Err(ReadError { reason });
            }
            Ok(Self { around, items, finder, markup })
        }))
    }

    /// The values in one item that the path selects: the item itself and, where the path descends, what it selects
    /// within.
    ///
    /// # Errors
    /// [`ReadError`] where the item cannot be read.
    pub(super) fn read(
        &self,
        text: &str,
        reached: Reached,
        xml_lists: &[String],
    ) -> Result<Vec<Value>, ReadError> {
        ITEM.measure(text).map_err(|excess| ReadError { reason: excess.to_string() })?;
        let item = match self.markup {
            Markup::Json => json::item(text)?,
            Markup::Xml => xml::item(text, xml_lists)?,
        };
        let mut values: Vec<Value> = Vec::new();
        for hit in self.finder.within(&item, reached) {
            if let Value::Array(inner) = hit {
                values.extend(inner.iter().cloned());
            } else {
                values.push(hit.clone());
            }
        }
        values.insert(0, item);
        values.retain(|value| {
            !value.is_null() && self.finder.filter.as_ref().is_none_or(|filter| filter.passes(value))
        });
        Ok(values)
    }
}

/// What was not text where it came in stands out.
fn is_text(text: &str) -> Result<(), ReadError> {
    if text.contains(UNDECODABLE) {
        return Err(ReadError { reason: "bytes that are not text in its character set".into() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
