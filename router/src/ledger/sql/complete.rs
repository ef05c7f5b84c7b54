//! What systems say of their jobs.

use async_trait::async_trait;

use super::draft::Draft;
use super::hear::{Heard, hear};
use super::openings;
use super::store::Tx;
use super::transition::Transition;
use crate::ledger::{Closer, Completion, Correlated, Error, Reader};

/// Hears completions.
pub(super) struct Complete<'a> {
    pub(super) closer: &'a Closer,
    pub(super) reader: &'a Reader,
}

#[async_trait]
impl Transition for Complete<'_> {
    type Item = Completion;
    type Reply = Correlated;

    async fn write(
        &self,
        tx: &mut Tx,
        batch: &[Completion],
        draft: &mut Draft<'_>,
    ) -> Result<Vec<Correlated>, Error> {
        let heard = Heard { completions: batch, kept: false, not_before: None };
        let replies = hear(tx, &heard, self.closer, self.reader, draft).await?;
        openings::add_documents(tx, draft).await?;
        Ok(replies)
    }
}
