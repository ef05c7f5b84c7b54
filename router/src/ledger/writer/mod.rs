//! Writes that come one by one and are flushed together.
//!
//! There is one flush in flight for each kind of write and no timer: what arrives meanwhile is the next
//! flush, and every caller awaits its own. Idle means a batch of one and no delay; busy means that
//! batches grow by themselves.

mod lane;

use std::sync::Arc;

use mappings::domain::{CallId, Council, EventId};
use tokio::sync::mpsc::{UnboundedSender, channel};
use tokio_util::sync::CancellationToken;

use self::lane::{Entry, Lane};
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
    accept: Entry<Arrival, Accepted>,
    refuse: Entry<Refusal, bool>,
    begin: Entry<(CallId, Council, Lease), Recorded>,
    defer: Entry<Deferral, Recorded>,
    record: Entry<Settlement, Recorded>,
    complete: Entry<Completion, Correlated>,
    published: Entry<EventId, ()>,
}

/// The flushes behind a [`Writer`].
pub struct Lanes {
    flusher: Flusher,
    accept: Lane<Arrival, Accepted>,
    refuse: Lane<Refusal, bool>,
    begin: Lane<(CallId, Council, Lease), Recorded>,
    defer: Lane<Deferral, Recorded>,
    record: Lane<Settlement, Recorded>,
    complete: Lane<Completion, Correlated>,
    published: Lane<EventId, ()>,
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
        let (accept_in, accept) = channel(QUEUE);
        let (refuse_in, refuse) = channel(QUEUE);
        let (begin_in, begin) = channel(QUEUE);
        let (defer_in, defer) = channel(QUEUE);
        let (record_in, record) = channel(QUEUE);
        let (complete_in, complete) = channel(QUEUE);
        let (published_in, published) = channel(QUEUE);
        let writer = Self {
            accept: Entry::new(accept_in),
            refuse: Entry::new(refuse_in),
            begin: Entry::new(begin_in),
            defer: Entry::new(defer_in),
            record: Entry::new(record_in),
            complete: Entry::new(complete_in),
            published: Entry::new(published_in),
        };
        let lanes = Lanes {
            flusher: Flusher { ledger, lessee, events, work },
            accept: Lane::new(accept),
            refuse: Lane::new(refuse),
            begin: Lane::new(begin),
            defer: Lane::new(defer),
            record: Lane::new(record),
            complete: Lane::new(complete),
            published: Lane::new(published),
        };
        (writer, lanes)
    }

    /// [`Ledger::accept`] for one arrival.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn accept(&self, arrival: Arrival) -> Result<Accepted, Failed> {
        self.accept.write(arrival).await
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
        self.record.write(settlement).await
    }

    /// [`Ledger::complete`] for one completion.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn complete(&self, completion: Completion) -> Result<Correlated, Failed> {
        self.complete.write(completion).await
    }

    /// [`Ledger::mark_published`] for one event.
    ///
    /// # Errors
    /// [`Failed`], as for all writes.
    pub async fn mark_published(&self, event: EventId) -> Result<(), Failed> {
        self.published.write(event).await
    }
}

impl Lanes {
    /// Flushes until every [`Writer`] is dropped, or until `shutdown`; what had been handed in by then is still written.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { flusher: to, accept, refuse, begin, defer, record, complete, published } = self;
        tokio::join!(
            accept.run(shutdown.clone(), to.clone(), |to, batch| {
                Box::pin(async { to.sent(to.ledger.accept(batch, &to.lessee).await) })
            }),
            refuse.run(shutdown.clone(), to.clone(), |to, batch| {
                Box::pin(async { to.sent(to.ledger.refuse(batch, &to.lessee).await) })
            }),
            begin.run(shutdown.clone(), to.clone(), |to, batch| {
                Box::pin(async { Ok(to.ledger.begin(batch).await?.into_iter().map(Ok).collect()) })
            }),
            defer.run(shutdown.clone(), to.clone(), |to, batch| {
                Box::pin(async {
                    Ok(to.ledger.defer(batch, to.lessee.worker).await?.into_iter().map(Ok).collect())
                })
            }),
            record.run(shutdown.clone(), to.clone(), |to, batch| {
                Box::pin(async { to.sent(to.ledger.record(batch, &to.lessee).await) })
            }),
            complete.run(shutdown.clone(), to.clone(), |to, batch| {
                Box::pin(async { to.sent(to.ledger.complete(batch, &to.lessee).await) })
            }),
            published.run(shutdown, to, |to, batch| {
                Box::pin(async {
                    to.ledger.mark_published(batch).await?;
                    Ok(batch.iter().map(|_| Ok(())).collect())
                })
            }),
        );
    }
}

impl Flusher {
    /// Sends on what a write left to be done.
    fn sent<R>(&self, written: Result<Written<R>, Error>) -> Result<Vec<Result<R, Unwritable>>, Error> {
        let Written { replies, events, work } = written?;
        // Whoever took them has stopped: rescue takes them up once this worker is forgotten.
        for event in events {
            let _gone = self.events.send(event);
        }
        for work in work {
            let _gone = self.work.send(work);
        }
        Ok(replies)
    }
}
