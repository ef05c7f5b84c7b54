//! Who comes in: the key that a caller holds, wherever HTTP lets it stand.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mappings::mapping::SecretAge;
use sha2::digest::Output;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::config::{Http, Key};

/// What is told to a caller without a key, beside `WWW-Authenticate`.
pub(super) const EXPECTED: &str = "expected a key that is listed under http.keys, as `Authorization: Bearer <key>`, \
     as `Authorization: Basic` with the key's name as user and the key as password, or in the header of http.key_header";

/// The keys of `http.keys`.
#[derive(Debug)]
pub struct Keys {
    header: Option<HeaderName>,
    holders: Vec<Holder>,
}

#[derive(Debug)]
struct Holder {
    key: Key,
    digests: Vec<(Output<Sha256>, SecretAge)>,
}

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("no key was sent")]
    Missing,
    #[error("the Authorization header is not of its form: expected one `Bearer <key>` or `Basic <base 64>`")]
    Malformed,
    #[error("the key is not one of http.keys")]
    Wrong,
}

impl Denied {
    /// The reason in a word, for the metric.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong",
        }
    }
}

/// What a caller offers.
struct Offered {
    /// The name beside the key, where the scheme has one.
    name: Option<String>,
    key: Vec<u8>,
}

impl Keys {
    /// The keys of the settings.
    pub fn new(http: &Http) -> Self {
        let holder = |key: &Key| {
            let current = (Sha256::digest(&key.key), SecretAge::Current);
            let old = key.old_key.as_ref().map(|old| (Sha256::digest(old), SecretAge::Old));
            Holder { key: key.clone(), digests: std::iter::once(current).chain(old).collect() }
        };
        let header = http.key_header.parse().ok();
        Self { header, holders: http.keys.iter().map(holder).collect() }
    }

    /// What `WWW-Authenticate` says to who has no key (RFC 9110, section 11.6.1).
    pub(super) fn challenges(&self) -> Vec<String> {
        let header = self.header.as_ref().map(|name| format!("ApiKey realm=\"dovetail\", header=\"{name}\""));
        ["Bearer realm=\"dovetail\"", "Basic realm=\"dovetail\", charset=\"UTF-8\""]
            .into_iter()
            .map(str::to_owned)
            .chain(header)
            .collect()
    }

    /// The key that a caller holds. The scheme may be in any case, with any number of blanks after it (RFC 9110,
    /// section 11.1). Secrets are compared in constant time.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(&Key, SecretAge), Denied> {
        let in_header = self
            .header
            .as_ref()
            .and_then(|name| headers.get(name))
            .map(|value| Offered { name: None, key: value.as_bytes().trim_ascii().to_vec() });
        let authorized = match authorization(headers) {
            // Some proxies add an authorization of their own to a call whose key stands in its own header.
            Err(Denied::Malformed) if in_header.is_some() => None,
            found => found?,
        };
        let mut offered = authorized.into_iter().chain(in_header).peekable();
        if offered.peek().is_none() {
            return Err(Denied::Missing);
        }
        offered.find_map(|offered| self.holder(&offered)).ok_or(Denied::Wrong)
    }

    fn holder(&self, offered: &Offered) -> Option<(&Key, SecretAge)> {
        let digest = Sha256::digest(&offered.key);
        let mut found = None;
        for holder in &self.holders {
            let named = offered.name.as_ref().is_none_or(|name| *name == holder.key.name);
            for (own, age) in &holder.digests {
                if bool::from(own.ct_eq(&digest) & Choice::from(u8::from(named))) {
                    found = Some((&holder.key, *age));
                }
            }
        }
        found
    }
}

/// What the `Authorization` header offers; nothing where there is none.
fn authorization(headers: &HeaderMap) -> Result<Option<Offered>, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.as_bytes().trim_ascii(),
        // Which of two counts would be for each program on the way to decide.
        (Some(_), Some(_)) => return Err(Denied::Malformed),
    };
    let end = value.iter().position(u8::is_ascii_whitespace).ok_or(Denied::Malformed)?;
    let (scheme, key) = (&value[..end], value[end..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(Some(Offered { name: None, key: key.to_vec() }));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(Denied::Malformed);
    }
    let pair = STANDARD.decode(key).map_err(|_| Denied::Malformed)?;
    let colon = pair.iter().position(|byte| *byte == b':').ok_or(Denied::Malformed)?;
    let name = String::from_utf8_lossy(&pair[..colon]).into_owned();
    Ok(Some(Offered { name: Some(name), key: pair[colon + 1..].to_vec() }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::config::Config;

    fn keys() -> Keys {
        let mut http = Config::defaults().expect("the defaults").http;
        let key = |name: &str, key: &str, old: Option<&str>| Key {
            name: name.into(),
            key: key.into(),
            old_key: old.map(str::to_owned),
            councils: vec!["harlow".into()],
        };
        http.keys = vec![key("web forms", "k-new", Some("k-old")), key("other", "k-other", None)];
        Keys::new(&http)
    }

    fn admitted(headers: &[(&str, &str)]) -> Result<(String, SecretAge), Denied> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                name.parse::<HeaderName>().expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        keys().admit(&map).map(|(key, age)| (key.name.clone(), age))
    }

    fn basic(pair: &str) -> String {
        STANDARD.encode(pair)
    }

    #[test]
    fn a_key_is_taken_wherever_http_lets_it_stand() {
        let basic = basic("web forms:k-new");
        for headers in [
            ("authorization", "Bearer k-new".to_owned()),
            ("authorization", "bearer k-new".to_owned()),
            ("authorization", "BEARER   k-new ".to_owned()),
            ("authorization", "Bearer\tk-new".to_owned()),
            ("authorization", format!("Basic {basic}")),
            ("authorization", format!("basic  {basic}")),
            ("x-api-key", "k-new".to_owned()),
            ("X-API-Key", " k-new ".to_owned()),
        ] {
            let found = admitted(&[(headers.0, &headers.1)]);
            assert_eq!(found, Ok(("web forms".into(), SecretAge::Current)), "{headers:?}");
        }
        let behind_a_proxy = [("authorization", "Negotiate abc"), ("x-api-key", "k-other")];
        assert_eq!(admitted(&behind_a_proxy), Ok(("other".into(), SecretAge::Current)));
    }

    #[test]
    fn the_key_before_it_is_taken_too_and_told_from_it() {
        for value in ["Bearer k-old".to_owned(), format!("Basic {}", basic("web forms:k-old"))] {
            assert_eq!(admitted(&[("authorization", &value)]), Ok(("web forms".into(), SecretAge::Old)));
        }
        assert_eq!(admitted(&[("x-api-key", "k-old")]), Ok(("web forms".into(), SecretAge::Old)));
    }

    #[test]
    fn whoever_has_no_key_is_told_from_who_has_a_wrong_one() {
        assert_eq!(admitted(&[]), Err(Denied::Missing));
        for wrong in [
            "Bearer k-ne".to_owned(),
            "Bearer k-newer".to_owned(),
            "Bearer ".to_owned() + "K-NEW",
            format!("Basic {}", basic("other:k-new")),
            format!("Basic {}", basic(":k-new")),
            format!("Basic {}", basic("web forms:")),
        ] {
            assert_eq!(admitted(&[("authorization", &wrong)]), Err(Denied::Wrong), "{wrong}");
        }
        assert_eq!(admitted(&[("x-api-key", "")]), Err(Denied::Wrong));
        for malformed in ["k-new", "Bearer", "Basic ???", "Negotiate abc", "Basic YWJj"] {
            assert_eq!(admitted(&[("authorization", malformed)]), Err(Denied::Malformed), "{malformed}");
        }
        let twice = [("authorization", "Bearer k-new"), ("authorization", "Bearer k-new")];
        assert_eq!(admitted(&twice), Err(Denied::Malformed));
    }
}
