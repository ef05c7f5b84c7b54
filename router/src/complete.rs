//! Takes completions: what a system says when it calls us, and what it says when it is asked.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use connectors::{ReadFailure, callback};
use jiff::Timestamp;
use mappings::bounds::Bounds;
use mappings::domain::SystemName;
use mappings::mapping::{BadItem, Catalogue, Facts, Poll, Reading, Report, System, context};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::aside;
use crate::clock::Clock;
use crate::dispatch::{Asker, Halts};
use crate::envelope;
use crate::failpoint::{self, Point};
use crate::gate::{self, Shut};
use crate::ledger::{
    Activity, Check, Completion, Correlated, Failed, InboxKey, KeptAs, Ledger, PollFailure, Refusal, Way,
    Writer,
};
use crate::news;
use crate::rounds::Rounds;

/// The longest pause between two looks for a turn to ask a system.
pub(crate) const LOOK: Duration = Duration::from_secs(15);
/// How many open jobs are asked about in one round.
const ROUND: usize = 200;
/// How many of them at once.
const AT_ONCE: usize = 8;
/// How many reports are given to the ledger at once.
const TOGETHER: usize = 500;

/// The correlator's door for one system.
#[derive(Clone)]
pub struct Listener {
    /// The mappings.
    pub catalogue: Arc<Catalogue>,
    /// The system.
    pub system: SystemName,
    /// The way to it, for read-backs and polls.
    pub connector: Asker,
    /// For turns and positions.
    pub ledger: Arc<dyn Ledger>,
    /// For completions.
    pub writer: Writer,
    /// The time.
    pub clock: Clock,
    /// How the systems stand.
    pub halts: watch::Receiver<Halts>,
}

/// Why an event of a system was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The caller is not who it must be.
    #[error("the caller could not be verified: {0}")]
    Unverified(#[from] callback::Refused),
    /// The event cannot be read.
    #[error("the event cannot be read: {0}")]
    Unreadable(String),
    /// The event is thin and the system could not be asked now; it is to be sent again.
    #[error("the system could not be asked for what the event means: {0}")]
    NotReadBack(String),
    /// The ledger could not write; it is to be sent again.
    #[error(transparent)]
    Ledger(#[from] Failed),
}

/// What a poll came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many reports were taken.
    Done(usize),
    /// It was not time.
    Idle,
}

impl Listener {
    fn mapping(&self) -> Option<&System> {
        self.catalogue.system(&self.system).map(AsRef::as_ref)
    }

    /// Refuses a caller whom the headers alone give away, before anything of the body is read.
    ///
    /// # Errors
    /// [`Refused::Unverified`].
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let webhook = self.mapping().and_then(|system| system.webhook.as_ref());
        webhook.map_or(Ok(()), |webhook| {
            Ok(callback::verify_headers(&webhook.verify, headers, self.clock.now())?)
        })
    }

    /// What `WWW-Authenticate` says to a caller who is not the system.
    pub fn challenge(&self) -> Option<String> {
        let webhook = self.mapping().and_then(|system| system.webhook.as_ref());
        webhook.and_then(|webhook| callback::challenge(&webhook.verify))
    }

    /// Takes an event that the system sent. When it returns `Ok`, the ledger has all of it. A signature may be over the body
    /// or, where it came packed, over the bytes as they came: senders do either.
    ///
    /// # Errors
    /// [`Refused`] says whether the caller, the event, the system or the ledger was in the way.
    pub async fn hear(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        packed: Option<&[u8]>,
        bounds: &Bounds,
    ) -> Result<(u16, String), Refused> {
        let unreadable = |reason: &str| Refused::Unreadable(reason.to_owned());
        let system = self.mapping().ok_or_else(|| unreadable("no mapping of this system is loaded"))?;
        let webhook = system.webhook.as_ref().ok_or_else(|| unreadable("the system has no webhook"))?;
        let verify = |body| callback::verify(&webhook.verify, headers, body, self.clock.now());
        let age = match (verify(body), packed) {
            (Err(callback::Refused::Wrong(_)), Some(packed)) => verify(packed)?,
            (verified, _) => verified?,
        };
        if webhook.verify.secrets().is_some() {
            metrics::counter!(
                "dovetail_webhook_secrets_used_total", "system" => self.system.to_string(), "secret" => age.as_str()
            )
            .increment(1);
        }
        let read = callback::event(headers, body).map_err(|error| error.to_string());
        let read = read.and_then(|event| {
            bounds.measure(&event.body).map_err(|excess| excess.to_string())?;
            let reading = webhook.reports(&event).map_err(|error| error.to_string())?;
            Ok((reading, event))
        });
        let (mut reading, event) = match read {
            Ok(read) => read,
            Err(reason) => {
                // The caller is who it must be: what it says is kept, whether it sends it again or not.
                // A secret may stand in the body.
                let said = connectors::hide(system, &String::from_utf8_lossy(body));
                let reason = connectors::hide(system, &reason);
                let item = BadItem::new(reason.as_str(), &said);
                aside::set_aside(&self.writer, &self.system, vec![item], self.clock.now()).await?;
                return Err(Refused::Unreadable(reason));
            }
        };
        if let Some(call) = &webhook.read_back {
            let steps = system.call(call).ok_or_else(|| unreadable("its mapping names no such call"))?;
            let thin = std::mem::take(&mut reading.reports);
            let document = webhook.document(&event).map_err(|error| unreadable(&error.reason))?;
            for report in &thin {
                let facts = Facts {
                    job: report.job.clone(),
                    event: Some(document.clone()),
                    ..Facts::at(self.clock.now())
                };
                let read = self.connector.read_soon(steps, context(&Value::Null, &facts), facts.now).await;
                match read {
                    Ok(read) => reading.append(read),
                    // Sent again, it would say no more: a person has to look.
                    Err(ReadFailure { is_unrenderable: true, reason, .. }) => {
                        let reason = format!("what it is about cannot be asked for: {reason}");
                        reading.set_aside.push(BadItem::new(reason, &connectors::hide(system, &event.body)));
                    }
                    Err(failure) => return Err(Refused::NotReadBack(failure.to_string())),
                }
            }
        }
        self.take(reading, Way::Webhook).await?;
        Ok(webhook.reply.clone())
    }

    /// Has the ledger take what was read, and waits until it has: the reports, and for a person the items that cannot
    /// be read.
    ///
    /// # Errors
    /// The ledger could not write; none, some or all may be in it, and giving them again does no harm.
    pub async fn take(&self, reading: Reading, way: Way) -> Result<usize, Failed> {
        let now = self.clock.now();
        let count = reading.reports.len();
        if reading.passed_over > 0 {
            metrics::counter!("dovetail_items_passed_over_total", "system" => self.system.to_string())
                .increment(u64::try_from(reading.passed_over).unwrap_or(u64::MAX));
        }
        aside::set_aside(&self.writer, &self.system, reading.set_aside, now).await?;
        let mut reports = reading.reports.into_iter().peekable();
        while reports.peek().is_some() {
            let some = reports.by_ref().take(TOGETHER);
            let taken = some.map(|report| take(&self.writer, completion(&self.system, report, way, now)));
            futures::future::try_join_all(taken).await?;
        }
        Ok(count)
    }

    /// Asks the system until shutdown, as often as `every` says.
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
                tracing::warn!(system = %self.system, error = format!("{error:#}"), "the system could not be polled");
            }
        }
    }

    /// Asks the system once, if it is time.
    ///
    /// # Errors
    /// The system or the ledger failed; the position stays where it was, so nothing is missed.
    pub async fn poll(&self, every: Duration) -> anyhow::Result<Step> {
        let Some(system) = self.mapping().filter(|system| self.connector.has_share() && self.may_ask(system))
        else {
            return Ok(Step::Idle);
        };
        match &system.poll {
            None => Ok(Step::Idle),
            Some(Poll::Changed { overlap, call, .. }) => {
                news::ask(self, system, call, (every, *overlap)).await
            }
            Some(Poll::EachJob { call, .. }) => self.each_job(system, call, every).await,
        }
    }

    /// Whether the system may be asked now: not while it is paused or closed. One that did not answer may be.
    fn may_ask(&self, system: &System) -> bool {
        match gate::shut(self.halts.borrow().get(&self.system), &system.limits, self.clock.now()) {
            None | Some(Shut::NotAnswering(_)) => true,
            Some(Shut::Paused(_) | Shut::Closed { .. }) => false,
        }
    }

    async fn each_job(&self, system: &System, call: &str, every: Duration) -> anyhow::Result<Step> {
        let now = self.clock.now();
        let checks = self.ledger.claim_checks(&self.system, now - every, now, ROUND).await?;
        if checks.is_empty() {
            return Ok(Step::Idle);
        }
        let steps = system.call(call).ok_or_else(|| anyhow::anyhow!("its mapping names no call {call}"))?;
        let mut taken = 0;
        let mut failure = None;
        for some in checks.chunks(AT_ONCE) {
            let asked = some
                .iter()
                .map(|check| self.connector.read(steps, context(&Value::Null, &about(check, now)), now));
            for told in futures::future::join_all(asked).await {
                match told {
                    Ok(reading) => taken += self.take(reading, Way::Poll).await?,
                    Err(error) => failure = Some(error),
                }
            }
        }
        match failure {
            None => {
                self.ledger.end_failure(&self.system, Activity::News).await?;
                Ok(Step::Done(taken))
            }
            Some(failure) => {
                let kept = PollFailure::of(&failure);
                self.ledger.keep_failure(&self.system, Activity::News, &kept, now).await?;
                Err(failure.into())
            }
        }
    }
}

/// Has the ledger take one completion, and says what it made of it. What the database cannot hold as it is becomes a
/// refusal, so that it stands in nobody's way: `None`.
///
/// # Errors
/// The ledger could not write.
pub async fn take(writer: &Writer, completion: Completion) -> Result<Option<Correlated>, Failed> {
    failpoint::hit(Point::Heard).await;
    let (system, way) = (completion.system.to_string(), completion.way.as_str());
    let correlated = match writer.complete(completion.clone()).await {
        Ok(correlated) => Some(correlated),
        Err(Failed::Unwritable(error)) => {
            tracing::warn!(system = %system, error = %error, "a completion cannot be kept as it is");
            writer.refuse(refusal(&completion, error.to_string())).await?;
            None
        }
        Err(failed @ (Failed::Ledger(_) | Failed::Stopped)) => return Err(failed),
    };
    let word = correlated.map_or("refused", Correlated::as_str);
    metrics::counter!("dovetail_completions_total", "system" => system, "way" => way, "correlated" => word)
        .increment(1);
    Ok(correlated)
}

fn refusal(completion: &Completion, reason: String) -> Refusal {
    Refusal {
        key: InboxKey { source: aside::source(&completion.system), id: completion.key.clone() },
        council: None,
        ticket: completion.reference.clone(),
        path: None,
        reason: reason.into(),
        revision: None,
        body: completion.said.as_bytes().to_vec(),
        kept_as: KeptAs::Nothing,
        received_at: completion.received_at,
        traceparent: None,
        sent_with: None,
    }
}

fn about(check: &Check, now: Timestamp) -> Facts {
    Facts { job: Some(check.job.clone()), handover: Some(check.handover), ..Facts::at(now) }
}

/// A report as the ledger takes it. Where an item names several tickets, each hears by its own reference: the job may be
/// another's.
pub fn completion(system: &SystemName, report: Report, way: Way, received_at: Timestamp) -> Completion {
    let word = report.key.as_deref().or(report.note.as_deref()).unwrap_or_default();
    let mut completion = Completion {
        system: system.clone(),
        key: word.to_owned(),
        job: report.job.filter(|_| !report.one_of_several),
        reference: report.reference,
        said: report.said,
        note: report.note,
        said_at: report.at,
        received_at,
        way,
    };
    completion.key = key(&completion);
    completion
}

/// What makes a completion the same one when it comes again: the number that the system gave it, or else its note, with
/// its job, status and time. Systems count their updates anew for each job, and use a number again with another status.
pub fn key(completion: &Completion) -> String {
    let job = completion.job.as_ref().map(|job| job.as_str());
    let about = job.or(completion.reference.as_ref().map(|ticket| ticket.as_str())).unwrap_or_default();
    let at = completion.said_at.map(|at| at.to_string()).unwrap_or_default();
    envelope::digest([about, &completion.key, &completion.said, &at].join("\u{1f}").as_bytes())
}

#[cfg(test)]
mod tests {
    use mappings::domain::{Job, Ticket};

    use super::*;

    fn report(job: &str, said: &str, at: &str) -> Report {
        Report {
            key: Some("1".into()),
            job: Job::parse(job).ok(),
            reference: Ticket::parse("CRM-1").ok(),
            said: said.into(),
            at: at.parse().ok(),
            note: None,
            one_of_several: false,
        }
    }

    #[test]
    fn an_update_is_known_again_by_its_job_its_number_its_word_and_its_time() {
        let waste = SystemName::parse("waste").expect("a name");
        let of = |report| completion(&waste, report, Way::Poll, Timestamp::UNIX_EPOCH).key;
        let first = of(report("W-1", "Done", "2026-11-24T10:00:00Z"));
        assert_eq!(first, of(report("W-1", "Done", "2026-11-24T10:00:00Z")));
        let noted =
            Report { note: Some("by the gate".into()), ..report("W-1", "Done", "2026-11-24T10:00:00Z") };
        assert_eq!(first, of(noted), "its number says that it is the same");
        for other in [
            report("W-2", "Done", "2026-11-24T10:00:00Z"),
            report("W-1", "Not Out", "2026-11-24T10:00:00Z"),
            report("W-1", "Done", "2026-11-25T10:00:00Z"),
        ] {
            assert_ne!(first, of(other.clone()), "{other:?}");
        }
        let numbered = |number: Option<&str>, note: &str| {
            let key = number.map(str::to_owned);
            of(Report { key, note: Some(note.into()), ..report("W-1", "Done", "") })
        };
        assert_ne!(
            numbered(None, "one"),
            numbered(None, "two"),
            "without a number the note tells them apart"
        );
    }
}
