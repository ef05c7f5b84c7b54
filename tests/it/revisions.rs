//! The customer changes their mind: what the back office hears of it, and in which order.

use std::sync::Arc;
use std::time::Duration;

use connectors::simulator::{Fault, Faults, Kind, Switch};
use mappings::domain::{Operation, RequestState, Ticket};
use mappings::mapping::Meaning;
use router::closing::Decision;
use router::ledger::{Closer, History, Reader};
use serde_json::{Value, json};

use crate::council::{Council, Crm, KEY, request, submitted};
use crate::messages::Client;
use crate::services::{FreshSqlite, amqp_url, fresh_postgres, http};
use crate::wait::until;

/// A request for a missed bin, whose worksheet no crew ever ends by itself.
fn missed_bin(ticket: &str) -> Value {
    let mut data = request(ticket, 0);
    data["summary"] = json!("Grey bin missed [never]");
    data
}

/// What the customer did, as a CloudEvent.
fn revised(id: &str, ticket: &str, revision: &str, reason: &str) -> Value {
    let mut data = json!({"ticket": ticket, "council": "harlow", "reason": reason});
    if revision == "amended" {
        data["details"] = json!({"notes": reason});
    }
    json!({
        "specversion": "1.0", "id": id, "source": "/crm/journey",
        "type": format!("uk.dovetail.request.{revision}.v1"), "datacontenttype": "application/json", "data": data,
    })
}

/// What the ledger has on a ticket, seen from outside the router.
async fn history(ledger: &str, ticket: &str) -> Option<History> {
    let closer: Closer = Arc::new(|_| Decision::Wait);
    let reader: Reader = Arc::new(|_, _, _| Meaning::Unrecognised);
    let ledger = router::ledger::open(ledger, closer, reader, 1).await.expect("the ledger opens");
    ledger.ticket(None, &Ticket::parse(ticket).expect("a ticket")).await.expect("a read")
}

fn strike(council: &Council, fault: Fault) {
    let waste = council.simulator(Kind::Waste);
    waste.set_faults(waste.faults().with(fault, Switch::Rate(1.0)));
}

fn heal(council: &Council) {
    council.simulator(Kind::Waste).set_faults(Faults::default());
}

fn closures<'a>(client: &'a Client, ticket: &str) -> Vec<&'a Value> {
    client.heard("ticket.closed").into_iter().filter(|event| event["subject"] == ticket).collect()
}

/// The order may have arrived while the customer changes their mind twice: the system hears all of it, in order.
async fn a_system_hears_of_a_ticket_in_order(ledger: &str, routers: usize) {
    let council = Council::new(ledger, &amqp_url(), Crm::Simulated, 21).await;
    let mut programs = Vec::new();
    for _ in 0..routers {
        programs.push(council.start().await);
    }
    let mut client = council.broker.connect().await;
    let tickets = council.open_simulated(10).await;
    // An answer of 500 leaves open whether the order was taken.
    strike(&council, Fault::Error500);
    for ticket in &tickets {
        client.publish(&submitted(&format!("order-{ticket}"), &missed_bin(ticket))).await;
    }
    until("every order was tried", Duration::from_secs(60), async || {
        for ticket in &tickets {
            history(ledger, ticket).await.filter(|history| !history.attempts.is_empty())?;
        }
        Some(())
    })
    .await;
    for ticket in &tickets {
        client.publish(&revised(&format!("a1-{ticket}"), ticket, "amended", "the gate is locked")).await;
    }
    for ticket in &tickets {
        client.publish(&revised(&format!("a2-{ticket}"), ticket, "amended", "mind the dog")).await;
    }
    for ticket in &tickets {
        client.publish(&revised(&format!("w-{ticket}"), ticket, "withdrawn", "found it")).await;
    }
    let told = |client: &Client| {
        client.heard("ticket.progressed").iter().filter(|event| !event["data"]["change"].is_null()).count()
    };
    client.listen("every revision", |client| told(client) >= 3 * tickets.len()).await;
    heal(&council);
    client.listen("every closure", |client| client.heard("ticket.closed").len() >= tickets.len()).await;

    let jobs = council.told(Kind::Waste, "jobs").await;
    assert_eq!(jobs.as_array().map(Vec::len), Some(tickets.len()), "{jobs}");
    for job in jobs.as_array().expect("a list") {
        // A worksheet that is cancelled takes no more notes.
        assert_eq!((&job["status"], &job["applied"]), (&json!("Cancelled"), &json!(1)), "{job}");
        let remarks: Vec<&str> =
            job["remarks"].as_array().expect("remarks").iter().filter_map(Value::as_str).collect();
        let mut heard = ["the gate is locked", "mind the dog"].iter().map(|reason| {
            remarks.iter().position(|remark| remark.contains(reason)).unwrap_or_else(|| panic!("{job}"))
        });
        assert!(heard.next() < heard.next(), "{job}");
    }
    for ticket in &tickets {
        let closed = closures(&client, ticket);
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0]["data"]["disposition"], "cancelled");
        assert!(
            closed[0]["data"]["say"].as_str().is_some_and(|say| say.contains("You asked us to cancel it"))
        );
    }
    for program in programs {
        assert!(program.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_hears_of_a_ticket_in_order_from_two_routers_on_postgresql() {
    a_system_hears_of_a_ticket_in_order(&fresh_postgres().await, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_hears_of_a_ticket_in_order_on_sqlite() {
    let database = FreshSqlite::new();
    a_system_hears_of_a_ticket_in_order(&database.url(), 1).await;
}

/// Withdrawn while the system turns every call away: it never hears of the ticket.
async fn a_request_that_is_withdrawn_in_time_reaches_nobody(ledger: &str) {
    let council = Council::new(ledger, &amqp_url(), Crm::Simulated, 22).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let ticket = council.open_simulated(1).await.remove(0);
    // The request overtakes its own withdrawal as little as a third message does the first.
    client.publish(&revised("early", "T-77", "withdrawn", "a mistake")).await;
    // With 503 the system says that it did nothing, and asks us to wait.
    strike(&council, Fault::Error503);
    client.publish(&submitted("order", &missed_bin(&ticket))).await;
    until("the order was turned away", Duration::from_secs(60), async || {
        let history = history(ledger, &ticket).await?;
        (!history.attempts.is_empty() && history.handovers[0].due_at.is_some()).then_some(())
    })
    .await;
    client.publish(&revised("w", &ticket, "withdrawn", "found it")).await;
    client.listen("the closure", |client| !closures(client, &ticket).is_empty()).await;
    client.publish(&submitted("late", &missed_bin("T-77"))).await;
    client.listen("the other closure", |client| !closures(client, "T-77").is_empty()).await;
    heal(&council);
    let counts = council.told(Kind::Waste, "counts").await;
    assert_eq!((&counts["jobs"], &counts["creates"]), (&json!(0), &json!(0)), "{counts}");
    // All that is ever tried of it is its closure in the CRM.
    let withdrawn = history(ledger, "T-77").await.expect("it is known");
    let asked: Vec<_> = withdrawn.attempts.iter().map(|tried| tried.operation).collect();
    assert!(asked.iter().all(|operation| *operation == Operation::Close), "{asked:?}");
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_withdrawn_in_time_reaches_nobody_on_postgresql() {
    a_request_that_is_withdrawn_in_time_reaches_nobody(&fresh_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_withdrawn_in_time_reaches_nobody_on_sqlite() {
    let database = FreshSqlite::new();
    a_request_that_is_withdrawn_in_time_reaches_nobody(&database.url()).await;
}

/// A person at the waste system does something.
async fn at_waste(council: &Council, path: &str, body: Value) {
    let url = format!("{}/_sim/{path}", council.simulator(Kind::Waste).url());
    let answer = http().post(url).body(body.to_string()).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
}

async fn worksheets(council: &Council, count: usize) -> Vec<Value> {
    until("the worksheets are there", Duration::from_secs(60), async || {
        let jobs = council.told(Kind::Waste, "jobs").await;
        let jobs = jobs.as_array().cloned().unwrap_or_default();
        (jobs.len() >= count).then_some(jobs)
    })
    .await
}

/// Closed, opened again in the CRM, ordered again; late news of the first worksheet closes nothing.
async fn a_ticket_is_opened_again(ledger: &str) {
    let council = Council::new(ledger, &amqp_url(), Crm::Simulated, 23).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let ticket = council.open_simulated(1).await.remove(0);
    client.publish(&submitted("order", &missed_bin(&ticket))).await;
    let first = worksheets(&council, 1).await.remove(0);
    let id = first["id"].as_str().expect("an id").to_owned();
    at_waste(&council, &format!("jobs/{id}/complete"), json!({})).await;
    until("the ticket is closed", Duration::from_secs(60), async || {
        history(ledger, &ticket).await.filter(|history| history.line.state == RequestState::Closed)
    })
    .await;

    let url = format!("{}/_sim/tickets/{ticket}/set", council.simulator(Kind::Crm).url());
    let opened =
        http().post(url).body(json!({"status": "open"}).to_string()).send().await.expect("an answer");
    assert_eq!(opened.status(), 200);
    let event = revised("again", &ticket, "reopened", "it is still there");
    let post = http()
        .post(program.url("/v1/requests"))
        .bearer_auth(KEY)
        .header("content-type", "application/cloudevents+json")
        .body(event.to_string());
    assert_eq!(post.send().await.expect("an answer").status(), 202);
    let second = worksheets(&council, 2).await.remove(1);
    assert_ne!(second["reference"], first["reference"], "another order: {second}");
    assert!(
        second["about"].to_string().contains("it is still there")
            || second.to_string().contains("still there"),
        "{second}"
    );

    // The first crew contradicts itself, late.
    at_waste(&council, &format!("jobs/{id}/complete"), json!({"status": "Not Out"})).await;
    client
        .listen("that a person is told", |client| {
            client.heard("ticket.held").iter().any(|event| event["data"]["said"] == "Not Out")
        })
        .await;
    let now = history(ledger, &ticket).await.expect("a ticket");
    assert_eq!(now.line.state, RequestState::Open, "{:?}", now.line);
    assert_eq!(closures(&client, &ticket).len(), 1);

    let id = second["id"].as_str().expect("an id").to_owned();
    at_waste(&council, &format!("jobs/{id}/complete"), json!({})).await;
    client.listen("the second closure", |client| closures(client, &ticket).len() == 2).await;
    until("the CRM took it", Duration::from_secs(60), async || {
        let tickets = council.told(Kind::Crm, "tickets").await;
        (tickets[0]["closures"] == 2).then_some(())
    })
    .await;
    assert_eq!(client.heard("ticket.reopened").len(), 1);
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_is_opened_again_reaches_the_system_on_postgresql() {
    a_ticket_is_opened_again(&fresh_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_is_opened_again_reaches_the_system_on_sqlite() {
    let database = FreshSqlite::new();
    a_ticket_is_opened_again(&database.url()).await;
}
