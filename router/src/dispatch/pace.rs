//! How fast calls may begin.

use std::time::Duration;

use mappings::mapping::Rate;
use tokio::time::Instant;

/// Spaces calls evenly, by the generic cell rate algorithm.
///
/// A call may come a little early to make up for one that came late, and the space between two is made larger by as
/// much: in no second (minute, hour) do more begin than the rate allows.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<Rate>,
    /// When the next call would be on time.
    next: Instant,
}

impl Pace {
    /// As fast as calls come.
    pub(super) fn new(now: Instant) -> Self {
        Self { rate: None, next: now }
    }

    /// Goes on at another rate.
    pub(super) fn set(&mut self, rate: Option<Rate>) {
        self.rate = rate;
    }

    /// Begins a call.
    ///
    /// # Errors
    /// When one may begin, where it may not yet.
    pub(super) fn begin(&mut self, now: Instant) -> Result<(), Instant> {
        let Some(rate) = self.rate else { return Ok(()) };
        let early = early(rate.per);
        let from = self.next.checked_sub(early).unwrap_or(now);
        if from > now {
            return Err(from);
        }
        self.next = self.next.max(now) + (rate.per + early) / rate.calls.max(1);
        Ok(())
    }
}

/// How much too early a call may be.
fn early(per: Duration) -> Duration {
    (per / 50).min(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The moments at which calls begin that all wait from the start, on a clock that is read every `step`.
    fn begun(rate: Rate, step: Duration, steps: u32) -> Vec<Duration> {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.set(Some(rate));
        let mut begun = Vec::new();
        for number in 0..steps {
            let now = start + step * number;
            while pace.begin(now).is_ok() {
                begun.push(step * number);
            }
        }
        begun
    }

    #[test]
    fn in_no_second_do_more_calls_begin_than_the_rate_allows() {
        for calls in [1, 7, 20, 333, 1000] {
            for step in [1, 3, 17, 250].map(Duration::from_millis) {
                let begun = begun(Rate { calls, per: SECOND }, step, 4000);
                for (number, first) in begun.iter().enumerate() {
                    let within = begun[number..].iter().take_while(|at| **at < *first + SECOND).count();
                    assert!(within <= calls as usize, "{within} of {calls} in a second, read every {step:?}");
                }
            }
        }
    }

    #[test]
    fn nearly_as_many_calls_begin_as_the_rate_allows() {
        for calls in [1, 20, 333, 1000] {
            let begun = begun(Rate { calls, per: SECOND }, Duration::from_millis(1), 10_000).len();
            assert!(begun * 100 >= calls as usize * 10 * 97, "{begun} in ten seconds at {calls} a second");
        }
    }

    #[test]
    fn whoever_comes_too_early_is_told_when_to_come() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(pace.begin(now), Ok(()), "no rate is no limit");
        pace.set(Some(Rate { calls: 2, per: SECOND }));
        assert_eq!(pace.begin(now), Ok(()));
        assert_eq!(pace.begin(now), Err(now + Duration::from_millis(490)));
        assert_eq!(pace.begin(now + Duration::from_millis(490)), Ok(()));
    }
}
