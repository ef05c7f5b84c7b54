//! Whose turn it is to call a system: what it is given and what it is asked share its limits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::{Connector, Gathered, ReadFailure};
use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{Rate, Report, Steps};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::pace::Pace;
use crate::ledger::{Place, Places};
use crate::share::{Grants, Share};

/// How long a read waits for its turn: whoever waits for its answer may be on the telephone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks whether a place is free.
const LOOK: Duration = Duration::from_millis(10);

/// The turns of one system on this worker, within its share of the system's limits.
///
/// Calls and reads take turns: while reads wait, the lane lets one pass after each call of its own, so that neither
/// keeps the other from the system.
#[derive(Debug)]
pub struct Turns {
    system: SystemName,
    grants: watch::Receiver<Grants>,
    /// One place a call that may be under way.
    slots: Places,
    pace: Mutex<Pace>,
    /// How long a read waits.
    patience: Duration,
    /// Reads that wait.
    waiting: AtomicUsize,
    /// The last turn was a read's.
    read_last: AtomicBool,
    /// A read has given its place back.
    freed: Notify,
}

/// What a lane finds when it asks for a turn.
pub(super) enum Turn {
    /// It may call.
    Now(Place),
    /// It may call then.
    At(Instant),
    /// All places are taken.
    Taken,
}

impl Turns {
    /// The turns of a system, within what `grants` says and `slots` has.
    pub fn new(system: SystemName, grants: watch::Receiver<Grants>, slots: Places) -> Self {
        Self {
            system,
            grants,
            slots,
            pace: Mutex::new(Pace::new(Instant::now())),
            patience: PATIENCE,
            waiting: AtomicUsize::new(0),
            read_last: AtomicBool::new(false),
            freed: Notify::new(),
        }
    }

    /// Goes on at another rate.
    pub(super) fn set_rate(&self, rate: Option<Rate>) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).set(rate);
    }

    /// A turn for a call.
    pub(super) fn take(&self, now: Instant) -> Turn {
        let gives_way = self.waiting.load(Ordering::Relaxed) > 0 && !self.read_last.load(Ordering::Relaxed);
        if gives_way {
            return Turn::At(now + LOOK);
        }
        let Some(slot) = Place::take(&self.slots) else { return Turn::Taken };
        match self.begin(now) {
            Ok(()) => {
                self.read_last.store(false, Ordering::Relaxed);
                Turn::Now(slot)
            }
            Err(at) => Turn::At(at),
        }
    }

    /// Returns when a read has given its place back.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn begin(&self, now: Instant) -> Result<(), Instant> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).begin(now)
    }

    /// What this worker may take of the system's limits.
    fn share(&self, now: Instant) -> Share {
        let grants = self.grants.borrow();
        if grants.hold(now) { grants.of(&self.system) } else { Share::default() }
    }

    /// Waits for a turn to read.
    ///
    /// # Errors
    /// Why there is none.
    async fn to_read(&self) -> Result<Reading<'_>, String> {
        let _waiting = Waiting::new(&self.waiting);
        let until = Instant::now() + self.patience;
        loop {
            let now = Instant::now();
            if self.share(now).concurrency == 0 {
                return Err("this router has no share of what the system can bear at the moment".to_owned());
            }
            let mut next = now + LOOK;
            if let Some(slot) = Place::take(&self.slots) {
                match self.begin(now) {
                    Ok(()) => {
                        self.read_last.store(true, Ordering::Relaxed);
                        return Ok(Reading { slot: Some(slot), freed: &self.freed });
                    }
                    Err(at) => next = at,
                }
            }
            if next > until {
                return Err(format!("the system's limits left no room for {:?}", self.patience));
            }
            tokio::time::sleep_until(next).await;
        }
    }
}

/// A read that waits is counted until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A read that is under way.
struct Reading<'a> {
    slot: Option<Place>,
    freed: &'a Notify,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        drop(self.slot.take());
        self.freed.notify_one();
    }
}

/// Reads from a system when it is its turn.
#[derive(Debug, Clone)]
pub struct Asker {
    connector: Arc<Connector>,
    /// `None` where nothing else of this process calls the system.
    turns: Option<Arc<Turns>>,
}

impl Asker {
    /// One that shares the system with the calls of this worker.
    pub fn new(connector: Arc<Connector>, turns: Arc<Turns>) -> Self {
        Self { connector, turns: Some(turns) }
    }

    /// One that has the system to itself.
    pub fn alone(connector: Arc<Connector>) -> Self {
        Self { connector, turns: None }
    }

    /// Whether a turn can come at all: not where other workers share out all that the system can bear.
    pub fn has_share(&self) -> bool {
        self.turns.as_ref().is_none_or(|turns| turns.share(Instant::now()).concurrency > 0)
    }

    /// Returns when a turn can come.
    pub async fn granted(&self) {
        let Some(turns) = &self.turns else { return };
        let mut grants = turns.grants.clone();
        while !self.has_share() {
            if grants.changed().await.is_err() {
                // Nobody shares out any more: the router stops.
                return std::future::pending().await;
            }
        }
    }

    /// [`Connector::read`], when it is its turn.
    ///
    /// # Errors
    /// Those of the connector, and that no turn came.
    pub async fn read(
        &self,
        steps: &Steps,
        context: Value,
        now: Timestamp,
    ) -> Result<Vec<Report>, ReadFailure> {
        let _reading = self.turn().await?;
        self.connector.read(steps, context, now).await
    }

    /// [`Connector::gather`], when it is its turn.
    ///
    /// # Errors
    /// Those of the connector, and that no turn came.
    pub async fn gather(
        &self,
        steps: &Steps,
        context: Value,
        now: Timestamp,
    ) -> Result<Gathered, ReadFailure> {
        let _reading = self.turn().await?;
        self.connector.gather(steps, context, now).await
    }

    async fn turn(&self) -> Result<Option<Reading<'_>>, ReadFailure> {
        let Some(turns) = &self.turns else { return Ok(None) };
        let none = |reason| ReadFailure {
            reason,
            after: None,
            status: None,
            call: String::new(),
            answer: None,
            render_failed: None,
        };
        turns.to_read().await.map(Some).map_err(none)
    }
}

#[cfg(test)]
mod tests {
    use mappings::mapping::Limits;
    use uuid::Uuid;

    use super::*;
    use crate::ledger::{Peer, WorkerId};
    use crate::share::{Shared, Shares};

    /// The turns of a system that takes so many calls at once, with its shares.
    fn turns(concurrency: usize, patience: Duration) -> (Arc<Turns>, Shares) {
        let system = SystemName::parse("waste").expect("a name");
        let slots = Places::new(0);
        let limits = Limits { concurrency, ..Limits::default() };
        let shared = Shared { system: system.clone(), limits, slots: slots.clone() };
        let worker = WorkerId(Uuid::nil());
        let mut shares = Shares::new(worker, vec![shared]);
        let alone = |agreed| [Peer { worker, agreed }];
        let agreed = shares.fit(&alone(None));
        shares.grow(&alone(agreed));
        shares.tell(Instant::now() + Duration::from_secs(3_600));
        (Arc::new(Turns { patience, ..Turns::new(system, shares.grants(), slots) }), shares)
    }

    fn taken(turn: Turn) -> Option<Place> {
        match turn {
            Turn::Now(place) => Some(place),
            Turn::At(_) | Turn::Taken => None,
        }
    }

    #[tokio::test]
    async fn calls_and_reads_together_are_no_more_than_the_limit() {
        let (turns, _shares) = turns(2, LOOK * 3);
        let call = taken(turns.take(Instant::now())).expect("a turn");
        let read = turns.to_read().await.expect("a turn");
        assert!(matches!(turns.take(Instant::now()), Turn::Taken));
        assert!(turns.to_read().await.is_err_and(|why| why.contains("left no room for 30ms")));
        drop(read);
        turns.freed().await;
        assert!(taken(turns.take(Instant::now())).is_some());
        drop(call);
    }

    #[tokio::test]
    async fn a_read_that_waits_comes_after_the_call_under_way_and_then_a_call_again() {
        let (turns, _shares) = turns(1, PATIENCE);
        let call = taken(turns.take(Instant::now())).expect("a turn");
        let mut reads = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let turns = Arc::clone(&turns);
            reads.spawn(async move { turns.to_read().await.map(drop) });
        }
        while turns.waiting.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        drop(call);
        assert!(matches!(turns.take(Instant::now()), Turn::At(_)), "a read is first");
        turns.freed().await;
        assert!(taken(turns.take(Instant::now())).is_some(), "then a call, although another read may wait");
        assert!(reads.join_all().await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_read_keeps_to_the_rate() {
        let (turns, _shares) = turns(4, PATIENCE);
        turns.set_rate(Some(Rate { calls: 2, per: Duration::from_secs(1) }));
        let begun = Instant::now();
        for _ in 0..4 {
            drop(turns.to_read().await.expect("a turn"));
        }
        assert!(begun.elapsed() > Duration::from_millis(1_400), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn without_a_share_nothing_is_read() {
        let system = SystemName::parse("waste").expect("a name");
        let shares = Shares::new(WorkerId(Uuid::nil()), Vec::new());
        let turns = Turns::new(system, shares.grants(), Places::new(1));
        assert!(turns.to_read().await.is_err_and(|why| why.contains("no share")));
    }
}
