//! Reading how a scenario must end.

use mappings::domain::{Disposition, ParkClass, RequestState, SystemName, Ticket};
use mappings::mapping::yaml::{Entry, Node, Yaml};

use super::document::{Expected, What};
use super::read::Reader;
use crate::event::Kind;

const KNOWN: &[&str] = &[
    "ticket",
    "disposition",
    "reason contains",
    "customer was told",
    "customer was not told",
    "closures in the CRM",
    "status in the CRM",
    "linked tickets in the CRM",
    "events in order",
    "events include",
    "events exclude",
    "closure says",
    "parked",
    "problems",
    "waits for",
    "staff read",
    "the person read",
];

/// Kinds of what waits for a person.
const PROBLEMS: &[&str] = &["held", "parked", "orphan", "contradiction", "early", "refused"];

/// Reads `then:`: what is expected of the first ticket, and below their names of others.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Vec<Expected> {
    let Yaml::Map(entries) = &node.value else {
        reader.wrong(node.line, node.shown(), format!("then: a mapping with {}", KNOWN.join(", ")));
        return Vec::new();
    };
    let mut expected = Vec::new();
    for entry in entries {
        match (&entry.value.value, Ticket::parse(&entry.key)) {
            (Yaml::Map(inner), Ok(ticket))
                if entry.key != "closure says"
                    && !entry.key.starts_with("event ")
                    && !entry.key.starts_with("open jobs at ") =>
            {
                let of_ticket = inner.iter().filter_map(|inner| one(reader, inner, Some(&ticket)));
                expected.extend(of_ticket.collect::<Vec<_>>());
            }
            _ => expected.extend(one(reader, entry, None)),
        }
    }
    expected
}

fn one(reader: &mut Reader<'_>, entry: &Entry, ticket: Option<&Ticket>) -> Option<Expected> {
    let what = what(reader, entry)?;
    Some(Expected { line: entry.line, ticket: ticket.cloned(), what })
}

fn what(reader: &mut Reader<'_>, entry: &Entry) -> Option<What> {
    let (key, node) = (entry.key.as_str(), &entry.value);
    if let Some(what) = of_system(reader, key, node) {
        return what;
    }
    if let Some(word) = key.strip_prefix("event ").and_then(|rest| rest.strip_suffix(" says")) {
        let kind = Kind::from_word(&format!("ticket.{word}"));
        if kind.is_none() {
            let known: Vec<&str> =
                Kind::ALL.iter().filter_map(|kind| kind.word().strip_prefix("ticket.")).collect();
            reader.unknown(entry.line, format!("the event {word}"), word, &known);
        }
        return Some(What::Says(kind?, node.to_json()));
    }
    Some(match key {
        "ticket" => {
            let states = RequestState::ALL.iter().map(|state| state.as_str()).chain(["unknown"]);
            What::State(one_of(reader, node, key, &states.collect::<Vec<_>>())?)
        }
        "disposition" => {
            let known: Vec<&str> = Disposition::ALL.iter().map(|word| word.as_str()).collect();
            What::Disposition(one_of(reader, node, key, &known)?)
        }
        "parked" => {
            let known: Vec<&str> = ParkClass::ALL.iter().map(|word| word.as_str()).collect();
            What::Parked(one_of(reader, node, key, &known)?)
        }
        "reason contains" => What::Reason(reader.texts(node, key)),
        "customer was told" => What::Told(reader.texts(node, key)),
        "customer was not told" => What::NotTold(reader.texts(node, key)),
        "closures in the CRM" => What::Closures(reader.count(node, key)?),
        "status in the CRM" => What::CrmStatus(reader.text(node, key)?),
        "linked tickets in the CRM" => What::Linked(reader.count(node, key)?),
        "events in order" => What::Events(reader.texts(node, key)),
        "events include" => What::Includes(reader.texts(node, key)),
        "events exclude" => What::Excludes(reader.texts(node, key)),
        "closure says" => What::Says(Kind::Closed, node.to_json()),
        "problems" => {
            let problems = reader.texts(node, key);
            for problem in problems.iter().filter(|problem| !PROBLEMS.contains(&problem.as_str())) {
                reader.unknown(node.line, format!("the problem {problem:?}"), problem, PROBLEMS);
            }
            What::Problems(problems)
        }
        "waits for" => What::WaitsFor(reader.texts(node, key)),
        "the person read" => What::PersonRead(reader.texts(node, key)),
        "staff read" => What::StaffRead(reader.texts(node, key)),
        _ => {
            let known: Vec<&str> = KNOWN
                .iter()
                .copied()
                .chain([
                    "calls that <system> got",
                    "jobs at <system>",
                    "open jobs at <system>",
                    "<system> was told",
                    "receipt of <file>",
                    "event <event> says",
                ])
                .chain(["files done at <system>", "files refused at <system>", "files left at <system>"])
                .collect();
            reader.unknown(entry.line, format!("unknown key {key} in then"), key, &known);
            return None;
        }
    })
}

/// What is expected of a system.
fn of_system(reader: &mut Reader<'_>, key: &str, node: &Node) -> Option<Option<What>> {
    let system = |name: &str| SystemName::parse(name).ok();
    if let Some(system) =
        key.strip_prefix("calls that ").and_then(|rest| rest.strip_suffix(" got")).and_then(system)
    {
        return Some(Some(What::Calls(system, reader.texts(node, key))));
    }
    for place in ["done", "refused", "left"] {
        let prefix = format!("files {place} at ");
        if let Some(system) = key.strip_prefix(&prefix).and_then(system) {
            return Some(Some(What::Files(system, place, reader.texts(node, key))));
        }
    }
    if let Some(file) = key.strip_prefix("receipt of ") {
        return Some(reader.text(node, key).map(|counts| What::Receipt(file.to_owned(), counts)));
    }
    if let Some(system) = key.strip_prefix("jobs at ").and_then(system) {
        return Some(reader.count(node, key).map(|count| What::Jobs(system, count)));
    }
    if let Some(system) = key.strip_prefix("open jobs at ").and_then(system) {
        return Some(Some(What::Compared(system, node.to_json())));
    }
    if let Some(system) = key.strip_suffix(" was told").filter(|name| *name != "customer").and_then(system) {
        return Some(Some(What::Remarks(system, reader.texts(node, key))));
    }
    None
}

fn one_of(reader: &mut Reader<'_>, node: &Node, what: &str, known: &[&str]) -> Option<String> {
    let text = reader.text(node, what)?;
    if known.contains(&text.as_str()) {
        return Some(text);
    }
    reader.unknown(node.line, format!("{what}: {text}"), &text, known);
    None
}
