//! Who holds what: workers, leases, and the room a worker has for new work.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mappings::domain::SystemName;
use uuid::Uuid;

use super::{Unwritable, Work};
use crate::event::Event;

/// One running router. Its leases are void once its heartbeat is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerId(pub Uuid);

/// The number of a lease; a write that carries an older number than the row is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease(pub i64);

/// A number of free places in memory, shared by those who fill and those who empty them.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<AtomicI64>);

impl Places {
    /// So many free places.
    pub fn new(free: usize) -> Self {
        Self(Arc::new(AtomicI64::new(i64::try_from(free).unwrap_or(i64::MAX))))
    }

    /// Takes one place, where there is one.
    pub fn take(&self) -> bool {
        let one_less = |free: i64| (free > 0).then(|| free - 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }

    /// Gives one place back.
    pub fn give_back(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// Makes as many places more or fewer as `to` is more or fewer than `from`. Places that are taken stay taken.
    pub fn resize(&self, from: usize, to: usize) {
        let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.0.fetch_add(signed(to).saturating_sub(signed(from)), Ordering::AcqRel);
    }

    /// Whether more places are taken than there are.
    pub fn is_over(&self) -> bool {
        self.over() > 0
    }

    /// How many more places are taken than there are.
    pub fn over(&self) -> usize {
        usize::try_from(self.0.load(Ordering::Acquire).saturating_neg()).unwrap_or(0)
    }

    /// How many places are free now.
    pub fn free(&self) -> usize {
        usize::try_from(self.0.load(Ordering::Acquire)).unwrap_or(0)
    }
}

/// One place that is taken; given back when dropped.
#[derive(Debug)]
pub struct Place(Places);

impl Place {
    /// Takes one place, where there is one.
    pub fn take(places: &Places) -> Option<Self> {
        places.take().then(|| Self(places.clone()))
    }

    /// A place that was taken before.
    pub fn taken(places: Places) -> Self {
        Self(places)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// How many calls of each system a worker can still hold in memory.
///
/// A write leases new work to its own worker while there is room, so that the first attempt starts from
/// memory; what finds no room is left for [`Ledger::claim_due`]. A place is taken by the write and given
/// back by dispatch when the call is settled; a write that fails gives back what it took.
#[derive(Debug, Clone, Default)]
pub struct Room(Arc<HashMap<SystemName, Places>>);

impl Room {
    /// Room for so many calls of each system.
    pub fn new(systems: impl IntoIterator<Item = (SystemName, usize)>) -> Self {
        Self(Arc::new(systems.into_iter().map(|(system, free)| (system, Places::new(free))).collect()))
    }

    /// The places of one system; none for a system that is not known.
    pub fn of(&self, system: &SystemName) -> Places {
        self.0.get(system).cloned().unwrap_or_default()
    }
}

/// Whether events go to a broker.
#[derive(Debug, Clone)]
pub enum Outbox {
    /// There is no broker: events are kept in the timeline only.
    Off,
    /// Events are written to the outbox, leased to the writer while its relay has places.
    On(Places),
}

impl Outbox {
    /// The same, with all events left to whoever claims them.
    pub fn without_places(&self) -> Self {
        match self {
            Self::Off => Self::Off,
            Self::On(_) => Self::On(Places::new(0)),
        }
    }
}

/// Who writes, and how much new work it can take at once.
#[derive(Debug, Clone)]
pub struct Lessee {
    /// The worker.
    pub worker: WorkerId,
    /// Its free places for calls.
    pub room: Room,
    /// Its free places for events.
    pub outbox: Outbox,
}

impl Lessee {
    /// Takes nothing into memory: what it leaves to be done is claimed by lanes and relay.
    pub fn without_room(worker: WorkerId, outbox: &Outbox) -> Self {
        Self { worker, room: Room::default(), outbox: outbox.without_places() }
    }
}

/// What a write leaves to be done: the replies in the order of the batch, the events to publish and the
/// calls to make, both already leased to the worker that wrote.
#[derive(Debug, Default)]
pub struct Written<T> {
    /// One reply an item of the batch.
    pub replies: Vec<Result<T, Unwritable>>,
    /// Events of this write that are in the outbox and leased to the writer, in order.
    pub events: Vec<Event>,
    /// Calls of this write that are due and leased to the writer.
    pub work: Vec<Work>,
}

/// What was taken over from dead workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rescued {
    /// Calls that are due again.
    pub calls: u64,
    /// Events that can be published by others again.
    pub events: u64,
}
