//! Closures that wait: until their time for being stopped is over, or until somebody stops them.

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{Council, RequestId};

use super::SqlLedger;
use super::draft::{Draft, store_changes};
use super::openings::{self, Openings};
use super::store::{Statement, Tx};
use super::transition::Transition;
use crate::ledger::opening::Effects;
use crate::ledger::{Closer, Error, Lessee, Stop, Written};

type Due = (RequestId, Council);

/// Closes what nobody stopped.
struct CloseDue<'a> {
    closer: &'a Closer,
    now: Timestamp,
}

/// Stops closures.
struct StopClosure {
    now: Timestamp,
}

impl SqlLedger {
    pub(super) async fn close_what_is_due(
        &self,
        now: Timestamp,
        most: usize,
        lessee: &Lessee,
    ) -> Result<Written<bool>, Error> {
        let mut tx = self.store.snapshot().await?;
        let statement = Statement::new(
            "select id, council from requests where closes_at is not null and closes_at <= $1 \
             order by closes_at limit $2",
        )
        .int(now.as_millisecond())
        .int(i64::try_from(most).unwrap_or(i64::MAX));
        let rows = tx.run(statement).await?;
        tx.commit().await?;
        let due = rows
            .into_iter()
            .map(|mut row| {
                Ok((row.get("requests.id", RequestId::parse)?, row.get("requests.council", Council::parse)?))
            })
            .collect::<Result<Vec<Due>, Error>>()?;
        self.write(&CloseDue { closer: &self.closer, now }, &due, lessee).await
    }

    pub(super) async fn stop(&self, stop: &Stop, now: Timestamp, lessee: &Lessee) -> Result<bool, Error> {
        let stops = std::slice::from_ref(stop);
        let written = self.write(&StopClosure { now }, stops, lessee).await?;
        Ok(matches!(written.replies.as_slice(), [Ok(true)]))
    }
}

#[async_trait]
impl Transition for CloseDue<'_> {
    type Item = Due;
    type Reply = bool;

    async fn write(&self, tx: &mut Tx, batch: &[Due], draft: &mut Draft<'_>) -> Result<Vec<bool>, Error> {
        let mut openings = Openings::lock(tx, batch.iter().cloned()).await?;
        let mut replies = Vec::with_capacity(batch.len());
        for (request, _) in batch {
            let Some(opening) = openings.get(*request) else {
                replies.push(false);
                continue;
            };
            let mut effects = Effects::default();
            replies.push(opening.close_at_last(&**self.closer, self.now, &mut effects));
            openings::add(draft, opening, effects);
        }
        store_changes(tx, &mut openings.all).await?;
        openings::add_documents(tx, draft).await?;
        Ok(replies)
    }
}

#[async_trait]
impl Transition for StopClosure {
    type Item = Stop;
    type Reply = bool;

    async fn write(&self, tx: &mut Tx, batch: &[Stop], draft: &mut Draft<'_>) -> Result<Vec<bool>, Error> {
        let mut replies = Vec::with_capacity(batch.len());
        for stop in batch {
            let statement = Statement::new(
                "select id from requests where ticket = $1 and council = $2 order by opening desc limit 1",
            )
            .text(stop.ticket.as_str())
            .text(stop.council.as_str());
            let Some(mut row) = tx.run(statement).await?.into_iter().next() else {
                replies.push(false);
                continue;
            };
            let request = row.get("requests.id", RequestId::parse)?;
            let mut openings = Openings::lock(tx, [(request, stop.council.clone())]).await?;
            let Some(opening) = openings.get(request) else {
                replies.push(false);
                continue;
            };
            let mut effects = Effects::default();
            replies.push(opening.stop(&stop.by, self.now, &mut effects));
            openings::add(draft, opening, effects);
            store_changes(tx, &mut openings.all).await?;
        }
        Ok(replies)
    }
}
