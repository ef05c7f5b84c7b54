//! Keeps a router known to be alive, and takes over what dead ones held.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::Readiness;
use crate::bus::State;
use crate::clock::Clock;
use crate::home::Home;
use crate::ledger::{Beat, Ledger, Lessee, Outbox, Peer, WorkerId};
use crate::rounds::Rounds;
use crate::share::{self, Shares};

/// The longest pause between two looks at the pulse during a call.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// How long a revision waits for its request.
pub const EARLY: Duration = Duration::from_secs(600);

/// Whether what a worker holds is sure to be its own still.
///
/// A process that stood still does not notice: it goes on in the middle of what it did, while others took over what
/// it held.
#[derive(Debug, Clone)]
pub struct Pulse {
    clock: Clock,
    last_ms: Arc<AtomicI64>,
    /// What was leased before this may be another's: the worker was forgotten.
    held_since: Arc<Mutex<Instant>>,
    dead_after: Duration,
}

impl Pulse {
    /// The pulse of a worker that has said just now that it lives.
    pub fn new(clock: Clock, dead_after: Duration) -> Self {
        let last_ms = Arc::new(AtomicI64::new(clock.now().as_millisecond()));
        Self { clock, last_ms, held_since: Arc::new(Mutex::new(Instant::now())), dead_after }
    }

    /// Whether nobody can have taken over what was leased then: the last heartbeat is young, and none since found the
    /// worker forgotten.
    pub fn is_sure(&self, asked_at: Instant) -> bool {
        self.silence() < self.dead_after / 2 && self.is_held(asked_at)
    }

    /// Goes on with a call that was leased then until shortly before others may take it over, who then ask the system
    /// what came of it: what is still to be sent would come after they asked. `None` when it was broken off.
    pub async fn while_held<F: Future>(&self, asked_at: Instant, call: F) -> Option<F::Output> {
        let most = self.most();
        let mut call = pin!(call);
        let mut look = pin!(tokio::time::sleep(Duration::ZERO));
        poll_fn(|context| {
            // Read at every turn: a process that stood still goes on with whatever it was about to do.
            let left = most.saturating_sub(self.silence());
            if left.is_zero() || !self.is_held(asked_at) {
                return Poll::Ready(None);
            }
            if look.as_mut().poll(context).is_ready() {
                look.as_mut().reset(Instant::now() + left.min(LONGEST_LOOK));
                let _again = look.as_mut().poll(context);
            }
            call.as_mut().poll(context).map(Some)
        })
        .await
    }

    fn is_held(&self, asked_at: Instant) -> bool {
        asked_at >= *self.held_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Others may have taken over what the worker held.
    fn forgotten(&self) {
        *self.held_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long a call may last after a heartbeat.
    fn most(&self) -> Duration {
        self.dead_after * 3 / 4
    }

    fn silence(&self) -> Duration {
        let silent = self.clock.now().as_millisecond() - self.last_ms.load(Ordering::Acquire);
        Duration::from_millis(silent.unsigned_abs())
    }

    fn beaten(&self, at: Timestamp) {
        // Whether it was forgotten in the meantime may have been told in an answer that was lost.
        if self.silence() >= self.most() {
            self.forgotten();
        }
        self.last_ms.store(at.as_millisecond(), Ordering::Release);
    }
}

/// The heartbeat of one worker.
pub struct Keeper {
    /// Where lives are kept.
    pub ledger: Arc<dyn Ledger>,
    /// Who lives.
    pub worker: WorkerId,
    /// Whether events go to a broker.
    pub outbox: Outbox,
    /// The time.
    pub clock: Clock,
    /// How often it says so.
    pub heartbeat: Duration,
    /// The silence after which another counts as dead.
    pub dead_after: Duration,
    /// Where it is told why the last heartbeat failed, where it did.
    pub trouble: watch::Sender<Option<String>>,
    /// Where this worker runs, to see others of the same place end; `None` where that cannot be seen.
    pub home: Option<Home>,
    /// Its shares of what the systems can bear.
    pub shares: Shares,
    /// Where the heartbeat is felt.
    pub pulse: Pulse,
}

impl Keeper {
    /// Says that this worker lives, before it writes anything, and takes its shares where nobody else lives: at once, too,
    /// where those that lived have ended for sure. An SQLite ledger belongs to one router, so what others held there is
    /// taken over at once.
    ///
    /// # Errors
    /// The ledger could not write.
    pub async fn begin(&mut self, address: &str) -> anyhow::Result<()> {
        if address.starts_with("sqlite:") {
            let rescued = self
                .ledger
                .rescue(self.clock.now() + Duration::from_secs(1))
                .await
                .context("what an earlier run held could not be taken over")?;
            tracing::info!(calls = rescued.calls, events = rescued.events, "taken over from an earlier run");
        }
        self.share().await.context("the ledger cannot write")
    }

    /// Beats until shutdown.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut rounds = Rounds::every(self.heartbeat, shutdown);
        while rounds.next().await {
            let beaten = tokio::time::timeout(self.dead_after, self.beat()).await;
            let failure = match beaten {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    Some(format!("the heartbeat cannot be written: {:#}", anyhow::Error::from(error)))
                }
                Err(_) => {
                    Some(format!("the heartbeat was not written within {} s", self.dead_after.as_secs()))
                }
            };
            if let Some(reason) = &failure {
                tracing::warn!(reason = %reason, "the heartbeat failed");
            }
            self.trouble.send_replace(failure);
        }
    }

    /// One heartbeat, and one look for dead workers.
    async fn beat(&mut self) -> Result<(), crate::ledger::Error> {
        self.share().await?;
        let rescued = self.ledger.rescue(self.clock.now() - self.dead_after).await?;
        if rescued.calls + rescued.events > 0 {
            tracing::warn!(
                calls = rescued.calls,
                events = rescued.events,
                "taken over from a router that is silent"
            );
        }
        if let Err(error) = self.ledger.settle_early(self.clock.now() - EARLY, &self.lessee()).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "what came before its request could not be looked at"
            );
        }
        Ok(())
    }

    /// Says that this worker lives, and fits its shares to who else does.
    async fn share(&mut self) -> Result<(), crate::ledger::Error> {
        if self.shares.lapsed() {
            tracing::warn!("the heartbeat was late: the shares of all systems are taken anew");
            self.shares.reset();
        }
        let begun = Instant::now();
        let now = self.clock.now();
        let mut peers = self.heartbeat(now).await?;
        if let Some(agreement) = self.shares.fit(&peers) {
            self.ledger.agree(self.worker, &agreement).await?;
            peers = self.heartbeat(self.clock.now()).await?;
        }
        self.shares.grow(&peers);
        self.shares.tell(begun + share::validity(self.heartbeat, self.dead_after));
        Ok(())
    }

    /// Says that this worker lives, and returns who else does.
    async fn heartbeat(&self, now: Timestamp) -> Result<Vec<Peer>, crate::ledger::Error> {
        let peers = self.beat_once(now).await?;
        let ended = self.ended(&peers);
        if ended.is_empty() {
            return Ok(peers);
        }
        tracing::warn!(routers = ended.len(), "routers of this machine have ended without a word");
        self.ledger.bury(&ended).await?;
        self.beat_once(self.clock.now()).await
    }

    async fn beat_once(&self, now: Timestamp) -> Result<Vec<Peer>, crate::ledger::Error> {
        let Beat { peers, forgotten } = self.ledger.heartbeat(self.worker, now).await?;
        // First of all: whoever finds the pulse young again must not take the old leases for its own.
        if forgotten {
            self.pulse.forgotten();
        }
        self.pulse.beaten(now);
        if let Some(home) = self.home.as_ref().filter(|_| forgotten) {
            self.ledger.tell_home(self.worker, home.name()).await?;
        }
        Ok(peers)
    }

    /// Workers that have ended for sure, though their heartbeats are young.
    fn ended(&self, peers: &[Peer]) -> Vec<WorkerId> {
        let Some(home) = &self.home else { return Vec::new() };
        let here = |peer: &&Peer| peer.worker != self.worker && peer.home.as_deref() == Some(home.name());
        let ended = peers.iter().filter(here).map(|peer| peer.worker);
        ended.filter(|worker| home.saw_end_of(*worker)).collect()
    }

    /// Without room: what the keeper leaves to be done is taken up by the lanes and the relay.
    fn lessee(&self) -> Lessee {
        Lessee::without_room(self.worker, &self.outbox)
    }
}

/// Tells the bus's state to readiness until shutdown.
pub async fn watch_bus(
    mut state: watch::Receiver<State>,
    readiness: watch::Sender<Readiness>,
    shutdown: CancellationToken,
) {
    loop {
        let reason = unready(&state.borrow_and_update());
        readiness.send_if_modified(|readiness| {
            let changed = readiness.bus != reason;
            readiness.bus = reason;
            changed
        });
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}

/// Tells the readiness how many messages the broker has set aside, until shutdown.
pub async fn watch_dead_letters(
    mut letters: watch::Receiver<u64>,
    readiness: watch::Sender<Readiness>,
    shutdown: CancellationToken,
) {
    let gauge = metrics::gauge!("dovetail_dead_letters");
    loop {
        let count = *letters.borrow_and_update();
        gauge.set(u32::try_from(count).map_or(f64::INFINITY, f64::from));
        if count > 0 {
            tracing::warn!(count, "the broker has set messages aside: see dovetail dead list");
        }
        readiness
            .send_if_modified(|readiness| std::mem::replace(&mut readiness.dead_letters, count) != count);
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = letters.changed() => if changed.is_err() { return },
        }
    }
}

/// Why the bus does not carry, where it does not.
fn unready(state: &State) -> Option<String> {
    match state {
        State::Connected { .. } => None,
        State::Connecting { since, attempts, last_error } => {
            let why = last_error.as_deref().unwrap_or("no error yet");
            Some(format!("connecting since {since}, {attempts} tries: {why}"))
        }
        State::Blocked { since, reason } => Some(format!("blocked by the broker since {since}: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_was_silent_for_long_is_not_sure_of_its_leases_until_it_has_beaten_again() {
        let clock = Clock::stopped_at(Timestamp::UNIX_EPOCH);
        let pulse = Pulse::new(clock.clone(), Duration::from_secs(10));
        let asked_at = Instant::now();
        assert!(pulse.is_sure(asked_at));
        clock.advance(Duration::from_secs(5));
        assert!(!pulse.is_sure(asked_at));
        pulse.beaten(clock.now());
        assert!(pulse.is_sure(asked_at));
    }

    #[tokio::test]
    async fn what_was_leased_before_the_worker_was_forgotten_is_not_its_own_though_it_beats_again() {
        let clock = Clock::stopped_at(Timestamp::UNIX_EPOCH);
        let pulse = Pulse::new(clock.clone(), Duration::from_secs(10));
        let before = Instant::now();
        assert_eq!(pulse.while_held(before, async { 7 }).await, Some(7));
        pulse.forgotten();
        pulse.beaten(clock.now());
        assert!(!pulse.is_sure(before));
        assert_eq!(pulse.while_held(before, async { panic!("it was sent") }).await, None);
        assert!(pulse.is_sure(Instant::now()), "what is leased from now on is");
    }

    #[tokio::test]
    async fn a_call_is_broken_off_before_others_may_take_it_over() {
        let clock = Clock::stopped_at(Timestamp::UNIX_EPOCH);
        let pulse = Pulse::new(clock.clone(), Duration::from_millis(40));
        let asked_at = Instant::now();
        assert_eq!(pulse.while_held(asked_at, async { 7 }).await, Some(7));
        // A clock that goes on while the call hangs, and heartbeats that come at first.
        let time = async {
            for beat in 0..8 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                clock.advance(Duration::from_millis(10));
                if beat < 4 {
                    pulse.beaten(clock.now());
                }
            }
            std::future::pending::<()>().await;
        };
        let broken_off = pulse.while_held(asked_at, std::future::pending::<()>());
        tokio::select! {
            () = time => {}
            held = broken_off => assert_eq!(held, None),
        }
        let since_the_last = clock.now().as_millisecond() - 40;
        assert!((30..=40).contains(&since_the_last), "{since_the_last} ms");
        let sends = pulse.while_held(asked_at, async { panic!("it was sent") });
        assert_eq!(sends.await, None, "a process that stood still sends nothing");
    }
}
