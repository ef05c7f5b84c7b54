//! Bad input at every door: a clear, recorded reason, and nobody else is delayed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::council::{Council, Crm, KEY, request, submitted};
use crate::journeys::counts;
use crate::program::dovetail;
use crate::services::{FreshSqlite, amqp_url, fresh_postgres, http, own_name};
use crate::wait::until;

/// Bodies that cannot be taken, each with a part of the reason that must be given.
fn poisons() -> Vec<(Vec<u8>, &'static str)> {
    let event = |data: Value| submitted(&own_name("poison"), &data).to_string().into_bytes();
    let changed = |pointer: &str, value: Value| {
        let mut data = request("poison", 0);
        *data.pointer_mut(pointer).expect("there") = value;
        data
    };
    let without = |field: &str| {
        let mut data = request("poison", 0);
        data.as_object_mut().expect("an object").remove(field);
        data
    };
    let mut of_another_type = submitted(&own_name("poison"), &request("poison", 0));
    of_another_type["type"] = json!("uk.dovetail.request.exploded.v1");
    let mut without_id = submitted(&own_name("poison"), &request("poison", 0));
    without_id.as_object_mut().expect("an object").remove("id");
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels)).into_bytes();
    vec![
        (b"{\"specversion\": ".to_vec(), "JSON"),
        (b"hello".to_vec(), "JSON"),
        (b"{\"a\": \"\xff\xfe\"}".to_vec(), "UTF-8"),
        (deep(1000), "deep"),
        (deep(10_000), "deep"),
        (event(without("ticket")), "ticket"),
        (event(changed("/location/uprn", json!(10_008_049_175_u64))), "string"),
        (event(changed("/service", json!("waste.no-such-thing"))), "waste.missed-bin"),
        (event(changed("/raised_at", json!("yesterday"))), "RFC 3339"),
        (of_another_type.to_string().into_bytes(), "exploded"),
        (without_id.to_string().into_bytes(), "id"),
        (Vec::new(), ""),
    ]
}

/// XML that could make a careless reader read files, ask strangers, or never end.
fn malicious_xml() -> Vec<Vec<u8>> {
    let document = |doctype: &str, value: &str| {
        format!(
            "<?xml version=\"1.0\"?>{doctype}<ServiceNotification><EDI_DC40><DOCNUM>1</DOCNUM></EDI_DC40>\
             <E1NOTIF><QMNUM>{value}</QMNUM></E1NOTIF></ServiceNotification>"
        )
        .into_bytes()
    };
    let laughs = (1..10).fold("<!ENTITY l0 \"lol\">".to_owned(), |entities, n| {
        format!("{entities}<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))
    });
    vec![
        document("<!DOCTYPE a SYSTEM \"http://127.0.0.1:9/a.dtd\">", "1"),
        document("<!DOCTYPE a [<!ENTITY f SYSTEM \"file:///etc/passwd\">]>", "&f;"),
        document(&format!("<!DOCTYPE a [{laughs}]>"), "&l9;"),
        document("", "&unknown;"),
        document("", &"<a>".repeat(10_000)),
        b"<ServiceNotification><E1NOTIF>\xff\xfe</E1NOTIF></ServiceNotification>".to_vec(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_over_http_is_answered_with_a_problem_that_says_where_and_why() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 5).await;
    let program = council.start().await;
    let post = |body: Vec<u8>| {
        http()
            .post(program.url("/v1/requests"))
            .bearer_auth(KEY)
            .header("content-type", "application/cloudevents+json")
            .body(body)
    };
    for (body, part) in poisons() {
        let shown = String::from_utf8_lossy(&body).chars().take(600).collect::<String>();
        let answer = post(body).send().await.expect("an answer");
        assert_eq!(answer.status(), 422, "{shown}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = answer.json().await.expect("JSON");
        assert!(problem.to_string().contains(part), "{shown}: {problem}");
    }
    let large = post(vec![b' '; 16 * 1024 * 1024 + 1]).send().await.expect("an answer");
    assert_eq!(large.status(), 413);
    let stranger = http()
        .post(program.url("/v1/requests"))
        .bearer_auth("guess")
        .body("{}")
        .send()
        .await
        .expect("an answer");
    assert_eq!(stranger.status(), 401);
    let nowhere = http()
        .post(program.url("/v1/requests/no-crm"))
        .bearer_auth(KEY)
        .body("{}")
        .send()
        .await
        .expect("an answer");
    assert_eq!(nowhere.status(), 404);
    assert_eq!(http().get(program.url("/health/live")).send().await.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_on_the_queue_is_recorded_and_acknowledged_and_its_neighbours_close() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 6).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let tickets = council.open_simulated(poisons().len()).await;
    for ((body, _), (number, ticket)) in poisons().into_iter().zip(tickets.iter().enumerate()) {
        client.publish_bytes(&body, "application/cloudevents+json").await;
        client.publish(&submitted(&format!("good-{ticket}"), &request(ticket, number * 5))).await;
    }
    for body in malicious_xml() {
        client.publish_native("crm-sap", &body).await;
    }
    // A request that its mapping can make no call of.
    let mut lacking = request("CRM-LACKING", 0);
    lacking["location"].as_object_mut().expect("an object").remove("uprn");
    client.publish(&submitted("lacking", &lacking)).await;
    client.publish_bytes(&vec![b'['; 64 * 1024 * 1024], "application/cloudevents+json").await;
    client
        .listen("every good ticket closed", |client| client.heard("ticket.closed").len() >= tickets.len())
        .await;
    client.listen("rejections of known tickets", |client| client.heard("request.rejected").len() >= 5).await;
    // The largest one too, which is the last.
    let all = (poisons().len() + malicious_xml().len()) as u64 + 1;
    until("every poison recorded", Duration::from_secs(120), async || {
        (counts(&ledger).await.refused == all).then_some(())
    })
    .await;
    let problems = dovetail(&["problems", "--database", &ledger, "--output", "json"]).await;
    assert!(problems.status.success(), "{}", String::from_utf8_lossy(&problems.stderr));
    let told = String::from_utf8_lossy(&problems.stdout);
    assert!(told.contains("UTF-8") && !told.contains("root:"), "{told}");
    assert!(told.contains("CRM-LACKING") && told.contains("location.uprn: is absent"), "{told}");
    assert_eq!(client.queue("intake").await.0, 0, "all were acknowledged");
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_proves_nothing_or_says_nothing_is_refused_and_an_unknown_job_is_kept() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 7).await;
    let program = council.start().await;
    let poke = |secret: &str, entity: &str| {
        format!(
            r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:web="https://www.jadu.net/hubis/webservices"><soapenv:Body><web:WorksheetPoke><secret>{secret}</secret><worksheetId>2006</worksheetId><worksheetReference>CRM-707</worksheetReference><status>Not Out{entity}</status><completedDate>2024-10-02T06:46:12</completedDate></web:WorksheetPoke></soapenv:Body></soapenv:Envelope>"#
        )
    };
    let post = |path: &str, body: String| {
        http().post(program.url(path)).header("content-type", "text/xml").body(body).send()
    };
    let wrong = post("/callbacks/waste", poke("guess", "")).await.expect("an answer");
    assert_eq!(wrong.status(), 401);
    assert!(!wrong.text().await.expect("text").contains("guess"));
    for bad in ["", "<", "<html><body>Sign in</body></html>", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"] {
        let answer = post("/callbacks/waste", bad.to_owned()).await.expect("an answer");
        assert!([400, 401].contains(&answer.status().as_u16()), "{bad}: {}", answer.status());
    }
    let secret = council.callback_secret();
    let entity = post("/callbacks/waste", poke(&secret, "&bomb;")).await.expect("an answer");
    assert!([400, 401].contains(&entity.status().as_u16()), "{}", entity.status());
    // The waste system does not know worksheet 2006 either, so the poke cannot be read back and is to be sent again.
    let unknown = post("/callbacks/waste", poke(&secret, "")).await.expect("an answer");
    assert!(unknown.status().is_success() || unknown.status() == 503, "{}", unknown.status());

    let body = json!({"update_id": "U-9", "service_request_id": "404", "status": "fixed",
                      "updated_datetime": "2026-11-22T10:00:00Z", "description": "Done"})
    .to_string();
    let signed = council.signed_by_partner(&body);
    let mut orphan =
        http().post(program.url("/callbacks/partner")).header("content-type", "application/json").body(body);
    for (name, value) in signed {
        orphan = orphan.header(name, value);
    }
    assert_eq!(orphan.send().await.expect("an answer").status(), 200);
    assert_eq!(counts(&database.url()).await.waiting, 1, "an orphan is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_a_sender_uses_again_for_another_ticket_is_refused_and_kept() {
    let database = FreshSqlite::new();
    let council = Council::without_broker(&database.url(), 6).await;
    let program = council.start().await;
    let post = async |ticket: &str| {
        let event = submitted("counter-1", &request(ticket, 0)).to_string();
        let post = http().post(program.url("/v1/requests")).bearer_auth(KEY);
        let post = post.header("content-type", "application/cloudevents+json").body(event);
        let answer = post.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    assert_eq!(post("USED-1").await.0, 202);
    assert_eq!(post("USED-1").await.0, 200, "the same event again");
    for ticket in ["USED-2", "USED-3", "USED-2"] {
        let (status, problem) = post(ticket).await;
        assert_eq!((status, &problem["path"]), (422, &"id".into()), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|why| why.contains("used before")), "{problem}");
    }
    let (refused, _) = (counts(&database.url()).await.refused, program.stop().await);
    assert_eq!(refused, 2, "each ticket once");
}
