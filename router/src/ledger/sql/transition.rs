//! How a batch is written: whole, again after contention, and in halves where a row of it is refused.

use std::time::Duration;

use async_trait::async_trait;

use super::SqlLedger;
use super::draft::Draft;
use super::store::{Fault, Tx, fault};
use crate::ledger::{Error, Lease, Lessee, Unwritable, Written};

/// How often a batch is tried that others are in the way of.
pub(super) const TRIES: u32 = 8;

/// One way in which batches change the ledger.
#[async_trait]
pub(super) trait Transition: Sync {
    /// What a batch is made of.
    type Item: Sync;
    /// What is said of each item.
    type Reply: Send;

    /// Writes a batch into a transaction; the replies are in its order.
    async fn write(
        &self,
        tx: &mut Tx,
        batch: &[Self::Item],
        draft: &mut Draft<'_>,
    ) -> Result<Vec<Self::Reply>, Error>;
}

impl SqlLedger {
    /// Writes a batch. A row that the database refuses is found by halving, and its neighbours are written.
    pub(super) async fn write<T: Transition>(
        &self,
        transition: &T,
        batch: &[T::Item],
        lessee: &Lessee,
    ) -> Result<Written<T::Reply>, Error> {
        let mut written = Written { replies: Vec::new(), events: Vec::new(), work: Vec::new() };
        let mut parts = if batch.is_empty() { vec![] } else { vec![batch] };
        while let Some(part) = parts.pop() {
            match self.write_part(transition, part, lessee).await {
                Ok(more) => {
                    written.replies.extend(more.replies);
                    written.events.extend(more.events);
                    written.work.extend(more.work);
                }
                Err(error) if matches!(fault(&error), Fault::Database | Fault::Contention) => {
                    // What is committed already has no caller to hear of it: others take it up.
                    self.doubts.add(lessee, &written);
                    return Err(error);
                }
                Err(error) if part.len() == 1 => {
                    tracing::warn!(error = %source(&error), "a row cannot be written");
                    written.replies.push(Err(Unwritable(source(&error))));
                }
                Err(_) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
        Ok(written)
    }

    async fn write_part<T: Transition>(
        &self,
        transition: &T,
        part: &[T::Item],
        lessee: &Lessee,
    ) -> Result<Written<T::Reply>, Error> {
        let mut tries = 0;
        loop {
            let error = match self.write_once(transition, part, lessee).await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            tries += 1;
            if !matches!(fault(&error), Fault::Contention | Fault::Taken) || tries == TRIES {
                return Err(error);
            }
            let pause = rand::random_range(1..=1_u64 << tries);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn write_once<T: Transition>(
        &self,
        transition: &T,
        part: &[T::Item],
        lessee: &Lessee,
    ) -> Result<Written<T::Reply>, Error> {
        let mut draft = Draft::new(lessee, Lease(self.doubts.step()));
        let mut tx = self.store.begin().await?;
        let replies = transition.write(&mut tx, part, &mut draft).await?;
        draft.write(&mut tx).await?;
        match tx.commit().await {
            Ok(()) => Ok(draft.kept(replies)),
            Err(error) => {
                let written = draft.kept(replies);
                self.doubts.add(lessee, &written);
                Err(error)
            }
        }
    }
}

/// The database's own words for an error.
fn source(error: &Error) -> String {
    match error {
        Error::Database(error) => error.to_string(),
        Error::Migrate(_) | Error::Stored { .. } | Error::Schema(_) | Error::Address(_) => error.to_string(),
    }
}
