//! One kind of write: a queue, and one flush at a time.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Failed, Flusher};
use crate::ledger::{Error, Unwritable};

/// The most rows of one flush.
const MOST: usize = 500;

/// Writes a batch; one reply an item.
pub(super) type Flush<I, R> = for<'a> fn(&'a Flusher, &'a [I]) -> BoxFuture<'a, Flushed<R>>;

/// What a flush came to.
pub(super) type Flushed<R> = Result<Vec<Result<R, Unwritable>>, Error>;

type Waiting<I, R> = (I, oneshot::Sender<Result<R, Failed>>);

/// Where callers hand in.
#[derive(Debug)]
pub(super) struct Entry<I, R>(mpsc::Sender<Waiting<I, R>>);

impl<I, R> Clone for Entry<I, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I, R> Entry<I, R> {
    pub(super) fn new(queue: mpsc::Sender<Waiting<I, R>>) -> Self {
        Self(queue)
    }

    /// Hands an item in and awaits its own reply.
    pub(super) async fn write(&self, item: I) -> Result<R, Failed> {
        let (reply, answer) = oneshot::channel();
        self.0.send((item, reply)).await.map_err(|_| Failed::Stopped)?;
        answer.await.unwrap_or(Err(Failed::Stopped))
    }
}

/// Where they are flushed.
pub(super) struct Lane<I, R>(mpsc::Receiver<Waiting<I, R>>);

impl<I, R> Lane<I, R> {
    pub(super) fn new(queue: mpsc::Receiver<Waiting<I, R>>) -> Self {
        Self(queue)
    }

    /// Flushes what is handed in, until nobody can hand in any more. A flush that fails fails its callers only.
    pub(super) async fn run(mut self, shutdown: CancellationToken, flusher: Flusher, flush: Flush<I, R>) {
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
            let (items, callers): (Vec<I>, Vec<_>) = taken.drain(..).unzip();
            match flush(&flusher, &items).await {
                Ok(replies) => {
                    for (caller, reply) in callers.into_iter().zip(replies) {
                        // A caller that went away needs no reply.
                        let _gone = caller.send(reply.map_err(Failed::Unwritable));
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        rows = items.len(),
                        "a flush failed"
                    );
                    let error = Arc::new(error);
                    for caller in callers {
                        let _gone = caller.send(Err(Failed::Ledger(Arc::clone(&error))));
                    }
                }
            }
        }
    }
}
