//! The settings: the embedded defaults, a file over them, the environment over both.
//!
//! This is the only module that reads the environment.

mod address;
mod keys;
mod listen;
mod span;
mod wrong;

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use self::address::without_password;
pub use self::keys::{Key, SHORT};
pub use self::listen::{Console, Http, Listeners};
pub use self::span::Span;
use self::wrong::Wrong;
use crate::bus::{self, Topology};
use crate::files;
use crate::reading::Reading;

/// `config.default.toml`, as shipped.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

/// The prefix of variables that change a setting, for example `DOVETAIL__HTTP__LISTEN`.
const PREFIX: &str = "DOVETAIL__";

/// All settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The HTTP doors.
    pub http: Http,
    /// The console and the metrics.
    pub console: Console,
    /// What holds for both.
    pub listeners: Listeners,
    /// What is read at every door.
    pub reading: Reading,
    /// The database.
    pub ledger: Ledger,
    /// The broker.
    pub bus: Bus,
    /// Where the mappings are.
    pub mappings: Mappings,
    /// Files that systems write.
    pub files: files::Settings,
    /// How a router works.
    pub worker: Worker,
    /// Shortened times.
    pub pace: Pace,
    /// Logs and traces.
    pub telemetry: Telemetry,
}

/// `[ledger]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The database's address.
    pub url: String,
    /// The most connections.
    pub connections: u32,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("url", &without_password(&self.url)).finish_non_exhaustive()
    }
}

/// `[bus]`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    /// The broker's address; empty for none.
    pub url: String,
    /// Deliveries held unacknowledged.
    pub prefetch: u16,
    /// Bytes of deliveries held unacknowledged.
    pub unacknowledged_bytes: usize,
    /// Events published without a confirm yet.
    pub confirm_window: usize,
    /// Exchange of requests.
    pub requests_exchange: String,
    /// Queue of requests.
    pub requests_queue: String,
    /// Exchange of completions.
    pub completions_exchange: String,
    /// Queue of completions.
    pub completions_queue: String,
    /// Exchange of events.
    pub events_exchange: String,
    /// Exchange and queue of what the broker rejects.
    pub dead_exchange: String,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("url", &without_password(&self.url)).finish_non_exhaustive()
    }
}

impl Bus {
    /// The same for the bus.
    pub fn settings(&self) -> bus::Settings {
        bus::Settings {
            topology: Topology {
                requests: self.requests_exchange.clone(),
                intake: self.requests_queue.clone(),
                back_office: self.completions_exchange.clone(),
                completions: self.completions_queue.clone(),
                events: self.events_exchange.clone(),
                dead: self.dead_exchange.clone(),
                ..Topology::default()
            },
            prefetch: self.prefetch,
            unacknowledged_bytes: self.unacknowledged_bytes,
            window: self.confirm_window,
            ..bus::Settings::new(self.url.clone())
        }
    }
}

/// `[mappings]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mappings {
    /// The folder; empty for the shipped ones.
    pub folder: String,
    /// The systems used; empty for all.
    pub systems: Vec<String>,
}

impl Mappings {
    /// The folder, where one is named.
    pub fn folder(&self) -> Option<&Path> {
        Some(Path::new(&self.folder)).filter(|folder| !folder.as_os_str().is_empty())
    }
}

/// `[worker]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// How often a router says that it lives.
    pub heartbeat: Span,
    /// The silence after which others take over.
    pub dead_after: Span,
    /// How often the ledger is asked for what is due.
    pub claim_every: Span,
    /// How long a stop may take.
    pub stop_within: Span,
    /// How often the clocks of tickets are looked at.
    pub clocks_every: Span,
    /// Calls held in memory, as a multiple of a system's concurrency.
    pub room_factor: usize,
}

/// `[pace]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// In place of every mapping's poll interval.
    pub poll_every: Span,
    /// In place of every mapping's first retry delay.
    pub retry_first: Span,
    /// In place of every mapping's longest retry delay.
    pub retry_most: Span,
}

/// `[telemetry]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Filter directives.
    pub log: String,
    /// The form of a log line.
    pub format: LogFormat,
    /// The OTLP endpoint; empty for none.
    pub otlp: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML. The line itself is not shown, since it may hold a secret.
    #[error("{file}:{line}: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A setting is unknown or of the wrong form.
    #[error("{place}: {reason}")]
    Setting {
        /// File and line, or the variable.
        place: String,
        /// What was found and expected.
        reason: String,
    },
}

/// A variable of the environment.
#[expect(clippy::disallowed_methods, reason = "this is the one place where the environment is read")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether the environment leaves colours to us: <https://no-color.org>, and terminals that know none.
pub fn may_colour() -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty())
        && variable("TERM").is_none_or(|value| value != "dumb")
}

/// What stands for `${NAME}` or `${file:/path}`: a variable, or a file's text without the line end.
pub fn resolve(name: &str) -> Option<String> {
    match name.strip_prefix("file:") {
        Some(path) => std::fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned()),
        None => variable(name),
    }
}

impl Config {
    /// The defaults, changed by `file` and by the environment.
    ///
    /// # Errors
    /// [`Error`] names the file and line, or the variable, with what was found and expected.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let text = match file {
            None => None,
            Some(path) => {
                let file = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .map_err(|source| Error::Read { file: file.clone(), source })?;
                Some((file, text))
            }
        };
        let variables = std::env::vars().filter(|(name, _)| name.starts_with(PREFIX));
        Self::layer(text.as_ref().map(|(file, text)| (file.as_str(), text.as_str())), variables, &resolve)
    }

    /// The defaults alone.
    ///
    /// # Errors
    /// Never, as long as `config.default.toml` is what this release shipped.
    pub fn defaults() -> Result<Self, Error> {
        Self::layer(None, std::iter::empty(), &|_| None)
    }

    fn layer(
        file: Option<(&str, &str)>,
        variables: impl Iterator<Item = (String, String)>,
        resolve: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut settings = parse("config.default.toml", DEFAULTS)?;
        let mut written = Table::new();
        if let Some((name, text)) = file {
            let mut own = parse(name, text)?;
            written.clone_from(&own);
            expand(&mut own, &mut |variable| {
                resolve(variable).ok_or_else(|| Error::Setting {
                    place: format!("{name}:{}", line_of(text, &format!("${{{variable}}}"))),
                    reason: format!("${{{variable}}} is not set; hint: export it, or use ${{file:/path}}"),
                })
            })?;
            merge(&mut settings, own);
        }
        let mut from_environment = Vec::new();
        for (name, value) in variables {
            let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
            set(&mut settings, &path, &value);
            from_environment.push((path.join("."), name));
        }
        let place = |path: &str| {
            let key = path.rsplit('.').next().unwrap_or_default();
            let variable = from_environment.iter().find(|(known, _)| known == path);
            match (variable, file) {
                (Some((_, variable)), _) => variable.clone(),
                (None, Some((name, text))) => format!("{name}:{} ({path})", line_of(text, key)),
                (None, None) => path.to_owned(),
            }
        };
        let config: Self = serde_path_to_error::deserialize(settings).map_err(
            |error: serde_path_to_error::Error<toml::de::Error>| {
                let reason = keys::without_values(error.inner().message());
                Error::Setting { place: place(&error.path().to_string()), reason }
            },
        )?;
        let checked = listen::check(&config);
        checked.map_err(|(path, reason)| Error::Setting { place: place(path), reason })?;
        config.secrets().map_err(|wrong| wrong.in_file(file, &written, &from_environment))?;
        Ok(config)
    }

    /// Refuses secrets that are empty, and keys that do not say whom they let in.
    fn secrets(&self) -> Result<(), Wrong> {
        keys::check(&self.http)?;
        for (path, url) in [(["ledger", "url"], &self.ledger.url), (["bus", "url"], &self.bus.url)] {
            if address::lacks_password(url) {
                let reason = format!(
                    "the password in {} is empty: expected a password, or no colon after the user",
                    without_password(url)
                );
                return Err(Wrong { path: path.map(str::to_owned).to_vec(), reason });
            }
        }
        Ok(())
    }

    /// Whether there is a broker.
    pub fn has_bus(&self) -> bool {
        !self.bus.url.is_empty()
    }
}

/// Every key of the settings as `section.key`, for the test that compares them with the shipped file.
pub fn keys() -> Vec<String> {
    let table = Config::defaults().ok().and_then(|config| Table::try_from(config).ok()).unwrap_or_default();
    leaves(&table)
}

/// Every key that `config.default.toml` sets, as `section.key`.
pub fn default_keys() -> Vec<String> {
    leaves(&DEFAULTS.parse().unwrap_or_default())
}

fn leaves(table: &Table) -> Vec<String> {
    let mut keys: Vec<String> = table
        .iter()
        .filter_map(|(section, value)| Some((section, value.as_table()?)))
        .flat_map(|(section, inner)| inner.keys().map(move |key| format!("{section}.{key}")))
        .collect();
    keys.sort();
    keys
}

fn parse(file: &str, text: &str) -> Result<Table, Error> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Error::Syntax { file: file.to_owned(), line, reason: error.message().replace('\n', "; ") }
    })
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn set(table: &mut Table, path: &[String], text: &str) {
    let Some((key, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        let value = match (table.get(key), text.parse::<i64>()) {
            (Some(Value::Integer(_)), Ok(number)) => Value::Integer(number),
            (Some(Value::Array(_)), _) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
            }
            (Some(Value::Boolean(_)), _) => {
                text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Boolean)
            }
            _ => Value::String(text.to_owned()),
        };
        table.insert(key.clone(), value);
    } else if let Some(inner) =
        table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new())).as_table_mut()
    {
        set(inner, rest, text);
    }
}

fn expand(table: &mut Table, resolve: &mut dyn FnMut(&str) -> Result<String, Error>) -> Result<(), Error> {
    fn walk(value: &mut Value, resolve: &mut dyn FnMut(&str) -> Result<String, Error>) -> Result<(), Error> {
        if let Value::String(text) = value {
            *text = expanded(text, resolve)?;
        } else if let Value::Array(items) = value {
            for item in items {
                walk(item, resolve)?;
            }
        } else if let Value::Table(inner) = value {
            expand(inner, resolve)?;
        }
        Ok(())
    }
    for (_, value) in table.iter_mut() {
        walk(value, resolve)?;
    }
    Ok(())
}

fn expanded(text: &str, resolve: &mut dyn FnMut(&str) -> Result<String, Error>) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        out.push_str(&resolve(name)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn line_of(text: &str, part: &str) -> usize {
    text.lines().position(|line| line.contains(part)).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn layered(text: &str) -> Result<Config, String> {
        let resolve = |name: &str| (name == "SECRET").then(|| "s3cret".to_owned());
        Config::layer(Some(("my.toml", text)), std::iter::empty(), &resolve).map_err(|e| e.to_string())
    }

    #[test]
    fn the_defaults_stand_alone() {
        let config = Config::defaults().expect("valid");
        assert!(!config.has_bus());
        assert_eq!(config.worker.heartbeat.0, Duration::from_secs(2));
        assert_eq!(keys(), default_keys());
    }

    #[test]
    fn a_file_changes_only_what_it_names() {
        let config = layered("[ledger]\nurl = \"postgres://u:${SECRET}@h/d\"").expect("valid");
        assert_eq!(config.ledger.url, "postgres://u:s3cret@h/d");
        assert_eq!(config.ledger.connections, 8);
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_mistake_names_file_line_and_what_was_expected() {
        let error = layered("[http]\n\nlisten = 8").expect_err("refused");
        assert!(
            error.starts_with("my.toml:3 (http.listen)") && error.contains("expected a string"),
            "{error}"
        );
        let error = layered("[http]\nlisen = \"x\"").expect_err("refused");
        assert!(error.starts_with("my.toml:2") && error.contains("unknown field `lisen`"), "{error}");
        let error = layered("[bus]\nurl = \"${NOWHERE}\"").expect_err("refused");
        assert!(error.starts_with("my.toml:2") && error.contains("not set"), "{error}");
        let error = layered("[worker]\nheartbeat = \"soon\"").expect_err("refused");
        assert!(error.contains("expected for example 500ms"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_toml_is_named_with_its_line_and_without_what_it_says() {
        let error = layered("[bus]\n\nurl = \"amqp://u:s3cret@h/\n").expect_err("refused");
        assert!(error.starts_with("my.toml:3: ") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let variables = [("DOVETAIL__HTTP__LISTEN".to_owned(), "127.0.0.1:0".to_owned())];
        let file = Some(("my.toml", "[http]\nlisten = \"0.0.0.0:1\""));
        let config = Config::layer(file, variables.into_iter(), &|_| None).expect("valid");
        assert_eq!(config.http.listen, "127.0.0.1:0");
    }
}
