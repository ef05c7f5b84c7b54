//! What waits for a person.

use axum::extract::State;

use super::Desk;
use super::page::{Early, Halted, Held, Many, Message, Orphan, Page, Parked, Problems, Refused};
use super::view::Row;
use crate::ledger::Problem;
use crate::timeline::{self, words};

/// Problems of each kind that are listed.
const MOST: usize = 100;

/// Lists what waits for a person, by kind.
pub(super) async fn list(State(desk): State<Desk>) -> Result<Page<Problems>, Message> {
    let found = desk.ledger.problems(MOST).await.map_err(Message::ledger_failed)?;
    let found = timeline::for_a_person(found, &desk.catalogue);
    let now = desk.clock.now();
    let asked = desk.ledger.asked().await.map_err(Message::ledger_failed)?;
    let asked = timeline::inquired(&asked, &desk.catalogue, now);
    let attention: Vec<String> = asked.into_iter().flat_map(|one| one.attention).collect();
    let halts = desk.ledger.halts().await.map_err(Message::ledger_failed)?;
    let halted = timeline::halted(&halts, &desk.catalogue, now);
    let dead_letters = desk.readiness.borrow().dead_letters;
    let mut page = Problems {
        dead_letters,
        halted: halted.into_iter().map(|halted| Halted { system: halted.title, text: halted.text }).collect(),
        held: Vec::new(),
        parked: Vec::new(),
        orphans: Vec::new(),
        early: Vec::new(),
        refused: Vec::new(),
        most: MOST,
        nothing: found.is_empty() && attention.is_empty() && dead_letters == 0,
        attention,
        many: Vec::new(),
        cut: false,
        read_at: now.into(),
    };
    let title = |name: &mappings::domain::SystemName| {
        desk.catalogue.system(name).map_or_else(|| name.to_string(), |system| system.title.clone())
    };
    for problem in found {
        let remedies = timeline::remedies(&problem, &desk.catalogue);
        match problem {
            Problem::Held { line, reason, .. } => {
                page.held.push(Held {
                    row: Row::new(&line, &desk.catalogue),
                    reason: timeline::reason(&reason, &desk.catalogue),
                    remedies,
                });
            }
            Problem::Parked { line, system, class, reason, closure: _ } => page.parked.push(Parked {
                row: Row::new(&line, &desk.catalogue),
                system: title(&system),
                class: words::class(class),
                reason: timeline::reason(&reason, &desk.catalogue),
                remedies,
            }),
            Problem::Orphan(completion) => page.orphans.push(Orphan {
                system: title(&completion.system),
                job: completion.job.as_ref().map(ToString::to_string),
                reference: completion.reference.as_ref().map(ToString::to_string),
                said: timeline::quoted(&completion.said, completion.note.as_deref()),
                at: completion.received_at.into(),
                remedies,
            }),
            Problem::Orphans { system, count, latest_at } => {
                page.many.push(Many { system: title(&system), count, at: latest_at.into() });
            }
            Problem::Early { received_at, council, ticket, revision } => page.early.push(Early {
                ticket: ticket.to_string(),
                council: council.to_string(),
                what: words::change(revision),
                at: received_at.into(),
            }),
            Problem::Refused { received_at, key, council, ticket, path, reason, sent_with, text } => {
                page.refused.push(Refused {
                    ticket: ticket.as_ref().map(ToString::to_string),
                    council: council.as_ref().map(ToString::to_string),
                    path,
                    reason: words::sentence(&reason),
                    text: (!text.is_empty()).then_some(text),
                    source: key.source,
                    sent_with: sent_with.as_deref().map(words::sent_with),
                    id: key.id,
                    at: received_at.into(),
                })
            }
        }
    }
    let lengths =
        [page.held.len(), page.parked.len(), page.orphans.len(), page.early.len(), page.refused.len()];
    page.cut = lengths.contains(&MOST);
    Ok(Page(page))
}
