//! Systems that report over RabbitMQ: `uk.dovetail.job.reported.v1` on the exchange of completions.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::council::{Council, request, submitted};
use crate::journeys::{closed_once, counts, settled};
use crate::services::{amqp_url, fresh_postgres};

fn reported(id: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/waste", "type": "uk.dovetail.job.reported.v1",
        "datacontenttype": "application/json", "data": data,
    })
}

fn done(id: &str, which: (&str, &str)) -> Value {
    let mut data =
        json!({"system": "waste", "status": "Completed", "at": router::clock::host_time().to_string()});
    data[which.0] = json!(which.1);
    reported(id, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_reported_over_the_bus_early_doubled_and_shuffled_close_every_ticket_once() {
    let ledger = fresh_postgres().await;
    let council = Council::unhurried(&ledger, &amqp_url(), 13).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let tickets = council.open_simulated(12).await;
    let (early, later) = tickets.split_at(4);
    // The first are told of before anybody has asked for them, by our reference.
    for ticket in early {
        client.report(&done(&format!("early-{ticket}"), ("reference", ticket))).await;
    }
    for ticket in &tickets {
        client.publish(&submitted(&format!("reported-{ticket}"), &request(ticket, 0))).await;
    }
    client.listen("every job", |client| client.heard("ticket.handed-over").len() >= tickets.len()).await;
    let jobs: HashMap<String, String> = client
        .heard("ticket.handed-over")
        .into_iter()
        .map(|event| {
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (text(&event["subject"]), text(&event["data"]["job"]))
        })
        .collect();
    for round in 0..2 {
        for ticket in later.iter().rev() {
            // The same report again, and another that says the same.
            for id in [format!("job-{ticket}"), format!("job-{ticket}-{round}")] {
                client.report(&done(&id, ("job", &jobs[ticket]))).await;
            }
        }
    }
    client.report(&done("nobody", ("job", "no-such-worksheet"))).await;
    client.report(&reported("broken", json!({"system": "waste"}))).await;
    client.listen("every closure", |client| client.heard("ticket.closed").len() >= tickets.len()).await;
    settled(&ledger, tickets.len() as u64).await;
    closed_once(&client, &tickets);
    let counts = counts(&ledger).await;
    assert_eq!((counts.waiting, counts.refused), (1, 1), "the orphan and the broken one are kept");
    assert!(program.stop().await.success());
    assert_eq!(client.queue("completions").await, (0, 0), "all were acknowledged");
}
