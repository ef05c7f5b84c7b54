//! The figures of a run, and how they are condensed.

use std::collections::BTreeMap;
use std::time::Duration;

/// One measurement of a rate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    /// Requests closed a second, from the first event to the last closure.
    pub(crate) rate: f64,
    /// Own processor time a request, in microseconds.
    pub(crate) cpu: f64,
    /// The most memory it held, in MB.
    pub(crate) peak: f64,
    /// Commits a message, where the subject has a database on the server.
    pub(crate) commits: Option<f64>,
    /// Bytes of write-ahead log a message.
    pub(crate) wal: Option<f64>,
    /// Pages of data that were written into that log whole, a message.
    pub(crate) pages: Option<f64>,
    /// Closures a second over time, in seconds.
    pub(crate) series: Vec<(f64, f64)>,
}

/// One measurement of delays, in milliseconds, without the stub's own time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delay {
    /// The median.
    pub(crate) p50: f64,
    /// 95 of 100 are below.
    pub(crate) p95: f64,
    /// 99 of 100 are below.
    pub(crate) p99: f64,
    /// The median over time, in seconds.
    pub(crate) series: Vec<(f64, f64)>,
}

/// Memory with a backlog waiting in the ledger, in MB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backlog {
    /// How many wait.
    pub(crate) waiting: usize,
    /// When a tenth of them waited.
    pub(crate) at_a_tenth: f64,
    /// When all waited.
    pub(crate) at_all: f64,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// By name, in the order of the rounds; what was left out of a round is missing there.
    pub(crate) rates: BTreeMap<String, Vec<(usize, Rate)>>,
    /// By name.
    pub(crate) delays: BTreeMap<String, Vec<Delay>>,
    /// The rate at which delays were measured.
    pub(crate) tenth: f64,
    /// How long it takes to show a ticket of a long history, and how many thousands are closed in that.
    pub(crate) found: Option<(usize, Delay)>,
    /// With a backlog.
    pub(crate) backlog: Option<Backlog>,
}

impl Figures {
    /// The median of one figure of a subject.
    pub(crate) fn median(&self, name: &str, read: impl Fn(&Rate) -> f64) -> Option<f64> {
        middle(self.rates.get(name)?.iter().map(|(_, rate)| read(rate)).collect())
    }

    /// The median, over the rounds, of one figure of a subject as a multiple of the other's in the same round.
    pub(crate) fn ratio(&self, name: &str, to: &str, read: impl Fn(&Rate) -> f64) -> Option<f64> {
        let others = self.rates.get(to)?;
        let pairs = self.rates.get(name)?.iter().filter_map(|(round, rate)| {
            let (_, other) = others.iter().find(|(other, _)| other == round)?;
            Some(read(rate) / read(other))
        });
        middle(pairs.collect())
    }

    /// The median of one delay of a subject.
    pub(crate) fn delay(&self, name: &str, read: impl Fn(&Delay) -> f64) -> Option<f64> {
        middle(self.delays.get(name)?.iter().map(read).collect())
    }
}

/// The middle of some numbers.
pub(crate) fn middle(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    if numbers.len() % 2 == 1 {
        numbers.get(half).copied()
    } else {
        Some((numbers.get(half.checked_sub(1)?)? + numbers.get(half)?) / 2.0)
    }
}

/// The delay below which so many of a hundred are, in milliseconds.
pub(crate) fn percentile(sorted: &[Duration], hundredths: usize) -> f64 {
    let at = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1000.0)
}
