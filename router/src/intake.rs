//! Reads deliveries: what can be understood and routed becomes an arrival, all else a refusal with its reason.

use std::sync::Arc;

use jiff::Timestamp;
use mappings::bounds::{Bounds, Excess};
use mappings::domain::{
    Council, InvalidRequest, OneLine, Operation, Request, Revised, Revision, SystemName, Ticket, cut,
};
use mappings::mapping::{Catalogue, Received, Subject, Unrouted};
use serde_json::Value;

use crate::envelope::{self, Data, Delivery, Envelope, Glimpse};
use crate::ledger::{Accepted, Arrival, Change, Failed, InboxKey, KeptAs, Refusal, Writer};
use crate::{sla, unpack};

/// The door of tickets that are asked for: they were read already, and are documents of JSON.
const POLL: &str = "poll";

/// How much of a refused body is kept.
pub const KEPT_BODY: usize = 64 * 1024;

/// A delivery as it was understood, or why it was not.
pub type Understood = Result<Arrival, Box<Refusal>>;

/// A message at one of the doors, before it is read.
#[derive(Debug, Clone)]
pub struct Message {
    /// The door, for the inbox key of what carries none: `amqp`, `http` or `poll`.
    pub door: &'static str,
    /// The CRM whose native form it has, where the door knows: translated by that CRM's mapping.
    pub crm: Option<SystemName>,
    /// What the door made of body and headers.
    pub delivery: Result<Delivery, envelope::Error>,
    /// The beginning of the body, at most [`KEPT_BODY`] bytes, kept with a refusal.
    pub kept: Vec<u8>,
    /// How long the whole body is.
    pub length: usize,
    /// Whose ticket a body is about that could not be read, as far as that shows at a glance.
    pub subject: Glimpse,
    /// The W3C trace of the transport, where the envelope has none.
    pub traceparent: Option<String>,
}

impl Message {
    /// A message of a CRM in its native form, in the character set that it says it is in; read only within the bounds.
    pub fn native(
        door: &'static str,
        crm: SystemName,
        content_type: Option<String>,
        body: Vec<u8>,
        bounds: &Bounds,
    ) -> Self {
        let measured = bounds.admit(body.len()).and_then(|()| {
            let read = Received::new(200, labelled(content_type.as_deref()), &body);
            match read.unreadable {
                None => bounds.measure(&read.answer.body).map(drop),
                // What is no text at all is told by whoever translates it.
                Some(_) => Ok(()),
            }
        });
        let (kept, length) = beginning(&body);
        let delivery = match measured {
            Ok(()) => Ok(Delivery::Foreign { content_type, bytes: body }),
            Err(excess) => Err(excess.into()),
        };
        Self { door, crm: Some(crm), delivery, kept, length, subject: Glimpse::default(), traceparent: None }
    }

    /// A ticket that was read out of a CRM.
    pub fn polled(crm: SystemName, ticket: &Value) -> Self {
        let body = ticket.to_string().into_bytes();
        let (kept, length) = beginning(&body);
        let delivery = Ok(Delivery::Foreign { content_type: None, bytes: body });
        let (crm, subject) = (Some(crm), Glimpse::default());
        Self { door: POLL, crm, delivery, kept, length, subject, traceparent: None }
    }

    /// A message whose body `read` makes something of.
    pub fn read(
        door: &'static str,
        body: &[u8],
        read: impl FnOnce(&[u8]) -> Result<Delivery, envelope::Error>,
    ) -> Self {
        let (kept, length) = beginning(body);
        let delivery = read(body);
        let subject = match &delivery {
            // Not even looked at.
            Ok(_) | Err(envelope::Error::Excess(Excess::Bytes { .. })) => Glimpse::default(),
            Err(_) => Glimpse::of(body),
        };
        Self { door, crm: None, delivery, kept, length, subject, traceparent: None }
    }

    /// A message that came packed as `said` and cannot be unpacked. Its beginning is kept as far as that comes out.
    pub fn packed(door: &'static str, body: &[u8], said: Option<&str>, error: unpack::Error) -> Self {
        let kept = unpack::beginning(body, said, KEPT_BODY).into_owned();
        let subject = Glimpse::of(&kept);
        let delivery = Err(error.into());
        Self { door, crm: None, delivery, kept, length: body.len(), subject, traceparent: None }
    }
}

/// A content type as the headers of a message.
fn labelled(content_type: Option<&str>) -> Vec<(String, String)> {
    content_type.map(|kind| ("content-type".to_owned(), kind.to_owned())).into_iter().collect()
}

fn beginning(body: &[u8]) -> (Vec<u8>, usize) {
    (body[..body.len().min(KEPT_BODY)].to_vec(), body.len())
}

/// What became of one message, for the answer at its door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// The ledger's word on an arrival.
    Accepted(Ticket, Accepted),
    /// It could not be understood or routed, and is kept.
    Refused {
        /// Where in the document.
        path: Option<String>,
        /// Why.
        reason: String,
    },
}

/// Reads messages and has the ledger accept them.
#[derive(Clone)]
pub struct Intake {
    catalogue: Arc<Catalogue>,
    writer: Writer,
}

impl Intake {
    /// An intake that routes by `catalogue`.
    pub fn new(catalogue: Arc<Catalogue>, writer: Writer) -> Self {
        Self { catalogue, writer }
    }

    /// Takes a message in. When it returns `Ok`, the ledger has every part of it, and it can be acknowledged.
    ///
    /// # Errors
    /// The ledger could not write: nothing may be acknowledged, and the message is to be given again.
    pub async fn receive(&self, message: Message, now: Timestamp) -> Result<Vec<Receipt>, Failed> {
        self.accept(self.read(message, now)).await
    }

    /// Reads a message; what it says is not in the ledger yet.
    pub fn read(&self, message: Message, now: Timestamp) -> Vec<Understood> {
        read(message, &self.catalogue, now)
    }

    /// Has the ledger accept what was read.
    ///
    /// # Errors
    /// The ledger could not write. Giving the same again does no harm: what it has is recognised.
    pub async fn accept(&self, read: Vec<Understood>) -> Result<Vec<Receipt>, Failed> {
        let mut receipts = Vec::with_capacity(read.len());
        for read in read {
            receipts.push(match read {
                Ok(arrival) => match self.writer.accept(arrival.clone()).await {
                    Ok(Accepted::IdInUse) => self.refuse(Box::new(arrival.under_a_used_id())).await?,
                    Ok(accepted) => Receipt::Accepted(arrival.subject().1.clone(), accepted),
                    Err(Failed::Unwritable(error)) => {
                        self.refuse(Box::new(arrival.refused(error.to_string()))).await?
                    }
                    Err(failed @ (Failed::Ledger(_) | Failed::Stopped)) => return Err(failed),
                },
                Err(refusal) => self.refuse(refusal).await?,
            });
        }
        Ok(receipts)
    }

    async fn refuse(&self, refusal: Box<Refusal>) -> Result<Receipt, Failed> {
        let path = refusal.path.as_ref().map(ToString::to_string);
        let receipt = Receipt::Refused { path: path.clone(), reason: refusal.reason.to_string() };
        tracing::warn!(source = %refusal.key.source, path, reason = %refusal.reason, "delivery refused");
        metrics::counter!("dovetail_deliveries_refused_total").increment(1);
        self.writer.refuse(*refusal).await?;
        Ok(receipt)
    }
}

/// Reads a message into arrivals and refusals; a batch gives one for each of its events.
pub fn read(message: Message, catalogue: &Catalogue, now: Timestamp) -> Vec<Understood> {
    let Message { door, crm, delivery, kept, length, subject, traceparent } = message;
    let door = Door { name: door, kept, length, traceparent, now };
    let envelopes = match delivery {
        Err(error) => {
            let refusal = door.refuse(None, error.path().as_deref(), &error.to_string());
            let Glimpse { council, ticket, is_event } = subject;
            let kept_as = if is_event { KeptAs::Event } else { KeptAs::Nothing };
            let refusal = Refusal { council, ticket, kept_as, ..*refusal };
            return vec![Err(Box::new(match &crm {
                Some(crm) => Refusal { key: door.native_key(crm, None), kept_as: KeptAs::Native, ..refusal },
                None => refusal,
            }))];
        }
        Ok(Delivery::Foreign { bytes, content_type }) => match &crm {
            Some(crm) => return vec![native(&door, crm, &bytes, content_type, catalogue)],
            None => {
                let reason = "it is not a CloudEvent: expected application/cloudevents+json, cloudEvents: headers, or the native door of a CRM";
                return vec![Err(door.refuse(None, None, reason))];
            }
        },
        Ok(Delivery::Event(envelope)) => return vec![understand(&door, envelope, catalogue)],
        Ok(Delivery::Events(envelopes)) => envelopes,
    };
    // A refusal keeps its own event, not the batch: else what is kept would grow with the square of the batch.
    let each = envelopes.into_iter().map(|envelope| {
        let (kept, length) = beginning(envelope.to_json().to_string().as_bytes());
        let own =
            Door { name: door.name, kept, length, traceparent: door.traceparent.clone(), now: door.now };
        understand(&own, envelope, catalogue)
    });
    each.collect()
}

fn understand(door: &Door, mut envelope: Envelope, catalogue: &Catalogue) -> Understood {
    let data = match std::mem::replace(&mut envelope.data, Data::Json(Value::Null)) {
        Data::Json(data) => data,
        Data::Bytes { content_type, .. } => {
            let reason = format!("{:?} was found; expected JSON data", cut(&content_type, 80));
            return Err(door.refuse(Some(&envelope), Some("data"), &reason));
        }
    };
    // What a refusal names; the document itself is used up.
    let subject = (council_of(&data), ticket_of(&data));
    let word = envelope.kind.strip_prefix("uk.dovetail.request.").and_then(|rest| rest.strip_suffix(".v1"));
    let revision = word.and_then(|word| word.parse().ok());
    let invalid = |error: InvalidRequest| {
        let refusal = door.refuse(Some(&envelope), Some(&error.path), &error.reason);
        Box::new(Refusal { council: subject.0.clone(), ticket: subject.1.clone(), revision, ..*refusal })
    };
    let change = match word {
        Some("submitted") => submit(data, catalogue, door.now).map_err(invalid)?,
        Some(word) if word.parse::<Revision>().is_ok() => revise(word, data).map_err(invalid)?,
        Some(_) | None => {
            let reason = format!(
                "{:?} is not a type that is taken: expected uk.dovetail.request.submitted.v1, amended, withdrawn or reopened",
                cut(&envelope.kind, 80)
            );
            return Err(invalid(InvalidRequest { path: "type".into(), reason }));
        }
    };
    Ok(Arrival {
        key: InboxKey { source: envelope.source, id: envelope.id },
        change,
        traceparent: envelope.traceparent.or_else(|| door.traceparent.clone()),
        received_at: door.now,
        sent_with: None,
    })
}

fn native(
    door: &Door,
    crm: &SystemName,
    bytes: &[u8],
    content_type: Option<String>,
    catalogue: &Catalogue,
) -> Understood {
    let Some(intake) = catalogue.system(crm).and_then(|system| system.intake()) else {
        let reason = format!("{crm} has no native door: expected a CRM whose folder holds an intake");
        return Err(door.refuse(None, None, &reason));
    };
    let message = Received::new(200, labelled(content_type.as_deref()), bytes);
    let kept_as = if door.name == POLL { KeptAs::Polled } else { KeptAs::Native };
    if let Some(reason) = &message.unreadable {
        let refusal = door.refuse(None, None, reason);
        return Err(Box::new(Refusal { key: door.native_key(crm, None), kept_as, ..*refusal }));
    }
    let body = &message.answer.body;
    let translated = match door.name {
        POLL => intake.understand(mappings::digits::from_str(body).unwrap_or_default(), door.now),
        _ => intake.translate(body, door.now),
    };
    let (id, document) = translated.map_err(|error| {
        let refusal = door.refuse(None, None, &format!("{crm}: {error}"));
        let subject = match door.name {
            POLL => intake.subject_of(mappings::digits::from_str(body).unwrap_or_default(), door.now),
            _ => intake.subject(body, door.now),
        };
        let council = subject.council.as_deref().and_then(|council| Council::parse(council).ok());
        let ticket = subject.ticket.as_deref().and_then(|ticket| Ticket::parse(ticket).ok());
        let key = door.native_key(crm, subject_id(&subject));
        Box::new(Refusal { key, council, ticket, kept_as, ..*refusal })
    })?;
    let id = id.unwrap_or_else(|| envelope::digest(bytes));
    let key = InboxKey { source: native_source(crm), id };
    let submitted = submit(document.clone(), catalogue, door.now).and_then(|change| match door.name {
        POLL => complete(change, catalogue),
        _ => Ok(change),
    });
    let change = submitted.map_err(|error| {
        let refusal = door.refuse(None, Some(&error.path), &error.reason);
        Box::new(Refusal {
            key: key.clone(),
            council: council_of(&document),
            ticket: ticket_of(&document),
            kept_as,
            ..*refusal
        })
    })?;
    Ok(Arrival { key, change, traceparent: door.traceparent.clone(), received_at: door.now, sent_with: None })
}

fn submit(data: Value, catalogue: &Catalogue, now: Timestamp) -> Result<Change, InvalidRequest> {
    let request = Request::parse(data)?;
    match catalogue.route(&request) {
        Ok(systems) => {
            let clock = sla::start(&request, systems, catalogue, now);
            Ok(Change::Submitted { systems: systems.to_vec(), request, clock })
        }
        Err(Unrouted::NotInUse(system)) => Err(InvalidRequest {
            path: "service".into(),
            reason: format!(
                "{} goes to {system}, which is not in use here. Hint: add it to mappings.systems in the configuration",
                request.service
            ),
        }),
        Err(Unrouted::NoRoute) => {
            let mut known: Vec<&str> = catalogue.services().iter().map(|service| service.as_str()).collect();
            // Those that are most like it first, since the reason may be cut.
            let alike = |name: &str| {
                name.chars().zip(request.service.as_str().chars()).take_while(|(a, b)| a == b).count()
            };
            known.sort_by_key(|name| std::cmp::Reverse(alike(name)));
            Err(InvalidRequest {
                path: "service".into(),
                reason: format!("no route for {}: expected one of {}", request.service, known.join(", ")),
            })
        }
    }
}

/// A ticket that is asked for may be found while somebody still fills it in. It is not taken before it has what its
/// systems require: the CRM lists it again, whereas a request that was taken would be parked for good.
fn complete(change: Change, catalogue: &Catalogue) -> Result<Change, InvalidRequest> {
    let Change::Submitted { request, systems, .. } = &change else { return Ok(change) };
    let lacking = systems.iter().find_map(|name| {
        let system = catalogue.system(name)?;
        let path = system.operation(&request.service, Operation::Create)?.lacks(&request.document)?;
        Some((system, path))
    });
    match lacking {
        None => Ok(change),
        Some((system, path)) => Err(InvalidRequest {
            path: path.to_owned(),
            reason: format!("absent or empty: {} requires it for {}", system.title, request.service),
        }),
    }
}

fn revise(word: &str, data: Value) -> Result<Change, InvalidRequest> {
    let revision: Revision = word.parse().map_err(|error: mappings::domain::InvalidId| InvalidRequest {
        path: "type".into(),
        reason: error.to_string(),
    })?;
    Revised::parse(revision, data).map(Change::Revised)
}

impl Arrival {
    /// The refusal of an arrival whose key belongs to a delivery about something else. It has a key of its own, so that each
    /// such ticket is kept and answered.
    fn under_a_used_id(&self) -> Refusal {
        let InboxKey { source, id } = &self.key;
        let reason = format!(
            "{id:?} of {source:?} was used before, for another ticket or another change: expected an id of its own for each \
             event"
        );
        let key = InboxKey { source: source.clone(), id: format!("{id} {}", self.about()) };
        Refusal { key, path: Some("id".to_owned().into()), ..self.refused(reason) }
    }

    /// The refusal of an arrival that was understood but cannot be kept as it is.
    fn refused(&self, reason: String) -> Refusal {
        let (council, ticket) = self.subject();
        let document = match &self.change {
            Change::Submitted { request, .. } => &*request.document,
            Change::Revised(revised) => &revised.data,
        };
        let (body, _) = beginning(document.to_string().as_bytes());
        let revision = match &self.change {
            Change::Submitted { .. } => None,
            Change::Revised(revised) => Some(revised.revision),
        };
        Refusal {
            key: self.key.clone(),
            council: Some(council.clone()),
            ticket: Some(ticket.clone()),
            path: None,
            reason: reason.into(),
            revision,
            body,
            kept_as: KeptAs::Nothing,
            received_at: self.received_at,
            traceparent: self.traceparent.clone(),
            sent_with: self.sent_with.clone(),
        }
    }
}

/// Where a message came in, for refusals.
struct Door {
    name: &'static str,
    kept: Vec<u8>,
    length: usize,
    traceparent: Option<String>,
    now: Timestamp,
}

impl Door {
    fn refuse(&self, envelope: Option<&Envelope>, path: Option<&str>, reason: &str) -> Box<Refusal> {
        let key = match envelope {
            Some(envelope) => InboxKey { source: envelope.source.clone(), id: envelope.id.clone() },
            None => InboxKey {
                source: format!("/{}", self.name),
                id: format!("{}-{}", envelope::digest(&self.kept), self.length),
            },
        };
        let (body, kept_as) = match envelope {
            Some(envelope) => self.whole(envelope),
            None => (self.kept.clone(), KeptAs::Nothing),
        };
        Box::new(Refusal {
            key,
            council: None,
            ticket: None,
            path: path.map(OneLine::new),
            reason: reason.into(),
            revision: None,
            body,
            kept_as,
            received_at: self.now,
            traceparent: envelope
                .and_then(|envelope| envelope.traceparent.clone())
                .or_else(|| self.traceparent.clone()),
            sent_with: None,
        })
    }
}

impl Door {
    /// The event as it can be read again: what came in binary mode is kept with the attributes that its headers had.
    fn whole(&self, envelope: &Envelope) -> (Vec<u8>, KeptAs) {
        if Glimpse::of(&self.kept).is_event {
            return (self.kept.clone(), KeptAs::Event);
        }
        match serde_json::from_slice(&self.kept) {
            Ok(data) if self.length == self.kept.len() => {
                let event = Envelope { data: Data::Json(data), ..envelope.clone() };
                (event.to_json().to_string().into_bytes(), KeptAs::Event)
            }
            Ok(_) | Err(_) => (self.kept.clone(), KeptAs::Nothing),
        }
    }

    /// The inbox key of a message in a CRM's own form.
    fn native_key(&self, crm: &SystemName, id: Option<String>) -> InboxKey {
        let digest = || format!("{}-{}", envelope::digest(&self.kept), self.length);
        InboxKey { source: native_source(crm), id: id.unwrap_or_else(digest) }
    }
}

/// The `source` of what a CRM says in its own form.
pub fn native_source(crm: &SystemName) -> String {
    format!("/crm/{crm}")
}

/// What makes a ticket that cannot be translated the same one when it comes again, in whatever answer it is read.
pub fn subject_id(subject: &Subject) -> Option<String> {
    let ticket = subject.ticket.as_ref()?;
    Some(subject.event.clone().unwrap_or_else(|| format!("ticket {ticket}")))
}

fn council_of(data: &Value) -> Option<Council> {
    Council::parse(data.get("council")?.as_str()?).ok()
}

fn ticket_of(data: &Value) -> Option<Ticket> {
    Ticket::parse(data.get("ticket")?.as_str()?).ok()
}
