//! What Dovetail says on the bus: the events of a ticket's life, as CloudEvents 1.0.

mod data;

use jiff::Timestamp;
use mappings::domain::{Council, EventId, RequestId, Ticket};
use serde::Serialize;
use serde_json::Value;

/// The `source` of every event that Dovetail emits.
pub const SOURCE: &str = "/dovetail";

/// What happened to a ticket. The event type is `uk.dovetail.<word>.v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The ledger has the request.
    Accepted,
    /// A system has the job.
    HandedOver,
    /// A system says how far the job has come.
    Progressed,
    /// Every handover ended and the closing rules let the ticket close.
    Closed,
    /// A person must decide.
    Held,
    /// A person decided about what was parked or held.
    Decided,
    /// The customer, the CRM or a person opened the ticket again.
    Reopened,
    /// A person took a piece of work back from whoever had it.
    TakenBack,
    /// So much of the time promised to the customer is used up.
    Warned,
    /// What was promised was not kept, or the ticket has been open too long: its senior owner is told.
    Escalated,
    /// The ticket has been open far too long.
    Overdue,
    /// Whoever has the work has been silent for too long, and is asked for news.
    Chased,
    /// The customer can be asked what they think of a ticket that closed.
    FeedbackDue,
    /// The ticket closed with more work to follow, and a request that is linked to it is to be opened.
    FollowOn,
    /// A delivery could not be understood or routed.
    Rejected,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Accepted,
        Self::HandedOver,
        Self::Progressed,
        Self::Closed,
        Self::Held,
        Self::Decided,
        Self::Reopened,
        Self::TakenBack,
        Self::Warned,
        Self::Escalated,
        Self::Overdue,
        Self::Chased,
        Self::FeedbackDue,
        Self::FollowOn,
        Self::Rejected,
    ];

    /// The middle of the event type, and the end of the routing key.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "ticket.accepted",
            Self::HandedOver => "ticket.handed-over",
            Self::Progressed => "ticket.progressed",
            Self::Closed => "ticket.closed",
            Self::Held => "ticket.held",
            Self::Decided => "ticket.decided",
            Self::Reopened => "ticket.reopened",
            Self::TakenBack => "ticket.taken-back",
            Self::Warned => "ticket.warned",
            Self::Escalated => "ticket.escalated",
            Self::Overdue => "ticket.overdue",
            Self::Chased => "ticket.chased",
            Self::FeedbackDue => "ticket.feedback-due",
            Self::FollowOn => "ticket.follow-on",
            Self::Rejected => "request.rejected",
        }
    }

    /// The JSON Schema (draft 2020-12) of the `data`; `docs/schemas/<word>.v1.json` holds it.
    pub fn schema(self) -> Value {
        data::schema(self)
    }

    /// The kind a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One event, as the ledger keeps it and the relay publishes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Consumers drop duplicates by it.
    pub id: EventId,
    /// What happened.
    pub kind: Kind,
    /// The council whose ticket it is; absent only on a rejection that named none.
    pub council: Option<Council>,
    /// The ticket; absent only on a rejection that named none.
    pub ticket: Option<Ticket>,
    /// The opening of the ticket; absent on a rejection.
    pub request: Option<RequestId>,
    /// When it happened, on the ledger's clock.
    pub at: Timestamp,
    /// What is said, by kind.
    pub data: Value,
    /// The W3C trace the request came with.
    pub traceparent: Option<String>,
}

impl Event {
    /// `<council>.<word>`, for example `harlow.ticket.closed`; a rejection without a council starts with `unknown`.
    pub fn routing_key(&self) -> String {
        format!("{}.{}", self.council.as_ref().map_or("unknown", Council::as_str), self.kind.word())
    }

    /// The same event with the name of the HTTP key that what it tells of was sent with, where there was one.
    #[must_use]
    pub fn sent_with(mut self, name: Option<&str>) -> Self {
        if let Some(name) = name {
            self.data["sent_with"] = name.into();
        }
        self
    }

    /// The CloudEvents `type`: `uk.dovetail.<word>.v1`.
    pub fn type_name(&self) -> String {
        format!("uk.dovetail.{}.v1", self.kind.word())
    }

    /// Whether its data is of the form that its [schema](Kind::schema) promises, and says whose it is.
    ///
    /// # Errors
    /// The path and what is wrong there.
    pub fn check(&self) -> Result<(), String> {
        if self.council.is_none() && self.kind != Kind::Rejected {
            return Err("council: is absent".to_owned());
        }
        data::check(self.kind, &self.data)
    }

    /// The event in the CloudEvents JSON format, structured mode.
    pub fn to_cloudevent(&self) -> Vec<u8> {
        let envelope = Structured {
            specversion: "1.0",
            id: self.id.to_string(),
            source: SOURCE,
            kind: self.type_name(),
            time: self.at,
            datacontenttype: "application/json",
            subject: self.ticket.as_ref().map(Ticket::as_str),
            council: self.council.as_ref().map(Council::as_str),
            correlationid: self.request.map(|request| request.to_string()),
            traceparent: self.traceparent.as_deref(),
            data: &self.data,
        };
        // Texts and numbers cannot fail to be written.
        serde_json::to_vec(&envelope).unwrap_or_default()
    }
}

/// A CloudEvent 1.0 in structured mode.
#[derive(Serialize)]
struct Structured<'a> {
    specversion: &'static str,
    id: String,
    source: &'static str,
    #[serde(rename = "type")]
    kind: String,
    time: Timestamp,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    /// An extension of ours: whose ticket it is, as in the routing key.
    #[serde(skip_serializing_if = "Option::is_none")]
    council: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a Value,
}
