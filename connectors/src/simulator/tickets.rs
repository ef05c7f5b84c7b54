//! The tickets of a simulated CRM, with their history.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::settings::Time;

const STATUSES: [&str; 6] = ["new", "open", "stalled", "resolved", "rejected", "deleted"];

fn own_fields(fields: &Value) -> BTreeMap<String, String> {
    let all = fields.as_object().into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

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
    /// The ticket that it refers to; empty where it refers to none.
    pub(super) refers_to: String,
    /// The id that its opener gave it, for a CRM that takes one; empty otherwise.
    pub(super) key: String,
    /// Fields of the CRM's own, by their names.
    pub(super) fields: BTreeMap<String, String>,
    pub(super) status: &'static str,
    /// How often a call closed it.
    pub(super) closures: u32,
    /// How often a person closed it.
    pub(super) closed_by_hand: u32,
    /// What was sent to the customer, oldest first.
    pub(super) messages: Vec<String>,
    /// Notes beside it by their ids, for a CRM that has such.
    pub(super) notes: BTreeMap<String, String>,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) updated_by: String,
    pub(super) transactions: Vec<Transaction>,
}

/// One entry of a ticket's history.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: u64,
    pub(super) kind: &'static str,
    pub(super) creator: String,
    pub(super) at: Timestamp,
    pub(super) old: &'static str,
    pub(super) new: &'static str,
}

/// All tickets, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    all: Vec<Ticket>,
    by_id: HashMap<String, usize>,
    last_number: u64,
    last_transaction: u64,
    time: Time,
}

impl Tickets {
    /// No tickets, on this clock.
    pub(super) fn new(time: Time) -> Self {
        Self { time, ..Self::default() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Ticket> {
        self.all.iter()
    }

    /// The place of the ticket of this name. One with a name that is no number belongs to a story begun
    /// elsewhere, and is opened at first sight; numbers are given out here only.
    pub(super) fn place(&mut self, id: &str, by: &str) -> Option<usize> {
        match self.by_id.get(id) {
            Some(place) => Some(*place),
            None if id.bytes().all(|byte| byte.is_ascii_digit()) => None,
            None => Some(self.open(id.to_owned(), &json!({"Subject": id}), by)),
        }
    }

    pub(super) fn at(&self, place: usize) -> &Ticket {
        &self.all[place]
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The ticket of this name, as it is without opening one.
    pub(super) fn get(&self, id: &str) -> Option<&Ticket> {
        self.by_id.get(id).and_then(|place| self.all.get(*place))
    }

    /// The place of the ticket that was opened under this id.
    pub(super) fn keyed(&self, key: &str) -> Option<usize> {
        self.all.iter().position(|ticket| !key.is_empty() && ticket.key == key)
    }

    /// Says that a ticket refers to another.
    pub(super) fn connect(&mut self, place: usize, to: usize, by: &str) {
        self.all[place].refers_to = self.all[to].id.clone();
        self.record(place, "AddLink", by, ("", ""));
    }

    /// Opens a ticket under the next number; returns the number.
    pub(super) fn open_next(&mut self, fields: &Value, by: &str) -> String {
        self.last_number += 1;
        let id = self.last_number.to_string();
        self.open(id.clone(), fields, by);
        id
    }

    /// Opens a ticket of this name.
    pub(super) fn open(&mut self, id: String, fields: &Value, by: &str) -> usize {
        let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        let now = self.time.now();
        self.by_id.insert(id.clone(), self.all.len());
        self.all.push(Ticket {
            id,
            subject: text("Subject"),
            queue: text("Queue"),
            requestor: text("Requestor"),
            refers_to: text("RefersTo"),
            key: text("Key"),
            fields: own_fields(&fields["CustomFields"]),
            status: "new",
            closures: 0,
            closed_by_hand: 0,
            messages: Vec::new(),
            notes: BTreeMap::new(),
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
    pub(super) fn correspond(&mut self, place: usize, content: &str, by: &str) -> u64 {
        self.all[place].messages.push(content.to_owned());
        let transaction = self.record(place, "Correspond", by, ("", ""));
        if self.all[place].status == "new" || closed(self.all[place].status) {
            self.turn(place, "open", "RT_System");
        }
        transaction
    }

    /// Puts a ticket into a status and says so in RT's words.
    pub(super) fn set_status(&mut self, place: usize, status: &str, by: &str) -> String {
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

    /// Closes a ticket with a message, where its CRM takes both at once.
    pub(super) fn close(&mut self, place: usize, status: &str, message: &str, by: &str) {
        self.all[place].messages.push(message.to_owned());
        self.set_status(place, status, by);
    }

    /// Writes a note, or the same note again.
    pub(super) fn annotate(&mut self, place: usize, id: &str, text: &str) {
        self.all[place].notes.insert(id.to_owned(), text.to_owned());
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
        let now = self.time.now();
        let ticket = &mut self.all[place];
        ticket.updated = now;
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
    /// Whether it is closed, by whomever.
    pub(super) fn is_closed(&self) -> bool {
        closed(self.status)
    }

    /// The number of its latest transaction, in quotes.
    pub(super) fn etag(&self) -> String {
        format!("\"{}\"", self.transactions.last().map_or(0, |transaction| transaction.id))
    }
}
