//! A batch of several kinds in one transaction. Where that cannot be, each kind goes alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use mappings::domain::{Council, RequestId};

use super::SqlLedger;
use super::accept::Accept;
use super::draft::{Draft, store_changes};
use super::hear::{self, Found, Heard};
use super::openings::{self, Openings};
use super::outbox;
use super::record::{self, Record};
use super::store::{Fault, Tx, fault};
use super::transition::Transition;
use crate::failpoint::{self, Write};
use crate::ledger::{
    Accepted, Batch, Change, Correlated, Error, Flushed, Lease, Ledger, Lessee, Recorded, Replies, Written,
};

/// The replies of one transaction.
#[derive(Default)]
struct Said {
    accepted: Vec<Accepted>,
    recorded: Vec<Recorded>,
    /// `None`: the completions were left out, and nothing of them is written.
    correlated: Option<Vec<Correlated>>,
}

impl SqlLedger {
    pub(super) async fn flush_together(&self, batch: &Batch, lessee: &Lessee) -> Flushed {
        // A revision locks tickets that are known before the others of its batch are locked in their order.
        let revises = batch.arrivals.iter().any(|arrival| matches!(arrival.change, Change::Revised(_)));
        if batch.kinds() < 2 || revises {
            return self.flush_apart(batch, lessee).await;
        }
        let once = self.flush_once(batch, lessee);
        match failpoint::during_all(&writes(batch), once).await {
            Ok((said, mut flushed)) => {
                flushed.arrivals = Ok(said.accepted.into_iter().map(Ok).collect());
                flushed.settlements = Ok(said.recorded.into_iter().map(Ok).collect());
                match said.correlated {
                    Some(correlated) => flushed.completions = Ok(correlated.into_iter().map(Ok).collect()),
                    None => self.complete_after(batch, lessee, &mut flushed).await,
                }
                flushed
            }
            Err(error) if fault(&error) == Fault::Database => failed(&Arc::new(error)),
            // Each kind finds its own row that is refused, or makes way for others by itself.
            Err(_) => self.flush_apart(batch, lessee).await,
        }
    }

    /// Each kind in a transaction of its own.
    async fn flush_apart(&self, batch: &Batch, lessee: &Lessee) -> Flushed {
        let mut flushed = nothing();
        if !batch.arrivals.is_empty() {
            flushed.arrivals = add(self.accept(&batch.arrivals, lessee).await, &mut flushed);
        }
        if !batch.settlements.is_empty() {
            flushed.settlements = add(self.record(&batch.settlements, lessee).await, &mut flushed);
        }
        self.complete_after(batch, lessee, &mut flushed).await;
        if !batch.published.is_empty() {
            flushed.published = self.mark_published(&batch.published).await.map_err(Arc::new);
        }
        flushed
    }

    async fn complete_after(&self, batch: &Batch, lessee: &Lessee, flushed: &mut Flushed) {
        if !batch.completions.is_empty() {
            flushed.completions = add(self.complete(&batch.completions, lessee).await, flushed);
        }
    }

    async fn flush_once(&self, batch: &Batch, lessee: &Lessee) -> Result<(Said, Flushed), Error> {
        let mut draft = Draft::new(lessee, Lease(self.doubts.step()));
        let mut tx = self.store.begin().await?;
        let said = self.write_all(&mut tx, batch, &mut draft).await?;
        draft.write(&mut tx).await?;
        if !batch.published.is_empty() {
            tx.write(outbox::published(&batch.published)).await?;
        }
        match tx.commit().await {
            Ok(()) => {
                let Written { events, work, .. } = draft.kept::<()>(Vec::new());
                Ok((said, Flushed { events, work, ..nothing() }))
            }
            Err(error) => {
                self.doubts.add(lessee, &draft.kept::<()>(Vec::new()));
                Err(error)
            }
        }
    }

    /// Writes all but the events, the calls and the marks. The openings that settlements and completions are about
    /// are locked at once, in the order of their ids, and stored once.
    async fn write_all(&self, tx: &mut Tx, batch: &Batch, draft: &mut Draft<'_>) -> Result<Said, Error> {
        let mut said = Said::default();
        if !batch.arrivals.is_empty() {
            said.accepted = Accept { closer: &self.closer }.write(tx, &batch.arrivals, draft).await?;
        }
        if batch.settlements.is_empty() && batch.completions.is_empty() {
            said.correlated = Some(Vec::new());
            return Ok(said);
        }
        let record = Record { closer: &self.closer, reader: &self.reader };
        let found = hear::correlate(tx, &batch.completions).await?;
        // What nobody answers to yet may wait, which closes the gates that a settlement goes through.
        let found = Some(found).filter(|found| hear::unanswered(&batch.completions, found).is_empty());
        record.enter(tx, &batch.settlements).await?;
        let mut openings = Openings::lock(tx, wanted(batch, found.as_ref())).await?;
        let written = record.settle(tx, &batch.settlements, &mut openings, draft).await?;
        said.recorded = written.replies;
        let waiting = record.waiting(tx, &written.settled).await?;
        // What waited is heard first; what came with this batch then follows in a transaction of its own.
        let found = found.filter(|_| waiting.is_empty());
        let heard = Heard { completions: &batch.completions, kept: false, not_before: None };
        let verdicts =
            found.map(|found| hear::judge(&heard, &found, &mut openings, &self.closer, &self.reader, draft));
        // All that is read comes before all that is written.
        openings::add_documents(tx, draft).await?;
        if let Some(verdicts) = verdicts {
            hear::keep(tx, &heard, &verdicts).await?;
            said.correlated = Some(verdicts.replies);
        }
        record::add_attempts(tx, &written.settled).await?;
        store_changes(tx, &mut openings.all).await?;
        record.hear(tx, &waiting, &written.settled, draft).await?;
        Ok(said)
    }
}

/// The openings that a batch is about.
fn wanted(batch: &Batch, found: Option<&Found>) -> BTreeSet<(RequestId, Council)> {
    let settled = batch.settlements.iter().filter(|settlement| settlement.next.is_news());
    let settled = settled.map(|settlement| (settlement.work.request, settlement.work.council.clone()));
    let heard = found.into_iter().flat_map(Found::all);
    settled.chain(heard).collect()
}

/// The fail points of a batch.
fn writes(batch: &Batch) -> Vec<Write> {
    let kinds = [
        (Write::Accept, !batch.arrivals.is_empty()),
        (Write::Record, !batch.settlements.is_empty()),
        (Write::Complete, !batch.completions.is_empty()),
        (Write::Mark, !batch.published.is_empty()),
    ];
    kinds.into_iter().filter(|(_, there)| *there).map(|(write, _)| write).collect()
}

fn nothing() -> Flushed {
    Flushed {
        arrivals: Ok(Vec::new()),
        settlements: Ok(Vec::new()),
        completions: Ok(Vec::new()),
        published: Ok(()),
        events: Vec::new(),
        work: Vec::new(),
    }
}

fn failed(error: &Arc<Error>) -> Flushed {
    Flushed {
        arrivals: Err(Arc::clone(error)),
        settlements: Err(Arc::clone(error)),
        completions: Err(Arc::clone(error)),
        published: Err(Arc::clone(error)),
        events: Vec::new(),
        work: Vec::new(),
    }
}

/// Adds what one kind left to be done; returns its replies.
fn add<R>(written: Result<Written<R>, Error>, flushed: &mut Flushed) -> Replies<R> {
    let Written { replies, events, work } = written.map_err(Arc::new)?;
    flushed.events.extend(events);
    flushed.work.extend(work);
    Ok(replies)
}
