//! `dovetail problems`: what waits for a person.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use mappings::mapping::Catalogue;
use serde_json::{Value, json};

use super::tickets::line_json;
use super::{Exit, ProblemsArgs, Shown};
use crate::ledger::{Ledger, Line, Problem};
use crate::timeline::{self, Halted, Inquired, Remedy, halted, inquired, quoted, service_title, when, words};

/// Lists what waits for a person, by kind.
///
/// # Errors
/// When the ledger cannot be read.
pub(super) async fn list(
    args: &ProblemsArgs,
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    now: Timestamp,
    dead: anyhow::Result<Option<u64>>,
) -> anyhow::Result<Shown> {
    let halted = halted(&ledger.halts().await?, catalogue, now);
    let inquired = inquired(&ledger.asked().await?, catalogue, now);
    let problems = timeline::for_a_person(ledger.problems(args.most).await?, catalogue);
    let Shown { text, mut json, exit } = shown(&problems, (&halted, &inquired), catalogue);
    // A broker that is away keeps nobody from what the ledger knows.
    let (told, count) = match dead {
        Ok(None | Some(0)) => (String::new(), json!(0)),
        Ok(Some(count)) => (
            format!("The broker has set {count} messages aside.\n  to see them: dovetail dead list\n\n"),
            json!(count),
        ),
        Err(error) => (format!("What the broker has set aside is not known: {error}.\n\n"), Value::Null),
    };
    json["dead_letters"] = count;
    Ok(Shown { text: told + &text, json, exit })
}

fn shown(problems: &[Problem], (halted, inquired): (&[Halted], &[Inquired]), catalogue: &Catalogue) -> Shown {
    let mut text = String::new();
    for halted in halted {
        let _ = writeln!(text, "{}\n", halted.text);
    }
    let words = by_word(problems, catalogue);
    for ((system, word), tickets) in &words {
        let (tickets, times) = (tickets.join(", "), tickets.len());
        let _ = writeln!(
            text,
            "{system} said “{word}”, which no mapping knows ({times} held: {tickets})\n  What it means can be said for \
             each; with --always, the line for the mapping is printed too.\n"
        );
    }
    for Inquired { system, attention, .. } in inquired.iter().filter(|one| !one.attention.is_empty()) {
        for text_of in attention {
            let _ = writeln!(text, "{text_of}");
        }
        let _ = writeln!(text, "  to compare again: dovetail reconcile --system {system}\n");
    }
    for problem in problems {
        let _ = writeln!(text, "{}", told(problem, catalogue));
        for Remedy { when, command } in timeline::remedies(problem, catalogue) {
            let _ = writeln!(text, "  {when}: {command}");
        }
        text.push('\n');
    }
    let attention = inquired.iter().any(|one| !one.attention.is_empty());
    if problems.is_empty() && attention {
        text.push_str("No ticket waits for a person.\n");
    } else if problems.is_empty() {
        text.push_str("Nothing waits for a person.\n");
    } else {
        let _ = writeln!(
            text,
            "{} wait for a person. `dovetail tickets show REFERENCE` tells a ticket's story.",
            problems.len()
        );
    }
    Shown {
        text,
        json: json!({
            "problems": problems.iter().map(|problem| with_remedies(problem, catalogue)).collect::<Vec<_>>(),
            "unknown_words": words.iter().map(|((system, word), tickets)| {
                json!({"system": system, "said": word, "tickets": tickets})
            }).collect::<Vec<_>>(),
            "systems": halted.iter().map(halted_json).collect::<Vec<_>>(),
            "open_jobs": inquired.iter().filter(|one| !one.attention.is_empty()).map(|one| json!({
                "system": one.system.as_str(), "attention": one.attention,
            })).collect::<Vec<_>>(),
        }),
        exit: Exit::Ok,
    }
}

/// The held tickets of each word that no mapping knows.
fn by_word<'p>(problems: &'p [Problem], catalogue: &Catalogue) -> BTreeMap<(&'p str, &'p str), Vec<&'p str>> {
    let mut words: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for problem in problems {
        let Problem::Held { line, .. } = problem else { continue };
        for (system, word) in timeline::unknown_words(problem, catalogue) {
            words.entry((system.as_str(), word)).or_default().push(line.ticket.as_str());
        }
    }
    words
}

fn halted_json(halted: &Halted) -> Value {
    json!({
        "system": halted.system.as_str(), "stands": halted.why, "why": halted.text,
        "until": halted.until.map(|until| until.to_string()),
    })
}

fn told(problem: &Problem, catalogue: &Catalogue) -> String {
    let ticket = |line: &Line| {
        let service = service_title(&line.service, catalogue);
        format!("{} ({}, {service}, came in {})", line.ticket, line.council, when::short(line.accepted_at))
    };
    match problem {
        Problem::Held { line, reason, .. } => {
            format!("{}\n  needs a decision: {}", ticket(line), timeline::reason(reason, catalogue))
        }
        Problem::Parked { line, system, class, reason, closure: _ } => {
            let reason = timeline::reason(reason, catalogue);
            format!("{}\n  stuck at {system}: {}.\n  {reason}", ticket(line), words::class(*class))
        }
        Problem::Orphan(completion) => {
            let said = quoted(&completion.said, completion.note.as_deref());
            let job = completion.job.as_ref().map_or("not given".to_owned(), ToString::to_string);
            format!(
                "News from {} of work that Dovetail did not order ({})\n  their reference: {job}\n  “{said}”",
                completion.system,
                when::short(completion.received_at)
            )
        }
        Problem::Orphans { system, count, latest_at } => format!(
            "News from {system} of {count} pieces of work that Dovetail did not order (the last {})\n  Where its lists \
             hold others' work too, its mapping says so: completion.orphans: others, or `when` beside its reports",
            when::short(*latest_at)
        ),
        Problem::Early { received_at, council, ticket, revision } => format!(
            "{ticket} ({council}, {})\n  we were told that {}, and the request itself has not come yet",
            when::short(*received_at),
            words::change(*revision)
        ),
        Problem::Refused { received_at, key, ticket, path, reason, sent_with, text, .. } => {
            let ticket = ticket.as_ref().map_or("no ticket could be read".to_owned(), ToString::to_string);
            let place = path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text = if text.is_empty() { text } else { format!("\n  it begins: {text}") };
            let sent_with = sent_with.as_ref().map(|name| format!(", {}", words::sent_with(name)));
            format!(
                "{} ({ticket}, {})\n  {place}{reason}{text}\n  from {}, message {}{}",
                words::refused(&key.source),
                when::short(*received_at),
                key.source,
                key.id,
                sent_with.unwrap_or_default()
            )
        }
    }
}

fn with_remedies(problem: &Problem, catalogue: &Catalogue) -> Value {
    let mut json = as_json(problem);
    let remedies = timeline::remedies(problem, catalogue);
    json["remedies"] = remedies
        .into_iter()
        .map(|Remedy { when, command }| json!({"when": when, "command": command}))
        .collect();
    json
}

fn as_json(problem: &Problem) -> Value {
    match problem {
        Problem::Held { line, reason, .. } => {
            json!({"kind": "held", "ticket": line_json(line), "reason": reason})
        }
        Problem::Parked { line, system, closure, class, reason } => json!({
            "kind": "parked", "ticket": line_json(line), "system": system.as_str(), "closure": closure,
            "class": class.as_str(), "reason": reason,
        }),
        Problem::Orphan(completion) => json!({
            "kind": "orphan",
            "system": completion.system.as_str(),
            "job": completion.job.as_ref().map(|job| job.as_str()),
            "reference": completion.reference.as_ref().map(|reference| reference.as_str()),
            "said": completion.said,
            "note": completion.note,
            "received_at": completion.received_at.to_string(),
        }),
        Problem::Orphans { system, count, latest_at } => json!({
            "kind": "orphans", "system": system.as_str(), "count": count, "received_at": latest_at.to_string(),
        }),
        Problem::Early { received_at, council, ticket, revision } => json!({
            "kind": "early",
            "received_at": received_at.to_string(),
            "council": council.as_str(),
            "ticket": ticket.as_str(),
            "revision": revision.as_str(),
        }),
        Problem::Refused { received_at, key, council, ticket, path, reason, sent_with, text } => json!({
            "text": (!text.is_empty()).then_some(text),
            "kind": "refused",
            "received_at": received_at.to_string(),
            "source": key.source,
            "id": key.id,
            "sent_with": sent_with,
            "council": council.as_ref().map(|council| council.as_str()),
            "ticket": ticket.as_ref().map(|ticket| ticket.as_str()),
            "path": path,
            "reason": reason,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::tests::seed::Seed;

    #[tokio::test]
    async fn what_waits_for_a_person_is_listed_with_kind_and_reason() {
        let seed = Seed::town().await;
        let problems = seed.ledger.problems(50).await.expect("problems");
        let shown = shown(&problems, (&[], &[]), &seed.catalogue);
        let kinds: Vec<&str> = shown.json["problems"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|problem| problem["kind"].as_str())
            .collect();
        assert_eq!(kinds, ["held", "parked", "orphan", "refused"]);
        assert!(shown.text.contains("Uprn: nothing at $.location.uprn."), "{}", shown.text);
        assert!(shown.text.contains("location.uprn: a number"), "{}", shown.text);
        for command in [
            "dovetail resolve CRM-4 --council harlow --close DISPOSITION --because WHY",
            "dovetail resolve CRM-4 --council harlow --keep-open --because WHY",
            "dovetail replay --where 'ticket=CRM-5 council=harlow system=waste' --edit FILE --because WHY",
            "dovetail link 9999 --system waste --to TICKET --because WHY",
        ] {
            assert!(shown.text.contains(command), "{command}: {}", shown.text);
        }
        assert!(shown.json["problems"][1]["remedies"][0]["command"].is_string());
    }

    #[tokio::test]
    async fn words_that_no_mapping_knows_are_listed_with_their_tickets_and_what_can_be_done() {
        let seed = Seed::new().await;
        for (ticket, job) in [("CRM-1", "1"), ("CRM-2", "2")] {
            seed.delivered("harlow", ticket, job).await;
            seed.heard(job, "Zzz", None).await;
        }
        let problems = seed.ledger.problems(50).await.expect("problems");
        let shown = shown(&problems, (&[], &[]), &seed.catalogue);
        assert!(shown.text.starts_with("waste said “Zzz”, which no mapping knows (2 held: CRM-2, CRM-1)\n"));
        assert_eq!(shown.json["unknown_words"][0]["said"], "Zzz");
        let command =
            "dovetail resolve CRM-1 --council harlow --system waste --status-means MEANING --because WHY";
        assert!(shown.text.contains(command), "{}", shown.text);
    }

    #[tokio::test]
    async fn nothing_to_do_is_said() {
        let seed = Seed::new().await;
        assert_eq!(shown(&[], (&[], &[]), &seed.catalogue).text, "Nothing waits for a person.\n");
    }
}
