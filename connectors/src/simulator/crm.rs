//! A CRM: Request Tracker's REST 2 as version 5.0.3 was seen to answer.
//!
//! `PUT` compares `If-Match` with the ticket's ETag. `/correspond` has no ETag, so it answers 412 to every
//! `If-Match`. A message to a closed ticket opens it again, and its `Status` may then close it a second time:
//! each closing is counted.

use std::collections::HashMap;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::call::{Call, Reply};
use super::{Shared, clock};

pub(super) const DONE: &str = "resolved";
pub(super) const UNHEARD: &str = "merged";

const STATUSES: [&str; 6] = ["new", "open", "stalled", "resolved", "rejected", "deleted"];

fn closed(status: &str) -> bool {
    matches!(status, "resolved" | "rejected" | "deleted")
}

/// One ticket.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) id: String,
    pub(super) subject: String,
    pub(super) queue: String,
    pub(super) requestor: String,
    pub(super) status: &'static str,
    /// How often a call closed it.
    pub(super) closures: u32,
    /// How often a person closed it.
    pub(super) closed_by_hand: u32,
    /// What was sent to the customer, oldest first.
    pub(super) messages: Vec<String>,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    updated_by: String,
    transactions: Vec<Transaction>,
}

#[derive(Debug)]
struct Transaction {
    id: u64,
    kind: &'static str,
    creator: String,
    at: Timestamp,
    old: &'static str,
    new: &'static str,
}

/// All tickets, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    all: Vec<Ticket>,
    by_id: HashMap<String, usize>,
    last_number: u64,
    last_transaction: u64,
}

impl Tickets {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Ticket> {
        self.all.iter()
    }

    /// The place of the ticket of this name. One with a name that is no number belongs to a story begun
    /// elsewhere, and is opened at first sight; numbers are given out here only.
    fn place(&mut self, id: &str, by: &str) -> Option<usize> {
        match self.by_id.get(id) {
            Some(place) => Some(*place),
            None if id.bytes().all(|byte| byte.is_ascii_digit()) => None,
            None => Some(self.open(id.to_owned(), &json!({"Subject": id}), by)),
        }
    }

    /// The ticket of this name, as it is without opening one.
    pub(super) fn get(&self, id: &str) -> Option<&Ticket> {
        self.by_id.get(id).and_then(|place| self.all.get(*place))
    }

    /// Opens a ticket under the next number; returns the number.
    pub(super) fn open_next(&mut self, fields: &Value, by: &str) -> String {
        self.last_number += 1;
        let id = self.last_number.to_string();
        self.open(id.clone(), fields, by);
        id
    }

    fn open(&mut self, id: String, fields: &Value, by: &str) -> usize {
        let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        let now = clock::now();
        self.by_id.insert(id.clone(), self.all.len());
        self.all.push(Ticket {
            id,
            subject: text("Subject"),
            queue: text("Queue"),
            requestor: text("Requestor"),
            status: "new",
            closures: 0,
            closed_by_hand: 0,
            messages: Vec::new(),
            created: now,
            updated: now,
            updated_by: by.to_owned(),
            transactions: Vec::new(),
        });
        let place = self.all.len() - 1;
        self.record(place, "Create", by, ("", ""));
        place
    }

    /// Adds a message of a member of staff; a ticket that is new or closed becomes open by it.
    fn correspond(&mut self, place: usize, content: &str, by: &str) -> u64 {
        self.all[place].messages.push(content.to_owned());
        let transaction = self.record(place, "Correspond", by, ("", ""));
        if self.all[place].status == "new" || closed(self.all[place].status) {
            self.turn(place, "open", "RT_System");
        }
        transaction
    }

    /// Puts a ticket into a status and says so in RT's words.
    fn set_status(&mut self, place: usize, status: &str, by: &str) -> String {
        let old = self.all[place].status;
        let Some(new) = STATUSES.into_iter().find(|known| *known == status) else {
            return format!("Status '{status}' isn't a valid status for this ticket.");
        };
        if new == old {
            return "That is already the current value".to_owned();
        }
        self.all[place].closures += u32::from(closed(new) && !closed(old));
        self.turn(place, new, by);
        format!("Status changed from '{old}' to '{new}'")
    }

    /// What a person does at the CRM's own screen.
    pub(super) fn by_hand(&mut self, id: &str, status: &str, message: Option<&str>) -> Option<String> {
        let place = self.place(id, "adviser")?;
        if let Some(message) = message {
            self.correspond(place, message, "adviser");
        }
        let ticket = &self.all[place];
        let (before, counted) = (ticket.status, ticket.closures);
        let said = self.set_status(place, status, "adviser");
        let ticket = &mut self.all[place];
        ticket.closures = counted;
        ticket.closed_by_hand += u32::from(closed(ticket.status) && !closed(before));
        Some(said)
    }

    fn turn(&mut self, place: usize, new: &'static str, by: &str) {
        let old = std::mem::replace(&mut self.all[place].status, new);
        self.record(place, "Status", by, (old, new));
    }

    fn record(
        &mut self,
        place: usize,
        kind: &'static str,
        by: &str,
        change: (&'static str, &'static str),
    ) -> u64 {
        self.last_transaction += 1;
        let ticket = &mut self.all[place];
        ticket.updated = clock::now();
        by.clone_into(&mut ticket.updated_by);
        ticket.transactions.push(Transaction {
            id: self.last_transaction,
            kind,
            creator: by.to_owned(),
            at: ticket.updated,
            old: change.0,
            new: change.1,
        });
        self.last_transaction
    }
}

impl Ticket {
    /// The number of its latest transaction, in quotes.
    fn etag(&self) -> String {
        format!("\"{}\"", self.transactions.last().map_or(0, |transaction| transaction.id))
    }
}

pub(super) fn answer(shared: &Shared, call: &Call) -> Reply {
    let allowed = &shared.settings.credentials;
    if !call.is_from(&allowed.user, &allowed.password) {
        return message(401, "Unauthorized").with("www-authenticate", "Basic realm=\"RT\"".to_owned());
    }
    let parts = call.parts();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    let ["REST", "2.0", path @ ..] = parts.as_slice() else { return message(404, "Not Found") };
    match (&call.method, path) {
        (&Method::GET, ["rt"]) => Reply::json(200, &json!({"Version": "5.0.3", "Plugins": []})),
        (&Method::GET, ["ticket", id]) => read(shared, id),
        (&Method::GET, ["ticket", id, "history"]) => history(shared, id),
        (&Method::POST, ["ticket"]) => with_body(call, |body| create(shared, body)),
        (&Method::PUT, ["ticket", id]) => with_body(call, |body| update(shared, call, id, body)),
        (&Method::POST, ["ticket", id, "correspond"]) => {
            with_body(call, |body| correspond(shared, call, id, body))
        }
        _ => message(404, "Not Found"),
    }
}

fn with_body(call: &Call, act: impl FnOnce(&Map<String, Value>) -> Reply) -> Reply {
    if call.header("content-type").split(';').next() != Some("application/json") {
        return message(415, "Unsupported Media Type");
    }
    match serde_json::from_str(&call.body) {
        Ok(Value::Object(body)) => act(&body),
        Ok(_) | Err(_) => message(400, "JSON object must be a HASH"),
    }
}

fn create(shared: &Shared, body: &Map<String, Value>) -> Reply {
    match body.get("Queue").and_then(Value::as_str) {
        None | Some("") => return message(400, "Could not create ticket. Queue not set"),
        Some("General" | "1") => {}
        Some(queue) => {
            let words = format!("No permission to create tickets in the queue '{queue}'");
            return message(403, &words);
        }
    }
    let user = &shared.settings.credentials.user;
    let id = shared.tickets().open_next(&Value::Object(body.clone()), user);
    let url = ticket_url(shared, &id);
    let created = Reply::json(201, &json!({"type": "ticket", "id": id, "_url": url}));
    created.with("location", url)
}

fn read(shared: &Shared, id: &str) -> Reply {
    let user = &shared.settings.credentials.user;
    let mut tickets = shared.tickets();
    let Some(place) = tickets.place(id, user) else { return message(404, "Not Found") };
    let ticket = &tickets.all[place];
    let person =
        |id: &str| json!({"id": id, "type": "user", "_url": format!("{}/REST/2.0/user/{id}", shared.url())});
    let number = ticket.id.parse::<u64>().map_or_else(|_| Value::from(ticket.id.as_str()), Value::from);
    let body = json!({
        "id": number,
        "Type": "ticket",
        "Status": ticket.status,
        "Subject": ticket.subject,
        "Queue": {"id": "1", "type": "queue", "_url": format!("{}/REST/2.0/queue/1", shared.url())},
        "Requestor": [person(&ticket.requestor)],
        "Created": clock::utc(ticket.created),
        "LastUpdated": clock::utc(ticket.updated),
        "LastUpdatedBy": person(&ticket.updated_by),
    });
    Reply::json(200, &body).with("etag", ticket.etag())
}

fn history(shared: &Shared, id: &str) -> Reply {
    let mut tickets = shared.tickets();
    let Some(place) = tickets.place(id, &shared.settings.credentials.user) else {
        return message(404, "Not Found");
    };
    let items: Vec<_> = tickets.all[place]
        .transactions
        .iter()
        .map(|transaction| {
            json!({
                "id": transaction.id.to_string(),
                "type": "transaction",
                "Type": transaction.kind,
                "Creator": transaction.creator,
                "Created": clock::utc(transaction.at),
                "OldValue": transaction.old,
                "NewValue": transaction.new,
                "_url": format!("{}/REST/2.0/transaction/{}", shared.url(), transaction.id),
            })
        })
        .collect();
    let count = items.len();
    Reply::json(
        200,
        &json!({"count": count, "total": count, "page": 1, "pages": 1, "per_page": count, "items": items}),
    )
}

fn update(shared: &Shared, call: &Call, id: &str, body: &Map<String, Value>) -> Reply {
    let user = &shared.settings.credentials.user;
    let mut tickets = shared.tickets();
    let Some(place) = tickets.place(id, user) else {
        return message(404, "Resource does not exist; use POST to create");
    };
    let ticket = &tickets.all[place];
    let expected = call.header("if-match");
    if !expected.is_empty()
        && expected != "*"
        && expected.trim_matches('"') != ticket.etag().trim_matches('"')
    {
        return message(412, "Precondition Failed");
    }
    let mut said = Vec::new();
    if let Some(status) = body.get("Status").and_then(Value::as_str).filter(|status| *status != ticket.status)
    {
        said.push(format!("Ticket {id}: {}", tickets.set_status(place, status, user)));
    }
    Reply::json(200, &json!(said))
}

fn correspond(shared: &Shared, call: &Call, id: &str, body: &Map<String, Value>) -> Reply {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if !call.header("if-match").is_empty() {
        return message(412, "Precondition Failed");
    }
    let content = text("Content");
    if content.is_some() && text("ContentType").is_none() {
        return message(400, "ContentType is a required field for application/json");
    }
    let user = &shared.settings.credentials.user;
    let mut tickets = shared.tickets();
    let Some(place) = tickets.place(id, user) else {
        return message(400, "Message could not be recorded");
    };
    let transaction = tickets.correspond(place, content.unwrap_or_default(), user);
    let mut said = vec!["Correspondence added".to_owned()];
    said.extend(text("Status").map(|status| tickets.set_status(place, status, user)));
    let url = format!("{}/REST/2.0/transaction/{transaction}", shared.url());
    Reply::json(201, &json!(said)).with("location", url)
}

fn ticket_url(shared: &Shared, id: &str) -> String {
    format!("{}/REST/2.0/ticket/{id}", shared.url())
}

fn message(status: u16, words: &str) -> Reply {
    Reply::json(status, &json!({"message": words}))
}
