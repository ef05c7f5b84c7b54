//! Time in a scenario: it stands still while there is something to do, and goes from one due moment to the next.

use std::time::Duration;

use anyhow::Context as _;
use jiff::{Timestamp, Unit};
use mappings::domain::HandoverState;
use mappings::mapping::Poll;

use super::World;
use super::document::{Moment, Scenario};
use super::read::london;
use crate::complete::Step;
use crate::ledger::Handover;
use crate::{gate, harvest, reconcile, rescue};

impl World<'_> {
    /// Tells a whole story. The result is what was not as expected.
    pub(super) async fn tell(&mut self, scenario: &Scenario) -> anyhow::Result<Vec<String>> {
        let mut failures = Vec::new();
        for step in &scenario.steps {
            match &step.moment {
                Some(Moment::At(at)) => self.go_to(*at).await?,
                Some(Moment::After(span)) => {
                    let now = self.clock.now().to_zoned(london());
                    self.go_to(now.checked_add(*span)?.timestamp()).await?;
                }
                None => {}
            }
            for _ in 0..step.times {
                let place = || format!("{}:{}", scenario.file, step.line);
                if let Some(act) = &step.act {
                    failures.extend(self.act(scenario, act).await.with_context(place)?);
                }
                self.settle().await.with_context(place)?;
            }
        }
        failures.extend(self.judge(&scenario.file, &scenario.then).await?);
        Ok(failures)
    }

    /// Lets time pass until `end`, stopping wherever something is due and at each midnight.
    pub(super) async fn go_to(&mut self, end: Timestamp) -> anyhow::Result<()> {
        loop {
            self.settle().await?;
            let now = self.clock.now();
            if now >= end {
                return Ok(());
            }
            let midnight = now.to_zoned(london()).tomorrow()?.round(Unit::Day)?.timestamp();
            let next = self.next_due(now).await?.into_iter().chain([midnight, end]).min().unwrap_or(end);
            self.clock.advance(Duration::try_from(next - now)?);
        }
    }

    /// Does everything that can be done now.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        loop {
            let mut done = 0;
            while let Ok(work) = self.work.try_recv() {
                if let Some(lane) = self.memory.get(&work.system) {
                    lane.send(work)?;
                }
            }
            self.lookout.step().await;
            self.ledger.settle_early(self.clock.now() - rescue::EARLY, &self.undo.lessee).await?;
            for lane in &mut self.lanes {
                done += lane.step().await;
            }
            done += self.undo.step().await?;
            if let Some(timekeeper) = &self.timekeeper {
                done += timekeeper.step(self.clock.now()).await?;
            }
            done += self.ask().await;
            if done == 0 && self.work.is_empty() {
                return Ok(());
            }
        }
    }

    /// Asks every system whose turn it is for news.
    async fn ask(&mut self) -> usize {
        let mut taken = 0;
        for (watcher, every) in &mut self.watchers {
            // What could not be taken stays, and is taken at a later look.
            if let Ok(Step::Done(rows)) = watcher.look(*every).await {
                taken += rows;
            }
        }
        for (harvester, every) in &self.harvesters {
            if let Ok(harvest::Step::Done(tickets)) = harvester.poll(*every).await {
                taken += tickets;
            }
        }
        for listener in self.listeners.values() {
            let Some(poll) = self.catalogue.system(&listener.system).and_then(|system| system.poll.as_ref())
            else {
                continue;
            };
            // A system that cannot be asked is asked again at its next turn.
            if let Ok(Step::Done(reports)) = listener.poll(poll.every()).await {
                taken += reports;
            }
        }
        for reconciler in self.reconcilers.values() {
            if let Ok(reconcile::Step::Done(report)) = reconciler.when_due().await {
                taken += report.asked();
            }
        }
        taken
    }

    /// How far time may go while a system has the work, so that no poll of it is later than it looks back.
    fn patience(&self, handover: &Handover) -> Option<Duration> {
        let system = self.catalogue.system(&handover.system)?;
        match system.poll.as_ref().filter(|_| handover.state == HandoverState::Awaiting)? {
            Poll::Changed { every, overlap, .. } => Some(*every + *overlap),
            Poll::EachJob { .. } => None,
        }
    }

    /// When a call of a ticket of the scenario is due next.
    async fn next_due(&self, now: Timestamp) -> anyhow::Result<Option<Timestamp>> {
        let halts = self.ledger.halts().await?;
        let opens = self.catalogue.systems().filter_map(|system| {
            let halt = halts.iter().find(|halt| halt.system == system.name);
            gate::shut(halt, &system.limits, now)?.until()
        });
        let mut next = opens.filter(|opens| *opens > now).min();
        for (council, ticket) in &self.tickets {
            let Some(history) = self.ledger.ticket(Some(council), ticket).await? else { continue };
            let closes_at = history.line.closes_at;
            let handovers = || history.handovers.iter();
            let polls = handovers().filter_map(|handover| Some(now + self.patience(handover)?));
            let due = handovers().filter_map(|handover| handover.due_at).chain(closes_at).chain(polls);
            next = due.filter(|due| *due > now).chain(next).min();
        }
        Ok(next)
    }
}
