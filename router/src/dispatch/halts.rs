//! How the systems stand that take no calls, as a router last knew it.

use std::collections::HashMap;

use mappings::domain::SystemName;

use crate::ledger::Halt;

/// How the systems stand that take no calls.
///
/// It is learned in two ways: by changing it, and by reading all of it now and then. A reading that began before
/// a change is older than the change, however late it comes.
#[derive(Debug, Default)]
pub struct Halts {
    by_system: HashMap<SystemName, Halt>,
    /// How often a change was learned.
    changes: u64,
}

/// The moment at which a reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

impl Halts {
    /// How they stand, as read.
    pub fn of(halts: Vec<Halt>) -> Self {
        let by_system = halts.into_iter().map(|halt| (halt.system.clone(), halt)).collect();
        Self { by_system, changes: 0 }
    }

    /// How a system stands; `None` where it takes calls as usual.
    pub fn get(&self, system: &SystemName) -> Option<&Halt> {
        self.by_system.get(system)
    }

    /// This moment, to be told with what is read after it.
    pub fn moment(&self) -> Moment {
        Moment(self.changes)
    }

    /// Takes in what the ledger said in answer to a change; whether that was news.
    pub fn changed(&mut self, halt: Halt) -> bool {
        self.changes += 1;
        if halt.pause.is_none() && halt.breaker.is_none() {
            return self.by_system.remove(&halt.system).is_some();
        }
        self.by_system.insert(halt.system.clone(), halt.clone()) != Some(halt)
    }

    /// Takes in a reading that began at `began`, unless it is older than a change; whether that was news.
    pub fn read(&mut self, began: Moment, halts: Vec<Halt>) -> bool {
        let read = Self { changes: self.changes, ..Self::of(halts) };
        if began != self.moment() || self.by_system == read.by_system {
            return false;
        }
        *self = read;
        true
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::ledger::Breaker;

    fn waste() -> SystemName {
        SystemName::parse("waste").expect("a system")
    }

    fn opened(openings: u32) -> Halt {
        let at = Timestamp::UNIX_EPOCH;
        let breaker = Breaker { since: at, openings, probe_at: at, reason: "down".to_owned(), prober: None };
        Halt { system: waste(), pause: None, breaker: Some(breaker) }
    }

    #[test]
    fn a_reading_that_began_before_a_change_does_not_undo_it() {
        let mut halts = Halts::default();
        let before = halts.moment();
        assert!(halts.changed(opened(1)));
        assert!(!halts.read(before, Vec::new()), "the system was read as open before its breaker opened");
        assert_eq!(halts.get(&waste()), Some(&opened(1)));
    }

    #[test]
    fn a_system_that_answers_again_is_forgotten() {
        let mut halts = Halts::of(vec![opened(1)]);
        assert!(!halts.changed(opened(1)), "nothing new");
        assert!(halts.changed(Halt { breaker: None, ..opened(1) }));
        assert_eq!(halts.get(&waste()), None);
    }

    #[test]
    fn a_reading_that_began_after_a_change_is_believed() {
        let mut halts = Halts::default();
        halts.changed(opened(1));
        let after = halts.moment();
        assert!(halts.read(after, vec![opened(2)]), "another router opened it once more");
        assert_eq!(halts.get(&waste()), Some(&opened(2)));
        assert!(!halts.read(halts.moment(), vec![opened(2)]), "nothing new");
        assert!(halts.read(halts.moment(), Vec::new()), "another router closed it");
        assert_eq!(halts.get(&waste()), None);
    }
}
