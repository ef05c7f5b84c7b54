//! How a system is reached.

use std::time::Duration;

use super::check::{Check, Fields};
use super::yaml::{Node, Yaml};
use super::{Secret, address};

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
    /// A bearer token that is fetched by OAuth 2.0 client credentials (RFC 6749, section 4.4).
    OAuth2(OAuth2),
}

/// How access tokens are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// The token end point; it may be on another host than the system.
    pub token_url: String,
    /// Who we are.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret,
    /// What the token is for, where the end point wants to be told.
    pub scope: Option<String>,
    /// Where the end point looks for id and secret.
    pub credentials: Credentials,
}

/// Where a token end point looks for the client's id and secret (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// In an `Authorization: Basic` header, which every end point must support.
    Header,
    /// In the form, beside the grant.
    Form,
}

const AUTHS: &[&str] = &["basic", "bearer", "token", "api_key", "ws_security", "oauth2"];

impl Connection {
    /// Reads `connection:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let known = ["base_url", "auth", "timeout", "connect_timeout", "answer_timeout", "headers"];
        let fields = check.fields(node, "connection", &known)?;
        let base_url = url(check, fields, "base_url", "connection");
        let auth = match fields.get("auth") {
            Some(node) => Auth::compile(check, node),
            None => Some(Auth::None),
        };
        let timeout = fields.get("timeout").and_then(|node| check.duration(node, "timeout"));
        let connect = fields.get("connect_timeout").and_then(|node| check.duration(node, "connect_timeout"));
        let answer = fields.get("answer_timeout").and_then(|node| check.duration(node, "answer_timeout"));
        check.in_call = true;
        let headers = fields.get("headers").map(|node| headers(check, node)).unwrap_or_default();
        check.in_call = false;
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
            base_url: base_url?.trim_end_matches('/').to_owned(),
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
            "oauth2" => OAuth2::compile(check, node).map(Self::OAuth2),
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

impl OAuth2 {
    /// `{token_url, client_id, client_secret, scope, credentials}`
    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let known = ["token_url", "client_id", "client_secret", "scope", "credentials"];
        let fields = check.fields(node, "oauth2", &known)?;
        let token_url = url(check, fields, "token_url", "oauth2");
        let client_id = check.required_text(fields, "client_id", "oauth2");
        let client_secret = check.secret(fields, "client_secret", "oauth2");
        let scope = check.text_of(fields, "scope");
        let words = [("header", Credentials::Header), ("form", Credentials::Form)];
        let credentials = match fields.get("credentials") {
            Some(node) => check.word(node, "credentials", &words),
            None => Some(Credentials::Header),
        };
        Some(Self {
            token_url: token_url?,
            client_id: client_id?,
            client_secret: client_secret?,
            scope,
            credentials: credentials?,
        })
    }
}

/// `{username, password}`
fn user(check: &mut Check<'_>, node: &Node, what: &str) -> Option<(String, Secret)> {
    let fields = check.fields(node, what, &["username", "password"])?;
    let username = check.required_text(fields, "username", what);
    let password = check.secret(fields, "password", what);
    Some((username?, password?))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn url(check: &mut Check<'_>, fields: Fields<'_>, key: &str, what: &str) -> Option<String> {
    let before = check.findings.len();
    let url = check.required_text(fields, key, what)?;
    let node = fields.get(key)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let sound = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
    if check.findings.len() > before {
        return Some(url);
    }
    let found = format!("{key} {:?}", address::shown(&url));
    if !sound {
        check.error(node.line, found, "a URL that starts with https:// or http://");
    } else if rest.is_some_and(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default().contains('@')) {
        check.error(node.line, found, "an address without a user name or password: these belong under auth");
    } else if key == "base_url" && url.contains(['?', '#']) {
        let expected = "an address without a query: what every call sends there stands in its query";
        check.error(node.line, found, expected);
    }
    Some(url)
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

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn auth(text: &str) -> Result<Auth, String> {
        let mut check = Check::new("f.yaml", &lower);
        let auth = Auth::compile(&mut check, &yaml::parse(text).expect("yaml"));
        let found: String = check.findings.iter().map(|finding| format!("{finding}\n")).collect();
        auth.filter(|_| found.is_empty()).ok_or(found)
    }

    #[test]
    fn client_credentials_are_read_and_the_secret_is_never_shown() {
        let whole = "{oauth2: {token_url: https://login.test/t, client_id: us, client_secret: \"${OUR_SECRET}\", \
                     scope: https://crm.test/.default, credentials: form}}";
        let auth = auth(whole).expect("compiled");
        let Auth::OAuth2(oauth2) = &auth else { panic!("{auth:?}") };
        assert_eq!(oauth2.token_url, "https://login.test/t");
        assert_eq!(oauth2.scope.as_deref(), Some("https://crm.test/.default"));
        assert_eq!((oauth2.client_secret.expose(), oauth2.credentials), ("our_secret", Credentials::Form));
        assert!(!format!("{auth:?}").contains("our_secret"));
    }

    #[test]
    fn without_more_the_credentials_go_into_the_header() {
        let auth = auth("{oauth2: {token_url: http://login.test/t, client_id: us, client_secret: s}}");
        let Ok(Auth::OAuth2(oauth2)) = auth else { panic!("{auth:?}") };
        assert_eq!((oauth2.scope, oauth2.credentials), (None, Credentials::Header));
    }

    #[test]
    fn a_wrong_oauth2_is_refused_with_its_reason() {
        let cases = [
            ("{client_id: a, client_secret: b}", "oauth2 without token_url"),
            ("{token_url: https://t, client_secret: b}", "oauth2 without client_id"),
            ("{token_url: https://t, client_id: a}", "oauth2 without client_secret"),
            ("{token_url: login.test, client_id: a, client_secret: b}", "expected a URL that starts with"),
            (
                "{token_url: https://t, client_id: a, client_secret: b, credentials: body}",
                "one of header, form",
            ),
            ("{token_url: https://t, client_id: a, client_secret: b, scopes: c}", "did you mean scope?"),
        ];
        for (oauth2, expected) in cases {
            let found = auth(&format!("{{oauth2: {oauth2}}}")).expect_err(oauth2);
            assert!(found.contains(expected), "{oauth2}: {found}");
        }
    }
}
