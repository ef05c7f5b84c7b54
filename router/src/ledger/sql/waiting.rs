//! Completions that came before the job they speak of was known.

use mappings::domain::{Job, SystemName, Ticket};

use super::hear;
use super::store::{Statement, Tx};
use crate::ledger::{Completion, Error};

/// A handover that completions may have waited for.
pub(super) struct Awaited<'a> {
    pub(super) system: &'a SystemName,
    pub(super) ticket: &'a Ticket,
    /// Its job reference, where it is known now.
    pub(super) job: Option<&'a Job>,
}

/// Completions that wait for one of these handovers, by its new job reference, by ours, or by one that a person
/// linked with it, oldest first.
pub(super) async fn waiting(tx: &mut Tx, awaited: &[Awaited<'_>]) -> Result<Vec<Completion>, Error> {
    let statement = Statement::new(
        "with v as ({rows}) select c.system, c.key, c.job, c.reference, c.said, c.note, c.said_at, c.received_at, \
         c.way, c.state from v join completions c on c.system = v.system and c.job = v.job \
         where c.state = 'waiting' union select c.system, c.key, c.job, c.reference, c.said, c.note, c.said_at, \
         c.received_at, c.way, c.state from v join completions c on c.system = v.system \
         and c.reference = v.ticket where c.state = 'waiting' union select c.system, c.key, c.job, c.reference, c.said, \
         c.note, c.said_at, c.received_at, c.way, c.state from v join links l on l.system = v.system \
         and l.ticket = v.ticket join completions c on c.system = l.system and c.reference = l.word \
         where l.kind = 'reference' and c.state = 'waiting'",
    )
    .texts("system", awaited, |awaited| awaited.system.as_str())
    .texts("ticket", awaited, |awaited| awaited.ticket.as_str())
    .texts("job", awaited, |awaited| awaited.job.map(Job::as_str));
    let rows = tx.run(statement).await?;
    let mut waiting = rows
        .into_iter()
        .map(|mut row| Ok(hear::completion(&mut row)?.completion))
        .collect::<Result<Vec<_>, Error>>()?;
    waiting.sort_by_key(|completion| (completion.received_at, completion.said_at));
    Ok(waiting)
}
