//! One promise as a file writes it, and what it is for one request.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use regex::Regex;
use serde_json::Value;

use crate::domain::{Disposition, Priority, Progress};
use crate::mapping::check::Check;
use crate::mapping::path::Path;
use crate::mapping::place::{self, Place};
use crate::mapping::scope::text_of;
use crate::mapping::statuses::disposition;
use crate::mapping::yaml::{Node, Yaml};
use crate::sla::{Calendar, Feedback, Limit, Span, Target};

/// A promise.
#[derive(Debug)]
pub(in crate::mapping) struct Promise {
    within: Option<Span>,
    by: Option<Path>,
    words: String,
    paused_while: Vec<Progress>,
    /// After what time without news the owner is asked, where it differs from the usual.
    pub(super) chase: Option<Span>,
}

/// The promises that other files may name.
pub(in crate::mapping) type Presets = BTreeMap<String, Arc<Promise>>;

/// A `target:`: one promise, or one a priority.
#[derive(Debug)]
pub(in crate::mapping) struct TargetRule {
    every: Option<Arc<Promise>>,
    by_priority: BTreeMap<Priority, Arc<Promise>>,
}

const KEYS: &[&str] = &["within", "by", "paused_while", "chase", "priority", "note"];
const SPANS: &str = "for example 4 hours, 4 working hours, 2 working days, 21 days or 6 weeks";

impl TargetRule {
    /// Reads `target:`; presets are in `check`.
    pub(in crate::mapping) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let Some(priorities) = node.get("priority") else {
            return Some(Self { every: Some(promise(check, node)?), by_priority: BTreeMap::new() });
        };
        check.fields(node, "target with priority", &["priority", "note"]);
        let words: Vec<&str> = Priority::ALL.iter().map(|priority| priority.as_str()).collect();
        let fields = check.fields(priorities, "priority", &words)?;
        let mut by_priority = BTreeMap::new();
        for priority in Priority::ALL {
            if let Some(promise) = fields.get(priority.as_str()).and_then(|node| promise(check, node)) {
                by_priority.insert(*priority, promise);
            }
        }
        Some(Self { every: None, by_priority })
    }

    /// The promise for a priority.
    pub(super) fn of(&self, priority: Priority) -> Option<&Promise> {
        self.by_priority.get(&priority).or(self.every.as_ref()).map(AsRef::as_ref)
    }

    /// The promise in words, for a priority.
    pub(in crate::mapping) fn words(&self, priority: Priority) -> Option<&str> {
        self.of(priority).map(|promise| promise.words.as_str())
    }
}

/// A promise: the name of a preset, a span, or a mapping.
fn promise(check: &mut Check<'_>, node: &Node) -> Option<Arc<Promise>> {
    match &node.value {
        Yaml::Map(_) => Promise::compile(check, node).map(Arc::new),
        Yaml::Text(text) => match (check.presets.get(text).cloned(), parse(text)) {
            (Some(preset), _) => Some(preset),
            (None, Some(within)) => Some(Arc::new(Promise::within(within, text))),
            (None, None) => {
                let presets = Arc::clone(&check.presets);
                let near = crate::mapping::finding::nearest(
                    text,
                    &presets.keys().map(String::as_str).collect::<Vec<_>>(),
                );
                let expected = format!("a preset of targets.yaml, or a time, {SPANS}");
                match near {
                    Some(near) => {
                        check.hinted(node.line, node.shown(), expected, format!("did you mean {near}?"));
                    }
                    None => check.error(node.line, node.shown(), expected),
                }
                None
            }
        },
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::List(_) => {
            check.error(node.line, node.shown(), format!("target: a preset, a time or a mapping, {SPANS}"));
            None
        }
    }
}

impl Promise {
    fn within(within: Span, words: &str) -> Self {
        Self {
            within: Some(within),
            by: None,
            words: words.to_owned(),
            paused_while: Vec::new(),
            chase: None,
        }
    }

    /// Reads `{within, by, paused_while, chase, note}`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "target", KEYS)?;
        check.text_of(fields, "note");
        let within = fields.get("within").map(|node| span(check, node, "within"));
        let words = check.text_of(fields, "within").unwrap_or_else(|| "the date asked for".to_owned());
        let by = fields.get("by").map(|node| {
            let text = check.text(node, "by")?;
            place::path(check, node.line, &text, Place::REQUEST)
        });
        if within.is_none() && by.is_none() {
            check.error(
                node.line,
                "a target with neither within nor by",
                "within: a time, or by: a path to a date",
            );
            return None;
        }
        let waits = fields.get("paused_while").map(|node| paused(check, node)).unwrap_or_default();
        let chase = fields.get("chase").map(|node| span(check, node, "chase"));
        Some(Self {
            within: within.map_or(Some(None), |span| span.map(Some))?,
            by: by.map_or(Some(None), |path| path.map(Some))?,
            words,
            paused_while: waits,
            chase: chase.map_or(Some(None), |span| span.map(Some))?,
        })
    }

    /// The promise for one request: the date that it names, else the time since the call.
    pub(super) fn resolve(&self, document: &Value, calendar: &Calendar) -> Option<Target> {
        let named = self.by.as_ref().and_then(|path| path.first(document)).and_then(text_of);
        let named = named.and_then(|text| read(text.trim(), calendar));
        let words = match (&named, self.within) {
            (Some(_), _) => "the date asked for".to_owned(),
            (None, _) => self.words.clone(),
        };
        let limit = named.or(self.within.map(Limit::Within))?;
        Some(Target { limit, words, paused_while: self.paused_while.clone() })
    }
}

/// A date, a date and time of the calendar's zone, or RFC 3339.
fn read(text: &str, calendar: &Calendar) -> Option<Limit> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(Limit::By(at));
    }
    if let Ok(day) = text.parse::<Date>()
        && text.len() <= 10
    {
        return Some(Limit::ByDay(day));
    }
    let civil = text.parse::<DateTime>().ok()?;
    calendar.zone.to_timestamp(civil).ok().map(Limit::By)
}

/// Reads a length of time such as `2 working days`.
pub(super) fn span(check: &mut Check<'_>, node: &Node, what: &str) -> Option<Span> {
    let text = check.text(node, what)?;
    let span = parse(&text);
    if span.is_none() {
        check.error(node.line, format!("{what} {text:?}"), SPANS);
    }
    span
}

fn parse(text: &str) -> Option<Span> {
    let form = Regex::new(r"^([1-9][0-9]{0,3}) (?:(working|clock) )?(hour|day|week)s?$").ok()?;
    let parts = form.captures(text)?;
    let count: u32 = parts.get(1)?.as_str().parse().ok()?;
    Some(match (parts.get(2).map(|kind| kind.as_str()), parts.get(3)?.as_str()) {
        (None | Some("clock"), "hour") => Span::Hours(count),
        (None, "day") => Span::Days(count),
        (None, "week") => Span::Days(count * 7),
        (Some("working"), "hour") => Span::WorkingHours(count),
        (Some("working"), "day") => Span::WorkingDays(count),
        _ => return None,
    })
}

fn paused(check: &mut Check<'_>, node: &Node) -> Vec<Progress> {
    let words: Vec<(&str, Progress)> = Progress::ALL.iter().map(|word| (word.as_str(), *word)).collect();
    let items = check.items(node);
    items.iter().filter_map(|item| check.word(item, "paused_while", &words)).collect()
}

/// Reads `feedback: {after, percent, dispositions}`.
pub(in crate::mapping) fn feedback(check: &mut Check<'_>, node: &Node) -> Option<Feedback> {
    let fields = check.fields(node, "feedback", &["after", "percent", "dispositions"])?;
    let after = fields.get("after").map(|node| span(check, node, "after"));
    let percent = check.required(fields, "percent", "feedback");
    let percent = percent.and_then(|node| check.number(node, "percent", 1, 100));
    let dispositions = match fields.get("dispositions") {
        Some(node) => {
            let items = check.items(node);
            items.iter().filter_map(|item| disposition(check, item)).collect()
        }
        None => vec![Disposition::Completed],
    };
    Some(Feedback {
        after: after.map_or(Some(None), |span| span.map(Some))?,
        percent: u8::try_from(percent?).ok()?,
        dispositions,
    })
}
