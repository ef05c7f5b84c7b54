//! Calendars, read from `calendars/*.yaml`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{Date, Weekday};

use crate::sla::{Calendar, Hours};

use super::Finding;
use super::check::{Check, Fields, Resolve};
use super::date::zone;
use super::yaml::Node;

const DAYS: &[(&str, Weekday)] = &[
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

const KEYS: &[&str] = &["calendar", "name", "zone", "days", "hours", "covers", "source", "note", "holidays"];

/// The calendars of the folder.
pub(super) fn all(
    parsed: &[(&str, Node)],
    resolve: Resolve<'_>,
    findings: &mut Vec<Finding>,
) -> Vec<Arc<Calendar>> {
    let mut found = Vec::new();
    for (path, node) in parsed {
        let name = path.strip_prefix("calendars/").and_then(|file| file.strip_suffix(".yaml"));
        if let Some(name) = name {
            let mut check = Check::new(path, resolve);
            found.extend(compile(&mut check, node, name).map(Arc::new));
            findings.append(&mut check.findings);
        }
    }
    found
}

/// Reads a calendar; `file` is the file's name without its ending.
pub(super) fn compile(check: &mut Check<'_>, node: &Node, file: &str) -> Option<Calendar> {
    let fields = check.fields(node, "a calendar", KEYS)?;
    let name = check.required_text(fields, "calendar", "a calendar");
    if let Some(name) = name.as_ref().filter(|name| *name != file) {
        let line = fields.get("calendar").map_or(1, |node| node.line);
        check.error(line, format!("calendar {name}"), format!("{file}, as its file is called"));
    }
    let title = check.required_text(fields, "name", "a calendar");
    check.required_text(fields, "source", "a calendar");
    check.text_of(fields, "note");
    let zone = check.required(fields, "zone", "a calendar").and_then(|node| zone(check, node));
    let week = check.required(fields, "days", "a calendar").map(|node| days(check, node));
    let hours = check.required(fields, "hours", "a calendar").and_then(|node| hours(check, node));
    let covers = check.required(fields, "covers", "a calendar").and_then(|node| covers(check, node));
    let list = check.required(fields, "holidays", "a calendar");
    let covers = covers?;
    let holidays = list.map(|node| holidays(check, node, covers)).unwrap_or_default();
    for year in covers.0..=covers.1 {
        if !holidays.keys().any(|date| date.year() == year) {
            let hint = Some("a year without a holiday is not known: covers ends before it".to_owned());
            check.warn(
                fields.line(),
                format!("no holiday in {year}"),
                format!("the holidays of {year}"),
                hint,
            );
        }
    }
    let week = week.filter(|week| !week.is_empty())?;
    Some(Calendar {
        name: name?,
        title: title?,
        zone: zone?,
        week,
        hours: hours?,
        covers: covers.0..=covers.1,
        holidays,
        worked: Default::default(),
    })
}

fn days(check: &mut Check<'_>, node: &Node) -> Vec<Weekday> {
    let items = check.items(node);
    items.iter().filter_map(|item| check.word(item, "days", DAYS)).collect()
}

fn hours(check: &mut Check<'_>, node: &Node) -> Option<Hours> {
    let fields = check.fields(node, "hours", &["from", "to"])?;
    let (from, to) = (minute(check, fields, "from"), minute(check, fields, "to"));
    let (from, to) = (from?, to?);
    if from >= to {
        check.error(node.line, "hours that end before they begin", "from before to; 24:00 is the day's end");
        return None;
    }
    Some(Hours { from, to })
}

fn minute(check: &mut Check<'_>, fields: Fields<'_>, key: &str) -> Option<u16> {
    let node = check.required(fields, key, "hours")?;
    let text = check.text(node, key)?;
    let read = |(hour, minute): (&str, &str)| {
        let two = |part: &str| (part.len() == 2).then(|| part.parse::<u16>().ok()).flatten();
        let (hour, minute) = (two(hour)?, two(minute)?);
        (minute < 60 && hour * 60 + minute <= 1440).then_some(hour * 60 + minute)
    };
    let minute = text.split_once(':').and_then(read);
    if minute.is_none() {
        let hint = "in quotes: \"09:00\"";
        check.hinted(node.line, node.shown(), format!("{key}: a time from 00:00 to 24:00"), hint);
    }
    minute
}

fn covers(check: &mut Check<'_>, node: &Node) -> Option<(i16, i16)> {
    let fields = check.fields(node, "covers", &["from", "to"])?;
    let mut year = |key: &str| {
        let node = check.required(fields, key, "covers")?;
        i16::try_from(check.number(node, key, 1900, 2200)?).ok()
    };
    let (from, to) = (year("from"), year("to"));
    let (from, to) = (from?, to?);
    if from > to {
        check.error(node.line, format!("{from} to {to}"), "from at or before to");
        return None;
    }
    Some((from, to))
}

fn holidays(check: &mut Check<'_>, node: &Node, covers: (i16, i16)) -> BTreeMap<Date, String> {
    if node.entries().is_empty() {
        check.error(node.line, node.shown(), "holidays: a mapping of dates to names");
    }
    let mut holidays = BTreeMap::new();
    for entry in node.entries() {
        let date = entry.key.parse::<Date>().ok().filter(|date| date.to_string() == entry.key);
        let name = check.text(&entry.value, "the holiday's name");
        match date {
            None => check.error(entry.line, format!("holiday {:?}", entry.key), "a date such as 2026-12-25"),
            Some(date) if !(covers.0..=covers.1).contains(&date.year()) => {
                check.error(
                    entry.line,
                    format!("holiday {date}"),
                    format!("a date from {} to {}", covers.0, covers.1),
                );
            }
            Some(date) => {
                holidays.insert(date, name.unwrap_or_default());
            }
        }
    }
    holidays
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    const SOUND: &str = "calendar: depot\nname: The depot\nzone: Europe/London\ndays: [Mon, Sat]\n\
        hours: {from: \"06:00\", to: \"24:00\"}\ncovers: {from: 2026, to: 2026}\nsource: the depot\n\
        holidays:\n  2026-12-25: Christmas Day\n";

    fn calendar(text: &str) -> (Option<Calendar>, String) {
        let mut check = Check::new("calendars/depot.yaml", &lower);
        let calendar = compile(&mut check, &yaml::parse(text).expect("yaml"), "depot");
        (calendar, check.findings.iter().map(|finding| format!("{finding}\n")).collect())
    }

    #[test]
    fn a_calendar_of_ones_own_is_read() {
        let (calendar, found) = calendar(SOUND);
        assert!(found.is_empty(), "{found}");
        let calendar = calendar.expect("a calendar");
        assert_eq!(calendar.hours, Hours { from: 360, to: 1440 });
        assert_eq!(calendar.week, [Weekday::Monday, Weekday::Saturday]);
    }

    #[test]
    fn a_wrong_calendar_is_refused_with_line_and_hint() {
        let cases = [
            ("calendar: depot", "calendar: other", "depot.yaml:1: found calendar other; expected depot"),
            ("Europe/London", "Europe/Lodnon", "did you mean Europe/London?"),
            ("[Mon, Sat]", "[Mon, Sta]", "did you mean Sat?"),
            ("\"06:00\"", "\"6\"", "a time from 00:00 to 24:00; hint: in quotes"),
            ("\"06:00\"", "\"24:00\"", "hours that end before they begin"),
            ("to: 2026}", "to: 2027}", "found no holiday in 2027"),
            ("2026-12-25", "25/12/2026", "depot.yaml:9: found holiday \"25/12/2026\""),
            ("2026-12-25", "2025-12-25", "found holiday 2025-12-25; expected a date from 2026 to 2026"),
            ("source", "sauce", "a calendar without source"),
        ];
        for (from, to, expected) in cases {
            let (_, found) = calendar(&SOUND.replace(from, to));
            assert!(found.contains(expected), "{to}: {found}");
        }
    }
}
