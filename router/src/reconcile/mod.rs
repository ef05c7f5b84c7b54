//! Asks systems about the jobs that are still open, and repairs what we were not told.
//!
//! What a system says so is news like any other, and goes through the one correlator. Nothing follows from what it does
//! not say: an answer that is cut, lacks a job or is not understood changes nothing and is told as such, and a job that
//! the system does not list is for a person.

mod ask;
mod report;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use mappings::domain::HandoverId;
use mappings::mapping::{Meaning, Rate, StatusQuery, System};
use tokio_util::sync::CancellationToken;

use crate::aside;
use crate::complete::{self, Listener};
use crate::gate::{self, Shut};
use crate::ledger::{Activity, Correlated, Failed, OpenJob, PollFailure, Reconciled, Turn, Way, WorkerId};
use crate::rounds::Rounds;
use crate::timeline;

pub use report::{Difference, Report, Verdict};

use ask::Told;

/// The longest pause between two looks for a turn.
const LOOK: Duration = Duration::from_secs(60);
/// How many open jobs are read from the ledger at once.
const PAGE: usize = 1_000;
/// How long a worker that is silent keeps others from asking.
const HOLD: Duration = Duration::from_secs(600);
/// How long a system is left alone that ceased to answer while it was asked.
const AGAIN: Duration = Duration::from_secs(900);
/// Unanswered calls in a row after which a system is left alone, where its mapping has no breaker.
const FAILURES: u32 = 5;

/// Asks one system about its open jobs: one call at a time.
#[derive(Clone)]
pub struct Reconciler {
    /// The correlator's door, and the way to the system.
    pub listener: Listener,
    /// Who asks.
    pub worker: WorkerId,
    /// What the system can bear, of which half is used; `None` for calls one after the other.
    pub rate: Option<Rate>,
}

/// What became of a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The system was asked.
    Done(Report),
    /// It is not time.
    Idle,
    /// Its mapping does not say how it is asked.
    NoWay,
    /// Another worker is at it.
    Busy,
    /// It takes no calls now, and is asked when it does.
    PutOff(String),
}

/// What is done with what a system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Repair,
    Preview,
}

impl Reconciler {
    /// Asks until shutdown, as often as the mapping says.
    pub async fn run(self, every: Duration, shutdown: CancellationToken) {
        let mut rounds = Rounds::looking(every, LOOK, shutdown);
        while rounds.next().await {
            if rounds.unless_ended(self.listener.connector.granted()).await.is_none() {
                return;
            }
            // What was not asked is asked by whoever takes the turn next.
            if let Some(Err(error)) = rounds.unless_ended(self.when_due()).await {
                tracing::warn!(system = %self.listener.system, error = format!("{error:#}"), "the open jobs could not be reconciled");
            }
        }
    }

    /// Asks if it is time.
    ///
    /// # Errors
    /// The ledger failed; what was asked so far is in it, and the turn comes again.
    pub async fn when_due(&self) -> anyhow::Result<Step> {
        if !self.listener.connector.has_share() {
            return Ok(Step::Idle);
        }
        self.take_turn(false).await
    }

    /// Asks now.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn at_once(&self) -> anyhow::Result<Step> {
        self.take_turn(true).await
    }

    /// Asks now, and only says what there would be to repair.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn preview(&self) -> anyhow::Result<Step> {
        let Some((system, query)) = self.mapping() else { return Ok(Step::NoWay) };
        if let Some(why) = self.shut(system) {
            return Ok(Step::PutOff(why));
        }
        Ok(Step::Done(self.ask_all(system, query, Mode::Preview).await?))
    }

    fn mapping(&self) -> Option<(&System, &StatusQuery)> {
        let system = self.listener.catalogue.system(&self.listener.system)?;
        Some((system, system.status.as_ref()?))
    }

    async fn take_turn(&self, at_once: bool) -> anyhow::Result<Step> {
        let Some((system, query)) = self.mapping() else { return Ok(Step::NoWay) };
        let shut = self.shut(system);
        if let Some(why) = shut.clone().filter(|_| !at_once) {
            return Ok(Step::PutOff(why));
        }
        if !self.hold(query, at_once).await? {
            return Ok(if at_once { Step::Busy } else { Step::Idle });
        }
        if let Some(why) = shut {
            // It is due from now on.
            self.keep(system, query, &Report { stopped: Some(why.clone()), ..Report::default() }).await?;
            return Ok(Step::PutOff(why));
        }
        let report = self.ask_all(system, query, Mode::Repair).await?;
        self.keep(system, query, &report).await?;
        let (ledger, now) = (&self.listener.ledger, self.listener.clock.now());
        match report.stopped.as_deref().filter(|_| self.shut(system).is_none()) {
            Some(why) => {
                let failure = PollFailure::new(why, false);
                ledger.keep_failure(&system.name, Activity::OpenJobs, &failure, now).await?;
            }
            None if report.stopped.is_none() => ledger.end_failure(&system.name, Activity::OpenJobs).await?,
            None => {}
        }
        report.log(&system.name);
        Ok(Step::Done(report))
    }

    /// Keeps what asking came to, and when it is next.
    async fn keep(&self, system: &System, query: &StatusQuery, report: &Report) -> anyhow::Result<()> {
        let now = self.listener.clock.now();
        let pause = match (&report.stopped, self.shut(system)) {
            (None, _) => query.every,
            (Some(_), Some(_)) => Duration::ZERO,
            (Some(_), None) => AGAIN.min(query.every),
        };
        let whole = report.stopped.is_none();
        let reconciled = Reconciled { ended_at: now, due_at: now + pause, whole, report: report.json() };
        self.listener.ledger.record_reconciliation(&system.name, self.worker, &reconciled).await?;
        Ok(())
    }

    /// Takes or keeps the turn.
    async fn hold(&self, query: &StatusQuery, at_once: bool) -> anyhow::Result<bool> {
        let now = self.listener.clock.now();
        let turn = Turn { worker: self.worker, now, first: now + query.every, until: now + HOLD, at_once };
        Ok(self.listener.ledger.claim_reconciliation(&self.listener.system, &turn).await?)
    }

    /// Why the system is not to be asked now. One that did not answer may be when a call of dispatch might be tried.
    fn shut(&self, system: &System) -> Option<String> {
        let now = self.listener.clock.now();
        let halts = self.listener.halts.borrow();
        let halt = halts.get(&system.name);
        match gate::shut(halt, &system.limits, now)? {
            Shut::NotAnswering(breaker) if breaker.probe_at <= now => None,
            Shut::NotAnswering(_) | Shut::Paused(_) | Shut::Closed { .. } => {
                let halted =
                    timeline::halted(halt.map_or(&[], std::slice::from_ref), &self.listener.catalogue, now);
                halted.into_iter().find(|halted| halted.system == system.name).map(|halted| halted.text)
            }
        }
    }

    async fn ask_all(&self, system: &System, query: &StatusQuery, mode: Mode) -> anyhow::Result<Report> {
        let steps = system.call(&query.call).context("its mapping names no such call")?;
        let mut report = Report::default();
        let mut asked: HashSet<HandoverId> = HashSet::new();
        let (mut place, mut failures) = (None, 0);
        let silent = self.listener.halts.borrow().get(&system.name).is_some();
        let most = if silent { 1 } else { system.limits.breaker.map_or(FAILURES, |rule| rule.failures) };
        let mut held_at = self.listener.clock.now();
        loop {
            let mut page = self.listener.ledger.open_jobs(&system.name, place, PAGE).await?;
            let Some(last) = page.last() else { return Ok(report) };
            place = Some(last.place);
            // A poll may have moved one on to a later place.
            page.retain(|job| asked.insert(job.check.handover));
            let mut left: Vec<&[OpenJob]> = page.chunks(query.batch.unwrap_or(1)).rev().collect();
            while let Some(jobs) = left.pop() {
                if let Some(why) = self.shut(system) {
                    report.stopped = Some(why);
                    return Ok(report);
                }
                if mode == Mode::Repair && self.listener.clock.now().duration_since(held_at) > HELD_FOR {
                    anyhow::ensure!(self.hold(query, false).await?, "another worker has taken the turn");
                    held_at = self.listener.clock.now();
                }
                self.pause(&report).await;
                let answer = ask::ask(&self.listener, steps, query.batch.is_some(), jobs).await;
                if mode == Mode::Repair {
                    let now = self.listener.clock.now();
                    let Listener { writer, system, .. } = &self.listener;
                    aside::set_aside(writer, system, answer.set_aside.clone(), now).await?;
                }
                let (answered, whole) = (answer.is_answered(), answer.is_whole());
                report.calls += 1;
                if !whole && jobs.len() > 1 {
                    // It is not said which rows are to be trusted: none is. Each half is asked about by itself.
                    let (first, second) = jobs.split_at(jobs.len() / 2);
                    left.extend([second, first]);
                    continue;
                }
                for (job, told) in jobs.iter().zip(answer.told) {
                    let (verdict, detail) = self.settle(system, job, told, mode).await?;
                    report.add(job, verdict, detail);
                }
                failures = if answered { 0 } else { failures + 1 };
                if failures >= most {
                    report.stopped =
                        Some(format!("{} did not answer {failures} times in a row", system.title));
                    return Ok(report);
                }
            }
        }
    }

    /// Leaves half of what the system can bear to all else.
    async fn pause(&self, report: &Report) {
        if let Some(rate) = self.rate.filter(|_| report.calls > 0) {
            tokio::time::sleep(rate.per * 2 / rate.calls.max(1)).await;
        }
    }

    /// What was told of one job, and what came of it.
    async fn settle(
        &self,
        system: &System,
        job: &OpenJob,
        told: Told,
        mode: Mode,
    ) -> Result<(Verdict, String), Failed> {
        let reports = match told {
            Told::Says(reports) => reports,
            Told::Nothing => return Ok((Verdict::Unknown, String::new())),
            Told::Unreadable(why) => return Ok((Verdict::Unreadable, why)),
            Told::Unanswered(why) => return Ok((Verdict::Unanswered, why)),
        };
        let mut whole = (Verdict::Agreed, String::new());
        for report in reports {
            let said = report.said.clone();
            let meaning = system.meaning(Some(&job.check.service), &said, report.note.as_deref());
            if !is_news(&meaning, &report, job) {
                continue;
            }
            let verdict = match mode {
                Mode::Preview => would_be(&meaning),
                Mode::Repair => came_of(&meaning, self.repair(job, report).await?),
            };
            if verdict != Verdict::Agreed {
                whole = (verdict, said);
            }
        }
        Ok(whole)
    }

    /// Has the correlator take a word. Its key is of this moment: where the same word was heard and had no effect, it
    /// is weighed anew.
    async fn repair(
        &self,
        job: &OpenJob,
        report: mappings::mapping::Report,
    ) -> Result<Option<Correlated>, Failed> {
        let now = self.listener.clock.now();
        let report = mappings::mapping::Report { key: None, job: Some(job.check.job.clone()), ..report };
        let mut completion = complete::completion(&self.listener.system, report, Way::Reconciliation, now);
        completion.key = format!("reconciled/{}/{now}/{}", job.check.handover, completion.key);
        complete::take(&self.listener.writer, completion).await
    }
}

/// After how long a turn is kept.
const HELD_FOR: SignedDuration = SignedDuration::from_secs(60);

/// Whether a word says more than is known. That work goes on is none where it is not dated after what is known.
fn is_news(meaning: &Meaning, report: &mappings::mapping::Report, job: &OpenJob) -> bool {
    match meaning {
        Meaning::Ended { .. } => true,
        Meaning::Unrecognised => job.said.as_deref() != Some(report.said.as_str()),
        Meaning::Progress { progress, .. } => {
            let is_newer = match (report.at, job.said_at) {
                (Some(new), Some(known)) => new > known,
                (None, _) | (_, None) => true,
            };
            job.progress != Some(*progress) && is_newer
        }
    }
}

fn would_be(meaning: &Meaning) -> Verdict {
    match meaning {
        Meaning::Ended { .. } => Verdict::Repaired,
        Meaning::Unrecognised => Verdict::Held,
        Meaning::Progress { .. } => Verdict::Agreed,
    }
}

fn came_of(meaning: &Meaning, correlated: Option<Correlated>) -> Verdict {
    let ended = matches!(meaning, Meaning::Ended { .. });
    match correlated {
        Some(Correlated::Applied) if ended => Verdict::Repaired,
        Some(Correlated::Held) => Verdict::Held,
        // That work goes on, or what was heard meanwhile in another way.
        Some(Correlated::Applied | Correlated::Superseded | Correlated::Duplicate | Correlated::Waiting) => {
            Verdict::Agreed
        }
        None => Verdict::Unreadable,
    }
}

/// What to tell of a poll that came so late that the one before it may have left news out: it was due `every` after it,
/// and each looks back by `overlap`.
pub fn gap(position: Timestamp, every: Duration, overlap: Duration, now: Timestamp) -> Option<String> {
    let unasked = now.duration_since(position);
    let longest = SignedDuration::try_from(every.saturating_add(overlap)).unwrap_or(SignedDuration::MAX);
    (unasked > longest).then(|| {
        let (from, to) = (timeline::when::short(position), timeline::when::short(now));
        // Within one minute only the seconds tell them apart.
        let (from, to) = if from == to {
            (timeline::when::exact(position), timeline::when::exact(now))
        } else {
            (from, to)
        };
        format!("no poll of it succeeded from {from} to {to}, which is longer than a poll looks back")
    })
}
