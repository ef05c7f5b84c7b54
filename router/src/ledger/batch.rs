//! Writes of several kinds that are committed together.

use std::sync::Arc;

use mappings::domain::EventId;

use super::{Accepted, Arrival, Completion, Correlated, Error, Recorded, Settlement, Unwritable, Work};
use crate::event::Event;

/// What is on the hot path of a request, as it came together.
#[derive(Debug, Default)]
pub struct Batch {
    /// For [`Ledger::accept`](super::Ledger::accept).
    pub arrivals: Vec<Arrival>,
    /// For [`Ledger::record`](super::Ledger::record).
    pub settlements: Vec<Settlement>,
    /// For [`Ledger::complete`](super::Ledger::complete).
    pub completions: Vec<Completion>,
    /// For [`Ledger::mark_published`](super::Ledger::mark_published).
    pub published: Vec<EventId>,
}

impl Batch {
    /// How many kinds of write it holds.
    pub fn kinds(&self) -> usize {
        let there = [
            !self.arrivals.is_empty(),
            !self.settlements.is_empty(),
            !self.completions.is_empty(),
            !self.published.is_empty(),
        ];
        there.into_iter().filter(|there| *there).count()
    }
}

/// What became of the writes of one kind: one reply an item, or the database failed.
pub type Replies<R> = Result<Vec<Result<R, Unwritable>>, Arc<Error>>;

/// What became of a [`Batch`], and what it leaves to be done.
#[derive(Debug)]
pub struct Flushed {
    /// Of the arrivals.
    pub arrivals: Replies<Accepted>,
    /// Of the settlements.
    pub settlements: Replies<Recorded>,
    /// Of the completions.
    pub completions: Replies<Correlated>,
    /// Of the published events.
    pub published: Result<(), Arc<Error>>,
    /// Events that are in the outbox and leased to the writer, in order.
    pub events: Vec<Event>,
    /// Calls that are due and leased to the writer.
    pub work: Vec<Work>,
}
