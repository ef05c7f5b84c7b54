//! Access tokens by OAuth 2.0 client credentials (RFC 6749, section 4.4), one for all calls of a connector.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use mappings::mapping::{Answer, Credentials, OAuth2};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Url};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::classify;
use crate::draft::{Draft, OURSELVES};
use crate::exchange::{self, Broken, Room};

/// How long a token is kept whose end point does not say how long it lasts.
const UNSAID: Duration = Duration::from_secs(300);
/// No token is kept longer.
const LONGEST: Duration = Duration::from_secs(86_400);
/// A token is given up this long before it expires, or a fifth of its life where that is shorter: the call it
/// goes with is still on its way.
const MARGIN: Duration = Duration::from_secs(60);
/// How much of an end point's own words is told.
const WORDS: usize = 300;

/// `application/x-www-form-urlencoded` but for spaces, which are `%20` here and in every reader.
const FORM: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// The tokens of one system. However many calls want one at once, it is fetched once.
pub(crate) struct Tokens {
    oauth2: OAuth2,
    url: Url,
    client: Client,
    /// How long an answer may take to begin.
    patience: Duration,
    state: Mutex<State>,
    /// How many fetches have ended.
    fetches: AtomicU64,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<Failure>,
}

struct Held {
    token: Token,
    until: Timestamp,
}

/// A token, and the header that carries it.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) header: HeaderValue,
}

/// Why there is no token. The call that wanted it was not sent.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// In plain words.
    pub(crate) reason: String,
    /// The pause that the end point asked for.
    pub(crate) after: Option<Duration>,
    /// What was sent to the end point.
    pub(crate) draft: Box<Draft>,
    /// What it answered.
    pub(crate) answer: Option<Answer>,
}

impl Tokens {
    /// Connects to nothing yet.
    pub(crate) fn new(oauth2: OAuth2, url: Url, client: Client, patience: Duration) -> Self {
        Self { oauth2, url, client, patience, state: Mutex::default(), fetches: AtomicU64::new(0) }
    }

    /// Reads a token URL.
    pub(crate) fn url(text: &str) -> Result<Url, String> {
        let expected = "expected https://host/path of the token end point";
        let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or password; these are client_id and client_secret".into());
        }
        if url.fragment().is_some() {
            return Err(format!("it holds a fragment; {expected}"));
        }
        Ok(url)
    }

    /// A token that is good at `now` and is not the one that was `refused`.
    ///
    /// Who waits while another fetches shares what comes of it, be it a failure: an end point that is slow to
    /// fail is not asked once for each waiting call.
    pub(crate) async fn token(&self, refused: Option<&Token>, now: Timestamp) -> Result<Token, Failure> {
        let before = self.fetches.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        let good =
            |held: &&Held| now < held.until && refused.is_none_or(|token| token.text != held.token.text);
        if let Some(held) = state.held.as_ref().filter(good) {
            return Ok(held.token.clone());
        }
        if self.fetches.load(Ordering::Acquire) != before
            && let Some(failure) = &state.failed
        {
            return Err(failure.clone());
        }
        state.held = None;
        let fetched = self.fetch(now).await;
        self.fetches.fetch_add(1, Ordering::Release);
        match fetched {
            Ok((token, lasts)) => {
                let lasts = lasts.min(LONGEST);
                let until = now.checked_add(lasts - MARGIN.min(lasts / 5)).unwrap_or(now);
                *state = State { held: Some(Held { token: token.clone(), until }), failed: None };
                Ok(token)
            }
            Err(failure) => {
                state.failed = Some(failure.clone());
                Err(failure)
            }
        }
    }

    async fn fetch(&self, now: Timestamp) -> Result<(Token, Duration), Failure> {
        let draft = self.draft();
        match exchange::send(&self.client, &draft, self.patience, Room::Document(exchange::LARGEST)).await {
            Err(Broken::NotSent(reason) | Broken::NotAnswered(reason)) => {
                let reason = format!("no access token: {reason}");
                Err(Failure { reason, after: None, draft: Box::new(draft), answer: None })
            }
            Ok(reply) => read(&reply.answer).map_err(|reason| Failure {
                reason: format!("no access token: {} {reason}", self.named()),
                after: classify::pause(&reply.answer, now),
                draft: Box::new(draft),
                answer: Some(reply.answer),
            }),
        }
    }

    fn named(&self) -> String {
        format!("{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }

    fn draft(&self) -> Draft {
        let OAuth2 { client_id, client_secret, scope, credentials, .. } = &self.oauth2;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(OURSELVES));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let mut body = "grant_type=client_credentials".to_owned();
        if let Some(scope) = scope {
            body.push_str(&format!("&scope={}", encoded(scope)));
        }
        let (id, secret) = (encoded(client_id), encoded(client_secret.expose()));
        match credentials {
            Credentials::Header => {
                // Encoded as a form before they are joined: RFC 6749, section 2.3.1.
                let pair = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
                if let Ok(mut value) = HeaderValue::from_str(&pair) {
                    value.set_sensitive(true);
                    headers.insert(AUTHORIZATION, value);
                }
            }
            Credentials::Form => body.push_str(&format!("&client_id={id}&client_secret={secret}")),
        }
        Draft { method: Method::POST, url: self.url.clone(), headers, body }
    }
}

pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &FORM).to_string()
}

/// Reads the answer of a token end point (RFC 6749, sections 5.1 and 5.2).
fn read(answer: &Answer) -> Result<(Token, Duration), String> {
    let document: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if answer.status != 200 {
        return Err(refusal(answer, &document));
    }
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let kind = text("token_type").unwrap_or("Bearer");
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err(format!("gave a token of type {kind:?}; expected Bearer"));
    }
    let Some(token) = text("access_token").filter(|token| !token.is_empty()) else {
        return Err("answered 200 OK without an access_token".to_owned());
    };
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "gave a token that no header can carry".to_owned())?;
    header.set_sensitive(true);
    // Some end points write the number as a text.
    let lasts = document.get("expires_in").and_then(|lasts| match lasts {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    Ok((Token { text: token.to_owned(), header }, lasts.map_or(UNSAID, Duration::from_secs)))
}

fn refusal(answer: &Answer, document: &Value) -> String {
    let words = StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    let mut said = format!("answered {} {}", answer.status, words.unwrap_or_default()).trim_end().to_owned();
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let code = text("error");
    if let Some(code) = code {
        said.push_str(&format!(", {code}"));
    }
    if let Some(description) = text("error_description") {
        let line = description.lines().next().unwrap_or_default();
        said.push_str(&format!(": {}", line.chars().take(WORDS).collect::<String>()));
    }
    match code {
        Some("invalid_client" | "unauthorized_client") => {
            format!("refused our client_id and client_secret: {said}")
        }
        Some("invalid_scope") => format!("does not know our scope: {said}"),
        None if matches!(answer.status, 401 | 403) => {
            format!("refused our client_id and client_secret: {said}")
        }
        Some(_) | None => said,
    }
}

#[cfg(test)]
mod tests;
