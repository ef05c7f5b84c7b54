//! A CRM: Request Tracker's REST 2 as version 5.0.3 was seen to answer.
//!
//! `PUT` compares `If-Match` with the ticket's ETag. `/correspond` has no ETag, so it answers 412 to every
//! `If-Match`. A message to a closed ticket opens it again, and its `Status` may then close it a second time:
//! each closing is counted.

use axum::http::Method;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::call::{Call, Reply};
use super::tickets::Ticket;
use super::{Shared, clock};

pub(super) const DONE: &str = "resolved";
pub(super) const UNHEARD: &str = "merged";

pub(super) fn answer(shared: &Shared, call: &Call) -> Reply {
    let allowed = &shared.settings.credentials;
    if !call.is_from(&allowed.user, &allowed.password) {
        return message(401, "Unauthorized").with("www-authenticate", "Basic realm=\"RT\"".to_owned());
    }
    let parts = call.parts();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    let ["REST", "2.0", path @ ..] = parts.as_slice() else { return message(404, "Not Found") };
    match (&call.method, path) {
        (&Method::GET, ["rt"]) => Reply::json(200, &json!({"Version": "5.0.3", "Plugins": []})),
        (&Method::GET, ["ticket", id]) => read(shared, id),
        (&Method::GET, ["tickets"]) => find(shared, call),
        (&Method::GET, ["ticket", id, "history"]) => history(shared, id),
        (&Method::POST, ["ticket"]) => with_body(call, |body| create(shared, body)),
        (&Method::PUT, ["ticket", id]) => with_body(call, |body| update(shared, call, id, body)),
        (&Method::POST, ["ticket", id, "correspond"]) => {
            with_body(call, |body| correspond(shared, call, id, body))
        }
        _ => message(404, "Not Found"),
    }
}

fn with_body(call: &Call, act: impl FnOnce(&Map<String, Value>) -> Reply) -> Reply {
    if call.header("content-type").split(';').next() != Some("application/json") {
        return message(415, "Unsupported Media Type");
    }
    match serde_json::from_str(&call.body) {
        Ok(Value::Object(body)) => act(&body),
        Ok(_) | Err(_) => message(400, "JSON object must be a HASH"),
    }
}

fn create(shared: &Shared, body: &Map<String, Value>) -> Reply {
    match body.get("Queue").and_then(Value::as_str) {
        None | Some("") => return message(400, "Could not create ticket. Queue not set"),
        Some("General" | "1") => {}
        Some(queue) => {
            let words = format!("No permission to create tickets in the queue '{queue}'");
            return message(403, &words);
        }
    }
    let user = &shared.settings.credentials.user;
    let id = shared.tickets().open_next(&Value::Object(body.clone()), user);
    let url = ticket_url(shared, &id);
    let created = Reply::json(201, &json!({"type": "ticket", "id": id, "_url": url}));
    created.with("location", url)
}

/// Answers the two forms of query that are known here, all of it on one page: `RefersTo = 'ID' AND Subject LIKE 'TEXT'`,
/// and `Queue = 'NAME' AND LastUpdated >= 'TIME'` with a time in UTC.
fn find(shared: &Shared, call: &Call) -> Reply {
    let query = call.asked().get("query").to_owned();
    let parts: Vec<&str> = query.split('\'').collect();
    let tickets = shared.tickets();
    let items: Vec<_> = match parts.as_slice() {
        ["RefersTo = ", id, " AND Subject LIKE ", text, ""] => {
            let found =
                tickets.iter().filter(|ticket| ticket.refers_to == *id && ticket.subject.contains(text));
            found.map(|ticket| json!({"type": "ticket", "id": ticket.id})).collect()
        }
        ["Queue = ", queue, " AND LastUpdated >= ", since, ""] => {
            let since = since.parse().ok().and_then(|since: DateTime| since.to_zoned(TimeZone::UTC).ok());
            let Some(since) = since else { return message(400, "Unable to parse query") };
            let changed = |ticket: &&Ticket| ticket.queue == *queue && ticket.updated >= since.timestamp();
            let item = |ticket: &Ticket| {
                let updated = clock::utc(ticket.updated);
                json!({"type": "ticket", "id": ticket.id, "Status": ticket.status, "LastUpdated": updated})
            };
            tickets.iter().filter(changed).map(item).collect()
        }
        _ => return message(400, "Unable to parse query"),
    };
    let count = items.len();
    Reply::json(
        200,
        &json!({"count": count, "total": count, "page": 1, "pages": 1, "per_page": 1, "items": items}),
    )
}

fn read(shared: &Shared, id: &str) -> Reply {
    let user = &shared.settings.credentials.user;
    let mut tickets = shared.tickets();
    let Some(place) = tickets.place(id, user) else { return message(404, "Not Found") };
    let ticket = tickets.at(place);
    let person =
        |id: &str| json!({"id": id, "type": "user", "_url": format!("{}/REST/2.0/user/{id}", shared.url())});
    let number = ticket.id.parse::<u64>().map_or_else(|_| Value::from(ticket.id.as_str()), Value::from);
    let own = ticket.fields.iter().zip(1_u32..);
    let own: Vec<_> = own
        .map(|((name, value), id)| json!({"id": id.to_string(), "type": "customfield", "name": name, "values": [value]}))
        .collect();
    let body = json!({
        "id": number,
        "Type": "ticket",
        "Status": ticket.status,
        "Subject": ticket.subject,
        "Queue": {"id": "1", "type": "queue", "_url": format!("{}/REST/2.0/queue/1", shared.url())},
        "Requestor": [person(&ticket.requestor)],
        "Creator": person(&ticket.transactions[0].creator),
        "CustomFields": own,
        "Created": clock::utc(ticket.created),
        "LastUpdated": clock::utc(ticket.updated),
        "LastUpdatedBy": person(&ticket.updated_by),
    });
    Reply::json(200, &body).with("etag", ticket.etag())
}

fn history(shared: &Shared, id: &str) -> Reply {
    let mut tickets = shared.tickets();
    let Some(place) = tickets.place(id, &shared.settings.credentials.user) else {
        return message(404, "Not Found");
    };
    let items: Vec<_> = tickets
        .at(place)
        .transactions
        .iter()
        .map(|transaction| {
            json!({
                "id": transaction.id.to_string(),
                "type": "transaction",
                "Type": transaction.kind,
                "Creator": transaction.creator,
                "Created": clock::utc(transaction.at),
                "OldValue": transaction.old,
                "NewValue": transaction.new,
                "_url": format!("{}/REST/2.0/transaction/{}", shared.url(), transaction.id),
            })
        })
        .collect();
    let count = items.len();
    Reply::json(
        200,
        &json!({"count": count, "total": count, "page": 1, "pages": 1, "per_page": count, "items": items}),
    )
}

fn update(shared: &Shared, call: &Call, id: &str, body: &Map<String, Value>) -> Reply {
    let user = &shared.settings.credentials.user;
    let mut tickets = shared.tickets();
    let Some(place) = tickets.place(id, user) else {
        return message(404, "Resource does not exist; use POST to create");
    };
    let ticket = tickets.at(place);
    let expected = call.header("if-match");
    if !expected.is_empty()
        && expected != "*"
        && expected.trim_matches('"') != ticket.etag().trim_matches('"')
    {
        return message(412, "Precondition Failed");
    }
    let mut said = Vec::new();
    if let Some(status) = body.get("Status").and_then(Value::as_str).filter(|status| *status != ticket.status)
    {
        said.push(format!("Ticket {id}: {}", tickets.set_status(place, status, user)));
    }
    Reply::json(200, &json!(said))
}

fn correspond(shared: &Shared, call: &Call, id: &str, body: &Map<String, Value>) -> Reply {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if !call.header("if-match").is_empty() {
        return message(412, "Precondition Failed");
    }
    let content = text("Content");
    if content.is_some() && text("ContentType").is_none() {
        return message(400, "ContentType is a required field for application/json");
    }
    let user = &shared.settings.credentials.user;
    let mut tickets = shared.tickets();
    let Some(place) = tickets.place(id, user) else {
        return message(400, "Message could not be recorded");
    };
    let transaction = tickets.correspond(place, content.unwrap_or_default(), user);
    let mut said = vec!["Correspondence added".to_owned()];
    said.extend(text("Status").map(|status| tickets.set_status(place, status, user)));
    let url = format!("{}/REST/2.0/transaction/{transaction}", shared.url());
    Reply::json(201, &json!(said)).with("location", url)
}

fn ticket_url(shared: &Shared, id: &str) -> String {
    format!("{}/REST/2.0/ticket/{id}", shared.url())
}

fn message(status: u16, words: &str) -> Reply {
    Reply::json(status, &json!({"message": words}))
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::{Value, json};

    use crate::simulator::Kind;
    use crate::simulator::rig::{Answered, Rig, send, still};

    async fn call(rig: &Rig, method: Method, path: &str, if_match: Option<&str>, body: &Value) -> Answered {
        let mut call = rig
            .call(method, &format!("/REST/2.0/{path}"))
            .basic_auth("dovetail", Some("dovetail"))
            .header("content-type", "application/json");
        if let Some(etag) = if_match {
            call = call.header("if-match", etag);
        }
        send(call.body(body.to_string())).await.unwrap()
    }

    async fn get(rig: &Rig, path: &str) -> Answered {
        call(rig, Method::GET, path, None, &json!({})).await
    }

    async fn open(rig: &Rig) -> String {
        let body = json!({"Queue": "General", "Subject": "Bin missed", "Requestor": "jo@example.org", "Content": "…"});
        let answer = call(rig, Method::POST, "ticket", None, &body).await;
        assert_eq!(answer.status, 201);
        assert!(answer.headers["location"].to_str().unwrap().ends_with("/REST/2.0/ticket/1"));
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    fn etag(answer: &Answered) -> String {
        answer.headers["etag"].to_str().unwrap().to_owned()
    }

    fn closing() -> Value {
        json!({"Content": "Done.", "ContentType": "text/plain", "Status": "resolved"})
    }

    #[tokio::test]
    async fn a_ticket_is_compared_then_closed_with_a_message() {
        let rig = Rig::start(Kind::Crm, still()).await;
        let id = open(&rig).await;
        let ticket = get(&rig, &format!("ticket/{id}")).await;
        assert_eq!((&ticket.json()["id"], &ticket.json()["Status"]), (&json!(1), &json!("new")));
        let path = format!("ticket/{id}");
        let compared = call(&rig, Method::PUT, &path, Some(&etag(&ticket)), &json!({})).await;
        assert_eq!((compared.status, compared.body.as_str()), (200, "[]"));
        assert_eq!(etag(&get(&rig, &path).await), etag(&ticket), "comparing changes nothing");
        let told = call(&rig, Method::POST, "ticket/1/correspond", None, &closing()).await;
        assert_eq!(told.status, 201);
        assert_eq!(told.json(), json!(["Correspondence added", "Status changed from 'open' to 'resolved'"]));
        assert!(told.headers["location"].to_str().unwrap().contains("/REST/2.0/transaction/"));
        let ticket = rig.get("/_sim/tickets/1").await;
        assert_eq!((&ticket["status"], &ticket["closures"]), (&json!("resolved"), &json!(1)));
        assert_eq!(ticket["messages"], json!(["Done."]));
        let history = get(&rig, "ticket/1/history").await.json();
        let kinds: Vec<_> =
            history["items"].as_array().unwrap().iter().map(|item| item["Type"].clone()).collect();
        assert_eq!(kinds, ["Create", "Correspond", "Status", "Status"]);
    }

    #[tokio::test]
    async fn a_stale_etag_is_a_failed_precondition_and_correspond_has_none() {
        let rig = Rig::start(Kind::Crm, still()).await;
        open(&rig).await;
        let before = etag(&get(&rig, "ticket/1").await);
        rig.post("/_sim/tickets/1/set", r#"{"status": "stalled"}"#).await;
        let stale = call(&rig, Method::PUT, "ticket/1", Some(&before), &json!({})).await;
        assert_eq!((stale.status, stale.body.as_str()), (412, r#"{"message":"Precondition Failed"}"#));
        let fresh = etag(&get(&rig, "ticket/1").await);
        let told = call(&rig, Method::POST, "ticket/1/correspond", Some(&fresh), &closing()).await;
        assert_eq!(told.status, 412);
        assert_eq!(rig.get("/_sim/tickets/1").await["closures"], 0);
    }

    #[tokio::test]
    async fn a_second_closing_message_is_counted() {
        let rig = Rig::start(Kind::Crm, still()).await;
        open(&rig).await;
        for _ in 0..2 {
            call(&rig, Method::POST, "ticket/1/correspond", None, &closing()).await;
        }
        assert_eq!(rig.get("/_sim/tickets/1").await["closures"], 2);
        assert_eq!(rig.get("/_sim/counts").await["closed_twice"], 1);
    }

    #[tokio::test]
    async fn what_a_person_closes_is_not_counted_as_ours() {
        let rig = Rig::start(Kind::Crm, still()).await;
        open(&rig).await;
        rig.post("/_sim/tickets/1/set", r#"{"status": "resolved", "message": "Sorted on the phone"}"#).await;
        let ticket = rig.get("/_sim/tickets/1").await;
        assert_eq!((&ticket["closures"], &ticket["closed_by_hand"]), (&json!(0), &json!(1)));
        assert_eq!(get(&rig, "ticket/1").await.json()["Status"], "resolved");
    }

    #[tokio::test]
    async fn errors_are_messages_in_json() {
        let rig = Rig::start(Kind::Crm, still()).await;
        let not_found = get(&rig, "ticket/99").await;
        assert_eq!((not_found.status, not_found.body.as_str()), (404, r#"{"message":"Not Found"}"#));
        let unknown = call(&rig, Method::POST, "ticket/99/correspond", None, &closing()).await;
        assert_eq!(
            (unknown.status, unknown.body.as_str()),
            (400, r#"{"message":"Message could not be recorded"}"#)
        );
        let queue = call(&rig, Method::POST, "ticket", None, &json!({"Queue": "Nope"})).await;
        assert_eq!(queue.status, 403);
        let stranger = send(rig.call(Method::GET, "/REST/2.0/rt")).await.unwrap();
        assert_eq!((stranger.status, stranger.body.as_str()), (401, r#"{"message":"Unauthorized"}"#));
        assert_eq!(get(&rig, "rt").await.json()["Version"], "5.0.3");
        open(&rig).await;
        let bogus = json!({"Content": "x", "ContentType": "text/plain", "Status": "bogus"});
        let said = call(&rig, Method::POST, "ticket/1/correspond", None, &bogus).await;
        assert_eq!(said.status, 201);
        assert_eq!(said.json()[1], "Status 'bogus' isn't a valid status for this ticket.");
    }

    #[tokio::test]
    async fn a_queue_lists_what_changed_since() {
        let rig = Rig::start(Kind::Crm, still()).await;
        let fields = json!({"Queue": "General", "Subject": "Bin", "CustomFields": {"Service": "Missed bin"}});
        call(&rig, Method::POST, "ticket", None, &fields).await;
        let list = |time: &str| {
            format!("tickets?query=Queue%20%3D%20'General'%20AND%20LastUpdated%20%3E%3D%20'{time}'")
        };
        let found = get(&rig, &list("2020-01-01 00:00:00")).await;
        assert_eq!((found.status, &found.json()["count"]), (200, &json!(1)));
        assert_eq!(found.json()["items"][0]["Status"], "new");
        assert_eq!(get(&rig, &list("2999-01-01 00:00:00")).await.json()["count"], 0);
        assert_eq!(get(&rig, &list("soon")).await.status, 400);
        let read = get(&rig, "ticket/1").await;
        assert_eq!(read.json()["CustomFields"][0]["name"], "Service");
        assert_eq!(read.json()["CustomFields"][0]["values"], json!(["Missed bin"]));
    }

    #[tokio::test]
    async fn a_ticket_with_a_name_is_opened_at_first_sight() {
        let rig = Rig::start(Kind::Crm, still()).await;
        let ticket = get(&rig, "ticket/CRM-2026%2F000123").await;
        assert_eq!((ticket.status, ticket.json()["Status"].clone()), (200, json!("new")));
        assert_eq!(rig.get("/_sim/tickets").await[0]["id"], "CRM-2026/000123");
        let put = call(&rig, Method::PUT, "ticket/CRM-2026%2F000123", None, &json!({"Status": "open"})).await;
        assert_eq!(put.json(), json!(["Ticket CRM-2026/000123: Status changed from 'new' to 'open'"]));
    }
}
