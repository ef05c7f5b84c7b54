//! What an attempt told us, as a value.

use std::time::Duration;

use mappings::domain::{Disposition, Job};
use mappings::mapping::RenderError;
use serde_json::Value;

use crate::carried::Carried;

/// What one attempt at a call came to.
///
/// Every answer of a system, and every failure on the way to it, is one of these; none is an error of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The system has it.
    Delivered {
        /// The system's own reference, where the mapping reads one.
        job: Option<Job>,
        /// What a person should know besides, for example `was closed by a person already`.
        note: Option<String>,
    },
    /// Certainly not carried out: it may be sent again.
    Retry {
        /// The pause the system asked for, between a second and an hour.
        after: Option<Duration>,
        /// Why, in plain words.
        reason: String,
    },
    /// The system has it, and has yet to say the rest, for which it is asked again: the job's number, where it gave a
    /// token first.
    Pending {
        /// The pause the system asked for, between a second and an hour.
        after: Option<Duration>,
        /// What is waited for, in plain words.
        reason: String,
        /// What was carried out, with the system's reference so far.
        carried: Box<Carried>,
    },
    /// The system refused.
    Rejected {
        /// How the work ended, where the mapping knows the words; `None` is for a person.
        disposition: Option<Disposition>,
        /// Why, in the system's words or the mapping's.
        reason: String,
        /// What the customer may be told.
        say: Option<String>,
    },
    /// It may have been carried out: it must be looked up, or a person asked, before it is sent again.
    Unknown {
        /// Why, in plain words.
        reason: String,
    },
    /// The answer to a look-up: the system has nothing under our reference.
    Absent,
}

impl Outcome {
    /// The outcome in one word: `delivered`, `retry`, `pending`, `rejected`, `unknown` or `absent`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Retry { .. } => "retry",
            Self::Pending { .. } => "pending",
            Self::Rejected { .. } => "rejected",
            Self::Unknown { .. } => "unknown",
            Self::Absent => "absent",
        }
    }
}

/// An attempt for the record: what it came to, and what was said on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Performed {
    /// What it came to.
    pub outcome: Outcome,
    /// The HTTP status of the answer that decided, where there was one.
    pub status: Option<u16>,
    /// The call that decided, as HTTP text with secrets masked; empty where nothing was sent, and where the outcome
    /// is `Delivered` without a note: nobody reads it then.
    pub call: String,
    /// The answer that decided, as text with secrets masked, cut to 16 KiB; absent as the call is.
    pub answer: Option<String>,
    /// What was lost in rendering: truncations, each naming field and lengths.
    pub warnings: Vec<String>,
    /// The request lacks something the system needs. The outcome is then `Rejected` without a disposition.
    pub render_failed: Option<RenderError>,
}

/// Why a system could not be asked what changed. Nothing is lost by asking again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ReadFailure {
    /// Why, in plain words.
    pub reason: String,
    /// The pause the system asked for.
    pub after: Option<Duration>,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The call, as HTTP text with secrets masked; empty where nothing was sent.
    pub call: String,
    /// The answer, as text with secrets masked, cut to 16 KiB.
    pub answer: Option<String>,
    /// The answer was larger than it may be: asking for less may help, asking again does not.
    pub too_large: bool,
    /// The call cannot be made of what is known: asking again changes nothing.
    pub is_unrenderable: bool,
}

/// What was read out of a system.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gathered {
    /// What the step that decides was answered, a document for each page; none where the system has nothing.
    pub pages: Vec<Value>,
    /// Every answer as `$.steps` has it: by step, `{status, headers, body}`.
    pub steps: Value,
}

/// Why a connector cannot be made from a system's `connection`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The base URL, or that of the token end point, cannot be used.
    #[error("{system}: {key} {found:?} cannot be used: {reason}")]
    Address {
        /// The system.
        system: String,
        /// The key it stands under.
        key: &'static str,
        /// The URL.
        found: String,
        /// What is wrong with it and what is expected.
        reason: String,
    },
    /// The HTTP client cannot be set up, for example because the host has no CA certificates.
    #[error("{system}: the HTTP client cannot be set up")]
    Client {
        /// The system.
        system: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}
