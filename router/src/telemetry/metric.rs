//! Every metric: its name, its type, and what it says. `/metrics` prints them in the Prometheus text format.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>: counters end in `_total`, times are in seconds.

use std::collections::BTreeSet;

use mappings::domain::SystemName;
use metrics::{Label, counter, gauge};

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    kind: Kind,
    help: &'static str,
    /// The labels with the values that are known from the start. Whoever watches a counter must see it at 0 before it
    /// counts: one that appears at 1 has not grown for Prometheus.
    from_the_start: Option<&'static [(&'static str, Values)]>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug, Clone, Copy)]
enum Values {
    Systems,
    Words(&'static [&'static str]),
}

const NONE: Option<&[(&str, Values)]> = Some(&[]);
const SYSTEM: Option<&[(&str, Values)]> = Some(&[("system", Values::Systems)]);
const LISTENERS: Option<&[(&str, Values)]> = Some(&[("listener", Values::Words(&["doors", "console"]))]);
const FATES: Option<&[(&str, Values)]> =
    Some(&[("fate", Values::Words(&["published", "returned", "nacked", "lost"]))]);

const fn counter(
    name: &'static str,
    from_the_start: Option<&'static [(&'static str, Values)]>,
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, help, from_the_start }
}

const fn gauge(
    name: &'static str,
    from_the_start: Option<&'static [(&'static str, Values)]>,
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Gauge, help, from_the_start }
}

/// All of them, in the order of their names.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "dovetail_attempt_seconds",
        kind: Kind::Histogram,
        help: "How long attempts at calls took, by system.",
        from_the_start: None,
    },
    counter("dovetail_attempts_total", None, "Attempts at calls, by system and outcome."),
    counter(
        "dovetail_bus_connection_failures_total",
        NONE,
        "Connections to the broker that were lost or could not be made.",
    ),
    counter("dovetail_bus_outgoing_total", FATES, "Messages given to the broker, by what became of each."),
    gauge(
        "dovetail_bus_paused",
        Some(&[("queue", Values::Words(&["intake", "completions"]))]),
        "1 while nothing is consumed from a queue, since the ledger cannot write or falls behind.",
    ),
    gauge(
        "dovetail_bus_unacknowledged",
        Some(&[("queue", Values::Words(&["intake", "completions"]))]),
        "Deliveries of a queue that are held and not acknowledged yet.",
    ),
    counter(
        "dovetail_callbacks_refused_total",
        SYSTEM,
        "Events of a system that were not taken from its webhook.",
    ),
    counter("dovetail_clocks_looked_at_total", NONE, "Clocks of tickets that were due and looked at."),
    counter(
        "dovetail_completions_total",
        None,
        "Words of systems about jobs, by system, the way they came, and what the ledger made of them.",
    ),
    gauge("dovetail_connections", LISTENERS, "Connections that are open at a listener."),
    counter(
        "dovetail_connections_closed_total",
        Some(&[
            ("listener", Values::Words(&["doors", "console"])),
            ("phase", Values::Words(&["opened", "head", "body", "answering", "writing", "kept_alive"])),
            ("because", Values::Words(&["room"])),
        ]),
        "Connections that were closed before their callers did, by what they were doing and why.",
    ),
    gauge("dovetail_dead_letters", NONE, "Messages that the broker has set aside; they wait for a person."),
    counter(
        "dovetail_deadly_deliveries_total",
        NONE,
        "Deliveries refused because a router ended each time it read them.",
    ),
    counter(
        "dovetail_deliveries_refused_total",
        NONE,
        "Messages that could not be understood; kept with the reason.",
    ),
    counter("dovetail_events_total", FATES, "Events published from the outbox, by what became of each."),
    gauge("dovetail_events_unrouted", NONE, "Events that wait because no queue is bound for them."),
    counter(
        "dovetail_files_total",
        Some(&[("system", Values::Systems), ("end", Values::Words(&["done", "refused"]))]),
        "Files of a system that were read, by how each ended.",
    ),
    counter(
        "dovetail_http_busy_total",
        NONE,
        "HTTP requests refused because too much was being read already.",
    ),
    counter(
        "dovetail_http_denied_total",
        None,
        "HTTP requests refused for who sent them, by door and reason.",
    ),
    counter(
        "dovetail_http_keys_used_total",
        None,
        "HTTP requests let in, by the name of the key and which of its secrets was used.",
    ),
    counter(
        "dovetail_items_passed_over_total",
        SYSTEM,
        "Items of a system's lists that its mapping leaves out, as work of others.",
    ),
    counter(
        "dovetail_items_set_aside_total",
        SYSTEM,
        "Items of a system that could not be read; kept for a person.",
    ),
    counter(
        "dovetail_limits_reached_total",
        Some(&[
            ("listener", Values::Words(&["doors", "console"])),
            (
                "limit",
                Values::Words(&["connections", "connections_per_address", "requests_at_once", "descriptors"]),
            ),
        ]),
        "Times in which a listener reached one of its limits.",
    ),
    counter(
        "dovetail_poll_gaps_total",
        SYSTEM,
        "Times in which a poll came later than it looks back, so that news may have been missed.",
    ),
    counter("dovetail_polls_failed_total", SYSTEM, "Polls of a system that failed."),
    counter(
        "dovetail_reconciled_total",
        Some(&[
            ("system", Values::Systems),
            (
                "verdict",
                Values::Words(&["agreed", "repaired", "held", "unknown", "unreadable", "unanswered"]),
            ),
        ]),
        "Open jobs that a system was asked about, by what came of it.",
    ),
    gauge(
        "dovetail_system_shut",
        Some(&[
            ("system", Values::Systems),
            ("why", Values::Words(&["paused", "closed_hours", "not_answering"])),
        ]),
        "1 while a system takes no calls, by reason.",
    ),
    counter(
        "dovetail_tickets_polled_total",
        SYSTEM,
        "Tickets that were taken from a CRM that is asked for them.",
    ),
    counter(
        "dovetail_traces_dropped_total",
        NONE,
        "Trace contexts of messages that were none and were left out; the messages were taken.",
    ),
    counter(
        "dovetail_webhook_secrets_used_total",
        None,
        "Events let in at a system's webhook, by which of its secrets proved them.",
    ),
];

/// Gives each metric its text; to be called once the recorder is there.
pub(super) fn describe() {
    for Metric { name, kind, help, .. } in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}

/// Shows every metric at 0 whose labels are known from the start.
pub fn begin<'a>(systems: impl Iterator<Item = &'a SystemName>) {
    let systems: BTreeSet<String> = systems.map(ToString::to_string).collect();
    for Metric { name, kind, from_the_start, .. } in METRICS {
        for labels in from_the_start.map(|labels| combinations(labels, &systems)).unwrap_or_default() {
            match kind {
                Kind::Counter => counter!(*name, labels).increment(0),
                Kind::Gauge => gauge!(*name, labels).increment(0.0),
                Kind::Histogram => {}
            }
        }
    }
}

/// Every combination of the values of some labels.
fn combinations(labels: &[(&'static str, Values)], systems: &BTreeSet<String>) -> Vec<Vec<Label>> {
    let Some(((name, values), rest)) = labels.split_first() else { return vec![Vec::new()] };
    let values: Vec<String> = match values {
        Values::Systems => systems.iter().cloned().collect(),
        Values::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
    };
    let rest = combinations(rest, systems);
    let with = |value: String| {
        rest.iter().map(move |more| {
            let first = Label::new(*name, value.clone());
            std::iter::once(first).chain(more.iter().cloned()).collect()
        })
    };
    values.into_iter().flat_map(with).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Every name that the sources give to a metric.
    fn used(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                used(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a file");
                for start in ["metrics::counter!(", "metrics::gauge!(", "metrics::histogram!("] {
                    let macros = text.split(start).skip(1);
                    let names =
                        macros.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                    let ours = names.filter(|name| name.starts_with("dovetail_"));
                    found.extend(ours.map(str::to_owned));
                }
            }
        }
    }

    #[test]
    fn every_metric_is_described_and_every_description_is_of_a_metric() {
        let mut found = BTreeSet::new();
        used(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let described: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(found, described, "metrics in the sources, and those of this table");
        assert!(METRICS.is_sorted_by_key(|metric| metric.name));
        assert!(METRICS.iter().all(|metric| metric.help.ends_with('.')));
    }

    #[test]
    fn labels_are_combined() {
        let systems = BTreeSet::from(["housing".to_owned(), "waste".to_owned()]);
        let labels = [("system", Values::Systems), ("end", Values::Words(&["done", "refused"]))];
        let all = combinations(&labels, &systems);
        assert_eq!(all.len(), 4);
        assert_eq!(all[1], [Label::new("system", "housing"), Label::new("end", "refused")]);
        assert_eq!(combinations(&[], &systems), [Vec::<Label>::new()]);
    }
}
