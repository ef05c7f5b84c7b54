//! Whether the broker can be used just now, as the readiness tells it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::Queue;

/// Whether the bus carries messages both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A connection is missing, or not all of what runs on it is set up.
    Connecting {
        /// Since when.
        since: Timestamp,
        /// How many times it was tried since then.
        attempts: u32,
        /// Why the last try failed, or why the connection was lost.
        last_error: Option<String>,
    },
    /// Consumers are set up (or paused on purpose) and events can be published.
    Connected {
        /// Since when.
        since: Timestamp,
    },
    /// The broker has blocked publishing, for example for want of memory or disk.
    Blocked {
        /// Since when.
        since: Timestamp,
        /// The broker's words.
        reason: String,
    },
}

/// One of the two connections. They are two, since the broker stops reading a connection that publishes while
/// it is short of memory, and acknowledgements must still get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Reading,
    Writing,
}

/// Where both connections and both queues stand, for all to see.
#[derive(Debug)]
pub(super) struct Board {
    sides: Mutex<[State; 2]>,
    whole: watch::Sender<State>,
    queues: [Seen; 2],
    dead: watch::Sender<u64>,
}

#[derive(Debug)]
struct Seen {
    /// Epoch milliseconds; [`NEVER`] before the first.
    last_delivery: AtomicI64,
    /// [`UNKNOWN`] before the first look.
    depth: AtomicU64,
}

const NEVER: i64 = i64::MIN;
const UNKNOWN: u64 = u64::MAX;

impl Board {
    pub(super) fn new(now: Timestamp) -> Self {
        let start = State::Connecting { since: now, attempts: 0, last_error: None };
        let seen = || Seen { last_delivery: AtomicI64::new(NEVER), depth: AtomicU64::new(UNKNOWN) };
        Self {
            sides: Mutex::new([start.clone(), start.clone()]),
            whole: watch::Sender::new(start),
            queues: [seen(), seen()],
            dead: watch::Sender::new(0),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.whole.subscribe()
    }

    /// Says how one side stands; the whole is as good as the worse of both.
    pub(super) fn set(&self, side: Side, state: State) {
        let mut sides = self.sides.lock().unwrap_or_else(PoisonError::into_inner);
        match side {
            Side::Reading => sides[0] = state,
            Side::Writing => sides[1] = state,
        }
        let whole = worse(&sides[0], &sides[1]).clone();
        self.whole.send_if_modified(|shown| {
            let changed = *shown != whole;
            *shown = whole;
            changed
        });
    }

    pub(super) fn delivered(&self, queue: Queue, now: Timestamp) {
        self.seen(queue).last_delivery.store(now.as_millisecond(), Ordering::Relaxed);
    }

    pub(super) fn last_delivery(&self, queue: Queue) -> Option<Timestamp> {
        match self.seen(queue).last_delivery.load(Ordering::Relaxed) {
            NEVER => None,
            at => Timestamp::from_millisecond(at).ok(),
        }
    }

    pub(super) fn measured(&self, queue: Queue, depth: u64) {
        self.seen(queue).depth.store(depth, Ordering::Relaxed);
    }

    pub(super) fn depth(&self, queue: Queue) -> Option<u64> {
        match self.seen(queue).depth.load(Ordering::Relaxed) {
            UNKNOWN => None,
            depth => Some(depth),
        }
    }

    pub(super) fn dead_letters(&self) -> watch::Receiver<u64> {
        self.dead.subscribe()
    }

    pub(super) fn set_aside(&self, letters: u64) {
        self.dead.send_if_modified(|known| std::mem::replace(known, letters) != letters);
    }

    fn seen(&self, queue: Queue) -> &Seen {
        match queue {
            Queue::Intake => &self.queues[0],
            Queue::Completions => &self.queues[1],
        }
    }
}

fn worse<'a>(one: &'a State, other: &'a State) -> &'a State {
    match (one, other) {
        (State::Connecting { last_error: Some(_), .. }, _) => one,
        (_, State::Connecting { last_error: Some(_), .. }) => other,
        (State::Connecting { .. }, _) => one,
        (_, State::Connecting { .. }) => other,
        (State::Blocked { .. }, _) => one,
        (_, State::Blocked { .. }) => other,
        (State::Connected { since }, State::Connected { since: later }) => {
            if since > later {
                one
            } else {
                other
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_bus_is_connected_only_when_both_sides_are() {
        let board = Board::new(at(0));
        let shown = board.watch();
        board.set(Side::Reading, State::Connected { since: at(2) });
        assert!(matches!(*shown.borrow(), State::Connecting { .. }));
        board.set(Side::Writing, State::Connected { since: at(3) });
        assert_eq!(*shown.borrow(), State::Connected { since: at(3) });
        let blocked = State::Blocked { since: at(4), reason: "low on memory".to_owned() };
        board.set(Side::Writing, blocked.clone());
        assert_eq!(*shown.borrow(), blocked);
    }
}
