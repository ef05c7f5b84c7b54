//! Journeys: requests go in at a door, work is done in the systems, tickets close by themselves.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use connectors::simulator::{Fault, Kind, Switch};
use futures::StreamExt;
use mappings::domain::RequestState;
use router::ledger::Counts;
use serde_json::{Value, json};

use crate::checker::gather::{gather, open};
use crate::checker::{Published, check};
use crate::council::{Council, Crm, KEY, request, submitted, systems};
use crate::messages::Client;
use crate::services::{FreshSqlite, Tracker, amqp_url, fresh_postgres, http};
use crate::wait::until;

/// Opens tickets in Request Tracker.
async fn open_tickets(tracker: &Tracker, count: usize) -> Vec<String> {
    let open = |number: usize| {
        let body = json!({"Queue": "General", "Subject": format!("Journey {number}"), "Requestor": "jo.lamb@example.org", "Content": "Please", "ContentType": "text/plain"});
        let request = http()
            .post(format!("{}/ticket", tracker.url))
            .basic_auth(&tracker.user, Some(&tracker.password))
            .json(&body);
        async move {
            let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
            answer["id"].as_str().unwrap_or_else(|| panic!("a ticket: {answer}")).to_owned()
        }
    };
    futures::stream::iter((0..count).map(open).collect::<Vec<_>>()).buffered(4).collect().await
}

/// Each ticket of Request Tracker is resolved, with one message to the customer.
pub(crate) async fn all_resolved(tracker: &Tracker, tickets: &[String]) {
    for ticket in tickets {
        let get = |path: String| {
            http().get(format!("{}/{path}", tracker.url)).basic_auth(&tracker.user, Some(&tracker.password))
        };
        let seen: Value =
            get(format!("ticket/{ticket}")).send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(seen["Status"], "resolved", "ticket {ticket}");
        let history: Value = get(format!("ticket/{ticket}/history?fields=Type,NewValue&per_page=100"))
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let items = history["items"].as_array().expect("a history");
        let messages = items.iter().filter(|item| item["Type"] == "Correspond").count();
        let closings =
            items.iter().filter(|item| item["Type"] == "Status" && item["NewValue"] == "resolved").count();
        assert_eq!((messages, closings), (1, 1), "ticket {ticket}: {history}");
    }
}

async fn publish_all(client: &Client, tickets: &[String]) {
    for (number, ticket) in tickets.iter().enumerate() {
        client.publish(&submitted(&format!("journey-{ticket}"), &request(ticket, number))).await;
    }
}

/// Every ticket was closed by exactly one event.
pub(crate) fn closed_once(client: &Client, tickets: &[String]) {
    let mut closures: BTreeMap<&str, usize> = BTreeMap::new();
    for event in client.heard("ticket.closed") {
        *closures.entry(event["subject"].as_str().expect("a subject")).or_default() += 1;
    }
    let once: HashSet<&str> =
        closures.iter().filter(|(_, count)| **count == 1).map(|(ticket, _)| *ticket).collect();
    assert_eq!(closures.len(), once.len(), "closed more than once: {closures:?}");
    assert_eq!(once, tickets.iter().map(String::as_str).collect::<HashSet<_>>());
}

/// What was published for these tickets, whose requests have these numbers.
fn published<'a>(tickets: impl IntoIterator<Item = (&'a String, usize)>) -> Vec<Published> {
    let one =
        |(ticket, number): (&String, usize)| Published { ticket: ticket.clone(), systems: systems(number) };
    tickets.into_iter().map(one).collect()
}

/// No system made two jobs of one piece of work.
pub(crate) async fn applied_once(council: &Council) {
    for kind in [Kind::Housing, Kind::Revenues, Kind::Waste, Kind::Partner] {
        let jobs = council.told(kind, "jobs").await;
        for job in jobs.as_array().expect("a list of jobs") {
            assert_eq!(job["applied"], 1, "{kind}: {job}");
        }
    }
}

async fn a_hundred_tickets_close(ledger: &str) {
    let tracker = Tracker::shared();
    let tickets = open_tickets(&tracker, 100).await;
    let council = Council::new(ledger, &amqp_url(), Crm::Real, 1).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    publish_all(&client, &tickets).await;
    client.listen("100 closures", |client| client.heard("ticket.closed").len() >= 100).await;
    settled(ledger, 100).await;
    all_resolved(&tracker, &tickets).await;
    assert!(program.stop().await.success());
    let published = published(tickets.iter().zip(0..));
    let mut evidence = gather(&*open(ledger).await, &council, &mut client, published).await;
    evidence.crm = tickets.iter().map(|ticket| (ticket.clone(), 1)).collect();
    check(&evidence).with_all_work_ended(&evidence).assert_holds();
}

/// What the ledger counts, seen from outside the router.
pub(crate) async fn counts(ledger: &str) -> Counts {
    open(ledger).await.counts().await.expect("counts")
}

/// Waits until so many tickets are closed at both ends, and no lease is held and no event unpublished.
pub(crate) async fn settled(ledger: &str, tickets: u64) {
    until("every closure is taken, and nothing is left to do", Duration::from_secs(600), async || {
        let counts = counts(ledger).await;
        let closed: u64 = counts
            .tickets
            .iter()
            .filter(|(state, ..)| *state == RequestState::Closed)
            .map(|(_, _, n)| n)
            .sum();
        (closed == tickets && counts.due == 0 && counts.outbox == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_tickets_of_request_tracker_close_by_themselves_on_postgresql() {
    a_hundred_tickets_close(&fresh_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_tickets_of_request_tracker_close_by_themselves_on_sqlite() {
    let database = FreshSqlite::new();
    a_hundred_tickets_close(&database.url()).await;
}

/// The router is killed in the middle, twice, while back offices lose answers, and started again.
async fn killed_in_the_middle(ledger: &str, seed: u64) {
    let council = Council::new(ledger, &amqp_url(), Crm::Simulated, seed).await;
    for kind in [Kind::Housing, Kind::Revenues, Kind::Waste] {
        let simulator = council.simulator(kind);
        simulator.set_faults(
            simulator
                .faults()
                .with(Fault::LostAnswer, Switch::Rate(0.1))
                .with(Fault::DoubleCallback, Switch::Rate(0.1)),
        );
    }
    let mut program = council.start().await;
    let mut client = council.broker.connect().await;
    // No street light here: a partner without key or look-up leaves a lost answer to a person.
    let tickets = council.open_simulated(100).await;
    let number = |sent: usize| if sent % 5 == 3 { sent + 1 } else { sent };
    for (sent, ticket) in tickets.iter().enumerate() {
        let data = request(ticket, number(sent));
        client.publish(&submitted(&format!("kill-{ticket}"), &data)).await;
        if sent == 30 || sent == 70 {
            client.listen("some closures", |client| client.heard("ticket.closed").len() >= sent / 4).await;
            program.kill();
            program = council.start().await;
        }
    }
    client.listen("every closure", |client| client.heard("ticket.closed").len() >= tickets.len()).await;
    settled(ledger, tickets.len() as u64).await;
    assert!(program.stop().await.success());
    let published = published(tickets.iter().zip((0..).map(number)));
    let evidence = gather(&*open(ledger).await, &council, &mut client, published).await;
    check(&evidence).with_all_work_ended(&evidence).assert_holds();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_in_the_middle_loses_nothing_and_does_nothing_twice_on_postgresql() {
    killed_in_the_middle(&fresh_postgres().await, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_in_the_middle_loses_nothing_and_does_nothing_twice_on_sqlite() {
    let database = FreshSqlite::new();
    killed_in_the_middle(&database.url(), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_requests_come_over_http_and_closures_go_to_the_crm() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 4).await;
    let program = council.start().await;
    for (number, ticket) in council.open_simulated(10).await.into_iter().enumerate() {
        let event = submitted(&format!("http-{ticket}"), &request(&ticket, number));
        let post = || {
            http()
                .post(program.url("/v1/requests"))
                .bearer_auth(KEY)
                .header("content-type", "application/cloudevents+json")
                .body(event.to_string())
        };
        assert_eq!(post().send().await.expect("an answer").status(), 202);
        assert_eq!(post().send().await.expect("an answer").status(), 200, "a duplicate is recognised");
    }
    settled(&database.url(), 10).await;
    assert_eq!(counts(&database.url()).await.duplicates, 10);
    for ticket in council.told(Kind::Crm, "tickets").await.as_array().expect("tickets") {
        assert_eq!(ticket["closures"], 1, "{ticket}");
    }
}
