//! A promise to the customer, and when it is reached.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::{Beyond, Calendar};
use crate::domain::Progress;

/// A length of time as councils promise it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Hours of the clock, by day and by night.
    Hours(u32),
    /// Hours of working days.
    WorkingHours(u32),
    /// Days of the calendar; ends with the last minute of the last one.
    Days(u32),
    /// Working days; ends when the work of the last one does. The day of the call does not count.
    WorkingDays(u32),
}

/// What ends a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// A length of time since the call.
    Within(Span),
    /// An instant that the request names.
    By(Timestamp),
    /// A day that the request names; ends when the work of that day does.
    ByDay(Date),
}

/// A promise to the customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What ends it.
    pub limit: Limit,
    /// The promise in its author's words, for example `2 working days`.
    pub words: String,
    /// While a system says one of these, the clock stands still; a date that the request names stays.
    pub paused_while: Vec<Progress>,
}

/// A time in which the clock stood still; one that lasts ends `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
}

/// The time that a promise is measured in.
#[derive(Clone, Copy)]
enum Measure<'c> {
    Clock,
    Working(&'c Calendar),
}

impl Measure<'_> {
    fn between(self, from: Timestamp, to: Timestamp) -> Result<SignedDuration, Beyond> {
        match self {
            Self::Clock => Ok(to.duration_since(from).max(SignedDuration::ZERO)),
            Self::Working(calendar) => calendar.working_between(from, to),
        }
    }

    fn after(self, from: Timestamp, span: SignedDuration) -> Result<Timestamp, Beyond> {
        match self {
            Self::Clock => Ok(from.saturating_add(span).unwrap_or(Timestamp::MAX)),
            Self::Working(calendar) => calendar.working_after(from, span),
        }
    }

    /// When so much has passed since `from` beside the pauses.
    fn reach(self, from: Timestamp, span: SignedDuration, pauses: &[Pause]) -> Result<Timestamp, Beyond> {
        let mut reached = self.after(from, span)?;
        for pause in pauses.iter().filter(|pause| pause.to > from) {
            if pause.from >= reached {
                break;
            }
            reached = self.after(reached, self.between(pause.from.max(from), pause.to)?)?;
        }
        Ok(reached)
    }
}

impl Span {
    /// The span's end, counted from a call.
    ///
    /// # Errors
    /// [`Beyond`] where the calendar does not know a year on the way.
    pub fn end(self, from: Timestamp, calendar: &Calendar) -> Result<Timestamp, Beyond> {
        let day = calendar.day_of(from);
        match self {
            Self::Hours(hours) => Ok(from.saturating_add(hour(hours)).unwrap_or(Timestamp::MAX)),
            Self::WorkingHours(hours) => calendar.working_after(from, hour(hours)),
            Self::Days(days) => Ok(calendar.instant(day.saturating_add(i64::from(days).days()), 1439)),
            Self::WorkingDays(days) => Ok(calendar.work_of(calendar.working_day_after(day, days)?).1),
        }
    }
}

/// When a promise made at `raised_at` is reached.
///
/// # Errors
/// [`Beyond`] where the calendar does not know a year on the way: nothing is guessed.
pub fn due(
    target: &Target,
    raised_at: Timestamp,
    pauses: &[Pause],
    calendar: &Calendar,
) -> Result<Timestamp, Beyond> {
    Course::of(target, raised_at, calendar)?.share(100, pauses)
}

/// When 50, 75, 90 and 100 % of a promise are used up, in the time that the promise is measured in.
///
/// # Errors
/// [`Beyond`] where the calendar does not know a year on the way.
pub fn milestones(
    target: &Target,
    raised_at: Timestamp,
    pauses: &[Pause],
    calendar: &Calendar,
) -> Result<[(u8, Timestamp); 4], Beyond> {
    let course = Course::of(target, raised_at, calendar)?;
    let at = |share: u8| Ok((share, course.share(share, pauses)?));
    Ok([at(50)?, at(75)?, at(90)?, at(100)?])
}

/// How much of a promise is used up at `now`, in per cent; more than 100 once it is broken.
///
/// # Errors
/// [`Beyond`] where the calendar does not know a year on the way.
pub fn used(
    target: &Target,
    raised_at: Timestamp,
    pauses: &[Pause],
    calendar: &Calendar,
    now: Timestamp,
) -> Result<u32, Beyond> {
    let course = Course::of(target, raised_at, calendar)?;
    let whole = course.whole.as_millis();
    if whole <= 0 {
        return Ok(if now < course.end { 0 } else { 100 });
    }
    let mut passed = course.measure.between(raised_at, now)?;
    for pause in course.pauses(pauses) {
        passed -= course.measure.between(pause.from.max(raised_at), pause.to.min(now))?;
    }
    let per_cent = passed.as_millis().max(0).saturating_mul(100) / whole;
    Ok(u32::try_from(per_cent).unwrap_or(u32::MAX))
}

/// A promise laid out in time, as if it were never paused.
struct Course<'c> {
    measure: Measure<'c>,
    start: Timestamp,
    end: Timestamp,
    whole: SignedDuration,
    paused: bool,
}

impl<'c> Course<'c> {
    fn of(target: &Target, raised_at: Timestamp, calendar: &'c Calendar) -> Result<Self, Beyond> {
        let (measure, end) = match target.limit {
            Limit::Within(span) => {
                let measure = match span {
                    Span::Hours(_) | Span::Days(_) => Measure::Clock,
                    Span::WorkingHours(_) | Span::WorkingDays(_) => Measure::Working(calendar),
                };
                (measure, span.end(raised_at, calendar)?)
            }
            Limit::By(at) => (Measure::Working(calendar), at),
            Limit::ByDay(day) => (Measure::Working(calendar), calendar.work_of(day).1),
        };
        let mut course = Self {
            measure,
            start: raised_at,
            end,
            whole: measure.between(raised_at, end)?,
            paused: matches!(target.limit, Limit::Within(_)),
        };
        if course.whole.is_zero() {
            // A date on a day off, and no work before it: its time is the clock's.
            course.measure = Measure::Clock;
            course.whole = Measure::Clock.between(raised_at, end)?;
        }
        Ok(course)
    }

    fn pauses<'p>(&self, pauses: &'p [Pause]) -> &'p [Pause] {
        if self.paused { pauses } else { &[] }
    }

    fn share(&self, share: u8, pauses: &[Pause]) -> Result<Timestamp, Beyond> {
        let pauses = self.pauses(pauses);
        if share == 100 && pauses.is_empty() {
            return Ok(self.end);
        }
        // Whole milliseconds, as the ledger keeps them.
        let part = self.whole.as_millis().saturating_mul(i128::from(share)) / 100;
        let part = SignedDuration::from_millis(i64::try_from(part).unwrap_or(i64::MAX));
        self.measure.reach(self.start, part, pauses)
    }
}

fn hour(hours: u32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(hours) * 3_600)
}
