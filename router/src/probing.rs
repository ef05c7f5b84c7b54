//! Looks every moment whether the ledger answers and takes writes, and tells readiness.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::Readiness;
use crate::clock::Clock;
use crate::ledger::Probe;
use crate::rounds::Rounds;

/// The pause between two looks. With the time that a look takes at most, what is wrong is told within three seconds.
const EVERY: Duration = Duration::from_millis(750);

/// Tells readiness how the ledger is.
pub(crate) struct Prober {
    /// Looks at the ledger.
    pub(crate) probe: Probe,
    /// The time.
    pub(crate) clock: Clock,
    /// Why the last heartbeat failed, where it did.
    pub(crate) heartbeat: watch::Receiver<Option<String>>,
    /// Where it is told.
    pub(crate) readiness: watch::Sender<Readiness>,
}

impl Prober {
    /// Looks until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut rounds = Rounds::every(EVERY, shutdown);
        let mut trouble = Trouble::default();
        while rounds.next().await {
            let looked = rounds.unless_ended(self.probe.look(self.clock.now())).await;
            let Some(looked) = looked else { return };
            let failure = looked.err().or_else(|| self.heartbeat.borrow().clone());
            let told = trouble.tell(failure, self.clock.now());
            self.readiness.send_if_modified(|readiness| {
                let changed = readiness.ledger != told;
                readiness.ledger = told;
                changed
            });
        }
    }
}

/// What is wrong, and since when something is.
#[derive(Debug, Default)]
struct Trouble(Option<(String, Timestamp)>);

impl Trouble {
    /// Takes what the last look came to, logs what changed, and returns what is to be told.
    fn tell(&mut self, failure: Option<String>, now: Timestamp) -> Option<String> {
        match (failure, self.0.take()) {
            (None, None) => None,
            (None, Some((_, since))) => {
                tracing::info!(since = %since, "the ledger is ready again");
                None
            }
            (Some(reason), before) => {
                let since = before.as_ref().map_or(now, |(_, since)| *since);
                if before.is_none_or(|(before, _)| before != reason) {
                    tracing::error!(reason = %reason, since = %since, "the ledger is not ready");
                }
                let told = format!("{reason}, since {since:.0}");
                self.0 = Some((reason, since));
                Some(told)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_with_its_cause_and_since_when_there_is_any() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut trouble = Trouble::default();
        assert_eq!(trouble.tell(None, at(0)), None);
        let told = |trouble: &mut Trouble, reason: &str, second| {
            trouble.tell(Some(reason.to_owned()), at(second)).expect("trouble")
        };
        assert_eq!(told(&mut trouble, "disk full", 5), "disk full, since 1970-01-01T00:00:05Z");
        let other = told(&mut trouble, "the database does not answer", 6);
        assert_eq!(other, "the database does not answer, since 1970-01-01T00:00:05Z");
        assert_eq!(trouble.tell(None, at(7)), None);
        assert_eq!(told(&mut trouble, "disk full", 8), "disk full, since 1970-01-01T00:00:08Z");
    }
}
