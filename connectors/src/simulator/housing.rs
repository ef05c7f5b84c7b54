//! Housing repairs: HACT messages in JSON, in the form of Hackney's public repairs API.
//!
//! A work order is made once for each `reference[0].id`. Errors are plain strings. Nobody is called: each
//! order has to be read.

use axum::http::Method;
use serde_json::{Value, json};

use super::book::{Book, Course, Index, Job, Last, Order, Phase, Text};
use super::call::{Call, Reply, same};
use super::markers::{End, Refusal};
use super::{Ending, Shared, clock};

pub(super) const DONE: &str = "Completed";
pub(super) const UNHEARD: &str = "Deferred";

const CANCELLED: &str = "Cancelled";

pub(super) fn answer(shared: &Shared, call: &Call) -> Reply {
    if !same(call.header("x-api-key"), &shared.settings.credentials.key) {
        return Reply::json(403, &json!({"message": "Forbidden"}));
    }
    let parts = call.parts();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    let ["api", "v2", path @ ..] = parts.as_slice() else { return not_found() };
    if let (&Method::GET, ["workOrders", id]) = (&call.method, path) {
        return read(shared, id);
    }
    let Ok(body) = serde_json::from_str::<Value>(&call.body) else {
        return Reply::text(400, "The request is not valid JSON".to_owned());
    };
    match (&call.method, path) {
        (&Method::POST, ["workOrders", "schedule"]) => schedule(shared, &body),
        (&Method::POST, ["jobStatusUpdate"]) => update(shared, &body),
        (&Method::POST, ["workOrderComplete"]) => complete(shared, &body),
        _ => not_found(),
    }
}

fn schedule(shared: &Shared, body: &Value) -> Reply {
    let Some(key) = text(body, "/reference/0/id") else { return required("reference") };
    let Some(property) = text(body, "/site/property/0/propertyReference") else {
        return required("propertyReference");
    };
    for field in ["priorityCode", "requiredCompletionDateTime"] {
        if body.pointer(&format!("/priority/{field}")).is_none_or(Value::is_null) {
            return required(field);
        }
    }
    let description = text(body, "/descriptionOfWork").unwrap_or_default();
    let markers = shared.markers(description);
    let mut book = shared.book();
    let (before, known) = book.receive(key, Some(key));
    if let Some(index) = known {
        return raised(&book.id(index), markers.short);
    }
    if markers.busy && before == 0 {
        return Reply::text(503, "Service Unavailable".to_owned()).with("retry-after", "1".to_owned());
    }
    if let Some(refusal) = markers.refusal {
        book.counts.refused += 1;
        return refuse(refusal, property);
    }
    let about = [
        ("property", property),
        ("description", description),
        ("priority", text(body, "/priority/priorityDescription").unwrap_or_default()),
        ("priority_code", &body["priority"]["priorityCode"].to_string()),
        ("target", text(body, "/priority/requiredCompletionDateTime").unwrap_or_default()),
    ];
    let order = Order {
        reference: key.to_owned(),
        key: Some(key.to_owned()),
        about: about.into_iter().map(|(name, value)| (name, value.to_owned())).collect(),
    };
    let index = book.open(order, course(shared, markers.end), shared.now());
    raised(&book.id(index), markers.short)
}

fn raised(id: &str, short: bool) -> Reply {
    let number: Value = id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from);
    if short {
        return Reply::json(200, &number);
    }
    Reply::json(200, &json!({"id": number, "statusCode": 80, "statusCodeDescription": "Open"}))
}

fn refuse(refusal: Refusal, property: &str) -> Reply {
    match refusal {
        Refusal::Duplicate => {
            Reply::text(400, "A work order for this repair has already been raised: 10000007".to_owned())
        }
        Refusal::Declined => Reply::text(400, "This repair is the leaseholder's responsibility".to_owned()),
        Refusal::NotOurs => Reply::text(400, "Property is managed by another landlord".to_owned()),
        Refusal::Other => Reply::text(404, format!("Property {property} not found")),
    }
}

fn course(shared: &Shared, end: End) -> Course {
    const STEPS: &[&str] = &["Open", "Scheduled", "In Progress"];
    const REVIEWED: &[&str] = &["Open", "Authorisation Pending Approval"];
    let last = match (shared.settings.ending, end) {
        (Ending::ByHand, _) | (Ending::Marked, End::Never) => None,
        (Ending::Marked, End::Review) => return Course { steps: REVIEWED, last: None },
        (Ending::Marked, End::Completed) => Some(Last::over(DONE)),
        (Ending::Marked, End::FollowOn) => {
            Some(Last { follow_on: Some(Text::Borrowed("Plaster the wall")), ..Last::over(DONE) })
        }
        (Ending::Marked, End::NoAccess) => Some(Last::over("No Access")),
        (Ending::Marked, End::Declined) => Some(Last::open("Variation Rejected")),
        (Ending::Marked, End::Duplicate) => Some(Last::over("Superceded")),
        (Ending::Marked, End::NotOurs | End::Cancelled) => Some(Last::over(CANCELLED)),
        (Ending::Marked, End::Unknown) => Some(Last::open(UNHEARD)),
    };
    Course { steps: STEPS, last }
}

fn read(shared: &Shared, id: &str) -> Reply {
    let book = shared.book();
    match book.find(id) {
        Some(index) => Reply::json(200, &work_order(id, book.job(index))),
        None => Reply::text(404, format!("Work order {id} not found")),
    }
}

fn work_order(id: &str, job: &Job) -> Value {
    let code = job.about("priority_code").parse::<u64>().map_or(Value::Null, Value::from);
    let mut order = json!({
        "reference": id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from),
        "dateRaised": clock::london(job.created),
        "lastUpdated": clock::utc(job.updated),
        "priority": job.about("priority"),
        "property": "",
        "propertyReference": job.about("property"),
        "description": job.about("description"),
        "status": job.status,
        "priorityCode": code,
        "target": job.about("target"),
        "contractorReference": "SCC",
        "closedDate": job.ended().then(|| clock::utc(job.updated)),
        "followOnRequest": null,
    });
    if let Some(work) = &job.follow_on {
        order["followOnRequest"] = json!({
            "isSameTrade": false,
            "isDifferentTrades": true,
            "isMultipleOperatives": false,
            "requiredFollowOnTrades": [],
            "followOnTypeDescription": work,
            "additionalNotes": job.note.as_deref().unwrap_or_default(),
        });
    }
    order
}

fn update(shared: &Shared, body: &Value) -> Reply {
    let comments = text(body, "/comments").unwrap_or_default().to_owned();
    with_open(shared, body, "/relatedWorkOrderReference/id", |book, index| {
        book.job_mut(index).remarks.push(comments);
    })
}

fn complete(shared: &Shared, body: &Value) -> Reply {
    let change = &body["jobStatusUpdates"][0];
    let status = match (text(change, "/typeCode"), text(change, "/otherType")) {
        (Some("0"), Some("cancel")) => CANCELLED,
        (Some("0"), Some("completed")) => DONE,
        (Some("70"), _) => "No Access",
        _ => return Reply::text(400, "Unsupported job status update type".to_owned()),
    };
    let comments = text(change, "/comments").map(|comments| Text::Owned(comments.to_owned()));
    with_open(shared, body, "/workOrderReference/id", |book, index| {
        book.say(index, Text::Borrowed(status), comments, Phase::Ended, shared.now());
    })
}

fn with_open(shared: &Shared, body: &Value, path: &str, act: impl FnOnce(&mut Book, Index)) -> Reply {
    let Some(id) = text(body, path) else { return required("workOrderReference") };
    let mut book = shared.book();
    match book.find(id) {
        Some(index) if book.job(index).ended() => {
            Reply::text(400, format!("Work order {id} is already complete"))
        }
        Some(index) => {
            act(&mut book, index);
            Reply::of(200, "application/json; charset=utf-8", String::new())
        }
        None => Reply::text(404, format!("Work order {id} not found")),
    }
}

fn text<'a>(body: &'a Value, path: &str) -> Option<&'a str> {
    body.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn required(field: &str) -> Reply {
    Reply::text(400, format!("The {field} field is required."))
}

fn not_found() -> Reply {
    Reply::text(404, "Not Found".to_owned())
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::{Value, json};

    use crate::simulator::rig::{Answered, Rig, send, still};
    use crate::simulator::{Ending, Kind, Settings};

    fn order(key: &str, description: &str) -> Value {
        json!({
            "reference": [{"id": key}],
            "descriptionOfWork": description,
            "priority": {"priorityCode": 3, "priorityDescription": "4 [U] URGENT", "numberOfDays": 5,
                         "requiredCompletionDateTime": "2026-11-27T18:30:00Z"},
            "workClass": {"workClassCode": 0},
            "site": {"property": [{"propertyReference": "00012345"}]},
        })
    }

    async fn post(rig: &Rig, path: &str, body: &Value) -> Answered {
        let call = rig.call(Method::POST, path).header("x-api-key", "dovetail").body(body.to_string());
        send(call).await.unwrap()
    }

    async fn schedule(rig: &Rig, key: &str, description: &str) -> Answered {
        post(rig, "/api/v2/workOrders/schedule", &order(key, description)).await
    }

    async fn read(rig: &Rig, id: u64) -> Answered {
        let path = format!("/api/v2/workOrders/{id}");
        send(rig.call(Method::GET, &path).header("x-api-key", "dovetail")).await.unwrap()
    }

    #[tokio::test]
    async fn a_repair_is_ordered_moves_along_and_is_completed() {
        let rig = Rig::start(Kind::Housing, still()).await;
        let raised = schedule(&rig, "k-1", "Tap leaking").await;
        assert_eq!(raised.status, 200);
        assert_eq!(
            raised.json(),
            json!({"id": 10_000_012, "statusCode": 80, "statusCodeDescription": "Open"})
        );
        let mut seen = Vec::new();
        for _ in 0..4 {
            let order = read(&rig, 10_000_012).await.json();
            seen.push(order["status"].as_str().unwrap().to_owned());
            rig.sim.step();
        }
        assert_eq!(seen, ["Open", "Scheduled", "In Progress", "Completed"]);
        let order = read(&rig, 10_000_012).await.json();
        assert_eq!(order["reference"], 10_000_012);
        assert_eq!(order["propertyReference"], "00012345");
        assert_eq!(order["priorityCode"], 3);
        assert!(order["closedDate"].as_str().unwrap().ends_with('Z'));
        assert!(order["followOnRequest"].is_null());
    }

    #[tokio::test]
    async fn the_same_reference_again_gives_the_same_order() {
        let rig = Rig::start(Kind::Housing, still()).await;
        let first = schedule(&rig, "k-1", "Tap leaking").await;
        let again = schedule(&rig, "k-1", "Tap leaking").await;
        assert_eq!(first.json()["id"], again.json()["id"]);
        let jobs = rig.get("/_sim/jobs?reference=k-1").await;
        assert_eq!((&jobs[0]["delivered"], &jobs[0]["applied"]), (&json!(2), &json!(1)));
        assert_eq!(jobs.as_array().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn follow_on_work_is_a_completion_with_a_request() {
        let rig = Rig::start(Kind::Housing, still()).await;
        schedule(&rig, "k-1", "Tap leaking [follow on]").await;
        schedule(&rig, "k-2", "Tap leaking [no access]").await;
        rig.post("/_sim/step", r#"{"steps": 3}"#).await;
        let order = read(&rig, 10_000_012).await.json();
        assert_eq!(order["status"], "Completed");
        assert_eq!(order["followOnRequest"]["followOnTypeDescription"], "Plaster the wall");
        assert_eq!(read(&rig, 10_000_013).await.json()["status"], "No Access");
    }

    #[tokio::test]
    async fn refusals_are_plain_strings() {
        let rig = Rig::start(Kind::Housing, still()).await;
        let refused = schedule(&rig, "k-1", "[refused duplicate]").await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.body, "A work order for this repair has already been raised: 10000007");
        assert_eq!(schedule(&rig, "k-2", "[refused]").await.status, 404);
        assert_eq!(schedule(&rig, "k-3", "[busy]").await.status, 503);
        assert_eq!(schedule(&rig, "k-3", "[busy]").await.status, 200);
        let mut incomplete = order("k-4", "");
        incomplete["priority"] = json!({"priorityCode": 3});
        let refused = post(&rig, "/api/v2/workOrders/schedule", &incomplete).await;
        assert_eq!(refused.body, "The requiredCompletionDateTime field is required.");
        assert_eq!(read(&rig, 1).await.body, "Work order 1 not found");
        assert_eq!(rig.get("/_sim/counts").await["refused"], 2);
    }

    #[tokio::test]
    async fn a_wrong_key_is_forbidden() {
        let rig = Rig::start(Kind::Housing, still()).await;
        let call = rig.call(Method::GET, "/api/v2/workOrders/1").header("x-api-key", "other");
        let refused = send(call).await.unwrap();
        assert_eq!((refused.status, refused.body.as_str()), (403, r#"{"message":"Forbidden"}"#));
    }

    #[tokio::test]
    async fn an_order_takes_notes_and_is_cancelled_once() {
        let rig = Rig::start(Kind::Housing, Settings { ending: Ending::ByHand, ..still() }).await;
        schedule(&rig, "k-1", "Tap leaking").await;
        let note = json!({"relatedWorkOrderReference": {"id": "10000012"}, "typeCode": "0",
                          "otherType": "addNotes", "comments": "Dog in the garden"});
        assert_eq!(post(&rig, "/api/v2/jobStatusUpdate", &note).await.status, 200);
        let cancel = json!({"workOrderReference": {"id": "10000012", "description": "", "allocatedBy": ""},
                            "jobStatusUpdates": [{"typeCode": "0", "otherType": "cancel", "comments": "Mended"}]});
        assert_eq!(post(&rig, "/api/v2/workOrderComplete", &cancel).await.status, 200);
        let again = post(&rig, "/api/v2/workOrderComplete", &cancel).await;
        assert_eq!((again.status, again.body.as_str()), (400, "Work order 10000012 is already complete"));
        let job = rig.get("/_sim/jobs/10000012").await;
        assert_eq!(job["status"], "Cancelled");
        assert_eq!(job["remarks"], json!(["Dog in the garden"]));
    }

    #[tokio::test]
    async fn the_shorter_answer_is_the_bare_number() {
        let rig = Rig::start(Kind::Housing, still()).await;
        assert_eq!(schedule(&rig, "k-1", "Tap [short answer]").await.body, "10000012");
    }
}
