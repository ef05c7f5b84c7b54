//! `dovetail schema`: the JSON Schema of what comes in, and of what events carry.

use std::str::FromStr;

use mappings::domain::{InvalidId, Revision, schema, schema_of};

use super::{Exit, Shown};
use crate::event::Kind;

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Described {
    /// What follows a request.
    Revision(Revision),
    /// What an event carries.
    Event(Kind),
}

impl Described {
    /// The words for all of them.
    pub fn words() -> impl Iterator<Item = &'static str> {
        Revision::ALL.iter().map(|word| word.as_str()).chain(Kind::ALL.into_iter().map(Kind::word))
    }
}

impl FromStr for Described {
    type Err = InvalidId;

    fn from_str(word: &str) -> Result<Self, InvalidId> {
        match Kind::from_word(word) {
            Some(kind) => Ok(Self::Event(kind)),
            None => word.parse().map(Self::Revision),
        }
    }
}

/// Prints the schema; of a submitted request unless something else is named.
pub(super) fn run(described: Option<Described>) -> Shown {
    let json = match described {
        None => schema(),
        Some(Described::Revision(revision)) => schema_of(revision),
        Some(Described::Event(kind)) => kind.schema(),
    };
    Shown { text: format!("{json:#}\n"), json, exit: Exit::Ok }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_a_schema_with_the_type_of_its_event() {
        for word in Described::words() {
            let title = run(word.parse().ok()).json["title"].clone();
            assert!(
                title.as_str().is_some_and(|title| title.ends_with(&format!("{word}.v1"))),
                "{word}: {title}"
            );
        }
        assert!("closed".parse::<Described>().is_err());
    }
}
