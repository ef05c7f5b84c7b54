//! What would be replayed: how many, why they stopped, and the exact first call.

use std::fmt::Write as _;

use mappings::domain::{Operation, Request};
use mappings::mapping::Facts;
use serde_json::{Value, json};

use super::{Selected, groups, left_out, nothing};
use crate::cli::columns::columns;
use crate::cli::open::Books;
use crate::cli::{Exit, Shown, preview as calls};
use crate::event::Kind;
use crate::ledger::{Stuck, edit};
use crate::timeline::when;

/// Rows that are shown.
const ROWS: usize = 10;

/// Shows it; changes nothing.
pub(super) async fn preview(
    selected: &Selected,
    patch: Option<&Value>,
    books: &Books,
) -> anyhow::Result<Shown> {
    let stuck = &selected.stuck;
    let Some(first) = stuck.first() else { return Ok(nothing(selected)) };
    let mut text = format!("{} would be replayed.\n\n", stuck.len());
    let groups = groups(stuck);
    let counted = groups.iter().map(|(system, class, reason, count)| {
        [count.to_string(), system.clone(), (*class).to_owned(), reason.chars().take(100).collect()]
    });
    text.push_str(&columns(["COUNT", "SYSTEM", "CLASS", "REASON"], counted));
    text.push('\n');
    let rows = stuck.iter().take(ROWS).map(|stuck| {
        [
            stuck.ticket.to_string(),
            stuck.council.to_string(),
            stuck.service.to_string(),
            stuck.system.to_string(),
            when::short(stuck.parked_at),
            stuck.attempts.to_string(),
        ]
    });
    text.push_str(&columns(["TICKET", "COUNCIL", "SERVICE", "SYSTEM", "PARKED", "ATTEMPTS"], rows));
    if stuck.len() > ROWS {
        let _ = writeln!(text, "… and {} more", stuck.len() - ROWS);
    }
    left_out(&mut text, selected);
    let call = first_call(first, patch, books).await?;
    let head = if call.exit == Exit::Ok { "The first call would be" } else { "The first call" };
    let _ = write!(text, "\n{head}\n\n{}", call.text);
    text.push_str("# Where an earlier attempt may have been carried out, the system is asked first.\n");
    let listed: Vec<Value> = stuck.iter().map(as_json).collect();
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|(system, class, reason, count)| {
            json!({"system": system, "class": class, "reason": reason, "count": count})
        })
        .collect();
    Ok(Shown {
        text,
        json: json!({"selected": stuck.len(), "left_out": selected.uncertain, "groups": groups,
                     "handovers": listed, "first_call": call.json}),
        exit: call.exit,
    })
}

fn as_json(stuck: &Stuck) -> Value {
    json!({
        "ticket": stuck.ticket.as_str(), "council": stuck.council.as_str(), "service": stuck.service.as_str(),
        "system": stuck.system.as_str(), "operation": stuck.operation.as_str(), "class": stuck.class.as_str(),
        "reason": stuck.reason, "attempts": stuck.attempts, "parked_at": stuck.parked_at.to_string(),
    })
}

/// The first call as it would be made, with the request put right where a patch is given.
async fn first_call(first: &Stuck, patch: Option<&Value>, books: &Books) -> anyhow::Result<Shown> {
    let cannot = |reason: String| Shown {
        text: format!("# cannot be made: {}: {reason}\n", first.ticket),
        json: json!({"error": reason}),
        exit: Exit::NotOk,
    };
    let document = books.ledger.document(&first.council, first.request).await?;
    let Some(document) = document else { return Ok(cannot("its document is gone".to_owned())) };
    let document = match patch.map(|patch| edit(&document, patch)).transpose() {
        Ok(edited) => edited.map_or(document, |edited| edited.document),
        Err(reason) => return Ok(cannot(reason)),
    };
    let request = match Request::parse(document) {
        Ok(request) => request,
        Err(error) => return Ok(cannot(format!("{}: {}", error.path, error.reason))),
    };
    let Some(system) = books.catalogue.system(&first.system) else {
        return Ok(cannot(format!("no mapping of {} is loaded", first.system)));
    };
    let history = books.ledger.ticket(Some(&first.council), &first.ticket).await?;
    let handovers = history.iter().flat_map(|history| &history.handovers);
    let job = handovers.filter(|handover| handover.id == first.handover).find_map(|it| it.job.clone());
    let closed = history.iter().flat_map(|history| &history.events).rfind(|event| event.kind == Kind::Closed);
    let facts = Facts {
        key: Some(first.call),
        request: Some(first.request),
        handover: Some(first.handover),
        operation: Some(first.operation),
        job,
        closure: closed.filter(|_| first.operation == Operation::Close).map(|event| event.data.clone()),
        ..Facts::at(books.ledger.now().await?)
    };
    calls::exact(system, &request, first.operation, &facts)
}
