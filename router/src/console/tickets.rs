//! Finding a ticket, and its story.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use mappings::domain::{Council, RequestState, Ticket};
use serde::Deserialize;

use super::Desk;
use super::page::{Choose, Entry, Message, Page, Told, Word};
use super::view::{self, Row};
use crate::ledger::{Filter, History};
use crate::timeline::{self, Story};

/// The search form.
#[derive(Debug, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    reference: String,
}

/// Leads to the ticket of a reference; where several councils have one, lets the reader choose.
pub(super) async fn find(
    State(desk): State<Desk>,
    search: Result<Query<Search>, QueryRejection>,
) -> Result<Response, Message> {
    let Ok(Query(search)) = search else { return Err(unknown("")) };
    let reference = search.reference.trim();
    if reference.is_empty() {
        return Ok(Redirect::to("/").into_response());
    }
    let Ok(ticket) = Ticket::parse(reference) else { return Err(unknown(reference)) };
    let filter = Filter { ticket: Some(ticket), most: MOST_OPENINGS, ..Filter::default() };
    let mut lines = desk.ledger.tickets(&filter).await.map_err(Message::ledger_failed)?;
    // Newest first: of each council, the latest opening stays.
    let mut seen: Vec<Council> = Vec::new();
    lines.retain(|line| {
        let new = !seen.contains(&line.council);
        seen.push(line.council.clone());
        new
    });
    match lines.as_slice() {
        [] => Err(unknown(reference)),
        [only] => Ok(Redirect::to(&view::address(&only.council, &only.ticket)).into_response()),
        several => Ok(Page(Choose {
            rows: several.iter().map(|line| Row::new(line, &desk.catalogue)).collect(),
            reference: reference.to_owned(),
        })
        .into_response()),
    }
}

/// The story of one ticket.
pub(super) async fn show(
    State(desk): State<Desk>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Page<Told>, Message> {
    let Ok(Path((council, reference))) = path else { return Err(unknown("")) };
    let (Ok(council), Ok(ticket)) = (Council::parse(&council), Ticket::parse(&reference)) else {
        return Err(unknown(&reference));
    };
    let history = desk.ledger.ticket(Some(&council), &ticket).await.map_err(Message::ledger_failed)?;
    let history = history.ok_or_else(|| unknown(&reference))?;
    let now = desk.clock.now();
    let story = timeline::tell(&history, &desk.catalogue, now);
    Ok(Page(told(&history, story, now)))
}

/// Openings of one reference that are looked through for councils.
const MOST_OPENINGS: usize = 100;

fn told(history: &History, story: Story, now: jiff::Timestamp) -> Told {
    let line = &history.line;
    Told {
        ticket: line.ticket.to_string(),
        council: line.council.to_string(),
        tone: match line.state {
            RequestState::Open if !line.parked => "",
            RequestState::Closing if !line.parked => "",
            RequestState::Open | RequestState::Held | RequestState::Closing => "wait",
            RequestState::Closed => "done",
        },
        last_word: story.last_word.as_ref().map(|word| Word {
            who: word.who.clone(),
            said: word.said.clone(),
            meaning: word.meaning.clone(),
            at: word.at.into(),
        }),
        entries: story
            .entries
            .iter()
            .map(|entry| Entry {
                at: entry.at.into(),
                text: entry.text.clone(),
                said: entry.said.clone(),
                detail: entry.detail.clone(),
            })
            .collect(),
        command: format!(
            "dovetail tickets show {} --council {}",
            timeline::argument(line.ticket.as_str()),
            line.council
        ),
        read_at: now.into(),
        story,
    }
}

fn unknown(reference: &str) -> Message {
    let heading = if reference.is_empty() {
        "That is not a ticket’s reference".to_owned()
    } else {
        format!("Dovetail does not know a ticket “{reference}”")
    };
    Message::not_found(
        heading,
        [
            "Check that the reference is written as it stands in the ticket.".to_owned(),
            "If it is right, the request may not have reached Dovetail yet, or it could not be taken: see \
             “Waiting for a person”."
                .to_owned(),
        ],
    )
    .looking_for(reference)
}
