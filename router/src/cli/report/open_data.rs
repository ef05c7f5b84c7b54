//! Requests as open data: one row each, so coarse that it tells of nobody.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;

use super::sheet::record;
use crate::cli::{Exit, Shown};
use crate::event::Kind;
use crate::ledger::Ledger;
use crate::report::{Course, Scope, day};

/// Requests that are read at once.
const PAGE: usize = 1_000;

const SECONDS_A_DAY: i64 = 86_400;

/// The columns; docs/REPORTS.md explains them.
const COLUMNS: [&str; 12] = [
    "received_week",
    "council",
    "service",
    "channel",
    "state",
    "outcome",
    "closed_automatically",
    "days_to_close",
    "in_time",
    "held",
    "escalated",
    "overdue",
];

/// All requests that came in on these days. They are read whole: this is no report to look at every hour.
pub(super) async fn run(ledger: &dyn Ledger, scope: &Scope, now: Timestamp) -> anyhow::Result<Shown> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = ledger.courses(scope, after, PAGE).await?;
        rows.extend(page.courses.iter().map(|course| row(course, now)));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    // In the order of what they say, which tells nothing of the order in which they came.
    rows.sort();
    let head = record(COLUMNS.map(str::to_owned).to_vec());
    let text = std::iter::once(head).chain(rows.into_iter().map(|row| record(row.to_vec()))).collect();
    Ok(Shown { text, json: json!(null), exit: Exit::Ok })
}

fn row(course: &Course, now: Timestamp) -> [String; 12] {
    let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
    let days = course.closed_at().map(|at| (at.as_second() - course.raised_at.as_second()) / SECONDS_A_DAY);
    let outcome = course.disposition.filter(|_| course.is_closed()).map(|word| word.as_str().to_owned());
    [
        monday(day(course.accepted_at)).to_string(),
        course.council.to_string(),
        course.service.to_string(),
        course.way(),
        if course.is_closed() { "closed" } else { "open" }.to_owned(),
        outcome.unwrap_or_default(),
        if course.is_closed() { yes(course.is_closed_automatically()) } else { String::new() },
        days.map(|days| days.max(0).to_string()).unwrap_or_default(),
        course.in_time(now).map(yes).unwrap_or_default(),
        yes(course.is_there(Kind::Held)),
        yes(course.is_there(Kind::Escalated)),
        yes(course.is_there(Kind::Overdue)),
    ]
}

/// The first day of its week.
fn monday(date: Date) -> Date {
    let since = i64::from(date.weekday().to_monday_zero_offset());
    date.checked_sub(jiff::Span::new().days(since)).unwrap_or(date)
}
