//! Values that are never shown.

use std::fmt;

use super::check::{Check, Fields};

/// A secret: `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The secret itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret that others prove themselves by and, while it is changed, the one before it: both are valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The secret.
    pub current: Secret,
    /// The one before it.
    pub old: Option<Secret>,
}

impl Secrets {
    /// A secret that is not being changed.
    pub fn one(current: Secret) -> Self {
        Self { current, old: None }
    }

    /// Each with its age, the current one first.
    pub fn each(&self) -> impl Iterator<Item = (SecretAge, &Secret)> {
        std::iter::once((SecretAge::Current, &self.current))
            .chain(self.old.iter().map(|old| (SecretAge::Old, old)))
    }

    /// The age of the secret that `is_it` holds for. All are tried, so that the time tells nothing.
    pub fn find(&self, is_it: impl Fn(&Secret) -> bool) -> Option<SecretAge> {
        let mut found = None;
        for (age, secret) in self.each() {
            if is_it(secret) {
                found = found.or(Some(age));
            }
        }
        found
    }
}

/// Which of two secrets that are valid at once was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretAge {
    /// The one that everybody should use.
    Current,
    /// The one before it, which can be taken away when it is used no more.
    Old,
}

impl SecretAge {
    /// The word in metrics: `current` or `old`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Old => "old",
        }
    }
}

impl Check<'_> {
    /// The secret of a key that must be there, and must not be empty.
    pub(super) fn secret(&mut self, fields: Fields<'_>, key: &str, what: &str) -> Option<Secret> {
        let node = self.required(fields, key, what)?;
        let before = self.findings.len();
        let secret = Secret::new(self.text(node, key)?);
        if secret.expose().trim().is_empty() && self.findings.len() == before {
            let variable = node.as_text().and_then(|text| text.split_once("${")?.1.split_once('}'));
            let hint = match variable {
                Some((name, _)) => format!("${{{name}}} is set, but empty"),
                None => format!("write {key}: \"${{NAME}}\", and set NAME in the environment"),
            };
            self.hinted(node.line, format!("{what} with an empty {key}"), "a secret", hint);
        }
        self.secrets.push(secret.clone());
        Some(secret)
    }

    /// The secret of a key that must be there and, under `old_` and the same key, the one before it.
    pub(super) fn secrets(&mut self, fields: Fields<'_>, key: &str, what: &str) -> Option<Secrets> {
        let old_key = format!("old_{key}");
        let current = self.secret(fields, key, what);
        let old = match fields.get(&old_key) {
            Some(_) => Some(self.secret(fields, &old_key, what)?),
            None => None,
        };
        let current = current?;
        if old.as_ref() == Some(&current) && !current.expose().trim().is_empty() {
            let line = fields.get(&old_key).map_or(fields.line(), |node| node.line);
            self.error(
                line,
                format!("{what} with {old_key} that is {key}"),
                format!("the {key} before this one"),
            );
        }
        Some(Secrets { current, old })
    }
}
