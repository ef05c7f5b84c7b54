//! A year of requests on a clock that goes as fast as it can, through the real ledger and its rules.
//!
//! Real are intake, ledger, routes, closing rules, retries, targets, clocks, decisions and reports. The back offices
//! answer as values: no call is rendered, and nothing goes over HTTP. What the CRM sees, events and calls, is counted
//! beside, never from the ledger, and in the end both must agree.

mod crm;
mod draw;
mod fate;
mod office;
mod people;
mod play;
#[cfg(test)]
mod tests;
mod verdict;

use std::time::Duration;

pub use play::play;

/// Days for which the clock goes on after the last request.
pub const DAYS_AFTER: i64 = 70;

/// How much, and what chance has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Weeks in which requests come in.
    pub weeks: u32,
    /// Requests a week.
    pub a_week: u32,
    /// The same seed draws the same requests; which of them meets which fate may differ.
    pub seed: u64,
}

/// What a year came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Requests that came in.
    pub requests: usize,
    /// Tickets that closed, and those among them that closed without a person.
    pub closed: (usize, usize),
    /// Tickets that never closed and are held, and those that are not held and were escalated.
    pub open: (usize, usize),
    /// Tickets of which `ticket.overdue` was told.
    pub overdue: usize,
    /// Figures of the report that were compared with the independent count.
    pub compared: usize,
    /// Rows of figures that the report read.
    pub rows: usize,
    /// What is not as it must be.
    pub findings: Vec<String>,
    /// How long it took, and the report alone.
    pub took: (Duration, Duration),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests, closed, open, overdue, compared, rows, findings, took } = self;
        let rate = f64::from(u32::try_from(*requests).unwrap_or(u32::MAX)) / took.0.as_secs_f64().max(0.001);
        writeln!(f, "{requests} requests in {:.0} s ({rate:.0} a second)", took.0.as_secs_f64())?;
        writeln!(f, "closed {}, {} of them without a person", closed.0, closed.1)?;
        writeln!(f, "open and held {}, open and escalated {}, overdue told {overdue}", open.0, open.1)?;
        writeln!(f, "the report took {:.2} s for {rows} groups of figures", took.1.as_secs_f64())?;
        writeln!(f, "{compared} figures compared with the independent count, {} findings", findings.len())?;
        findings.iter().take(20).try_for_each(|finding| writeln!(f, "  {finding}"))
    }
}
