//! Every form of every mode, and every way to get one wrong.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mappings::bounds::{Bounds, Excess};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn event() -> Value {
    json!({"specversion": "1.0", "id": "e-1", "source": "/crm/harlow",
           "type": "uk.dovetail.request.submitted.v1", "subject": "CRM-1", "time": "2026-11-22T09:15:00+01:00",
           "traceparent": TRACE, "correlationid": "c-1", "datacontenttype": "application/json",
           "data": {"ticket": "CRM-1"}})
}

fn envelope() -> Envelope {
    Envelope {
        id: "e-1".to_owned(),
        source: "/crm/harlow".to_owned(),
        kind: "uk.dovetail.request.submitted.v1".to_owned(),
        subject: Some("CRM-1".to_owned()),
        time: Some("2026-11-22T08:15:00Z".parse().unwrap()),
        traceparent: Some(TRACE.to_owned()),
        correlationid: Some("c-1".to_owned()),
        data: Data::Json(json!({"ticket": "CRM-1"})),
    }
}

fn amqp(content_type: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Delivery, Error> {
    let headers: Vec<_> = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    from_amqp(Some(content_type), &headers, body, &Bounds::default())
}

fn http(headers: &[(&str, &str)], body: &[u8]) -> Result<Delivery, Error> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(k, v)| (k.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap()))
        .collect();
    from_http(&headers, body, &Bounds::default())
}

fn structured(event: &Value) -> Result<Envelope, Error> {
    one(amqp(STRUCTURED, &[], event.to_string().as_bytes()))
}

fn one(delivery: Result<Delivery, Error>) -> Result<Envelope, Error> {
    match delivery? {
        Delivery::Event(envelope) => Ok(envelope),
        other @ (Delivery::Events(_) | Delivery::Foreign { .. }) => panic!("expected one event: {other:?}"),
    }
}

/// The event with one member replaced, or taken out.
fn with(name: &str, value: Option<Value>) -> Value {
    let mut event = event();
    match value {
        Some(value) => event[name] = value,
        None => drop(event.as_object_mut().unwrap().remove(name)),
    }
    event
}

#[test]
fn a_structured_event_reads_alike_over_both_transports() {
    let body = event().to_string();
    assert_eq!(structured(&event()), Ok(envelope()));
    let http = http(&[("content-type", "application/cloudevents+json; charset=utf-8")], body.as_bytes());
    assert_eq!(one(http), Ok(envelope()));
}

#[test]
fn a_binary_event_over_amqp_may_prefix_its_attributes_as_any_sdk_does() {
    for prefix in ["cloudEvents:", "cloudEvents_", "CLOUDEVENTS_", "ce-", "ce_"] {
        let name = |attribute: &str| format!("{prefix}{attribute}");
        let names =
            ["specversion", "id", "source", "type", "subject", "time", "traceparent", "correlationid"]
                .map(|attribute| (name(attribute), event()[attribute].as_str().unwrap().to_owned()));
        let headers: Vec<_> = names.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let read = amqp("application/json", &headers, br#"{"ticket": "CRM-1"}"#);
        assert_eq!(one(read), Ok(envelope()));
    }
}

#[test]
fn a_binary_event_over_http_has_its_attributes_decoded() {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e-1"),
        ("ce-source", "/crm/harlow"),
        ("ce-type", "uk.dovetail.request.submitted.v1"),
        ("ce-subject", "Caf%C3%A9%20row"),
        ("traceparent", TRACE),
        ("content-type", "text/plain"),
    ];
    let read = one(http(&headers, b"hello")).unwrap();
    assert_eq!(read.subject.as_deref(), Some("Café row"));
    assert_eq!(read.traceparent.as_deref(), Some(TRACE));
    let data = Data::Bytes { content_type: "text/plain".to_owned(), bytes: b"hello".to_vec() };
    assert_eq!(read.data, data);
}

#[test]
fn a_batch_over_http_keeps_its_order_and_names_the_event_that_is_wrong() {
    let headers = [("content-type", BATCH)];
    let good = json!([event(), with("id", Some(json!("e-2")))]);
    let Ok(Delivery::Events(events)) = http(&headers, good.to_string().as_bytes()) else { panic!() };
    assert_eq!(events.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["e-1", "e-2"]);
    let bad = json!([event(), with("source", None)]);
    let error = http(&headers, bad.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.path().as_deref(), Some("[1].source"));
    let empty = http(&headers, b"[]");
    assert_eq!(empty, Ok(Delivery::Events(Vec::new())));
}

#[test]
fn a_batch_over_amqp_is_refused_since_one_acknowledgement_cannot_speak_for_many() {
    let error = amqp(BATCH, &[], b"[]").unwrap_err();
    assert!(error.to_string().contains("one event a message"), "{error}");
}

#[test]
fn what_is_written_reads_back_the_same() {
    assert_eq!(structured(&envelope().to_json()), Ok(envelope()));
    let data = Data::Bytes { content_type: "image/jpeg".to_owned(), bytes: vec![0xff, 0xd8, 0] };
    let picture = Envelope { data, subject: None, time: None, ..envelope() };
    assert_eq!(structured(&picture.to_json()), Ok(picture));
}

#[test]
fn data_in_base64_is_decoded_and_read_as_json_where_it_says_so() {
    let mut event = with("data", None);
    event["data_base64"] = json!("eyJ0aWNrZXQiOiAiQ1JNLTEifQ==");
    assert_eq!(structured(&event), Ok(envelope()));
    event["data_base64"] = json!("e30x");
    let error = structured(&event).unwrap_err();
    assert_eq!(error.path().as_deref(), Some("data_base64"));
    assert!(matches!(error, Error::NotJson { line: 1, column: 3, .. }), "{error}");
    event["data_base64"] = json!("%%");
    assert_eq!(structured(&event).unwrap_err().path().as_deref(), Some("data_base64"));
    event["data_base64"] = json!(7);
    assert!(structured(&event).unwrap_err().to_string().contains("a number"));
    event["data_base64"] = json!("e30=");
    event["data"] = json!({});
    assert!(structured(&event).unwrap_err().to_string().contains("beside"));
}

#[test]
fn data_in_base64_without_a_content_type_is_json() {
    let mut event = with("datacontenttype", None);
    event.as_object_mut().unwrap().remove("data");
    event["data_base64"] = json!("eyJ0aWNrZXQiOiAiQ1JNLTEifQ==");
    assert_eq!(structured(&event), Ok(envelope()));
    event["data_base64"] = json!(STANDARD.encode([0xff, 0xd8, 0]));
    assert_eq!(structured(&event), Err(Error::NotUtf8 { at: 0, byte: 0xff }));
}

/// The attributes of a binary event with its time in another form.
fn timed(time: &str) -> Result<Envelope, Error> {
    let headers = [
        ("cloudEvents_specversion", "1.0"),
        ("cloudEvents_id", "e-1"),
        ("cloudEvents_source", "/crm/harlow"),
        ("cloudEvents_type", "t"),
        ("cloudEvents_time", time),
    ];
    one(amqp("application/json", &headers, b"{}"))
}

#[test]
fn a_time_over_amqp_may_be_a_number_of_seconds_or_of_any_part_of_them() {
    let expected: jiff::Timestamp = "2026-11-22T08:15:00Z".parse().unwrap();
    for time in [
        "2026-11-22T08:15:00Z",
        "2026-11-22T09:15:00.000+01:00",
        "1795335300",
        "1795335300.0",
        "1795335300000",
        "1795335300000000",
        "1795335300000000000",
    ] {
        assert_eq!(timed(time).map(|read| read.time), Ok(Some(expected)), "{time}");
    }
    for time in ["2026", "-1795335300", "1795335300.", "99999999999999999999", "1e9", "17953353OO"] {
        assert_eq!(timed(time).unwrap_err().path().as_deref(), Some("time"), "{time}");
    }
    let number = with("time", Some(json!(1_795_335_300)));
    assert_eq!(structured(&number).unwrap_err().path().as_deref(), Some("time"), "in JSON it is a text");
}

#[test]
fn an_attribute_that_may_be_absent_and_is_empty_counts_as_absent() {
    for attribute in ["subject", "time", "correlationid", "datacontenttype"] {
        let read = structured(&with(attribute, Some(json!("")))).unwrap();
        assert_eq!(read, structured(&with(attribute, None)).unwrap(), "{attribute}");
    }
}

#[test]
fn an_event_is_read_in_whatever_character_set_it_comes() {
    let event = with("data", Some(json!({"ticket": "CRM-1", "summary": "Zoë’s gate: £5"})));
    let expected = structured(&event).unwrap();
    let text = event.to_string();
    let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
    let cp1252 = encoding_rs::WINDOWS_1252.encode(&text).0.into_owned();
    for (charset, body) in [
        ("", text.as_bytes().to_vec()),
        ("; charset=utf-8", text.as_bytes().to_vec()),
        ("; charset=klingon", text.as_bytes().to_vec()),
        ("; charset=iso-8859-1", text.as_bytes().to_vec()),
        ("", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("", little.clone()),
        ("", [b"\xff\xfe", &little[..]].concat()),
        ("; charset=utf-16", big.clone()),
        ("; charset=utf-16", [b"\xfe\xff", &big[..]].concat()),
        ("; charset=Windows-1252", cp1252),
    ] {
        for media in [STRUCTURED, "text/plain", "application/json"] {
            let read = one(amqp(&format!("{media}{charset}"), &[], &body));
            assert_eq!(read.as_ref(), Ok(&expected), "{media}{charset}");
        }
        let seen = Glimpse::of(&body);
        assert!(seen.is_event && seen.ticket.is_some(), "{charset}");
    }
}

#[test]
fn a_body_in_a_character_set_that_it_is_not_in_is_refused() {
    let error = amqp(&format!("{STRUCTURED}; charset=shift_jis"), &[], b"{\"id\": \"\xff\"}").unwrap_err();
    assert!(error.to_string().contains("not valid Shift_JIS"), "{error}");
    let error = amqp(&format!("{STRUCTURED}; charset=klingon"), &[], b"{\"id\": \"\xff\"}").unwrap_err();
    assert_eq!(error, Error::NotUtf8 { at: 8, byte: 0xff });
}

#[test]
fn a_content_type_that_says_nothing_leaves_it_to_the_body() {
    let headers = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/a"), ("ce-type", "t")];
    for said in ["text/plain; charset=utf-8", "application/octet-stream", "*/*", "", "application/json"] {
        let read = one(amqp(said, &headers, br#"{"ticket": "CRM-1"}"#)).unwrap();
        assert_eq!(read.data, Data::Json(json!({"ticket": "CRM-1"})), "{said}");
    }
    let read = one(amqp("text/plain", &headers, b"hello")).unwrap();
    assert_eq!(read.data, Data::Bytes { content_type: "text/plain".to_owned(), bytes: b"hello".to_vec() });
    for said in ["text/plain", "application/octet-stream", "application/xml", "image/png", ""] {
        assert_eq!(one(amqp(said, &[], event().to_string().as_bytes())), Ok(envelope()), "{said}");
    }
    let named = [&headers[..], &[("ce-datacontenttype", "application/xml")]].concat();
    let read = one(amqp("", &named, b"<a/>")).unwrap();
    assert_eq!(
        read.data,
        Data::Bytes { content_type: "application/xml".to_owned(), bytes: b"<a/>".to_vec() }
    );
}

#[test]
fn headers_that_only_look_like_attributes_make_no_event() {
    let read = amqp("application/json", &[("ce_tenant", "7"), ("ce-note", "x")], b"{}");
    assert!(matches!(read, Ok(Delivery::Foreign { .. })), "{read:?}");
}

#[test]
fn data_that_is_text_of_another_kind_stays_text() {
    let mut event = event();
    event["datacontenttype"] = json!("application/xml");
    event["data"] = json!("<a/>");
    let data = Data::Bytes { content_type: "application/xml".to_owned(), bytes: b"<a/>".to_vec() };
    assert_eq!(structured(&event).unwrap().data, data);
}

#[test]
fn an_event_without_data_carries_null() {
    assert_eq!(structured(&with("data", None)).unwrap().data, Data::Json(Value::Null));
}

#[test]
fn an_event_without_its_content_type_is_known_by_its_specversion() {
    let body = event().to_string().into_bytes();
    assert_eq!(one(from_amqp(None, &[], &body, &Bounds::default())), Ok(envelope()));
    assert_eq!(one(amqp("application/json", &[], &body)), Ok(envelope()));
}

#[test]
fn a_message_without_any_mark_is_foreign_and_stays_as_it_came() {
    for (content_type, body) in [
        ("application/json", r#"{"Ticket": {"id": 7, "note": "about \"specversion\""}}"#),
        ("application/xml", "<Notification/>"),
        ("application/json", "{cut short"),
    ] {
        let foreign = Delivery::Foreign {
            content_type: Some(content_type.to_owned()),
            bytes: body.as_bytes().to_vec(),
        };
        assert_eq!(amqp(content_type, &[("tenant", "7")], body.as_bytes()), Ok(foreign.clone()));
        assert_eq!(http(&[("content-type", content_type)], body.as_bytes()), Ok(foreign));
    }
}

#[test]
fn a_missing_attribute_is_named_with_what_is_expected() {
    for attribute in ["specversion", "id", "source", "type"] {
        for value in [None, Some(Value::Null)] {
            let error = structured(&with(attribute, value)).unwrap_err();
            assert!(matches!(error, Error::Missing { .. }), "{error}");
            assert_eq!(error.path().as_deref(), Some(attribute));
        }
    }
}

#[test]
fn a_wrong_attribute_is_named_with_what_was_found_and_what_is_expected() {
    for (attribute, value, found) in [
        ("specversion", json!("0.3"), "\"0.3\""),
        ("id", json!(7), "a number"),
        ("id", json!(""), "\"\""),
        ("source", json!("two words"), "\"two words\""),
        ("type", json!(["a"]), "an array"),
        ("subject", json!({}), "an object"),
        ("time", json!("yesterday"), "\"yesterday\""),
        ("datacontenttype", json!(true), "a boolean"),
    ] {
        let error = structured(&with(attribute, Some(value))).unwrap_err();
        assert_eq!(error.path().as_deref(), Some(attribute));
        assert!(error.to_string().contains(found), "{error}");
        assert!(error.to_string().contains("expected"), "{error}");
    }
}

#[test]
fn a_malformed_trace_is_left_out_and_the_event_is_taken() {
    for trace in [
        "",
        "00-zz",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx-evil: 1",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-\n",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-é",
    ] {
        assert_eq!(traceparent(trace.to_owned()), None, "{trace}");
        let mut event = with("traceparent", Some(json!(trace)));
        assert_eq!(structured(&event).unwrap().traceparent, None);
        event["traceparent"] = json!(5);
        let read = one(amqp(STRUCTURED, &[("traceparent", TRACE)], event.to_string().as_bytes()));
        assert_eq!(read.unwrap().traceparent.as_deref(), Some(TRACE));
    }
    let later = format!("01{}-more", &TRACE[2..]);
    assert_eq!(traceparent(later.clone()), Some(later));
}

#[test]
fn a_body_that_is_too_large_is_refused_unread() {
    let body = vec![b'['; 64];
    let bounds = |bytes| Bounds { bytes, ..Bounds::default() };
    let error = from_amqp(Some(STRUCTURED), &[], &body, &bounds(64)).unwrap_err();
    assert_eq!(error, Error::Excess(Excess::Bytes { found: 64, limit: 64 }));
    assert_eq!(
        from_http(&HeaderMap::new(), &body, &bounds(10)).unwrap_err(),
        Error::Excess(Excess::Bytes { found: 64, limit: 10 })
    );
}

#[test]
fn a_body_that_is_not_utf_8_is_refused_with_the_place_of_the_byte() {
    let error = amqp(STRUCTURED, &[], b"{\"id\": \"caf\xe9\"}").unwrap_err();
    assert_eq!(error, Error::NotUtf8 { at: 11, byte: 0xe9 });
    assert!(error.to_string().contains("byte 11 (0xe9)"), "{error}");
}

#[test]
fn a_body_that_is_not_json_is_refused_with_line_and_column() {
    for (body, line, column) in [("{\n  \"id\" 1}", 2, 8), ("", 1, 0), ("{} {}", 1, 4), ("<a/>", 1, 1)] {
        let error = amqp(STRUCTURED, &[], body.as_bytes()).unwrap_err();
        let Error::NotJson { line: found_line, column: found_column, reason, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((*found_line, *found_column), (line, column), "{body:?}");
        assert!(!reason.contains(" at line"), "{reason}");
    }
}

#[test]
fn a_body_nested_too_deep_or_of_too_many_values_is_refused_in_every_mode_before_it_is_built() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let many = format!("[{}0]", "[],".repeat(200_000));
    let marks = [
        ("cloudEvents:specversion", "1.0"),
        ("cloudEvents:id", "1"),
        ("cloudEvents:source", "/a"),
        ("cloudEvents:type", "t"),
    ];
    for (media, headers) in [(STRUCTURED, &[][..]), ("application/json", &marks)] {
        for levels in [65, 1_000, 100_000] {
            let error = amqp(media, headers, nested(levels).as_bytes()).unwrap_err();
            assert_eq!(error, Error::Excess(Excess::Depth { found: levels, limit: 64, line: 1 }));
        }
        let error = amqp(media, headers, many.as_bytes()).unwrap_err();
        assert_eq!(error, Error::Excess(Excess::Nodes { found: 200_002, limit: 100_000 }));
    }
    let error = http(&[("content-type", BATCH)], many.as_bytes()).unwrap_err();
    assert_eq!(error, Error::Excess(Excess::Nodes { found: 200_002, limit: 100_000 }));
    let mut inner = with("data_base64", Some(json!(STANDARD.encode(nested(65)))));
    inner.as_object_mut().unwrap().remove("data");
    let error = structured(&inner).unwrap_err();
    assert_eq!(error, Error::Excess(Excess::Depth { found: 65, limit: 64, line: 1 }));
    let error = amqp(STRUCTURED, &[], nested(64).as_bytes()).unwrap_err();
    assert!(matches!(error, Error::Shape { found: "an array", .. }), "{error}");
}

#[test]
fn a_cloudevents_format_that_is_not_spoken_here_is_named() {
    let error = amqp("application/cloudevents+xml", &[], b"<event/>").unwrap_err();
    assert_eq!(error.path().as_deref(), Some("content-type"));
    assert!(error.to_string().contains("application/cloudevents+xml"), "{error}");
}

#[test]
fn a_binary_event_with_a_broken_body_is_refused() {
    let headers = [
        ("cloudEvents:specversion", "1.0"),
        ("cloudEvents:id", "1"),
        ("cloudEvents:source", "/a"),
        ("cloudEvents:type", "t"),
    ];
    assert!(matches!(amqp("application/json", &headers, b"{").unwrap_err(), Error::NotJson { .. }));
    let without_id = [headers[0], headers[2], headers[3]];
    assert_eq!(amqp("application/json", &without_id, b"{}").unwrap_err().path().as_deref(), Some("id"));
    assert_eq!(one(amqp("application/json", &headers, b"")).unwrap().data, Data::Json(Value::Null));
}

#[test]
fn a_body_has_the_same_digest_whenever_it_comes() {
    assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_ne!(digest(b"a"), digest(b"b"));
}

proptest! {
    #[test]
    fn no_bytes_whatever_make_it_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        media in proptest::sample::select(vec![STRUCTURED, BATCH, "application/json", "a/b", "", ";é"]),
        headers in proptest::collection::vec(("(cloudEvents[:_])?[a-zé]{0,12}", ".{0,20}"), 0..6),
    ) {
        let read = from_amqp(Some(media), &headers, &body, &Bounds::default());
        prop_assert!(read.is_ok() || !read.unwrap_err().to_string().is_empty());
        let headers: HeaderMap = headers
            .iter()
            .filter_map(|(k, v)| Some((format!("ce-{k}").parse::<HeaderName>().ok()?, v.parse().ok()?)))
            .collect();
        Glimpse::of(&body);
        let _ = from_http(&headers, &body, &Bounds::default()).map_err(|error| (error.to_string(), error.path()));
    }

    #[test]
    fn any_document_as_an_event_is_read_or_refused_with_a_reason(
        name in prop_oneof![
            Just("specversion"), Just("id"), Just("source"), Just("type"), Just("subject"), Just("time"),
            Just("traceparent"), Just("correlationid"), Just("datacontenttype"), Just("data"), Just("data_base64"),
        ],
        value in prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from), Just(json!([])), Just(json!({"a": [1]})),
        ],
    ) {
        match structured(&with(name, Some(value))) {
            Ok(read) => prop_assert_eq!(structured(&read.to_json()), Ok(read)),
            Err(error) => prop_assert!(error.path().is_some()),
        }
    }
}
