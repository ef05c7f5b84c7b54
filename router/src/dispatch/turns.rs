//! Whose turn it is to call a system: what it is given and what it is asked share its limits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::{Connector, Gathered, ReadFailure};
use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{self, Rate, Steps};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::pace::Pace;
use crate::ledger::{Place, Places};
use crate::share::{Grants, Share};

/// How long a read waits for its turn where somebody holds the line for its answer.
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
    /// How long a read waits that is wanted soon.
    patience: Duration,
    /// Reads that wait.
    waiting: AtomicUsize,
    /// The last turn was a read's.
    read_last: AtomicBool,
    /// A read has given its place back.
    freed: Notify,
    /// A read was answered since the lane last asked.
    answered: AtomicBool,
    /// A read was answered.
    news: Notify,
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
            answered: AtomicBool::new(false),
            news: Notify::new(),
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

    /// Returns when a read was answered, which [`Turns::was_answered`] then says.
    pub(super) async fn answered(&self) {
        self.news.notified().await;
    }

    /// Whether a read was answered since this was last asked.
    pub(super) fn was_answered(&self) -> bool {
        self.answered.swap(false, Ordering::Relaxed)
    }

    fn tell_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
        self.news.notify_one();
    }

    fn begin(&self, now: Instant) -> Result<(), Instant> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).begin(now)
    }

    /// What this worker may take of the system's limits.
    fn share(&self, now: Instant) -> Share {
        let grants = self.grants.borrow();
        if grants.hold(now) { grants.of(&self.system) } else { Share::default() }
    }

    /// Whether this worker may take something of the system's limits, now or as soon as others have made room.
    fn share_comes(&self, now: Instant) -> bool {
        let grants = self.grants.borrow();
        grants.hold(now) && grants.come(&self.system)
    }

    /// Waits for a turn to read, as long as it takes.
    async fn to_read(&self) -> Reading<'_> {
        let _waiting = Waiting::new(&self.waiting);
        loop {
            granted(self).await;
            let next = match self.try_to_read() {
                Ok(reading) => return reading,
                Err(next) => next,
            };
            tokio::time::sleep_until(next).await;
        }
    }

    /// Waits a little for a turn to read.
    ///
    /// # Errors
    /// Why there is none.
    async fn to_read_soon(&self) -> Result<Reading<'_>, String> {
        let no_share = "this router has no share of what the system can bear at the moment";
        if !self.share_comes(Instant::now()) {
            return Err(no_share.to_owned());
        }
        let waited = tokio::time::timeout(self.patience, self.to_read()).await;
        waited.map_err(|_| format!("the system's limits left no room for {:?}", self.patience))
    }

    /// A turn to read.
    ///
    /// # Errors
    /// When to ask again.
    fn try_to_read(&self) -> Result<Reading<'_>, Instant> {
        let now = Instant::now();
        let slot = Place::take(&self.slots).ok_or(now + LOOK)?;
        self.begin(now)?;
        self.read_last.store(true, Ordering::Relaxed);
        Ok(Reading { slot: Some(slot), freed: &self.freed })
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
        if let Some(turns) = &self.turns {
            granted(turns).await;
        }
    }

    /// [`Connector::read`], when it is its turn, however long that takes: limits that leave no room are waited for.
    ///
    /// # Errors
    /// Those of the connector.
    pub async fn read(
        &self,
        steps: &Steps,
        context: Value,
        now: Timestamp,
    ) -> Result<mapping::Reading, ReadFailure> {
        let _reading = self.turn().await;
        self.heard(self.connector.read(steps, context, now).await)
    }

    /// [`Connector::read`] for somebody who holds the line: it is given up when its turn does not come soon.
    ///
    /// # Errors
    /// Those of the connector, and that no turn came.
    pub async fn read_soon(
        &self,
        steps: &Steps,
        context: Value,
        now: Timestamp,
    ) -> Result<mapping::Reading, ReadFailure> {
        let none = |reason| ReadFailure {
            reason,
            after: None,
            status: None,
            call: String::new(),
            answer: None,
            too_large: false,
            is_unrenderable: false,
        };
        let _reading = match &self.turns {
            Some(turns) => Some(turns.to_read_soon().await.map_err(none)?),
            None => None,
        };
        self.heard(self.connector.read(steps, context, now).await)
    }

    /// [`Connector::gather`], when it is its turn, however long that takes.
    ///
    /// # Errors
    /// Those of the connector.
    pub async fn gather(
        &self,
        steps: &Steps,
        context: Value,
        now: Timestamp,
    ) -> Result<Gathered, ReadFailure> {
        let _reading = self.turn().await;
        self.heard(self.connector.gather(steps, context, now).await)
    }

    async fn turn(&self) -> Option<Reading<'_>> {
        match &self.turns {
            Some(turns) => Some(turns.to_read().await),
            None => None,
        }
    }

    /// Lets the lane know that the system answers.
    fn heard<T>(&self, read: Result<T, ReadFailure>) -> Result<T, ReadFailure> {
        if let (Ok(_), Some(turns)) = (&read, &self.turns) {
            turns.tell_answered();
        }
        read
    }
}

/// Returns when this worker has a share of what the system can bear.
async fn granted(turns: &Turns) {
    let mut grants = turns.grants.clone();
    while turns.share(Instant::now()).concurrency == 0 {
        if grants.changed().await.is_err() {
            // Nobody shares out any more: the router stops.
            return std::future::pending().await;
        }
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
        let alone = |agreed| [Peer { worker, agreed, home: None }];
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
        let read = turns.to_read().await;
        assert!(matches!(turns.take(Instant::now()), Turn::Taken));
        assert!(turns.to_read_soon().await.is_err_and(|why| why.contains("left no room for 30ms")));
        drop(read);
        turns.freed().await;
        assert!(taken(turns.take(Instant::now())).is_some());
        drop(call);
    }

    #[tokio::test]
    async fn a_read_that_nobody_holds_the_line_for_waits_until_there_is_room() {
        let (turns, _shares) = turns(1, LOOK);
        let call = taken(turns.take(Instant::now())).expect("a turn");
        let waits = turns.to_read();
        tokio::pin!(waits);
        // Longer than whoever holds the line would wait.
        assert!(turns.to_read_soon().await.is_err());
        assert!(futures::poll!(&mut waits).is_pending(), "the call has the only place");
        drop(call);
        drop(waits.await);
    }

    #[tokio::test]
    async fn a_read_that_waits_comes_after_the_call_under_way_and_then_a_call_again() {
        let (turns, _shares) = turns(1, PATIENCE);
        let call = taken(turns.take(Instant::now())).expect("a turn");
        let mut reads = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let turns = Arc::clone(&turns);
            reads.spawn(async move { drop(turns.to_read().await) });
        }
        while turns.waiting.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        drop(call);
        assert!(matches!(turns.take(Instant::now()), Turn::At(_)), "a read is first");
        turns.freed().await;
        assert!(taken(turns.take(Instant::now())).is_some(), "then a call, although another read may wait");
        assert_eq!(reads.join_all().await.len(), 2);
    }

    #[tokio::test]
    async fn a_read_keeps_to_the_rate() {
        let (turns, _shares) = turns(4, PATIENCE);
        turns.set_rate(Some(Rate { calls: 2, per: Duration::from_secs(1) }));
        let begun = Instant::now();
        for _ in 0..4 {
            drop(turns.to_read().await);
        }
        assert!(begun.elapsed() > Duration::from_millis(1_400), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn without_a_share_nothing_is_read() {
        let system = SystemName::parse("waste").expect("a name");
        let shares = Shares::new(WorkerId(Uuid::nil()), Vec::new());
        let turns = Turns::new(system, shares.grants(), Places::new(1));
        assert!(turns.to_read_soon().await.is_err_and(|why| why.contains("no share")));
    }
}
