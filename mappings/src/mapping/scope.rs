//! What an expression sees while it is evaluated, and what it leaves behind.

use std::borrow::Cow;

use serde_json::Value;

use super::path::{Origin, Path};
use super::place;
use super::{Answer, ReadError, RenderError};

/// What paths select from.
#[derive(Clone, Copy)]
pub(super) struct Scope<'v> {
    /// `$`
    pub(super) root: &'v Value,
    /// `@`; the root outside a list.
    pub(super) item: &'v Value,
    /// The answer whose status and headers tests may look at.
    pub(super) answer: Option<&'v Answer>,
}

impl<'v> Scope<'v> {
    /// Over one document.
    pub(super) fn over(root: &'v Value) -> Self {
        Self { root, item: root, answer: None }
    }

    /// Over an answer and its document.
    pub(super) fn of(answer: &'v Answer, document: &'v Value) -> Self {
        Self { root: document, item: document, answer: Some(answer) }
    }

    /// The same with another current item.
    pub(super) fn at(self, item: &'v Value) -> Self {
        Self { item, ..self }
    }

    /// The first hit of a path that is not null.
    pub(super) fn first(&self, path: &Path) -> Option<&'v Value> {
        path.first(self.start(path))
    }

    /// Every hit of a path, with lists taken apart one level and nulls left out, so that one element and
    /// many read alike.
    pub(super) fn each(&self, path: &Path) -> Vec<&'v Value> {
        let mut items = Vec::new();
        for hit in path.select(self.start(path)) {
            match hit {
                Value::Array(inner) => items.extend(inner.iter().filter(|item| !item.is_null())),
                Value::Null => {}
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => items.push(hit),
            }
        }
        items
    }

    /// The items of a list, which may be empty but must have its place in the document.
    ///
    /// # Errors
    /// [`ReadError`] where the document is another one than the list was looked for in.
    pub(super) fn list(&self, path: &Path) -> Result<Vec<&'v Value>, ReadError> {
        let items = self.each(path);
        if items.is_empty() && !path.has_place(self.start(path)) {
            let found = match self.start(path) {
                Value::Null => "nothing",
                Value::Bool(_) | Value::Number(_) | Value::String(_) => "a bare word",
                Value::Array(_) | Value::Object(_) => "a document",
            };
            return Err(ReadError {
                reason: format!("{found} where a list was expected at {}", path.text()),
            });
        }
        Ok(items.into_iter().filter(|item| !is_empty(item)).collect())
    }

    fn start(&self, path: &Path) -> &'v Value {
        match path.origin() {
            Origin::Root => self.root,
            Origin::Item => self.item,
        }
    }
}

/// Where in the target evaluation is, and what was lost on the way.
#[derive(Debug, Default)]
pub(super) struct Trail {
    fields: Vec<String>,
    /// Truncations and characters left out.
    pub(super) warnings: Vec<String>,
    /// The item of the list that is gone through may be personal.
    pub(super) personal: bool,
}

impl Trail {
    /// Starts at a named part of the call.
    pub(super) fn at(field: &str) -> Self {
        Self { fields: vec![field.to_owned()], ..Self::default() }
    }

    /// Evaluates a member of the target.
    pub(super) fn within<T>(&mut self, field: &str, evaluate: impl FnOnce(&mut Self) -> T) -> T {
        self.fields.push(field.to_owned());
        let result = evaluate(self);
        self.fields.pop();
        result
    }

    /// The member being evaluated, as a dotted path.
    pub(super) fn field(&self) -> String {
        self.fields.join(".")
    }

    /// Whether what is evaluated may be personal by where it is taken from or goes to.
    pub(super) fn is_personal(&self) -> bool {
        self.personal || self.fields.iter().any(|field| place::is_personal_name(field))
    }

    /// An error at this member.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> RenderError {
        RenderError { field: self.field(), reason: reason.into() }
    }

    /// A warning at this member.
    pub(super) fn warn(&mut self, what: &str) {
        self.warnings.push(format!("{}: {what}", self.field()));
    }
}

/// A scalar as text; an XML element with attributes stands for its text. `None` for null, lists and objects.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Object(members) => match members.get("#text") {
            Some(Value::String(text)) => Some(Cow::Borrowed(text)),
            Some(_) | None => None,
        },
        Value::Null | Value::Array(_) => None,
    }
}

/// Null, a blank text, an empty list or an empty object.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
