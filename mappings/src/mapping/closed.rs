//! The hours at which a system takes no calls, by the clock on its wall.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

use super::check::{Check, Fields};
use super::date;
use super::finding::nearest;
use super::yaml::Node;

/// The hours at which a system takes no calls; none by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedHours {
    zone: TimeZone,
    windows: Vec<Window>,
}

/// Some hours of some days. A window that ends before it begins ends on the day after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// Monday first.
    days: [bool; 7],
    /// Minutes after midnight.
    from: i16,
    /// Minutes after midnight, up to 1440.
    to: i16,
}

const DAY: i16 = 24 * 60;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const FORM: &str = "closed: days and hours, as daily 23:30-00:30, Sun 02:00-04:00 or Mon-Fri 18:00-08:00";

impl Default for ClosedHours {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, windows: Vec::new() }
    }
}

impl ClosedHours {
    /// When the hours end that `now` falls into; `None` where it falls into none.
    ///
    /// Windows that overlap or touch are one. On the night when an hour comes twice, a window begins with the first
    /// and ends with the second; on the night when an hour is left out, what would lie in it is left out too.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let mut until = None;
        // Not for ever: windows that never end are refused when they are read.
        for _ in 0..8 * self.windows.len() {
            let Some(end) = self.end(until.unwrap_or(now)) else { break };
            until = Some(end);
        }
        until
    }

    /// The latest end of the windows that hold a moment.
    fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let today = at.to_zoned(self.zone.clone()).date();
        let days = [today.yesterday().ok(), Some(today)];
        let windows = days.into_iter().flatten().flat_map(|day| {
            self.windows
                .iter()
                .filter(move |window| window.is_on(day.weekday()))
                .filter_map(move |window| self.span(window, day))
        });
        windows.filter(|(from, to)| *from <= at && at < *to).map(|(_, to)| to).max()
    }

    fn span(&self, window: &Window, day: Date) -> Option<(Timestamp, Timestamp)> {
        let last = if window.to > window.from { day } else { day.tomorrow().ok()? };
        Some((self.moment(day, window.from, Fold::First)?, self.moment(last, window.to, Fold::Second)?))
    }

    /// The moment at which the wall clock shows so many minutes after midnight; where that time is left out, the
    /// moment at which the clock jumps over it.
    fn moment(&self, day: Date, minutes: i16, fold: Fold) -> Option<Timestamp> {
        let day = if minutes == DAY { day.tomorrow().ok()? } else { day };
        let minutes = minutes % DAY;
        let shown: DateTime =
            day.at(i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0);
        let moment = self.zone.to_ambiguous_timestamp(shown);
        match (moment.offset(), fold) {
            (AmbiguousOffset::Unambiguous { .. }, _) | (AmbiguousOffset::Fold { .. }, Fold::First) => {
                moment.earlier().ok()
            }
            (AmbiguousOffset::Fold { .. }, Fold::Second) => moment.later().ok(),
            (AmbiguousOffset::Gap { .. }, _) => {
                let before = moment.earlier().ok()?;
                self.zone.following(before).next().map(|jump| jump.timestamp())
            }
        }
    }

    /// Reads `closed:` and `zone:`.
    pub(super) fn compile(check: &mut Check<'_>, fields: Fields<'_>) -> Option<Self> {
        let zone = match fields.get("zone") {
            Some(node) => date::zone(check, node)?,
            None => TimeZoneDatabase::bundled().get("Europe/London").ok()?,
        };
        let Some(node) = fields.get("closed") else {
            if let Some(zone) = fields.get("zone") {
                check.warn(zone.line, "zone without closed", "closed: […] beside it", None);
            }
            return Some(Self { zone: TimeZone::UTC, windows: Vec::new() });
        };
        let before = check.findings.len();
        let windows: Vec<Window> =
            check.items(node).iter().filter_map(|item| Window::compile(check, item)).collect();
        if check.findings.len() > before {
            return None;
        }
        if is_always(&windows) {
            check.error(node.line, "closed at all hours of the week", "some hours at which it takes calls");
            return None;
        }
        Some(Self { zone, windows })
    }
}

/// Which of two moments that show the same time.
#[derive(Debug, Clone, Copy)]
enum Fold {
    First,
    Second,
}

impl Window {
    fn is_on(&self, day: Weekday) -> bool {
        usize::try_from(day.to_monday_zero_offset()).is_ok_and(|day| self.days[day])
    }

    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let text = check.text(node, "closed")?;
        let window = Self::parse(&text);
        match window {
            Ok(window) => Some(window),
            Err(hint) => {
                check.hinted(node.line, node.shown(), FORM, hint);
                None
            }
        }
    }

    /// Reads days and hours.
    ///
    /// # Errors
    /// What may have been meant.
    fn parse(text: &str) -> Result<Self, String> {
        let (days, hours) =
            text.trim().rsplit_once(' ').ok_or_else(|| format!("for example daily {}", text.trim()))?;
        let days = parse_days(days)?;
        let (from, to) = hours.split_once('-').ok_or("hours are written as 02:00-04:00")?;
        let (from, to) = (parse_time(from)?, parse_time(to)?);
        if from == DAY {
            return Err("a day begins at 00:00".to_owned());
        }
        if from == to {
            return Err(format!("{hours} is no time at all; a whole day is 00:00-24:00"));
        }
        Ok(Self { days, from, to })
    }
}

fn parse_days(text: &str) -> Result<[bool; 7], String> {
    if text.trim() == "daily" {
        return Ok([true; 7]);
    }
    let mut days = [false; 7];
    for part in text.split(',') {
        match part.split_once('-') {
            None => days[parse_day(part)?] = true,
            Some((first, last)) => {
                let (first, last) = (parse_day(first)?, parse_day(last)?);
                let span = (last + 7 - first) % 7;
                (0..=span).for_each(|day| days[(first + day) % 7] = true);
            }
        }
    }
    Ok(days)
}

fn parse_day(text: &str) -> Result<usize, String> {
    let text = text.trim();
    DAYS.iter().position(|day| *day == text).ok_or_else(|| {
        let short: String = text.chars().take(3).collect();
        match nearest(&short, &DAYS).or_else(|| nearest(text, &["daily"])) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("days are daily, {}", DAYS.join(", ")),
        }
    })
}

fn parse_time(text: &str) -> Result<i16, String> {
    let wrong = || format!("{text} is not a time from 00:00 to 24:00");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return Err(format!("{}; it is written with two digits, as 02:00", wrong()));
    }
    let (hours, minutes): (i16, i16) =
        (hours.parse().map_err(|_| wrong())?, minutes.parse().map_err(|_| wrong())?);
    let time = hours * 60 + minutes;
    if minutes < 60 && time <= DAY { Ok(time) } else { Err(wrong()) }
}

/// Whether no minute of a week is left.
fn is_always(windows: &[Window]) -> bool {
    let (day, week) = (usize::from(DAY.unsigned_abs()), 7 * usize::from(DAY.unsigned_abs()));
    let mut closed = vec![false; week];
    for window in windows {
        let (from, to) = (usize::from(window.from.unsigned_abs()), usize::from(window.to.unsigned_abs()));
        let to = if to > from { to } else { to + day };
        for start in (0..7).filter(|number| window.days[*number]).map(|number| number * day) {
            (start + from..start + to).for_each(|minute| closed[minute % week] = true);
        }
    }
    closed.into_iter().all(|closed| closed)
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn hours(text: &str) -> Result<ClosedHours, String> {
        let mut check = Check::new("f.yaml", &lower);
        let node = yaml::parse(text).expect("yaml");
        let fields = check.fields(&node, "limits", &["closed", "zone"]).expect("a mapping");
        let hours = ClosedHours::compile(&mut check, fields);
        let found: Vec<String> = check.findings.iter().map(ToString::to_string).collect();
        if found.is_empty() { Ok(hours.expect("hours")) } else { Err(found.join("\n")) }
    }

    /// When the hours end that a moment falls into.
    fn until(text: &str, now: &str) -> Option<String> {
        let hours = hours(text).expect(text);
        hours.until(now.parse().expect("a time")).map(|end| end.to_string())
    }

    fn is(end: &str) -> Option<String> {
        Some(end.to_owned())
    }

    #[test]
    fn a_window_holds_its_first_moment_and_not_its_last() {
        let sunday = "closed: [\"Sun 02:00-04:00\"]";
        assert_eq!(until(sunday, "2026-11-22T01:59:59Z"), None);
        assert_eq!(until(sunday, "2026-11-22T02:00:00Z"), is("2026-11-22T04:00:00Z"));
        assert_eq!(until(sunday, "2026-11-22T03:59:59Z"), is("2026-11-22T04:00:00Z"));
        assert_eq!(until(sunday, "2026-11-22T04:00:00Z"), None);
        assert_eq!(until(sunday, "2026-11-23T03:00:00Z"), None);
        assert_eq!(hours("concurrency: 1").map_err(drop), Err(()), "nothing else is read here");
        assert_eq!(until("{}", "2026-11-22T02:00:00Z"), None);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
        let night = "closed: daily 23:30-00:30";
        assert_eq!(until(night, "2026-11-22T23:45:00Z"), is("2026-11-23T00:30:00Z"));
        assert_eq!(until(night, "2026-11-23T00:15:00Z"), is("2026-11-23T00:30:00Z"));
        let weekdays = "closed: [Mon-Fri 18:00-08:00]";
        assert_eq!(until(weekdays, "2026-11-21T07:00:00Z"), is("2026-11-21T08:00:00Z"), "Friday's night");
        assert_eq!(until(weekdays, "2026-11-22T07:00:00Z"), None, "Saturday has none");
        let whole = "closed: [\"Sat,Sun 00:00-24:00\"]";
        assert_eq!(until(whole, "2026-11-21T12:00:00Z"), is("2026-11-23T00:00:00Z"), "two days that touch");
        let around = "closed: [\"Sat-Mon 10:00-11:00\"]";
        assert_eq!(until(around, "2026-11-23T10:30:00Z"), is("2026-11-23T11:00:00Z"));
        assert_eq!(until(around, "2026-11-24T10:30:00Z"), None);
    }

    #[test]
    fn hours_are_those_of_the_systems_wall_clock() {
        let nine = "closed: daily 09:00-10:00";
        assert_eq!(until(nine, "2026-07-01T08:30:00Z"), is("2026-07-01T09:00:00Z"), "summer in London");
        assert_eq!(until(nine, "2026-11-22T08:30:00Z"), None);
        let paris = "{closed: daily 09:00-10:00, zone: Europe/Paris}";
        assert_eq!(until(paris, "2026-11-22T08:30:00Z"), is("2026-11-22T09:00:00Z"));
    }

    #[test]
    fn the_night_that_has_an_hour_twice_is_closed_from_the_first_to_the_second() {
        // On 25 October 2026 the clock goes from 02:00 BST back to 01:00 GMT.
        let within = "closed: [\"Sun 01:15-01:45\"]";
        assert_eq!(until(within, "2026-10-25T00:14:59Z"), None);
        for now in ["2026-10-25T00:15:00Z", "2026-10-25T00:50:00Z", "2026-10-25T01:44:59Z"] {
            assert_eq!(until(within, now), is("2026-10-25T01:45:00Z"), "{now}");
        }
        assert_eq!(until("closed: [\"Sun 02:00-04:00\"]", "2026-10-25T01:59:59Z"), None);
        assert_eq!(
            until("closed: [\"Sun 00:30-03:00\"]", "2026-10-24T23:30:00Z"),
            is("2026-10-25T03:00:00Z")
        );
    }

    #[test]
    fn the_night_that_lacks_an_hour_has_no_window_in_it() {
        // On 29 March 2026 the clock goes from 01:00 GMT to 02:00 BST.
        let within = "closed: [\"Sun 01:15-01:45\"]";
        for now in ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"] {
            assert_eq!(until(within, now), None, "{now}");
        }
        assert_eq!(
            until("closed: [\"Sun 00:30-01:30\"]", "2026-03-29T00:45:00Z"),
            is("2026-03-29T01:00:00Z")
        );
        let over = "closed: [\"Sun 01:30-03:00\"]";
        assert_eq!(until(over, "2026-03-29T00:59:59Z"), None);
        assert_eq!(until(over, "2026-03-29T01:00:00Z"), is("2026-03-29T02:00:00Z"));
    }

    #[test]
    fn wrong_hours_say_what_is_expected_and_what_may_have_been_meant() {
        let cases = [
            ("closed: [\"02:00-04:00\"]", "hint: for example daily 02:00-04:00"),
            ("closed: [\"Sunday 02:00-04:00\"]", "hint: did you mean Sun?"),
            ("closed: [\"dayly 02:00-04:00\"]", "hint: did you mean daily?"),
            ("closed: [\"Sun 2:00-04:00\"]", "written with two digits, as 02:00"),
            ("closed: [\"Sun 02:00-25:00\"]", "25:00 is not a time from 00:00 to 24:00"),
            ("closed: [\"Sun 02:00\"]", "hours are written as 02:00-04:00"),
            ("closed: [\"Sun 02:00-02:00\"]", "a whole day is 00:00-24:00"),
            ("closed: [{}]", "closed: a text"),
            ("closed:\n  - Sun 02:00-04:00\n  - Moon 02:00-04:00", "f.yaml:3: found \"Moon 02:00-04:00\""),
            ("closed: [daily 00:00-12:00, daily 12:00-24:00]", "closed at all hours of the week"),
            ("{closed: daily 01:00-02:00, zone: Europe/Lodnon}", "did you mean Europe/London?"),
            ("zone: Europe/London", "zone without closed"),
        ];
        for (text, expected) in cases {
            let found = hours(text).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
