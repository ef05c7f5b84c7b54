//! The course of one request, and what it adds to reports.

use jiff::Timestamp;
use mappings::domain::{Council, Disposition, HandoverState, RequestState, Service, SystemName};

use super::{By, Count, Figures, Time};
use crate::event::Kind;

const DAY_MS: i64 = 86_400_000;

/// The longest channel that counts as a word.
const LONGEST_WORD: usize = 24;

/// The course of one request, as far as reports are concerned: nothing in it is about a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// The council.
    pub council: Council,
    /// What was asked for.
    pub service: Service,
    /// The way it came in.
    pub channel: Option<String>,
    /// Where it stands.
    pub state: RequestState,
    /// How it closed.
    pub disposition: Option<Disposition>,
    /// When the customer called.
    pub raised_at: Timestamp,
    /// When the ledger accepted it.
    pub accepted_at: Timestamp,
    /// When the closure was written.
    pub closed_at: Option<Timestamp>,
    /// When what was promised is reached.
    pub target_at: Option<Timestamp>,
    /// Its pieces of work, without the closure.
    pub parts: Vec<Part>,
    /// What happened, oldest first.
    pub happened: Vec<Happened>,
    /// It had closed before and was counted so: only that it is open again is told.
    pub is_counted: bool,
}

/// One piece of work of a [`Course`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The system.
    pub system: SystemName,
    /// Where it stands.
    pub state: HandoverState,
    /// How it ended.
    pub disposition: Option<Disposition>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// One event of a [`Course`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// What.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// The system that it is about, where it is about one.
    pub system: Option<String>,
    /// A person or Dovetail itself said so, not the system.
    pub by_us: bool,
}

impl Course {
    /// What it adds to the figures of which requests.
    pub fn figures(&self, now: Timestamp) -> Vec<(By, String, Figures)> {
        if self.is_counted {
            return self.figures_of_reopened(now);
        }
        let counts = self.counts(now);
        let mut whole = counts.clone();
        whole.add(Time::Accept, ms(self.raised_at, self.accepted_at));
        let mut time = |time: Time, at: Option<Timestamp>| {
            if let Some(at) = at {
                whole.add(time, ms(self.raised_at, at));
            }
        };
        time(Time::HandOver, self.parts.iter().filter_map(|part| self.taken_at(part)).min());
        time(Time::FirstNews, self.parts.iter().filter_map(|part| self.first_news_at(part)).min());
        time(Time::Close, self.closed_at());
        if let Some(waited) = self.waited_for_person(now) {
            whole.add(Time::WaitedForPerson, waited);
        }
        let mut all = vec![
            (By::Service, self.service.as_str().to_owned(), whole.clone()),
            (By::Channel, self.way(), whole.clone()),
            (By::All, String::new(), whole),
        ];
        all.extend(self.parts.iter().map(|part| {
            let figures = self.figures_of(part, counts.clone(), now);
            (By::System, part.system.as_str().to_owned(), figures)
        }));
        all
    }

    /// The way it came in, as a coarse word: empty where the CRM does not say, `other` where it says something else
    /// than a word, which might be about a person.
    pub fn way(&self) -> String {
        let Some(channel) = &self.channel else { return String::new() };
        let word = channel.trim().to_lowercase();
        let plain = |c: char| c.is_ascii_lowercase() || matches!(c, '-' | '_');
        if word.len() <= LONGEST_WORD && word.chars().all(plain) { word } else { "other".to_owned() }
    }

    /// Whether it closed without a person's decision; `false` while it has not closed.
    pub fn is_closed_automatically(&self) -> bool {
        self.is_closed() && !self.is_there(Kind::Decided)
    }

    /// Whether it has closed.
    pub fn is_closed(&self) -> bool {
        self.state == RequestState::Closed
    }

    /// When it closed: a closure that is written and not taken, or was refused, is none yet.
    pub fn closed_at(&self) -> Option<Timestamp> {
        self.closed_at.filter(|_| self.is_closed())
    }

    /// Whether what was promised was kept; `None` without a promise, or where it is not decided yet.
    pub fn in_time(&self, now: Timestamp) -> Option<bool> {
        let target_at = self.target_at?;
        match self.closed_at() {
            Some(closed_at) => Some(closed_at <= target_at),
            None => (now > target_at).then_some(false),
        }
    }

    /// Whether something was told of it.
    pub fn is_there(&self, kind: Kind) -> bool {
        self.happened.iter().any(|event| event.kind == kind)
    }

    fn counts(&self, now: Timestamp) -> Figures {
        let mut figures = Figures::default();
        let declined = self.is_closed() && self.disposition == Some(Disposition::Declined);
        figures.count_if(Count::CameIn, true);
        figures.count_if(Count::Closed, self.is_closed());
        figures.count_if(Count::Automatically, self.is_closed_automatically());
        figures.count_if(Count::Held, self.is_there(Kind::Held));
        figures.count_if(Count::Declined, declined);
        figures.count_if(Count::Escalated, self.is_there(Kind::Escalated));
        figures.count_if(Count::Overdue, self.is_there(Kind::Overdue));
        figures.count_if(Count::InTime, self.in_time(now) == Some(true));
        figures.count_if(Count::Late, self.in_time(now) == Some(false));
        figures.count_if(self.age(now), !self.is_closed());
        figures
    }

    fn age(&self, now: Timestamp) -> Count {
        match ms(self.raised_at, now) / DAY_MS {
            ..=7 => Count::OpenDays,
            8..=30 => Count::OpenWeeks,
            31..=60 => Count::OpenMonths,
            61.. => Count::OpenLonger,
        }
    }

    fn figures_of_reopened(&self, now: Timestamp) -> Vec<(By, String, Figures)> {
        let mut figures = Figures::default();
        figures.count_if(self.age(now), !self.is_closed());
        let whole = [
            (By::Service, self.service.as_str().to_owned()),
            (By::Channel, self.way()),
            (By::All, String::new()),
        ];
        let parts = self.parts.iter().map(|part| (By::System, part.system.as_str().to_owned()));
        whole.into_iter().chain(parts).map(|(by, key)| (by, key, figures.clone())).collect()
    }

    /// The counts are those of the whole request, the times those of this part.
    fn figures_of(&self, part: &Part, mut figures: Figures, now: Timestamp) -> Figures {
        figures.add(Time::Accept, ms(self.raised_at, self.accepted_at));
        let taken_at = self.taken_at(part);
        if let Some(at) = taken_at {
            figures.add(Time::HandOver, ms(self.raised_at, at));
        }
        if let Some(at) = self.first_news_at(part) {
            figures.add(Time::FirstNews, ms(self.raised_at, at));
        }
        if let Some(at) = part.ended_at {
            figures.add(Time::Close, ms(self.raised_at, at));
        }
        let over = part.ended_at.or(self.closed_at()).unwrap_or(now);
        figures.add(Time::WaitedToBeTaken, ms(self.accepted_at, taken_at.unwrap_or(over)));
        if let Some(at) = taken_at {
            figures.add(Time::WaitedForWork, ms(at, over));
        }
        figures
    }

    /// When a system had the job.
    fn taken_at(&self, part: &Part) -> Option<Timestamp> {
        let event = |event: &&Happened| event.kind == Kind::HandedOver && event.is_word_of(part);
        self.happened.iter().find(event).map(|event| event.at)
    }

    /// When a system first told how the work goes: on its way, or ended.
    fn first_news_at(&self, part: &Part) -> Option<Timestamp> {
        let event = |event: &&Happened| event.kind == Kind::Progressed && event.is_word_of(part);
        let told = self.happened.iter().find(event).map(|event| event.at);
        told.into_iter().chain(part.ended_at).min()
    }

    /// How long it waited for a person, in milliseconds; `None` where it never did.
    fn waited_for_person(&self, now: Timestamp) -> Option<i64> {
        let (mut since, mut waited) = (None, None);
        for event in &self.happened {
            match event.kind {
                Kind::Held => since = since.or(Some(event.at)),
                Kind::Decided | Kind::Closed => {
                    if let Some(from) = since.take() {
                        waited = Some(waited.unwrap_or(0) + ms(from, event.at));
                    }
                }
                Kind::Accepted
                | Kind::HandedOver
                | Kind::Progressed
                | Kind::Reopened
                | Kind::TakenBack
                | Kind::Warned
                | Kind::Escalated
                | Kind::Overdue
                | Kind::Chased
                | Kind::FeedbackDue
                | Kind::FollowOn
                | Kind::Rejected => {}
            }
        }
        let still = since.filter(|_| !self.is_closed()).map(|from| ms(from, now));
        still.map(|still| still + waited.unwrap_or(0)).or(waited)
    }
}

impl Happened {
    fn is_word_of(&self, part: &Part) -> bool {
        !self.by_us && self.system.as_deref() == Some(part.system.as_str())
    }
}

fn ms(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millisecond() - from.as_millisecond()
}
