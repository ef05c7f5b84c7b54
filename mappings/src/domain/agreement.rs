//! What the schemas in `docs/schemas` permit is taken, and what they forbid is refused: every field of every document is
//! put through every kind of value, and both are asked.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Request, Revised, Revision, schema, schema_of};

/// A document of each kind that has every field.
fn documents() -> Vec<(Option<Revision>, Value)> {
    let customer = json!({"reference": "C-1", "title": "Dr", "forename": "Jo", "surname": "Lamb",
        "email": "jo@example.org", "phone": "01632 960001", "needs": ["large print"],
        "sharing": {"basis": "public_task"}});
    let location = json!({"uprn": "10008049175", "usrn": "20400001", "easting": 544_500.5, "northing": 210_000,
        "latitude": 51.7, "longitude": 0.1, "description": "at the gate",
        "address": {"lines": ["16 Pitcairn House"], "postcode": "CM20 1AA"}});
    let attachments = json!([{"href": "https://example.org/a.jpg", "media_type": "image/jpeg"}]);
    let submitted = json!({"ticket": "CRM-1", "council": "harlow", "service": "waste.missed-bin", "lgsl": 524,
        "channel": "phone", "priority": "urgent", "raised_at": "2026-11-22T09:15:00Z", "raised_by": "A. Smith",
        "summary": "Grey bin missed", "customer": customer, "location": location, "attachments": attachments,
        "details": {"container": "refuse", "depth": {"a": [1]}}});
    let amended = json!({"ticket": "CRM-1", "council": "harlow", "reason": "The gate is locked",
        "priority": "urgent", "summary": "Two bins", "customer": customer, "location": location,
        "details": {"gate": null}, "attachments": attachments});
    let short = json!({"ticket": "CRM-1", "council": "harlow", "reason": "Not wanted any more"});
    let mut reopened = short.clone();
    reopened["raised_at"] = json!("2026-11-22T09:15:00+01:00");
    vec![
        (None, submitted),
        (Some(Revision::Amended), amended),
        (Some(Revision::Amended), short.clone()),
        (Some(Revision::Withdrawn), short),
        (Some(Revision::Reopened), reopened),
    ]
}

/// What stands where something else was expected.
fn values() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "a",
        " a",
        "a ",
        "a b",
        "a\u{a0}b",
        "\u{a0}a",
        "a\u{feff}",
        "a\u{2003}",
        "a\u{2028}b",
        "a\nb",
        "a\u{0}b",
        "a\u{1b}[2J",
        "a\u{85}b",
        "é",
        "🚲",
        "harlow",
        "Harlow",
        "a-b",
        "a.b",
        "a..b",
        ".a",
        "a.",
        "urgent",
        "Urgent",
        "urgent\n",
        "1",
        "0",
        "-1",
        "10008049175",
        "123456789012",
        "1234567890123",
        "12345678",
        "123456789",
        "١٢",
        "2026-11-22T09:15:00Z",
        "2026-11-22t09:15:00z",
        "2026-11-22T09:15:00.5+01:00",
        "2026-11-22T09:15:00+0100",
        "2026-11-22T09:15Z",
        "2026-11-22 09:15:00Z",
        "2026-11-22T09:15:00",
        "2026-11-22",
        "2026-02-30T09:15:00Z",
        "2028-02-29T09:15:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:59:60Z",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1899-12-31T23:59:59Z",
        "1900-01-01T00:00:00Z",
        "2199-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-11-22T09:15:00.1234567891Z",
        "2026-11-22T09:15:00+24:00",
        "2026-11-22T09:15:00-23:59",
        "2026-11-22T09:15:00Z[Europe/London]",
    ];
    let long = [40, 41, 80, 81, 100, 101, 10_000].map(|length| Value::from("a".repeat(length)));
    let wide = [100, 101].map(|length| Value::from("é".repeat(length)));
    let service = [80, 81].map(|length| Value::from(format!("a.{}", "b".repeat(length - 2))));
    let numbers = [
        "0",
        "-0",
        "-0.0",
        "1",
        "-1",
        "5.0",
        "5e0",
        "5.5",
        "90",
        "90.5",
        "-91",
        "180",
        "181",
        "4294967295",
        "4294967296",
        "4294967295.0",
        "10000000",
        "10000001",
        "-10000000.5",
        "1e7",
        "1e400",
        "-1e400",
        "1e-400",
        "99999999999999999999999",
    ];
    let numbers = numbers.map(|text| serde_json::from_str(text).expect("a number"));
    let others = [
        json!(null),
        json!(true),
        json!(false),
        json!([]),
        json!({}),
        json!([null]),
        json!(["a"]),
        json!([1]),
        json!([[]]),
        json!([{}]),
        json!({"a": 1}),
        json!({"href": "x"}),
        json!({"lines": []}),
        json!({"basis": ""}),
    ];
    texts
        .map(Value::from)
        .into_iter()
        .chain(long)
        .chain(wide)
        .chain(service)
        .chain(numbers)
        .chain(others)
        .collect()
}

/// The place of every value within a document.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| places(value, &format!("{here}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| places(value, &format!("{here}/{at}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The document with every value in every place, with every member taken out, and with one more in every object.
fn mutations(document: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    places(document, "", &mut found);
    let mut mutations = vec![document.clone()];
    for place in found {
        for value in values() {
            let mut mutation = document.clone();
            *mutation.pointer_mut(&place).expect("there") = value;
            mutations.push(mutation);
        }
        let mut more = document.clone();
        if let Some(Value::Object(members)) = more.pointer_mut(&place) {
            members.insert("more".to_owned(), json!(null));
            mutations.push(more);
        }
        let mut fewer = document.clone();
        if let Some((object, name)) = place.rsplit_once('/')
            && let Some(Value::Object(members)) = fewer.pointer_mut(object)
        {
            members.remove(name);
            mutations.push(fewer);
        }
    }
    mutations
}

fn validator(revision: Option<Revision>) -> jsonschema::Validator {
    let schema = revision.map_or_else(schema, schema_of);
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
}

fn taken(revision: Option<Revision>, document: &Value) -> Result<(), String> {
    match revision {
        None => Request::parse(document.clone()).map(drop),
        Some(revision) => Revised::parse(revision, document.clone()).map(drop),
    }
    .map_err(|error| error.to_string())
}

#[test]
fn the_schemas_and_the_door_agree_about_every_value_in_every_place() {
    let (mut permitted, mut forbidden) = (0, 0);
    for (revision, document) in documents() {
        let validator = validator(revision);
        assert_eq!(taken(revision, &document), Ok(()));
        for mutation in mutations(&document) {
            let found = taken(revision, &mutation);
            let is_permitted = validator.is_valid(&mutation);
            assert_eq!(is_permitted, found.is_ok(), "{revision:?} {mutation}: {found:?}");
            if is_permitted { permitted += 1 } else { forbidden += 1 }
        }
    }
    assert!(permitted > 1_000 && forbidden > 1_000, "{permitted} {forbidden}");
}

#[test]
fn no_reason_shows_a_value_that_may_be_personal() {
    const SECRET: &str = "Jo Lamb, 16 Pitcairn House";
    for (revision, document) in documents() {
        let mut found = Vec::new();
        places(&document, "", &mut found);
        let is_open =
            |place: &str| ["ticket", "council", "service", "priority", "raised_at"].contains(&&place[1..]);
        for place in found.iter().filter(|place| !place.is_empty() && !is_open(place)) {
            for value in [json!(SECRET), json!([SECRET]), json!({"a": SECRET}), json!({"lines": SECRET})] {
                let mut mutation = document.clone();
                *mutation.pointer_mut(place).expect("there") = value;
                let told = taken(revision, &mutation).err().unwrap_or_default();
                assert!(!told.contains("Jo Lamb"), "{place}: {told}");
            }
        }
        for name in [SECRET, "customer", "Jo Lamb.Jo Lamb", "Jo Lamb`, expected `Jo Lamb"] {
            for place in ["/customer", "/customer/sharing", "/changes/customer"] {
                let mut mutation = document.clone();
                let Some(members) = mutation.pointer_mut(place).and_then(Value::as_object_mut) else {
                    continue;
                };
                members.insert(name.to_owned(), json!(1));
                let told = taken(revision, &mutation).expect_err("it is not known");
                assert!(!told.contains("Jo Lamb") && told.contains("customer"), "{place}: {told}");
            }
        }
    }
}

proptest! {
    #[test]
    fn the_schemas_and_the_door_agree_about_any_text(ticket in "(?s).{0,105}", council in "[a-z0-9-]{0,42}|.{0,5}") {
        let document = json!({"ticket": ticket, "council": council});
        let is_permitted = validator(Some(Revision::Withdrawn)).is_valid(&document);
        prop_assert_eq!(is_permitted, taken(Some(Revision::Withdrawn), &document).is_ok());
    }

    #[test]
    fn the_schemas_and_the_door_agree_about_any_number(number in any::<f64>(), whole in any::<i64>()) {
        let (_, mut document) = documents().swap_remove(0);
        for value in [json!(number), json!(whole)] {
            for place in ["/lgsl", "/location/easting", "/location/latitude"] {
                *document.pointer_mut(place).expect("there") = value.clone();
                prop_assert_eq!(validator(None).is_valid(&document), taken(None, &document).is_ok(), "{}", document);
            }
        }
    }
}

#[test]
fn members_that_come_twice_count_as_the_last_of_them() {
    let twice: Map<String, Value> =
        serde_json::from_str(r#"{"ticket": 7, "council": "harlow", "ticket": "CRM-1"}"#).expect("JSON");
    assert_eq!(taken(Some(Revision::Withdrawn), &Value::Object(twice)), Ok(()));
}
