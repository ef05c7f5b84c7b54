//! The time, as the ledger's database tells it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use jiff::Timestamp;

/// A clock that was set by the database once and runs on the monotonic clock since.
///
/// A jump of the host's wall clock neither fires nor loses a retry.
#[derive(Debug, Clone)]
pub struct Clock {
    started: Instant,
    origin_ms: Arc<AtomicI64>,
    stopped: bool,
}

/// The host's wall clock, for commands that have no ledger to ask.
#[expect(clippy::disallowed_methods, reason = "the one place where the host's time is read")]
pub fn host_time() -> Timestamp {
    Timestamp::now()
}

impl Clock {
    /// A running clock that now shows `now`.
    pub fn started_at(now: Timestamp) -> Self {
        Self {
            started: Instant::now(),
            origin_ms: Arc::new(AtomicI64::new(now.as_millisecond())),
            stopped: false,
        }
    }

    /// A clock that moves only when it is [advanced](Self::advance).
    pub fn stopped_at(now: Timestamp) -> Self {
        Self { stopped: true, ..Self::started_at(now) }
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        let run =
            if self.stopped { 0 } else { i64::try_from(self.started.elapsed().as_millis()).unwrap_or(0) };
        let shown = self.origin_ms.load(Ordering::Relaxed).saturating_add(run);
        Timestamp::from_millisecond(shown).unwrap_or(Timestamp::MAX)
    }

    /// Moves the clock on.
    pub fn advance(&self, by: std::time::Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.origin_ms.fetch_add(by, Ordering::Relaxed);
    }
}
