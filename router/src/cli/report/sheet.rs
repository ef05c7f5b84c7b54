//! A report for programs and spreadsheets.

use serde_json::{Map, Value, json};

use super::{RELATIVE_ERROR, Report, in_time, share};
use crate::report::{Count, Figures, Time};

/// The percentiles of a report.
pub(super) const PERCENTILES: [u64; 3] = [50, 90, 95];
/// The times of a report that are counted from the customer's call.
pub(super) const TIMES: [Time; 4] = [Time::Accept, Time::HandOver, Time::FirstNews, Time::Close];

const HOUR: f64 = 3_600.0;

/// One row a group, and one for all of them.
pub(super) fn csv(report: &Report) -> String {
    let mut head = vec![report.grouped.word().to_owned()];
    head.extend(Count::ALL.iter().map(|count| count.as_str().to_owned()));
    head.extend(["closed_automatically_percent".to_owned(), "in_time_percent".to_owned()]);
    for time in TIMES {
        head.extend(PERCENTILES.map(|percent| format!("hours_{}_p{percent}", time.as_str())));
    }
    let rows = report.rows.iter().map(|(key, figures)| line(key, figures));
    let all = std::iter::once(line("all", &report.all));
    std::iter::once(record(head)).chain(rows).chain(all).collect()
}

fn line(key: &str, figures: &Figures) -> String {
    let mut fields = vec![key.to_owned()];
    fields.extend(Count::ALL.iter().map(|count| figures.of(*count).to_string()));
    let percent = |share: Option<f64>| share.map_or_else(String::new, |share| format!("{share:.1}"));
    fields.push(percent(automatically(figures)));
    fields.push(percent(in_time(figures)));
    for time in TIMES {
        fields.extend(PERCENTILES.map(|percent| {
            let seconds = figures.times(time).and_then(|times| times.percentile(percent));
            seconds.map_or_else(String::new, |seconds| format!("{:.2}", seconds / HOUR))
        }));
    }
    record(fields)
}

/// A line of CSV as RFC 4180 has it, with CR LF at its end. What a spreadsheet would take for a formula is told as text,
/// by an apostrophe before it (<https://owasp.org/www-community/attacks/CSV_Injection>); numbers stay numbers.
pub(super) fn record(fields: Vec<String>) -> String {
    let quoted = fields.into_iter().map(|field| {
        let field = if is_formula(&field) { format!("'{field}") } else { field };
        let is_padded = field.starts_with(' ') || field.ends_with(' ');
        if is_padded || field.contains(['"', ',', ';', '\t', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\r\n"
}

/// Whether a spreadsheet would work it out, in whatever width its first character is written.
fn is_formula(field: &str) -> bool {
    const BEGINS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－'];
    let begins = |text: &str| text.starts_with(BEGINS) || text.starts_with('＠');
    (begins(field) || begins(field.trim_start())) && !is_number(field)
}

/// A number as we write it: digits, perhaps with a sign before and a fraction after.
fn is_number(field: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = field.strip_prefix('-').unwrap_or(field);
    unsigned
        .split_once('.')
        .map_or_else(|| digits(unsigned), |(whole, fraction)| digits(whole) && digits(fraction))
}

/// The whole report.
pub(super) fn json(report: &Report) -> Value {
    let word = report.grouped.word();
    let groups = report.rows.iter().map(|(key, figures)| {
        let mut group = Map::from_iter([(word.to_owned(), json!(key))]);
        group.extend(of(figures));
        Value::Object(group)
    });
    let waits = report.waits.iter().map(|wait| {
        let mut value = Map::from_iter([
            ("where".to_owned(), json!(wait.time.as_str())),
            ("system".to_owned(), json!(wait.system)),
        ]);
        value.extend(times(&wait.figures, wait.time));
        Value::Object(value)
    });
    json!({
        "from": report.scope.from.to_string(), "to": report.scope.to.to_string(),
        "council": report.scope.council.as_ref().map(|council| council.as_str()),
        "relative_error": RELATIVE_ERROR, "by": word,
        "all": Value::Object(of(&report.all)), "groups": groups.collect::<Vec<_>>(),
        "waits": waits.collect::<Vec<_>>(),
    })
}

fn of(figures: &Figures) -> Map<String, Value> {
    let counts = Count::ALL.iter().map(|count| (count.as_str().to_owned(), json!(figures.of(*count))));
    let mut value: Map<String, Value> = counts.collect();
    value.insert("closed_automatically_percent".to_owned(), json!(automatically(figures)));
    value.insert("in_time_percent".to_owned(), json!(in_time(figures)));
    let seconds = TIMES.map(|time| (time.as_str().to_owned(), Value::Object(times(figures, time))));
    value.insert("seconds".to_owned(), Value::Object(seconds.into_iter().collect()));
    value
}

fn times(figures: &Figures, time: Time) -> Map<String, Value> {
    let times = figures.times(time);
    let mut value = Map::from_iter([
        ("count".to_owned(), json!(times.map_or(0, |times| times.count()))),
        ("total".to_owned(), json!(times.map_or(0, |times| times.total_ms() / 1_000))),
    ]);
    value.extend(PERCENTILES.map(|percent| {
        let seconds = times.and_then(|times| times.percentile(percent)).map(f64::round);
        (format!("p{percent}"), json!(seconds))
    }));
    value
}

/// Those of the closed ones that closed by themselves, in per cent.
pub(super) fn automatically(figures: &Figures) -> Option<f64> {
    share(figures.of(Count::Automatically), figures.of(Count::Closed))
}
