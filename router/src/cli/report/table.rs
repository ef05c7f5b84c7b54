//! A report for people, as tables.

use std::fmt::Write as _;

use super::sheet::{PERCENTILES, TIMES, automatically};
use super::{Report, in_time};
use crate::cli::columns::columns;
use crate::report::{Count, Figures, Time};

const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;

/// The whole report.
pub(super) fn text(report: &Report) -> String {
    let scope = &report.scope;
    let date = |date: jiff::civil::Date| date.strftime("%-d %B %Y").to_string();
    let of = scope.council.as_ref().map_or_else(String::new, |council| format!(" to {council}"));
    let mut text = format!("Requests that came in{of} from {} to {}\n\n", date(scope.from), date(scope.to));
    if report.rows.is_empty() {
        text.push_str("There are none.\n");
        return text;
    }
    text += &counts(report);
    text += "\nTime from the customer's call: half of them within / nine in ten / nineteen in twenty\n";
    text += &times(report);
    text += "\nOpen now, by days since the customer called\n";
    text += &ages(report);
    if !report.waits.is_empty() {
        text += "\nWhere requests wait longest, those that still wait with their time so far\n";
        text += &waits(report);
    }
    text
}

fn rows(report: &Report) -> impl Iterator<Item = (&str, &Figures)> {
    let groups = report.rows.iter().map(|(key, figures)| (key.as_str(), figures));
    groups.chain(std::iter::once(("all", &report.all)))
}

fn heading(report: &Report) -> String {
    report.grouped.word().to_uppercase()
}

fn counts(report: &Report) -> String {
    let heading = heading(report);
    let headings = [
        heading.as_str(),
        "CAME IN",
        "CLOSED",
        "BY ITSELF",
        "HELD",
        "DECLINED",
        "ESCALATED",
        "OVERDUE",
        "IN TIME",
    ];
    let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.1} %"));
    let rows = rows(report).map(|(key, figures)| {
        let number = |count| figures.of(count).to_string();
        [
            key.to_owned(),
            number(Count::CameIn),
            number(Count::Closed),
            percent(automatically(figures)),
            number(Count::Held),
            number(Count::Declined),
            number(Count::Escalated),
            number(Count::Overdue),
            percent(in_time(figures)),
        ]
    });
    columns(headings, rows)
}

fn times(report: &Report) -> String {
    let heading = heading(report);
    let headings = [heading.as_str(), "ACCEPTED", "HANDED OVER", "FIRST NEWS", "CLOSED"];
    let rows = rows(report).map(|(key, figures)| {
        let [accept, hand_over, news, close] = TIMES.map(|time| percentiles(figures, time));
        [key.to_owned(), accept, hand_over, news, close]
    });
    columns(headings, rows)
}

fn ages(report: &Report) -> String {
    let heading = heading(report);
    let headings = [heading.as_str(), "0-7", "8-30", "31-60", "OVER 60"];
    let rows = rows(report).map(|(key, figures)| {
        let number = |count| figures.of(count).to_string();
        [
            key.to_owned(),
            number(Count::OpenDays),
            number(Count::OpenWeeks),
            number(Count::OpenMonths),
            number(Count::OpenLonger),
        ]
    });
    columns(headings, rows)
}

#[expect(clippy::cast_precision_loss)]
fn waits(report: &Report) -> String {
    let rows = report.waits.iter().filter_map(|wait| {
        let times = wait.figures.times(wait.time)?;
        let together = times.total_ms() as f64 / 1_000.0;
        let each = percentiles(&wait.figures, wait.time);
        Some([wait.place.clone(), times.count().to_string(), long(together), each])
    });
    columns(["WHERE", "REQUESTS", "TOGETHER", "EACH"], rows)
}

fn percentiles(figures: &Figures, time: Time) -> String {
    let Some(times) = figures.times(time) else { return "-".to_owned() };
    let mut text = String::new();
    for seconds in PERCENTILES.iter().filter_map(|percent| times.percentile(*percent)) {
        let joint = if text.is_empty() { "" } else { " / " };
        let _ = write!(text, "{joint}{}", long(seconds));
    }
    text
}

/// A time in the unit that says most: `40 s`, `12 m`, `5.2 h`, `3.4 d`.
fn long(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < HOUR => format!("{:.0} m", s / 60.0),
        s if s < 2.0 * DAY => format!("{:.1} h", s / HOUR),
        s => format!("{:.1} d", s / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_says_most() {
        let told = [0.0, 59.4, 720.0, 18_720.0, 293_760.0].map(long);
        assert_eq!(told, ["0 s", "59 s", "12 m", "5.2 h", "3.4 d"]);
    }
}
