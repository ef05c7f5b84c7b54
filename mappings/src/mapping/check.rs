//! Reading one mapping file strictly, and keeping every mistake found on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::finding::{Finding, Severity, nearest};
use super::lookup::Lookup;
use super::secret::Secret;
use super::targets::Presets;
use super::yaml::{Node, Unparsable, Yaml};

/// Answers `${NAME}`: given `NAME` or `file:/path`.
pub(super) type Resolve<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One file under compilation.
pub(super) struct Check<'a> {
    file: String,
    resolve: Resolve<'a>,
    /// What was found so far.
    pub(super) findings: Vec<Finding>,
    /// Tables that an expression may name.
    pub(super) lookups: BTreeMap<String, Arc<Lookup>>,
    /// Tables that an expression did name.
    pub(super) used: BTreeSet<String>,
    /// Names under `$.steps` where the expression stands.
    pub(super) steps: Vec<String>,
    /// Secrets, and the values of `${…}` that stand in calls.
    pub(super) secrets: Vec<Secret>,
    /// Where the paths of the call that is being compiled begin: `dovetail.key`, `location.uprn`.
    pub(super) sent: BTreeSet<String>,
    /// Whether a call is being compiled, or the headers of every call: what is filled in there is secret.
    pub(super) in_call: bool,
    /// Whether the call that is compiled names the jobs that are open.
    pub(super) names_jobs: bool,
    /// Elements of the system's XML that are always lists.
    pub(super) xml_lists: Arc<[String]>,
    /// The largest item of the system's lists that is read, in bytes.
    pub(super) largest_item: usize,
    /// Promises that a target may name.
    pub(super) presets: Arc<Presets>,
}

/// A mapping whose keys were checked.
#[derive(Clone, Copy)]
pub(super) struct Fields<'n> {
    node: &'n Node,
}

impl<'n> Fields<'n> {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.node.get(key)
    }

    /// The line the mapping starts on.
    pub(super) fn line(&self) -> usize {
        self.node.line
    }

    /// The keys among `keys` that are there.
    pub(super) fn among(&self, keys: &[&'static str]) -> Vec<&'static str> {
        keys.iter().copied().filter(|key| self.get(key).is_some()).collect()
    }
}

impl<'a> Check<'a> {
    /// Starts a file.
    pub(super) fn new(file: &str, resolve: Resolve<'a>) -> Self {
        Self {
            file: file.to_owned(),
            resolve,
            findings: Vec::new(),
            lookups: BTreeMap::new(),
            used: BTreeSet::new(),
            steps: Vec::new(),
            secrets: Vec::new(),
            sent: BTreeSet::new(),
            in_call: false,
            names_jobs: false,
            xml_lists: Arc::from([]),
            largest_item: 1 << 20,
            presets: Arc::default(),
        }
    }

    /// File and line, as a person finds them.
    pub(super) fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.file)
    }

    /// Keeps an error.
    pub(super) fn error(&mut self, line: usize, found: impl Into<String>, expected: impl Into<String>) {
        self.keep(Severity::Error, line, found.into(), expected.into(), None);
    }

    /// Keeps an error with a hint.
    pub(super) fn hinted(
        &mut self,
        line: usize,
        found: impl Into<String>,
        expected: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.keep(Severity::Error, line, found.into(), expected.into(), Some(hint.into()));
    }

    /// Keeps that a file is not YAML.
    pub(super) fn unparsable(&mut self, error: Unparsable) {
        self.keep(Severity::Error, error.line, error.reason, "YAML".into(), error.hint);
    }

    /// Keeps a warning.
    pub(super) fn warn(
        &mut self,
        line: usize,
        found: impl Into<String>,
        expected: impl Into<String>,
        hint: Option<String>,
    ) {
        self.keep(Severity::Warning, line, found.into(), expected.into(), hint);
    }

    fn keep(
        &mut self,
        severity: Severity,
        line: usize,
        found: String,
        expected: String,
        hint: Option<String>,
    ) {
        let unset = None;
        self.findings.push(Finding { severity, file: self.file.clone(), line, found, expected, hint, unset });
    }

    /// A word that is none of the known ones.
    pub(super) fn unknown<'w>(
        &mut self,
        line: usize,
        found: String,
        word: &str,
        known: impl IntoIterator<Item = &'w str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let expected = match known.as_slice() {
            [] => "nothing: there is none".to_owned(),
            [one] => (*one).to_owned(),
            more => format!("one of {}", more.join(", ")),
        };
        let hint = nearest(word, &known).map(|near| format!("did you mean {near}?"));
        self.keep(Severity::Error, line, found, expected, hint);
    }

    /// A mapping with no other keys than the known ones.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let Yaml::Map(entries) = &node.value else {
            self.error(node.line, node.shown(), format!("{what}: a mapping with {}", known.join(", ")));
            return None;
        };
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                let found = format!("unknown key {} in {what}", entry.key);
                self.unknown(entry.line, found, &entry.key, known.iter().copied());
            }
        }
        Some(Fields { node })
    }

    /// The value of a key that must be there.
    pub(super) fn required<'n>(&mut self, fields: Fields<'n>, key: &str, what: &str) -> Option<&'n Node> {
        let node = fields.get(key);
        if node.is_none() {
            self.error(fields.line(), format!("{what} without {key}"), format!("{key}: …"));
        }
        node
    }

    /// The one key among `keys` that is there; an error when there is none or more than one.
    pub(super) fn one_of(
        &mut self,
        fields: Fields<'_>,
        what: &str,
        keys: &[&'static str],
    ) -> Option<&'static str> {
        match fields.among(keys).as_slice() {
            [one] => Some(one),
            [] => {
                let line = fields.line();
                self.error(line, format!("{what} with none of {}", keys.join(", ")), "exactly one of them");
                None
            }
            more => {
                let line = fields.line();
                self.error(
                    line,
                    format!("{what} with {} at once", more.join(" and ")),
                    "exactly one of them",
                );
                None
            }
        }
    }

    /// A text, or a scalar that is read as one; `${…}` is filled in.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            Yaml::Text(text) => Some(self.fill(node.line, text)),
            Yaml::Number(number) => Some(number.to_string()),
            Yaml::Bool(value) => Some(value.to_string()),
            Yaml::Null | Yaml::List(_) | Yaml::Map(_) => {
                self.error(node.line, node.shown(), format!("{what}: a text"));
                None
            }
        }
    }

    /// The text of a key, when it is there.
    pub(super) fn text_of(&mut self, fields: Fields<'_>, key: &str) -> Option<String> {
        fields.get(key).and_then(|node| self.text(node, key))
    }

    /// The text of a key that must be there.
    pub(super) fn required_text(&mut self, fields: Fields<'_>, key: &str, what: &str) -> Option<String> {
        let node = self.required(fields, key, what)?;
        self.text(node, key)
    }

    /// A text whose variables are all set; `None` where one of them is not, or where nothing is left.
    pub(super) fn text_if_set(&mut self, node: &Node, what: &str) -> Option<String> {
        let names = node.as_text().unwrap_or_default().split("${").skip(1);
        let names: Vec<&str> = names.filter_map(|rest| Some(rest.split_once('}')?.0)).collect();
        if names.iter().any(|name| (self.resolve)(name).is_none()) {
            return None;
        }
        self.text(node, what).filter(|text| !text.trim().is_empty())
    }

    /// The items of a list, or the one value that stands in its place.
    pub(super) fn items<'n>(&self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Yaml::List(items) => items,
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::Map(_) => {
                std::slice::from_ref(node)
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        let Yaml::List(items) = &node.value else {
            self.error(node.line, node.shown(), format!("{what}: a list of texts"));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.text(item, what)).collect()
    }

    /// A whole number within a range.
    pub(super) fn number(&mut self, node: &Node, what: &str, least: u64, most: u64) -> Option<u64> {
        let number = match &node.value {
            Yaml::Number(number) => number.as_u64(),
            Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) | Yaml::List(_) | Yaml::Map(_) => None,
        };
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.error(node.line, node.shown(), format!("{what}: a whole number from {least} to {most}"));
        }
        number
    }

    /// A `true` or `false`.
    pub(super) fn flag(&mut self, node: &Node, what: &str) -> bool {
        match &node.value {
            Yaml::Bool(value) => *value,
            Yaml::Null | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) | Yaml::Map(_) => {
                self.error(node.line, node.shown(), format!("{what}: true or false"));
                false
            }
        }
    }

    /// A duration such as `500ms`, `30s`, `15m`, `2h` or `1d`.
    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let text = self.text(node, what)?;
        let duration = parse_duration(&text);
        if duration.is_none() {
            self.error(
                node.line,
                node.shown(),
                format!("{what}: a duration such as 500ms, 30s, 15m, 2h or 1d"),
            );
        }
        duration
    }

    /// A size such as `64 MiB`, `512 KiB` or a number of bytes, within a range.
    pub(super) fn size(&mut self, node: &Node, what: &str, least: usize, most: usize) -> Option<usize> {
        let text = self.text(node, what)?;
        let size = parse_size(&text).filter(|size| (least..=most).contains(size));
        if size.is_none() {
            let expected =
                format!("{what}: a size such as 512 KiB, 1 MiB or 64 MiB, up to {} MiB", most >> 20);
            self.error(node.line, node.shown(), expected);
        }
        size
    }

    /// One word of a closed vocabulary.
    pub(super) fn word<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let shown = format!("{what}: {}", node.shown());
            self.unknown(node.line, shown, &text, words.iter().map(|(word, _)| *word));
        }
        found
    }

    /// Fills `${NAME}` and `${file:/path}` in a text.
    pub(super) fn fill(&mut self, line: usize, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            out.push_str(&rest[..start]);
            let Some(end) = rest[start..].find('}') else {
                self.error(
                    line,
                    format!("{:?} with ${{ that is not closed", rest),
                    "${NAME} or ${file:/path}",
                );
                return out;
            };
            out.push_str(&self.variable(line, &rest[start + 2..start + end]));
            rest = &rest[start + end + 1..];
        }
        out.push_str(rest);
        out
    }

    /// The value of one `${NAME}`.
    pub(super) fn variable(&mut self, line: usize, name: &str) -> String {
        match (self.resolve)(name) {
            Some(value) => {
                if self.in_call && !value.is_empty() {
                    self.secrets.push(Secret::new(value.clone()));
                }
                value
            }
            None => {
                let hint = match name.strip_prefix("file:") {
                    Some(path) => format!("the file {path} must exist and be readable"),
                    None => format!("set the environment variable {name}, or write ${{file:/path}}"),
                };
                self.hinted(line, format!("${{{name}}}, which is not set"), "a value", hint);
                if let Some(finding) = self.findings.last_mut() {
                    finding.unset = Some(name.to_owned());
                }
                String::new()
            }
        }
    }
}

/// Reads `64 MiB`, `512KiB`, `1048576`.
fn parse_size(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: usize = text[..digits].parse().ok()?;
    let unit: usize = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Reads `500ms`, `30s`, `15m`, `2h`, `1d`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        "d" => Duration::from_secs(86_400),
        _ => return None,
    };
    unit.checked_mul(u32::try_from(number).ok()?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::yaml;
    use super::*;

    /// Answers every variable with its name in lower case, but for `UNSET`.
    pub(in super::super) fn lower(name: &str) -> Option<String> {
        (name != "UNSET").then(|| name.to_lowercase())
    }

    fn check(text: &str, read: impl Fn(&mut Check<'_>, &Node)) -> Vec<String> {
        let node = yaml::parse(text).expect("yaml");
        let mut check = Check::new("f.yaml", &lower);
        read(&mut check, &node);
        check.findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let found = check("timeout: 1s\nheadrs: {}\n", |check, node| {
            check.fields(node, "connection", &["timeout", "headers"]);
        });
        assert_eq!(
            found,
            ["f.yaml:2: found unknown key headrs in connection; expected one of timeout, headers; \
              hint: did you mean headers?"]
        );
    }

    #[test]
    fn wrong_kinds_of_values_say_what_is_expected() {
        let found = check("a: [1]\nb: 5 minutes\nc: 0\nd: yes\ne: {}\n", |check, node| {
            let fields = check.fields(node, "it", &["a", "b", "c", "d", "e"]).expect("a mapping");
            check.text_of(fields, "a");
            check.duration(fields.get("b").expect("b"), "b");
            check.number(fields.get("c").expect("c"), "c", 1, 9);
            check.flag(fields.get("d").expect("d"), "d");
            check.texts(fields.get("e").expect("e"), "e");
            check.required_text(fields, "f", "it");
        });
        assert_eq!(
            found,
            [
                "f.yaml:1: found a list of 1; expected a: a text",
                "f.yaml:2: found \"5 minutes\"; expected b: a duration such as 500ms, 30s, 15m, 2h or 1d",
                "f.yaml:3: found 0; expected c: a whole number from 1 to 9",
                "f.yaml:4: found \"yes\"; expected d: true or false",
                "f.yaml:5: found a mapping with ; expected e: a list of texts",
                "f.yaml:1: found it without f; expected f: …",
            ]
        );
    }

    #[test]
    fn variables_are_filled_and_a_missing_one_is_named() {
        let mut check = Check::new("f.yaml", &lower);
        assert_eq!(check.fill(3, "a ${ONE}-${file:/Two} $5"), "a one-file:/two $5");
        assert!(check.findings.is_empty());
        check.fill(3, "${UNSET}");
        check.fill(4, "${OPEN");
        assert!(check.findings[0].to_string().starts_with("f.yaml:3: found ${UNSET}, which is not set"));
        assert!(check.findings[1].to_string().contains("not closed"));
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(parse_duration("30"), None);
        assert_eq!(parse_duration("s"), None);
        assert_eq!(parse_duration("99999999999999999999s"), None);
    }
}
