//! How the systems stand that take no calls, as a router last knew it.

use std::collections::HashMap;

use mappings::domain::SystemName;
use tokio::sync::watch;

use crate::ledger::Halt;

/// How the systems stand that take no calls.
///
/// It is learned in two ways: by changing it, and by reading all of it now and then. A reading that began before
/// a change is older than the change, however late it comes. It begins with a reading.
#[derive(Debug)]
pub struct Halts {
    by_system: HashMap<SystemName, Halt>,
    /// How often a change was learned.
    changes: u64,
}

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

    /// Takes in what the ledger said in answer to a change; whether that was news.
    pub fn changed(&mut self, halt: Halt) -> bool {
        self.changes += 1;
        if halt.pause.is_none() && halt.breaker.is_none() {
            return self.by_system.remove(&halt.system).is_some();
        }
        self.by_system.insert(halt.system.clone(), halt.clone()) != Some(halt)
    }

    /// Takes in a reading that is made now, unless a change is learned while it is under way.
    ///
    /// # Errors
    /// The reading's, and nothing is changed.
    pub async fn renew<E>(
        known: &watch::Sender<Self>,
        reading: impl Future<Output = Result<Vec<Halt>, E>>,
    ) -> Result<(), E> {
        let began = known.borrow().changes;
        let read = Self { changes: began, ..Self::of(reading.await?) };
        known.send_if_modified(|known| {
            let news = known.changes == began && known.by_system != read.by_system;
            if news {
                *known = read;
            }
            news
        });
        Ok(())
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

    fn known(halts: Vec<Halt>) -> watch::Sender<Halts> {
        watch::Sender::new(Halts::of(halts))
    }

    #[tokio::test]
    async fn a_reading_that_began_before_a_change_does_not_undo_it() {
        let known = known(Vec::new());
        let reading = async {
            known.send_modify(|halts| assert!(halts.changed(opened(1))));
            Ok::<_, ()>(Vec::new())
        };
        assert_eq!(Halts::renew(&known, reading).await, Ok(()));
        assert_eq!(
            known.borrow().get(&waste()),
            Some(&opened(1)),
            "it was read as open before its breaker opened"
        );
    }

    #[test]
    fn a_system_that_answers_again_is_forgotten() {
        let mut halts = Halts::of(vec![opened(1)]);
        assert!(!halts.changed(opened(1)), "nothing new");
        assert!(halts.changed(Halt { breaker: None, ..opened(1) }));
        assert_eq!(halts.get(&waste()), None);
    }

    #[tokio::test]
    async fn a_reading_that_began_after_a_change_is_believed() {
        let known = known(Vec::new());
        known.send_modify(|halts| assert!(halts.changed(opened(1))));
        let mut told = known.subscribe();
        for (read, news) in [(vec![opened(2)], true), (vec![opened(2)], false), (Vec::new(), true)] {
            let expected = read.first().cloned();
            told.mark_unchanged();
            assert_eq!(Halts::renew(&known, async { Ok::<_, ()>(read) }).await, Ok(()));
            assert_eq!(told.has_changed().expect("it is known"), news, "{expected:?}");
            assert_eq!(known.borrow().get(&waste()), expected.as_ref());
        }
    }

    #[tokio::test]
    async fn a_reading_that_fails_leaves_what_was_known() {
        let known = known(vec![opened(1)]);
        assert_eq!(
            Halts::renew(&known, async { Err("the ledger is away") }).await,
            Err("the ledger is away")
        );
        assert_eq!(known.borrow().get(&waste()), Some(&opened(1)));
    }
}
