//! How a system is reached.

use std::time::Duration;

use super::Secret;
use super::check::{Check, Fields};
use super::yaml::{Node, Yaml};

/// How a system is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// URL that every call's path is added to; without a slash at its end.
    pub base_url: String,
    /// How we prove who we are.
    pub auth: Auth,
    /// Time for a whole call; 30 s unless the mapping says otherwise.
    pub timeout: Duration,
    /// Time for connecting; 5 s unless the mapping says otherwise.
    pub connect_timeout: Duration,
    /// Time until the answer begins, connecting included; that for the whole call unless the mapping says otherwise.
    pub answer_timeout: Duration,
    /// Headers of every call.
    pub headers: Vec<(String, String)>,
}

/// How we prove to a system who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all, or in the body.
    None,
    /// HTTP basic authentication.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// `Authorization: token …`, as Request Tracker wants it.
    Token(Secret),
    /// A key in a header of its own.
    ApiKey {
        /// The header.
        header: String,
        /// The key.
        key: Secret,
    },
    /// A WS-Security user name token in the SOAP header.
    WsSecurity {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
}

const AUTHS: &[&str] = &["basic", "bearer", "token", "api_key", "ws_security"];

impl Connection {
    /// Reads `connection:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let known = ["base_url", "auth", "timeout", "connect_timeout", "answer_timeout", "headers"];
        let fields = check.fields(node, "connection", &known)?;
        let base_url = base_url(check, fields);
        let auth = match fields.get("auth") {
            Some(node) => Auth::compile(check, node),
            None => Some(Auth::None),
        };
        let timeout = fields.get("timeout").and_then(|node| check.duration(node, "timeout"));
        let connect = fields.get("connect_timeout").and_then(|node| check.duration(node, "connect_timeout"));
        let answer = fields.get("answer_timeout").and_then(|node| check.duration(node, "answer_timeout"));
        let headers = fields.get("headers").map(|node| headers(check, node)).unwrap_or_default();
        let timeout = timeout.unwrap_or(Duration::from_secs(30));
        let connect = connect.unwrap_or_else(|| Duration::from_secs(5).min(timeout));
        let answer_timeout = answer.unwrap_or(timeout);
        if connect > answer_timeout || answer_timeout > timeout {
            check.error(
                node.line,
                format!(
                    "{} to connect, {} until the answer begins, {} in all",
                    seconds(connect),
                    seconds(answer_timeout),
                    seconds(timeout)
                ),
                "connect_timeout no longer than answer_timeout, and that no longer than timeout",
            );
        }
        Some(Self {
            base_url: base_url?,
            auth: auth?,
            timeout,
            connect_timeout: connect,
            answer_timeout,
            headers,
        })
    }
}

impl Auth {
    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        if node.as_text() == Some("none") {
            return Some(Self::None);
        }
        let fields = check.fields(node, "auth", AUTHS)?;
        let kind = check.one_of(fields, "auth", AUTHS)?;
        let node = fields.get(kind)?;
        match kind {
            "basic" => {
                let (username, password) = user(check, node, kind)?;
                Some(Self::Basic { username, password })
            }
            "ws_security" => {
                let (username, password) = user(check, node, kind)?;
                Some(Self::WsSecurity { username, password })
            }
            "api_key" => {
                let fields = check.fields(node, kind, &["header", "key"])?;
                let header = check.required_text(fields, "header", kind);
                let key = check.secret(fields, "key", kind);
                Some(Self::ApiKey { header: header?, key: key? })
            }
            _ => {
                let fields = check.fields(node, kind, &["token"])?;
                let token = check.secret(fields, "token", kind)?;
                Some(if kind == "bearer" { Self::Bearer(token) } else { Self::Token(token) })
            }
        }
    }
}

/// `{username, password}`
pub(super) fn user(check: &mut Check<'_>, node: &Node, what: &str) -> Option<(String, Secret)> {
    let fields = check.fields(node, what, &["username", "password"])?;
    let username = check.required_text(fields, "username", what);
    let password = check.secret(fields, "password", what);
    Some((username?, password?))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn base_url(check: &mut Check<'_>, fields: Fields<'_>) -> Option<String> {
    let before = check.findings.len();
    let url = check.required_text(fields, "base_url", "connection")?;
    let node = fields.get("base_url")?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let sound = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
    if !sound && check.findings.len() == before {
        check.error(
            node.line,
            format!("base_url {}", node.shown()),
            "a URL that starts with https:// or http://",
        );
    }
    Some(url.trim_end_matches('/').to_owned())
}

fn headers(check: &mut Check<'_>, node: &Node) -> Vec<(String, String)> {
    let Yaml::Map(entries) = &node.value else {
        check.error(node.line, node.shown(), "headers: a mapping of names to texts");
        return Vec::new();
    };
    entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), check.text(&entry.value, &entry.key)?)))
        .collect()
}
