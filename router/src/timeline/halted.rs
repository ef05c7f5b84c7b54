//! Systems that take no calls for now, as a person reads it.

use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{Catalogue, System};

use super::{Names, when, words};
use crate::gate::{self, Shut};
use crate::ledger::Halt;

/// A system that takes no calls for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// The system.
    pub system: SystemName,
    /// Its name for people.
    pub title: String,
    /// `paused`, `not_answering` or `closed_hours`.
    pub why: &'static str,
    /// When it is tried again, where that is known.
    pub until: Option<Timestamp>,
    /// The reason as a sentence.
    pub text: String,
}

/// The systems that take no calls now, in the order of the mappings.
pub fn halted(halts: &[Halt], catalogue: &Catalogue, now: Timestamp) -> Vec<Halted> {
    let halt = |system: &System| halts.iter().find(|halt| halt.system == system.name);
    let names = Names { catalogue };
    let halted = |system: &System| {
        let shut = gate::shut(halt(system), &system.limits, now)?;
        Some(Halted {
            system: system.name.clone(),
            title: system.title.clone(),
            why: shut.word(),
            until: shut.until(),
            text: words::sentence(&told(&names.spoken(&system.name), &shut, now)),
        })
    };
    catalogue.systems().filter_map(|system| halted(system)).collect()
}

/// Why a system takes no calls, without a full stop.
pub(super) fn told(name: &str, shut: &Shut<'_>, now: Timestamp) -> String {
    match shut {
        Shut::Paused(pause) => {
            let reason = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{name} is paused by {} since {}{reason}", pause.by, when::stamp(pause.at))
        }
        Shut::Closed { until } => {
            format!("{name} takes no calls at this hour; it opens {}", when::spoken(*until, now))
        }
        Shut::NotAnswering(breaker) => {
            let again = match breaker.probe_at {
                at if at <= now => "now".to_owned(),
                at => when::spoken(at, now),
            };
            let since = when::stamp(breaker.since);
            format!(
                "{name} is not answering since {since}; tried again {again}. The last failure: {}",
                breaker.reason
            )
        }
    }
}
