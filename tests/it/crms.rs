//! CRMs of other kinds: one that cannot publish and is asked, and one that wants tokens and two writes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use connectors::simulator::{Fault, Kind, Switch};
use mappings::domain::RequestState;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::council::{Council, Crm, KEY, request, submitted};
use crate::journeys::{all_resolved, applied_once, counts, settled};
use crate::services::{FreshSqlite, Tracker, fresh_postgres, http};
use crate::wait::until;

/// How long a step of a journey may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the contact centre writes beside a ticket, by turns for each back office.
fn fields(number: usize) -> Value {
    match number % 4 {
        0 => json!({"Service": "Missed bin", "Container": "Grey bin", "UPRN": "10008049175"}),
        1 => json!({"Service": "Housing repair", "Property reference": "00012345", "Trade": "Plumbing"}),
        2 => {
            json!({"Service": "New bin", "Container": "Food caddy", "UPRN": "10008049175", "Urgency": "Urgent"})
        }
        _ => json!({"Service": "Pothole", "Where": "By the church"}),
    }
}

/// Opens tickets as the contact centre does; nothing is sent to Dovetail.
async fn open(tracker: &Tracker, queue: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut tickets = Vec::new();
    for number in numbers {
        tickets.push(tracker.open(queue, &format!("Polled {number}"), fields(number)).await);
    }
    tickets
}

async fn closed(ledger: &str) -> u64 {
    let tickets = counts(ledger).await.tickets;
    tickets.iter().filter(|(state, ..)| *state == RequestState::Closed).map(|(_, _, n)| n).sum()
}

async fn a_council_without_a_broker(ledger: &str, seed: u64) {
    let tracker = Tracker::shared();
    let queue = tracker.queue().await;
    let elsewhere = tracker.queue().await;
    let foreign = tracker.open(&elsewhere, "Not in our queue", fields(0)).await;
    let mut tickets = open(&tracker, &queue, 0..6).await;
    let council = Council::with_crm(ledger, Crm::Polled(queue.clone()), seed).await;
    let mut program = council.start().await;
    until("some tickets are closed", PATIENCE, async || (closed(ledger).await >= 2).then_some(())).await;
    program.kill();
    // While nobody asks, tickets come in all the same.
    tickets.extend(open(&tracker, &queue, 6..12).await);
    program = council.start().await;
    tickets.extend(open(&tracker, &queue, 12..24).await);

    let unready = tracker.open(&queue, "No service chosen yet", json!({"Container": "Grey bin"})).await;
    until("it is refused", PATIENCE, async || (counts(ledger).await.refused > 0).then_some(())).await;
    tracker
        .change(&unready, &json!({"CustomFields": {"Service": "Missed bin", "UPRN": "10008049175"}}))
        .await;
    tickets.push(unready);

    settled(ledger, tickets.len() as u64).await;
    all_resolved(&tracker, &tickets).await;
    applied_once(&council).await;
    assert_eq!(tracker.happened(&foreign).await, ["Create"], "another queue is none of ours");

    // A reply of the customer opens a ticket of Request Tracker again; it is found, and not taken for a new one.
    let before = counts(ledger).await.duplicates;
    tracker.write(&tickets[0], "correspond", "Thank you").await;
    until("it is found again", PATIENCE, async || (counts(ledger).await.duplicates > before).then_some(()))
        .await;
    settled(ledger, tickets.len() as u64).await;
    assert_eq!(tracker.status(&tickets[0]).await, "open");
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_council_without_a_broker_closes_the_tickets_of_a_crm_that_cannot_publish_on_postgresql() {
    a_council_without_a_broker(&fresh_postgres().await, 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_council_without_a_broker_closes_the_tickets_of_a_crm_that_cannot_publish_on_sqlite() {
    let database = FreshSqlite::new();
    a_council_without_a_broker(&database.url(), 22).await;
}

/// The shipped mappings, but for the CRM that is told of closures.
fn told_to_dynamics() -> TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let path = entry.expect("an entry").path();
            let target = to.join(path.file_name().expect("a name"));
            if path.is_dir() {
                copy(&path, &target);
            } else {
                std::fs::copy(&path, &target).expect("copied");
            }
        }
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mappings");
    let folder = TempDir::new().expect("a temporary folder");
    copy(&shipped.join("systems"), &folder.path().join("systems"));
    let routes = std::fs::read_to_string(shipped.join("routes.yaml")).expect("the routes");
    assert!(routes.contains("crm: crm}"), "{routes}");
    std::fs::write(folder.path().join("routes.yaml"), routes.replace("crm: crm}", "crm: crm-dynamics}"))
        .expect("written");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_of_a_second_crm_are_closed_once_though_answers_are_lost_and_tokens_expire() {
    let (database, folder) = (FreshSqlite::new(), told_to_dynamics());
    let council = Council::with_crm(&database.url(), Crm::Dynamics(PathBuf::from(folder.path())), 23).await;
    let dynamics = council.simulator(Kind::CrmDynamics);
    dynamics.set_faults(
        dynamics
            .faults()
            .with(Fault::LostAnswer, Switch::Rate(0.15))
            .with(Fault::Error503, Switch::Rate(0.1))
            .with(Fault::EmptyAnswer, Switch::Rate(0.05)),
    );
    let program = council.start().await;
    for number in 0..20 {
        let ticket = format!("CAS-{number:05}-X5F2");
        // No street light: a partner without key or look-up leaves a lost answer to a person.
        let data = request(&ticket, if number % 5 == 3 { 0 } else { number });
        let post = http()
            .post(program.url("/v1/requests"))
            .bearer_auth(KEY)
            .header("content-type", "application/cloudevents+json")
            .body(submitted(&ticket, &data).to_string());
        assert_eq!(post.send().await.expect("an answer").status(), 202);
        if number == 10 {
            let url = format!("{}/_sim/tokens", dynamics.url());
            assert_eq!(http().delete(url).send().await.expect("an answer").status(), 200);
        }
    }
    settled(&database.url(), 20).await;
    let tickets = council.told(Kind::CrmDynamics, "tickets").await;
    let tickets = tickets.as_array().expect("tickets");
    assert_eq!(tickets.len(), 20);
    for ticket in tickets {
        assert_eq!((&ticket["status"], &ticket["closures"]), (&json!("resolved"), &json!(1)), "{ticket}");
        let notes = ticket["notes"].as_object().expect("notes");
        assert_eq!((notes.len(), ticket["messages"].as_array().map(Vec::len)), (1, Some(1)), "{ticket}");
    }
    applied_once(&council).await;
    assert!(program.stop().await.success());
}
