//! Texts with paths in braces.

use super::RenderError;
use super::check::Check;
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
    Path(Path),
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
                        parts.push(Part::Path(path));
                    }
                    None => sound = false,
                }
            } else {
                plain.push_str(&check.variable(line, inner));
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
            Part::Text(_) => None,
            Part::Path(path) => Some(path.text()),
        })
    }

    /// The text it starts with, before the first path.
    pub(super) fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Path(_)) | None => "",
        }
    }

    /// Fills the paths in; what selects nothing is left out, and a list is joined by commas.
    pub(super) fn fill(&self, scope: Scope<'_>, trail: &Trail) -> Result<String, RenderError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Path(path) => out.push_str(&selected(path, scope, trail)?),
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
                Part::Text(text) => out.push_str(text),
                Part::Path(path) => {
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
