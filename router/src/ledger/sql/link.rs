//! Linking news of work that Dovetail did not order with a handover, as a person says.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use mappings::domain::{HandoverId, Job, SystemName};

use super::draft::Draft;
use super::hear::{self, Heard};
use super::openings::{self, Openings};
use super::store::{Statement, Tx};
use super::transition::Transition;
use crate::ledger::opening::{Effects, Opening};
use crate::ledger::{Closer, Completion, Error, Link, Reader, Resolved};

/// Writes links, and hears what waited for them.
pub(super) struct LinkNews<'a> {
    pub(super) closer: &'a Closer,
    pub(super) reader: &'a Reader,
}

/// What a word of a system is: the columns of `completions` that it may stand in.
const JOB: &str = "job";
const REFERENCE: &str = "reference";

#[async_trait]
impl Transition for LinkNews<'_> {
    type Item = Link;
    type Reply = Resolved;

    async fn write(
        &self,
        tx: &mut Tx,
        batch: &[Link],
        draft: &mut Draft<'_>,
    ) -> Result<Vec<Resolved>, Error> {
        // No news of these systems is kept for later while the link is made: it finds the link, or is found here.
        let systems: BTreeSet<&str> = batch.iter().map(|link| link.system.as_str()).collect();
        tx.gates(&systems.into_iter().map(Arc::from).collect::<Vec<_>>()).await?;
        let mut replies = Vec::with_capacity(batch.len());
        for link in batch {
            replies.push(match self.one(tx, link, draft).await? {
                Ok(()) => Resolved::Written,
                Err(reason) => Resolved::Refused(reason),
            });
        }
        openings::add_documents(tx, draft).await?;
        Ok(replies)
    }
}

impl LinkNews<'_> {
    async fn one(
        &self,
        tx: &mut Tx,
        link: &Link,
        draft: &mut Draft<'_>,
    ) -> Result<Result<(), String>, Error> {
        let Link { system, named, .. } = link;
        if let Some(ticket) = linked_to(tx, system, named).await? {
            return Ok(Err(format!("{named} is linked to {ticket} already")));
        }
        let mut waiting = orphans(tx, system, named).await?;
        let is_job = |completion: &Completion| completion.job.as_ref().map(Job::as_str) == Some(named);
        let kind = if waiting.iter().any(is_job) { JOB } else { REFERENCE };
        waiting.retain(|completion| kind == REFERENCE || is_job(completion));
        if waiting.is_empty() {
            return Ok(Err(format!("no news of {named} from {system} waits for its ticket")));
        }
        let mut openings = Openings::lock(tx, [(link.request, link.council.clone())]).await?;
        let Some(opening) = openings.get(link.request) else {
            return Ok(Err("the ledger has no such ticket".to_owned()));
        };
        let mut effects = Effects::default();
        let handover = match opening.linked(system, named, &link.person, link.at, &mut effects) {
            Ok(handover) => handover,
            Err(reason) => return Ok(Err(reason)),
        };
        keep(tx, link, kind, handover, opening).await?;
        openings::add(draft, opening, effects);
        let news = Heard { completions: &waiting, kept: true, not_before: Some(link.at) };
        hear::hear(tx, &news, self.closer, self.reader, draft).await?;
        Ok(Ok(()))
    }
}

/// The ticket that a job or reference of a system is linked to.
async fn linked_to(tx: &mut Tx, system: &SystemName, named: &str) -> Result<Option<String>, Error> {
    let statement = Statement::new(
        "select ticket from links where system = $1 and kind in ('job', 'reference') and word = $2 limit 1",
    );
    let rows = tx.run(statement.text(system.as_str()).text(named)).await?;
    rows.into_iter().next().map(|mut row| row.text("links.ticket")).transpose()
}

/// News that nobody answers to, by its job or by the reference in it, in the order in which it was heard.
async fn orphans(tx: &mut Tx, system: &SystemName, named: &str) -> Result<Vec<Completion>, Error> {
    const COLUMNS: &str = "system, key, job, reference, said, note, said_at, received_at, way, state";
    let statement = Statement::new(format!(
        "select {COLUMNS} from completions where system = $1 and job = $2 and state = 'waiting' and request is null \
         union select {COLUMNS} from completions where system = $1 and reference = $2 and state = 'waiting' \
         and request is null"
    ));
    let rows = tx.run(statement.text(system.as_str()).text(named)).await?;
    let orphans = rows.into_iter().map(|mut row| Ok(hear::completion(&mut row)?.completion));
    let mut orphans = orphans.collect::<Result<Vec<_>, Error>>()?;
    orphans.sort_by_key(|orphan| (orphan.received_at, orphan.said_at));
    Ok(orphans)
}

async fn keep(
    tx: &mut Tx,
    link: &Link,
    kind: &str,
    handover: HandoverId,
    opening: &Opening,
) -> Result<(), Error> {
    let statement = Statement::new(
        "insert into links (system, kind, word, council, request, handover, ticket, linked_at, person) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .text(link.system.as_str())
    .text(kind)
    .text(link.named.as_str())
    .text(opening.council.as_str())
    .text(opening.request.to_string())
    .text(handover.to_string())
    .text(opening.ticket.as_str())
    .int(Timestamp::as_millisecond(link.at))
    .text(link.person.name.as_str());
    tx.run(statement).await.map(drop)
}
