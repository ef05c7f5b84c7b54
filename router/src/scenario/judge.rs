//! Whether what was found is what was expected.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use mappings::domain::{Council, HandoverState, SystemName, Ticket};
use serde_json::Value;

use super::World;
use super::document::{Expected, What};
use crate::ledger::{History, ProblemSearch};
use crate::timeline;

/// How much of the ledger's problems is looked at.
const MOST: usize = 100;

impl World<'_> {
    /// What is not as expected, a text each with file and line.
    pub(super) async fn judge(&self, file: &str, expected: &[Expected]) -> anyhow::Result<Vec<String>> {
        let mut failures = Vec::new();
        for one in expected {
            let (council, ticket) = self.subject(one.ticket.as_ref())?;
            let history = self.ledger.ticket(Some(&council), &ticket).await?;
            let events = history.iter().flat_map(|history| &history.events);
            for event in events {
                if let Err(wrong) = event.check() {
                    let word = event.kind.word();
                    failures
                        .push(format!("{file}:{}: {word} is not as docs/schemas has it: {wrong}", one.line));
                }
            }
            if let Some(found) = self.differs(&one.what, &council, &ticket, history.as_ref()).await? {
                failures.push(format!("{file}:{}: {found}{}", one.line, happened(history.as_ref())));
            }
        }
        Ok(failures)
    }

    async fn differs(
        &self,
        what: &What,
        council: &Council,
        ticket: &Ticket,
        history: Option<&History>,
    ) -> anyhow::Result<Option<String>> {
        let crm = || {
            self.catalogue.crm_of(council).and_then(|crm| self.simulators.get(crm)?.ticket(ticket.as_str()))
        };
        let events = || -> Vec<String> {
            let events = history.map(|history| history.events.as_slice()).unwrap_or_default();
            events.iter().map(|event| short(event.kind.word()).to_owned()).collect()
        };
        Ok(match what {
            What::State(state) => {
                let found = history.map_or("unknown", |history| history.line.state.as_str());
                let why = history.and_then(|history| history.line.reason.as_deref());
                let found = if found == state { found.to_owned() } else { with_reason(found, why) };
                same("ticket", state, &found)
            }
            What::Disposition(word) => {
                let found = history.and_then(|history| history.line.disposition);
                same("disposition", word, found.map_or("none", |found| found.as_str()))
            }
            What::Reason(parts) => contains("reason", parts, &history.map(reasons).unwrap_or_default()),
            What::Told(parts) => contains("customer was told", parts, &told(history, crm())),
            What::NotTold(parts) => {
                let told = told(history, crm());
                let found = parts.iter().find(|part| told.contains(part.as_str()));
                found.map(|part| format!("expected the customer not to be told {part:?}; found {told:?}"))
            }
            What::Closures(count) => {
                let found = crm().map_or(0, |ticket| ticket.closures);
                same("closures in the CRM", &count.to_string(), &found.to_string())
            }
            What::CrmStatus(status) => {
                same("status in the CRM", status, crm().map_or("new", |ticket| ticket.status))
            }
            What::Linked(count) => {
                let found = crm().map_or(0, |ticket| ticket.linked);
                same("linked tickets in the CRM", &count.to_string(), &found.to_string())
            }
            What::Events(words) => {
                let words: Vec<&str> = words.iter().map(|word| short(word)).collect();
                same("events in order", &words.join(", "), &events().join(", "))
            }
            What::Includes(words) => {
                let found = events();
                let missing = words.iter().find(|word| !found.iter().any(|found| found == short(word)));
                missing.map(|word| format!("expected an event {word}; found {}", found.join(", ")))
            }
            What::Excludes(words) => {
                let found = events();
                let there = words.iter().find(|word| found.iter().any(|found| found == short(word)));
                there.map(|word| format!("expected no event {word}; found {}", found.join(", ")))
            }
            What::Says(kind, part) => {
                let events = history.map(|history| history.events.as_slice()).unwrap_or_default();
                let said: Vec<&Value> =
                    events.iter().filter(|event| event.kind == *kind).map(|event| &event.data).collect();
                let word = short(kind.word());
                match said.last() {
                    None => Some(format!("expected an event {word} that says {part}; found none")),
                    Some(_) if said.iter().any(|said| holds(said, part)) => None,
                    Some(last) => Some(format!("expected an event {word} that says {part}; found {last}")),
                }
            }
            What::Parked(class) => {
                let handovers = history.map(|history| history.handovers.as_slice()).unwrap_or_default();
                let parked = handovers.iter().find(|handover| handover.state == HandoverState::Parked);
                let found = parked.and_then(|handover| handover.class);
                same("parked", class, found.map_or("nothing", |class| class.as_str()))
            }
            What::Problems(kinds) => {
                let of_others = timeline::of_others(&self.catalogue);
                let search = ProblemSearch { of_others, ..ProblemSearch::first(MOST) };
                let problems = self.ledger.find_problems(&search).await?.problems;
                let mut found: Vec<&str> = problems.iter().map(|problem| problem.kind().as_str()).collect();
                found.sort_unstable();
                let mut kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
                kinds.sort_unstable();
                same("problems", &kinds.join(", "), &found.join(", "))
            }
            What::WaitsFor(systems) => {
                let handovers = history.map(|history| history.handovers.as_slice()).unwrap_or_default();
                let waiting = handovers.iter().filter(|handover| handover.state != HandoverState::Ended);
                let found: Vec<&str> = waiting.map(|handover| handover.system.as_str()).collect();
                same("waits for", &systems.join(", "), &found.join(", "))
            }
            What::PersonRead(parts) => contains("the person read", parts, &self.person_read),
            What::StaffRead(parts) => {
                let story = history.map(|history| timeline::tell(history, &self.catalogue, self.clock.now()));
                let text = story.map(|story| {
                    let teams = story.with_whom.into_iter().filter_map(|holder| holder.team);
                    [vec![story.headline], story.next, teams.collect()].concat().join(" ")
                });
                contains("staff read", parts, &text.unwrap_or_default())
            }
            What::Calls(system, words) => {
                let found = self.simulator(system)?.calls();
                let found: Vec<&str> =
                    found.into_iter().filter(|word| !["poll", "read"].contains(word)).collect();
                same(&format!("calls that {system} got"), &words.join(", "), &found.join(", "))
            }
            What::Jobs(system, count) => {
                let found = self.simulator(system)?.jobs();
                same(&format!("jobs at {system}"), &count.to_string(), &found.to_string())
            }
            What::Files(system, place, names) => {
                let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
                names.sort_unstable();
                let found = self.files(system, place)?.join(", ");
                same(&format!("files {place} at {system}"), &names.join(", "), &found)
            }
            What::Receipt(file, counts) => {
                same(&format!("receipt of {file}"), counts, &self.receipt(file).unwrap_or("none".to_owned()))
            }
            What::Compared(system, expected) => self.compared(system, expected).await?,
            What::Remarks(system, parts) => {
                contains(&format!("{system} was told"), parts, &self.remarks(system, ticket).await?)
            }
        })
    }

    /// The files in a folder of a system's own.
    fn files(&self, system: &SystemName, place: &str) -> anyhow::Result<Vec<String>> {
        let files = self.catalogue.system(system).and_then(|system| system.files.as_ref()?.folder.clone());
        let folder = files.with_context(|| format!("{system} tells by no files"))?;
        let folder = if place == "left" { PathBuf::from(folder) } else { Path::new(&folder).join(place) };
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What the receipt of a file counts.
    fn receipt(&self, file: &str) -> Option<String> {
        let folders = self.catalogue.systems().filter_map(|system| system.files.as_ref()?.folder.as_ref());
        let name = format!("receipts/{file}.receipt.json");
        let mut receipts = folders.filter_map(|folder| std::fs::read(Path::new(folder).join(&name)).ok());
        let receipt: Value = serde_json::from_slice(&receipts.next()?).ok()?;
        let count = |name: &str| receipt[name].as_u64().unwrap_or_default();
        let (taken, known, bad) = (count("taken"), count("known_already"), count("bad"));
        let passed_over = match count("passed_over") {
            0 => String::new(),
            count => format!(", {count} passed over"),
        };
        Some(format!("{taken} taken, {known} known already, {bad} bad{passed_over}"))
    }

    /// What the last comparison with the open jobs of a system came to; `put off` while it is due.
    async fn compared(&self, system: &SystemName, expected: &Value) -> anyhow::Result<Option<String>> {
        let asked = self.ledger.asked().await?.into_iter().find(|asked| asked.system == *system);
        let now = self.clock.now();
        let found = match asked {
            Some(asked) if asked.due_at.is_some_and(|due_at| due_at <= now) => Value::from("put off"),
            Some(asked) => asked.last.map_or(Value::from("never"), |(_, report)| report),
            None => Value::from("never"),
        };
        let differs = || format!("open jobs at {system}: expected {expected}; found {found}");
        Ok((!holds(&found, expected)).then(differs))
    }

    async fn remarks(&self, system: &SystemName, ticket: &Ticket) -> anyhow::Result<String> {
        let simulator = self.simulator(system)?;
        let job = self.job_of(system, ticket).await?;
        Ok(job.map(|job| simulator.remarks(&job).join(" ")).unwrap_or_default())
    }
}

fn same(what: &str, expected: &str, found: &str) -> Option<String> {
    (expected != found).then(|| format!("{what}: expected {expected:?}; found {found:?}"))
}

fn contains(what: &str, parts: &[String], found: &str) -> Option<String> {
    let missing = parts.iter().find(|part| !found.contains(part.as_str()));
    missing.map(|part| format!("{what}: expected {part:?}; found {found:?}"))
}

/// Whether a document has every member of `part`, and each list every item of its list in order.
fn holds(document: &Value, part: &Value) -> bool {
    match (document, part) {
        (Value::Object(document), Value::Object(part)) => {
            part.iter().all(|(name, part)| holds(document.get(name).unwrap_or(&Value::Null), part))
        }
        (Value::Array(document), Value::Array(part)) => {
            document.len() == part.len() && document.iter().zip(part).all(|(one, part)| holds(one, part))
        }
        (document, part) => document == part,
    }
}

/// What the customer is told: by the CRM where it has told, else what the ledger has.
fn told(history: Option<&History>, crm: Option<connectors::simulator::Told>) -> String {
    let messages = crm.map(|ticket| ticket.messages.join("\n")).filter(|messages| !messages.is_empty());
    messages.or_else(|| history?.say.clone()).unwrap_or_default()
}

fn reasons(history: &History) -> String {
    let handovers = history.handovers.iter().filter_map(|handover| handover.reason.clone());
    history.line.reason.clone().into_iter().chain(handovers).collect::<Vec<_>>().join("; ")
}

fn with_reason(state: &str, why: Option<&str>) -> String {
    why.map_or_else(|| state.to_owned(), |why| format!("{state} ({why})"))
}

/// An event's word without what all of them begin with.
fn short(word: &str) -> &str {
    word.strip_prefix("ticket.").unwrap_or(word)
}

/// The story so far, to find what went otherwise.
fn happened(history: Option<&History>) -> String {
    let Some(history) = history else { return String::new() };
    let events =
        history.events.iter().map(|event| format!("\n    {} {} {}", event.at, event.kind.word(), event.data));
    let tries = history.attempts.iter().map(|tried| {
        let Some(reason) = &tried.attempt.reason else { return String::new() };
        format!("\n    {} {} {}: {reason}", tried.attempt.ended_at, tried.operation, tried.attempt.outcome)
    });
    events.chain(tries).collect()
}
