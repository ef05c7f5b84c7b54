//! Whether the ledger keeps up with what comes in.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A delivery that waits longer than this for the ledger shows that it has fallen behind.
const SLOW: Duration = Duration::from_secs(2);

/// The deliveries that the ledger has yet to take.
#[derive(Debug, Default)]
pub(super) struct Pressure(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// When each came, oldest first.
    since: BTreeMap<u64, Instant>,
    /// How many of them could not be written at a first try.
    failed: usize,
}

/// What is to be done with the tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Consume no more, for this reason.
    Off(&'static str),
    /// Consume.
    On,
    /// Leave it: it has not kept up yet, nor fallen behind again.
    AsItIs,
}

/// One delivery that waits; dropped when it does no more.
#[derive(Debug)]
pub(super) struct Waits<'a> {
    pressure: &'a Pressure,
    number: u64,
    failed: bool,
}

impl Pressure {
    /// A delivery begins to wait.
    pub(super) fn enter(&self, now: Instant) -> Waits<'_> {
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.since.insert(number, now);
        Waits { pressure: self, number, failed: false }
    }

    /// Off at the first sign of trouble; on again only when nothing waits any more, so that it does not flutter.
    pub(super) fn look(&self, now: Instant) -> Turn {
        let waiting = self.lock();
        let oldest = waiting.since.values().next();
        if waiting.failed > 0 {
            Turn::Off("it cannot write")
        } else if oldest.is_some_and(|since| now.saturating_duration_since(*since) > SLOW) {
            Turn::Off("it has fallen behind")
        } else if waiting.since.is_empty() {
            Turn::On
        } else {
            Turn::AsItIs
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waits<'_> {
    /// The ledger could not take it.
    pub(super) fn failed(&mut self) {
        if !self.failed {
            self.failed = true;
            self.pressure.lock().failed += 1;
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut waiting = self.pressure.lock();
        waiting.since.remove(&self.number);
        waiting.failed -= usize::from(self.failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tap_is_turned_off_by_a_failure_or_a_long_wait_and_on_when_nothing_waits() {
        let pressure = Pressure::default();
        let start = Instant::now();
        assert_eq!(pressure.look(start), Turn::On);
        let mut first = pressure.enter(start);
        let second = pressure.enter(start + Duration::from_secs(1));
        assert_eq!(pressure.look(start + SLOW), Turn::AsItIs);
        assert_eq!(pressure.look(start + SLOW * 2), Turn::Off("it has fallen behind"));
        first.failed();
        first.failed();
        assert_eq!(pressure.look(start), Turn::Off("it cannot write"));
        drop(first);
        assert_eq!(pressure.look(start + SLOW), Turn::AsItIs);
        drop(second);
        assert_eq!(pressure.look(start + SLOW * 9), Turn::On);
    }
}
