//! Why a system takes no calls now: a pure reading of its halt and its mapping.

use jiff::Timestamp;
use mappings::mapping::Limits;

use crate::ledger::{Breaker, Halt, Pause};

/// Why a system takes no calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut<'a> {
    /// A person paused it.
    Paused(&'a Pause),
    /// It is closed by its mapping.
    Closed {
        /// When it opens.
        until: Timestamp,
    },
    /// It did not answer, and is left alone.
    NotAnswering(&'a Breaker),
}

impl Shut<'_> {
    /// The reason in one word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Paused(_) => "paused",
            Self::Closed { .. } => "closed_hours",
            Self::NotAnswering(_) => "not_answering",
        }
    }

    /// When it is tried again, where that is known.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Paused(_) => None,
            Self::Closed { until } => Some(*until),
            Self::NotAnswering(breaker) => Some(breaker.probe_at),
        }
    }
}

/// Why a system takes no calls now; `None` where it does. What a person said goes before all else.
pub fn shut<'a>(halt: Option<&'a Halt>, limits: &Limits, now: Timestamp) -> Option<Shut<'a>> {
    if let Some(pause) = halt.and_then(|halt| halt.pause.as_ref()) {
        return Some(Shut::Paused(pause));
    }
    if let Some(until) = limits.closed.until(now) {
        return Some(Shut::Closed { until });
    }
    let breaker = halt.and_then(|halt| halt.breaker.as_ref()).filter(|_| limits.breaker.is_some());
    breaker.map(Shut::NotAnswering)
}
