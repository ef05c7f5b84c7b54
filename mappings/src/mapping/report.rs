//! What a system says of its jobs.

use jiff::Timestamp;

use crate::domain::{Job, Ticket};

/// A system's word on one job, before its meaning is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What makes this word recognisable when it comes again.
    pub key: Option<String>,
    /// The system's reference.
    pub job: Option<Job>,
    /// Our reference, as the system gives it back.
    pub reference: Option<Ticket>,
    /// The status, in the system's words.
    pub said: String,
    /// When the system says it happened.
    pub at: Option<Timestamp>,
    /// What somebody wrote beside it.
    pub note: Option<String>,
}
