//! Dates from one form into another.

use jiff::civil::DateTime;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

use super::check::Check;
use super::finding::nearest;
use super::yaml::Node;

/// `date: {pattern, zone, input}`.
#[derive(Debug)]
pub(super) struct DateRule {
    pattern: Option<String>,
    input: Option<String>,
    zone: TimeZone,
}

impl DateRule {
    /// Compiles the modifier. Patterns are strftime's as `jiff` has them; without `pattern` the result is
    /// RFC 3339 in UTC; without `input` a date, a date and time, or RFC 3339 is read; without `zone` it is UTC.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "date", &["pattern", "zone", "input"])?;
        let pattern = check.text_of(fields, "pattern");
        let input = check.text_of(fields, "input");
        let zone = match fields.get("zone") {
            Some(node) => zone(check, node)?,
            None => TimeZone::UTC,
        };
        let rule = Self { pattern, input, zone };
        let sample = Timestamp::UNIX_EPOCH.to_zoned(rule.zone.clone());
        if let Some(pattern) = &rule.pattern
            && strtime::format(pattern, &sample).is_err()
        {
            let line = fields.get("pattern").map_or(node.line, |node| node.line);
            check.error(
                line,
                format!("pattern {pattern:?}"),
                "strftime directives, for example %d/%m/%Y %H:%M",
            );
            return None;
        }
        if let Some(input) = &rule.input
            && !strtime::format(input, &sample).is_ok_and(|text| rule.read(&text).is_some())
        {
            let line = fields.get("input").map_or(node.line, |node| node.line);
            let expected = "strptime directives that give a date, for example %Y-%m-%d";
            check.error(line, format!("input {input:?}"), expected);
            return None;
        }
        Some(rule)
    }

    /// Rewrites a date.
    ///
    /// # Errors
    /// What was expected, when the text is no date of the form that is read.
    pub(super) fn apply(&self, text: &str) -> Result<String, String> {
        let expected = self.input.as_deref().unwrap_or("a date or RFC 3339");
        let zoned = self.read(text.trim()).ok_or_else(|| format!("not a date: expected {expected}"))?;
        match &self.pattern {
            None => Ok(zoned.timestamp().to_string()),
            Some(pattern) => {
                strtime::format(pattern, &zoned).map_err(|error| format!("no date by {pattern}: {error}"))
            }
        }
    }

    fn read(&self, text: &str) -> Option<Zoned> {
        let Some(input) = &self.input else { return self.read_usual(text) };
        let parts = BrokenDownTime::parse(input, text).ok()?;
        if parts.timestamp().is_some() || parts.offset().is_some() {
            return Some(parts.to_timestamp().ok()?.to_zoned(self.zone.clone()));
        }
        let date = parts.to_date().ok()?;
        let civil = match parts.hour() {
            Some(_) => parts.to_datetime().ok()?,
            None => date.at(0, 0, 0, 0),
        };
        Some(in_zone(civil, &self.zone))
    }

    fn read_usual(&self, text: &str) -> Option<Zoned> {
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Some(timestamp.to_zoned(self.zone.clone()));
        }
        // A time in UTC that is too late to be one, such as 9999-12-31T23:59:59Z.
        let civil = text.strip_suffix(['Z', 'z']).unwrap_or(text).parse::<DateTime>();
        Some(in_zone(civil.ok()?, &self.zone))
    }
}

/// A civil time as a moment. The last day of the year 9999, which .NET and databases write for "never", is later than
/// any moment can be, and becomes the last one.
fn in_zone(civil: DateTime, zone: &TimeZone) -> Zoned {
    civil.to_zoned(zone.clone()).unwrap_or_else(|_| Timestamp::MAX.to_zoned(zone.clone()))
}

/// A time as a system writes it without further rules: RFC 3339, or a date (and time) taken as UTC.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    let rule = DateRule { pattern: None, input: None, zone: TimeZone::UTC };
    rule.read(text.trim()).map(|zoned| zoned.timestamp())
}

/// A time zone by its name.
pub(super) fn zone(check: &mut Check<'_>, node: &Node) -> Option<TimeZone> {
    let name = check.text(node, "zone")?;
    let zones = TimeZoneDatabase::bundled();
    let found = zones.get(&name).ok();
    if found.is_none() {
        let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
        let near = nearest(&name, &names.iter().map(String::as_str).collect::<Vec<_>>()).map(str::to_owned);
        let hint =
            near.map_or_else(|| "for example Europe/London".into(), |near| format!("did you mean {near}?"));
        check.hinted(node.line, format!("zone {name:?}"), "a name of the IANA time zone database", hint);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn rule(text: &str) -> Result<DateRule, String> {
        let mut check = Check::new("f.yaml", &lower);
        let rule = DateRule::compile(&mut check, &yaml::parse(text).expect("yaml"));
        rule.ok_or_else(|| check.findings.iter().map(ToString::to_string).collect())
    }

    fn apply(rule_text: &str, date: &str) -> Result<String, String> {
        rule(rule_text).expect(rule_text).apply(date)
    }

    #[test]
    fn dates_move_between_patterns_and_zones() {
        let london = r#"{pattern: "%d/%m/%Y %H:%M", zone: Europe/London}"#;
        assert_eq!(apply(london, "2026-07-01T09:15:00Z").as_deref(), Ok("01/07/2026 10:15"));
        assert_eq!(apply(london, "2026-11-22T09:15:00+00:00").as_deref(), Ok("22/11/2026 09:15"));
        assert_eq!(apply(london, "2026-11-22").as_deref(), Ok("22/11/2026 00:00"));
        assert_eq!(apply(london, "2026-11-22 09:15:30").as_deref(), Ok("22/11/2026 09:15"));
        let back = r#"{input: "%d/%m/%Y %H:%M", zone: Europe/London}"#;
        assert_eq!(apply(back, "01/07/2026 10:15").as_deref(), Ok("2026-07-01T09:15:00Z"));
        assert_eq!(apply(r#"{input: "%d %b %Y", pattern: "%F"}"#, "3 Feb 2026").as_deref(), Ok("2026-02-03"));
        assert_eq!(apply(r#"{input: "%s"}"#, "0").as_deref(), Ok("1970-01-01T00:00:00Z"));
        assert_eq!(
            apply(r#"{input: "%Y-%m-%dT%H:%M:%S%z"}"#, "2026-07-01T10:15:00+0100").as_deref(),
            Ok("2026-07-01T09:15:00Z")
        );
    }

    #[test]
    fn what_is_no_date_is_refused() {
        assert!(
            apply("{pattern: \"%F\"}", "yesterday")
                .expect_err("refused")
                .contains("expected a date or RFC 3339")
        );
        assert!(apply("{input: \"%d/%m/%Y\"}", "2026-07-01").expect_err("refused").contains("%d/%m/%Y"));
        assert!(apply("{input: \"%d/%m/%Y\"}", "31/02/2026").is_err());
    }

    #[test]
    fn patterns_and_zones_are_checked_when_the_mapping_is_compiled() {
        assert!(rule("{pattern: \"%!\"}").expect_err("refused").contains("strftime directives"));
        assert!(rule("{input: \"%H:%M\"}").expect_err("refused").contains("that give a date"));
        assert!(rule("{zone: Europe/Lodnon}").expect_err("refused").contains("did you mean Europe/London?"));
    }

    #[test]
    fn a_time_of_a_system_is_read_leniently() {
        assert_eq!(timestamp("2026-07-01T10:15:00+01:00"), "2026-07-01T09:15:00Z".parse().ok());
        assert_eq!(timestamp(" 2026-07-01 "), "2026-07-01T00:00:00Z".parse().ok());
        assert_eq!(timestamp("soon"), None);
    }

    #[test]
    fn the_last_day_of_the_year_9999_is_a_time_and_not_a_fault() {
        for text in ["9999-12-31T23:59:59.9999999Z", "9999-12-31T00:00:00", "9999-12-31"] {
            assert_eq!(timestamp(text), Some(Timestamp::MAX), "{text}");
        }
        let rule = rule("{input: \"%d/%m/%Y\", zone: Europe/London}").expect("a rule");
        assert!(rule.apply("31/12/9999").is_ok());
        assert_eq!(timestamp("9999-12-32"), None);
    }
}
