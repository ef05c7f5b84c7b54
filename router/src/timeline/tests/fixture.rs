//! Histories as the ledger would give them, and a small catalogue.

use std::time::Duration;

use jiff::Timestamp;
use mappings::domain::{
    Council, Disposition, EventId, HandoverId, HandoverState, Job, Operation, ParkClass, Phase, Priority,
    RequestId, RequestState, Service, SystemName, Ticket,
};
use mappings::mapping::{Catalogue, Source};
use uuid::Uuid;

use crate::event::{Event, Kind};
use crate::ledger::{Attempt, Completion, Correlated, Handover, Heard, History, Line, Promised, Tried, Way};

const WASTE: &str = r#"
system: waste
name: Environmental services (Whitespace)
role: back_office
owner: {team: Waste operations, contact: waste@example.gov.uk}
connection: {base_url: "http://waste.invalid", auth: none, timeout: 30s, connect_timeout: 5s}
limits: {concurrency: 8}
idempotency: none
retry: {first: 2s, most: 15m, attempts: 3}
completion:
  webhook:
    path: /callbacks/waste
    verify: none
    reports: {job: $.id, status: $.status}
    reply: {status: 200, text: OK}
  poll: {every: 15m, overlap: 2h, call: changed}
calls:
  changed:
    get: /changed
    reports: {each: "$.items[*]", job: "@.id", status: "@.status"}
statuses:
  Completed: {disposition: completed, say: The bin has been emptied.}
  Not Out: {disposition: no_access}
  In Progress: {progress: in_progress, say: A crew is on its way.}
"#;

const MISSED_BIN: &str = r#"
service: waste.missed-bin
name: Missed bin
create:
  post: /worksheets
  json: {reference: $.ticket}
  accepted: {job: $.id}
close: {automatically: [completed, declined, duplicate], otherwise: hold}
target: {within: 2 working days}
"#;

const HOUSING: &str = r#"
system: housing
name: Housing repairs
role: back_office
owner: {team: Housing repairs, contact: housing@example.gov.uk}
connection: {base_url: "http://housing.invalid", auth: none, timeout: 30s, connect_timeout: 5s}
limits: {concurrency: 8}
idempotency: none
retry: {first: 2s, most: 15m, attempts: 12}
completion:
  poll: {every: 1h, each_job: read}
  status: {every: 1d, each_job: read}
calls:
  read:
    get: /orders/{$.dovetail.job}
    reports: {job: $.id, status: $.status}
statuses:
  Done: {disposition: completed}
"#;

const CRM: &str = r#"
system: crm
name: Council CRM
role: crm
owner: {team: Contact centre, contact: crm@example.gov.uk}
connection: {base_url: "http://crm.invalid", auth: none, timeout: 30s, connect_timeout: 5s}
limits: {concurrency: 8}
idempotency: none
retry: {first: 2s, most: 15m, attempts: 12}
"#;

const CLOSURE: &str = r#"
service: crm.closure
name: Closing
close:
  put: /tickets/{$.ticket}
  json: {status: resolved}
"#;

const ROUTES: &str = r#"
routes:
  - {service: waste.missed-bin, to: [waste]}
closures:
  - {council: "*", crm: crm}
"#;

/// A small catalogue: waste calls us and is polled, housing is polled, the CRM takes closures.
pub(crate) fn catalogue() -> Catalogue {
    compiled(WASTE, MISSED_BIN)
}

/// The same, where the waste system honours a key.
pub(super) fn catalogue_by_key() -> Catalogue {
    let waste = WASTE.replace("idempotency: none", "idempotency: {key: id}");
    let missed_bin = MISSED_BIN.replace("{reference: $.ticket}", "{reference: $.ticket, id: $.dovetail.key}");
    compiled(&waste, &missed_bin)
}

fn compiled(waste: &str, missed_bin: &str) -> Catalogue {
    let sources: Vec<Source> = [
        ("systems/waste/system.yaml", waste),
        ("systems/waste/missed-bin.yaml", missed_bin),
        ("systems/housing/system.yaml", HOUSING),
        ("systems/crm/system.yaml", CRM),
        ("systems/crm/close.yaml", CLOSURE),
        ("routes.yaml", ROUTES),
    ]
    .into_iter()
    .map(|(path, text)| Source { path: path.to_owned(), text: text.to_owned() })
    .collect();
    match crate::library::compile(&sources, &|_| None) {
        Ok(catalogue) => catalogue,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn at(minutes: u64) -> Timestamp {
    let nine: Timestamp = "2026-11-23T09:00:00Z".parse().expect("a time");
    nine + Duration::from_secs(60 * minutes)
}

pub(super) fn line() -> Line {
    Line {
        council: Council::parse("harlow").expect("a council"),
        ticket: Ticket::parse("CRM-1").expect("a ticket"),
        request: RequestId(Uuid::from_u128(1)),
        service: Service::parse("waste.missed-bin").expect("a service"),
        state: RequestState::Open,
        disposition: None,
        reason: None,
        raised_at: at(0),
        accepted_at: at(1),
        closed_at: None,
        closes_at: None,
        parked: false,
    }
}

pub(crate) fn handover(id: u128, system: &str) -> Handover {
    Handover {
        doubt: None,
        id: HandoverId(Uuid::from_u128(id)),
        system: SystemName::parse(system).expect("a system"),
        closure: false,
        state: HandoverState::Due,
        job: None,
        progress: None,
        disposition: None,
        reason: None,
        class: None,
        say: None,
        said: None,
        operation: None,
        waiting: 0,
        due_at: Some(at(1)),
        attempts: 0,
    }
}

pub(crate) fn with_waste() -> Handover {
    Handover {
        state: HandoverState::Awaiting,
        job: Some(Job::parse("242259").expect("a job")),
        due_at: None,
        attempts: 1,
        ..handover(2, "waste")
    }
}

pub(super) fn ended(disposition: Disposition) -> Handover {
    Handover { state: HandoverState::Ended, disposition: Some(disposition), ..with_waste() }
}

pub(super) fn closure(state: HandoverState) -> Handover {
    Handover { closure: true, state, ..handover(9, "crm") }
}

pub(super) fn parked(class: ParkClass, reason: &str) -> Handover {
    Handover {
        state: HandoverState::Parked,
        class: Some(class),
        reason: Some(reason.to_owned()),
        due_at: None,
        ..handover(2, "waste")
    }
}

pub(crate) fn history(handovers: Vec<Handover>) -> History {
    History {
        line: Line { parked: handovers.iter().any(|h| h.state == HandoverState::Parked), ..line() },
        promised: Promised {
            priority: Priority::Routine,
            first_call: at(0),
            document: std::sync::Arc::default(),
        },
        say: None,
        handovers,
        events: vec![event(Kind::Accepted, 1, serde_json::json!({}))],
        attempts: Vec::new(),
        completions: Vec::new(),
        halts: Vec::new(),
        failing: Vec::new(),
    }
}

pub(crate) fn event(kind: Kind, minute: u64, data: serde_json::Value) -> Event {
    Event {
        id: EventId(Uuid::from_u128(7)),
        kind,
        council: Some(line().council),
        ticket: Some(line().ticket),
        request: Some(line().request),
        at: at(minute),
        data,
        traceparent: None,
    }
}

pub(super) fn tried(handover: u128, number: u32, minute: u64, outcome: &str, reason: Option<&str>) -> Tried {
    Tried {
        handover: HandoverId(Uuid::from_u128(handover)),
        operation: if handover == 9 { Operation::Close } else { Operation::Create },
        phase: Phase::Send,
        number,
        attempt: Attempt {
            started_at: at(minute),
            ended_at: at(minute),
            outcome: outcome.to_owned(),
            status: None,
            reason: reason.map(str::to_owned),
            call: Some("POST /worksheets\n\n{\"name\": \"Jo Lamb\"}".to_owned()),
            answer: None,
        },
    }
}

pub(super) fn heard(said: &str, note: Option<&str>, minute: u64, correlated: Correlated) -> Heard {
    Heard {
        completion: Completion {
            system: SystemName::parse("waste").expect("a system"),
            key: format!("{said}{minute}"),
            job: Some(Job::parse("242259").expect("a job")),
            reference: None,
            said: said.to_owned(),
            note: note.map(str::to_owned),
            said_at: None,
            received_at: at(minute),
            way: Way::Webhook,
        },
        correlated,
    }
}
