//! A CRM: cases (incidents) of the Dynamics 365 Web API, behind OAuth 2.0 client credentials.
//!
//! `CloseIncident` resolves an active case and refuses one that is closed already; `PATCH` with `If-Match`
//! compares the row's version, and with `If-None-Match: *` opens a case under an id of the caller's own, once. A case
//! is found by its number, and changed by its id.

use std::collections::HashSet;

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::call::{Call, Reply, same};
use super::tickets::Ticket;
use super::{Shared, clock};

pub(super) const DONE: &str = "resolved";
pub(super) const UNHEARD: &str = "merged";

/// The upper half of the ids of cases; the lower half counts.
const CASES: u128 = 0x2f6b_1c1e_7a55_4e11 << 64;
/// Whoever raised the cases.
const CUSTOMER: &str = "83883308-7ad5-ea11-a813-000d3a33f3b4";
/// Seconds that a token lasts.
const LASTS: u64 = 3_599;

/// Access tokens that were given and not revoked.
#[derive(Debug, Default)]
pub(super) struct Grants {
    good: HashSet<String>,
    given: u64,
}

impl Grants {
    /// How many were given.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Refuses all of them from now on; says how many.
    pub(super) fn revoke(&mut self) -> usize {
        self.good.drain().count()
    }

    fn give(&mut self) -> String {
        self.given += 1;
        let token = format!("eyJ0eXAiOiJKV1QifQ.{}.{}", Uuid::new_v4().simple(), self.given);
        self.good.insert(token.clone());
        token
    }
}

/// Whether a call changes something; to give a token does not.
pub(super) fn writes(call: &Call) -> bool {
    call.method != Method::GET && !call.path.ends_with("/token")
}

pub(super) fn answer(shared: &Shared, call: &Call) -> Reply {
    let parts = call.parts();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    if let (&Method::POST, [_, "oauth2", "v2.0", "token"]) = (&call.method, parts.as_slice()) {
        return token(shared, call);
    }
    let bearer = call.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    if !shared.grants().good.contains(bearer) {
        return refused(401, "0x80072560", "The user is not a member of the organization.")
            .with("www-authenticate", format!("Bearer authorization_uri={}/tenant", shared.url()));
    }
    let ["api", "data", version, entity] = parts.as_slice() else { return unknown() };
    if !version.starts_with("v9.") {
        return unknown();
    }
    match (&call.method, keyed(entity)) {
        (&Method::GET, ("incidents", None)) => list(shared, call),
        (&Method::GET, ("incidents", Some(id))) => match find(shared, id) {
            Some(place) => odata(200, &with_customer(case(shared.tickets().at(place), place), call)),
            None => missing("incident", id),
        },
        (&Method::POST, ("incidents", None)) => with_body(call, |body| open(shared, "", body)),
        (&Method::PATCH, ("incidents", Some(id))) => with_body(call, |body| update(shared, call, id, body)),
        (&Method::PATCH, ("connections", Some(id))) => {
            with_body(call, |body| connect(shared, call, id, body))
        }
        (&Method::PATCH, ("annotations", Some(id))) => with_body(call, |body| annotate(shared, id, body)),
        (&Method::POST, ("CloseIncident", None)) => with_body(call, |body| close(shared, body)),
        _ => unknown(),
    }
}

/// RFC 6749, section 4.4, in the words of Microsoft's end point.
fn token(shared: &Shared, call: &Call) -> Reply {
    let no = |status: u16, code: &str, words: &str| {
        Reply::json(
            status,
            &json!({"error": code, "error_description": format!("{words}\r\nTrace ID: 0"), "error_codes": []}),
        )
    };
    let form = call.form();
    if form.get("grant_type") != "client_credentials" {
        return no(
            400,
            "unsupported_grant_type",
            "AADSTS70003: The app requested an unsupported grant type.",
        );
    }
    let allowed = &shared.settings.credentials;
    let header = format!("Basic {}", STANDARD.encode(format!("{}:{}", allowed.user, allowed.password)));
    let known = same(call.header("authorization"), &header)
        || form.get("client_id") == allowed.user && same(form.get("client_secret"), &allowed.password);
    if !known {
        return no(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.");
    }
    if form.get("scope") != format!("{}/.default", shared.url()) {
        return no(
            400,
            "invalid_scope",
            "AADSTS70011: The provided value for the input parameter 'scope' is not valid.",
        );
    }
    let token = shared.grants().give();
    Reply::json(
        200,
        &json!({"token_type": "Bearer", "expires_in": LASTS, "ext_expires_in": LASTS, "access_token": token}),
    )
}

/// `incidents(<id>)` as name and key.
fn keyed(entity: &str) -> (&str, Option<&str>) {
    match entity.strip_suffix(')').and_then(|entity| entity.split_once('(')) {
        Some((name, key)) => (name, Some(key)),
        None => (entity, None),
    }
}

fn with_body(call: &Call, act: impl FnOnce(&Map<String, Value>) -> Reply) -> Reply {
    match serde_json::from_str(&call.body) {
        Ok(Value::Object(body)) => act(&body),
        Ok(_) | Err(_) => refused(400, "0x80048d19", "Error identified in Payload provided by the user."),
    }
}

fn id_of(place: usize) -> Uuid {
    Uuid::from_u128(CASES | place as u128)
}

fn find(shared: &Shared, id: &str) -> Option<usize> {
    let id = Uuid::parse_str(id).ok()?;
    let tickets = shared.tickets();
    tickets.keyed(&id.to_string()).or_else(|| {
        let place = usize::try_from(id.as_u128().checked_sub(CASES)?).ok()?;
        (place < tickets.len()).then_some(place)
    })
}

/// What `…@odata.bind` leads to.
fn bound(shared: &Shared, body: &Map<String, Value>, member: &str) -> Option<usize> {
    let link = body.get(member)?.as_str()?;
    let id = link.strip_prefix("/incidents(")?.strip_suffix(')')?;
    find(shared, id)
}

/// Only what the number selects: a case is never listed by mistake.
fn list(shared: &Shared, call: &Call) -> Reply {
    let asked = call.asked();
    let number =
        asked.get("$filter").strip_prefix("ticketnumber eq '").and_then(|rest| rest.strip_suffix('\''));
    let Some(number) = number else {
        return refused(
            400,
            "0x80060888",
            "The query specified in the URI is not valid: expected ticketnumber eq '…'.",
        );
    };
    let number = number.replace("''", "'");
    let mut tickets = shared.tickets();
    let found = tickets.place(&number, &shared.settings.credentials.user);
    let found: Vec<_> = found.map(|place| case(tickets.at(place), place)).into_iter().collect();
    let context = format!("{}/api/data/v9.2/$metadata#incidents", shared.url());
    odata(200, &json!({"@odata.context": context, "value": found}))
}

fn case(ticket: &Ticket, place: usize) -> Value {
    let (state, status) = match ticket.status {
        "resolved" => (1, 5),
        "rejected" | "deleted" => (2, 6),
        _ => (0, 1),
    };
    let id = if ticket.key.is_empty() { id_of(place).to_string() } else { ticket.key.clone() };
    json!({
        "@odata.etag": format!("W/{}", ticket.etag()),
        "incidentid": id,
        "ticketnumber": ticket.id,
        "title": ticket.subject,
        "statecode": state,
        "statuscode": status,
        "createdon": clock::utc(ticket.created),
        "modifiedon": clock::utc(ticket.updated),
    })
}

/// Whose case it is, and what kind of record that is, where the caller asks for it.
fn with_customer(mut case: Value, call: &Call) -> Value {
    let name = Value::from("_customerid_value");
    if call.asked().get("$select").split(',').any(|asked| name == asked) {
        case["_customerid_value"] = CUSTOMER.into();
        if call.header("prefer").contains("Microsoft.Dynamics.CRM.lookuplogicalname") {
            case["_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] = "contact".into();
        }
    }
    case
}

/// Opens a case, under an id of the caller's own where there is one.
fn open(shared: &Shared, key: &str, body: &Map<String, Value>) -> Reply {
    let Some(title) = body.get("title").and_then(Value::as_str) else {
        return refused(400, "0x80040200", "A required field 'title' is missing.");
    };
    if !["contact", "account"].iter().any(|of| body.contains_key(&format!("customerid_{of}@odata.bind"))) {
        return refused(400, "0x80040203", "You should specify a parent contact or account.");
    }
    let mut tickets = shared.tickets();
    let by = &shared.settings.credentials.user;
    tickets.open_next(&json!({"Subject": title, "Key": key}), by);
    if let Some(text) = body.get("description").and_then(Value::as_str) {
        let place = tickets.len() - 1;
        tickets.annotate(place, "description", text);
    }
    let id = if key.is_empty() { id_of(tickets.len() - 1).to_string() } else { key.to_owned() };
    nothing().with("odata-entityid", format!("{}/api/data/v9.2/incidents({id})", shared.url()))
}

/// Connects two cases, once: the second then refers to the first.
fn connect(shared: &Shared, call: &Call, id: &str, body: &Map<String, Value>) -> Reply {
    let Ok(id) = Uuid::parse_str(id) else {
        return refused(400, "0x80060888", "The key value of the URI is not valid.");
    };
    let ends = bound(shared, body, "record1id_incident@odata.bind").zip(bound(
        shared,
        body,
        "record2id_incident@odata.bind",
    ));
    let Some((to, from)) = ends else { return missing("incident", "record1id") };
    let mut tickets = shared.tickets();
    if tickets.at(from).refers_to == tickets.at(to).id {
        return if call.header("if-none-match") == "*" { exists() } else { nothing() };
    }
    tickets.connect(from, to, &shared.settings.credentials.user);
    nothing().with("odata-entityid", format!("{}/api/data/v9.2/connections({id})", shared.url()))
}

fn update(shared: &Shared, call: &Call, id: &str, body: &Map<String, Value>) -> Reply {
    let Some(place) = find(shared, id) else {
        return match Uuid::parse_str(id) {
            Ok(id) if call.header("if-match").is_empty() => open(shared, &id.to_string(), body),
            Ok(_) | Err(_) => missing("incident", id),
        };
    };
    if call.header("if-none-match") == "*" {
        return exists();
    }
    let mut tickets = shared.tickets();
    let expected = call.header("if-match");
    if !expected.is_empty() && expected != "*" && expected != format!("W/{}", tickets.at(place).etag()) {
        let words = "The version of the existing record doesn't match the RowVersion property provided.";
        return refused(412, "0x80060882", words);
    }
    let number = |name: &str| body.get(name).and_then(Value::as_i64);
    let status = match (number("statecode"), number("statuscode")) {
        (None, None) => return nothing(),
        (Some(2), Some(6 | 2000)) => "rejected",
        (Some(0), Some(1..=4)) => "open",
        (Some(_) | None, Some(_) | None) => {
            return refused(
                400,
                "0x80048408",
                "State code is invalid or state code is valid but status code is invalid for a specified state code.",
            );
        }
    };
    tickets.set_status(place, status, &shared.settings.credentials.user);
    nothing()
}

fn annotate(shared: &Shared, id: &str, body: &Map<String, Value>) -> Reply {
    if Uuid::parse_str(id).is_err() {
        return refused(400, "0x80060888", "The key value of the URI is not valid.");
    }
    let text = body.get("notetext").and_then(Value::as_str).unwrap_or_default();
    match bound(shared, body, "objectid_incident@odata.bind") {
        Some(place) => {
            shared.tickets().annotate(place, id, text);
            nothing().with("odata-entityid", format!("{}/api/data/v9.2/annotations({id})", shared.url()))
        }
        None => missing("incident", "objectid_incident"),
    }
}

fn close(shared: &Shared, body: &Map<String, Value>) -> Reply {
    let none = Map::new();
    let resolution = body.get("IncidentResolution").and_then(Value::as_object).unwrap_or(&none);
    if resolution.get("@odata.type").and_then(Value::as_str)
        != Some("Microsoft.Dynamics.CRM.incidentresolution")
    {
        return refused(
            400,
            "0x80048d19",
            "Error identified in Payload: IncidentResolution needs its @odata.type.",
        );
    }
    let text = |name: &str| resolution.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("subject").is_empty() {
        return refused(400, "0x80040200", "A required field 'subject' is missing.");
    }
    let Some(place) = bound(shared, resolution, "incidentid@odata.bind") else {
        return missing("incident", "incidentid");
    };
    if !matches!(body.get("Status").and_then(Value::as_i64), Some(-1 | 5 | 1000)) {
        return refused(
            400,
            "0x80048408",
            "The status is not a valid status code for state code IncidentState.Resolved.",
        );
    }
    let mut tickets = shared.tickets();
    if tickets.at(place).is_closed() {
        let words =
            "This case has already been resolved. Close and reopen the case record to see the updates.";
        return refused(400, "0x80048408", words);
    }
    tickets.close(place, "resolved", text("description"), &shared.settings.credentials.user);
    nothing()
}

fn odata(status: u16, body: &Value) -> Reply {
    Reply::of(status, "application/json; odata.metadata=minimal", body.to_string())
        .with("odata-version", "4.0".to_owned())
}

fn nothing() -> Reply {
    Reply { body: Vec::new(), ..odata(204, &Value::Null) }
}

fn missing(entity: &str, id: &str) -> Reply {
    refused(404, "0x80040217", &format!("{entity} With Id = {id} Does Not Exist"))
}

fn exists() -> Reply {
    refused(412, "0x80060892", "A record with matching key values already exists.")
}

fn unknown() -> Reply {
    refused(404, "0x8006088a", "Resource not found for the segment.")
}

fn refused(status: u16, code: &str, words: &str) -> Reply {
    odata(status, &json!({"error": {"code": code, "message": words}}))
}

#[cfg(test)]
mod tests;
