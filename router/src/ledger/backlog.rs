//! How much there is of what waits or goes on, for metrics.

use mappings::domain::{Council, HandoverState, RequestState, SystemName};

/// How much there is, counted together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Tickets that are not closed.
    pub tickets: Vec<(Council, RequestState, u64)>,
    /// Tickets that are not closed, of which a promise was not kept.
    pub late: Vec<(Council, u64)>,
    /// Pieces of work that have not ended.
    pub handovers: Vec<(SystemName, HandoverState, u64)>,
    /// News of work that nobody ordered here.
    pub orphans: Vec<(SystemName, u64)>,
    /// Closures that a CRM did not take when it was asked first.
    pub closures: Vec<ClosuresAgain>,
}

/// Closures that a CRM did not take when it was asked first, and that are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosuresAgain {
    /// The CRM.
    pub system: SystemName,
    /// How many.
    pub count: u64,
    /// Why one of them failed last.
    pub reason: String,
}
