//! What the ledger knows of a ticket, as its clock reads it.

use jiff::Timestamp;
use mappings::domain::{HandoverState, Job, Progress, RequestState, SystemName};
use mappings::mapping::{Asked, Catalogue, Owner};
use mappings::sla::{Case, Milestone, Pause, Standing, Terms, Told, drawn};

use crate::event::{Event, Kind};
use crate::ledger::{Clocked, History, Line, Promised};

/// A ticket as its clock reads it: from a clock that is due, or from a history.
pub struct Facts<'a> {
    pub(super) line: &'a Line,
    promised: &'a Promised,
    pub(super) work: Vec<Work<'a>>,
    events: &'a [Event],
}

/// A piece of the work.
pub(super) struct Work<'a> {
    pub(super) system: &'a SystemName,
    pub(super) state: HandoverState,
    pub(super) job: Option<&'a Job>,
}

impl<'a> Facts<'a> {
    /// The facts of a clock that is due.
    pub fn of_clock(clocked: &'a Clocked) -> Self {
        let work = clocked.work.iter().map(|holding| Work {
            system: &holding.system,
            state: holding.state,
            job: holding.job.as_ref(),
        });
        Self {
            line: &clocked.line,
            promised: &clocked.promised,
            work: work.collect(),
            events: &clocked.events,
        }
    }

    /// The facts of a history.
    pub fn of_history(history: &'a History) -> Self {
        let work = history.handovers.iter().filter(|handover| !handover.closure).map(|handover| Work {
            system: &handover.system,
            state: handover.state,
            job: handover.job.as_ref(),
        });
        Self {
            line: &history.line,
            promised: &history.promised,
            work: work.collect(),
            events: &history.events,
        }
    }

    /// What was promised.
    pub fn terms(&self, catalogue: &Catalogue) -> Terms {
        let systems: Vec<SystemName> = self.work.iter().map(|work| work.system.clone()).collect();
        catalogue.terms(&Asked {
            council: &self.line.council,
            service: &self.line.service,
            priority: self.promised.priority,
            systems: &systems,
            document: &self.promised.document,
        })
    }

    /// The case for its clock. A chase is no milestone here: it counts as news of its piece of work.
    pub fn case(&self, terms: &Terms, now: Timestamp) -> Case {
        let line = self.line;
        let standing = match line.state {
            RequestState::Open | RequestState::Held => Standing::Open,
            RequestState::Closing => Standing::Ended,
            RequestState::Closed => {
                Standing::Closed { at: line.closed_at.unwrap_or(now), disposition: line.disposition }
            }
        };
        let pauses = self.pauses(terms, now);
        let paused = pauses.last().is_some_and(|pause| pause.to >= now);
        let awaited = self.awaited();
        let news = awaited.iter().map(|work| self.news_of(work)).min();
        let told =
            self.events.iter().filter_map(told).filter(|(milestone, _)| *milestone != Milestone::Chased);
        Case {
            raised_at: self.promised.first_call,
            standing,
            pauses,
            news_at: news.unwrap_or_else(|| self.last_news()),
            awaited: !awaited.is_empty() && !paused,
            drawn: terms
                .feedback
                .as_ref()
                .is_some_and(|feedback| drawn(&line.council, &line.ticket, feedback.percent)),
            told: told.collect(),
        }
    }

    /// The pieces of work that a system has in hand.
    fn awaited(&self) -> Vec<&Work<'a>> {
        self.work.iter().filter(|work| work.state == HandoverState::Awaiting).collect()
    }

    /// Those of them that were silent for too long.
    pub(super) fn silent(&self, terms: &Terms, now: Timestamp) -> Vec<(&Work<'a>, Timestamp)> {
        let awaited = self.awaited().into_iter().map(|work| (work, self.news_of(work)));
        awaited.filter(|(_, news)| is_silent(terms, *news, now)).collect()
    }

    /// The oldest news once those that were silent are chased.
    pub(super) fn news_after_chase(&self, terms: &Terms, now: Timestamp) -> Timestamp {
        let awaited = self.awaited();
        let news = awaited.iter().map(|work| self.news_of(work));
        news.map(|news| if is_silent(terms, news, now) { now } else { news }).min().unwrap_or(now)
    }

    /// When a system last said something of its piece of work, or was last asked.
    fn news_of(&self, work: &Work<'_>) -> Timestamp {
        let own = self.events.iter().rev().find(|event| {
            matches!(event.kind, Kind::HandedOver | Kind::Progressed | Kind::Chased)
                && text(event, "system") == Some(work.system.as_str())
        });
        own.map_or(self.line.accepted_at, |event| event.at)
    }

    fn last_news(&self) -> Timestamp {
        let news = self.events.iter().rev().find(|event| {
            matches!(
                event.kind,
                Kind::HandedOver
                    | Kind::Progressed
                    | Kind::Held
                    | Kind::Decided
                    | Kind::Reopened
                    | Kind::TakenBack
            )
        });
        news.map_or(self.line.accepted_at, |event| event.at)
    }

    /// When the clock stood still, in order and without overlap.
    pub(super) fn pauses(&self, terms: &Terms, now: Timestamp) -> Vec<Pause> {
        let waits = terms.target.as_ref().map_or(&[][..], |target| &target.paused_while);
        let mut all: Vec<Pause> = Vec::new();
        for work in self.work.iter().filter(|_| !waits.is_empty()) {
            let mut since = None;
            for event in self.events.iter().filter(|event| is_about(event, work)) {
                let Some(progress) = standing_after(event) else { continue };
                let waiting = progress.is_some_and(|progress| waits.contains(&progress));
                match (since, waiting) {
                    (None, true) => since = Some(event.at),
                    (Some(from), false) => {
                        all.push(Pause { from, to: event.at });
                        since = None;
                    }
                    (None, false) | (Some(_), true) => {}
                }
            }
            if let Some(from) = since {
                all.push(Pause { from, to: self.line.closed_at.unwrap_or(now).min(now) });
            }
        }
        all.sort_by_key(|pause| pause.from);
        let mut merged: Vec<Pause> = Vec::new();
        for pause in all {
            match merged.last_mut() {
                Some(last) if pause.from <= last.to => last.to = last.to.max(pause.to),
                Some(_) | None => merged.push(pause),
            }
        }
        merged
    }

    /// Who owns a piece of work: who was last named, else who answers for the system.
    pub fn owner(&self, system: &SystemName, catalogue: &Catalogue) -> Option<Owner> {
        owner_of(system, self.events, catalogue)
    }
}

/// Who owns the work at a system, as the timeline tells: who was last named, else who answers for the system.
pub fn owner_of(system: &SystemName, events: &[Event], catalogue: &Catalogue) -> Option<Owner> {
    let named = events.iter().rev().find_map(|event| {
        let own = is_passed_on(event) && text(event, "system") == Some(system.as_str());
        owner_in(event).filter(|_| own)
    });
    named.or_else(|| catalogue.system(system).map(|system| system.owner.clone()))
}

/// Whether a person said who owns a piece of work from then on.
pub fn is_passed_on(event: &Event) -> bool {
    matches!(event.kind, Kind::HandedOver | Kind::TakenBack)
        && text(event, "by").is_some()
        && event.data.get("owner").is_some()
}

fn owner_in(event: &Event) -> Option<Owner> {
    let owner = event.data.get("owner")?;
    let text = |key: &str| owner.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    Some(Owner { team: text("team")?, contact: text("contact")?, senior: text("senior") })
}

fn is_silent(terms: &Terms, news: Timestamp, now: Timestamp) -> bool {
    let end = terms.chase.and_then(|span| span.end(news, &terms.calendar).ok());
    end.is_some_and(|end| end <= now)
}

fn text<'e>(event: &'e Event, key: &str) -> Option<&'e str> {
    event.data.get(key).and_then(|value| value.as_str())
}

/// Whether an event tells how a piece of work stands; a closure is about all of them.
fn is_about(event: &Event, work: &Work<'_>) -> bool {
    match event.kind {
        Kind::Progressed | Kind::HandedOver => text(event, "system") == Some(work.system.as_str()),
        Kind::Closed => true,
        Kind::Accepted
        | Kind::Held
        | Kind::Decided
        | Kind::Reopened
        | Kind::TakenBack
        | Kind::Warned
        | Kind::Escalated
        | Kind::Overdue
        | Kind::Chased
        | Kind::FeedbackDue
        | Kind::FollowOn
        | Kind::Rejected => false,
    }
}

/// How far the work was after an event; `None` where the event does not say.
fn standing_after(event: &Event) -> Option<Option<Progress>> {
    if let Some(progress) = text(event, "progress") {
        return Some(progress.parse().ok());
    }
    let ended = event.kind == Kind::Closed || text(event, "disposition").is_some();
    ended.then_some(None)
}

/// The milestone that an event told.
fn told(event: &Event) -> Option<Told> {
    let milestone = match event.kind {
        Kind::Warned => {
            let used = event.data.get("used").and_then(serde_json::Value::as_u64)?;
            Milestone::Used(u8::try_from(used).ok()?)
        }
        Kind::Escalated if text(event, "because") == Some("target") => Milestone::Reached,
        Kind::Escalated if text(event, "because") == Some("age") => Milestone::Aged,
        Kind::Overdue => Milestone::Overdue,
        Kind::Chased => Milestone::Chased,
        Kind::FeedbackDue => Milestone::Feedback,
        Kind::Escalated
        | Kind::Accepted
        | Kind::HandedOver
        | Kind::Progressed
        | Kind::Closed
        | Kind::Held
        | Kind::Decided
        | Kind::Reopened
        | Kind::TakenBack
        | Kind::FollowOn
        | Kind::Rejected => return None,
    };
    Some((milestone, event.at))
}
