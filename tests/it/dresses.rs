//! One request in every dress that the SDKs, frameworks and tools of others give it: packed, marked, labelled, or not.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::council::{Council, Crm, request, submitted};
use crate::journeys::counts;
use crate::messages::Dress;
use crate::program::dovetail;
use crate::services::{amqp_url, fresh_postgres};
use crate::wait::until;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(body).expect("packed");
    packer.finish().expect("packed")
}

/// The bytes of an event and what its client says of them.
fn dresses(event: &Value) -> Vec<(Vec<u8>, Dress<'static>)> {
    let body = event.to_string().into_bytes();
    let structured = Some("application/cloudevents+json");
    let plain = |content_type| Dress { content_type, ..Dress::default() };
    let encoded = |content_type, content_encoding| Dress {
        content_type,
        content_encoding: Some(content_encoding),
        headers: Vec::new(),
    };
    let data = event["data"].to_string().into_bytes();
    let binary = |prefix: &str, time: Value| {
        let headers = ["specversion", "id", "source", "type"].map(|name| (name, event[name].clone()));
        let headers = headers.into_iter().chain([("time", time)]);
        // The names live as long as the test.
        let headers = headers.map(|(name, value)| (&*format!("{prefix}{name}").leak(), value));
        Dress { content_type: Some("application/json"), content_encoding: None, headers: headers.collect() }
    };
    let utf16: Vec<u8> = event.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        (body.clone(), plain(Some("text/plain"))),
        (gzip(&body), encoded(structured, "gzip")),
        (body.clone(), plain(Some("application/cloudevents+json; charset=utf-8"))),
        (body.clone(), plain(None)),
        ([b"\xef\xbb\xbf", &body[..]].concat(), plain(structured)),
        (body.clone(), encoded(structured, "utf-8")),
        (utf16, encoded(structured, "utf-16")),
        (gzip(&body), plain(structured)),
        (data.clone(), binary("cloudEvents:", json!("2026-11-22T09:15:00Z"))),
        (data.clone(), binary("cloudEvents_", json!(1_795_335_300_000_i64))),
        (
            gzip(&data),
            Dress { content_encoding: Some("gzip"), ..binary("ce-", json!({"timestamp": 1_795_335_300})) },
        ),
        (data, Dress { content_type: None, ..binary("ce-", json!("2026-11-22T09:15:00Z")) }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dress_of_a_request_is_taken_and_what_cannot_be_unpacked_costs_only_itself() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 8).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let count = dresses(&json!({})).len();
    let tickets = council.open_simulated(count).await;
    let bomb = gzip(&vec![b' '; 200 << 20]);
    for (number, ticket) in tickets.iter().enumerate() {
        let event = submitted(&format!("dress-{ticket}"), &request(ticket, number * 5));
        let (body, dress) = dresses(&event).swap_remove(number);
        client.publish_dressed("harlow.request.submitted", &body, &dress).await;
        let packed = Dress { content_encoding: Some("gzip"), ..Dress::default() };
        client.publish_dressed("harlow.request.submitted", &bomb, &packed).await;
    }
    let event = |ticket: &str| submitted(&format!("bad-{ticket}"), &request(ticket, 0)).to_string();
    let named = |content_encoding| Dress { content_encoding: Some(content_encoding), ..Dress::default() };
    let whole = gzip(event("CRM-CUT").as_bytes());
    for (body, coding) in [
        (event("CRM-BROTLI").into_bytes(), "br"),
        (event("CRM-PLAIN").into_bytes(), "gzip"),
        (whole[..whole.len() - 6].to_vec(), "gzip"),
    ] {
        client.publish_dressed("harlow.request.submitted", &body, &named(coding)).await;
    }
    client.listen("every ticket", |client| client.heard("ticket.closed").len() >= tickets.len()).await;
    client.listen("whose ticket it is", |client| client.heard("request.rejected").len() >= 3).await;
    // The bomb is one body, however often it comes.
    until("all refusals", Duration::from_secs(60), async || {
        (counts(&ledger).await.refused == 4).then_some(())
    })
    .await;
    let problems = dovetail(&["problems", "--database", &ledger, "--output", "json"]).await;
    let told = String::from_utf8_lossy(&problems.stdout);
    for part in ["CRM-BROTLI", "CRM-PLAIN", "CRM-CUT", "packed as \\\"br\\\"", "larger than it may be"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_native_form_of_a_crm_is_read_in_its_own_character_set_and_unpacked() {
    let ledger = fresh_postgres().await;
    let council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 9).await;
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let form = |number: u32, declared: &str| {
        format!(
            "<?xml version=\"1.0\"{declared}?><ServiceNotification><EDI_DC40><DOCNUM>{number}</DOCNUM></EDI_DC40>\
             <E1NOTIF><QMNUM>{number}</QMNUM><QMTXT>Café £</QMTXT><QMGRP>WASTE</QMGRP><QMCOD>MBIN</QMCOD>\
             <IWERK>HARL</IWERK><ERDAT>20260702</ERDAT><ERZEIT>091500</ERZEIT><UPRN>10008049175</UPRN>\
             </E1NOTIF></ServiceNotification>"
        )
    };
    let latin1 =
        |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect::<Vec<u8>>();
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let xml = |content_type| Dress { content_type: Some(content_type), ..Dress::default() };
    let dresses = [
        (latin1(&form(1, " encoding=\"iso-8859-1\"")), xml("application/xml")),
        (latin1(&form(2, "")), xml("text/xml; charset=windows-1252")),
        (latin1(&form(3, "")), Dress { content_encoding: Some("iso-8859-1"), ..xml("text/xml") }),
        (wide(&form(4, " encoding=\"utf-16\"")), xml("application/xml")),
        (
            gzip(&latin1(&form(5, " encoding=\"iso-8859-1\""))),
            Dress { content_encoding: Some("gzip"), ..xml("text/xml") },
        ),
        ([b"\xef\xbb\xbf", form(6, "").as_bytes()].concat(), xml("application/xml")),
    ];
    for (body, dress) in &dresses {
        client.publish_dressed("native.crm-sap", body, dress).await;
    }
    client.listen("every ticket", |client| client.heard("ticket.accepted").len() >= dresses.len()).await;
    assert_eq!(counts(&ledger).await.refused, 0);
    assert!(program.stop().await.success());
}
