//! Reading what happens in a scenario.

use connectors::simulator::{Fault, Refuse, Scope};
use mappings::domain::{SystemName, Ticket};
use mappings::mapping::yaml::{Node, Yaml};
use serde_json::json;

use super::document::{Act, By, Moment, Step, Word};
use super::folder::{document, overlays};
use super::read::Reader;
use super::{decide, expectations, owners};

/// What a system can do, after its name.
const VERBS: &[&str] = &[
    "says",
    "puts the file",
    "accepts",
    "refuses",
    "answers",
    "forgets",
    "does not answer",
    "loses the answer",
    "is down",
    "is up",
    "is paused",
    "is resumed",
];
/// What people and the CRM can do.
const DEEDS: &[&str] = &[
    "request",
    "amended",
    "withdrawn",
    "reopened",
    "then",
    "a person opens in the CRM",
    "a person closes the ticket in the CRM",
    "a person reopens the ticket in the CRM",
    "a person stops the closure",
    "a person decides",
    "a person hands the work over",
    "a person takes the work back",
    "the rules become",
    "dovetail reconciles",
];
const MOMENTS: &[&str] = &["at", "after"];

/// Reads `when:`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Vec<Step> {
    match &node.value {
        Yaml::List(items) => items.iter().filter_map(|item| step(reader, item)).collect(),
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::Map(_) => {
            reader.wrong(node.line, node.shown(), "when: a list of steps");
            Vec::new()
        }
    }
}

/// One step: a text where nothing more is to be said, else a mapping.
fn step(reader: &mut Reader<'_>, node: &Node) -> Option<Step> {
    if let Some(deed) = node.as_text() {
        let nothing = Node::nothing(node.line);
        let act = act(reader, node.line, deed, &nothing, node)?;
        return Some(Step { line: node.line, moment: None, act: Some(act), times: 1 });
    }
    let Yaml::Map(entries) = &node.value else {
        reader.wrong(node.line, node.shown(), "a step");
        return None;
    };
    let deeds: Vec<_> = entries.iter().filter(|entry| is_deed(&entry.key)).collect();
    if let [_, second, ..] = deeds.as_slice() {
        reader.wrong(second.line, format!("{} beside another deed", second.key), "one deed a step");
        return None;
    }
    let modifiers = deeds.first().map_or(&[][..], |deed| modifiers(&deed.key));
    let mut known: Vec<&str> = MOMENTS.iter().chain(modifiers).copied().collect();
    known.extend(deeds.iter().map(|deed| deed.key.as_str()));
    if deeds.is_empty() {
        known.extend(DEEDS);
        known.extend(["<system> says", "<system> accepts", "<system> refuses", "<system> answers"]);
        known.push("<system> puts the file");
    }
    let before = reader.findings.len();
    reader.keys(node, "a step", &known);
    let moment = moment(reader, node);
    let act = match deeds.first() {
        Some(deed) => Some(act(reader, deed.line, &deed.key, &deed.value, node)?),
        None => None,
    };
    let times = match (node.get("times"), node.get("twice")) {
        (Some(times), _) => u32::try_from(reader.count(times, "times")?).unwrap_or(u32::MAX),
        (None, Some(_)) => 2,
        (None, None) => 1,
    };
    (reader.findings.len() == before).then_some(Step { line: node.line, moment, act, times })
}

fn is_deed(key: &str) -> bool {
    DEEDS.contains(&key) || of_system(key).is_some()
}

/// A system's name and what it does.
fn of_system(key: &str) -> Option<(SystemName, &'static str)> {
    let (system, verb) = key.split_once(' ')?;
    let verb = VERBS.iter().find(|known| **known == verb)?;
    Some((SystemName::parse(system).ok()?, verb))
}

fn modifiers(deed: &str) -> &'static [&'static str] {
    match of_system(deed) {
        Some((_, "says")) => &["about", "job", "note", "follow on", "by", "dated", "twice", "times"],
        Some((_, "puts the file")) => &["with", "twice", "times"],
        Some((_, "answers" | "does not answer" | "loses the answer")) => &["asked", "times", "twice"],
        Some(_) => &[],
        None => match deed {
            "a person decides" | "a person hands the work over" | "a person takes the work back" => {
                &["about"]
            }
            "a person opens in the CRM" => &["with"],
            "request" => &["council", "service", "with", "twice", "times"],
            "amended" | "withdrawn" | "reopened" => &["council", "reason", "with", "twice", "times"],
            _ => &[],
        },
    }
}

fn moment(reader: &mut Reader<'_>, node: &Node) -> Option<Moment> {
    match (node.get("at"), node.get("after")) {
        (Some(at), None) => reader.time(at, "at").map(Moment::At),
        (None, Some(after)) => reader.span(after, "after").map(Moment::After),
        (None, None) => None,
        (Some(at), Some(_)) => {
            reader.wrong(at.line, "at and after at once", "one of them");
            None
        }
    }
}

fn act(reader: &mut Reader<'_>, line: usize, deed: &str, value: &Node, step: &Node) -> Option<Act> {
    if let Some((system, verb)) = of_system(deed) {
        return of_a_system(reader, system, verb, value, step);
    }
    match deed {
        "request" => {
            let ticket = reader.parsed(value, "request: a ticket")?;
            let over = match step.get("with") {
                Some(node) => document(reader, node, "with")?,
                None => json!({}),
            };
            let council = given(reader, step, "council");
            Some(Act::Request { ticket, council, service: given(reader, step, "service"), over })
        }
        "a person opens in the CRM" => {
            let ticket = reader.parsed(value, "a person opens in the CRM: a ticket")?;
            let fields = match step.get("with") {
                Some(node) => document(reader, node, "with")?,
                None => json!({}),
            };
            Some(Act::Opens { ticket, fields })
        }
        "amended" => change(reader, "amended", value, step),
        "withdrawn" => change(reader, "withdrawn", value, step),
        "reopened" => change(reader, "reopened", value, step),
        "then" => Some(Act::Expect(expectations::read(reader, value))),
        "a person closes the ticket in the CRM" => by_hand(reader, value, "resolved"),
        "a person stops the closure" => Some(Act::Stop(ticket(reader, value)?)),
        "a person decides" => {
            let about = given(reader, step, "about");
            Some(Act::Decides(decide::read(reader, value, about)?))
        }
        "a person reopens the ticket in the CRM" => by_hand(reader, value, "open"),
        "a person hands the work over" | "a person takes the work back" => {
            let about = given(reader, step, "about");
            Some(Act::PassesOn(owners::read(reader, value, deed.ends_with("back"), about)?))
        }
        "the rules become" => Some(Act::Rules(overlays(reader, value))),
        "dovetail reconciles" => Some(Act::Reconcile),
        _ => {
            let known: Vec<&str> = DEEDS.iter().chain(VERBS).copied().collect();
            reader.unknown(line, format!("the step {deed:?}"), deed, &known);
            None
        }
    }
}

fn change(reader: &mut Reader<'_>, word: &'static str, value: &Node, step: &Node) -> Option<Act> {
    let ticket: Ticket = reader.parsed(value, "a ticket")?;
    let mut data = match step.get("with") {
        Some(node) => document(reader, node, "with")?,
        None => json!({}),
    };
    if let Some(reason) = step.get("reason") {
        data["reason"] = reader.text(reason, "reason")?.into();
    }
    Some(Act::Change { word, ticket, council: given(reader, step, "council"), data })
}

fn given<T: std::str::FromStr>(reader: &mut Reader<'_>, step: &Node, key: &str) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    step.get(key).and_then(|node| reader.parsed(node, key))
}

fn by_hand(reader: &mut Reader<'_>, value: &Node, status: &'static str) -> Option<Act> {
    Some(Act::ByHand { ticket: ticket(reader, value)?, status })
}

/// The ticket that is named; nothing stands for the first one.
fn ticket(reader: &mut Reader<'_>, value: &Node) -> Option<Option<Ticket>> {
    match value.value {
        Yaml::Null => Some(None),
        Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) | Yaml::Map(_) => {
            reader.parsed(value, "a ticket").map(Some)
        }
    }
}

const REFUSALS: &[(&str, Refuse)] = &[
    ("duplicate", Refuse::Duplicate),
    ("declined", Refuse::Declined),
    ("not ours", Refuse::NotOurs),
    ("in words nobody knows", Refuse::Unheard),
];

const ANSWERS: &[(&str, Fault)] = &[
    ("500", Fault::Error500),
    ("503", Fault::Error503),
    ("a sign-in page", Fault::HtmlAnswer),
    ("nothing but 200", Fault::EmptyAnswer),
    ("half of it", Fault::TruncatedAnswer),
];

const WAYS: &[(&str, By)] = &[
    ("webhook", By::Webhook),
    ("poll", By::Poll),
    ("queue", By::Queue),
    ("file", By::File),
    ("nobody", By::Nobody),
];

/// What a system is asked when it answers otherwise: to do something, or how something stands.
const ASKED: &[(&str, Scope)] = &[("to do something", Scope::Writes), ("how it stands", Scope::Reads)];

fn of_a_system(
    reader: &mut Reader<'_>,
    system: SystemName,
    verb: &str,
    value: &Node,
    step: &Node,
) -> Option<Act> {
    match verb {
        "accepts" => Some(Act::Accepts(system, reader.parsed(value, "accepts: the name of the job")?)),
        "refuses" => Some(Act::Refuses(system, word(reader, value, "refuses", REFUSALS)?)),
        "answers" | "does not answer" | "loses the answer" => {
            let fault = match verb {
                "answers" => word(reader, value, "answers", ANSWERS)?,
                "does not answer" => Fault::Down,
                _ => Fault::LostAnswer,
            };
            let asked = match step.get("asked") {
                Some(node) => word(reader, node, "asked", ASKED)?,
                None => Scope::Writes,
            };
            Some(Act::Answers(system, fault, asked))
        }
        "forgets" => Some(Act::Forgets(system, reader.parsed(value, "forgets: the ticket of the job")?)),
        "is paused" => Some(Act::Pauses(system)),
        "is resumed" => Some(Act::Resumes(system)),
        "puts the file" => {
            let name = reader.text(value, "puts the file: its name")?;
            let Some(content) = step.get("with") else {
                reader.wrong(step.line, "a file without content", "with: what stands in it");
                return None;
            };
            Some(Act::Puts { system, name, content: reader.text(content, "with: what stands in the file")? })
        }
        "is down" => Some(Act::Down(system)),
        "is up" => Some(Act::Up(system)),
        _ => {
            let by = match step.get("by") {
                Some(node) => Some(word(reader, node, "by", WAYS)?),
                None => None,
            };
            let dated = match step.get("dated") {
                Some(node) => Some(reader.time(node, "dated")?),
                None => None,
            };
            let mut text = |key: &str| step.get(key).and_then(|node| reader.text(node, key));
            let (note, follow_on) = (text("note"), text("follow on"));
            Some(Act::Says(Word {
                said: reader.text(value, "says: a word of the system")?,
                about: given(reader, step, "about"),
                job: given(reader, step, "job"),
                note,
                follow_on,
                by,
                dated,
                system,
            }))
        }
    }
}

/// One of some words.
fn word<T: Copy>(reader: &mut Reader<'_>, node: &Node, what: &str, known: &[(&str, T)]) -> Option<T> {
    let text = reader.text(node, what)?;
    if let Some((_, value)) = known.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    reader.unknown(node.line, format!("{what}: {text}"), &text, &words);
    None
}
