//! When a system says it may be asked again: `Retry-After` (RFC 9110, section 10.2.3).

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The shortest pause that is believed.
const LEAST: Duration = Duration::from_secs(1);
/// The longest pause that is believed: a wrong clock must not put work off for days.
const MOST: Duration = Duration::from_secs(3600);

/// Reads seconds or an HTTP date, clamped to 1 s … 1 h; `None` when it is neither.
pub(crate) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let pause = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_or(MOST, Duration::from_secs)
    } else {
        let at = http_date(value)?;
        Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(pause.clamp(LEAST, MOST))
}

/// The three forms a recipient must accept (RFC 9110, section 5.6.7).
fn http_date(value: &str) -> Option<Timestamp> {
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| DateTime::strptime(form, value).ok())
        .and_then(|date| date.to_zoned(TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "1994-11-06T08:49:00Z".parse().expect("a time")
    }

    #[test]
    fn seconds_are_clamped_to_between_a_second_and_an_hour() {
        let cases = [("120", 120), (" 7 ", 7), ("0", 1), ("86400", 3600), ("99999999999999999999", 3600)];
        for (value, seconds) in cases {
            assert_eq!(parse(value, now()), Some(Duration::from_secs(seconds)), "{value}");
        }
    }

    #[test]
    fn all_three_forms_of_an_http_date_are_read() {
        for value in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(value, now()), Some(Duration::from_secs(37)), "{value}");
        }
    }

    #[test]
    fn a_date_in_the_past_is_a_second_and_one_far_ahead_an_hour() {
        assert_eq!(parse("Sun, 06 Nov 1994 08:00:00 GMT", now()), Some(LEAST));
        assert_eq!(parse("Mon, 07 Nov 1994 08:00:00 GMT", now()), Some(MOST));
    }

    #[test]
    fn nonsense_is_no_pause() {
        for value in ["", "soon", "-5", "1.5", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(parse(value, now()), None, "{value}");
        }
    }
}
