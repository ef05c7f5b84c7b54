//! What attempts came to, each under its lease.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{CallId, Operation, Phase};

use super::draft::{Draft, store_changes};
use super::hear::{self, Heard};
use super::openings::{self, Openings};
use super::store::{Row, Statement, Tx};
use super::transition::Transition;
use super::waiting::{Awaited, waiting};
use crate::ledger::opening::Effects;
use crate::ledger::{Closer, Completion, Error, Lease, Next, Reader, Recorded, Settlement};

/// The leases that a write found to be its worker's still. One call may have had several.
pub(super) type Held = HashSet<(CallId, Lease)>;

/// What became of a batch.
pub(super) struct Settled<'a> {
    /// In the order of the batch.
    pub(super) replies: Vec<Recorded>,
    /// Those that were written.
    pub(super) settled: Vec<&'a Settlement>,
}

/// Records settlements.
pub(super) struct Record<'a> {
    pub(super) closer: &'a Closer,
    pub(super) reader: &'a Reader,
}

#[async_trait]
impl Transition for Record<'_> {
    type Item = Settlement;
    type Reply = Recorded;

    async fn write(
        &self,
        tx: &mut Tx,
        batch: &[Settlement],
        draft: &mut Draft<'_>,
    ) -> Result<Vec<Recorded>, Error> {
        self.enter(tx, batch).await?;
        let wanted = batch.iter().filter(|settlement| settlement.next.is_news());
        let wanted = wanted.map(|settlement| (settlement.work.request, settlement.work.council.clone()));
        let mut openings = Openings::lock(tx, wanted).await?;
        let written = self.settle(tx, batch, &mut openings, draft).await?;
        let waiting = self.waiting(tx, &written.settled).await?;
        openings::add_documents(tx, draft).await?;
        add_attempts(tx, &written.settled).await?;
        store_changes(tx, &mut openings.all).await?;
        self.hear(tx, &waiting, &written.settled, draft).await?;
        Ok(written.replies)
    }
}

impl Record<'_> {
    /// Goes through the gates of the systems whose job references a batch makes known; before its openings are locked.
    pub(super) async fn enter(&self, tx: &mut Tx, batch: &[Settlement]) -> Result<(), Error> {
        tx.gates(&systems(batch)).await
    }

    /// Settles calls in their openings, which are locked and have yet to be stored, as have the attempts.
    pub(super) async fn settle<'b>(
        &self,
        tx: &mut Tx,
        batch: &'b [Settlement],
        openings: &mut Openings,
        draft: &mut Draft<'_>,
    ) -> Result<Settled<'b>, Error> {
        let (settled, again): (Vec<&Settlement>, Vec<&Settlement>) =
            batch.iter().partition(|settlement| settlement.next.settles());
        let worker = draft.lessee().worker.0.to_string();
        let mut mine = take_out(tx, &settled, &worker).await?;
        mine.extend(put_back(tx, &again, &worker).await?);

        let mut written = Settled { replies: Vec::with_capacity(batch.len()), settled: Vec::new() };
        for settlement in batch {
            let work = &settlement.work;
            // A call may stand in a batch twice, under a lease that passed on and the one that followed: what was
            // written may have been reported as an error, and was tried again by others meanwhile.
            if !mine.remove(&(work.call, work.lease)) {
                written.replies.push(Recorded::LeaseLost);
                continue;
            }
            written.replies.push(Recorded::Written);
            written.settled.push(settlement);
            let Some(opening) = openings.get(work.request) else { continue };
            let mut effects = Effects::default();
            let at = settlement.attempt.ended_at;
            let (handover, operation) = (work.handover, work.operation);
            opening.settled(handover, operation, &settlement.next, at, &**self.closer, &mut effects);
            if matches!(settlement.next, Next::Park { .. } | Next::Unable { .. }) {
                opening.keep_payload(handover, work.payload.as_ref());
            }
            if let Some(owner) = &settlement.owner {
                effects.name_owner(owner);
            }
            openings::add(draft, opening, effects);
        }
        Ok(written)
    }

    /// The completions that came before the system's answer did.
    pub(super) async fn waiting(
        &self,
        tx: &mut Tx,
        written: &[&Settlement],
    ) -> Result<Vec<Completion>, Error> {
        let answered: Vec<Awaited<'_>> = answered(written).map(awaited).collect();
        if answered.is_empty() { Ok(Vec::new()) } else { waiting(tx, &answered).await }
    }

    /// Applies the completions that came before the system's answer did.
    pub(super) async fn hear(
        &self,
        tx: &mut Tx,
        waiting: &[Completion],
        written: &[&Settlement],
        draft: &mut Draft<'_>,
    ) -> Result<(), Error> {
        if waiting.is_empty() {
            return Ok(());
        }
        let latest = answered(written).map(|settlement| settlement.attempt.ended_at).max();
        let news = Heard { completions: waiting, kept: true, not_before: latest };
        hear::hear(tx, &news, self.closer, self.reader, draft).await?;
        openings::add_documents(tx, draft).await
    }
}

/// Those by which a job reference may have become known.
fn answered<'a>(written: &[&'a Settlement]) -> impl Iterator<Item = &'a Settlement> {
    let is_news = |settlement: &&Settlement| settlement.next.is_news();
    let orders = |settlement: &&Settlement| settlement.work.operation != Operation::Close;
    written.iter().copied().filter(is_news).filter(orders)
}

fn awaited(settlement: &Settlement) -> Awaited<'_> {
    let job = match &settlement.next {
        Next::Delivered { job, .. } | Next::Pending { job, .. } => job.as_ref(),
        Next::Again { .. } | Next::Rejected { .. } | Next::Unable { .. } | Next::Park { .. } => None,
    };
    Awaited { system: &settlement.work.system, ticket: &settlement.work.ticket, job }
}

/// The systems whose job references this batch makes known.
fn systems(batch: &[Settlement]) -> Vec<Arc<str>> {
    let with_job = batch.iter().filter(|settlement| match &settlement.next {
        Next::Delivered { job, .. } | Next::Pending { job, .. } => job.is_some(),
        Next::Again { .. } | Next::Rejected { .. } | Next::Unable { .. } | Next::Park { .. } => false,
    });
    let systems: BTreeSet<&str> = with_job.map(|settlement| settlement.work.system.as_str()).collect();
    systems.into_iter().map(Arc::from).collect()
}

/// Takes calls out of the due table that are settled, where the worker still holds their leases.
///
/// `is not distinct from` goes by no index on PostgreSQL: one worker holds many rows, and each is found by its key.
async fn take_out(tx: &mut Tx, settled: &[&Settlement], worker: &str) -> Result<Held, Error> {
    if settled.is_empty() {
        return Ok(Held::new());
    }
    let statement = Statement::new(
        "with v as ({rows}) delete from due where (council, id, lease) in (select council, id, lease from v) \
         and worker is not distinct from $1 returning id, lease",
    )
    .text(worker);
    held(tx, of(statement, settled)).await
}

/// Makes calls due again, where the worker still holds their leases.
async fn put_back(tx: &mut Tx, again: &[&Settlement], worker: &str) -> Result<Held, Error> {
    // One row a lease: the first settlement counts.
    let mut first = BTreeMap::new();
    for settlement in again {
        let (at, phase) = match &settlement.next {
            Next::Again { at, phase } => (*at, *phase),
            Next::Pending { at, .. } => (*at, Phase::Send),
            Next::Delivered { .. } | Next::Rejected { .. } | Next::Unable { .. } | Next::Park { .. } => {
                continue;
            }
        };
        let key = (settlement.work.call, settlement.work.lease);
        first.entry(key).or_insert((*settlement, at, phase));
    }
    if first.is_empty() {
        return Ok(Held::new());
    }
    let rows: Vec<_> = first.into_values().collect();
    let statement = Statement::new(
        "with v as ({rows}) update due set worker = null, due_at = v.due_at, phase = v.phase, begun = 0, \
         unsure = case when v.unsure >= 0 then v.unsure when due.rescued = 1 then 1 else due.unsure end, \
         rescued = 0 from v where due.council = v.council and due.id = v.id and due.lease = v.lease \
         and due.worker is not distinct from v.worker returning due.id, due.lease",
    )
    .texts("worker", &rows, |_| worker)
    .texts("council", &rows, |(settlement, ..)| settlement.work.council.as_str())
    .texts("id", &rows, |(settlement, ..)| settlement.work.call.to_string())
    .ints("lease", &rows, |(settlement, ..)| settlement.work.lease.0)
    .ints("due_at", &rows, |(_, at, _)| at.as_millisecond())
    .texts("phase", &rows, |(.., phase)| phase.as_str())
    .ints("unsure", &rows, |(settlement, ..)| match settlement.attempt.outcome.as_str() {
        "unknown" => 1,
        // Asked, the system said that it has nothing; or it said what it has.
        "absent" | "pending" => 0,
        _ => -1,
    });
    held(tx, statement).await
}

fn of(statement: Statement, settled: &[&Settlement]) -> Statement {
    statement
        .texts("council", settled, |settlement| settlement.work.council.as_str())
        .texts("id", settled, |settlement| settlement.work.call.to_string())
        .ints("lease", settled, |settlement| settlement.work.lease.0)
}

async fn held(tx: &mut Tx, statement: Statement) -> Result<Held, Error> {
    held_of(tx.run(statement).await?)
}

/// Reads which leases were held: id, lease.
pub(super) fn held_of(rows: Vec<Row>) -> Result<Held, Error> {
    rows.into_iter()
        .map(|mut row| Ok((row.get("due.id", CallId::parse)?, Lease(row.int("due.lease")?))))
        .collect()
}

/// Notes the attempts that were made.
pub(super) async fn add_attempts(tx: &mut Tx, written: &[&Settlement]) -> Result<(), Error> {
    if written.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) insert into attempts (council, request, call, number, handover, operation, phase, \
         started_at, ended_at, outcome, status, reason, sent, answer) select council, request, call, number, \
         handover, operation, phase, started_at, ended_at, outcome, status, reason, sent, answer from v",
    )
    .texts("council", written, |settlement| settlement.work.council.as_str())
    .texts("request", written, |settlement| settlement.work.request.to_string())
    .texts("call", written, |settlement| settlement.work.call.to_string())
    .ints("number", written, |settlement| i64::from(settlement.work.attempt))
    .texts("handover", written, |settlement| settlement.work.handover.to_string())
    .texts("operation", written, |settlement| settlement.work.operation.as_str())
    .texts("phase", written, |settlement| settlement.work.phase.as_str())
    .ints("started_at", written, |settlement| Timestamp::as_millisecond(settlement.attempt.started_at))
    .ints("ended_at", written, |settlement| Timestamp::as_millisecond(settlement.attempt.ended_at))
    .texts("outcome", written, |settlement| settlement.attempt.outcome.as_str())
    .ints("status", written, |settlement| settlement.attempt.status.map(i64::from))
    .texts("reason", written, |settlement| settlement.attempt.reason.as_deref())
    .texts("sent", written, |settlement| settlement.attempt.call.as_deref())
    .texts("answer", written, |settlement| settlement.attempt.answer.as_deref());
    tx.write(statement).await
}
