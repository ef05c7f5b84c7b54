//! Texts with paths in braces.

use serde_json::Value;

use super::RenderError;
use super::check::Check;
use super::escape::{Form, Inset, form};
use super::path::Path;
use super::place::{self, Place};
use super::scope::{Scope, Trail, is_empty, text_of};

/// A text such as `/tickets/{$.ticket}` or `Missed {$.details.container} bin`.
///
/// Only `{$` and `{@` start a path and only `${` a variable; other braces are text.
#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    /// What a variable stands for.
    Variable(String),
    Path(Path, Inset),
}

impl Template {
    /// Compiles a text.
    pub(super) fn compile(check: &mut Check<'_>, line: usize, text: &str, place: Place) -> Option<Self> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        let mut sound = true;
        while let Some(start) = rest.find(['{', '$']) {
            let (before, from) = rest.split_at(start);
            plain.push_str(before);
            let path = from.starts_with("{$") || from.starts_with("{@");
            let opened = if path { 1 } else { 2 };
            if !path && !from.starts_with("${") {
                plain.push_str(&from[..1]);
                rest = &from[1..];
                continue;
            }
            let Some(end) = closing(from, opened) else {
                check.error(line, format!("{text:?} with a brace that is not closed"), "a closing brace");
                return None;
            };
            let inner = &from[opened..end];
            if path {
                match place::path(check, line, inner, place) {
                    Some(path) => {
                        if !plain.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut plain)));
                        }
                        parts.push(Part::Path(path, Inset::Plain));
                    }
                    None => sound = false,
                }
            } else {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Variable(check.variable(line, inner)));
            }
            rest = &from[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        sound.then_some(Self { parts })
    }

    /// The paths in it.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) | Part::Variable(_) => None,
            Part::Path(path, _) => Some(path.text()),
        })
    }

    /// The text it starts with, before the first path.
    pub(super) fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text) | Part::Variable(text)) => text,
            Some(Part::Path(..)) | None => "",
        }
    }

    /// What its text looks like with something in the place of each path.
    pub(super) fn look(&self) -> Form {
        form(&self.parts.iter().map(Part::shown).collect::<String>())
    }

    /// Has what is filled in written so that it stays one text or value of a document.
    pub(super) fn escaped(mut self, form: Form) -> Self {
        let mut before = String::new();
        for part in &mut self.parts {
            let shown = part.shown().to_owned();
            if let Part::Path(_, inset) = part {
                *inset = Inset::within(form, &before);
            }
            before.push_str(&shown);
        }
        self
    }

    /// The whole as an address: what is filled in is encoded, but for a link that it starts with. Nothing where a path
    /// selects nothing.
    pub(super) fn address(mut self) -> Self {
        for part in self.parts.iter_mut().skip(1) {
            if let Part::Path(_, inset) = part {
                *inset = Inset::Address;
            }
        }
        if let Some(Part::Path(_, inset)) = self.parts.first_mut() {
            *inset = Inset::Link;
        }
        self
    }

    /// Fills the paths in; what selects nothing is left out, and a list is joined by commas.
    pub(super) fn fill(&self, scope: Scope<'_>, trail: &mut Trail) -> Result<String, RenderError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) | Part::Variable(text) => out.push_str(text),
                Part::Path(path, inset) => {
                    let text = match inset {
                        Inset::JsonValue => scope.first(path).map_or("null".to_owned(), Value::to_string),
                        Inset::Plain
                        | Inset::Content
                        | Inset::Attribute
                        | Inset::CData
                        | Inset::JsonText
                        | Inset::Address
                        | Inset::Link => selected(path, scope, trail)?,
                    };
                    if text.is_empty() && matches!(inset, Inset::Address | Inset::Link) {
                        return Ok(String::new());
                    }
                    out.push_str(&inset.write(&text, trail));
                }
            }
        }
        Ok(out)
    }

    /// Fills the paths in, each changed by `encode`; every one must select something.
    pub(super) fn fill_all(
        &self,
        scope: Scope<'_>,
        trail: &Trail,
        encode: impl Fn(&str) -> Result<String, String>,
    ) -> Result<String, RenderError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) | Part::Variable(text) => out.push_str(text),
                Part::Path(path, _) => {
                    let text = selected(path, scope, trail)?;
                    if text.is_empty() {
                        return Err(trail.wrong(format!("{} is absent or empty", path.text())));
                    }
                    out.push_str(&encode(&text).map_err(|reason| trail.wrong(reason))?);
                }
            }
        }
        Ok(out)
    }
}

impl Part {
    fn shown(&self) -> &str {
        match self {
            Self::Text(text) => text,
            // Never taken for a part of the document's own marks.
            Self::Variable(_) | Self::Path(..) => "\u{1}",
        }
    }
}

/// The brace that closes the one before `from`, outside brackets and quotes.
fn closing(text: &str, from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < from) {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') if depth > 0 => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, '}') if depth == 0 => return Some(at),
            (None, _) => {}
        }
    }
    None
}

fn selected(path: &Path, scope: Scope<'_>, trail: &Trail) -> Result<String, RenderError> {
    let Some(value) = scope.first(path).filter(|value| !is_empty(value)) else { return Ok(String::new()) };
    let texts: Option<Vec<_>> = match value.as_array() {
        Some(items) => items.iter().map(text_of).collect(),
        None => text_of(value).map(|text| vec![text]),
    };
    match texts {
        Some(texts) => Ok(texts.join(", ")),
        None => Err(trail.wrong(format!("{} is an object where a text is needed", path.text()))),
    }
}
