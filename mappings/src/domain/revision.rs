//! What a CRM sends after a request: the customer changed it, withdrew it, or came back after the ticket had closed.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::disposition::words;
use super::request::{Attachment, Customer, Location, Priority};
use super::wire::{self, TICKET, TIME, read};
use super::{Council, InvalidId, InvalidRequest, Ticket};

words!(
    /// How the customer changed their mind about a ticket.
    Revision, "revision", {
        /// Something of the request is different now.
        Amended = "amended",
        /// The work is not wanted any more.
        Withdrawn = "withdrawn",
        /// The ticket was opened again after it had closed.
        Reopened = "reopened",
    }
);

/// A revision as it was sent, valid against its schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Revised {
    /// What the customer did.
    pub revision: Revision,
    /// The council whose ticket it is.
    pub council: Council,
    /// The CRM's reference.
    pub ticket: Ticket,
    /// When the customer came back, where a reopening says so.
    pub raised_at: Option<Timestamp>,
    /// The whole `data`, which mappings see as `$.change`.
    pub data: Value,
}

/// The members of an amendment that say what it is about, not what is different.
const ABOUT: [&str; 3] = ["ticket", "council", "reason"];

impl Revised {
    /// Reads the `data` of a revision.
    ///
    /// # Errors
    /// [`InvalidRequest`] names the path of the first field that is missing, unknown or of the wrong form.
    pub fn parse(revision: Revision, data: Value) -> Result<Self, InvalidRequest> {
        wire::objects(&data)?;
        let (council, ticket, raised_at) = match revision {
            Revision::Amended => {
                let wire: Amended = read(&data)?;
                wire.check(&data)?;
                (wire.council, wire.ticket, None)
            }
            Revision::Withdrawn => {
                let wire: Withdrawn = read(&data)?;
                (wire.council, wire.ticket, None)
            }
            Revision::Reopened => {
                let wire: Reopened = read(&data)?;
                (wire.council, wire.ticket, wire.raised_at)
            }
        };
        Ok(Self {
            revision,
            council: Council::parse(&council).map_err(at("council"))?,
            ticket: Ticket::parse(&ticket).map_err(at("ticket"))?,
            raised_at: raised_at.as_deref().map(|at| wire::time("raised_at", at)).transpose()?,
            data,
        })
    }

    /// The request as it is after the amendment: what is given replaces what was there, member by member, and null
    /// takes away (RFC 7396).
    pub fn applied_to(data: &Value, document: &Value) -> Value {
        let mut change = data.clone();
        if let Value::Object(members) = &mut change {
            ABOUT.iter().for_each(|about| drop(members.remove(*about)));
        }
        let mut merged = document.clone();
        merge_patch(&mut merged, &change);
        merged
    }
}

/// Lays a JSON merge patch (RFC 7396) over a document: what is given replaces what was there, null takes away.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            merge_patch(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn at(path: &str) -> impl Fn(InvalidId) -> InvalidRequest {
    let path = path.to_owned();
    move |error| InvalidRequest { path: path.clone(), reason: error.to_string() }
}

/// The JSON Schema (draft 2020-12) of the `data` of `uk.dovetail.request.<revision>.v1`.
///
/// `docs/schemas/request.<revision>.v1.json` holds it.
pub fn schema_of(revision: Revision) -> Value {
    let schema: Schema = match revision {
        Revision::Amended => schemars::schema_for!(Amended),
        Revision::Withdrawn => schemars::schema_for!(Withdrawn),
        Revision::Reopened => schemars::schema_for!(Reopened),
    };
    schema.to_value()
}

/// The wire form of an amendment: the ticket, why, and what is different. What is not given stays as it was; null
/// takes a field away that may be absent. `service` and `raised_at` cannot change: that is another request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "uk.dovetail.request.amended.v1", extend("minProperties" = 3))]
struct Amended {
    /// The CRM's reference of the ticket.
    #[schemars(length(min = 1, max = 100), regex(pattern = TICKET))]
    ticket: String,
    /// The council whose ticket it is.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,40}$"))]
    council: String,
    /// What happened, in plain words; the back office may be shown it.
    #[expect(dead_code, reason = "mappings select it from the document")]
    reason: Option<String>,
    /// `emergency`, `urgent` or `routine`.
    #[schemars(regex(pattern = r"^(emergency|urgent|routine)$"))]
    priority: Option<String>,
    /// One line in plain words.
    #[serde(default)]
    #[schemars(with = "String")]
    #[expect(dead_code, reason = "only its form is checked")]
    summary: Option<String>,
    /// Who asks.
    #[expect(dead_code, reason = "only its form is checked")]
    customer: Option<Customer>,
    /// Where.
    location: Option<Location>,
    /// What the service needs besides.
    #[serde(default)]
    #[expect(dead_code, reason = "only its form is checked")]
    details: Map<String, Value>,
    /// Pictures and papers: the whole list, which replaces the one before.
    #[serde(default)]
    #[expect(dead_code, reason = "only its form is checked")]
    attachments: Vec<Attachment>,
}

/// The wire form of a withdrawal.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "uk.dovetail.request.withdrawn.v1")]
struct Withdrawn {
    /// The CRM's reference of the ticket.
    #[schemars(length(min = 1, max = 100), regex(pattern = TICKET))]
    ticket: String,
    /// The council whose ticket it is.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,40}$"))]
    council: String,
    /// Why, in plain words; the back office may be shown it.
    #[expect(dead_code, reason = "mappings select it from the document")]
    reason: Option<String>,
}

/// The wire form of a reopening.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "uk.dovetail.request.reopened.v1")]
struct Reopened {
    /// The CRM's reference of the ticket.
    #[schemars(length(min = 1, max = 100), regex(pattern = TICKET))]
    ticket: String,
    /// The council whose ticket it is.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,40}$"))]
    council: String,
    /// Why, in plain words; the back office may be shown it.
    #[expect(dead_code, reason = "mappings select it from the document")]
    reason: Option<String>,
    /// When the customer came back, RFC 3339, from 1900 to 2199; every deadline of the new opening counts from here.
    #[schemars(regex(pattern = TIME), extend("format" = "date-time"))]
    raised_at: Option<String>,
}

impl Amended {
    fn check(&self, data: &Value) -> Result<(), InvalidRequest> {
        let wrong =
            |path: &str, reason: &str| Err(InvalidRequest { path: path.into(), reason: reason.into() });
        if data.as_object().is_none_or(|members| members.len() < 3) {
            return wrong(".", "nothing is different: expected at least a reason, or a field of the request");
        }
        if data.get("summary").is_some_and(Value::is_null) {
            return wrong("summary", "null cannot stand here: a request has a summary");
        }
        if let Some(word) = &self.priority {
            word.parse::<Priority>().map_err(at("priority"))?;
        }
        self.location.as_ref().map_or(Ok(()), Location::check)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn amended(more: &[(&str, Value)]) -> Value {
        let mut data = json!({"ticket": "CRM-1", "council": "harlow", "reason": "The gate is locked"});
        for (name, value) in more {
            data[*name] = value.clone();
        }
        data
    }

    #[test]
    fn an_amendment_is_laid_over_the_request_and_null_takes_away() {
        let document = json!({"ticket": "CRM-1", "summary": "Bin missed", "details": {"container": "refuse",
            "notes": "at the front"}, "customer": {"phone": "1", "email": "a@b"}});
        let data = amended(&[
            ("summary", json!("Two bins missed")),
            ("details", json!({"notes": null, "gate": "locked"})),
            ("customer", json!({"phone": "2"})),
        ]);
        let merged = Revised::applied_to(&data, &document);
        assert_eq!(
            merged,
            json!({"ticket": "CRM-1", "summary": "Two bins missed", "details": {"container": "refuse",
                "gate": "locked"}, "customer": {"phone": "2", "email": "a@b"}})
        );
    }

    #[test]
    fn a_wrong_revision_is_refused_with_its_path() {
        let cases = [
            (Revision::Amended, amended(&[("location", json!({"uprn": "1234567890123"}))]), "location.uprn"),
            (Revision::Amended, amended(&[("location", json!({"uprn": 7}))]), "location.uprn"),
            (Revision::Amended, amended(&[("service", json!("waste.bulky"))]), "service"),
            (Revision::Amended, amended(&[("summary", Value::Null)]), "summary"),
            (Revision::Amended, amended(&[("details", Value::Null)]), "details"),
            (Revision::Amended, amended(&[("priority", json!("soon"))]), "priority"),
            (Revision::Amended, json!({"ticket": "CRM-1", "council": "harlow"}), "."),
            (Revision::Withdrawn, amended(&[("summary", json!("x"))]), "summary"),
            (Revision::Withdrawn, amended(&[("council", json!("Harlow"))]), "council"),
            (Revision::Reopened, amended(&[("raised_at", json!("yesterday"))]), "raised_at"),
            (Revision::Reopened, amended(&[("ticket", json!(" 7"))]), "ticket"),
        ];
        for (revision, data, path) in cases {
            let error = Revised::parse(revision, data.clone()).expect_err("refused");
            assert_eq!(error.path, path, "{revision} {data}: {error}");
        }
    }

    #[test]
    fn the_schemas_and_the_reader_agree() {
        let documents = [
            amended(&[]),
            amended(&[("summary", json!("x")), ("priority", json!("urgent"))]),
            amended(&[("summary", Value::Null)]),
            amended(&[("details", json!({"notes": null}))]),
            amended(&[("details", json!([]))]),
            amended(&[("location", json!({"uprn": "1", "usrn": null}))]),
            amended(&[("location", json!({"uprn": "x"}))]),
            amended(&[("raised_at", json!("2026-11-22T09:15:00Z"))]),
            amended(&[("raised_at", json!("yesterday"))]),
            amended(&[("council", json!("Harlow"))]),
            json!({"ticket": "CRM-1", "council": "harlow"}),
            json!({"council": "harlow", "reason": "x", "summary": "x"}),
            json!([]),
        ];
        for revision in Revision::ALL {
            let validator = jsonschema::options()
                .should_validate_formats(true)
                .build(&schema_of(*revision))
                .expect("a schema");
            for document in &documents {
                let read = Revised::parse(*revision, document.clone());
                assert_eq!(validator.is_valid(document), read.is_ok(), "{revision} {document}: {read:?}");
            }
        }
    }

    #[test]
    fn the_schemas_in_the_docs_are_these() {
        let shipped = [
            (Revision::Amended, include_str!("../../../docs/schemas/request.amended.v1.json")),
            (Revision::Withdrawn, include_str!("../../../docs/schemas/request.withdrawn.v1.json")),
            (Revision::Reopened, include_str!("../../../docs/schemas/request.reopened.v1.json")),
        ];
        for (revision, file) in shipped {
            let shipped: Value = serde_json::from_str(file).expect("JSON");
            let anew = format!("dovetail schema {revision} > docs/schemas/request.{revision}.v1.json");
            assert_eq!(shipped, schema_of(revision), "write it anew: {anew}");
        }
    }
}
