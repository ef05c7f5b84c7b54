//! YAML as a tree that knows its lines.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

/// One value and the line it starts on.
#[derive(Debug, Clone)]
pub struct Node {
    /// Line, counted from 1.
    pub line: usize,
    /// The value.
    pub value: Yaml,
    /// Where a scalar stands in the text, in bytes.
    span: Option<(usize, usize)>,
}

/// A YAML value.
#[derive(Debug, Clone)]
pub enum Yaml {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; `yes` and `off` are texts.
    Bool(bool),
    /// A number whose text would come out as it is written.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in its order; keys are unique.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's line.
    pub line: usize,
    /// The value.
    pub value: Node,
}

/// Why a text is not YAML.
#[derive(Debug)]
pub struct Unparsable {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
    /// What may mend it.
    pub hint: Option<String>,
}

/// Parses one document. A plain number that would come out differently from how it is written, like `1.10`,
/// becomes a text.
pub fn parse(text: &str) -> Result<Node, Unparsable> {
    let mut options = serde_saphyr::Options::default();
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    options.underscored_numbers_as_strings = true;
    options.with_snippet = false;
    let mut node: Node = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| line(location.line()));
        let reason = error.without_snippet().to_string();
        let reason = reason.lines().next().unwrap_or_default();
        let reason = reason.split_once(" at line ").map_or(reason, |(reason, _)| reason).to_owned();
        Unparsable { line, reason, hint: hint(text.lines().nth(line - 1).unwrap_or_default()) }
    })?;
    node.keep_spelling(text);
    Ok(node)
}

impl Node {
    /// Nothing, on a line.
    pub fn nothing(line: usize) -> Self {
        Self { line, value: Yaml::Null, span: None }
    }

    /// The members of a mapping, else nothing.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Yaml::Map(entries) => entries,
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) => &[],
        }
    }

    /// A member of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The text of a text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Yaml::Text(text) => Some(text),
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// How it is named in a finding: short, on one line.
    pub fn shown(&self) -> String {
        match &self.value {
            Yaml::Null => "nothing".into(),
            Yaml::Bool(value) => value.to_string(),
            Yaml::Number(value) => value.to_string(),
            Yaml::Text(text) => {
                let short: String = text.chars().take(60).collect();
                let dots = if short.len() < text.len() { "…" } else { "" };
                format!("{:?}", format!("{short}{dots}"))
            }
            Yaml::List(items) => format!("a list of {}", items.len()),
            Yaml::Map(entries) => {
                let keys: Vec<&str> = entries.iter().take(4).map(|entry| entry.key.as_str()).collect();
                let dots = if entries.len() > keys.len() { ", …" } else { "" };
                format!("a mapping with {}{dots}", keys.join(", "))
            }
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        match &self.value {
            Yaml::Null => Value::Null,
            Yaml::Bool(value) => Value::Bool(*value),
            Yaml::Number(value) => Value::Number(value.clone()),
            Yaml::Text(text) => Value::String(text.clone()),
            Yaml::List(items) => items.iter().map(Node::to_json).collect(),
            Yaml::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
            }
        }
    }

    fn keep_spelling(&mut self, text: &str) {
        match &mut self.value {
            Yaml::Number(number) => {
                let written = self.span.and_then(|(from, length)| text.get(from..from + length));
                if let Some(written) = written.map(str::trim)
                    && !written.starts_with(['*', '!', '&'])
                    && written != number.to_string()
                {
                    self.value = Yaml::Text(written.to_owned());
                }
            }
            Yaml::List(items) => items.iter_mut().for_each(|item| item.keep_spelling(text)),
            Yaml::Map(entries) => entries.iter_mut().for_each(|entry| entry.value.keep_spelling(text)),
            Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) => {}
        }
    }
}

fn hint(line: &str) -> Option<String> {
    if line.contains('\t') {
        return Some("white space before a key is spaces, never tabs".into());
    }
    let bare = |before: &str| line.contains(&format!("{before}@")) || line.trim_start().starts_with('@');
    bare(" ").then(|| "a text that starts with @ is written in quotes: \"@.name\"".into())
}

fn line(line: u64) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX).max(1)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        let span = spanned.defined.span();
        let bytes = span.byte_offset().zip(span.byte_len());
        let span = bytes.and_then(|(from, length)| Some((from.try_into().ok()?, length.try_into().ok()?)));
        Ok(Self { line: line(spanned.referenced.line()), value: spanned.value, span })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Number::from_f64(value).map_or_else(|| Yaml::Text(value.to_string()), Yaml::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Yaml, E> {
        Ok(Yaml::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Yaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Yaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value()?;
            entries.push(Entry { line: line(key.referenced.line()), key: key.value, value });
        }
        Ok(Yaml::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let node = parse("a: 1\nb:\n  - x\n  - {c: d}\ne: |\n  text\n").expect("valid");
        let Yaml::Map(entries) = &node.value else { panic!("a mapping") };
        let lines: Vec<usize> = entries.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [1, 2, 5]);
        let Yaml::List(items) = &entries[1].value.value else { panic!("a list") };
        assert_eq!(items.iter().map(|item| item.line).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(node.to_json(), json!({"a": 1, "b": ["x", {"c": "d"}], "e": "text\n"}));
    }

    #[test]
    fn scalars_come_out_as_they_are_written() {
        let node = parse(
            "[yes, off, true, 007, 1_000, 1.10, 1.5, 12, -3, \"12\", ~, 2026-11-22, 0x1F, 1e3, 535000.0, Not Out]",
        );
        assert_eq!(
            node.expect("valid").to_json(),
            json!([
                "yes",
                "off",
                true,
                "007",
                "1_000",
                "1.10",
                1.5,
                12,
                -3,
                "12",
                null,
                "2026-11-22",
                "0x1F",
                "1e3",
                535000.0,
                "Not Out"
            ])
        );
    }

    #[test]
    fn anchors_and_merges_are_followed() {
        let node = parse("base: &b {x: 1, y: 2.50}\none: {<<: *b, x: 3}\ntwo: *b\n").expect("valid");
        let json = node.to_json();
        assert_eq!(json["two"], json!({"x": 1, "y": "2.50"}));
        assert_eq!(json["one"]["x"], json!(3));
        assert_eq!(json["one"]["y"], json!("2.50"));
    }

    #[test]
    fn what_is_not_yaml_is_refused_with_its_line() {
        let broken = parse("a: 1\nb: [1, 2\nc: 3\n").expect_err("refused");
        assert!(broken.line >= 2, "{broken:?}");
        let twice = parse("a: 1\nb: 2\na: 3\n").expect_err("refused");
        assert_eq!(twice.line, 3);
        assert!(twice.reason.contains("duplicate"), "{twice:?}");
        assert!(parse("a: 1\n---\nb: 2\n").is_err());
        let bare = parse("a: 1\nb: @.name\n").expect_err("refused");
        assert_eq!((bare.line, bare.reason.contains("at line")), (2, false), "{bare:?}");
        assert!(bare.hint.expect("a hint").contains("in quotes"));
    }
}
