//! Tells the metrics, and readiness, how much waits: counted by the ledger every so often, never for a scrape.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mappings::mapping::Catalogue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api::Readiness;
use crate::clock::Clock;
use crate::ledger::{Error, Failing, Ledger, ProblemSearch};
use crate::rounds::Rounds;
use crate::timeline;

/// The name of a gauge, and its labels.
type Series = (&'static str, Vec<(&'static str, String)>);

/// Counts what waits.
pub struct Counter {
    /// Where it is.
    pub ledger: Arc<dyn Ledger>,
    /// The mappings, which say whose news of work that nobody ordered is not for a person.
    pub catalogue: Arc<Catalogue>,
    /// The time.
    pub clock: Clock,
    /// How often it counts.
    pub every: Duration,
    /// Where it is told what fails.
    pub readiness: watch::Sender<Readiness>,
}

impl Counter {
    /// Counts until shutdown. While the ledger is away, what was counted last stays.
    pub async fn run(self, shutdown: CancellationToken) {
        describe();
        let mut rounds = Rounds::every(self.every, shutdown);
        let mut told = BTreeMap::new();
        while rounds.next().await {
            if let Some(Err(error)) = rounds.unless_ended(self.count(&mut told)).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "what waits could not be counted");
            }
        }
    }

    /// Counts once: what was told before and is not there any more is told as none.
    async fn count(&self, told: &mut BTreeMap<Series, f64>) -> Result<(), Error> {
        let now = self.clock.now();
        // What was put right since is done with, and its row is not looked at again.
        self.ledger.settle_refusals(now).await?;
        let failing = self.ledger.failures().await?;
        let counted = self.counted(&failing).await?;
        for (series, value) in told.iter_mut() {
            if !counted.contains_key(series) && *value != 0.0 {
                gauge(series).set(0.0);
                *value = 0.0;
            }
        }
        for (series, value) in counted {
            gauge(&series).set(value);
            told.insert(series, value);
        }
        let failing: Vec<String> = failing.iter().filter(|one| one.is_for_a_person()).map(in_words).collect();
        self.readiness.send_if_modified(|readiness| {
            let changed = readiness.failing != failing;
            readiness.failing = failing;
            changed
        });
        Ok(())
    }

    async fn counted(&self, failing: &[Failing]) -> Result<BTreeMap<Series, f64>, Error> {
        let backlog = self.ledger.backlog(self.clock.now()).await?;
        let of_others = timeline::of_others(&self.catalogue);
        let search = ProblemSearch { of_others: of_others.clone(), ..ProblemSearch::first(1) };
        let problems = self.ledger.find_problems(&search).await?.tallies;
        let mut counted = BTreeMap::new();
        let mut add = |name, labels: Vec<(&'static str, String)>, count| {
            counted.insert((name, labels), number(count));
        };
        for (council, state, count) in backlog.tickets {
            add(
                "dovetail_tickets",
                vec![("council", council.to_string()), ("state", state.to_string())],
                count,
            );
        }
        for (council, count) in backlog.late {
            add("dovetail_tickets_late", vec![("council", council.to_string())], count);
        }
        for (system, state, count) in backlog.handovers {
            add(
                "dovetail_handovers",
                vec![("state", state.to_string()), ("system", system.to_string())],
                count,
            );
        }
        for (system, count) in backlog.orphans {
            if !of_others.contains(&system) {
                add("dovetail_orphans", vec![("system", system.to_string())], count);
            }
        }
        for again in backlog.closures {
            add("dovetail_closures_retried", vec![("system", again.system.to_string())], again.count);
        }
        for tally in problems {
            add("dovetail_problems", vec![("kind", tally.kind.as_str().to_owned())], tally.total);
        }
        for one in failing {
            let labels =
                vec![("activity", one.activity.as_str().to_owned()), ("system", one.system.to_string())];
            add("dovetail_polls_failing", labels, u64::from(one.times));
        }
        Ok(counted)
    }
}

/// What fails, without why: readiness is told to whoever asks.
fn in_words(failing: &Failing) -> String {
    let Failing { system, activity, since, times, .. } = failing;
    format!("{system} {} failed {times} times since {since}; dovetail problems says why", activity.as_str())
}

fn gauge((name, labels): &Series) -> metrics::Gauge {
    let labels: Vec<metrics::Label> =
        labels.iter().map(|(name, value)| metrics::Label::new(*name, value.clone())).collect();
    metrics::gauge!(*name, labels)
}

fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn describe() {
    for (name, what) in [
        ("dovetail_tickets", "Tickets that are not closed, by state."),
        (
            "dovetail_tickets_late",
            "Tickets that are not closed and whose promise to the customer was not kept.",
        ),
        (
            "dovetail_handovers",
            "Pieces of work that have not ended: due, awaiting news, or parked for a person.",
        ),
        ("dovetail_orphans", "News of work that nobody ordered here."),
        ("dovetail_closures_retried", "Closures that the CRM did not take when it was asked first."),
        ("dovetail_problems", "What waits for a person, by kind, as dovetail problems lists it."),
        (
            "dovetail_polls_failing",
            "How often in a row polls, lists, files or comparisons of a system failed.",
        ),
    ] {
        metrics::describe_gauge!(name, what);
    }
}

#[cfg(test)]
mod tests {
    use mappings::domain::SystemName;

    use super::*;
    use crate::console::tests::seed::{Seed, at};
    use crate::ledger::{Activity, PollFailure};

    #[tokio::test]
    async fn what_waits_is_counted_by_kind_system_and_council_and_what_is_gone_is_none() {
        let seed = Seed::town().await;
        let (readiness, ready) = watch::channel(Readiness::default());
        let counter = Counter {
            ledger: Arc::clone(&seed.ledger),
            catalogue: Arc::clone(&seed.catalogue),
            clock: Clock::stopped_at(at(30)),
            every: Duration::from_secs(30),
            readiness,
        };
        let waste = SystemName::parse("waste").expect("a name");
        let failure = PollFailure { reason: "a secret detail".into(), lasting: false };
        for _ in 0..2 {
            let kept = seed.ledger.keep_failure(&waste, Activity::News, &failure, at(20)).await;
            kept.expect("kept");
        }
        let mut told = BTreeMap::new();
        counter.count(&mut told).await.expect("counted");
        let value = |told: &BTreeMap<Series, f64>, name, labels: &[(&'static str, &str)]| {
            let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            told.get(&(name, labels)).copied()
        };
        let of = |name, labels: &[(&'static str, &str)]| value(&told, name, labels);
        assert_eq!(of("dovetail_tickets", &[("council", "harlow"), ("state", "held")]), Some(1.0));
        assert_eq!(of("dovetail_handovers", &[("state", "parked"), ("system", "waste")]), Some(1.0));
        assert_eq!(of("dovetail_orphans", &[("system", "waste")]), Some(1.0));
        assert_eq!(of("dovetail_problems", &[("kind", "refused")]), Some(1.0));
        assert_eq!(of("dovetail_polls_failing", &[("activity", "news"), ("system", "waste")]), Some(2.0));
        let failing = ready.borrow().failing.clone();
        assert!(failing[0].starts_with("waste news failed 2 times since"), "{failing:?}");
        assert!(!failing[0].contains("secret"), "{failing:?}");
        seed.ledger.end_failure(&waste, Activity::News).await.expect("ended");
        counter.count(&mut told).await.expect("counted");
        let gone = value(&told, "dovetail_polls_failing", &[("activity", "news"), ("system", "waste")]);
        assert_eq!(gone, Some(0.0), "told as none, not left as it was");
        assert!(ready.borrow().failing.is_empty());
    }
}
