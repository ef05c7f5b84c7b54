//! The commands by which a person resolves what waits for one.

use mappings::domain::{ParkClass, SystemName};
use mappings::mapping::{Catalogue, Meaning};

use crate::ledger::{Completion, KeptAs, Line, Problem};

/// How many letters of a completion's key are its name.
const NAME: usize = 12;

/// One way to resolve a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// When it is the right one.
    pub when: &'static str,
    /// The command. What only a person knows stands in capitals.
    pub command: String,
}

/// What can be done about a problem; nothing, where Dovetail can do nothing about it.
pub fn remedies(problem: &Problem, catalogue: &Catalogue) -> Vec<Remedy> {
    match problem {
        Problem::Held { line, .. } => {
            let unknown = unknown_words(problem, catalogue);
            let meanings = unknown.into_iter().map(|(system, _)| {
                resolve(line, Some(system), "It is known what they mean", "--status-means MEANING")
            });
            let usual = [
                resolve(line, None, "It ends so", "--close DISPOSITION"),
                resolve(line, None, "There is work to be done yet", "--keep-open"),
            ];
            meanings.chain(usual).collect()
        }
        Problem::Parked { line, system, closure, class: ParkClass::Uncertain, .. } => vec![
            resolve(
                line,
                Some(system),
                if *closure { "The ticket is closed there" } else { "They have it" },
                if *closure { "--was-done" } else { "--was-done JOB" },
            ),
            resolve(line, Some(system), "They have not", "--send-again"),
        ],
        Problem::Parked { line, system, class: ParkClass::Data, .. } => vec![
            replay(line, system, "The request is put right by a patch", " --edit FILE"),
            resolve(line, None, "It cannot be done", "--close DISPOSITION"),
        ],
        Problem::Parked { line, system, class: ParkClass::Refused | ParkClass::Technical, .. } => vec![
            replay(line, system, "The cause is gone", ""),
            Remedy {
                when: "The cause of all that is stuck there is gone",
                command: format!("dovetail replay --where 'system={system}' --because WHY"),
            },
        ],
        Problem::ParkedAlike { system, class: ParkClass::Uncertain, .. } => {
            vec![Remedy { when: "To decide about each", command: listed("parked", system) }]
        }
        Problem::ParkedAlike { system, class, reason, .. } => {
            let reason: String = reason.chars().take(80).collect();
            let reason = reason.replace('\\', r"\\").replace('"', r#"\""#).replace('\'', r"'\''");
            vec![
                Remedy {
                    when: "The cause is gone",
                    command: format!(
                        "dovetail replay --where 'system={system} class={class} reason~\"{reason}\"' --because WHY"
                    ),
                },
                Remedy { when: "To see each", command: listed("parked", system) },
            ]
        }
        Problem::Orphans { system, .. } => vec![
            Remedy { when: "To see each", command: listed("orphan", system) },
            Remedy {
                when: "None of it is ours",
                command: format!("dovetail problems dismiss --orphans {system} --because WHY"),
            },
        ],
        Problem::Contradiction { completion, .. } => {
            vec![dismiss("The ticket is closed as it should be", completion_name(completion))]
        }
        Problem::Orphan(completion) => {
            let job = completion.job.as_ref().map(|job| job.as_str());
            let named = job.or(completion.reference.as_ref().map(|reference| reference.as_str()));
            let link = named.map(|named| Remedy {
                when: "It is known which ticket it is about",
                command: format!(
                    "dovetail link {} --system {} --to TICKET --because WHY",
                    argument(named),
                    completion.system
                ),
            });
            let nothing = dismiss("It is no work of ours", completion_name(completion));
            link.into_iter().chain([nothing]).collect()
        }
        Problem::Early { .. } => Vec::new(),
        Problem::Refused { name, kept_as, .. } => {
            let retry = Remedy {
                when: "The cause is mended",
                command: format!("dovetail problems retry {name} --because WHY"),
            };
            let retry = (*kept_as != KeptAs::Nothing).then_some(retry);
            let show = Remedy { when: "To read it", command: format!("dovetail problems show {name}") };
            [show].into_iter().chain(retry).chain([dismiss("Nothing is to be done", name)]).collect()
        }
        Problem::RefusedAlike { cause, .. } => vec![
            Remedy { when: "To see each", command: format!("dovetail problems --cause {cause}") },
            Remedy {
                when: "The cause is mended",
                command: format!("dovetail problems retry --cause {cause} --because WHY"),
            },
            Remedy {
                when: "Nothing is to be done about any of them",
                command: format!("dovetail problems dismiss --cause {cause} --because WHY"),
            },
        ],
    }
}

/// What systems said of a held ticket that no mapping knows.
pub fn unknown_words<'p>(problem: &'p Problem, catalogue: &Catalogue) -> Vec<(&'p SystemName, &'p str)> {
    let Problem::Held { line, said, .. } = problem else { return Vec::new() };
    let unknown = said.iter().filter(|(name, word)| {
        let system = catalogue.system(name);
        system.is_some_and(|system| system.meaning(Some(&line.service), word, None) == Meaning::Unrecognised)
    });
    unknown.map(|(name, word)| (name, word.as_str())).collect()
}

/// By which people call news that waits for a person.
pub fn completion_name(completion: &Completion) -> &str {
    completion.key.get(..NAME).unwrap_or(&completion.key)
}

fn dismiss(when: &'static str, name: &str) -> Remedy {
    Remedy { when, command: format!("dovetail problems dismiss {} --because WHY", argument(name)) }
}

/// The command that lists the problems of one kind and system one by one.
fn listed(kind: &str, system: &SystemName) -> String {
    format!("dovetail problems --kind {kind} --system {system}")
}

fn resolve(line: &Line, system: Option<&SystemName>, when: &'static str, choice: &str) -> Remedy {
    let system = system.map(|system| format!(" --system {system}")).unwrap_or_default();
    let ticket = argument(line.ticket.as_str());
    let council = &line.council;
    Remedy {
        when,
        command: format!("dovetail resolve {ticket} --council {council}{system} {choice} --because WHY"),
    }
}

fn replay(line: &Line, system: &SystemName, when: &'static str, more: &str) -> Remedy {
    let ticket = line.ticket.as_str();
    let plain = !ticket.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\'));
    let ticket = if plain {
        ticket.to_owned()
    } else {
        format!("\"{}\"", ticket.replace('\\', r"\\").replace('"', r#"\""#))
    };
    let chosen = format!("ticket={ticket} council={} system={system}", line.council);
    let chosen = chosen.replace('\'', r"'\''");
    Remedy { when, command: format!("dovetail replay --where '{chosen}'{more} --because WHY") }
}

/// An argument as a shell reads it.
pub fn argument(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    let bare = text.chars().all(plain) && !text.starts_with('-');
    if bare { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_quoted_where_a_shell_would_read_it_otherwise() {
        assert_eq!(argument("CRM-2026-000123"), "CRM-2026-000123");
        assert_eq!(argument("it's; rm"), r"'it'\''s; rm'");
    }
}
