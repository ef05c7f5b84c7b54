//! Identifiers as newtypes: a value that exists is well formed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// Why a text is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a {kind}: expected {expected}")]
pub struct InvalidId {
    /// The kind of identifier, in the vocabulary of the bus.
    pub kind: &'static str,
    /// What stood there.
    pub found: String,
    /// The form that is accepted.
    pub expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts a text of the documented form.
            ///
            /// # Errors
            /// [`InvalidId`] names what was found and what is accepted.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    let found = text.chars().take(80).collect();
                    Err(InvalidId { kind: $kind, found, expected: $expected })
                }
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Accepts the hyphenated form of a UUID.
            ///
            /// # Errors
            /// [`InvalidId`] when the text is not a UUID.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId {
                    kind: $kind,
                    found: text.chars().take(80).collect(),
                    expected: "a UUID (RFC 9562)",
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id!(
    /// The council a ticket belongs to; several may share one Dovetail, so every key starts with it.
    Council, "council", "1 to 40 of a-z, 0-9 and '-'", |t| slug(t, 40)
);
text_id!(
    /// One back office, partner or CRM: the name of its folder under `mappings/systems/`.
    SystemName, "system", "1 to 40 of a-z, 0-9 and '-'", |t| slug(t, 40)
);
text_id!(
    /// What is asked for, as `<area>.<need>`, for example `waste.missed-bin`.
    Service, "service", "two or more parts of a-z, 0-9 and '-', joined by '.', 80 characters at most",
    |t| t.len() <= 80 && t.contains('.') && t.split('.').all(|part| slug(part, 80))
);
text_id!(
    /// The CRM's reference of its own record.
    Ticket, "ticket", "1 to 100 printable characters without spaces at the ends", |t| printable(t, 100)
);
text_id!(
    /// The reference a system gave its own order.
    Job, "job reference", "1 to 200 printable characters without spaces at the ends", |t| printable(t, 200)
);

uuid_id!(
    /// One opening of one ticket, as the ledger knows it.
    RequestId, "request id"
);
uuid_id!(
    /// One request's piece of work for one system.
    HandoverId, "handover id"
);
uuid_id!(
    /// One call to be made for a handover. It is also the idempotency key of all its attempts.
    CallId, "call id"
);
uuid_id!(
    /// One event on the bus; consumers drop duplicates by it.
    EventId, "event id"
);

fn slug(text: &str, most: usize) -> bool {
    !text.is_empty()
        && text.len() <= most
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn printable(text: &str, most: usize) -> bool {
    let at_an_end = |c: char| c.is_whitespace() || c == '\u{feff}';
    let breaks_the_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    !text.is_empty()
        && text.chars().count() <= most
        && text.trim_matches(at_an_end) == text
        && !text.contains(breaks_the_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_refuse_what_is_not_of_their_form() {
        assert!(Council::parse("harlow").is_ok());
        assert!(Council::parse("Harlow").is_err());
        assert!(Service::parse("waste.missed-bin").is_ok());
        assert!(Service::parse("waste").is_err());
        assert!(Service::parse("waste..bin").is_err());
        assert!(Ticket::parse("CRM-2026/0001").is_ok());
        assert!(Ticket::parse(" 7").is_err());
        assert!(Ticket::parse("a\nb").is_err());
        assert!(CallId::parse("nonsense").is_err());
    }

    #[test]
    fn an_error_names_the_kind_what_was_found_and_what_is_expected() {
        let error = Council::parse("A b").map_err(|e| e.to_string());
        assert_eq!(error, Err(r#""A b" is not a council: expected 1 to 40 of a-z, 0-9 and '-'"#.to_owned()));
    }
}
