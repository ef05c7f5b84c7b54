//! A calendar of working days and working hours.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Which days are worked, and between which hours.
///
/// It answers only for the years whose bank holidays it knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    /// Its name, which is also its file's.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// Where its days begin and end.
    pub zone: TimeZone,
    /// The days of the week that are worked.
    pub week: Vec<Weekday>,
    /// The hours of a working day.
    pub hours: Hours,
    /// The years whose holidays are known.
    pub covers: RangeInclusive<i16>,
    /// The days that are not worked, each with its name.
    pub holidays: BTreeMap<Date, String>,
    /// The working days, laid out when they are first asked for; starts empty.
    pub worked: WorkedDays,
}

/// The working days of a calendar, laid out when they are first asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkedDays(OnceLock<Vec<Worked>>);

/// The hours of a working day, in minutes since midnight; 1,440 is the midnight that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// When the day's work begins.
    pub from: u16,
    /// When it ends.
    pub to: u16,
}

/// A date whose bank holidays the calendar does not know, so that nothing is said of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the calendar {calendar} knows the bank holidays of {from} to {to}, and {date} is beyond them")]
pub struct Beyond {
    /// The calendar.
    pub calendar: String,
    /// Its first year.
    pub from: i16,
    /// Its last year.
    pub to: i16,
    /// The date.
    pub date: Date,
}

impl Calendar {
    /// The day on which an instant falls.
    pub fn day_of(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(at).date()
    }

    /// The instant of a minute of a day; where the clocks change, the one that `compatible` (RFC 5545) picks.
    pub fn instant(&self, date: Date, minute: u16) -> Timestamp {
        let (days, minute) = (i64::from(minute / 1440), minute % 1440);
        let hour = i8::try_from(minute / 60).unwrap_or(0);
        let minute = i8::try_from(minute % 60).unwrap_or(0);
        let date = date.saturating_add(days.days());
        self.zone.to_timestamp(date.at(hour, minute, 0, 0)).unwrap_or(Timestamp::MAX)
    }

    /// So many days later, at the same time of the day.
    pub fn days_after(&self, at: Timestamp, days: u32) -> Timestamp {
        let later = self.zone.to_datetime(at).saturating_add(i64::from(days).days());
        self.zone.to_timestamp(later).unwrap_or(Timestamp::MAX)
    }

    /// Whether a day is worked.
    ///
    /// # Errors
    /// [`Beyond`] where the holidays of that year are not known.
    pub fn is_worked(&self, date: Date) -> Result<bool, Beyond> {
        self.known(date)?;
        Ok(self.week.contains(&date.weekday()) && !self.holidays.contains_key(&date))
    }

    /// The `count`th working day after a day, which itself does not count.
    ///
    /// # Errors
    /// [`Beyond`] where a year on the way is not known.
    pub fn working_day_after(&self, date: Date, count: u32) -> Result<Date, Beyond> {
        self.known(date)?;
        let after = self.table().partition_point(|worked| worked.date <= date);
        let nth = after + usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(1);
        self.table().get(nth).map(|worked| worked.date).ok_or_else(|| self.beyond(self.end()))
    }

    /// When the work of a day begins and ends.
    pub fn work_of(&self, date: Date) -> (Timestamp, Timestamp) {
        (self.instant(date, self.hours.from), self.instant(date, self.hours.to))
    }

    /// The working time between two instants; none where the second is not after the first.
    ///
    /// # Errors
    /// [`Beyond`] where a year on the way is not known.
    pub fn working_between(&self, from: Timestamp, to: Timestamp) -> Result<SignedDuration, Beyond> {
        if to <= from {
            return Ok(SignedDuration::ZERO);
        }
        self.known(self.day_of(from))?;
        self.known(self.day_of(to))?;
        Ok(self.worked_until(to) - self.worked_until(from))
    }

    /// The first instant at which so much working time has passed since `from`.
    ///
    /// # Errors
    /// [`Beyond`] where a year on the way is not known.
    pub fn working_after(&self, from: Timestamp, span: SignedDuration) -> Result<Timestamp, Beyond> {
        if span <= SignedDuration::ZERO {
            return Ok(from);
        }
        self.known(self.day_of(from))?;
        let wanted = self.worked_until(from) + span;
        let day = self.table().partition_point(|worked| worked.before + worked.length() < wanted);
        let worked = self.table().get(day).ok_or_else(|| self.beyond(self.end()))?;
        Ok(worked.begins + (wanted - worked.before))
    }

    /// The working time since the first day that is known.
    fn worked_until(&self, at: Timestamp) -> SignedDuration {
        let begun = self.table().partition_point(|worked| worked.begins <= at);
        let last = begun.checked_sub(1).and_then(|last| self.table().get(last));
        last.map_or(SignedDuration::ZERO, |worked| {
            worked.before + at.min(worked.ends).duration_since(worked.begins)
        })
    }

    /// Every working day that is known, laid out once: requests are many.
    fn table(&self) -> &[Worked] {
        self.worked.0.get_or_init(|| {
            let mut table = Vec::new();
            let mut before = SignedDuration::ZERO;
            let Ok(mut date) = Date::new(*self.covers.start(), 1, 1) else { return table };
            while self.covers.contains(&date.year()) {
                if self.week.contains(&date.weekday()) && !self.holidays.contains_key(&date) {
                    let (begins, ends) = self.work_of(date);
                    let worked = Worked { date, begins, ends, before };
                    before += worked.length();
                    table.push(worked);
                }
                date = next(date);
            }
            table
        })
    }

    fn known(&self, date: Date) -> Result<(), Beyond> {
        if self.covers.contains(&date.year()) { Ok(()) } else { Err(self.beyond(date)) }
    }

    fn beyond(&self, date: Date) -> Beyond {
        Beyond { calendar: self.name.clone(), from: *self.covers.start(), to: *self.covers.end(), date }
    }

    /// The first day after those that are known.
    fn end(&self) -> Date {
        Date::new(self.covers.end().saturating_add(1), 1, 1).unwrap_or(Date::MAX)
    }
}

/// A day that is worked.
#[derive(Debug, Clone, PartialEq)]
struct Worked {
    date: Date,
    begins: Timestamp,
    ends: Timestamp,
    /// The working time of all days before it.
    before: SignedDuration,
}

impl Worked {
    fn length(&self) -> SignedDuration {
        self.ends.duration_since(self.begins)
    }
}

fn next(date: Date) -> Date {
    date.tomorrow().unwrap_or(Date::MAX)
}
