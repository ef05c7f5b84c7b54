//! The writes on a request's way: one queue, and one transaction for all that came together.
//!
//! No two flushes of one kind are in flight, so that what is handed in first is written first. While a flush is small,
//! the other kinds need not wait for it: then there is little to gain by waiting. Once flushes are large, each takes all.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use mappings::domain::EventId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Failed, Flusher};
use crate::ledger::{
    Accepted, Arrival, Batch, Completion, Correlated, Flushed, Recorded, Replies, Settlement,
};

/// The most writes of one flush.
const MOST: usize = 500;
/// While no more writes than these are in flight, other kinds are flushed beside them.
const FEW: usize = 16;

type Reply<R> = oneshot::Sender<Result<R, Failed>>;

/// One write, and who awaits its reply.
pub(super) enum Write {
    Accept(Box<Arrival>, Reply<Accepted>),
    Record(Box<Settlement>, Reply<Recorded>),
    Complete(Box<Completion>, Reply<Correlated>),
    Published(Vec<EventId>, Reply<()>),
}

/// Where callers hand in.
#[derive(Debug, Clone)]
pub(super) struct WayEntry(mpsc::Sender<Write>);

impl WayEntry {
    pub(super) fn new(queue: mpsc::Sender<Write>) -> Self {
        Self(queue)
    }

    pub(super) async fn accept(&self, arrival: Arrival) -> Result<Accepted, Failed> {
        self.write(|reply| Write::Accept(Box::new(arrival), reply)).await
    }

    pub(super) async fn record(&self, settlement: Settlement) -> Result<Recorded, Failed> {
        self.write(|reply| Write::Record(Box::new(settlement), reply)).await
    }

    pub(super) async fn complete(&self, completion: Completion) -> Result<Correlated, Failed> {
        self.write(|reply| Write::Complete(Box::new(completion), reply)).await
    }

    pub(super) async fn mark_published(&self, events: Vec<EventId>) -> Result<(), Failed> {
        self.write(|reply| Write::Published(events, reply)).await
    }

    /// Hands a write in and awaits its own reply.
    async fn write<R>(&self, write: impl FnOnce(Reply<R>) -> Write) -> Result<R, Failed> {
        let (reply, answer) = oneshot::channel();
        self.0.send(write(reply)).await.map_err(|_| Failed::Stopped)?;
        answer.await.unwrap_or(Err(Failed::Stopped))
    }
}

/// Where they are flushed.
pub(super) struct Way(mpsc::Receiver<Write>);

/// Who awaits a reply, in the order of the batch.
#[derive(Default)]
struct Callers {
    accept: Vec<Reply<Accepted>>,
    record: Vec<Reply<Recorded>>,
    complete: Vec<Reply<Correlated>>,
    published: Vec<Reply<()>>,
}

impl Way {
    pub(super) fn new(queue: mpsc::Receiver<Write>) -> Self {
        Self(queue)
    }

    /// Flushes what is handed in, until nobody can hand in any more. A flush that fails fails its callers only.
    pub(super) async fn run(mut self, shutdown: CancellationToken, flusher: Flusher) {
        let flusher = &flusher;
        let mut waiting = Vec::with_capacity(MOST);
        let mut flights = FuturesUnordered::new();
        let mut flying = Load::default();
        let mut ended = false;
        while !(ended && waiting.is_empty() && flights.is_empty()) {
            let ready = flying.ready(&mut waiting);
            if !ready.is_empty() {
                let load = Load::of(&ready);
                flying.add(load);
                flights.push(async move {
                    let (batch, callers) = sort(ready);
                    let flushed = flusher.ledger.flush(&batch, &flusher.lessee).await;
                    callers.tell(flushed, flusher);
                    load
                });
            }
            let room = MOST - waiting.len();
            tokio::select! {
                biased;
                Some(landed) = flights.next() => flying.take(landed),
                count = self.0.recv_many(&mut waiting, room), if !ended && room > 0 => ended = count == 0,
                () = shutdown.cancelled(), if !self.0.is_closed() => self.0.close(),
            }
        }
    }
}

/// What is in flight: how many writes of each kind.
#[derive(Debug, Clone, Copy, Default)]
struct Load([usize; 4]);

impl Load {
    fn of(writes: &[Write]) -> Self {
        let mut load = Self::default();
        writes.iter().for_each(|write| load.0[write.kind()] += 1);
        load
    }

    fn add(&mut self, more: Self) {
        self.0.iter_mut().zip(more.0).for_each(|(own, more)| *own += more);
    }

    fn take(&mut self, less: Self) {
        self.0.iter_mut().zip(less.0).for_each(|(own, less)| *own -= less);
    }

    /// Takes out what can be flushed now, in its order.
    fn ready(&self, waiting: &mut Vec<Write>) -> Vec<Write> {
        if self.0.iter().sum::<usize>() > FEW {
            return Vec::new();
        }
        let (ready, still) = waiting.drain(..).partition(|write| self.0[write.kind()] == 0);
        *waiting = still;
        ready
    }
}

impl Write {
    fn kind(&self) -> usize {
        match self {
            Self::Accept(..) => 0,
            Self::Record(..) => 1,
            Self::Complete(..) => 2,
            Self::Published(..) => 3,
        }
    }
}

fn sort(writes: Vec<Write>) -> (Batch, Callers) {
    let (mut batch, mut callers) = (Batch::default(), Callers::default());
    for write in writes {
        match write {
            Write::Accept(arrival, caller) => {
                batch.arrivals.push(*arrival);
                callers.accept.push(caller);
            }
            Write::Record(settlement, caller) => {
                batch.settlements.push(*settlement);
                callers.record.push(caller);
            }
            Write::Complete(completion, caller) => {
                batch.completions.push(*completion);
                callers.complete.push(caller);
            }
            Write::Published(events, caller) => {
                batch.published.extend(events);
                callers.published.push(caller);
            }
        }
    }
    (batch, callers)
}

impl Callers {
    fn tell(self, flushed: Flushed, flusher: &Flusher) {
        let Flushed { arrivals, settlements, completions, published, events, work } = flushed;
        flusher.send_on(events, work);
        tell(self.accept, arrivals);
        tell(self.record, settlements);
        tell(self.complete, completions);
        let marks = self.published.len();
        tell(self.published, published.map(|()| (0..marks).map(|_| Ok(())).collect()));
    }
}

fn tell<R>(callers: Vec<Reply<R>>, replies: Replies<R>) {
    match replies {
        Ok(replies) => {
            for (caller, reply) in callers.into_iter().zip(replies) {
                // A caller that went away needs no reply.
                let _gone = caller.send(reply.map_err(Failed::Unwritable));
            }
        }
        Err(error) => {
            let cause: &dyn std::error::Error = &*error;
            tracing::warn!(error = cause, rows = callers.len(), "a flush failed");
            for caller in callers {
                let _gone = caller.send(Err(Failed::Ledger(Arc::clone(&error))));
            }
        }
    }
}
