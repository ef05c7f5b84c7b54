//! Writes that come one by one and are flushed together.
//!
//! There is one flush in flight and no timer: what arrives meanwhile is the next flush, and every caller awaits its
//! own. Idle means a batch of one and no delay; busy means that batches grow by themselves. The writes on a request's
//! way are flushed with each other, in one transaction; the rare ones each with their own kind.

mod lane;
mod way;

use std::sync::Arc;

use mappings::domain::{CallId, Council, EventId};
use tokio::sync::mpsc::{UnboundedSender, channel};
use tokio_util::sync::CancellationToken;

use self::lane::{Entry, Lane};
use self::way::{Way, WayEntry};
use super::{
    Accepted, Arrival, Completion, Correlated, Deferral, Error, Lease, Ledger, Lessee, Recorded, Refusal,
    Settlement, Unwritable, Work, Written,
};
use crate::event::Event;

/// How many writes of a kind may wait before their callers do.
const QUEUE: usize = 4096;

/// Why a write was not carried out, or is not known to have been.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failed {
    /// The database refuses this row, now and later; what it says must be kept in another form.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// The database failed. Trying again is safe.
    #[error("the ledger could not be written")]
    Ledger(#[source] Arc<Error>),
    /// The router stops.
    #[error("the ledger takes no more writes: the router stops")]
    Stopped,
}

/// Writes to the ledger, together with all others that write now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Writer {
    way: WayEntry,
    refuse: Entry<Refusal, bool>,
    begin: Entry<(CallId, Council, Lease), Recorded>,
    defer: Entry<Deferral, Recorded>,
}

/// The flushes behind a [`Writer`].
pub struct Lanes {
    flusher: Flusher,
    way: Way,
    refuse: Lane<Refusal, bool>,
    begin: Lane<(CallId, Council, Lease), Recorded>,
    defer: Lane<Deferral, Recorded>,
}

/// The ledger, who writes to it, and where goes what a write leaves to be done.
#[derive(Clone)]
struct Flusher {
    ledger: Arc<dyn Ledger>,
    lessee: Lessee,
    events: UnboundedSender<Event>,
    work: UnboundedSender<Work>,
}

impl Writer {
    /// A writer and its lanes, which must [run](Lanes::run). Events and calls that are leased to the lessee by a
    /// write are sent on after its commit; the places of the lessee bound how many there are.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        lessee: Lessee,
        events: UnboundedSender<Event>,
        work: UnboundedSender<Work>,
    ) -> (Self, Lanes) {
        let (way_in, way) = channel(QUEUE);
        let (refuse_in, refuse) = channel(QUEUE);
        let (begin_in, begin) = channel(QUEUE);
        let (defer_in, defer) = channel(QUEUE);
        let writer = Self {
            way: WayEntry::new(way_in),
            refuse: Entry::new(refuse_in),
            begin: Entry::new(begin_in),
            defer: Entry::new(defer_in),
        };
        let lanes = Lanes {
            flusher: Flusher { ledger, lessee, events, work },
            way: Way::new(way),
            refuse: Lane::new(refuse),
            begin: Lane::new(begin),
            defer: Lane::new(defer),
        };
        (writer, lanes)
    }

    /// [`Ledger::accept`] for one arrival.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn accept(&self, arrival: Arrival) -> Result<Accepted, Failed> {
        self.way.accept(arrival).await
    }

    /// [`Ledger::refuse`] for one delivery.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn refuse(&self, refusal: Refusal) -> Result<bool, Failed> {
        self.refuse.write(refusal).await
    }

    /// [`Ledger::begin`] for one call.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn begin(&self, call: CallId, council: Council, lease: Lease) -> Result<Recorded, Failed> {
        self.begin.write((call, council, lease)).await
    }

    /// [`Ledger::defer`] for one call.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn defer(&self, deferral: Deferral) -> Result<Recorded, Failed> {
        self.defer.write(deferral).await
    }

    /// [`Ledger::record`] for one attempt.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn record(&self, settlement: Settlement) -> Result<Recorded, Failed> {
        self.way.record(settlement).await
    }

    /// [`Ledger::complete`] for one completion.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn complete(&self, completion: Completion) -> Result<Correlated, Failed> {
        self.way.complete(completion).await
    }

    /// [`Ledger::mark_published`] for some events.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn mark_published(&self, events: Vec<EventId>) -> Result<(), Failed> {
        self.way.mark_published(events).await
    }
}

impl Lanes {
    /// Flushes until every [`Writer`] is dropped, or until `shutdown`; what had been handed in by then is still written.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { flusher: to, way, refuse, begin, defer } = self;
        tokio::join!(
            way.run(shutdown.clone(), to.clone()),
            refuse.run(shutdown.clone(), to.clone(), |to, batch| {
                Box::pin(async { to.sent(to.ledger.refuse(batch, &to.lessee).await) })
            }),
            begin.run(shutdown.clone(), to.clone(), |to, batch| {
                Box::pin(async { Ok(to.ledger.begin(batch).await?.into_iter().map(Ok).collect()) })
            }),
            defer.run(shutdown, to, |to, batch| {
                Box::pin(async {
                    Ok(to.ledger.defer(batch, to.lessee.worker).await?.into_iter().map(Ok).collect())
                })
            }),
        );
    }
}

impl Flusher {
    /// Sends on what a write left to be done.
    fn sent<R>(&self, written: Result<Written<R>, Error>) -> Result<Vec<Result<R, Unwritable>>, Error> {
        let Written { replies, events, work } = written?;
        self.send_on(events, work);
        Ok(replies)
    }

    fn send_on(&self, events: Vec<Event>, work: Vec<Work>) {
        // Whoever took them has stopped: rescue takes them up once this worker is forgotten.
        for event in events {
            let _gone = self.events.send(event);
        }
        for work in work {
            let _gone = self.work.send(work);
        }
    }
}
