//! Reading a scenario file strictly: every mistake is told with its file, its line and what was expected.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use mappings::mapping::yaml::{Node, Yaml};
use mappings::mapping::{Finding, Severity, nearest};

/// A file that is being read.
pub(super) struct Reader<'a> {
    file: &'a str,
    /// What was found wrong so far.
    pub(super) findings: Vec<Finding>,
}

/// The time zone of the councils.
pub(super) fn london() -> TimeZone {
    TimeZone::get("Europe/London").unwrap_or(TimeZone::UTC)
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self { file, findings: Vec::new() }
    }

    /// The file's name.
    pub(super) fn file(&self) -> &'a str {
        self.file
    }

    /// Keeps a mistake.
    pub(super) fn wrong(&mut self, line: usize, found: impl Into<String>, expected: impl Into<String>) {
        self.keep(line, found.into(), expected.into(), None);
    }

    /// Keeps that a word is none of the known ones.
    pub(super) fn unknown(&mut self, line: usize, found: String, word: &str, known: &[&str]) {
        let hint = nearest(word, known).map(|near| format!("did you mean {near}?"));
        self.keep(line, found, format!("one of {}", known.join(", ")), hint);
    }

    fn keep(&mut self, line: usize, found: String, expected: String, hint: Option<String>) {
        let file = self.file.to_owned();
        self.findings.push(Finding {
            severity: Severity::Error,
            file,
            line,
            found,
            expected,
            hint,
            unset: None,
        });
    }

    /// Says which keys of a mapping are none of the known ones; `false` where it is no mapping.
    pub(super) fn keys(&mut self, node: &Node, what: &str, known: &[&str]) -> bool {
        if !matches!(node.value, Yaml::Map(_)) {
            self.wrong(node.line, node.shown(), format!("{what}: a mapping with {}", known.join(", ")));
            return false;
        }
        for entry in node.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.unknown(entry.line, format!("unknown key {} in {what}", entry.key), &entry.key, known);
        }
        true
    }

    /// A text; a number or a yes stands for itself.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            Yaml::Text(text) => Some(text.clone()),
            Yaml::Number(number) => Some(number.to_string()),
            Yaml::Bool(_) | Yaml::Null | Yaml::List(_) | Yaml::Map(_) => {
                self.wrong(node.line, node.shown(), format!("{what}: a text"));
                None
            }
        }
    }

    /// One text or a list of them.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        match &node.value {
            Yaml::List(items) => items.iter().filter_map(|item| self.text(item, what)).collect(),
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::Map(_) => {
                self.text(node, what).into_iter().collect()
            }
        }
    }

    /// A whole number.
    pub(super) fn count(&mut self, node: &Node, what: &str) -> Option<u64> {
        let number = self.text(node, what)?.parse().ok();
        if number.is_none() {
            self.wrong(node.line, node.shown(), format!("{what}: a whole number"));
        }
        number
    }

    /// A value of one of our own types.
    pub(super) fn parsed<T: std::str::FromStr>(&mut self, node: &Node, what: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        match self.text(node, what)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(node.line, error.to_string(), what.to_owned());
                None
            }
        }
    }

    /// A time: with a zone, or as a clock in London shows it.
    pub(super) fn time(&mut self, node: &Node, what: &str) -> Option<Timestamp> {
        let text = self.text(node, what)?;
        let time = text.parse::<Timestamp>().ok().or_else(|| {
            let local: DateTime = text.parse().ok()?;
            local.to_zoned(london()).ok().map(|zoned| zoned.timestamp())
        });
        if time.is_none() {
            let expected = format!("{what}: for example 2026-11-23T09:00Z, or 2026-11-23 09:00 in London");
            self.wrong(node.line, node.shown(), expected);
        }
        time
    }

    /// A span of time.
    pub(super) fn span(&mut self, node: &Node, what: &str) -> Option<Span> {
        let span = self.text(node, what)?.parse::<Span>().ok().filter(|span| span.is_positive());
        if span.is_none() {
            self.wrong(node.line, node.shown(), format!("{what}: for example 3 days or 2 hours 30 minutes"));
        }
        span
    }
}
