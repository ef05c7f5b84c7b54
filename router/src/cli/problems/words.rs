//! Problems in words, for people and for programs.

use mappings::mapping::Catalogue;
use serde_json::{Value, json};

use crate::cli::tickets::line_json;
use crate::ledger::{KeptAs, Line, Problem};
use crate::timeline::{self, completion_name, quoted, service_title, when, words};

/// So many of something.
pub(super) fn number(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// A problem as a person reads it, without what can be done about it.
pub(super) fn told(problem: &Problem, catalogue: &Catalogue) -> String {
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
        Problem::ParkedAlike { system, class, reason, count } => format!(
            "{} of work stuck at {system}: {}.\n  {}",
            number(*count, "piece", "pieces"),
            words::class(*class),
            timeline::reason(reason, catalogue)
        ),
        Problem::Orphan(completion) => {
            let said = quoted(&completion.said, completion.note.as_deref());
            let job = completion.job.as_ref().map_or("not given".to_owned(), ToString::to_string);
            format!(
                "News from {} of work that Dovetail did not order ({})\n  their reference: {job}\n  “{said}”",
                completion.system,
                when::short(completion.received_at)
            )
        }
        Problem::Contradiction { line, completion } => {
            let said = quoted(&completion.said, completion.note.as_deref());
            let closed = line.disposition.map(words::ended).unwrap_or("the work has ended");
            format!(
                "{}\n  {} said “{said}” on {}, after the ticket was closed ({closed}). Nothing was changed: if the work \
                 goes on, open the ticket again in the CRM.",
                ticket(line),
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
        Problem::RefusedAlike { source, reason, count, latest_at, .. } => format!(
            "{} from {source} that could not be taken (the last {})\n  for example: {reason}",
            number(*count, "message", "messages"),
            when::short(*latest_at)
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

/// A problem for programs.
pub(super) fn as_json(problem: &Problem) -> Value {
    match problem {
        Problem::Held { line, reason, .. } => {
            json!({"kind": "held", "ticket": line_json(line), "reason": reason})
        }
        Problem::Parked { line, system, closure, class, reason } => json!({
            "kind": "parked", "ticket": line_json(line), "system": system.as_str(), "closure": closure,
            "class": class.as_str(), "reason": reason,
        }),
        Problem::ParkedAlike { system, class, reason, count } => json!({
            "kind": "parked", "system": system.as_str(), "class": class.as_str(), "reason": reason, "count": count,
        }),
        Problem::Orphan(completion) => json!({
            "kind": "orphan",
            "id": completion_name(completion),
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
        Problem::Contradiction { line, completion } => json!({
            "kind": "contradiction", "id": completion_name(completion), "ticket": line_json(line),
            "system": completion.system.as_str(), "said": completion.said, "note": completion.note,
            "received_at": completion.received_at.to_string(),
        }),
        Problem::RefusedAlike { cause, source, reason, count, latest_at } => json!({
            "kind": "refused", "cause": cause, "source": source, "reason": reason, "count": count,
            "received_at": latest_at.to_string(),
        }),
        Problem::Early { received_at, council, ticket, revision } => json!({
            "kind": "early",
            "received_at": received_at.to_string(),
            "council": council.as_str(),
            "ticket": ticket.as_str(),
            "revision": revision.as_str(),
        }),
        Problem::Refused {
            name,
            received_at,
            key,
            council,
            ticket,
            path,
            reason,
            sent_with,
            text,
            kept_as,
        } => json!({
            "name": name,
            "can_be_retried": *kept_as != KeptAs::Nothing,
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
