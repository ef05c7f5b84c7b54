//! Secrets taken out of what is kept and shown.

use std::cmp::Reverse;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mappings::mapping::{Auth, Body, Call, System, Verify};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use crate::{soap, token};

/// What stands where a secret stood.
pub(crate) const HIDDEN: &str = "***";

/// Values that are known to be secret only by the name beside them are taken for one from this length on:
/// shorter ones would make the text unreadable.
const SHORTEST_BY_NAME: usize = 4;
/// In a kept answer (a token) every text from this length on is taken for a secret.
const SHORTEST_STORED: usize = 8;

const URL_SAFE: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const FORM_SAFE: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');

/// Every way a secret may stand in a text, longest first.
#[derive(Clone, Default)]
pub(crate) struct Mask(Vec<String>);

impl Mask {
    /// What is known to be secret of a system: its credentials, and what its mapping takes from outside.
    pub(crate) fn of(system: &System) -> Self {
        let mut mask = Self::default();
        mask.auth(&system.connection.auth);
        for secret in system.secrets() {
            mask.add(secret.expose());
        }
        for (name, value) in &system.connection.headers {
            if is_sensitive_header(name) {
                mask.add_header(value);
            }
        }
        if let Some(webhook) = &system.webhook
            && let Verify::Basic { username, password } = &webhook.verify
        {
            for (_, password) in password.each() {
                mask.add(&STANDARD.encode(format!("{username}:{}", password.expose())));
            }
        }
        mask
    }

    /// The value of a header: of `Bearer abc` the secret is `abc`.
    fn add_header(&mut self, value: &str) {
        self.add_named(value.rsplit(' ').next().unwrap_or(value));
        self.add_named(value);
    }

    fn auth(&mut self, auth: &Auth) {
        match auth {
            Auth::None => {}
            Auth::Basic { username, password } => {
                self.add(password.expose());
                self.add(&STANDARD.encode(format!("{username}:{}", password.expose())));
            }
            Auth::Bearer(secret) | Auth::Token(secret) => self.add(secret.expose()),
            Auth::ApiKey { key, .. } => self.add(key.expose()),
            Auth::WsSecurity { password, .. } => self.add(password.expose()),
            Auth::OAuth2(oauth2) => {
                if let Some((_, query)) = oauth2.token_url.split_once('?') {
                    self.learn_pairs(query);
                }
                let secret = oauth2.client_secret.expose();
                self.add(secret);
                self.add(&token::encoded(secret));
                let pair = format!("{}:{}", token::encoded(&oauth2.client_id), token::encoded(secret));
                self.add(&STANDARD.encode(pair));
            }
        }
    }

    /// A secret, in each form it takes in XML, JSON, a URL and a form.
    pub(crate) fn add(&mut self, secret: &str) {
        let json = Value::from(secret).to_string();
        let forms = [
            secret.to_owned(),
            soap::escape(secret),
            soap::escape(secret).replace('"', "&quot;").replace('\'', "&apos;"),
            json[1..json.len() - 1].to_owned(),
            utf8_percent_encode(secret, &URL_SAFE).to_string(),
            utf8_percent_encode(secret, &FORM_SAFE).to_string().replace(' ', "+"),
        ];
        for form in forms {
            if !form.is_empty() && !self.0.contains(&form) {
                self.0.push(form);
            }
        }
        self.0.sort_by_key(|form| Reverse(form.len()));
    }

    /// Takes in what a call carries under a name like `api_key` or `password`: a mapping may write a key
    /// straight into a form or a login.
    pub(crate) fn learn(&mut self, call: &Call) {
        if let Some((_, query)) = call.path.split_once('?') {
            self.learn_pairs(query);
        }
        for (name, value) in &call.headers {
            if is_sensitive_header(name) {
                self.add_header(value);
            }
        }
        match &call.body {
            Body::None | Body::Text(_) => {}
            Body::Json(text) => {
                if let Ok(document) = serde_json::from_str(text) {
                    self.learn_document(&document);
                }
            }
            Body::Xml(text) | Body::Soap { element: text, .. } => self.learn_xml(text),
            Body::Form(text) => self.learn_pairs(text),
        }
    }

    /// Takes in a kept answer: in practice a token.
    pub(crate) fn learn_stored(&mut self, seen: &Value) {
        match seen {
            Value::String(text) if text.len() >= SHORTEST_STORED => self.add(text),
            Value::Array(items) => items.iter().for_each(|item| self.learn_stored(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.learn_stored(field)),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn learn_document(&mut self, document: &Value) {
        match document {
            Value::Array(items) => items.iter().for_each(|item| self.learn_document(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    match field {
                        Value::String(text) if is_sensitive(name) => self.add_named(text),
                        Value::Null
                        | Value::Bool(_)
                        | Value::Number(_)
                        | Value::String(_)
                        | Value::Array(_)
                        | Value::Object(_) => self.learn_document(field),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn learn_pairs(&mut self, pairs: &str) {
        for (name, value) in pairs.split('&').filter_map(|pair| pair.split_once('=')) {
            if is_sensitive_in_query(name) {
                self.add_named(value);
                self.add_named(&percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy());
            }
        }
    }

    fn learn_xml(&mut self, xml: &str) {
        for (tag, text) in xml.split('<').filter_map(|piece| piece.split_once('>')) {
            let name = tag.split_whitespace().next().unwrap_or_default();
            let name = name.rsplit(':').next().unwrap_or_default();
            if is_sensitive(name) {
                self.add_named(text.trim());
            }
        }
    }

    fn add_named(&mut self, value: &str) {
        if value.len() >= SHORTEST_BY_NAME {
            self.add(value);
        }
    }

    /// The text with every secret hidden.
    pub(crate) fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), HIDDEN) } else { text }
        })
    }
}

/// A text of a system, with the secrets of its mapping hidden.
pub fn hide(system: &System, text: &str) -> String {
    Mask::of(system).text(text)
}

/// Whether a field or element of this name holds a secret.
pub(crate) fn is_sensitive(name: &str) -> bool {
    let name = plain(name);
    [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "apikey",
        "accesskey",
        "subscriptionkey",
        "functionskey",
        "authorization",
        "authenticate",
        "cookie",
        "credential",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// Whether a header of this name holds a secret: more names do than of fields, since a header says little of the work.
pub(crate) fn is_sensitive_header(name: &str) -> bool {
    let short = plain(name);
    let is_key = short.ends_with("key") && !short.contains("idempotency");
    is_key
        || is_sensitive(name)
        || ["auth", "session", "signature", "jwt", "pwd"].iter().any(|word| short.contains(word))
}

/// Whether the pair of this name in a query or a form holds a secret.
fn is_sensitive_in_query(name: &str) -> bool {
    is_sensitive(name)
        || matches!(plain(name).as_str(), "sig" | "pwd" | "pass" | "auth" | "jwt" | "signature")
}

/// A name in lower case, without what joins its words.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | '.')).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use mappings::mapping::Secret;
    use serde_json::json;

    use super::*;

    fn call(path: &str, body: Body) -> Call {
        Call { method: "POST", path: path.into(), headers: Vec::new(), body }
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_it_takes() {
        let mut mask = Mask::default();
        mask.auth(&Auth::Bearer(Secret::new("a<b>&\"c d".into())));
        let forms = [
            "a<b>&\"c d",
            "a&lt;b&gt;&amp;\"c d",
            "a<b>&\\\"c d",
            "a%3Cb%3E%26%22c%20d",
            "a%3Cb%3E%26%22c+d",
        ];
        for form in forms {
            assert_eq!(mask.text(&format!("x {form} y")), "x *** y");
        }
    }

    #[test]
    fn basic_credentials_are_hidden_joined_and_encoded_too() {
        let mut mask = Mask::default();
        mask.auth(&Auth::Basic { username: "Aladdin".into(), password: Secret::new("open sesame".into()) });
        assert_eq!(mask.text("QWxhZGRpbjpvcGVuIHNlc2FtZQ== / open sesame"), "*** / ***");
    }

    #[test]
    fn a_longer_secret_is_hidden_before_a_shorter_one_inside_it() {
        let mut mask = Mask::default();
        mask.add("key");
        mask.add("key-and-more");
        assert_eq!(mask.text("key-and-more key"), "*** ***");
    }

    #[test]
    fn an_empty_secret_hides_nothing() {
        let mut mask = Mask::default();
        mask.add("");
        assert_eq!(mask.text("abc"), "abc");
    }

    #[test]
    fn keys_written_into_a_body_or_query_are_known_by_their_names() {
        let cases = [
            call("/r?API_key=s3cr%20et1&page=2", Body::None),
            call("/r", Body::Form("lat=51.5&api_key=s3cr+et1".into())),
            call("/r", Body::Json(json!({"login": [{"Password": "s3cr et1"}]}).to_string())),
            call("/r", Body::Xml("<a><x:ApiKey n='1'>s3cr et1</x:ApiKey></a>".into())),
        ];
        for call in cases {
            let mut mask = Mask::default();
            mask.learn(&call);
            assert_eq!(mask.text("refused s3cr et1"), "refused ***", "{call:?}");
        }
    }

    #[test]
    fn a_header_or_a_pair_of_a_query_is_known_for_a_secret_by_its_name() {
        for name in [
            "Authorization",
            "X-Api-Key",
            "Ocp-Apim-Subscription-Key",
            "x-functions-key",
            "X-Auth",
            "Cookie",
            "Session-Id",
            "X-Hub-Signature-256",
        ] {
            assert!(is_sensitive_header(name), "{name}");
        }
        for name in ["Idempotency-Key", "Accept", "X-Request-Id", "X-Council", "Content-Type", "Prefer"] {
            assert!(!is_sensitive_header(name), "{name}");
        }
        for name in ["api_key", "subscription-key", "access_token", "sig", "pwd"] {
            assert!(is_sensitive_in_query(name), "{name}");
        }
        assert!(!is_sensitive_in_query("service_code") && !is_sensitive_in_query("since"));
    }

    #[test]
    fn a_kept_answer_is_a_secret_but_for_its_short_words() {
        let mut mask = Mask::default();
        mask.learn_stored(&json!({"body": {"access_token": "eyJhbGciOi", "token_type": "Bearer"}}));
        assert_eq!(mask.text("Bearer eyJhbGciOi"), "Bearer ***");
    }
}
