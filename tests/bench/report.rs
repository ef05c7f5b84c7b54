//! The figures for people, and as one JSON object.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::figures::Figures;

/// The order of the rows.
const ROWS: [(&str, &str); 12] = [
    ("floor", "bare loop, no ledger"),
    ("postgres", "Dovetail, PostgreSQL"),
    ("aged", "Dovetail, long history"),
    ("sqlite", "Dovetail, SQLite"),
    ("replicas3", "Dovetail, 3 routers"),
    ("xml", "Dovetail, XML"),
    ("soap", "Dovetail, SOAP"),
    ("form", "Dovetail, form"),
    ("node", "Node, no ledger"),
    ("node_ledger", "Node, naive ledger"),
    ("faststream", "FastStream, no ledger"),
    ("faststream_ledger", "FastStream, naive ledger"),
];

/// The table.
pub(crate) fn table(figures: &Figures) -> String {
    let mut text = String::from(
        "\nEvery id was checked: accepted, handed over and closed exactly once.\n\n\
         subject                     rate/s  of floor  CPU us  of floor  peak MB  commits/msg  WAL B/msg  whole pages\n",
    );
    let number = |value: Option<f64>, width: usize, digits: usize| match value {
        Some(value) => format!("{value:>width$.digits$}"),
        None => format!("{:>width$}", "-"),
    };
    for (name, title) in ROWS.into_iter().filter(|(name, _)| figures.rates.contains_key(*name)) {
        let row = [
            number(figures.median(name, |rate| rate.rate), 8, 0),
            number(figures.ratio(name, "floor", |rate| rate.rate), 10, 2),
            number(figures.median(name, |rate| rate.cpu), 8, 0),
            number(figures.ratio(name, "floor", |rate| rate.cpu), 10, 2),
            number(figures.median(name, |rate| rate.peak), 9, 0),
            number(known(figures, name, |rate| rate.commits), 13, 3),
            number(known(figures, name, |rate| rate.wal), 11, 0),
            number(known(figures, name, |rate| rate.pages), 13, 2),
        ];
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{title:<26}{}", row.concat());
    }
    if !figures.delays.is_empty() {
        let _ = writeln!(text, "\ndelay added at {:.0} requests a second   p50 ms    p99 ms", figures.tenth);
        let rows = [
            ("floor", "bare loop"),
            ("postgres", "Dovetail, PostgreSQL"),
            ("calm", "neighbours, all systems answer"),
            ("hanging", "neighbours, one system hangs 30 s"),
        ];
        for (name, title) in rows.into_iter().filter(|(name, _)| figures.delays.contains_key(*name)) {
            let p50 = number(figures.delay(name, |delay| delay.p50), 9, 1);
            let p99 = number(figures.delay(name, |delay| delay.p99), 10, 1);
            let _ = writeln!(text, "{title:<36}{p50}{p99}");
        }
    }
    if let Some(backlog) = figures.backlog {
        let _ = writeln!(
            text,
            "\nmemory with {} and {} requests waiting: {:.0} and {:.0} MB",
            backlog.waiting / 10,
            backlog.waiting,
            backlog.at_a_tenth,
            backlog.at_all
        );
    }
    if let Some((thousands, shown)) = &figures.found {
        let _ = writeln!(
            text,
            "\nwith {thousands},000 requests closed before: {:.2} of the rate with none; a ticket of them is shown in {:.1} ms \
             (p95 {:.1} ms)",
            figures.ratio("aged", "postgres", |rate| rate.rate).unwrap_or(f64::NAN),
            shown.p50,
            shown.p95
        );
    }
    text
}

fn known(figures: &Figures, name: &str, read: impl Fn(&crate::figures::Rate) -> Option<f64>) -> Option<f64> {
    figures.median(name, |rate| read(rate).unwrap_or(f64::NAN)).filter(|value| !value.is_nan())
}

/// The same as JSON. What was not measured is null.
pub(crate) fn json(figures: &Figures, seed: u64, requests: usize) -> Value {
    let ratio = |name: &str| round(figures.ratio(name, "floor", |rate| rate.rate));
    let delays = |name: &str, to: &str, read: fn(&crate::figures::Delay) -> f64| {
        round(figures.delay(name, read).zip(figures.delay(to, read)).map(|(this, that)| this / that))
    };
    let subject = |name: &str| {
        json!({
            "rate": round(figures.median(name, |rate| rate.rate)),
            "ratio": ratio(name),
            "cpu_us": round(figures.median(name, |rate| rate.cpu)),
            "rss_mb": round(figures.median(name, |rate| rate.peak)),
        })
    };
    let some = |names: &[&str]| {
        let present = names.iter().filter(|name| figures.rates.contains_key(**name));
        Value::Object(present.map(|name| ((*name).to_owned(), subject(name))).collect::<Map<_, _>>())
    };
    json!({
        "verified": true,
        "floor_rate": round(figures.median("floor", |rate| rate.rate)),
        "floor_cpu_us": round(figures.median("floor", |rate| rate.cpu)),
        "ratio_postgres": ratio("postgres"),
        "ratio_sqlite": ratio("sqlite"),
        "ratio_replicas3": ratio("replicas3"),
        "cpu_ratio": round(figures.ratio("postgres", "floor", |rate| rate.cpu)),
        "cpu_us": round(figures.median("postgres", |rate| rate.cpu)),
        "ratio_to_node_ledger": round(figures.ratio("postgres", "node_ledger", |rate| rate.rate)),
        "commits_per_message": round(known(figures, "postgres", |rate| rate.commits)),
        "wal_bytes_per_message": round(known(figures, "postgres", |rate| rate.wal)),
        "whole_pages_per_message": round(known(figures, "postgres", |rate| rate.pages)),
        "rss_mb": round(figures.median("postgres", |rate| rate.peak)),
        "rss_backlog_mb": round(figures.backlog.map(|backlog| backlog.at_all)),
        "rss_backlog_tenth_mb": round(figures.backlog.map(|backlog| backlog.at_a_tenth)),
        "backlog": figures.backlog.map(|backlog| backlog.waiting),
        "closed_before": figures.found.as_ref().map(|(thousands, _)| thousands * 1000),
        "wal_bytes_per_message_aged": round(known(figures, "aged", |rate| rate.wal)),
        "whole_pages_per_message_aged": round(known(figures, "aged", |rate| rate.pages)),
        "ratio_aged": round(figures.ratio("aged", "postgres", |rate| rate.rate)),
        "found_p95_ms": round(figures.found.as_ref().map(|(_, shown)| shown.p95)),
        "latency_ratio": delays("postgres", "floor", |delay| delay.p50),
        "latency_p50_ms": round(figures.delay("postgres", |delay| delay.p50)),
        "latency_p99_ms": round(figures.delay("postgres", |delay| delay.p99)),
        "latency_floor_p50_ms": round(figures.delay("floor", |delay| delay.p50)),
        "latency_floor_p99_ms": round(figures.delay("floor", |delay| delay.p99)),
        "latency_rate": round(Some(figures.tenth)),
        "bulkhead_ratio": delays("hanging", "calm", |delay| delay.p99),
        "formats": some(&["xml", "soap", "form"]),
        "peers": some(&["node", "node_ledger", "faststream", "faststream_ledger"]),
        "seed": seed,
        "n": requests,
    })
}

/// Three digits after the point are more than a run can repeat.
fn round(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite()).map(|value| (value * 1000.0).round() / 1000.0)
}
