//! The items of a list in JSON.

use std::ops::Range;

use serde_json::Value;

use super::{Entered, Finder, Reached, is_text};
use crate::json;
use crate::mapping::ReadError;

/// Nesting around the items, as deep as any JSON may be.
const DEEPEST: usize = 128;

/// What stands around the items, and the items.
pub(super) type Cut = (String, Vec<(Range<usize>, Reached)>);

struct Scan<'b> {
    body: &'b str,
    at: usize,
    finder: &'b Finder,
    around: String,
    items: Vec<(Range<usize>, Reached)>,
    /// An item stands among what is around the others.
    has_example: bool,
}

/// One item as a value.
pub(super) fn item(text: &str) -> Result<Value, ReadError> {
    is_text(text)?;
    json::read(text)
}

/// Cuts a document that starts at `start`.
pub(super) fn cut(body: &str, start: usize, finder: &Finder) -> Result<Cut, ReadError> {
    let items = Vec::new();
    let mut scan = Scan { body, at: start, finder, around: String::new(), items, has_example: false };
    scan.value(finder.start(), 0)?;
    scan.space();
    if scan.at < body.len() {
        return Err(scan.wrong("the end of the document"));
    }
    Ok((scan.around, scan.items))
}

impl Scan<'_> {
    fn next(&self) -> Option<u8> {
        self.body.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while self.next().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn wrong(&self, expected: &str) -> ReadError {
        if self.at >= self.body.len() {
            return ReadError { reason: format!("JSON that is cut short: expected {expected}") };
        }
        let line = self.body.as_bytes()[..self.at].iter().filter(|byte| **byte == b'\n').count() + 1;
        ReadError { reason: format!("not JSON: expected {expected} at line {line}, byte {}", self.at) }
    }

    /// Goes through a value and writes what is no item.
    fn value(&mut self, reached: Reached, depth: usize) -> Result<(), ReadError> {
        if depth > DEEPEST {
            return Err(ReadError { reason: format!("JSON nested deeper than {DEEPEST} levels") });
        }
        let is_hit = self.finder.is_hit(reached);
        match self.next() {
            Some(b'[') => self.array(reached, depth, is_hit),
            _ if is_hit => {
                if !self.take(reached)? {
                    self.around.push_str("null");
                }
                Ok(())
            }
            Some(b'{') if !reached.is_nowhere() => self.object(reached, depth),
            Some(_) | None => {
                let start = self.at;
                self.skip()?;
                self.around.push_str(&self.body[start..self.at]);
                Ok(())
            }
        }
    }

    fn object(&mut self, reached: Reached, depth: usize) -> Result<(), ReadError> {
        self.at += 1;
        self.around.push('{');
        self.space();
        if self.next() == Some(b'}') {
            self.at += 1;
            self.around.push('}');
            return Ok(());
        }
        loop {
            self.space();
            let start = self.at;
            if self.next() != Some(b'"') {
                return Err(self.wrong("the name of a member"));
            }
            self.string()?;
            let written = &self.body[start..self.at];
            let name: Option<String> = serde_json::from_str(written).ok();
            self.around.push_str(written);
            self.space();
            if self.next() != Some(b':') {
                return Err(self.wrong("a colon"));
            }
            self.at += 1;
            self.around.push(':');
            self.space();
            let entered = name.as_deref().map(|name| self.finder.enter(reached, Entered::Name(name)));
            self.value(entered.unwrap_or_default(), depth + 1)?;
            self.space();
            match self.next() {
                Some(b',') => self.around.push(','),
                Some(b'}') => {
                    self.at += 1;
                    self.around.push('}');
                    return Ok(());
                }
                Some(_) | None => return Err(self.wrong("a comma or the end of an object")),
            }
            self.at += 1;
        }
    }

    /// Goes through an array. Where the path ends at it, its values are the items.
    fn array(&mut self, reached: Reached, depth: usize, is_hit: bool) -> Result<(), ReadError> {
        self.at += 1;
        self.around.push('[');
        let mut is_first = true;
        for index in 0.. {
            self.space();
            if index == 0 && self.next() == Some(b']') {
                break;
            }
            let entered = self.finder.enter(reached, Entered::Index(index));
            let before = self.around.len();
            if !is_first {
                self.around.push(',');
            }
            let is_item = is_hit || self.finder.is_hit(entered) && self.next() != Some(b'[');
            let stays = if is_item {
                self.take(entered)?
            } else {
                self.value(entered, depth + 1)?;
                true
            };
            if stays {
                is_first = false;
            } else {
                self.around.truncate(before);
            }
            self.space();
            match self.next() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                Some(_) | None => return Err(self.wrong("a comma or the end of an array")),
            }
        }
        self.at += 1;
        self.around.push(']');
        Ok(())
    }

    /// Takes an item out, whatever is in it; `true` where it stays as an example of the others.
    fn take(&mut self, reached: Reached) -> Result<bool, ReadError> {
        let start = self.at;
        self.skip()?;
        let text = &self.body[start..self.at];
        if text == "null" {
            return Ok(false);
        }
        self.items.push((start..self.at, reached));
        let stays = !self.has_example && text.len() <= super::AROUND / 2 && item(text).is_ok();
        if stays {
            self.has_example = true;
            self.around.push_str(text);
        }
        Ok(stays)
    }

    /// Passes over a value by its brackets and quotes alone.
    fn skip(&mut self) -> Result<(), ReadError> {
        let mut depth = 0_usize;
        loop {
            match self.next() {
                Some(b'"') => self.string()?,
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if depth > 0 => self.at += 1,
                Some(byte) if byte.is_ascii_whitespace() && depth > 0 => self.at += 1,
                Some(b'}' | b']' | b',' | b':') | None => return Err(self.wrong("a value")),
                Some(_) => self.bare(),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Passes over what stands without quotes: a number, or a word.
    fn bare(&mut self) {
        while self.next().is_some_and(|byte| !byte.is_ascii_whitespace() && !b",:]}[{\"".contains(&byte)) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<(), ReadError> {
        self.at += 1;
        loop {
            match self.next() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.wrong("the end of a text")),
            }
        }
    }
}
