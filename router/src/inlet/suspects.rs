//! Deliveries that came back: one of them may have ended the router that read it.
//!
//! Those that come back for the first time are read together, after a note in the ledger; a router that ends leaves the
//! note behind. What is noted is read alone: both queues rest, all neighbours are acknowledged, and so no count of theirs
//! is spent on it. After [`MOST`] times it is read no more, but recorded as refused.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::pressure::Pressure;
use super::{Inlet, NATIVE, refusal};
use crate::bus::{Bus, Inbound, Queue};
use crate::envelope::{self, Glimpse};
use crate::intake::KEPT_BODY;
use crate::ledger::{InboxKey, Refusal};
use crate::unpack;

/// How often a router may end while it reads a delivery before it is refused.
pub(super) const MOST: u64 = 3;
/// So near to the broker's own limit, a delivery that was read alone already is not read again.
const BEFORE_THE_LIMIT: u32 = 3;
/// How many that come back for the first time are read together.
pub(super) const TOGETHER: usize = 50;
/// How many deliveries are remembered that this router read and could not acknowledge.
const REMEMBERED: usize = 2000;

/// What the inlets of both queues know of deliveries that came back.
#[derive(Debug, Clone, Default)]
pub struct Suspects(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Held together by all that read, or alone by one.
    reading: tokio::sync::RwLock<()>,
    /// Held by the inlet for which both queues rest.
    rest: Arc<tokio::sync::Mutex<()>>,
    is_resting: AtomicBool,
    /// Deliveries that came back and are not read yet, on both queues.
    waiting: AtomicUsize,
    survived: Mutex<Survived>,
}

/// The bodies, by hash, that this router has read and lived, though they could not be acknowledged.
#[derive(Debug, Default)]
struct Survived {
    hasher: RandomState,
    known: HashSet<u64>,
    oldest: VecDeque<u64>,
}

/// A delivery that came back.
pub(super) struct Returned {
    inbound: Inbound,
    counted: Counted,
}

/// Counts a delivery as waiting until this is dropped.
struct Counted(Suspects);

/// A delivery that a router read and did not end, as far as the ledger knows.
pub(super) struct Suspect {
    returned: Returned,
    pub(super) times: u64,
}

/// Both queues rest until this is dropped.
pub(super) struct Rest {
    bus: Bus,
    suspects: Suspects,
    _one: OwnedMutexGuard<()>,
}

impl Suspects {
    /// Whether a delivery may have ended a router: it was given out before, and not to this router as it is.
    pub(super) fn holds(&self, inbound: &Inbound) -> bool {
        inbound.redelivered && {
            let survived = self.survived();
            !survived.known.contains(&survived.hasher.hash_one(&inbound.body))
        }
    }

    /// Takes one in.
    pub(super) fn add(&self, inbound: Inbound) -> Returned {
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        Returned { inbound, counted: Counted(self.clone()) }
    }

    /// By what a body is remembered.
    pub(super) fn hash(&self, body: &[u8]) -> u64 {
        self.survived().hasher.hash_one(body)
    }

    /// Remembers that a body was read, and that the router lives.
    pub(super) fn lived(&self, hash: u64) {
        let mut survived = self.survived();
        if survived.known.insert(hash) {
            survived.oldest.push_back(hash);
        }
        if survived.oldest.len() > REMEMBERED
            && let Some(oldest) = survived.oldest.pop_front()
        {
            survived.known.remove(&oldest);
        }
    }

    /// Whether both queues rest, so that nobody else may turn them on.
    pub(super) fn is_resting(&self) -> bool {
        self.0.is_resting.load(Ordering::SeqCst)
    }

    /// Reads beside others, as long as what this gives is held.
    pub(super) async fn beside_others(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.0.reading.read().await
    }

    /// Lets both queues rest, and waits until nothing is held but what came back.
    pub(super) async fn rest(&self, bus: &Bus) -> Rest {
        /// What came back may still become more.
        const LOOK: Duration = Duration::from_millis(200);
        let one = Arc::clone(&self.0.rest).lock_owned().await;
        self.0.is_resting.store(true, Ordering::SeqCst);
        let rest = Rest { bus: bus.clone(), suspects: self.clone(), _one: one };
        bus.pause(Queue::Intake);
        bus.pause(Queue::Completions);
        let only_suspects = || bus.holds_at_most(self.0.waiting.load(Ordering::SeqCst));
        while tokio::time::timeout(LOOK, only_suspects()).await.is_err() {}
        rest
    }

    fn survived(&self) -> MutexGuard<'_, Survived> {
        self.0.survived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.suspects.0.is_resting.store(false, Ordering::SeqCst);
        self.bus.resume(Queue::Intake);
        self.bus.resume(Queue::Completions);
    }
}

impl Inlet {
    /// Reads deliveries that came back, but for those that the ledger knows as suspect, which it gives back.
    pub(super) async fn take_returned(
        &self,
        returned: Vec<Returned>,
        pressure: &Pressure,
        shutdown: &CancellationToken,
    ) -> Vec<Suspect> {
        let returned: Vec<Returned> =
            returned.into_iter().filter(|returned| returned.inbound.receipt.is_live()).collect();
        let digests: Vec<String> =
            returned.iter().map(|returned| envelope::digest(&returned.inbound.body)).collect();
        let Some(times) = patiently(shutdown, || self.ledger.suspicions(&digests)).await else {
            return Vec::new();
        };
        let (mut first, mut noted, mut suspects) = (Vec::new(), Vec::new(), Vec::new());
        for (returned, digest) in returned.into_iter().zip(digests) {
            match times.get(&digest) {
                Some(times) => suspects.push(Suspect { returned, times: *times }),
                None => {
                    first.push(returned);
                    noted.push(digest);
                }
            }
        }
        if !first.is_empty() {
            let _alone = self.suspects.0.reading.write().await;
            let now = self.clock.now();
            if patiently(shutdown, || self.ledger.suspect(&noted, now)).await.is_none() {
                return Vec::new();
            }
            let read = first.into_iter().map(async |Returned { inbound, counted }| {
                self.carry(inbound, pressure, shutdown).await;
                drop(counted);
            });
            join_all(read).await;
            // What came back unread, or is read by now, has killed nobody.
            patiently(shutdown, || self.ledger.clear(&noted)).await;
        }
        suspects
    }

    /// Reads one suspect with nobody beside it, or refuses it when routers have ended too often.
    pub(super) async fn take_alone(
        &self,
        suspect: Suspect,
        pressure: &Pressure,
        shutdown: &CancellationToken,
    ) {
        let Suspect { returned: Returned { inbound, counted: _counted }, times } = suspect;
        if !inbound.receipt.is_live() {
            return;
        }
        let noted = [envelope::digest(&inbound.body)];
        let queue = inbound.queue;
        let _alone = self.suspects.0.reading.write().await;
        let is_near = inbound.delivery_count.saturating_add(BEFORE_THE_LIMIT) >= self.delivery_limit;
        if times >= MOST || (times > 1 && is_near) {
            tracing::error!(queue = %queue, times, digest = noted[0], "a delivery that routers did not survive is refused");
            metrics::counter!("dovetail_deadly_deliveries_total").increment(1);
            let refusal = self.not_survived(&inbound, times);
            let refused =
                patiently(shutdown, || self.intake.accept(vec![Err(Box::new(refusal.clone()))])).await;
            if refused.is_some() && inbound.receipt.ack().await {
                patiently(shutdown, || self.ledger.clear(&noted)).await;
            }
            return;
        }
        tracing::warn!(queue = %queue, times, digest = noted[0], "a delivery that a router may not have survived is read alone");
        let now = self.clock.now();
        if patiently(shutdown, || self.ledger.suspect(&noted, now)).await.is_some() {
            self.carry(inbound, pressure, shutdown).await;
            patiently(shutdown, || self.ledger.clear(&noted)).await;
        }
    }

    /// The refusal of a delivery that is not read any more. Whose ticket it is about is seen without reading it.
    fn not_survived(&self, inbound: &Inbound, times: u64) -> Refusal {
        let packed_as = inbound.content_encoding.as_deref();
        let kept = unpack::beginning(&inbound.body, packed_as, KEPT_BODY).into_owned();
        let reason = format!("the router did not survive reading it, {times} times");
        let is_native = inbound.queue == Queue::Completions || inbound.routing_key.starts_with(NATIVE);
        let Glimpse { council, ticket, .. } = if is_native { Glimpse::default() } else { Glimpse::of(&kept) };
        let source = match inbound.queue {
            Queue::Intake => "/amqp",
            Queue::Completions => "/amqp/completions",
        };
        let key = InboxKey { source: source.to_owned(), id: envelope::digest(&inbound.body) };
        Refusal { key, council, ticket, ..refusal(kept, reason, self.clock.now()) }
    }
}

/// Asks the ledger until it answers; `None` on shutdown.
async fn patiently<T, E, F>(shutdown: &CancellationToken, ask: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    const PAUSE: Duration = Duration::from_millis(500);
    loop {
        match ask().await {
            Ok(answer) => return Some(answer),
            Err(error) => {
                tracing::error!(error = %error, "what came back cannot be looked up yet");
                shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_router_lived_to_read_is_remembered_up_to_a_bound() {
        let suspects = Suspects::default();
        let knows = |hash| suspects.survived().known.contains(&hash);
        let first = suspects.hash(b"first");
        suspects.lived(first);
        suspects.lived(first);
        assert!(knows(first) && !knows(suspects.hash(b"second")));
        (0..REMEMBERED).for_each(|number| suspects.lived(suspects.hash(&number.to_le_bytes())));
        assert!(!knows(first));
        assert_eq!(suspects.survived().known.len(), REMEMBERED);
    }
}
