//! The simulators' clock, and the ways in which these systems write a time.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The wall clock of a simulated back office.
#[expect(
    clippy::disallowed_methods,
    reason = "a simulator is another organisation's system with its own clock"
)]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

static LONDON: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get("Europe/London").unwrap_or(TimeZone::UTC));

/// `2026-11-22T09:16:02Z`.
pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-11-22T09:16:02` as a clock in London shows it, without a zone.
pub(super) fn london(at: Timestamp) -> String {
    at.to_zoned(LONDON.clone()).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Reads what [`london`] writes; an hour that occurs twice is its first.
pub(super) fn from_london(text: &str) -> Option<Timestamp> {
    let local: DateTime = text.trim().parse().ok()?;
    local.to_zoned(LONDON.clone()).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_london_time_is_read_back_as_it_was_written() {
        let summer: Timestamp = "2026-07-01T09:00:00Z".parse().unwrap();
        assert_eq!(utc(summer), "2026-07-01T09:00:00Z");
        assert_eq!(london(summer), "2026-07-01T10:00:00");
        assert_eq!(from_london("2026-07-01T10:00:00"), Some(summer));
        assert_eq!(from_london("yesterday"), None);
    }
}
