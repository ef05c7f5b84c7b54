//! What a body tells of itself without being read as a tree: whether it is an event, and whose ticket it is about.

use std::fmt;

use mappings::domain::{Council, Ticket};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::text;

/// A look at the outermost members of a JSON body, which passes over all else and keeps nothing of it.
///
/// None of it has been checked; it serves to find out whose ticket a refusal is to be told to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// It has a `specversion`.
    pub is_event: bool,
    /// The council of the `data`, or else of the document.
    pub council: Option<Council>,
    /// The ticket of the same.
    pub ticket: Option<Ticket>,
}

impl Glimpse {
    /// Looks at a body; one that is no JSON object tells nothing, and one that breaks off tells what came before.
    pub fn of(body: &[u8]) -> Self {
        let mut seen = Seen::default();
        let text = text::glimpse(body);
        let mut reader = serde_json::Deserializer::from_slice(&text);
        let _broken_off = reader.deserialize_any(Document(&mut seen));
        let Seen { is_event, own, data } = seen;
        let Subject { council, ticket } = data.unwrap_or(own);
        Self {
            is_event,
            council: council.and_then(|text| Council::parse(&text).ok()),
            ticket: ticket.and_then(|text| Ticket::parse(&text).ok()),
        }
    }
}

#[derive(Default)]
struct Seen {
    is_event: bool,
    own: Subject,
    data: Option<Subject>,
}

#[derive(Default)]
struct Subject {
    council: Option<String>,
    ticket: Option<String>,
}

/// The outermost object.
struct Document<'a>(&'a mut Seen);

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(Word(name)) = members.next_key()? {
            match name.as_deref() {
                Some("specversion") => {
                    self.0.is_event = true;
                    members.next_value::<IgnoredAny>()?;
                }
                Some("council") => self.0.own.council = members.next_value::<Word>()?.0,
                Some("ticket") => self.0.own.ticket = members.next_value::<Word>()?.0,
                Some("data") => self.0.data = Some(members.next_value()?),
                Some(_) | None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Data;
        impl<'de> Visitor<'de> for Data {
            type Value = Subject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Subject, A::Error> {
                let mut subject = Subject::default();
                while let Some(Word(name)) = members.next_key()? {
                    match name.as_deref() {
                        Some("council") => subject.council = members.next_value::<Word>()?.0,
                        Some("ticket") => subject.ticket = members.next_value::<Word>()?.0,
                        Some(_) | None => {
                            members.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(subject)
            }
        }
        deserializer.deserialize_any(Data)
    }
}

/// A text; nothing where something else stands.
struct Word(Option<String>);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                /// No identifier is longer.
                const LONGEST: usize = 1024;
                Ok(Word((text.len() <= LONGEST).then(|| text.to_owned())))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_unit<E>(self) -> Result<Word, E> {
                Ok(Word(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Word, A::Error> {
                IgnoredAny.visit_seq(seq).map(|_| Word(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Word, A::Error> {
                IgnoredAny.visit_map(map).map(|_| Word(None))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(body: &str) -> (Option<String>, Option<String>) {
        let Glimpse { council, ticket, .. } = Glimpse::of(body.as_bytes());
        (council.map(|council| council.to_string()), ticket.map(|ticket| ticket.to_string()))
    }

    fn of(council: &str, ticket: &str) -> (Option<String>, Option<String>) {
        (Some(council.to_owned()), Some(ticket.to_owned()))
    }

    #[test]
    fn the_subject_of_an_event_or_a_document_is_seen_beside_whatever_else_it_holds() {
        let event = r#"{"specversion": "1.0", "id": [[{"ticket": "no"}]],
            "data": {"ticket": "CRM-1", "details": {"ticket": "no"}, "council": "harlow"}, "ticket": "no"}"#;
        assert_eq!(subject(event), of("harlow", "CRM-1"));
        assert!(Glimpse::of(event.as_bytes()).is_event);
        let plain = r#"{"ticket": "CRM-1", "council": "harlow", "nested": {"specversion": 1}}"#;
        assert_eq!(subject(plain), of("harlow", "CRM-1"));
        assert!(!Glimpse::of(plain.as_bytes()).is_event);
    }

    #[test]
    fn a_subject_that_is_no_text_or_not_of_its_form_is_none() {
        for value in ["7", "-7", "7.5", "true", "null", "[1]", "{\"a\": 1}", "\"\""] {
            assert_eq!(subject(&format!("{{\"data\": {{\"ticket\": {value}}}}}")), (None, None), "{value}");
        }
        for body in ["", "[1]", "7", "<a/>", "\u{feff}"] {
            assert_eq!(Glimpse::of(body.as_bytes()), Glimpse::default(), "{body}");
        }
    }

    #[test]
    fn a_body_that_breaks_off_or_is_nested_a_million_levels_deep_tells_what_came_before() {
        let start = r#"{"specversion": "1.0", "ticket": "CRM-1", "council": "harlow", "x": "#;
        assert_eq!(subject(start), of("harlow", "CRM-1"));
        assert_eq!(subject(&format!("{start}{}", "[".repeat(1_000_000))), of("harlow", "CRM-1"));
        assert_eq!(subject(&format!("{{\"ticket\": {}", "[".repeat(1_000_000))), (None, None));
        assert!(!Glimpse::of(b"{\"a\": \"\xff\xfe\"").is_event);
    }
}
