//! What was read in an answer, an event or a file: reports, and what had to be left.

use super::Report;

/// The most that is kept of an item that cannot be read.
const KEPT: usize = 16 << 10;

/// What a list says, or the one report that an answer is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// Its words, in order.
    pub reports: Vec<Report>,
    /// Items that cannot be read, each for a person.
    pub set_aside: Vec<BadItem>,
    /// Items that the mapping leaves to others.
    pub passed_over: usize,
}

impl Reading {
    /// Adds what another page says.
    pub fn append(&mut self, mut other: Self) {
        self.reports.append(&mut other.reports);
        self.set_aside.append(&mut other.set_aside);
        self.passed_over += other.passed_over;
    }
}

/// An item of a list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadItem {
    /// What was found and expected, in plain words.
    pub reason: String,
    /// What stood there, cut to 16 KiB.
    pub text: String,
    /// How long it was, in bytes.
    pub size: usize,
}

impl BadItem {
    /// An item that cannot be read for a reason.
    pub fn new(reason: impl Into<String>, text: &str) -> Self {
        let kept = &text[..text.floor_char_boundary(KEPT)];
        Self { reason: reason.into(), text: kept.replace(crate::UNDECODABLE, "\u{fffd}"), size: text.len() }
    }
}
