//! One bad message costs only itself: memory is bounded at every door, and what the broker has set aside is told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::council::{Council, Crm, KEY, nested_lists, request, submitted};
use crate::journeys::counts;
use crate::program::{Program, dovetail_with};
use crate::services::{FreshSqlite, amqp_url, fresh_postgres, http};
use crate::wait::until;

/// What a router may hold at most.
const PEAK: u64 = 300_000_000;
/// What the largest request that is taken may need: its text and its document are there several times.
const LARGEST: u64 = 450_000_000;

async fn post(program: &Program, path: &str, content_type: &str, body: Vec<u8>) -> (u16, Value) {
    let post = http().post(program.url(path)).bearer_auth(KEY).header("content-type", content_type);
    let answer = post.body(body).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_take_gigabytes_as_a_tree_is_refused_at_every_door_over_http() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 21).await;
    let program = council.start().await;
    let nested = nested_lists("CRM-1", 75_000);
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(70), "]".repeat(70)).into_bytes();
    let elements =
        format!("<ServiceNotification>{}</ServiceNotification>", "<a/>".repeat(200_000)).into_bytes();
    let attributes: String = (0..200_000).map(|number| format!(" a{number}='1'")).collect();
    let attributes = format!("<ServiceNotification{attributes}/>").into_bytes();
    let batch = [b"[".as_slice(), &nested, b"]"].concat();
    let binary =
        serde_json::from_slice::<Value>(&nested_lists("CRM-2", 1)).expect("JSON")["data"].to_string();
    let structured = "application/cloudevents+json";
    for (path, kind, body, part) in [
        ("/v1/requests", structured, nested.clone(), "levels deep on line 1; expected 64 at most"),
        ("/v1/requests", "application/cloudevents-batch+json", batch, "expected 64 at most"),
        ("/v1/requests", "application/json", nested.clone(), "expected 64 at most"),
        ("/v1/requests", structured, deep, "71 levels deep"),
        ("/v1/requests", structured, binary.into_bytes(), "expected 64 at most"),
        ("/v1/requests/crm-sap", "application/xml", elements, "200001 values; expected 100000 at most"),
        ("/v1/requests/crm-sap", "application/xml", attributes, "200001 values; expected 100000 at most"),
    ] {
        let (status, problem) = post(&program, path, kind, body).await;
        assert_eq!(status, 422, "{path} {kind}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{problem}");
    }
    let rejected = counts(&database.url()).await.refused;
    assert!(rejected >= 6, "{rejected} are kept");
    let peak = program.peak_memory().expect("it runs");
    assert!(peak < PEAK, "{peak} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_as_large_as_may_be_is_taken_and_told_in_little_memory() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 26).await;
    let program = council.start().await;
    let ticket = council.open_simulated(1).await.remove(0);
    let mut data = request(&ticket, 0);
    let nested = (0..50).fold(json!([]), |inner, _| json!([inner]));
    data["details"]["lists"] = Value::from(vec![nested; 1900]);
    data["details"]["text"] = json!("x".repeat(15_000_000));
    let body = submitted("large", &data).to_string().into_bytes();
    let (status, answer) = post(&program, "/v1/requests", "application/cloudevents+json", body).await;
    assert_eq!(status, 202, "{answer}");
    until("the ticket closes", Duration::from_secs(60), async || {
        let page = http().get(program.page(&format!("/tickets/harlow/{ticket}"))).send().await.ok()?;
        page.text().await.ok()?.contains("All work has ended").then_some(())
    })
    .await;
    let peak = program.peak_memory().expect("it runs");
    assert!(peak < LARGEST, "{peak} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_takes_memory_and_room_by_its_size_and_not_by_its_square() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 22).await;
    let program = council.start().await;
    let before = program.peak_memory().expect("it runs");
    let events: Vec<Value> = (0..4000)
        .map(|number| json!({"specversion": "1.0", "id": number.to_string(), "source": "/x", "type": "t"}))
        .collect();
    let body = Value::from(events).to_string();
    let length = body.len() as u64;
    let (status, answer) =
        post(&program, "/v1/requests", "application/cloudevents-batch+json", body.into_bytes()).await;
    assert_eq!(status, 200, "{answer}");
    let receipts = answer["receipts"].as_array().expect("receipts");
    assert!(receipts.len() == 4000 && receipts.iter().all(|receipt| receipt["result"] == "refused"));
    let grown = program.peak_memory().expect("it runs") - before;
    assert!(grown < 60_000_000, "{grown} bytes for a body of {length}");
    let ledger = std::fs::metadata(database.url().trim_start_matches("sqlite:")).expect("a file").len();
    assert!(ledger < 20_000_000, "a ledger of {ledger} bytes for a body of {length}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_a_callback_cost_little_and_a_large_event_of_the_system_is_refused_with_its_size() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 23).await;
    let program = council.start().await;
    let call = async |path: &str, headers: Vec<(&'static str, String)>, body: String| {
        let mut call = http().post(program.url(path)).header("content-type", "application/xml");
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let answer = call.body(body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let mut elements = format!("<a>{}</a>", "<b/>".repeat(200_000));
    assert_eq!(call("/callbacks/waste", Vec::new(), elements.clone()).await.0, 401);
    assert_eq!(call("/callbacks/partner", Vec::new(), elements.clone()).await.0, 401);
    let signed = council.signed_by_partner(&elements).map(|(name, value)| (name, value)).to_vec();
    let (status, text) = call("/callbacks/partner", signed, elements.clone()).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("200001 values; expected 100000 at most"), "{text}");
    elements.push_str(&" ".repeat(1024 * 1024));
    let (status, text) = call("/callbacks/waste", Vec::new(), elements).await;
    assert_eq!(status, 413, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_message_of_the_bus_is_refused_by_its_size_and_its_neighbours_close() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 24).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let ticket = council.open_simulated(1).await.remove(0);
    client.publish_native("crm-sap", &vec![b'<'; 40_000_000]).await;
    client.publish_native("crm-sap", "<a>".repeat(100_000).as_bytes()).await;
    client.publish(&submitted("neighbour", &request(&ticket, 0))).await;
    client.listen("the neighbour closes", |client| !client.heard("ticket.closed").is_empty()).await;
    until("both are recorded", Duration::from_secs(30), async || {
        (counts(&ledger).await.refused == 2).then_some(())
    })
    .await;
    let problems = dovetail_with(&["problems", "--database", &ledger], &[]).await;
    let told = String::from_utf8_lossy(&problems.stdout);
    assert!(told.contains("the body has 40000000 bytes; expected fewer than 16777216"), "{told}");
    assert!(told.contains("100000 levels deep on line 1; expected 64 at most"), "{told}");
    let peak = program.peak_memory().expect("it runs");
    assert!(peak < PEAK, "{peak} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_has_set_aside_is_told_and_can_be_read_returned_or_dropped() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 25).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let tickets = council.open_simulated(2).await;
    let dead = async |arguments: &[&str]| {
        let name = |queue: &str| council.broker.queue_name(queue);
        let variables = [
            ("DOVETAIL__BUS__URL", amqp_url()),
            ("DOVETAIL__BUS__DEAD_EXCHANGE", name("dead")),
            ("DOVETAIL__LEDGER__URL", ledger.clone()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let output = dovetail_with(&[arguments, &["--output", "json"]].concat(), &variables).await;
        let json: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), json)
    };
    assert_eq!(dead(&["dead", "list"]).await, (Some(0), json!({"count": 0, "messages": []})));

    assert!(program.stop().await.success());
    for ticket in &tickets {
        let event = submitted(&format!("dead-{ticket}"), &request(ticket, 0));
        client.die(&event).await;
    }
    let program = council.start().await;
    let readiness = async || -> Value {
        let answer = http().get(program.url("/health/ready")).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    };
    until("readiness tells of them", Duration::from_secs(30), async || {
        (readiness().await["dead_letters"] == 2).then_some(())
    })
    .await;
    assert_eq!(readiness().await["ready"], true);
    let metrics = http().get(program.page("/metrics")).send().await.expect("an answer").text().await;
    assert!(metrics.expect("text").contains("dovetail_dead_letters 2"));
    assert_eq!(dead(&["problems"]).await.1["dead_letters"], 2);

    let (_, listed) = dead(&["dead", "list"]).await;
    let id = |ticket: &str| {
        let messages = listed["messages"].as_array().expect("messages");
        let found = messages.iter().find(|message| message["ticket"] == ticket).expect("listed");
        assert_eq!(found["reason"], "rejected", "{found}");
        found["id"].as_str().expect("an id").to_owned()
    };
    let (first, second) = (id(&tickets[0]), id(&tickets[1]));
    let (code, shown) = dead(&["dead", "show", &first]).await;
    assert_eq!((code, &shown["routing_key"]), (Some(0), &json!("harlow.request.submitted")));
    assert!(shown["body"].as_str().is_some_and(|body| body.contains(&tickets[0])), "{shown}");
    assert_eq!(dead(&["dead", "show", "ffff"]).await.0, Some(1));

    let (code, returned) = dead(&["dead", "return", &first]).await;
    assert_eq!((code, &returned["returned"][0]["ticket"]), (Some(0), &json!(tickets[0])));
    client.listen("the returned one closes", |client| !client.heard("ticket.closed").is_empty()).await;
    let (code, dropped) = dead(&["dead", "drop", &second, "--because", "it is a test", "--by", "sam"]).await;
    assert_eq!((code, &dropped["dropped"][0]["ticket"]), (Some(0), &json!(tickets[1])));
    client.listen("the dropped one is rejected", |client| !client.heard("request.rejected").is_empty()).await;
    let (_, problems) = dead(&["problems"]).await;
    let told = problems["problems"][0]["reason"].as_str().expect("a reason").to_owned();
    assert_eq!(told, "the broker had set it aside (rejected), and sam dropped it because it is a test");
    assert_eq!(dead(&["dead", "list"]).await.1["count"], 0);
}
