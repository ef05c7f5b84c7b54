//! Letting parked work go: the first alone, then the rest in small batches, so that a stop leaves the rest parked.

use std::time::Duration;

use indicatif::ProgressBar;
use mappings::domain::{HandoverState, Ticket};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Rate;
use crate::ledger::{Choice, History, Ledger, Lessee, Person, Resolution, Resolved, Stuck};

/// How often it is looked at what became of the first.
const LOOK: Duration = Duration::from_millis(200);

/// What is let go, how fast, and how it is stopped.
pub(super) struct Releases<'a> {
    pub(super) ledger: &'a dyn Ledger,
    pub(super) lessee: &'a Lessee,
    pub(super) person: Person,
    pub(super) edit: Option<Value>,
    pub(super) rate: Rate,
    pub(super) canary: bool,
    pub(super) patience: Duration,
    pub(super) stop: CancellationToken,
    pub(super) bar: ProgressBar,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Released {
    /// How many are due again.
    pub(super) written: usize,
    /// Those that were left alone, and why.
    pub(super) refused: Vec<(Ticket, String)>,
    pub(super) ended: Ended,
}

/// How it ended.
#[derive(Debug, PartialEq)]
pub(super) enum Ended {
    /// All were let go.
    Finished,
    /// The first did not arrive, for this reason, and is no more on its way: the rest stay parked.
    Stopped(String),
    /// It is not known yet what becomes of the first, which is still tried: the rest stay parked.
    Waiting(String),
    /// Somebody stopped it: the rest stay parked.
    Cancelled,
}

/// What is known of the first.
enum Known {
    Arrived,
    Failed(String),
    /// Nothing yet; what its last try came to.
    Waiting(Option<String>),
}

impl Releases<'_> {
    pub(super) async fn run(&self, stuck: &[Stuck]) -> anyhow::Result<Released> {
        let mut released = Released { written: 0, refused: Vec::new(), ended: Ended::Finished };
        let mut rest = stuck;
        if self.canary {
            self.bar.set_message("the first is on its way");
            while let Some((first, others)) = rest.split_first() {
                rest = others;
                self.release(std::slice::from_ref(first), &mut released).await?;
                if released.written > 0 {
                    released.ended = self.outcome(first).await?;
                    break;
                }
            }
        }
        if released.ended != Ended::Finished {
            return Ok(released);
        }
        self.bar.set_message("let go");
        let (size, pause) = self.rate.batches();
        let mut tick = interval(pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for batch in rest.chunks(size) {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    released.ended = Ended::Cancelled;
                    return Ok(released);
                }
                _ = tick.tick() => {}
            }
            self.release(batch, &mut released).await?;
        }
        Ok(released)
    }

    async fn release(&self, batch: &[Stuck], released: &mut Released) -> anyhow::Result<()> {
        let at = self.ledger.now().await?;
        let resolutions: Vec<Resolution> = batch
            .iter()
            .map(|stuck| Resolution {
                council: stuck.council.clone(),
                request: stuck.request,
                person: self.person.clone(),
                at,
                choice: Choice::Replay { seen: stuck.seen(), edit: self.edit.clone() },
            })
            .collect();
        let written = self.ledger.resolve(&resolutions, self.lessee).await?;
        for (stuck, reply) in batch.iter().zip(written.replies) {
            match reply {
                Ok(Resolved::Written) => released.written += 1,
                Ok(Resolved::Refused(reason)) => released.refused.push((stuck.ticket.clone(), reason)),
                Err(unwritable) => released.refused.push((stuck.ticket.clone(), unwritable.to_string())),
            }
            self.bar.inc(1);
        }
        Ok(())
    }

    /// Waits until it is known what became of the first.
    async fn outcome(&self, first: &Stuck) -> anyhow::Result<Ended> {
        let began = Instant::now();
        loop {
            let history = self.ledger.ticket(Some(&first.council), &first.ticket).await?;
            let waiting = match known(history.as_ref(), first) {
                Known::Arrived => return Ok(Ended::Finished),
                Known::Failed(reason) => return Ok(Ended::Stopped(reason)),
                Known::Waiting(last) => last,
            };
            if began.elapsed() >= self.patience {
                let last = waiting.unwrap_or_else(|| "no router has tried it".to_owned());
                let ticket = &first.ticket;
                let seconds = self.patience.as_secs();
                return Ok(Ended::Waiting(format!("{ticket} is not through after {seconds} s: {last}")));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Ended::Cancelled),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// What the ledger knows of the first since it was let go.
fn known(history: Option<&History>, first: &Stuck) -> Known {
    let Some(history) = history else { return Known::Failed("its ticket is gone".to_owned()) };
    let handover = history.handovers.iter().find(|handover| handover.id == first.handover);
    let Some(handover) = handover else {
        return Known::Failed("its ticket was opened again meanwhile".to_owned());
    };
    let last = history
        .attempts
        .iter()
        .filter(|tried| tried.handover == first.handover && tried.number > first.attempts)
        .max_by_key(|tried| tried.number);
    let outcome = last.map(|tried| tried.attempt.outcome.as_str());
    let reason = last.and_then(|tried| tried.attempt.reason.clone());
    match (handover.state, outcome) {
        (HandoverState::Parked, _) => {
            let reason = handover.reason.clone().unwrap_or_default();
            Known::Failed(format!("{} is parked again: {reason}", first.ticket))
        }
        (HandoverState::Ended, Some("rejected")) => {
            let reason = reason.unwrap_or_default();
            Known::Failed(format!("{} refused {}: {reason}", first.system, first.ticket))
        }
        (HandoverState::Awaiting | HandoverState::Ended, _) => Known::Arrived,
        (HandoverState::Due, _) => Known::Waiting(reason),
    }
}
