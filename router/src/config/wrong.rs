//! A setting that is of its form and cannot be used.

use toml::{Table, Value};

use super::{Error, line_of};

/// What is wrong with a setting.
pub(super) struct Wrong {
    /// Where it is: section, key, and what is below.
    pub(super) path: Vec<String>,
    /// What was found and expected.
    pub(super) reason: String,
}

impl Wrong {
    /// The error, with the line and the variable that the setting is filled from.
    ///
    /// `written` is the file before its `${NAME}` were filled; `variables` are the settings that the environment changed,
    /// with the names of the variables.
    pub(super) fn in_file(
        self,
        file: Option<(&str, &str)>,
        written: &Table,
        variables: &[(String, String)],
    ) -> Error {
        let path = self.path.join(".");
        if let Some((_, variable)) = variables.iter().find(|(known, _)| *known == path) {
            return Error::Setting { place: variable.clone(), reason: self.reason };
        }
        let raw = self.raw(written);
        let name = raw.and_then(|raw| Some(raw.split_once("${")?.1.split_once('}')?.0));
        let reason = match name {
            Some(name) => {
                format!("{}; hint: ${{{name}}} is set, but empty or not what is expected", self.reason)
            }
            None => self.reason.clone(),
        };
        let place = match (file, raw) {
            (Some((file, text)), Some(raw)) if !raw.is_empty() => {
                format!("{file}:{} ({path})", line_of(text, raw))
            }
            (Some((file, text)), _) => format!("{file}:{} ({path})", self.line(text)),
            (None, _) => path,
        };
        Error::Setting { place, reason }
    }

    /// The text of the setting as it stands in the file.
    fn raw<'t>(&self, written: &'t Table) -> Option<&'t str> {
        let (first, rest) = self.path.split_first()?;
        let found = rest.iter().try_fold(written.get(first)?, |value, step| match value {
            Value::Table(inner) => inner.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => None,
        });
        found?.as_str()
    }

    /// The line of the key, where its text does not tell it.
    fn line(&self, text: &str) -> usize {
        let key = self.path.get(1).map_or("", String::as_str);
        line_of(text, key)
    }
}
