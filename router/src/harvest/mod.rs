//! Asks CRMs that cannot publish for new tickets, and has the intake take them like any delivery.
//!
//! The position is kept in the ledger and moves on only after every ticket of a poll is in it. What a poll finds
//! again, because each looks back a little, is recognised by its inbox key.

mod reopened;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use connectors::ReadFailure;
use futures::StreamExt as _;
use jiff::Timestamp;
use mappings::domain::{Council, SystemName, Ticket};
use mappings::mapping::{Catalogue, Facts, Harvest, Steps, System, context};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::complete::LOOK;
use crate::dispatch::Asker;
use crate::envelope;
use crate::intake::{Intake, KEPT_BODY, Message, Receipt, native_source, subject_id};
use crate::ledger::{Accepted, Activity, InboxKey, KeptAs, Ledger, PollFailure, Refusal};
use crate::rounds::Rounds;
use reopened::Seen;

/// Asks one CRM.
pub struct Harvester {
    catalogue: Arc<Catalogue>,
    system: SystemName,
    connector: Asker,
    ledger: Arc<dyn Ledger>,
    intake: Intake,
    clock: Clock,
    /// Digests of the items that the last poll listed and that were taken as they are: what did not change since
    /// is not read again. Only ever spares work, so that a router may start without it.
    taken: Mutex<HashSet<String>>,
}

/// What a poll came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many tickets were read.
    Done(usize),
    /// It was not time.
    Idle,
}

/// What came of one item of the list.
enum Taken {
    /// The ledger has it.
    Whole(String),
    /// It is kept with the reason why it could not be taken, or it cannot be said yet what it means: it is looked at
    /// again while it is listed.
    Again,
}

impl Harvester {
    /// A harvester of a CRM whose intake is polled; `None` where it is not.
    pub fn new(
        catalogue: &Arc<Catalogue>,
        system: &System,
        connector: Asker,
        ledger: Arc<dyn Ledger>,
        intake: Intake,
        clock: Clock,
    ) -> Option<(Self, Duration)> {
        let every = system.intake()?.harvest()?.every;
        let harvester = Self {
            catalogue: Arc::clone(catalogue),
            system: system.name.clone(),
            connector,
            ledger,
            intake,
            clock,
            taken: Mutex::default(),
        };
        Some((harvester, every))
    }

    /// Asks until shutdown, as often as `every` says.
    pub async fn run(self, every: Duration, shutdown: CancellationToken) {
        let mut rounds = Rounds::looking(every, LOOK, shutdown);
        while rounds.next().await {
            if rounds.unless_ended(self.connector.granted()).await.is_none() {
                return;
            }
            // Nothing is lost by breaking it off: the position has not moved, and what was taken is recognised.
            if let Some(Err(error)) = rounds.unless_ended(self.poll(every)).await {
                metrics::counter!("dovetail_polls_failed_total", "system" => self.system.to_string())
                    .increment(1);
                tracing::warn!(system = %self.system, error = format!("{error:#}"), "the CRM could not be asked for new tickets");
            }
        }
    }

    /// Asks once, if it is time.
    ///
    /// # Errors
    /// The CRM or the ledger failed; the position stays where it was, so nothing is missed.
    pub async fn poll(&self, every: Duration) -> anyhow::Result<Step> {
        let system = self.catalogue.system(&self.system).context("its mapping is not loaded")?;
        let harvest =
            system.intake().and_then(|intake| intake.harvest()).context("its intake has no poll")?;
        if !self.connector.has_share() {
            return Ok(Step::Idle);
        }
        let now = self.clock.now();
        let Some(position) = self.ledger.claim_poll(&self.system, now, every).await? else {
            return Ok(Step::Idle);
        };
        let asked = async {
            let items = self.list(system, harvest, position - harvest.overlap, now).await?;
            self.take(system, harvest, items, now).await
        };
        let read = match asked.await {
            Ok(read) => read,
            Err(error) => {
                let failure = match error.downcast_ref() {
                    Some(failure) => PollFailure::of(failure),
                    None => PollFailure::new(&format!("{error:#}"), false),
                };
                self.ledger.keep_failure(&self.system, Activity::Tickets, &failure, now).await?;
                return Err(error);
            }
        };
        self.ledger.advance_poll(&self.system, now).await?;
        self.ledger.end_failure(&self.system, Activity::Tickets).await?;
        metrics::counter!("dovetail_tickets_polled_total", "system" => self.system.to_string())
            .increment(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(Step::Done(read))
    }

    /// Reads the ticket of an item of the list anew, whether it changed or not; `false` where it is refused again.
    ///
    /// # Errors
    /// The CRM or the ledger failed.
    pub async fn again(&self, item: Value) -> anyhow::Result<bool> {
        let system = self.catalogue.system(&self.system).context("its mapping is not loaded")?;
        let harvest =
            system.intake().and_then(|intake| intake.harvest()).context("its intake has no poll")?;
        let digest = envelope::digest(item.to_string().as_bytes());
        let taken = self.one(system, harvest, item, digest, self.clock.now()).await?;
        Ok(matches!(taken, Taken::Whole(_)))
    }

    async fn list(
        &self,
        system: &System,
        harvest: &Harvest,
        since: Timestamp,
        now: Timestamp,
    ) -> anyhow::Result<Vec<Value>> {
        let facts = Facts { since: Some(since), ..Facts::at(now) };
        let steps = call(system, &harvest.call)?;
        let gathered = self.connector.gather(steps, context(&Value::Null, &facts), now).await?;
        let items: Result<Vec<_>, _> = gathered.pages.iter().map(|page| harvest.items(page)).collect();
        Ok(items?.into_iter().flatten().collect())
    }

    /// Takes what changed since it was taken. One that fails does not keep the others; it keeps the position.
    async fn take(
        &self,
        system: &System,
        harvest: &Harvest,
        items: Vec<Value>,
        now: Timestamp,
    ) -> anyhow::Result<usize> {
        let known = self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut taken, mut read, mut failure) = (HashSet::new(), 0, None);
        let mut new = Vec::new();
        for item in items {
            let digest = envelope::digest(item.to_string().as_bytes());
            if known.contains(&digest) {
                taken.insert(digest);
            } else {
                new.push(self.one(system, harvest, item, digest, now));
            }
        }
        let mut under_way = futures::stream::iter(new).buffer_unordered(system.limits.concurrency.max(1));
        while let Some(one) = under_way.next().await {
            match one {
                Ok(Taken::Whole(digest)) => drop(taken.insert(digest)),
                Ok(Taken::Again) => {}
                Err(error) => failure = Some(error),
            }
            read += 1;
        }
        drop(under_way);
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        failure.map_or(Ok(read), Err)
    }

    async fn one(
        &self,
        system: &System,
        harvest: &Harvest,
        item: Value,
        digest: String,
        now: Timestamp,
    ) -> anyhow::Result<Taken> {
        let listed = item.clone();
        let ticket = match &harvest.then {
            None => Some(item),
            Some(name) => {
                let facts = Facts { event: Some(item.clone()), ..Facts::at(now) };
                let steps = call(system, name)?;
                match self.connector.gather(steps, context(&Value::Null, &facts), now).await {
                    Ok(gathered) => whole(gathered.pages, gathered.steps),
                    Err(failure) if is_final(&failure) => {
                        let refusal = self.refusal(system, &item, &digest, (&failure, now));
                        self.intake.accept(vec![Err(Box::new(refusal))]).await?;
                        return Ok(Taken::Again);
                    }
                    Err(failure) => return Err(failure.into()),
                }
            }
        };
        // A ticket that is gone by the time it is read needs nothing.
        let Some(ticket) = ticket else {
            self.put_right(self.key(system, &listed, &digest, now), now).await?;
            return Ok(Taken::Whole(digest));
        };
        let key = self.key(system, &ticket, &digest, now);
        let message = Message::polled(self.system.clone(), &ticket);
        let understood = self.intake.read(message, now);
        let subjects: Vec<_> = understood
            .iter()
            .filter_map(|one| Some(one.as_ref().ok()?.subject()))
            .map(|(council, ticket)| (council.clone(), ticket.clone()))
            .collect();
        let receipts = self.intake.accept(understood).await?;
        let is_known =
            |receipt: &Receipt| matches!(receipt, Receipt::Accepted(_, Accepted::DuplicateDelivery));
        if receipts.iter().any(|receipt| matches!(receipt, Receipt::Refused { .. })) {
            return Ok(Taken::Again);
        }
        if harvest.reopens && receipts.iter().all(is_known) {
            for (council, ticket) in &subjects {
                // The list was asked for at `now`, before any of its tickets was read.
                match reopened::seen(&*self.ledger, &self.system, (council, ticket), now).await? {
                    Seen::Known => {}
                    Seen::Unsure => return Ok(Taken::Again),
                    Seen::Reopened(arrival) => {
                        self.intake.accept(vec![Ok(*arrival)]).await?;
                    }
                }
            }
        }
        self.put_right(key, now).await?;
        Ok(Taken::Whole(digest))
    }

    /// What was refused of a ticket is put right when the ticket is taken.
    async fn put_right(&self, key: InboxKey, now: Timestamp) -> anyhow::Result<()> {
        Ok(self.ledger.put_right(&key, now).await?)
    }

    /// What makes a ticket, or its item in a list, the same one when it is refused again.
    fn key(&self, system: &System, document: &Value, digest: &str, now: Timestamp) -> InboxKey {
        let subject = system.intake().map(|intake| intake.subject_of(document.clone(), now));
        let id = subject.as_ref().and_then(subject_id).unwrap_or_else(|| digest.to_owned());
        InboxKey { source: native_source(&self.system), id }
    }

    fn refusal(
        &self,
        system: &System,
        item: &Value,
        digest: &str,
        (failure, now): (&ReadFailure, Timestamp),
    ) -> Refusal {
        let mut body = item.to_string().into_bytes();
        body.truncate(KEPT_BODY);
        let subject = system.intake().map(|intake| intake.subject_of(item.clone(), now)).unwrap_or_default();
        Refusal {
            key: self.key(system, item, digest, now),
            council: subject.council.as_deref().and_then(|council| Council::parse(council).ok()),
            ticket: subject.ticket.as_deref().and_then(|ticket| Ticket::parse(ticket).ok()),
            path: None,
            reason: format!("{}: a listed ticket cannot be read: {}", self.system, failure.reason).into(),
            revision: None,
            body,
            kept_as: KeptAs::Listed,
            received_at: now,
            traceparent: None,
            sent_with: None,
        }
    }
}

fn call<'s>(system: &'s System, name: &str) -> anyhow::Result<&'s Steps> {
    system.call(name).ok_or_else(|| anyhow!("its mapping names no call {name}"))
}

/// The ticket, with the answers it was put together from under `steps`.
fn whole(pages: Vec<Value>, steps: Value) -> Option<Value> {
    let mut ticket = pages.into_iter().next()?;
    if let Value::Object(members) = &mut ticket {
        members.insert("steps".into(), steps);
    }
    Some(ticket)
}

/// Whether asking again would give the same: the call cannot be made for this ticket, or the CRM refuses this one
/// ticket. Refused credentials are not of one ticket.
fn is_final(failure: &ReadFailure) -> bool {
    match failure.status {
        None => failure.call.is_empty(),
        Some(401 | 403 | 407 | 408 | 425 | 429) => false,
        Some(status) => (400..500).contains(&status),
    }
}

#[cfg(test)]
mod tests;
