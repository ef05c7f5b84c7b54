//! The seeded draw that says which fault strikes which call.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Fault, Faults, Scope, Switch};

/// What was drawn for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) delay: Duration,
    pub(super) hold: Duration,
    pub(super) retry_after: u64,
    pub(super) fault: Option<Fault>,
}

/// The switches of a running simulator, its dice, and how often each fault struck.
#[derive(Debug)]
pub(super) struct Live(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    faults: Faults,
    dice: StdRng,
    struck: [u64; Fault::ALL.len()],
}

impl Live {
    pub(super) fn new(faults: Faults, seed: u64) -> Self {
        let dice = StdRng::seed_from_u64(seed);
        Self(Mutex::new(Inner { faults, dice, struck: Default::default() }))
    }

    /// Draws the fault of one call; at most one strikes.
    pub(super) fn draw(&self, writes: bool) -> Drawn {
        self.with(|inner| {
            let struck = match inner.faults.only {
                Scope::All => true,
                Scope::Writes => writes,
                Scope::Reads => !writes,
            };
            let fault =
                Fault::ALL.into_iter().find(|&fault| struck && fault.strikes(writes) && inner.hits(fault));
            let Faults { delay, hold, retry_after, .. } = inner.faults;
            Drawn { delay, hold, retry_after, fault }
        })
    }

    /// Draws one fault that is not of a call: a double callback, an unknown status.
    pub(super) fn strikes(&self, fault: Fault) -> bool {
        self.with(|inner| inner.hits(fault))
    }

    pub(super) fn faults(&self) -> Faults {
        self.with(|inner| inner.faults.clone())
    }

    pub(super) fn replace(&self, faults: Faults) {
        self.with(|inner| inner.faults = faults);
    }

    /// How often each fault struck, by name; faults that never did are left out.
    pub(super) fn struck(&self) -> Vec<(&'static str, u64)> {
        let struck = self.with(|inner| inner.struck);
        Fault::ALL.iter().map(|f| (f.as_str(), struck[*f as usize])).filter(|(_, n)| *n > 0).collect()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn hits(&mut self, fault: Fault) -> bool {
        let hit = match &mut self.faults.switches[fault as usize] {
            Switch::Off | Switch::Next(0) => false,
            Switch::Rate(rate) => self.dice.random_bool(*rate),
            Switch::Next(count) => {
                *count -= 1;
                true
            }
        };
        self.struck[fault as usize] += u64::from(hit);
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_used_up_and_counted() {
        let live = Live::new(Faults::default().with(Fault::LostAnswer, Switch::Next(1)), 7);
        assert_eq!(live.draw(false).fault, None, "a read has no answer worth losing");
        assert_eq!(live.draw(true).fault, Some(Fault::LostAnswer));
        assert_eq!(live.draw(true).fault, None);
        assert_eq!(live.struck(), [("lost_answer", 1)]);
    }

    #[test]
    fn the_same_seed_draws_the_same_faults() {
        let drawn = |seed| {
            let live = Live::new(Faults::default().with(Fault::Error500, Switch::Rate(0.5)), seed);
            (0..64).map(|_| live.draw(true).fault.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(drawn(3), drawn(4));
        assert!(drawn(3).contains(&true) && drawn(3).contains(&false));
    }

    #[test]
    fn a_scope_spares_the_other_calls() {
        let live = Live::new(
            Faults { only: Scope::Writes, ..Faults::default().with(Fault::Down, Switch::Rate(1.0)) },
            1,
        );
        assert_eq!(live.draw(false).fault, None);
        assert_eq!(live.draw(true).fault, Some(Fault::Down));
    }
}
