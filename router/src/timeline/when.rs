//! Times and spans as a person in a British contact centre reads them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::Zoned;
use jiff::tz::TimeZone;

/// The rule of Europe/London since 1996, so that no time zone files need be installed.
const LONDON: &str = "GMT0BST,M3.5.0/1,M10.5.0";

fn london(at: Timestamp) -> Zoned {
    at.to_zoned(TimeZone::posix(LONDON).unwrap_or(TimeZone::UTC))
}

/// A whole date and time: `Sunday 22 November 2026, 09:15`.
pub fn stamp(at: Timestamp) -> String {
    london(at).strftime("%A %-d %B %Y, %H:%M").to_string()
}

/// A short date and time for lists: `22 Nov 2026, 09:15`.
pub fn short(at: Timestamp) -> String {
    london(at).strftime("%-d %b %Y, %H:%M").to_string()
}

/// The same to the second: `22 Nov 2026, 09:15:03`.
pub fn exact(at: Timestamp) -> String {
    london(at).strftime("%-d %b %Y, %H:%M:%S").to_string()
}

/// A time in few words: `Tue 24 Nov 17:00`, with the year where it is another one.
pub fn brief(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (london(at), london(now));
    let form = if at.year() == now.year() { "%a %-d %b %H:%M" } else { "%a %-d %b %Y %H:%M" };
    at.strftime(form).to_string()
}

/// A time as it is spoken of now: `today at 14:05`, `tomorrow at 09:00`, `on Monday 23 November at 09:00`.
pub fn spoken(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (london(at), london(now));
    let clock = at.strftime("%H:%M");
    let (day, today) = (at.date(), now.date());
    if day == today {
        format!("today at {clock}")
    } else if today.tomorrow().is_ok_and(|tomorrow| day == tomorrow) {
        format!("tomorrow at {clock}")
    } else if today.yesterday().is_ok_and(|yesterday| day == yesterday) {
        format!("yesterday at {clock}")
    } else if day.year() == today.year() {
        format!("on {} at {clock}", at.strftime("%A %-d %B"))
    } else {
        format!("on {} at {clock}", at.strftime("%A %-d %B %Y"))
    }
}

/// How often: `every 15 minutes`, `every hour`.
pub fn every(span: Duration) -> String {
    let seconds = span.as_secs();
    let (number, unit) = match seconds {
        0 => return "all the time".to_owned(),
        s if s % 86_400 == 0 => (s / 86_400, "day"),
        s if s % 3_600 == 0 => (s / 3_600, "hour"),
        s if s % 60 == 0 => (s / 60, "minute"),
        s => (s, "second"),
    };
    if number == 1 { format!("every {unit}") } else { format!("every {number} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn times_are_those_of_london_in_winter_and_in_summer() {
        assert_eq!(stamp(at("2026-11-22T09:15:00Z")), "Sunday 22 November 2026, 09:15");
        assert_eq!(stamp(at("2026-07-01T09:15:00Z")), "Wednesday 1 July 2026, 10:15");
        assert_eq!(short(at("2026-03-29T01:00:00Z")), "29 Mar 2026, 02:00");
        assert_eq!(short(at("2026-10-25T01:00:00Z")), "25 Oct 2026, 01:00");
    }

    #[test]
    fn a_near_time_is_spoken_of_by_its_day() {
        let now = at("2026-11-22T12:00:00Z");
        assert_eq!(spoken(at("2026-11-22T14:05:00Z"), now), "today at 14:05");
        assert_eq!(spoken(at("2026-11-23T00:10:00Z"), now), "tomorrow at 00:10");
        assert_eq!(spoken(at("2026-11-21T23:59:00Z"), now), "yesterday at 23:59");
        assert_eq!(spoken(at("2026-11-25T09:00:00Z"), now), "on Wednesday 25 November at 09:00");
        assert_eq!(spoken(at("2027-01-04T09:00:00Z"), now), "on Monday 4 January 2027 at 09:00");
    }

    #[test]
    fn midnight_is_that_of_london() {
        let now = at("2026-07-01T12:00:00Z");
        assert_eq!(spoken(at("2026-07-01T23:30:00Z"), now), "tomorrow at 00:30");
    }

    #[test]
    fn spans_are_told_in_the_largest_unit_that_fits() {
        assert_eq!(every(Duration::from_secs(900)), "every 15 minutes");
        assert_eq!(every(Duration::from_secs(3_600)), "every hour");
        assert_eq!(every(Duration::from_secs(90)), "every 90 seconds");
        assert_eq!(every(Duration::from_millis(200)), "all the time");
    }
}
