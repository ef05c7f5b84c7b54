//! Makes the calls that are due: one lane a system, so that none waits for another.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use connectors::{Connector, Performed};
use futures::FutureExt;
use mappings::domain::{ParkClass, Phase, SystemName};
use mappings::mapping::{Catalogue, Facts, Idempotency, RetryRule, Steps, System, context};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::clock::Clock;
use crate::ledger::{Attempt, Failed, Ledger, Lessee, Next, Recorded, Room, Settlement, Work, Writer};
use crate::{retry, telemetry};

/// What every lane needs.
#[derive(Clone)]
pub struct Desk {
    /// The mappings.
    pub catalogue: Arc<Catalogue>,
    /// For claims.
    pub ledger: Arc<dyn Ledger>,
    /// For outcomes.
    pub writer: Writer,
    /// Who holds the leases.
    pub lessee: Lessee,
    /// The time.
    pub clock: Clock,
    /// How often the ledger is asked for what is due.
    pub claim_every: Duration,
}

/// The calls of one system.
pub struct Lane {
    desk: Desk,
    system: SystemName,
    rule: RetryRule,
    concurrency: usize,
    connector: Arc<Connector>,
    memory: UnboundedReceiver<Work>,
}

impl Lane {
    /// The lane of `system`; first attempts come through `memory`, all others are claimed.
    pub fn new(
        desk: Desk,
        system: &System,
        rule: RetryRule,
        connector: Arc<Connector>,
        memory: UnboundedReceiver<Work>,
    ) -> Self {
        let concurrency = system.limits.concurrency;
        Self { desk, system: system.name.clone(), rule, concurrency, connector, memory }
    }

    /// Makes calls until shutdown; then waits for those under way and leaves the rest to the ledger.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut waiting = VecDeque::new();
        let mut attempts = JoinSet::new();
        let mut tick = tokio::time::interval(self.desk.claim_every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut backlog = false;
        loop {
            while attempts.len() < self.concurrency {
                let Some(work) = waiting.pop_front() else { break };
                attempts.spawn(self.caller().settle(work));
            }
            let room = self.places().free();
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(work) = self.memory.recv() => waiting.push_back(work),
                Some(_) = attempts.join_next() => {}
                _ = tick.tick() => backlog = self.claim(&mut waiting).await,
                () = std::future::ready(()), if backlog && room >= self.concurrency => {
                    backlog = self.claim(&mut waiting).await;
                }
            }
        }
        while attempts.join_next().await.is_some() {}
    }

    /// Makes every call that is due now, and returns how many there were: for whoever drives the time.
    pub async fn step(&mut self) -> usize {
        let mut waiting = VecDeque::new();
        while let Ok(work) = self.memory.try_recv() {
            waiting.push_back(work);
        }
        self.claim(&mut waiting).await;
        let made = waiting.len();
        futures::future::join_all(waiting.into_iter().map(|work| self.caller().settle(work))).await;
        made
    }

    fn places(&self) -> crate::ledger::Places {
        self.room().of(&self.system)
    }

    fn room(&self) -> &Room {
        &self.desk.lessee.room
    }

    /// Claims what is due while there is room; `true` when more may be due.
    async fn claim(&self, waiting: &mut VecDeque<Work>) -> bool {
        let places = self.places();
        let mut taken = 0;
        while taken < 256 && places.take() {
            taken += 1;
        }
        if taken == 0 {
            return true;
        }
        let claimed = self
            .desk
            .ledger
            .claim_due(&self.system, taken, self.desk.clock.now(), self.desk.lessee.worker)
            .await;
        let claimed = claimed.unwrap_or_else(|error| {
            tracing::error!(system = %self.system, error = &error as &dyn std::error::Error, "due calls could not be claimed");
            Vec::new()
        });
        for _ in claimed.len()..taken {
            places.give_back();
        }
        let more = claimed.len() == taken;
        waiting.extend(claimed);
        more
    }

    fn caller(&self) -> Caller {
        Caller { desk: self.desk.clone(), rule: self.rule, connector: Arc::clone(&self.connector) }
    }
}

/// Makes one attempt at one call.
struct Caller {
    desk: Desk,
    rule: RetryRule,
    connector: Arc<Connector>,
}

impl Caller {
    /// Makes the attempt and writes what came of it; a panic on the way parks the call.
    async fn settle(self, work: Work) {
        let span = telemetry::attempt_span(&work);
        async {
            let started_at = self.desk.clock.now();
            let tried = AssertUnwindSafe(self.attempt(&work)).catch_unwind().await;
            let tried = tried.unwrap_or_else(|_| {
                Some(not_sent(
                    ParkClass::Technical,
                    "an internal fault stopped the attempt; it is in the log",
                ))
            });
            let Some((tried, next)) = tried else { return };
            let attempt = Attempt { started_at, ended_at: self.desk.clock.now(), ..tried };
            telemetry::attempted(&work, &attempt);
            self.record(Settlement { work: work.clone(), attempt, next }).await;
        }
        .instrument(span)
        .await;
        self.desk.lessee.room.of(&work.system).give_back();
    }

    /// One attempt; `None` when the lease was lost before anything was sent.
    async fn attempt(&self, work: &Work) -> Option<(Attempt, Next)> {
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
        Some(self.read(performed, work, phase, &system.idempotency))
    }

    fn read(
        &self,
        performed: Performed,
        work: &Work,
        phase: Phase,
        idempotency: &Idempotency,
    ) -> (Attempt, Next) {
        let word = performed.outcome.word();
        let reason = outcome_reason(&performed);
        let next = match performed.render_failed {
            Some(error) => Next::Park { class: ParkClass::Data, reason: error.to_string() },
            None => retry::after(
                performed.outcome,
                phase,
                work.attempt,
                &self.rule,
                idempotency,
                self.desk.clock.now(),
            ),
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
        (attempt, next)
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
                    let (attempt, next) = not_sent(
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
    use connectors::Outcome;
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

fn not_sent(class: ParkClass, reason: &str) -> (Attempt, Next) {
    let attempt = Attempt { outcome: "not_sent".to_owned(), reason: Some(reason.to_owned()), ..blank() };
    (attempt, Next::Park { class, reason: reason.to_owned() })
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
