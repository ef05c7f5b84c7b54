//! When systems are asked about the jobs that are still open, and what that came to.

use jiff::Timestamp;
use mappings::domain::SystemName;
use serde_json::Value;

use super::{Check, WorkerId};
use mappings::domain::{HandoverId, Progress};

/// A worker wants to ask a system about its open jobs, or goes on doing so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The worker.
    pub worker: WorkerId,
    /// The time.
    pub now: Timestamp,
    /// When a system is due that was never asked.
    pub first: Timestamp,
    /// Until when nobody else asks, should the worker die.
    pub until: Timestamp,
    /// A person wants it now, due or not.
    pub at_once: bool,
}

/// An open job, and what is known of it.
#[derive(Debug, Clone)]
pub struct OpenJob {
    /// The job and its ticket.
    pub check: Check,
    /// How far it has come.
    pub progress: Option<Progress>,
    /// The system's last word.
    pub said: Option<String>,
    /// When that was said.
    pub said_at: Option<Timestamp>,
    /// Where the next page begins.
    pub place: (Timestamp, HandoverId),
}

/// What asking a system about its open jobs came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconciled {
    /// When it ended.
    pub ended_at: Timestamp,
    /// When the system is due next.
    pub due_at: Timestamp,
    /// Whether it was asked about all of them: then what made it due early is over.
    pub whole: bool,
    /// Numbers and differences, for people and programs.
    pub report: Value,
}

/// Why a poll failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollFailure {
    /// Why, in plain words.
    pub reason: String,
    /// Asking again comes to the same: a person is told at once.
    pub lasting: bool,
}

/// How the polls of a system went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Polls {
    /// One has succeeded.
    pub succeeded: bool,
    /// Since when they fail, and why the last one did; `None` where the last one succeeded.
    pub failing: Option<(Timestamp, PollFailure)>,
}

/// When a system was asked for news, and about its open jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The system.
    pub system: SystemName,
    /// Up to when its news was asked for; `None` where it is not polled, or never was.
    pub polled_to: Option<Timestamp>,
    /// How its polls went.
    pub polls: Polls,
    /// When it is asked about its open jobs next; `None` where it never is.
    pub due_at: Option<Timestamp>,
    /// Why it is due early.
    pub why: Option<String>,
    /// When it was last asked about them, and what that came to.
    pub last: Option<(Timestamp, Value)>,
}
