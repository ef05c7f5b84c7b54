//! What clocks and owners add to the story.

use serde_json::Value;

use super::{Entry, words};
use crate::event::{Event, Kind};

/// What a clock told.
pub(super) fn entry(event: &Event) -> Entry {
    let text = |key: &str| event.data.get(key).and_then(Value::as_str);
    let seniors = listed(event, "seniors");
    let heard = |who: &[String]| (!who.is_empty()).then(|| format!("Told to {}.", who.join(" and ")));
    let target = text("target").map(|target| format!(", {target},")).unwrap_or_default();
    let (told, detail) = match event.kind {
        Kind::Warned => {
            let used = event.data.get("used").and_then(Value::as_u64).unwrap_or(0);
            (format!("{used} % of the time promised{target} is used up."), heard(&teams(event)))
        }
        Kind::Escalated if text("because") == Some("target") => {
            (format!("What was promised{target} was not kept. It was escalated."), heard(&seniors))
        }
        Kind::Escalated => (reason(event, "It was escalated."), heard(&seniors)),
        Kind::Overdue => (reason(event, "It is overdue."), heard(&seniors)),
        Kind::Chased => {
            let team = event.data.get("owner").and_then(|owner| owner.get("team")).and_then(Value::as_str);
            (format!("{} was asked for news.", team.or_else(|| text("system")).unwrap_or("The owner")), None)
        }
        Kind::FeedbackDue => ("The customer can be asked what they think of it.".to_owned(), None),
        Kind::Accepted
        | Kind::HandedOver
        | Kind::Progressed
        | Kind::Closed
        | Kind::Held
        | Kind::Decided
        | Kind::Reopened
        | Kind::TakenBack
        | Kind::FollowOn
        | Kind::Rejected => (words::sentence(event.kind.word()), None),
    };
    Entry { detail, ..Entry::new(event.at, told) }
}

/// That somebody else owns a piece of work from now on.
pub(super) fn moved(event: &Event) -> Entry {
    let text = |key: &str| event.data.get(key).and_then(Value::as_str);
    let owner = event.data.get("owner").and_then(|owner| owner.get("team")).and_then(Value::as_str);
    let (owner, by) = (owner.unwrap_or("somebody"), text("by").unwrap_or("a person"));
    let told = if event.kind == Kind::TakenBack {
        format!("{by} took it back: {owner} has it now.")
    } else {
        format!("{by} handed it over to {owner}.")
    };
    Entry { detail: text("reason").map(words::sentence), ..Entry::new(event.at, told) }
}

fn reason(event: &Event, then: &str) -> String {
    let reason = event.data.get("reason").and_then(Value::as_str).map(words::sentence).unwrap_or_default();
    format!("{reason} {then}").trim().to_owned()
}

fn listed(event: &Event, key: &str) -> Vec<String> {
    let list = event.data.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn teams(event: &Event) -> Vec<String> {
    let owners = event.data.get("owners").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    owners.iter().filter_map(|owner| owner.get("team")?.as_str()).map(str::to_owned).collect()
}
