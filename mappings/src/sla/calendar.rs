//! A calendar of working days and working hours.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

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
}

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

    /// Whether a day is worked.
    ///
    /// # Errors
    /// [`Beyond`] where the holidays of that year are not known.
    pub fn is_worked(&self, date: Date) -> Result<bool, Beyond> {
        if !self.covers.contains(&date.year()) {
            let (from, to) = (*self.covers.start(), *self.covers.end());
            return Err(Beyond { calendar: self.name.clone(), from, to, date });
        }
        Ok(self.week.contains(&date.weekday()) && !self.holidays.contains_key(&date))
    }

    /// The `count`th working day after a day, which itself does not count.
    ///
    /// # Errors
    /// [`Beyond`] where a year on the way is not known.
    pub fn working_day_after(&self, date: Date, count: u32) -> Result<Date, Beyond> {
        let (mut date, mut left) = (date, count);
        while left > 0 {
            date = next(date);
            if self.is_worked(date)? {
                left -= 1;
            }
        }
        Ok(date)
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
        let mut worked = SignedDuration::ZERO;
        if to <= from {
            return Ok(worked);
        }
        let (mut day, last) = (self.day_of(from), self.day_of(to));
        while day <= last {
            if self.is_worked(day)? {
                let (begins, ends) = self.work_of(day);
                let (begins, ends) = (begins.max(from), ends.min(to));
                if begins < ends {
                    worked += ends.duration_since(begins);
                }
            }
            day = next(day);
        }
        Ok(worked)
    }

    /// The first instant at which so much working time has passed since `from`.
    ///
    /// # Errors
    /// [`Beyond`] where a year on the way is not known.
    pub fn working_after(&self, from: Timestamp, span: SignedDuration) -> Result<Timestamp, Beyond> {
        let (mut left, mut day) = (span, self.day_of(from));
        if left <= SignedDuration::ZERO {
            return Ok(from);
        }
        loop {
            if self.is_worked(day)? {
                let (begins, ends) = self.work_of(day);
                let begins = begins.max(from);
                if begins < ends {
                    let here = ends.duration_since(begins);
                    if here >= left {
                        return Ok(begins + left);
                    }
                    left -= here;
                }
            }
            day = next(day);
        }
    }
}

fn next(date: Date) -> Date {
    date.tomorrow().unwrap_or(Date::MAX)
}
