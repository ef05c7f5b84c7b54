//! The call and the answer that led to a parking, for those who must find out why.

use std::fmt::Write as _;

use mappings::domain::HandoverState;
use serde_json::{Value, json};

use super::Shown;
use crate::ledger::History;

/// Lines of a call or an answer that people are shown.
const MOST_LINES: usize = 40;

/// What stands where something of the customer's stood.
const HIDDEN: &str = "***";

/// What stopped a handover.
pub(super) struct Stopped {
    system: String,
    class: &'static str,
    reason: String,
    attempts: u32,
    call: Option<String>,
    answer: Option<String>,
}

/// What stopped the handovers of a ticket that are parked. Secrets were masked when it was kept; here what the
/// request says of the customer is, too.
pub(super) fn stopped(history: &History, document: &Value) -> Vec<Stopped> {
    let mut personal = Vec::new();
    texts(&document["customer"], &mut personal);
    personal.sort_by_key(|text| std::cmp::Reverse(text.len()));
    let masked = |text: &Option<String>| text.as_ref().map(|text| without(text, &personal));
    let parked = history.handovers.iter().filter(|handover| handover.state == HandoverState::Parked);
    parked
        .map(|handover| {
            let last = history.attempts.iter().rev().find(|tried| tried.handover == handover.id);
            Stopped {
                system: handover.system.to_string(),
                class: handover.class.map_or("", |class| class.as_str()),
                reason: handover.reason.clone().unwrap_or_default(),
                attempts: last.map_or(0, |tried| tried.number),
                call: last.and_then(|tried| masked(&tried.attempt.call)),
                answer: last.and_then(|tried| masked(&tried.attempt.answer)),
            }
        })
        .collect()
}

/// Adds it to what is shown of the ticket.
pub(super) fn add(shown: &mut Shown, stopped: &[Stopped]) {
    for Stopped { system, class, reason, attempts, call, answer } in stopped {
        let _ = writeln!(shown.text, "\nThe call that stopped ({system}, {class})");
        let _ = writeln!(shown.text, "  {reason}, at attempt {attempts}");
        for (name, text) in [("sent", call), ("answered", answer)] {
            let Some(text) = text else { continue };
            let _ = writeln!(shown.text, "  {name}:");
            for line in text.lines().take(MOST_LINES) {
                let _ = writeln!(shown.text, "    {line}");
            }
            if text.lines().count() > MOST_LINES {
                let _ = writeln!(shown.text, "    … (the whole with --output json)");
            }
        }
    }
    shown.json["stopped"] = stopped
        .iter()
        .map(|Stopped { system, class, reason, attempts, call, answer }| {
            json!({"system": system, "class": class, "reason": reason, "attempts": attempts, "call": call,
                   "answer": answer})
        })
        .collect();
}

fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.trim().chars().count() >= 2 => found.push(text.trim().to_owned()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields
            .iter()
            // Of the customer's sharing and needs it says nothing that names a person.
            .filter(|(name, _)| *name != "sharing" && *name != "needs")
            .for_each(|(_, value)| texts(value, found)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text without these words, where they stand as whole words.
fn without(text: &str, personal: &[String]) -> String {
    let mut text = text.to_owned();
    for word in personal {
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(word.as_str()) {
            let (before, after) = (&rest[..at], &rest[at + word.len()..]);
            let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            out.push_str(before);
            let whole = !inside(out.chars().next_back()) && !inside(after.chars().next());
            out.push_str(if whole { HIDDEN } else { word });
            rest = after;
        }
        out.push_str(rest);
        text = out;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_of_the_customer_are_hidden() {
        let document = json!({"customer": {"forename": "Jo", "surname": "Lamb", "needs": ["large print"],
                                           "address": {"lines": ["16 Pitcairn House"]}}});
        let mut personal = Vec::new();
        texts(&document["customer"], &mut personal);
        let text = "<Name>Jo Lamb</Name><Job>Jolly</Job><A>16 Pitcairn House</A> large print";
        assert_eq!(without(text, &personal), "<Name>*** ***</Name><Job>Jolly</Job><A>***</A> large print");
    }
}
