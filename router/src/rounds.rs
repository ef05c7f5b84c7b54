//! Rounds of what is done again and again: at once, then every so often, until shutdown.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The shortest pause between two looks for a turn.
const SHORTEST: Duration = Duration::from_millis(50);

/// Says when the next round begins. A round that took long delays those after it; none is made up for.
pub struct Rounds {
    tick: Interval,
    shutdown: CancellationToken,
}

impl Rounds {
    /// A round every `pause`.
    pub fn every(pause: Duration, shutdown: CancellationToken) -> Self {
        let mut tick = interval(pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { tick, shutdown }
    }

    /// Looks for a turn that several routers take in turns, once in every `every`: four times as often, and at least
    /// every `longest`.
    pub fn looking(every: Duration, longest: Duration, shutdown: CancellationToken) -> Self {
        Self::every((every / 4).clamp(SHORTEST, longest), shutdown)
    }

    /// Waits for the next round; `false` at shutdown.
    pub async fn next(&mut self) -> bool {
        self.shutdown.run_until_cancelled(self.tick.tick()).await.is_some()
    }

    /// Does what may be broken off without harm; `None` when a shutdown did so.
    pub async fn unless_ended<T>(&self, round: impl Future<Output = T>) -> Option<T> {
        self.shutdown.run_until_cancelled(round).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rounds_begin_at_once_and_end_with_the_shutdown() {
        let hour = Duration::from_secs(3600);
        let shutdown = CancellationToken::new();
        let mut rounds = Rounds::every(hour, shutdown.clone());
        assert!(rounds.next().await, "the first begins at once");
        assert_eq!(rounds.unless_ended(async { 7 }).await, Some(7));
        assert!(
            tokio::time::timeout(Duration::from_millis(20), rounds.next()).await.is_err(),
            "the next waits"
        );
        shutdown.cancel();
        assert!(!rounds.next().await);
        assert_eq!(rounds.unless_ended(std::future::pending::<u8>()).await, None);
    }

    #[tokio::test]
    async fn a_turn_is_looked_for_more_often_than_it_comes() {
        let minute = Duration::from_secs(60);
        for (every, pause) in [(Duration::ZERO, SHORTEST), (minute, minute / 4), (minute * 60, minute)] {
            let rounds = Rounds::looking(every, minute, CancellationToken::new());
            assert_eq!(rounds.tick.period(), pause);
        }
    }
}
