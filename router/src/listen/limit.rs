//! Limits that were reached: logged once a while, counted each time, and told in readiness for as long as they last.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limit {
    /// Connections to the listener.
    Connections,
    /// Connections from one address.
    Address,
    /// Requests at once.
    Requests,
    /// Descriptors of the process.
    Descriptors,
}

impl Limit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "connections_per_address",
            Self::Requests => "requests_at_once",
            Self::Descriptors => "descriptors",
        }
    }

    fn means(self) -> &'static str {
        match self {
            Self::Connections => {
                "all connections are taken; those that ask for nothing make room for new ones"
            }
            Self::Address => "one address has all connections that it may have; further ones are closed",
            Self::Requests => "as many requests as may be are being answered; further ones are answered 503",
            Self::Descriptors => "the process has no descriptor left for a new connection",
        }
    }
}

/// How long a limit is told after it was reached, and how long it is not logged again.
const A_WHILE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Reached {
    last: Instant,
    logged: Instant,
    /// Since it was logged.
    times: u64,
}

/// The limits of one listener that were reached.
#[derive(Debug)]
pub(super) struct Reports {
    listener: &'static str,
    reached: Mutex<BTreeMap<Limit, Reached>>,
}

impl Reports {
    pub(super) fn new(listener: &'static str) -> Self {
        Self { listener, reached: Mutex::default() }
    }

    /// A limit was reached.
    pub(super) fn reached(&self, limit: Limit, now: Instant) {
        let (listener, name) = (self.listener, limit.as_str());
        metrics::counter!("dovetail_limits_reached_total", "listener" => listener, "limit" => name)
            .increment(1);
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let known = reached.get_mut(&limit);
        let times = match known {
            Some(known) if now.saturating_duration_since(known.logged) < A_WHILE => {
                known.last = now;
                known.times += 1;
                return;
            }
            Some(known) => known.times + 1,
            None => 1,
        };
        reached.insert(limit, Reached { last: now, logged: now, times: 0 });
        drop(reached);
        tracing::warn!(listener, limit = name, times, means = limit.means(), "a limit was reached");
    }

    /// The limits that were reached of late, by name, each with what that means.
    pub(super) fn tell(&self, now: Instant) -> BTreeMap<String, &'static str> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let of_late = reached.iter().filter(|(_, it)| now.saturating_duration_since(it.last) < A_WHILE);
        of_late.map(|(limit, _)| (format!("{}.{}", self.listener, limit.as_str()), limit.means())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_while_it_is_reached_and_for_a_while_after() {
        let reports = Reports::new("doors");
        let began = Instant::now();
        assert!(reports.tell(began).is_empty());
        reports.reached(Limit::Connections, began);
        let later = began + A_WHILE - Duration::from_secs(1);
        reports.reached(Limit::Connections, later);
        let names: Vec<String> = reports.tell(began + A_WHILE).into_keys().collect();
        assert_eq!(names, ["doors.connections"]);
        assert!(reports.tell(later + A_WHILE).is_empty());
    }
}
