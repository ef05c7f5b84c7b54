//! Takes the evidence from the ledger, the broker, the systems and the CRM.

use std::collections::HashMap;
use std::sync::Arc;

use connectors::simulator::Kind;
use mappings::domain::{ParkClass, RequestState, SystemName};
use mappings::mapping::{self, Catalogue, Meaning, shipped};
use router::closing::Decision;
use router::ledger::{Closer, Filter, Ledger, Problem, ProblemSearch, Reader};
use serde_json::Value;

use super::{Evidence, Heard, Idempotency, Job, Left, Park, Published, Record, State};
use crate::council::Council;
use crate::messages::Client;

/// More than any test publishes.
const MOST: usize = 100_000;

/// The ledger at an address, opened beside the router that works on it.
pub async fn open(address: &str) -> Arc<dyn Ledger> {
    let closer: Closer = Arc::new(|_| Decision::Wait);
    let reader: Reader = Arc::new(|_, _, _| Meaning::Unrecognised);
    router::ledger::open(address, closer, reader, 2).await.expect("the ledger opens")
}

/// Everything that can be seen after the drain. The router has stopped, so that what it held is visible, too.
pub async fn gather(
    ledger: &dyn Ledger,
    council: &Council,
    client: &mut Client,
    published: Vec<Published>,
) -> Evidence {
    client.catch_up().await;
    let heard = client.all_heard().iter().map(|(id, event)| (id.clone(), heard(event))).collect();
    let counts = ledger.counts().await.expect("the ledger counts");
    let (parks, refused) = problems(ledger).await;
    let mut evidence = Evidence {
        published,
        refused,
        left: Left { due: counts.due, leased: counts.leased, outbox: counts.outbox },
        queues: council.broker.depths().await,
        crm: crm(council).await,
        heard,
        ..Evidence::default()
    };
    for state in [RequestState::Open, RequestState::Held, RequestState::Closing, RequestState::Closed] {
        let filter = Filter { state: Some(state), most: MOST, ..Filter::default() };
        for line in ledger.tickets(&filter).await.expect("the ledger lists") {
            let ticket = line.ticket.to_string();
            let parks = parks.get(&ticket).cloned().unwrap_or_default();
            evidence.records.push(Record {
                state: self::state(line.state),
                reason: line.reason,
                parks,
                ticket,
            });
        }
    }
    let catalogue = router::library::compile(&shipped(), &router::library::placeholder).expect("mappings");
    for kind in [Kind::Housing, Kind::Revenues, Kind::Waste, Kind::Partner] {
        let told = council.told(kind, "jobs").await;
        let offers = offers(&catalogue, kind);
        evidence
            .jobs
            .extend(told.as_array().expect("a list of jobs").iter().map(|told| job(kind, offers, told)));
    }
    evidence
}

fn state(state: RequestState) -> State {
    match state {
        RequestState::Open => State::Open,
        RequestState::Held => State::Held,
        RequestState::Closing => State::Closing,
        RequestState::Closed => State::Closed,
    }
}

fn heard(event: &Value) -> Heard {
    let kind = event["type"].as_str().unwrap_or_default();
    let kind = kind.trim_start_matches("uk.dovetail.").trim_end_matches(".v1").to_owned();
    Heard { kind, ticket: event["subject"].as_str().unwrap_or_default().to_owned() }
}

/// The handovers that are parked, by ticket, and the deliveries that were refused.
async fn problems(ledger: &dyn Ledger) -> (HashMap<String, Vec<Park>>, Vec<(String, String)>) {
    let mut parks: HashMap<String, Vec<Park>> = HashMap::new();
    let mut refusals = Vec::new();
    let search = ProblemSearch { singly: true, ..ProblemSearch::first(MOST) };
    for problem in ledger.find_problems(&search).await.expect("the ledger tells its problems").problems {
        match problem {
            Problem::Parked { line, system, class, reason, .. } => {
                let park =
                    Park { system: system.to_string(), uncertain: class == ParkClass::Uncertain, reason };
                parks.entry(line.ticket.to_string()).or_default().push(park);
            }
            Problem::Refused { ticket: Some(ticket), reason, .. } => {
                refusals.push((ticket.to_string(), reason))
            }
            Problem::Refused { ticket: None, .. }
            | Problem::Held { .. }
            | Problem::Orphan(..)
            | Problem::Orphans { .. }
            | Problem::ParkedAlike { .. }
            | Problem::RefusedAlike { .. }
            | Problem::Contradiction { .. }
            | Problem::Early { .. } => {}
        }
    }
    (parks, refusals)
}

/// Closures by ticket; none where the CRM is a real one, which its own test asks.
async fn crm(council: &Council) -> HashMap<String, u64> {
    if !council.simulates(Kind::Crm) {
        return HashMap::new();
    }
    let told = council.told(Kind::Crm, "tickets").await;
    let closures = |ticket: &Value| Some((ticket["id"].as_str()?.to_owned(), ticket["closures"].as_u64()?));
    told.as_array().expect("a list of tickets").iter().filter_map(closures).collect()
}

fn offers(catalogue: &Catalogue, kind: Kind) -> Idempotency {
    let name = SystemName::parse(kind.as_str()).expect("a name");
    match &catalogue.system(&name).expect("a shipped system").idempotency {
        mapping::Idempotency::Key => Idempotency::Key,
        mapping::Idempotency::LookUp(_) => Idempotency::LookUp,
        mapping::Idempotency::None => Idempotency::None,
    }
}

fn job(kind: Kind, idempotency: Idempotency, told: &Value) -> Job {
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let reference = text("reference");
    // HACT orders name no ticket; a worksheet's reference has the opening after it.
    let ticket = (kind != Kind::Housing).then(|| reference.split('/').next().unwrap_or_default().to_owned());
    Job {
        system: kind.as_str(),
        idempotency,
        key: Some(text("key")).filter(|key| !key.is_empty()).unwrap_or(reference),
        ticket,
        delivered: told["delivered"].as_u64().unwrap_or(0),
        applied: told["applied"].as_u64().unwrap_or(0),
    }
}
