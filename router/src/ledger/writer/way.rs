//! The writes on a request's way: one queue, one flush at a time, one transaction for all that came together.

use std::sync::Arc;

use mappings::domain::EventId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Failed, Flusher};
use crate::ledger::{
    Accepted, Arrival, Batch, Completion, Correlated, Flushed, Recorded, Replies, Settlement,
};

/// The most writes of one flush.
const MOST: usize = 500;

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
        let mut taken = Vec::with_capacity(MOST);
        loop {
            tokio::select! {
                biased;
                count = self.0.recv_many(&mut taken, MOST) => if count == 0 { return },
                () = shutdown.cancelled(), if !self.0.is_closed() => {
                    self.0.close();
                    continue;
                }
            }
            let (batch, callers) = sort(taken.drain(..));
            let flushed = flusher.ledger.flush(&batch, &flusher.lessee).await;
            callers.tell(flushed, &flusher);
        }
    }
}

fn sort(writes: impl Iterator<Item = Write>) -> (Batch, Callers) {
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
