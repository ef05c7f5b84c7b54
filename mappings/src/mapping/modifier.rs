//! What may be done to a value on its way.

use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde_json::{Number, Value};

use super::RenderError;
use super::check::{Check, Fields};
use super::date::DateRule;
use super::expression::Expression;
use super::lookup::Lookup;
use super::place::{Place, is_personal};
use super::scope::{Scope, Trail, is_empty, text_of};
use super::yaml::{Node, Yaml};

/// The keys of modifiers, in the order they are applied.
pub(super) const KEYS: &[&str] =
    &["default", "split", "lookup", "replace", "case", "pad", "date", "max", "as", "required"];

/// The modifiers beside one expression. A list is modified item by item.
pub(super) struct Modifiers {
    default: Option<Expression>,
    split: Option<Split>,
    lookup: Option<Arc<Lookup>>,
    replace: Vec<(Regex, String)>,
    case: Option<Case>,
    pad: Option<(usize, char)>,
    date: Option<DateRule>,
    max: Option<usize>,
    cast: Option<Cast>,
    required: bool,
    /// What they are applied to may be personal: no reason shows it.
    personal: bool,
}

/// How a text becomes a list.
enum Split {
    /// It stays one.
    Never,
    /// At each match.
    At(Regex),
}

#[derive(Clone, Copy)]
enum Case {
    Upper,
    Lower,
}

#[derive(Clone, Copy)]
enum Cast {
    String,
    Integer,
    Number,
    Boolean,
}

/// A text as the list of what stands between separators, each without spaces at its ends; the texts of a list are
/// taken apart likewise.
fn split(value: Value, pattern: &Regex) -> Value {
    let parts = |text: &str| -> Vec<Value> {
        let parts = pattern.split(text).map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| Value::String(part.to_owned())).collect()
    };
    let Value::Array(items) = value else {
        return match text_of(&value) {
            Some(text) => Value::Array(parts(&text)),
            None => value,
        };
    };
    let split = |item: Value| match text_of(&item) {
        Some(text) => parts(&text),
        None => vec![item],
    };
    items.into_iter().flat_map(split).collect()
}

/// The same at commas and semicolons.
pub(super) fn separated(value: Value) -> Value {
    static SEPARATORS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("[,;]").ok());
    match SEPARATORS.as_ref() {
        Some(separators) => split(value, separators),
        None => value,
    }
}

fn splitting(check: &mut Check<'_>, node: &Node) -> Option<Split> {
    if node.as_text() == Some("none") {
        return Some(Split::Never);
    }
    regex(check, node).map(Split::At)
}

impl Modifiers {
    /// Compiles them; `None` when there are none.
    pub(super) fn compile(check: &mut Check<'_>, fields: Fields<'_>, place: Place) -> Option<Box<Self>> {
        if fields.among(KEYS).is_empty() {
            return None;
        }
        let default = fields.get("default").and_then(|node| Expression::compile(check, node, place));
        let split = fields.get("split").and_then(|node| splitting(check, node));
        let lookup = fields.get("lookup").and_then(|node| table(check, node));
        let replace = fields.get("replace").map(|node| replacements(check, node)).unwrap_or_default();
        let case = fields
            .get("case")
            .and_then(|node| check.word(node, "case", &[("upper", Case::Upper), ("lower", Case::Lower)]));
        let pad = fields.get("pad").and_then(|node| padding(check, node));
        let date = fields.get("date").and_then(|node| DateRule::compile(check, node));
        let max = fields.get("max").and_then(|node| check.number(node, "max", 1, 1_000_000));
        let words = [
            ("string", Cast::String),
            ("integer", Cast::Integer),
            ("number", Cast::Number),
            ("boolean", Cast::Boolean),
        ];
        let cast = fields.get("as").and_then(|node| check.word(node, "as", &words));
        let required = fields.get("required").is_some_and(|node| check.flag(node, "required"));
        let max = max.and_then(|max| usize::try_from(max).ok());
        let personal = false;
        Some(Box::new(Self {
            default,
            split,
            lookup,
            replace,
            case,
            pad,
            date,
            max,
            cast,
            required,
            personal,
        }))
    }

    /// Notes whether what they are applied to may be personal, by its paths or those of the default.
    pub(super) fn mark(&mut self, personal: bool) {
        let mut sources = Vec::new();
        if let Some(default) = &self.default {
            default.sources(&mut sources);
        }
        self.personal = personal || sources.into_iter().any(is_personal);
    }

    /// Whether the value must be there.
    pub(super) fn required(&self) -> bool {
        self.required
    }

    /// Whether it says how a text is split.
    pub(super) fn splits(&self) -> bool {
        self.split.is_some()
    }

    /// Applies them.
    pub(super) fn apply(
        &self,
        value: Option<Value>,
        scope: Scope<'_>,
        trail: &mut Trail,
    ) -> Result<Option<Value>, RenderError> {
        let value = match (value, &self.default) {
            (Some(value), None) => Some(value),
            (Some(value), Some(_)) if !is_empty(&value) => Some(value),
            (_, Some(default)) => default.evaluate(scope, trail)?,
            (None, None) => None,
        };
        let value = match (value, &self.split) {
            (Some(value), Some(Split::At(pattern))) if !is_empty(&value) => Some(split(value, pattern)),
            (value, Some(Split::At(_) | Split::Never) | None) => value,
        };
        match value {
            None => Ok(None),
            Some(Value::Array(items)) => {
                let items: Result<Vec<_>, _> =
                    items.into_iter().map(|item| self.change(item, trail)).collect();
                Ok(Some(Value::Array(items?.into_iter().filter(|item| !item.is_null()).collect())))
            }
            Some(value) => Ok(Some(self.change(value, trail)?).filter(|value| !value.is_null())),
        }
    }

    fn change(&self, value: Value, trail: &mut Trail) -> Result<Value, RenderError> {
        let mut value = value;
        if let Some(lookup) = &self.lookup
            && !is_empty(&value)
        {
            let found = lookup.find(&text(&value, trail)?, |key| self.shown(key, trail));
            value = found.map_err(|reason| trail.wrong(reason))?;
        }
        if value.is_null() {
            return Ok(value);
        }
        if self.rewrites() && !is_empty(&value) {
            value = Value::String(self.rewrite(text(&value, trail)?, trail)?);
        }
        match self.cast {
            Some(cast) if !is_empty(&value) => {
                let text = text(&value, trail)?;
                cast.apply(&text).map_err(|expected| {
                    trail.wrong(format!("{} is {expected}", self.shown(text.trim(), trail)))
                })
            }
            Some(_) | None => Ok(value),
        }
    }

    /// A value as a reason shows it, which goes to logs, events and pages.
    fn shown(&self, value: &str, trail: &Trail) -> String {
        if self.personal || trail.is_personal() { "this value".to_owned() } else { format!("{value:?}") }
    }

    fn rewrites(&self) -> bool {
        !self.replace.is_empty()
            || self.case.is_some()
            || self.pad.is_some()
            || self.date.is_some()
            || self.max.is_some()
    }

    fn rewrite(&self, mut text: String, trail: &mut Trail) -> Result<String, RenderError> {
        for (pattern, with) in &self.replace {
            text = pattern.replace_all(&text, with.as_str()).into_owned();
        }
        text = match self.case {
            Some(Case::Upper) => text.to_uppercase(),
            Some(Case::Lower) => text.to_lowercase(),
            None => text,
        };
        if let Some((to, with)) = self.pad {
            let missing = to.saturating_sub(text.chars().count());
            text.insert_str(0, &with.to_string().repeat(missing));
        }
        if let Some(date) = &self.date {
            text = date.apply(&text).map_err(|reason| trail.wrong(reason))?;
        }
        if let Some(max) = self.max {
            let length = text.chars().count();
            if length > max {
                text = text.chars().take(max).collect();
                trail.warn(&format!("shortened from {length} to {max} characters"));
            }
        }
        Ok(text)
    }
}

impl Cast {
    /// # Errors
    /// What the text is instead.
    fn apply(self, text: &str) -> Result<Value, &'static str> {
        let trimmed = text.trim();
        match self {
            Self::String => Ok(Value::String(text.to_owned())),
            Self::Integer => integer(trimmed).map(Value::Number).ok_or("not a whole number"),
            Self::Number => number(trimmed).map(Value::Number).ok_or("not a number"),
            Self::Boolean => match trimmed.to_lowercase().as_str() {
                "true" | "yes" | "y" | "1" | "on" => Ok(Value::Bool(true)),
                "false" | "no" | "n" | "0" | "off" => Ok(Value::Bool(false)),
                _ => Err("neither true nor false"),
            },
        }
    }
}

/// A whole number of any length, without the zeros that JSON does not allow before it or the part after its point.
fn integer(text: &str) -> Option<Number> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    if !is_digits(whole) || !fraction.bytes().all(|digit| digit == b'0') {
        return None;
    }
    let significant = whole.trim_start_matches('0');
    if significant.is_empty() {
        return Some(Number::from(0));
    }
    serde_json::from_str(&format!("{sign}{significant}")).ok()
}

/// A number with the digits it is written with, where JSON can carry them.
fn number(text: &str) -> Option<Number> {
    if let Ok(number) = serde_json::from_str::<Number>(text) {
        return Some(number);
    }
    integer(text).or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

fn text(value: &Value, trail: &Trail) -> Result<String, RenderError> {
    text_of(value)
        .map(|text| text.into_owned())
        .ok_or_else(|| trail.wrong("a list or an object was found where one value is needed"))
}

fn table(check: &mut Check<'_>, node: &Node) -> Option<Arc<Lookup>> {
    let name = check.text(node, "lookup")?;
    let Some(table) = check.lookups.get(&name).cloned() else {
        let known: Vec<String> = check.lookups.keys().cloned().collect();
        check.unknown(node.line, format!("lookup {name}"), &name, known.iter().map(String::as_str));
        return None;
    };
    check.used.insert(name);
    Some(table)
}

fn replacements(check: &mut Check<'_>, node: &Node) -> Vec<(Regex, String)> {
    let mut all = Vec::new();
    for item in check.items(node) {
        let Some(fields) = check.fields(item, "replace", &["pattern", "with"]) else { continue };
        let pattern = check.required(fields, "pattern", "replace").and_then(|node| regex(check, node));
        let with = check.required_text(fields, "with", "replace");
        all.extend(pattern.zip(with));
    }
    all
}

fn padding(check: &mut Check<'_>, node: &Node) -> Option<(usize, char)> {
    let fields = check.fields(node, "pad", &["to", "with"])?;
    let to = check.required(fields, "to", "pad")?;
    let to = check.number(to, "to", 1, 1_000)?;
    let with = match fields.get("with") {
        None => '0',
        Some(node) => {
            let text = check.text(node, "with")?;
            let mut chars = text.chars();
            let (Some(with), None) = (chars.next(), chars.next()) else {
                check.error(node.line, node.shown(), "with: one character");
                return None;
            };
            with
        }
    };
    Some((usize::try_from(to).ok()?, with))
}

/// Compiles a regular expression.
pub(super) fn regex(check: &mut Check<'_>, node: &Node) -> Option<Regex> {
    let pattern = match &node.value {
        Yaml::Text(text) => text.clone(),
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::List(_) | Yaml::Map(_) => {
            check.text(node, "a regular expression")?
        }
    };
    match Regex::new(&pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            check.hinted(node.line, format!("the pattern {pattern:?}"), "a regular expression", last);
            None
        }
    }
}
