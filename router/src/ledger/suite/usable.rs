//! Nothing that is taken in is later unusable: whatever stands in it, it can be kept, published, shown, and sent on.

use mappings::bounds::Bounds;
use mappings::domain::{OneLine, Operation, is_harmful};
use mappings::mapping::{Facts, context};
use serde_json::{Value, json};

use super::fixture::at;
use super::{Fixture, both};
use crate::envelope::{self, STRUCTURED};
use crate::event::Event;
use crate::intake::{self, Message};
use crate::ledger::{Accepted, Work};
use crate::{library, timeline};

/// Texts that one part or another of the way could choke on.
fn evils() -> Vec<String> {
    let mut evils = [
        "a\u{0}b",
        "a\nb",
        "a\r\nInjected: yes",
        "\u{1b}[2J",
        "\u{7f}\u{9b}",
        "é",
        "\u{fffd}\u{ffff}",
        "\u{202e}abc",
        "\u{2028}",
        "🚲",
        "=1+1",
        "<script>&amp;]]>",
        "%00%0d%0a",
        "'; drop table requests; --",
        "{$.ticket}",
        "\\u0000",
        "00-00",
        "..",
        "a/b?c#d",
        "\u{feff}",
        " ",
    ]
    .map(str::to_owned)
    .to_vec();
    evils.push("long ".repeat(2_000));
    evils
}

/// A request with `evil` at each of its places: in attributes, extensions, headers and every text of its data.
fn messages(number: usize, evil: &str) -> Vec<(Value, Vec<(String, String)>)> {
    let texts = [
        "/ticket",
        "/channel",
        "/raised_by",
        "/summary",
        "/customer/reference",
        "/customer/title",
        "/customer/forename",
        "/customer/surname",
        "/customer/email",
        "/customer/phone",
        "/customer/needs/0",
        "/customer/sharing/basis",
        "/location/description",
        "/location/address/lines/0",
        "/location/address/postcode",
        "/attachments/0/href",
        "/attachments/0/media_type",
        "/details/notes",
        "/details/container",
    ];
    let attributes = [
        "id",
        "source",
        "type",
        "subject",
        "correlationid",
        "traceparent",
        "tracestate",
        "myextension",
        "time",
    ];
    let event = |place: &str| {
        json!({"specversion": "1.0", "id": format!("{number}-{place}"), "source": "/crm/harlow",
            "type": "uk.dovetail.request.submitted.v1",
            "data": {"ticket": format!("CRM-{number}{}", place.replace('/', "-")), "council": "harlow",
                "service": "waste.missed-bin", "channel": "phone", "raised_at": "2026-11-22T09:15:00Z",
                "raised_by": "A", "summary": "Bin missed",
                "customer": {"reference": "1", "title": "Dr", "forename": "Jo", "surname": "Lamb",
                    "email": "a@example.org", "phone": "1", "needs": ["large print"], "sharing": {"basis": "x"}},
                "location": {"uprn": "10008049175", "description": "gate",
                    "address": {"lines": ["1 Road"], "postcode": "CM20 1AA"}},
                "details": {"container": "refuse", "notes": "n"},
                "attachments": [{"href": "https://example.org/a", "media_type": "image/png"}]}})
    };
    let mut messages = Vec::new();
    for place in texts {
        let mut message = event(place);
        message["data"].pointer_mut(place).map(|value| *value = json!(evil)).expect("there");
        messages.push((message, Vec::new()));
    }
    for attribute in attributes {
        let mut message = event(attribute);
        message[attribute] = json!(evil);
        messages.push((message, Vec::new()));
        let headers = vec![
            (format!("cloudEvents:{attribute}"), evil.to_owned()),
            (attribute.to_owned(), evil.to_owned()),
        ];
        messages.push((event(&format!("{attribute}-header")), headers));
    }
    let mut named = event("name");
    named["data"]["details"][evil] = json!(evil);
    messages.push((named, Vec::new()));
    messages
}

fn received(message: &Value, headers: &[(String, String)]) -> Message {
    let read = Message::read("amqp", message.to_string().as_bytes(), |body| {
        envelope::from_amqp(Some(STRUCTURED), headers, body, &Bounds::default())
    });
    let trace = headers.iter().find(|(name, _)| name == "traceparent");
    Message { traceparent: trace.and_then(|(_, value)| envelope::traceparent(value.clone())), ..read }
}

fn published(event: &Event) {
    let text = event.to_cloudevent();
    let read: Value = serde_json::from_slice(&text).expect("an event is JSON");
    assert_eq!(event.check(), Ok(()));
    assert_eq!(
        read["council"],
        event.council.as_ref().map_or(Value::Null, |council| json!(council.as_str()))
    );
    let key = event.routing_key();
    assert!(key.len() <= 255 && key.is_ascii() && !key.chars().any(is_harmful), "{key}");
    if let Some(traceparent) = &event.traceparent {
        assert!(http_can_carry(traceparent), "{traceparent}");
    }
}

fn http_can_carry(value: &str) -> bool {
    axum::http::HeaderValue::from_str(value).is_ok()
}

/// The calls that the shipped mapping makes of it.
fn sent(work: &Work, catalogue: &mappings::mapping::Catalogue) {
    let system = catalogue.system(&work.system).expect("a shipped system");
    let steps = system.operation(&work.service, Operation::Create).expect("it takes orders");
    let facts = Facts {
        key: Some(work.call),
        request: Some(work.request),
        handover: Some(work.handover),
        operation: Some(work.operation),
        traceparent: work.traceparent.clone(),
        ..Facts::at(at(0))
    };
    let step = steps.steps.first().expect("a step");
    match step.render(&context(&work.document, &facts)) {
        Ok(rendered) => {
            let call = connectors::preview(system, &rendered.call);
            assert!(!call.starts_with("cannot be sent"), "{}: {call}", work.ticket);
        }
        // A word that the mapping does not know is for a person, who is told which.
        Err(error) => assert!(work.ticket.as_str().contains("details-container"), "{}: {error}", work.ticket),
    }
    assert!(work.traceparent.as_deref().is_none_or(http_can_carry));
}

both! {
    async fn whatever_is_taken_can_be_kept_published_shown_and_sent_on(fixture: &Fixture) {
        let sources = library::read(None).expect("the shipped mappings");
        let catalogue = library::compile(&sources, &library::placeholder).expect("compiled");
        let (mut taken, mut refused) = (0, 0);
        for (number, evil) in evils().iter().enumerate() {
            for (message, headers) in messages(number, evil) {
                for understood in intake::read(received(&message, &headers), &catalogue, at(60)) {
                    let arrival = match understood {
                        Ok(arrival) => arrival,
                        Err(refusal) => {
                            refused += 1;
                            for line in [Some(&refusal.reason), refusal.path.as_ref()].into_iter().flatten() {
                                assert!(line.as_str().chars().count() <= OneLine::LONGEST);
                                assert!(!line.as_str().chars().any(is_harmful), "{line}");
                            }
                            let written = fixture.ledger.refuse(&[*refusal], &fixture.lessee).await.expect("kept");
                            written.events.iter().for_each(published);
                            continue;
                        }
                    };
                    taken += 1;
                    let ticket = arrival.subject().1.clone();
                    let written = fixture.accept(std::slice::from_ref(&arrival)).await;
                    let accepted = written.replies[0].as_ref().expect("it can be kept");
                    assert!(matches!(accepted, Accepted::New(_) | Accepted::DuplicateTicket(_)), "{message}");
                    written.events.iter().for_each(published);
                    written.work.iter().for_each(|work| sent(work, &catalogue));
                    let again = fixture.accept(&[arrival]).await;
                    assert!(matches!(again.replies[0], Ok(Accepted::DuplicateDelivery)), "{message}");
                    let history = fixture.history(ticket.as_str()).await;
                    assert!(!timeline::tell(&history, &catalogue, at(120)).headline.is_empty());
                }
            }
        }
        assert!(taken > 300 && refused > 30, "{taken} {refused}");
        let problems = fixture.ledger.problems(1_000).await.expect("problems");
        assert!(!problems.is_empty());
    }
}
