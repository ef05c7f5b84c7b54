//! The canonical service request, as a CRM submits it.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::disposition::words;
use super::wire::{self, TICKET, TIME};
use super::{Council, InvalidId, Service, Ticket};

words!(
    /// How soon the customer was promised an answer.
    Priority, "priority", {
        /// Danger to life or property.
        Emergency = "emergency",
        /// Sooner than the ordinary.
        Urgent = "urgent",
        /// The ordinary.
        Routine = "routine",
    }
);

/// One accepted request: what the core needs to know, and the document that mappings select from.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The council whose ticket it is.
    pub council: Council,
    /// The CRM's reference.
    pub ticket: Ticket,
    /// What is asked for.
    pub service: Service,
    /// How soon.
    pub priority: Priority,
    /// The way the customer came: phone, web, …
    pub channel: Option<String>,
    /// When the customer called; every deadline counts from here.
    pub raised_at: Timestamp,
    /// The whole document as submitted, valid against the schema.
    pub document: Arc<Value>,
}

/// Why a document is not a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct InvalidRequest {
    /// Where in the document, as a dotted path; `.` is the document itself.
    pub path: String,
    /// What was found and what was expected.
    pub reason: String,
}

impl Request {
    /// Reads the `data` of a submitted request.
    ///
    /// # Errors
    /// [`InvalidRequest`] names the path of the first field that is missing, unknown or of the wrong form.
    pub fn parse(document: Value) -> Result<Self, InvalidRequest> {
        wire::objects(&document)?;
        let wire: Submitted = wire::read(&document)?;
        let at = |path: &str| {
            let path = path.to_owned();
            move |error: InvalidId| InvalidRequest { path, reason: error.to_string() }
        };
        wire.check()?;
        Ok(Self {
            council: Council::parse(&wire.council).map_err(at("council"))?,
            ticket: Ticket::parse(&wire.ticket).map_err(at("ticket"))?,
            service: Service::parse(&wire.service).map_err(at("service"))?,
            priority: match &wire.priority {
                Some(word) => word.parse().map_err(at("priority"))?,
                None => Priority::Routine,
            },
            channel: wire.channel,
            raised_at: wire::time("raised_at", &wire.raised_at)?,
            document: Arc::new(document),
        })
    }
}

/// The wire form of a submitted request: the `data` of `uk.dovetail.request.submitted.v1`.
///
/// `docs/schemas/request.submitted.v1.json` is generated from it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "uk.dovetail.request.submitted.v1")]
pub struct Submitted {
    /// The CRM's reference of the ticket.
    #[schemars(length(min = 1, max = 100), regex(pattern = TICKET))]
    pub ticket: String,
    /// The council whose ticket it is.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,40}$"))]
    pub council: String,
    /// What is asked for, as `<area>.<need>`.
    #[schemars(length(max = 80), regex(pattern = r"^[a-z0-9-]+(\.[a-z0-9-]+)+$"))]
    pub service: String,
    /// The service's number in the Local Government Service List.
    #[serde(default, deserialize_with = "wire::whole_number")]
    #[schemars(range(max = 4_294_967_295_u32))]
    pub lgsl: Option<u32>,
    /// The way the customer came.
    pub channel: Option<String>,
    /// `emergency`, `urgent` or `routine`; `routine` when absent.
    #[schemars(regex(pattern = r"^(emergency|urgent|routine)$"))]
    pub priority: Option<String>,
    /// When the customer called, RFC 3339, from 1900 to 2199.
    #[schemars(regex(pattern = TIME), extend("format" = "date-time"))]
    pub raised_at: String,
    /// The member of staff who took it.
    pub raised_by: Option<String>,
    /// One line in plain words.
    pub summary: String,
    /// Who asks.
    pub customer: Option<Customer>,
    /// Where.
    pub location: Option<Location>,
    /// What the service needs besides, as the service defines it.
    #[serde(default)]
    pub details: Map<String, Value>,
    /// Pictures and papers.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
}

/// The JSON Schema (draft 2020-12) of the `data` of `uk.dovetail.request.submitted.v1`.
///
/// `docs/schemas/request.submitted.v1.json` holds it.
pub fn schema() -> Value {
    schemars::schema_for!(Submitted).to_value()
}

/// Who asks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// The CRM's reference of the customer.
    pub reference: Option<String>,
    /// Title, as the customer gave it.
    pub title: Option<String>,
    /// First name.
    pub forename: Option<String>,
    /// Last name.
    pub surname: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// What the customer needs to be served well, for example large print.
    #[serde(default)]
    pub needs: Vec<String>,
    /// On what ground the personal fields may be shared.
    pub sharing: Option<Sharing>,
}

/// The ground on which personal fields may be shared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sharing {
    /// The lawful basis (UK GDPR, article 6), for example `public_task`.
    pub basis: String,
}

/// Where the work is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Unique Property Reference Number, up to 12 digits, as text.
    #[schemars(regex(pattern = r"^[0-9]{1,12}$"))]
    pub uprn: Option<String>,
    /// Unique Street Reference Number, up to 8 digits, as text.
    #[schemars(regex(pattern = r"^[0-9]{1,8}$"))]
    pub usrn: Option<String>,
    /// Postal address.
    pub address: Option<Address>,
    /// Metres east on the British National Grid.
    #[schemars(range(min = -10_000_000, max = 10_000_000))]
    pub easting: Option<f64>,
    /// Metres north on the British National Grid.
    #[schemars(range(min = -10_000_000, max = 10_000_000))]
    pub northing: Option<f64>,
    /// Degrees north, WGS 84.
    #[schemars(range(min = -90, max = 90))]
    pub latitude: Option<f64>,
    /// Degrees east, WGS 84.
    #[schemars(range(min = -180, max = 180))]
    pub longitude: Option<f64>,
    /// Where exactly, in plain words.
    pub description: Option<String>,
}

/// A postal address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The lines before the postcode.
    pub lines: Vec<String>,
    /// The postcode.
    pub postcode: Option<String>,
}

/// A picture or paper that belongs to the request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Where it can be fetched.
    pub href: String,
    /// Its media type (RFC 6838).
    pub media_type: Option<String>,
}

impl Submitted {
    fn check(&self) -> Result<(), InvalidRequest> {
        self.location.as_ref().map_or(Ok(()), Location::check)
    }
}

impl Location {
    pub(super) fn check(&self) -> Result<(), InvalidRequest> {
        for (path, found, most) in [("location.uprn", &self.uprn, 12), ("location.usrn", &self.usrn, 8)] {
            let Some(found) = found else { continue };
            let digits = !found.is_empty() && found.bytes().all(|b| b.is_ascii_digit());
            if !digits || found.len() > most {
                return Err(InvalidRequest {
                    path: path.into(),
                    reason: format!(
                        "a text of {} characters was found that is not a reference number: expected 1 to {most} digits as text",
                        found.chars().count()
                    ),
                });
            }
        }
        let numbers = [
            ("location.easting", self.easting, FARTHEST),
            ("location.northing", self.northing, FARTHEST),
            ("location.latitude", self.latitude, 90.0),
            ("location.longitude", self.longitude, 180.0),
        ];
        match numbers.iter().find(|(_, found, most)| found.is_some_and(|found| found.abs() > *most)) {
            None => Ok(()),
            Some((path, _, most)) => Err(InvalidRequest {
                path: (*path).into(),
                reason: format!("the number is out of range: expected one from -{most} to {most}"),
            }),
        }
    }
}

/// In metres: no place in a projected grid has a larger number.
const FARTHEST: f64 = 10_000_000.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn missed_bin() -> Value {
        json!({"ticket": "CRM-1", "council": "harlow", "service": "waste.missed-bin",
               "raised_at": "2026-11-22T09:15:00Z", "summary": "Grey bin missed",
               "location": {"uprn": "10008049175"}, "details": {"container": "refuse"}})
    }

    #[test]
    fn a_request_keeps_its_document_whole() {
        let request = Request::parse(missed_bin()).expect("valid");
        assert_eq!(request.priority, Priority::Routine);
        assert_eq!(*request.document, missed_bin());
    }

    #[test]
    fn a_wrong_field_is_named_by_its_path() {
        let cases = [
            (
                "/location/uprn",
                json!(10008049175u64),
                "location.uprn",
                "a number was found; expected a string",
            ),
            ("/location/uprn", json!("1234567890123"), "location.uprn", "1 to 12 digits"),
            ("/service", json!("bins"), "service", "is not a service"),
            ("/raised_at", json!("yesterday"), "raised_at", "RFC 3339"),
            ("/council", json!(""), "council", "is not a council"),
        ];
        for (pointer, wrong, path, reason) in cases {
            let mut document = missed_bin();
            *document.pointer_mut(pointer).expect("there") = wrong;
            let error = Request::parse(document).expect_err("refused");
            assert_eq!(error.path, path);
            assert!(error.reason.contains(reason), "{error}");
        }
    }

    #[test]
    fn the_schema_in_the_docs_is_this_one() {
        let file = include_str!("../../../docs/schemas/request.submitted.v1.json");
        let shipped: Value = serde_json::from_str(file).expect("JSON");
        assert_eq!(
            shipped,
            schema(),
            "write it anew: dovetail schema > docs/schemas/request.submitted.v1.json"
        );
    }

    #[test]
    fn missing_and_unknown_fields_are_refused() {
        let mut document = missed_bin();
        document.as_object_mut().expect("object").remove("ticket");
        assert!(Request::parse(document).expect_err("refused").reason.contains("missing field `ticket`"));
        let mut document = missed_bin();
        document["location"]["postcod"] = json!("CM20 1AA");
        assert_eq!(Request::parse(document).expect_err("refused").path, "location.postcod");
    }
}
