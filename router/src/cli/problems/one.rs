//! `dovetail problems show` and `dismiss`.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::words::number;
use crate::cli::resolve::person;
use crate::cli::{DismissArgs, Exit, Mistake, ShowProblemArgs, Shown};
use crate::ledger::{Dismissal, KeptAs, KeptRefusal, Ledger, ProblemChange};
use crate::timeline::when;

/// The shortest beginning of a name that names one.
const SHORTEST: usize = 4;

/// Shows a refused delivery with its body, and what people did about it.
///
/// # Errors
/// When the ledger cannot be read, or the name is none.
pub(super) async fn show(args: &ShowProblemArgs, ledger: &dyn Ledger) -> anyhow::Result<Shown> {
    let refusal = match named(&args.name, ledger).await? {
        Ok(refusal) => refusal,
        Err(shown) => return Ok(shown),
    };
    let mut text = String::new();
    let ticket = refusal.ticket.as_ref().map_or("could not be read".to_owned(), ToString::to_string);
    let council = refusal.council.as_ref().map_or("could not be read".to_owned(), ToString::to_string);
    for (name, value) in [
        ("name", refusal.name.clone()),
        ("ticket", ticket),
        ("council", council),
        ("came in", when::stamp(refusal.received_at)),
        ("from", refusal.key.source.clone()),
        ("message", refusal.key.id.clone()),
        ("where", refusal.path.clone().unwrap_or_else(|| "the whole".to_owned())),
        ("why", refusal.reason.clone()),
        ("stands", standing(&refusal)),
    ] {
        let _ = writeln!(text, "{name:<10}{value}");
    }
    for ProblemChange { at, change, by, because } in &refusal.changes {
        let _ = writeln!(text, "{}  {change} by {by}: {because}", when::short(*at));
    }
    let _ =
        writeln!(text, "\n{}", if refusal.body.is_empty() { "(no body was kept)" } else { &refusal.body });
    Ok(Shown { text, json: as_json(&refusal), exit: Exit::Ok })
}

fn standing(refusal: &KeptRefusal) -> String {
    match (&refusal.settled, refusal.kept_as) {
        (Some((at, how)), _) => format!("{how}, {}", when::stamp(*at)),
        (None, KeptAs::Nothing) => {
            "waits for a person; it cannot be read again from here, but must be sent again".to_owned()
        }
        (None, KeptAs::Event | KeptAs::Native | KeptAs::Polled | KeptAs::Listed) => {
            format!(
                "waits for a person; when its cause is mended: dovetail problems retry {} --because WHY",
                refusal.name
            )
        }
    }
}

/// The refused delivery whose name begins so, or what there is to say where it is not one.
///
/// # Errors
/// When the ledger cannot be read, or the name is too short.
pub(super) async fn named(name: &str, ledger: &dyn Ledger) -> anyhow::Result<Result<KeptRefusal, Shown>> {
    if name.len() < SHORTEST {
        let what = format!("{name:?} is too short to name a problem");
        return Err(Mistake::new(what, "give the name that dovetail problems prints").into());
    }
    let mut found = ledger.refusals(name, 2).await?;
    let text = match found.len() {
        0 => format!("There is no refused message {name}. See dovetail problems.\n"),
        1 => return Ok(Ok(found.remove(0))),
        _ => format!("Several messages begin with {name}: give more letters of the name.\n"),
    };
    Ok(Err(Shown { text, json: json!({"name": name, "found": false}), exit: Exit::NotOk }))
}

fn as_json(refusal: &KeptRefusal) -> Value {
    let changes = refusal.changes.iter().map(|change| {
        json!({"at": change.at.to_string(), "change": change.change, "by": change.by, "because": change.because})
    });
    json!({
        "name": refusal.name, "source": refusal.key.source, "id": refusal.key.id,
        "council": refusal.council.as_ref().map(|council| council.as_str()),
        "ticket": refusal.ticket.as_ref().map(|ticket| ticket.as_str()),
        "path": refusal.path, "reason": refusal.reason, "body": refusal.body,
        "received_at": refusal.received_at.to_string(),
        "can_be_retried": refusal.settled.is_none() && refusal.kept_as != KeptAs::Nothing,
        "settled": refusal.settled.as_ref().map(|(at, how)| json!({"at": at.to_string(), "how": how})),
        "changes": changes.collect::<Vec<_>>(),
    })
}

/// Takes problems from the list, with who did so and why.
///
/// # Errors
/// When the ledger cannot be written, or nobody is named.
pub(super) async fn dismiss(
    args: &DismissArgs,
    ledger: &dyn Ledger,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    let person = person(args.about.by.as_deref(), &args.about.because)?;
    if let Some(name) = args.names.iter().find(|name| name.len() < SHORTEST) {
        let what = format!("{name:?} is too short to name a problem");
        return Err(Mistake::new(what, "give the name that dovetail problems prints").into());
    }
    let mut which: Vec<Dismissal> = args.names.iter().cloned().map(Dismissal::One).collect();
    which.extend(args.cause.clone().map(Dismissal::Cause));
    which.extend(args.orphans.clone().map(Dismissal::Orphans));
    let (mut count, mut missing) = (0, Vec::new());
    for which in which {
        let dismissed = ledger.dismiss(&which, &person, now).await?;
        if let (0, Dismissal::One(name)) = (dismissed, &which) {
            missing.push(name.clone());
        }
        count += dismissed;
    }
    let mut text = format!("{} dismissed.\n", number(count, "problem was", "problems were"));
    if !missing.is_empty() {
        let _ = writeln!(
            text,
            "{}: no such problem waits. Tickets that are held and work that is parked are decided by dovetail resolve \
             and dovetail replay.",
            missing.join(", ")
        );
    }
    let exit = if count == 0 || !missing.is_empty() { Exit::NotOk } else { Exit::Ok };
    Ok(Shown { text, json: json!({"dismissed": count, "not_found": missing}), exit })
}
