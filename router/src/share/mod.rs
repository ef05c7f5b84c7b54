//! What a worker may take of a system's limits, among the workers that live.
//!
//! Nothing is written for a call. A worker knows its share from who lives. It fits its shares to a set of live workers
//! in three steps: it shrinks, it says in the ledger that it has, and it grows once a later look shows that this very set
//! lives and that all of it have said so. So the shares in use never add up to more than the limit: whoever grows has
//! seen that nobody holds more than a share of the same set. A worker whose heartbeat fails stops calling before others
//! take it for dead.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mappings::domain::SystemName;
use mappings::mapping::{Limits, Rate};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ledger::{Agreement, Peer, Places, WorkerId};

/// What one worker may take of a system's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Calls under way at once.
    pub concurrency: usize,
    /// Calls begun in a time; `None` for as many as come.
    pub rate: Option<Rate>,
}

impl Share {
    /// The share of the worker that is number `rank` of `live` workers. Over all ranks, shares add up to the limit.
    ///
    /// Where there is less to share than workers, some get nothing; which, differs from system to system.
    pub fn of(system: &SystemName, limits: &Limits, rank: usize, live: usize) -> Self {
        let calls = limits.rate.map(|rate| usize::try_from(rate.calls).unwrap_or(usize::MAX));
        let holders = live.min(limits.concurrency).min(calls.unwrap_or(usize::MAX)).max(1);
        let first = usize::try_from(number(system.as_str().as_bytes()).unsigned_abs() >> 1).unwrap_or(0);
        let place = (rank + first % live.max(1)) % live.max(1);
        if place >= holders {
            return Self { concurrency: 0, rate: limits.rate.map(|rate| Rate { calls: 0, ..rate }) };
        }
        let part = |whole: usize| whole / holders + usize::from(place < whole % holders);
        let rate = limits
            .rate
            .zip(calls)
            .map(|(rate, calls)| Rate { calls: u32::try_from(part(calls)).unwrap_or(rate.calls), ..rate });
        Self { concurrency: part(limits.concurrency), rate }
    }

    /// No more than either.
    fn least(self, other: Self) -> Self {
        let rate = match (self.rate, other.rate) {
            (Some(one), Some(two)) => Some(if one.calls < two.calls { one } else { two }),
            (one, two) => one.or(two),
        };
        Self { concurrency: self.concurrency.min(other.concurrency), rate }
    }

    /// How many calls to hold in memory: `factor` times what runs at once, and not more than can begin soon.
    pub fn memory(&self, factor: usize) -> usize {
        const SOON: u128 = 10_000;
        let most = self.concurrency * factor.max(1);
        let soon = self.rate.map(|rate| u128::from(rate.calls) * SOON / rate.per.as_millis().max(1));
        match soon {
            Some(soon) if self.concurrency > 0 => most.min(usize::try_from(soon).unwrap_or(most).max(1)),
            Some(_) | None => most,
        }
    }
}

/// The shares of this worker, and until when they hold without another heartbeat.
#[derive(Debug, Clone)]
pub struct Grants {
    shares: Arc<HashMap<SystemName, Share>>,
    /// Systems of which the worker has no share yet, and gets one as soon as the others have made room.
    coming: Arc<HashSet<SystemName>>,
    until: Instant,
}

impl Grants {
    /// The share of a system; nothing of one that is not known.
    pub fn of(&self, system: &SystemName) -> Share {
        self.shares.get(system).copied().unwrap_or_default()
    }

    /// Whether there is a share of a system, or one comes once the others have made room.
    pub fn come(&self, system: &SystemName) -> bool {
        self.of(system).concurrency > 0 || self.coming.contains(system)
    }

    /// Whether they still hold.
    pub fn hold(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// One system whose limits are shared.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The system.
    pub system: SystemName,
    /// All that it can bear.
    pub limits: Limits,
    /// One place a call that may be under way; taken and given back by dispatch.
    pub slots: Places,
}

/// The shares of one worker as it fits them to who lives.
#[derive(Debug)]
pub struct Shares {
    worker: WorkerId,
    systems: Vec<Shared>,
    /// Whom the worker knows to live; none before the first look.
    live: Vec<WorkerId>,
    granted: HashMap<SystemName, Share>,
    grants: watch::Sender<Grants>,
}

impl Shares {
    /// A worker that has no share of anything yet.
    pub fn new(worker: WorkerId, systems: Vec<Shared>) -> Self {
        let none = Grants { shares: Arc::default(), coming: Arc::default(), until: Instant::now() };
        let granted = HashMap::new();
        Self { worker, systems, live: Vec::new(), granted, grants: watch::Sender::new(none) }
    }

    /// Where the lanes read.
    pub fn grants(&self) -> watch::Receiver<Grants> {
        self.grants.subscribe()
    }

    /// Whether the worker has gone without a heartbeat for so long that others may have taken its shares.
    pub fn lapsed(&self) -> bool {
        !self.live.is_empty() && !self.grants.borrow().hold(Instant::now())
    }

    /// Gives all shares up: the worker joins anew.
    pub fn reset(&mut self) {
        self.live.clear();
        for number in 0..self.systems.len() {
            self.grant(number, Share::default());
        }
    }

    /// Shrinks to the shares among those who live; what there is to say of it, where it has not been said.
    pub fn fit(&mut self, peers: &[Peer]) -> Option<Agreement> {
        self.live = peers.iter().map(|peer| peer.worker).collect();
        for number in 0..self.systems.len() {
            let share = self.share(number).least(self.granted(number));
            self.grant(number, share);
        }
        let lagging = self.systems.iter().filter(|shared| shared.slots.is_over());
        let agreement = Agreement {
            among: among(&self.live),
            lagging: lagging.map(|shared| shared.system.clone()).collect(),
        };
        let said = peers.iter().find(|peer| peer.worker == self.worker)?.agreed.as_ref();
        (said != Some(&agreement)).then_some(agreement)
    }

    /// Grows to the shares among those who live, where all of them keep to theirs.
    pub fn grow(&mut self, peers: &[Peer]) {
        if !peers.iter().map(|peer| peer.worker).eq(self.live.iter().copied()) {
            return;
        }
        let among = among(&self.live);
        for number in 0..self.systems.len() {
            let system = &self.systems[number].system;
            let keeps = |peer: &Peer| {
                peer.agreed.as_ref().is_some_and(|agreed| {
                    agreed.among == among && (peer.worker == self.worker || !agreed.lagging.contains(system))
                })
            };
            if peers.iter().all(keeps) {
                self.grant(number, self.share(number));
            }
        }
    }

    /// Tells the lanes; the shares hold until `until`.
    pub fn tell(&self, until: Instant) {
        let shares = self.grants.borrow().shares.clone();
        let shares = if *shares == self.granted { shares } else { Arc::new(self.granted.clone()) };
        let comes =
            |number: &usize| self.share(*number).concurrency > 0 && self.granted(*number).concurrency == 0;
        let coming = (0..self.systems.len()).filter(comes).map(|number| self.systems[number].system.clone());
        self.grants.send_replace(Grants { shares, coming: Arc::new(coming.collect()), until });
    }

    /// The share of a system among those who live; nothing for a worker that is not one of them.
    fn share(&self, number: usize) -> Share {
        let Shared { system, limits, .. } = &self.systems[number];
        let rank = self.live.iter().position(|worker| *worker == self.worker);
        rank.map(|rank| Share::of(system, limits, rank, self.live.len())).unwrap_or_default()
    }

    fn granted(&self, number: usize) -> Share {
        self.granted.get(&self.systems[number].system).copied().unwrap_or_default()
    }

    fn grant(&mut self, number: usize, share: Share) {
        let before = self.granted(number);
        let Shared { system, slots, .. } = &self.systems[number];
        slots.resize(before.concurrency, share.concurrency);
        self.granted.insert(system.clone(), share);
    }
}

/// How long shares hold after a heartbeat began: others wait one heartbeat longer before they take them.
pub fn validity(heartbeat: Duration, dead_after: Duration) -> Duration {
    dead_after.saturating_sub(heartbeat).max(dead_after / 2)
}

/// Stands for a set of live workers.
fn among(live: &[WorkerId]) -> i64 {
    let ids: Vec<u8> = live.iter().flat_map(|worker| *worker.0.as_bytes()).collect();
    number(&ids)
}

fn number(bytes: &[u8]) -> i64 {
    let digest = Sha256::digest(bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

#[cfg(test)]
mod tests;
