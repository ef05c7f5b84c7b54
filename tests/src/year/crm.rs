//! What the CRM sees: events and calls, and what can be counted of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use router::event::{Event, Kind};
use serde_json::Value;

/// All tickets of the CRM.
#[derive(Debug, Default)]
pub(super) struct Crm {
    pub(super) tickets: HashMap<String, Ticket>,
}

/// A ticket as the CRM knows it.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) council: &'static str,
    pub(super) service: &'static str,
    pub(super) channel: &'static str,
    pub(super) raised_at: Timestamp,
    pub(super) accepted_at: Option<Timestamp>,
    /// When each system had the job.
    pub(super) handed_over: BTreeMap<String, Timestamp>,
    /// Whose work it is.
    pub(super) systems: Vec<String>,
    /// When each system first said something that is known, of work that is known to be its own; told by the back
    /// offices themselves.
    pub(super) first_said: BTreeMap<String, Timestamp>,
    /// Systems that said something of work that nobody knew yet to be theirs, since their answer was lost.
    said_early: BTreeSet<String>,
    /// When the last closure was written, and how.
    pub(super) closed: Option<(Timestamp, String)>,
    /// Closures that the CRM took.
    pub(super) closures: u32,
    pub(super) held: u32,
    pub(super) decided: u32,
    /// `ticket.escalated` because of what was promised, and because of age.
    pub(super) escalated: (u32, u32),
    pub(super) overdue: u32,
}

impl Ticket {
    pub(super) fn new(
        council: &'static str,
        service: &'static str,
        channel: &'static str,
        raised_at: Timestamp,
    ) -> Self {
        Self {
            council,
            service,
            channel,
            raised_at,
            accepted_at: None,
            handed_over: BTreeMap::new(),
            systems: Vec::new(),
            first_said: BTreeMap::new(),
            said_early: BTreeSet::new(),
            closed: None,
            closures: 0,
            held: 0,
            decided: 0,
            escalated: (0, 0),
            overdue: 0,
        }
    }

    /// Whether the CRM has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.closures > 0
    }

    /// Whether it closed without a decision of a person.
    pub(super) fn is_automatic(&self) -> bool {
        self.is_closed() && self.decided == 0
    }
}

impl Crm {
    /// Takes an event as a consumer of the bus does.
    pub(super) fn hear(&mut self, event: &Event) {
        let Some(ticket) = event.ticket.as_ref().and_then(|name| self.tickets.get_mut(name.as_str())) else {
            return;
        };
        let text = |key: &str| event.data.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match event.kind {
            Kind::Accepted => {
                ticket.accepted_at = Some(event.at);
                let systems = event.data.get("systems").and_then(Value::as_array).into_iter().flatten();
                ticket.systems = systems.filter_map(Value::as_str).map(str::to_owned).collect();
            }
            Kind::HandedOver => {
                let system = text("system");
                if ticket.said_early.contains(&system) {
                    ticket.first_said.entry(system.clone()).or_insert(event.at);
                }
                ticket.handed_over.entry(system).or_insert(event.at);
            }
            Kind::Closed => ticket.closed = Some((event.at, text("disposition"))),
            Kind::Held => ticket.held += 1,
            Kind::Decided => ticket.decided += 1,
            Kind::Escalated if text("because") == "target" => ticket.escalated.0 += 1,
            Kind::Escalated => ticket.escalated.1 += 1,
            Kind::Overdue => ticket.overdue += 1,
            Kind::Progressed
            | Kind::Reopened
            | Kind::TakenBack
            | Kind::Warned
            | Kind::Chased
            | Kind::FeedbackDue
            | Kind::FollowOn
            | Kind::Rejected => {}
        }
    }

    /// Takes a closure by call.
    pub(super) fn close(&mut self, ticket: &str) {
        if let Some(ticket) = self.tickets.get_mut(ticket) {
            ticket.closures += 1;
        }
    }

    /// A back office refuses an order.
    pub(super) fn refused(&mut self, ticket: &str, system: &str, at: Timestamp) {
        if let Some(ticket) = self.tickets.get_mut(ticket) {
            ticket.first_said.entry(system.to_owned()).or_insert(at);
        }
    }

    /// A back office says something of a ticket.
    pub(super) fn said(&mut self, ticket: &str, system: &str, at: Timestamp) {
        let Some(ticket) = self.tickets.get_mut(ticket) else { return };
        if ticket.handed_over.contains_key(system) {
            ticket.first_said.entry(system.to_owned()).or_insert(at);
        } else {
            ticket.said_early.insert(system.to_owned());
        }
    }
}
