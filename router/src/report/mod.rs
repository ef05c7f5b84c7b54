//! Reports: how many requests came in and what became of them, how long that took, and where they wait.
//!
//! What a request adds to a report is read from its [`Course`]. Closed requests are folded into [`Figures`] by day in
//! the ledger, beside their way, so that a report reads a few rows a day and the requests that are still open.

mod course;
mod figures;
mod fold;
mod histogram;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use mappings::domain::Council;

pub use course::{Course, Happened, Part};
pub use figures::{By, Count, Figures, Time, Unreadable};
pub use fold::Bookkeeper;
pub use histogram::{Histogram, RELATIVE_ERROR};

/// Which requests a report is about: those that came in on these days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
    /// Only of this council.
    pub council: Option<Council>,
}

impl Scope {
    /// Whether a request that came in then is meant.
    pub fn holds(&self, accepted_at: Timestamp) -> bool {
        (self.from..=self.to).contains(&day(accepted_at))
    }
}

/// The figures of requests that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their council.
    pub council: Council,
    /// By what they were put together.
    pub by: By,
    /// What they have in common; empty for all, and for a channel that was not said.
    pub key: String,
    /// Their figures.
    pub figures: Figures,
}

/// The day in the United Kingdom.
pub fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::get("Europe/London").unwrap_or(TimeZone::UTC)).date()
}
