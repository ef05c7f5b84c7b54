//! One attempt at one call, and what is written of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use connectors::{Carried, Connector, Outcome, Performed};
use futures::FutureExt;
use mappings::domain::{OneLine, Operation, ParkClass, Phase, Service};
use mappings::mapping::{Facts, Idempotency, RetryRule, Steps, System, context_of};
use tracing::Instrument;

use super::Desk;
use crate::failpoint::{self, Point};
use crate::ledger::{Attempt, Failed, Next, Place, Recorded, Settlement, Work};
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
        /// The pause it asked for with this call: `Retry-After`, between a second and an hour.
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

/// What an attempt under way has come to.
pub(super) enum Step {
    /// The call is over.
    Called(Box<Called>),
    /// What came of it is written.
    Recorded,
}

/// A call that is over.
pub(super) struct Called {
    pub(super) told: Told,
    pub(super) aim: Aim,
    /// What is to be written of it; `None` when the lease was lost before anything was sent.
    pub(super) settlement: Option<Settlement>,
    /// Its place among the calls under way, free once it is known what the call says of the system.
    pub(super) slot: Place,
    /// Its place in memory.
    pub(super) room: Place,
}

impl Caller {
    /// Makes the attempt; a panic on the way parks the call. The slot is held until the system has answered.
    pub(super) async fn call(self: Arc<Self>, mut work: Work, aim: Aim, slot: Place) -> Step {
        let room = Place::taken(self.desk.lessee.room.of(&work.system));
        if let Some(system) = self.desk.catalogue.system(&work.system)
            && let Safe::Go(phase) =
                safe_phase(system, &work, idempotency(system, &work.service, work.operation))
        {
            // Kept with the attempt: whoever replays the call must know that it was to be looked up.
            work.phase = phase;
        }
        let span = telemetry::attempt_span(&work);
        async {
            let started_at = self.desk.clock.now();
            let tried = AssertUnwindSafe(self.attempt(&mut work, aim)).catch_unwind().await;
            let tried = tried.unwrap_or_else(|_| {
                // It may have been on the wire already.
                let reason = "an internal fault stopped the attempt; it is in the log".to_owned();
                let attempt =
                    Attempt { outcome: "unknown".to_owned(), reason: Some(reason.clone()), ..blank() };
                let next = Next::Park { class: ParkClass::Uncertain, reason };
                Some(Made { attempt, next, told: Told::Nothing })
            });
            let (told, settlement) = match tried {
                None => (Told::Nothing, None),
                Some(Made { attempt, next, told }) => {
                    let attempt = Attempt { started_at, ended_at: self.desk.clock.now(), ..attempt };
                    telemetry::attempted(&work, &attempt);
                    let owner = self.desk.catalogue.system(&work.system).map(|system| system.owner.clone());
                    (told, Some(Settlement { work, attempt, next, owner }))
                }
            };
            Step::Called(Box::new(Called { told, aim, settlement, slot, room }))
        }
        .instrument(span)
        .await
    }

    /// One attempt; `None` when the lease was lost before anything was sent.
    async fn attempt(&self, work: &mut Work, aim: Aim) -> Option<Made> {
        let Some(system) = self.desk.catalogue.system(&work.system) else {
            return Some(not_sent(ParkClass::Technical, "no mapping of this system is loaded"));
        };
        let idempotency = idempotency(system, &work.service, work.operation);
        let phase = match safe_phase(system, work, idempotency) {
            Safe::Go(phase) => phase,
            Safe::Park(reason) => return Some(not_sent(ParkClass::Uncertain, reason)),
        };
        let Some(steps) = steps(system, work, idempotency, phase) else {
            if let Some(unable) = unable(work.operation) {
                let next = Next::Unable { reason: unable.to_owned() };
                return Some(Made { next, ..not_sent(ParkClass::Technical, unable) });
            }
            let reason = format!(
                "{} cannot {} {}: its mapping has no such operation",
                work.system, work.operation, work.service
            );
            return Some(not_sent(ParkClass::Technical, &reason));
        };
        let must_begin = matches!(idempotency, Idempotency::None);
        if (must_begin || !self.desk.pulse.is_sure(work.asked_at)) && !self.begin(work).await {
            return None;
        }
        let now = self.desk.clock.now();
        let (closure, change) = match work.operation {
            Operation::Close => (work.payload.clone(), None),
            Operation::Create | Operation::Amend | Operation::Cancel => (None, work.payload.clone()),
        };
        let facts = Facts {
            key: Some(work.call),
            request: Some(work.request),
            handover: Some(work.handover),
            operation: Some(work.operation),
            job: work.job.clone(),
            traceparent: telemetry::traceparent().or_else(|| work.traceparent.clone()),
            closure,
            change,
            ..Facts::at(now)
        };
        failpoint::hit(Point::Sending).await;
        // Nobody reads it after this; mostly nobody else holds it any more.
        let document = Arc::unwrap_or_clone(std::mem::take(&mut work.document));
        let carried = carried(work).filter(|_| phase == Phase::Send);
        let context = context_of(document, &facts);
        let call = async {
            match &carried {
                Some(carried) => self.connector.resume(steps, context, now, carried).await,
                None => self.connector.perform(steps, context, now).await,
            }
        };
        let call = failpoint::sent(call);
        let performed = match (idempotency, phase) {
            // Who takes it over looks it up: it is not to be sent after that.
            (Idempotency::LookUp(_), Phase::Send) => self.desk.pulse.while_held(work.asked_at, call).await,
            (Idempotency::Key | Idempotency::None | Idempotency::LookUp(_), _) => Some(call.await),
        };
        let Some(performed) = performed else {
            let made = self.read(broken_off(), work, aim, phase, idempotency);
            // That says nothing of the system.
            return Some(Made { told: Told::Nothing, ..made });
        };
        failpoint::hit(Point::Answered).await;
        Some(self.read(performed, work, aim, phase, idempotency))
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
            Aim::Ordinary => work.attempt.saturating_sub(work.spent),
            // A system that is down as a whole uses up nobody's attempts.
            Aim::Probe => work.attempt.saturating_sub(work.spent).min(self.rule.attempts.saturating_sub(1)),
        };
        // It is kept that it was carried out, however many attempts that took.
        let is_first = matches!(performed.outcome, Outcome::Pending { .. }) && work.carried.is_none();
        let number = if is_first { number.min(self.rule.attempts.saturating_sub(1)) } else { number };
        // What could not be made of the request is no word of the system's.
        let word = if performed.render_failed.is_some() { NOT_SENT } else { performed.outcome.word() };
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

    /// Marks the attempt as begun, again and again while the database is away: nobody else looks after the call as
    /// long as we live. `false` when the lease was lost.
    async fn begin(&self, work: &Work) -> bool {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.desk.writer.begin(work.call, work.council.clone(), work.lease).await {
                Ok(Recorded::Written) => return true,
                Ok(Recorded::LeaseLost) | Err(Failed::Stopped) => return false,
                Err(error @ (Failed::Unwritable(_) | Failed::Ledger(_))) => {
                    tracing::error!(system = %work.system, error = &error as &dyn std::error::Error, "an attempt could not be begun yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
            }
        }
    }

    /// Writes the settlement, again and again while the database is away: the outcome is known only here.
    pub(super) async fn record(self: Arc<Self>, settlement: Settlement, room: Place) -> Step {
        self.write(settlement).await;
        drop(room);
        Step::Recorded
    }

    async fn write(&self, mut settlement: Settlement) {
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

/// How a call whose outcome is unknown is made safe. The look-up finds the order, and can tell nothing of what was
/// asked about it later: that is repeated under a key, or where the mapping says that it does no harm.
pub(crate) fn idempotency<'a>(
    system: &'a System,
    service: &Service,
    operation: Operation,
) -> &'a Idempotency {
    match (operation, &system.idempotency) {
        (Operation::Create | Operation::Close, own) => own,
        (Operation::Amend | Operation::Cancel, Idempotency::Key) => &Idempotency::Key,
        (Operation::Amend | Operation::Cancel, Idempotency::LookUp(_) | Idempotency::None) => {
            let steps = system.operation(service, operation);
            if steps.is_some_and(|steps| steps.repeatable) { &Idempotency::Key } else { &Idempotency::None }
        }
    }
}

/// What a system without the operation cannot take; `None` for what every system must.
fn unable(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::Amend => Some("it cannot take changes"),
        Operation::Cancel => Some("it cannot call work off"),
        Operation::Create | Operation::Close => None,
    }
}

/// What is known of a call that was broken off.
fn broken_off() -> Performed {
    Performed {
        outcome: Outcome::Unknown {
            reason: "broken off: the ledger did not answer, and another router may look after the call"
                .to_owned(),
        },
        status: None,
        call: String::new(),
        answer: None,
        warnings: Vec::new(),
        render_failed: None,
    }
}

/// What may be done with a call now.
enum Safe {
    /// An attempt of this phase.
    Go(Phase),
    /// Nothing without a person.
    Park(&'static str),
}

/// How far an attempt before this one carried the call out.
fn carried(work: &Work) -> Option<Carried> {
    Carried::of(work.carried.as_ref()?)
}

/// Whether all that is left of a call is to ask: it can be made again at will.
fn only_asks(system: &System, work: &Work) -> bool {
    let steps = system.operation(&work.service, work.operation);
    carried(work).is_some_and(|carried| steps.is_some_and(|steps| steps.only_reads_from(&carried.next)))
}

/// A call taken over from a dead worker may have been carried out: it is sent again only under a key, else
/// looked up, else left to a person if the worker had begun it.
fn safe_phase(system: &System, work: &Work, idempotency: &Idempotency) -> Safe {
    match (idempotency, work.phase, work.rescued) {
        (_, Phase::Send, _) if only_asks(system, work) => Safe::Go(Phase::Send),
        (Idempotency::LookUp(_), Phase::Send, true) => Safe::Go(Phase::LookUp),
        (Idempotency::LookUp(_), phase, _) => Safe::Go(phase),
        (Idempotency::None, _, true) if work.begun => Safe::Park(
            "may have been done: the router was stopped during the call; the system cannot be asked",
        ),
        // Neither can be asked.
        (Idempotency::Key | Idempotency::None, _, _) => Safe::Go(Phase::Send),
    }
}

fn steps<'a>(system: &'a System, work: &Work, idempotency: &Idempotency, phase: Phase) -> Option<&'a Steps> {
    match (phase, idempotency) {
        (Phase::LookUp, Idempotency::LookUp(name)) => system.call(name),
        (Phase::Send | Phase::LookUp, Idempotency::Key | Idempotency::LookUp(_) | Idempotency::None) => {
            system.operation(&work.service, work.operation)
        }
    }
}

fn outcome_reason(performed: &Performed) -> Option<String> {
    let reason = match &performed.outcome {
        Outcome::Delivered { note, .. } => note.clone(),
        Outcome::Retry { reason, .. }
        | Outcome::Pending { reason, .. }
        | Outcome::Rejected { reason, .. }
        | Outcome::Unknown { reason } => Some(reason.clone()),
        Outcome::Absent => Some("the system has nothing under our reference".to_owned()),
    };
    let parts: Vec<String> = reason.into_iter().chain(performed.warnings.iter().cloned()).collect();
    (!parts.is_empty()).then(|| OneLine::new(&parts.join("; ")).to_string())
}

/// What an attempt says of the system as a whole. A refusal that the mapping reads is an answer, whatever its status.
fn told(performed: &Performed) -> Told {
    let (reason, pause) = match &performed.outcome {
        Outcome::Retry { after, reason } | Outcome::Pending { after, reason, .. } => (reason, *after),
        Outcome::Unknown { reason } => (reason, None),
        Outcome::Rejected { .. } if performed.render_failed.is_some() => return Told::Nothing,
        Outcome::Delivered { .. } | Outcome::Rejected { .. } | Outcome::Absent => return Told::Answered,
    };
    match performed.status {
        // Too much is asked of it, or it takes nothing: it says so of one call, and of itself when it goes on so.
        Some(429 | 503) => Told::Failed { reason: reason.clone(), pause },
        Some(..500) => Told::Answered,
        Some(_) | None => Told::Failed { reason: reason.clone(), pause: None },
    }
}

/// The word of an attempt of which nothing, or not all, was sent, for a reason of our own.
const NOT_SENT: &str = "not_sent";

fn not_sent(class: ParkClass, reason: &str) -> Made {
    let attempt = Attempt { outcome: NOT_SENT.to_owned(), reason: Some(reason.to_owned()), ..blank() };
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

#[cfg(test)]
mod tests {
    use mappings::domain::SystemName;
    use mappings::mapping::Source;

    use super::*;

    fn system(idempotency: &str) -> Arc<System> {
        let text = format!(
            "system: waste\nname: Waste\nrole: back_office\nowner: {{team: T, contact: c@example.org}}\n\
             connection: {{base_url: \"https://waste.test\", auth: none, timeout: 30s, connect_timeout: 5s}}\n\
             idempotency: {idempotency}\ncalls: {{find: {{get: /find, query: {{ref: $.ticket}}}}}}\n"
        );
        let service = "service: waste.missed-bin\nname: Bin\ncreate: {post: /, json: {id: $.dovetail.key}}\n\
             amend: {post: /notes, repeatable: true}\ncancel: {post: /cancel, json: {id: $.dovetail.key}}\n";
        let sources = [("systems/waste/system.yaml", text.as_str()), ("systems/waste/bin.yaml", service)]
            .map(|(path, text)| Source { path: path.to_owned(), text: text.to_owned() });
        let catalogue =
            crate::library::compile(&sources, &|_| None).unwrap_or_else(|error| panic!("{error}"));
        let name = SystemName::parse("waste").expect("a system");
        Arc::clone(catalogue.system(&name).expect("compiled"))
    }

    #[test]
    fn what_is_asked_about_an_order_is_never_taken_for_the_order_itself() {
        use Idempotency::{Key, LookUp, None};
        let service = Service::parse("waste.missed-bin").expect("a service");
        let find = || LookUp("find".to_owned());
        for (text, create, amend, cancel) in
            [("{key: id}", Key, Key, Key), ("{look_up: find}", find(), Key, None), ("none", None, Key, None)]
        {
            let system = system(text);
            let of = |operation| idempotency(&system, &service, operation).clone();
            assert_eq!(of(Operation::Create), create, "{text}");
            assert_eq!(of(Operation::Amend), amend, "{text}, where the mapping says that it may be repeated");
            assert_eq!(of(Operation::Cancel), cancel, "{text}");
        }
    }
}
