//! What the templates show: texts, ready made.

use jiff::Timestamp;
use mappings::domain::{Council, Ticket};
use mappings::mapping::Catalogue;

use crate::ledger::Line;
use crate::timeline::{service_title, when, words};

/// A time in the forms a page needs.
pub(super) struct Moment {
    /// For machines, RFC 3339.
    pub(super) exact: String,
    /// `Sunday 22 November 2026, 09:15`.
    pub(super) stamp: String,
    /// `22 Nov 2026, 09:15`.
    pub(super) short: String,
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self { exact: at.to_string(), stamp: when::stamp(at), short: when::short(at) }
    }
}

/// A ticket in a list.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) ticket: String,
    pub(super) council: String,
    pub(super) service: String,
    pub(super) standing: String,
    pub(super) at: Moment,
}

impl Row {
    pub(super) fn new(line: &Line, catalogue: &Catalogue) -> Self {
        Self {
            href: address(&line.council, &line.ticket),
            ticket: line.ticket.to_string(),
            council: line.council.to_string(),
            service: service_title(&line.service, catalogue),
            standing: words::standing(line),
            at: line.accepted_at.into(),
        }
    }
}

/// The address of a ticket's page.
pub(super) fn address(council: &Council, ticket: &Ticket) -> String {
    format!("/tickets/{council}/{}", encoded(ticket.as_str()))
}

/// A text as one part of an address (RFC 3986): all but the unreserved characters are percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_with_any_character_has_an_address_of_its_own() {
        let council = Council::parse("harlow").expect("a council");
        let ticket = Ticket::parse("CRM/7 #é").expect("a ticket");
        assert_eq!(address(&council, &ticket), "/tickets/harlow/CRM%2F7%20%23%C3%A9");
    }
}
