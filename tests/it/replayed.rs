//! What waits for a person goes on by the commands that `dovetail problems` names.

use std::time::Duration;

use serde_json::{Value, json};

use crate::council::{Council, Crm, request, submitted};
use crate::journeys::{closed_once, settled};
use crate::program::dovetail;
use crate::services::{amqp_url, fresh_postgres};
use crate::wait::until;

async fn problems(ledger: &str) -> Vec<Value> {
    let output = dovetail(&["problems", "--database", ledger, "--output", "json"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    told["problems"].as_array().expect("problems").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_lack_something_are_put_right_and_replayed_and_their_tickets_close() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 14).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let tickets = council.open_simulated(5).await;
    for ticket in &tickets {
        let mut lacking = request(ticket, 0);
        lacking["location"].as_object_mut().expect("an object").remove("uprn");
        client.publish(&submitted(&format!("replayed-{ticket}"), &lacking)).await;
    }
    until("all are parked", Duration::from_secs(60), async || {
        (problems(&ledger).await.len() == 5).then_some(())
    })
    .await;

    let folder = tempfile::tempdir().expect("a folder");
    let patch = folder.path().join("patch.json");
    std::fs::write(&patch, json!({"location": {"uprn": "10008049175"}}).to_string()).expect("written");
    let patch = patch.to_str().expect("text");
    let conditions = "system=waste class=data reason~uprn since=1h";
    let arguments =
        ["replay", "--database", &ledger, "--where", conditions, "--edit", patch, "--rate", "20/s"];
    let decided = ["--because", "the address was looked up", "--by", "jo", "--output", "json"];

    let shown = dovetail(&[&arguments[..], &["--preview"], &decided[..]].concat()).await;
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["selected"], 5, "{shown}");
    let call = shown["first_call"]["calls"][0]["steps"].to_string();
    assert!(call.contains("<Uprn>10008049175</Uprn>"), "{call}");
    assert_eq!(problems(&ledger).await.len(), 5, "a preview changes nothing");

    let output = dovetail(&[&arguments[..], &decided[..]].concat()).await;
    let done: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success(), "{done}");
    assert_eq!((&done["replayed"], &done["ended"]), (&json!(5), &json!("finished")), "{done}");
    client.listen("every closure", |client| client.heard("ticket.closed").len() >= tickets.len()).await;
    closed_once(&client, &tickets);
    settled(&ledger, tickets.len() as u64).await;
    let told = client.heard("ticket.decided");
    assert_eq!(told.len(), tickets.len(), "each decision is told once");
    assert!(told.iter().all(|event| event["data"]["by"] == "jo"), "{told:?}");
    assert!(problems(&ledger).await.is_empty());
    assert!(program.stop().await.success());
}
