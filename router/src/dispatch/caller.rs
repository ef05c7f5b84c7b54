//! One attempt at one call, and what is written of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use connectors::{Connector, Outcome, Performed};
use futures::FutureExt;
use mappings::domain::{ParkClass, Phase};
use mappings::mapping::{Facts, Idempotency, RetryRule, Steps, System, context};
use tracing::Instrument;

use super::Desk;
use crate::ledger::{Attempt, Failed, Next, Recorded, Settlement, Work};
use crate::{retry, telemetry};

/// What an attempt says of the system as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// The system answered, whatever it said.
    Answered,
    /// It could not be reached, was silent, or failed.
    Failed {
        /// Why, in plain words.
        reason: String,
        /// The pause it asked for as a whole: 503 with `Retry-After`, between a second and an hour.
        pause: Option<Duration>,
    },
    /// Nothing was sent.
    Nothing,
}

/// Why an attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// The call is due.
    Ordinary,
    /// It finds out whether the system answers again, and says nothing about the call: it is never the last.
    Probe,
}

/// Makes one attempt at one call.
pub(super) struct Caller {
    pub(super) desk: Desk,
    pub(super) rule: RetryRule,
    pub(super) connector: Arc<Connector>,
}

/// An attempt as it went.
struct Made {
    attempt: Attempt,
    next: Next,
    told: Told,
}

impl Caller {
    /// Makes the attempt and writes what came of it; a panic on the way parks the call.
    pub(super) async fn settle(self: Arc<Self>, work: Work, aim: Aim) -> (Told, Aim) {
        let span = telemetry::attempt_span(&work);
        let told = async {
            let started_at = self.desk.clock.now();
            let tried = AssertUnwindSafe(self.attempt(&work, aim)).catch_unwind().await;
            let tried = tried.unwrap_or_else(|_| {
                Some(not_sent(
                    ParkClass::Technical,
                    "an internal fault stopped the attempt; it is in the log",
                ))
            });
            let Some(Made { attempt, next, told }) = tried else { return Told::Nothing };
            let attempt = Attempt { started_at, ended_at: self.desk.clock.now(), ..attempt };
            telemetry::attempted(&work, &attempt);
            self.record(Settlement { work: work.clone(), attempt, next }).await;
            told
        }
        .instrument(span)
        .await;
        self.desk.lessee.room.of(&work.system).give_back();
        (told, aim)
    }

    /// One attempt; `None` when the lease was lost before anything was sent.
    async fn attempt(&self, work: &Work, aim: Aim) -> Option<Made> {
        let Some(system) = self.desk.catalogue.system(&work.system) else {
            return Some(not_sent(ParkClass::Technical, "no mapping of this system is loaded"));
        };
        let phase = match safe_phase(work, &system.idempotency) {
            Safe::Go(phase) => phase,
            Safe::Park(reason) => return Some(not_sent(ParkClass::Uncertain, reason)),
        };
        let Some(steps) = steps(system, work, phase) else {
            let reason = format!(
                "{} cannot {} {}: its mapping has no such operation",
                work.system, work.operation, work.service
            );
            return Some(not_sent(ParkClass::Technical, &reason));
        };
        if matches!(system.idempotency, Idempotency::None) && phase == Phase::Send && !self.begin(work).await
        {
            return None;
        }
        let now = self.desk.clock.now();
        let facts = Facts {
            key: Some(work.call),
            request: Some(work.request),
            handover: Some(work.handover),
            operation: Some(work.operation),
            job: work.job.clone(),
            traceparent: telemetry::traceparent().or_else(|| work.traceparent.clone()),
            closure: work.payload.clone(),
            ..Facts::at(now)
        };
        let performed = self.connector.perform(steps, context(&work.document, &facts), now).await;
        Some(self.read(performed, work, aim, phase, &system.idempotency))
    }

    fn read(
        &self,
        performed: Performed,
        work: &Work,
        aim: Aim,
        phase: Phase,
        idempotency: &Idempotency,
    ) -> Made {
        let told = told(&performed);
        let number = match aim {
            Aim::Ordinary => work.attempt,
            // A system that is down as a whole uses up nobody's attempts.
            Aim::Probe => work.attempt.min(self.rule.attempts.saturating_sub(1)),
        };
        let word = performed.outcome.word();
        let reason = outcome_reason(&performed);
        let next = match performed.render_failed {
            Some(error) => Next::Park { class: ParkClass::Data, reason: error.to_string() },
            None => {
                retry::after(performed.outcome, phase, number, &self.rule, idempotency, self.desk.clock.now())
            }
        };
        let delivered = word == "delivered";
        let attempt = Attempt {
            outcome: word.to_owned(),
            status: performed.status,
            reason,
            call: (!delivered).then_some(performed.call),
            answer: performed.answer.filter(|_| !delivered),
            ..blank()
        };
        Made { attempt, next, told }
    }

    /// Marks the attempt as begun; `false` when the lease was lost.
    async fn begin(&self, work: &Work) -> bool {
        match self.desk.writer.begin(work.call, work.council.clone(), work.lease).await {
            Ok(Recorded::Written) => true,
            Ok(Recorded::LeaseLost) => false,
            Err(error) => {
                tracing::error!(system = %work.system, error = %error, "an attempt could not be begun");
                false
            }
        }
    }

    /// Writes the settlement, again and again while the database is away: the outcome is known only here.
    async fn record(&self, mut settlement: Settlement) {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.desk.writer.record(settlement.clone()).await {
                Ok(Recorded::Written) => return,
                Ok(Recorded::LeaseLost) => {
                    tracing::warn!(system = %settlement.work.system, call.id = %settlement.work.call, "the lease had passed on");
                    return;
                }
                Err(Failed::Stopped) => return,
                Err(Failed::Unwritable(error)) => {
                    let Made { attempt, next, .. } = not_sent(
                        ParkClass::Technical,
                        &format!("what came of the call cannot be kept: {error}"),
                    );
                    let attempt = Attempt { outcome: settlement.attempt.outcome.clone(), ..attempt };
                    if settlement.next == next {
                        return;
                    }
                    settlement = Settlement { attempt, next, ..settlement };
                }
                Err(error @ Failed::Ledger(_)) => {
                    tracing::error!(system = %settlement.work.system, error = &error as &dyn std::error::Error, "an outcome could not be written yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
    }
}

/// What may be done with a call now.
enum Safe {
    /// An attempt of this phase.
    Go(Phase),
    /// Nothing without a person.
    Park(&'static str),
}

/// A call taken over from a dead worker may have been carried out: it is sent again only under a key, else
/// looked up, else left to a person if the worker had begun it.
fn safe_phase(work: &Work, idempotency: &Idempotency) -> Safe {
    match (idempotency, work.phase, work.rescued) {
        (Idempotency::LookUp(_), Phase::Send, true) => Safe::Go(Phase::LookUp),
        (Idempotency::None, Phase::Send, true) if work.begun => Safe::Park(
            "may have been done: the router was stopped during the call; the system cannot be asked",
        ),
        (Idempotency::Key | Idempotency::LookUp(_) | Idempotency::None, phase, _) => Safe::Go(phase),
    }
}

fn steps<'a>(system: &'a System, work: &Work, phase: Phase) -> Option<&'a Steps> {
    match (phase, &system.idempotency) {
        (Phase::LookUp, Idempotency::LookUp(name)) => system.call(name),
        (Phase::Send | Phase::LookUp, Idempotency::Key | Idempotency::LookUp(_) | Idempotency::None) => {
            system.operation(&work.service, work.operation)
        }
    }
}

fn outcome_reason(performed: &Performed) -> Option<String> {
    let reason = match &performed.outcome {
        Outcome::Delivered { note, .. } => note.clone(),
        Outcome::Retry { reason, .. } | Outcome::Rejected { reason, .. } | Outcome::Unknown { reason } => {
            Some(reason.clone())
        }
        Outcome::Absent => Some("the system has nothing under our reference".to_owned()),
    };
    let parts: Vec<String> = reason.into_iter().chain(performed.warnings.iter().cloned()).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What an attempt says of the system as a whole. A refusal that the mapping reads is an answer, whatever its status.
fn told(performed: &Performed) -> Told {
    let (reason, pause) = match &performed.outcome {
        Outcome::Retry { after, reason } => (reason, *after),
        Outcome::Unknown { reason } => (reason, None),
        Outcome::Rejected { .. } if performed.render_failed.is_some() => return Told::Nothing,
        Outcome::Delivered { .. } | Outcome::Rejected { .. } | Outcome::Absent => return Told::Answered,
    };
    match performed.status {
        Some(..500) => Told::Answered,
        Some(503) => Told::Failed { reason: reason.clone(), pause },
        Some(_) | None => Told::Failed { reason: reason.clone(), pause: None },
    }
}

fn not_sent(class: ParkClass, reason: &str) -> Made {
    let attempt = Attempt { outcome: "not_sent".to_owned(), reason: Some(reason.to_owned()), ..blank() };
    Made { attempt, next: Next::Park { class, reason: reason.to_owned() }, told: Told::Nothing }
}

fn blank() -> Attempt {
    Attempt {
        started_at: jiff::Timestamp::UNIX_EPOCH,
        ended_at: jiff::Timestamp::UNIX_EPOCH,
        outcome: String::new(),
        status: None,
        reason: None,
        call: None,
        answer: None,
    }
}
