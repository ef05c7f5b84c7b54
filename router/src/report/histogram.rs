//! How long something took, counted by length: a percentile of any number of times from a few numbers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// How far a percentile may be from the exact one, as a share of it. What took less than a second counts as none.
pub const RELATIVE_ERROR: f64 = 0.02;

/// The quotient of the ends of a bucket: what lies in it is within [`RELATIVE_ERROR`] of its middle.
const GROWTH: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);

const SECOND: f64 = 1_000.0;

/// Times in buckets that grow with their length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    buckets: BTreeMap<u16, u64>,
    total_ms: u64,
}

impl Histogram {
    /// Adds one time. One that is negative, since two clocks differ, counts as none.
    pub fn add(&mut self, ms: i64) {
        let ms = u64::try_from(ms).unwrap_or(0);
        *self.buckets.entry(bucket(ms)).or_default() += 1;
        self.total_ms += ms;
    }

    /// Adds what another has.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
        self.total_ms += other.total_ms;
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// All times together, exactly, in milliseconds.
    pub fn total_ms(&self) -> u64 {
        self.total_ms
    }

    /// The shortest time that at least so many per cent do not exceed, in seconds; `None` without any.
    pub fn percentile(&self, percent: u64) -> Option<f64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.buckets.iter().find_map(|(bucket, count)| {
            seen += count;
            (seen >= rank).then(|| middle(*bucket))
        })
    }

    /// As it is stored.
    pub fn to_json(&self) -> Value {
        let buckets: Vec<Value> = self.buckets.iter().map(|(bucket, count)| json!([bucket, count])).collect();
        json!({"total_ms": self.total_ms, "buckets": buckets})
    }

    /// As it was stored; `None` if it is not of the form.
    pub fn from_json(value: &Value) -> Option<Self> {
        let pair = |pair: &Value| {
            let bucket = u16::try_from(pair.get(0)?.as_u64()?).ok()?;
            Some((bucket, pair.get(1)?.as_u64()?))
        };
        let buckets = value.get("buckets")?.as_array()?.iter().map(pair).collect::<Option<_>>()?;
        Some(Self { buckets, total_ms: value.get("total_ms")?.as_u64()? })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn bucket(ms: u64) -> u16 {
    let seconds = ms as f64 / SECOND;
    if seconds < 1.0 { 0 } else { 1 + (seconds.ln() / GROWTH.ln()).floor() as u16 }
}

fn middle(bucket: u16) -> f64 {
    if bucket == 0 { 0.0 } else { 2.0 * GROWTH.powi(i32::from(bucket)) / (GROWTH + 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times from a second to three years, more short ones than long ones.
    fn times() -> Vec<i64> {
        (0..5_000_i64).map(|n| 1_000 + n * n * n * 757 / 1_000 * 1_000 % 94_608_000_000).collect()
    }

    #[test]
    fn a_percentile_is_within_the_stated_error_of_the_exact_one() {
        let mut exact = times();
        let mut histogram = Histogram::default();
        exact.iter().for_each(|ms| histogram.add(*ms));
        exact.sort_unstable();
        for percent in [1, 50, 90, 95, 99, 100] {
            let rank = (exact.len() * percent).div_ceil(100);
            let expected = exact[rank - 1] as f64 / SECOND;
            let found = histogram.percentile(percent as u64).expect("times");
            let error = (found - expected).abs() / expected;
            assert!(error <= RELATIVE_ERROR + 1e-9, "p{percent}: {found} for {expected}: {error}");
        }
    }

    #[test]
    fn what_is_merged_is_as_if_all_had_been_added_to_one() {
        let (mut whole, mut first, mut second) = Default::default();
        for (n, ms) in times().into_iter().enumerate() {
            Histogram::add(&mut whole, ms);
            Histogram::add(if n % 3 == 0 { &mut first } else { &mut second }, ms);
        }
        first.merge(&second);
        assert_eq!(first, whole);
        assert_eq!(Histogram::from_json(&whole.to_json()), Some(whole));
    }

    #[test]
    fn without_times_there_is_no_percentile_and_less_than_a_second_is_none() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), None);
        histogram.add(-5_000);
        histogram.add(999);
        assert_eq!((histogram.percentile(100), histogram.total_ms()), (Some(0.0), 999));
    }
}
