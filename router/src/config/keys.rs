//! Who may come in over HTTP: `http.keys`.

use std::collections::BTreeSet;
use std::fmt;

use axum::http::HeaderName;
use axum::http::header::AUTHORIZATION;
use mappings::domain::Council;
use serde::{Deserialize, Serialize};

use super::Http;
use super::wrong::Wrong;

/// What stands in `councils` for every council.
const EVERY: &str = "*";

/// Secrets of others with fewer characters are called weak: 16 letters of base 64 are 96 bits.
pub const SHORT: usize = 16;

/// One key over HTTP.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Who holds it. The ledger keeps it with what was sent, and logs and pages show it; it is the user name under
    /// `Authorization: Basic`.
    pub name: String,
    /// The key itself.
    pub key: String,
    /// The key before it, which is taken beside it until its holder has changed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_key: Option<String>,
    /// The councils it speaks for; `*` is every one.
    pub councils: Vec<String>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("councils", &self.councils)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Whether it speaks for every council.
    pub fn speaks_for_all(&self) -> bool {
        self.councils.iter().any(|own| own == EVERY)
    }

    /// Whether it speaks for a council.
    pub fn speaks_for(&self, council: &Council) -> bool {
        self.speaks_for_all() || self.councils.iter().any(|own| own == council.as_str())
    }

    /// The key and, while it is changed, the one before it.
    fn secrets(&self) -> impl Iterator<Item = (&'static str, &str)> {
        std::iter::once(("key", self.key.as_str())).chain(self.old_key.as_deref().map(|old| ("old_key", old)))
    }

    /// What is to be said of a key that can be guessed, a sentence for each.
    pub fn weaknesses(&self) -> impl Iterator<Item = String> {
        self.secrets().filter(|(_, secret)| secret.len() < SHORT).map(|(field, secret)| {
            format!(
                "{field} of {:?} in http.keys has {} characters: expected {SHORT} or more, made at random; \
                 hint: openssl rand -hex 24",
                self.name,
                secret.len()
            )
        })
    }
}

/// Refuses keys that let in whom they should not: empty ones, and those that do not say whose they are.
///
/// # Errors
/// The first key that cannot be used, with what was found and expected.
pub(super) fn check(http: &Http) -> Result<(), Wrong> {
    if http.key_header.parse::<HeaderName>().map_or(true, |name| name == AUTHORIZATION) {
        let reason = format!(
            "{:?} cannot carry a key: expected the name of a header of its own, for example X-Api-Key",
            http.key_header
        );
        return Err(Wrong { path: vec!["http".into(), "key_header".into()], reason });
    }
    let (mut names, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for (place, key) in http.keys.iter().enumerate() {
        key.check(&mut names, &mut secrets).map_err(|(field, reason)| {
            let whose = if key.name.trim().is_empty() {
                format!("key number {}", place + 1)
            } else {
                format!("the key of {:?}", key.name)
            };
            let path = vec!["http".into(), "keys".into(), place.to_string(), field.to_owned()];
            Wrong { path, reason: format!("{whose}: {reason}") }
        })?;
    }
    Ok(())
}

impl Key {
    /// `names` and `secrets` are those of the keys before it.
    fn check<'a>(
        &'a self,
        names: &mut BTreeSet<&'a str>,
        secrets: &mut BTreeSet<&'a str>,
    ) -> Result<(), (&'static str, String)> {
        if self.name.trim().is_empty() || self.name.contains(|c: char| c == ':' || c.is_control()) {
            let reason = "name is no name: expected who holds it, without a colon, for example \"web forms\"";
            return Err(("name", reason.to_owned()));
        }
        if !names.insert(&self.name) {
            return Err(("name", "another key has the same name: expected a name of its own".to_owned()));
        }
        for (field, secret) in self.secrets() {
            let wrong = |reason: &str| Err((field, format!("{field} {reason}")));
            if secret.trim().is_empty() {
                return wrong("is empty: expected a secret, without which anybody could come in");
            }
            if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                return wrong(
                    "has blanks or letters that no header carries: expected ASCII letters, digits and signs",
                );
            }
            if !secrets.insert(secret) {
                return wrong("stands in http.keys twice: expected a secret that no other key has");
            }
        }
        if self.councils.is_empty() {
            return Err((
                "councils",
                "councils is empty: expected those it speaks for, or \"*\" for all".to_owned(),
            ));
        }
        for council in self.councils.iter().filter(|council| *council != EVERY) {
            Council::parse(council).map_err(|error| ("councils", format!("{error}, or \"*\" for all")))?;
        }
        Ok(())
    }
}

/// A reader's message without the text that it found, which may be a key in a wrong place.
pub(super) fn without_values(message: &str) -> String {
    let Some((before, rest)) = message.split_once("string \"") else { return message.to_owned() };
    let after = rest.rsplit_once("\", expected").map_or("", |(_, after)| after);
    format!("{before}text, expected{after}")
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn layered(text: &str) -> Result<Config, String> {
        let resolve = |name: &str| match name {
            "EMPTY" => Some(String::new()),
            "BLANK" => Some(" \t".to_owned()),
            _ => None,
        };
        Config::layer(Some(("my.toml", text)), std::iter::empty(), &resolve)
            .map_err(|error| error.to_string())
    }

    fn refused(keys: &str) -> String {
        layered(&format!("[http]\n\nkeys = [\n{keys}\n]\n")).expect_err(keys)
    }

    #[test]
    fn an_empty_key_is_refused_and_named_with_its_variable() {
        for variable in ["EMPTY", "BLANK"] {
            for field in ["key", "old_key"] {
                let other = if field == "key" { "" } else { "key = \"k\", " };
                let text = format!(
                    "{{name = \"web forms\", {other}{field} = \"${{{variable}}}\", councils = [\"*\"]}}"
                );
                let error = refused(&text);
                assert!(error.starts_with("my.toml:4 (http.keys.0"), "{error}");
                assert!(error.contains(&format!("the key of \"web forms\": {field} is empty")), "{error}");
                assert!(error.contains(&format!("${{{variable}}} is set, but empty")), "{error}");
            }
        }
        assert!(refused("{name = \"a\", key = \"\", councils = [\"*\"]}").contains("key is empty"));
        assert!(
            refused("{name = \"a\", key = \"${UNSET}\", councils = [\"*\"]}").contains("${UNSET} is not set")
        );
    }

    #[test]
    fn a_key_that_does_not_say_whom_it_lets_in_is_refused() {
        for (key, expected) in [
            ("{name = \" \", key = \"k\", councils = [\"*\"]}", "key number 1: name is no name"),
            ("{name = \"a:b\", key = \"k\", councils = [\"*\"]}", "without a colon"),
            ("{name = \"a\", key = \"k\", councils = []}", "the key of \"a\": councils is empty"),
            ("{name = \"a\", key = \"k\", councils = [\"Har low\"]}", "\"Har low\" is not a council"),
            ("{name = \"a\", key = \"a key\", councils = [\"*\"]}", "key has blanks"),
            (
                "{name = \"a\", key = \"k\", old_key = \"k\", councils = [\"*\"]}",
                "old_key stands in http.keys twice",
            ),
            (
                "{name = \"a\", key = \"k\", councils = [\"*\"]}, {name = \"a\", key = \"l\", councils = [\"*\"]}",
                "another key has the same name",
            ),
            (
                "{name = \"a\", key = \"k\", councils = [\"*\"]}, {name = \"b\", key = \"k\", councils = [\"*\"]}",
                "the key of \"b\": key stands in http.keys twice",
            ),
        ] {
            let error = refused(key);
            assert!(error.contains(expected), "{key}: {error}");
        }
        for header in ["", "two words", "Authorization"] {
            let error = layered(&format!("[http]\nkey_header = \"{header}\"")).expect_err(header);
            assert!(error.starts_with("my.toml:2 (http.key_header)"), "{error}");
        }
    }

    #[test]
    fn an_empty_password_of_database_or_broker_is_refused_with_its_variable() {
        for (section, url) in [("ledger", "postgres://u:${EMPTY}@h/d"), ("bus", "amqps://u:${EMPTY}@h/%2f")] {
            let error = layered(&format!("[{section}]\n\nurl = \"{url}\"")).expect_err(url);
            assert!(error.starts_with(&format!("my.toml:3 ({section}.url)")), "{error}");
            assert!(error.contains("is empty") && error.contains("${EMPTY} is set, but empty"), "{error}");
        }
        assert!(layered("[bus]\nurl = \"${EMPTY}\"").is_ok_and(|config| !config.has_bus()), "no broker");
    }

    #[test]
    fn a_short_key_is_called_weak_and_is_never_shown() {
        let config = layered(
            "[http]\nkeys = [{name = \"a\", key = \"short-one\", old_key = \"sixteen-and-more\", councils = [\"*\"]}]",
        );
        let weak: Vec<String> = config.expect("valid").http.keys[0].weaknesses().collect();
        assert_eq!(weak.len(), 1);
        assert!(weak[0].starts_with("key of \"a\" in http.keys has 9 characters"), "{weak:?}");
        assert!(!weak[0].contains("short-one"));
    }
}
