//! The calls of one system.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use connectors::Connector;
use futures::future::join_all;
use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{BreakerRule, Limits, RetryRule, System};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::caller::{Aim, Called, Caller, Step, Told};
use super::turns::{Turn, Turns};
use super::{Desk, Halts};
use crate::gate::{self, Shut};
use crate::ledger::{Deferral, Places, Switch, Work};
use crate::share::{Grants, Share};

/// The most calls that are claimed at once.
const CLAIM: usize = 256;
/// Added to the longest time a call takes, before another worker may make the call that tries again.
const GRACE: Duration = Duration::from_secs(10);

/// The calls of one system.
pub struct Lane {
    desk: Desk,
    system: SystemName,
    limits: Limits,
    /// The longest time a call takes.
    whole: Duration,
    caller: Arc<Caller>,
    memory: UnboundedReceiver<Work>,
    grants: watch::Receiver<Grants>,
    halts: watch::Receiver<Halts>,
    /// One is taken by each call under way, until the system has answered.
    turns: Arc<Turns>,
    /// Taken by each call in memory: waiting, under way, or answered and not written yet.
    room: Places,
    /// How many places of the room the lane has made.
    made: usize,
    share: Share,
    gate: Gate,
    waiting: VecDeque<Work>,
    /// Technical failures in a row.
    failures: u32,
    probe: Probe,
}

/// What may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// All that is due.
    Open,
    /// One call that finds out whether the system answers again.
    Probe,
    /// Nothing.
    Shut,
}

/// The call that finds out whether the system answers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// It is not ours to make.
    None,
    /// It is ours to make until then.
    Won(Timestamp),
    /// It is under way.
    Sent,
}

impl Lane {
    /// The lane of `system`; first attempts come through `memory`, all others are claimed.
    pub fn new(
        desk: Desk,
        system: &System,
        rules: (RetryRule, Option<BreakerRule>),
        connector: Arc<Connector>,
        memory: UnboundedReceiver<Work>,
        (grants, turns): (watch::Receiver<Grants>, Arc<Turns>),
    ) -> Self {
        let (rule, breaker) = rules;
        let caller = Arc::new(Caller { desk: desk.clone(), rule, connector });
        Self {
            system: system.name.clone(),
            limits: Limits { breaker, ..system.limits.clone() },
            whole: system.connection.timeout,
            caller,
            memory,
            grants,
            halts: desk.halts.subscribe(),
            turns,
            room: desk.lessee.room.of(&system.name),
            made: 0,
            share: Share::default(),
            gate: Gate::Shut,
            waiting: VecDeque::new(),
            failures: 0,
            probe: Probe::None,
            desk,
        }
    }

    /// Makes calls until shutdown; then gives back those that wait, and waits for those under way.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut attempts = JoinSet::new();
        let mut tick = tokio::time::interval(self.desk.claim_every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut backlog = false;
        loop {
            if self.room.is_over() {
                self.give_back(self.room.over()).await;
            }
            let paced = self.begin(&mut attempts).await;
            let room = self.room.free();
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(work) = self.memory.recv() => self.waiting.push_back(work),
                Some(ended) = attempts.join_next() => self.ended(ended, &mut attempts).await,
                _ = tick.tick() => {
                    self.look();
                    backlog = self.claim().await;
                }
                Ok(()) = self.grants.changed() => self.look(),
                Ok(()) = self.halts.changed() => self.look(),
                () = self.turns.freed() => {}
                () = self.turns.answered() => self.end_breaker().await,
                () = tokio::time::sleep_until(paced.unwrap_or_else(Instant::now)), if paced.is_some() => {}
                () = std::future::ready(()), if backlog && room > 0 && room >= self.share.concurrency => {
                    backlog = self.claim().await;
                }
            }
        }
        while let Ok(work) = self.memory.try_recv() {
            self.waiting.push_back(work);
        }
        self.give_back(self.waiting.len()).await;
        while attempts.join_next().await.is_some() {}
    }

    /// Makes every call that is due now and may pass, and returns how many there were: for whoever drives the time.
    pub async fn step(&mut self) -> usize {
        while let Ok(work) = self.memory.try_recv() {
            self.waiting.push_back(work);
        }
        self.look();
        self.end_breaker().await;
        let (mut attempts, mut made) = (JoinSet::new(), 0);
        loop {
            if self.room.is_over() {
                self.give_back(self.room.over()).await;
            }
            self.claim().await;
            let paced = self.begin(&mut attempts).await;
            match (attempts.join_next().await, paced) {
                (Some(ended), _) => {
                    made += usize::from(!matches!(ended, Ok(Step::Recorded)));
                    self.ended(ended, &mut attempts).await;
                }
                (None, Some(at)) => tokio::time::sleep_until(at).await,
                (None, None) => return made,
            }
        }
    }

    /// Reads anew what may pass, and makes the room in memory as large as that needs.
    fn look(&mut self) {
        self.share = self.grants.borrow_and_update().of(&self.system);
        self.turns.set_rate(self.share.rate);
        let before = std::mem::replace(&mut self.gate, Gate::Shut);
        self.gate = self.read_gate();
        if before != Gate::Open {
            self.failures = 0;
        }
        let made = match self.gate {
            Gate::Open => self.share.memory(self.desk.room_factor),
            Gate::Probe => self.share.concurrency.min(1),
            Gate::Shut => 0,
        };
        self.room.resize(self.made, made);
        self.made = made;
    }

    fn read_gate(&mut self) -> Gate {
        let now = self.desk.clock.now();
        let halts = self.halts.borrow_and_update();
        match gate::shut(halts.get(&self.system), &self.limits, now) {
            None => Gate::Open,
            Some(Shut::Paused(_) | Shut::Closed { .. }) => Gate::Shut,
            Some(Shut::NotAnswering(breaker)) => {
                let worker = self.desk.lessee.worker;
                let taken = breaker.prober.is_some_and(|(prober, until)| prober != worker && until > now);
                if breaker.probe_at <= now && !taken { Gate::Probe } else { Gate::Shut }
            }
        }
    }

    /// Begins the calls that may begin; when the next one may, where the rate is what holds it up.
    async fn begin(&mut self, attempts: &mut JoinSet<Step>) -> Option<Instant> {
        while !self.waiting.is_empty() {
            let now = Instant::now();
            if !self.grants.borrow().hold(now) {
                return None;
            }
            let aim = match self.gate {
                Gate::Open => Aim::Ordinary,
                Gate::Probe => Aim::Probe,
                Gate::Shut => return None,
            };
            if aim == Aim::Probe && !self.wins_probe().await {
                return None;
            }
            let slot = match self.turns.take(now) {
                Turn::Now(slot) => slot,
                Turn::At(at) => return Some(at),
                Turn::Taken => return None,
            };
            let work = self.waiting.pop_front()?;
            if aim == Aim::Probe {
                self.probe = Probe::Sent;
            }
            attempts.spawn(Arc::clone(&self.caller).call(work, aim, slot));
        }
        None
    }

    /// Whether the call that finds out whether the system answers again is ours to make now.
    async fn wins_probe(&mut self) -> bool {
        let now = self.desk.clock.now();
        match self.probe {
            Probe::Sent => return false,
            Probe::Won(until) if until > now => return true,
            Probe::Won(_) | Probe::None => {}
        }
        let until = now + self.whole + GRACE;
        let worker = self.desk.lessee.worker;
        let won = self.switch(Switch::Probe { worker, until }).await;
        self.probe = if won { Probe::Won(until) } else { Probe::None };
        if !won {
            // Somebody else makes it.
            self.gate = Gate::Shut;
            self.room.resize(self.made, 0);
            self.made = 0;
        }
        won
    }

    /// Claims what is due while there is room; `true` when more may be due.
    async fn claim(&mut self) -> bool {
        if self.gate == Gate::Shut || !self.grants.borrow().hold(Instant::now()) {
            return false;
        }
        let mut taken = 0;
        while taken < CLAIM && self.room.take() {
            taken += 1;
        }
        if taken == 0 {
            return true;
        }
        let worker = self.desk.lessee.worker;
        let claimed = self.desk.ledger.claim_due(&self.system, taken, self.desk.clock.now(), worker).await;
        let claimed = claimed.unwrap_or_else(|error| {
            tracing::error!(system = %self.system, error = &error as &dyn std::error::Error, "due calls could not be claimed");
            Vec::new()
        });
        for _ in claimed.len()..taken {
            self.room.give_back();
        }
        let more = claimed.len() == taken;
        self.waiting.extend(claimed);
        more
    }

    /// Gives up to `most` waiting calls back to the ledger, the latest first. They stay due as they were, and no
    /// attempt is counted. Where the ledger's word is lost, the call may be another's already: it is not kept, and the
    /// next heartbeat frees it.
    async fn give_back(&mut self, most: usize) {
        let kept = self.waiting.len().saturating_sub(most);
        let given = self.waiting.split_off(kept);
        let replies = join_all(given.iter().map(|work| {
            self.desk.writer.defer(Deferral {
                call: work.call,
                council: work.council.clone(),
                lease: work.lease,
                at: None,
            })
        }))
        .await;
        for reply in replies {
            if let Err(error) = reply {
                tracing::warn!(system = %self.system, error = &error as &dyn std::error::Error, "it is not known whether a call was given back");
            }
            self.room.give_back();
        }
    }

    /// Has written what came of a call, and takes note of what it says of the system as a whole.
    async fn ended(&mut self, ended: Result<Step, JoinError>, attempts: &mut JoinSet<Step>) {
        let (told, aim, _slot) = match ended {
            Ok(Step::Recorded) => return,
            Ok(Step::Called(called)) => {
                let Called { told, aim, settlement, slot, room } = *called;
                if let Some(settlement) = settlement {
                    attempts.spawn(Arc::clone(&self.caller).record(settlement, room));
                }
                (told, aim, Some(slot))
            }
            Err(error) => {
                tracing::error!(system = %self.system, error = %error, "an attempt was lost");
                let aim = if self.probe == Probe::Sent { Aim::Probe } else { Aim::Ordinary };
                (Told::Nothing, aim, None)
            }
        };
        let Some(rule) = self.limits.breaker else { return };
        let worker = self.desk.lessee.worker;
        match (told, aim) {
            (Told::Answered, Aim::Ordinary) => self.failures = 0,
            (Told::Answered, Aim::Probe) => {
                self.failures = 0;
                self.probe = Probe::None;
                if self.switch(Switch::Close { worker }).await {
                    tracing::info!(system = %self.system, "the system answers again");
                }
                self.look();
            }
            (Told::Failed { reason, pause }, Aim::Ordinary) => {
                self.failures += 1;
                // One call that was refused waits by itself, as long as it was told to: only several in a row say
                // something of the system. Those that were under way when the gate shut say nothing new.
                if self.gate == Gate::Open && self.failures >= rule.failures {
                    self.open(rule, reason, pause).await;
                }
            }
            (Told::Failed { reason, pause }, Aim::Probe) => {
                self.probe = Probe::None;
                if self.gate == Gate::Open {
                    // The system was found to answer while the call was under way.
                    self.failures += 1;
                } else {
                    self.open(rule, reason, pause).await;
                }
            }
            (Told::Nothing, Aim::Ordinary) => {}
            // It is still ours to make, with another call.
            (Told::Nothing, Aim::Probe) => self.probe = Probe::Won(self.desk.clock.now() + GRACE),
        }
    }

    /// Leaves the system alone for a while, on all workers.
    async fn open(&mut self, rule: BreakerRule, reason: String, asked: Option<Duration>) {
        let breaker = |halts: &Halts| halts.get(&self.system).and_then(|halt| halt.breaker.clone());
        let openings = breaker(&self.halts.borrow()).map_or(0, |breaker| breaker.openings);
        let pause = asked.unwrap_or_else(|| rule.pause_after(openings));
        let probe_at = self.desk.clock.now() + pause;
        tracing::warn!(system = %self.system, reason = %reason, pause_s = pause.as_secs(), "the system does not answer and is left alone");
        self.switch(Switch::Open { openings, probe_at, reason }).await;
        self.failures = 0;
        // What was read before says nothing of how the system stands now.
        self.turns.was_answered();
        self.look();
    }

    /// Lets calls pass again where the system did not answer them, and has answered a read since.
    async fn end_breaker(&mut self) {
        let answered = self.turns.was_answered();
        let opened = self.halts.borrow().get(&self.system).is_some_and(|halt| halt.breaker.is_some());
        if answered && opened && self.limits.breaker.is_some() {
            if self.switch(Switch::Answered).await {
                tracing::info!(system = %self.system, "the system answers again: it was asked for news");
            }
            if self.probe != Probe::Sent {
                self.probe = Probe::None;
            }
            self.look();
        }
    }

    /// Changes how the system stands, and lets all lanes know; whether it was changed.
    async fn switch(&mut self, switch: Switch) -> bool {
        match self.desk.ledger.switch(&self.system, &switch, self.desk.clock.now()).await {
            Ok(switched) => {
                self.desk.learn(switched.halt);
                switched.applied
            }
            Err(error) => {
                tracing::error!(system = %self.system, error = &error as &dyn std::error::Error, "how the system stands could not be changed");
                false
            }
        }
    }
}
