//! The control API under `/_sim/`: what the system holds, and what a person there can do. No fault strikes it.

mod jobs;
mod tickets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::Reply;
use super::{Faults, Shared};

type Sim = State<Arc<Shared>>;

/// An answer, or the answer that says why not.
type Answer = Result<Reply, Reply>;

/// The routes of the control API.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_sim", get(about))
        .route("/_sim/counts", get(counts))
        .route("/_sim/faults", get(faults).post(set_faults).delete(clear_faults))
        .route("/_sim/refuse", post(refuse))
        .route("/_sim/pause", post(pause))
        .route("/_sim/resume", post(resume))
        .route("/_sim/step", post(step))
        .route("/_sim/jobs", get(jobs::list))
        .route("/_sim/jobs/{id}", get(jobs::show))
        .route("/_sim/jobs/{id}/step", post(jobs::step))
        .route("/_sim/jobs/{id}/say", post(jobs::say))
        .route("/_sim/jobs/{id}/complete", post(jobs::complete))
        .route("/_sim/tokens", delete(revoke))
        .route("/_sim/tickets", get(tickets::list).post(tickets::open))
        .route("/_sim/tickets/{id}", get(tickets::show))
        .route("/_sim/tickets/{id}/set", post(tickets::set))
}

async fn about(State(shared): Sim) -> Response {
    let about = json!({
        "system": shared.kind.as_str(),
        "url": shared.url(),
        "seed": shared.settings.seed,
        "paused": shared.book().paused(),
        "pushes_to": shared.settings.callback,
    });
    Reply::json(200, &about).into_response()
}

async fn counts(State(shared): Sim) -> Response {
    let book = shared.book();
    let counts = book.counts;
    let mut states: BTreeMap<String, u64> = BTreeMap::new();
    for index in 0..book.len() {
        *states.entry(book.job(index).status.to_string()).or_default() += 1;
    }
    let jobs = book.len();
    drop(book);
    let (tickets, closures, closed_twice) =
        shared.tickets().iter().fold((0, 0, 0), |(all, sum, twice), ticket| {
            (all + 1, sum + u64::from(ticket.closures), twice + u64::from(ticket.closures > 1))
        });
    let tokens = shared.grants().given();
    let struck: BTreeMap<_, _> = shared.live.struck().into_iter().collect();
    let counts = json!({
        "seed": shared.settings.seed,
        "calls": counts.calls,
        "creates": counts.creates,
        "refused": counts.refused,
        "jobs": jobs,
        "ended": counts.ended,
        "doubled": counts.doubled,
        "states": states,
        "pushed": counts.pushed,
        "push_failures": counts.push_failures,
        "pushes_given_up": counts.pushes_given_up,
        "tickets": tickets,
        "closures": closures,
        "closed_twice": closed_twice,
        "tokens": tokens,
        "struck": struck,
    });
    Reply::json(200, &counts).into_response()
}

async fn faults(State(shared): Sim) -> Response {
    show_faults(&shared).into_response()
}

/// Sets the switches that the body names; the others stay as they are.
async fn set_faults(State(shared): Sim, body: Bytes) -> Response {
    let set = || -> Answer {
        let named: serde_json::Map<String, Value> = read(&body)?;
        let mut faults = shared.live.faults();
        for (name, value) in &named {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Object(object) if object.len() == 1 && object.contains_key("next") => {
                    format!("next:{}", object["next"])
                }
                Value::Bool(false) | Value::Null => "off".to_owned(),
                Value::Bool(true) => "1".to_owned(),
                Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
            };
            faults.set(name, &value).map_err(|error| wrong(400, error.to_string()))?;
        }
        shared.live.replace(faults);
        Ok(show_faults(&shared))
    };
    respond(set())
}

async fn clear_faults(State(shared): Sim) -> Response {
    shared.live.replace(Faults::default());
    show_faults(&shared).into_response()
}

fn show_faults(shared: &Shared) -> Reply {
    let named: serde_json::Map<_, _> = shared
        .live
        .faults()
        .named()
        .into_iter()
        .map(|(name, value)| {
            (name.to_owned(), value.parse::<u64>().map_or(Value::String(value), Value::from))
        })
        .collect();
    Reply::json(200, &Value::Object(named))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    for_ms: u64,
}

async fn refuse(State(shared): Sim, body: Bytes) -> Response {
    respond(read(&body).map(|Refuse { for_ms }| {
        shared.refuse_for(Duration::from_millis(for_ms));
        Reply::json(200, &json!({"refusing_ms": for_ms}))
    }))
}

/// Every access token that was given is refused from now on.
async fn revoke(State(shared): Sim) -> Response {
    Reply::json(200, &json!({"revoked": shared.grants().revoke()})).into_response()
}

async fn pause(State(shared): Sim) -> Response {
    shared.pause(true);
    Reply::json(200, &json!({"paused": true})).into_response()
}

async fn resume(State(shared): Sim) -> Response {
    shared.pause(false);
    Reply::json(200, &json!({"paused": false})).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Steps {
    #[serde(default = "one")]
    steps: u32,
}

fn one() -> u32 {
    1
}

async fn step(State(shared): Sim, body: Bytes) -> Response {
    respond(read(&body).map(|Steps { steps }| {
        let moved: usize = (0..steps).map(|_| shared.step()).sum();
        Reply::json(200, &json!({"moved": moved}))
    }))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| wrong(400, error.to_string()))
}

fn wrong(status: u16, error: String) -> Reply {
    Reply::json(status, &json!({"error": error}))
}

fn respond(answer: Answer) -> Response {
    answer.unwrap_or_else(|refusal| refusal).into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::Method;
    use serde_json::{Value, json};

    use crate::simulator::rig::{Rig, send, still};
    use crate::simulator::{Fault, Kind, Pace, Settings, Switch};

    async fn order(rig: &Rig, key: &str, description: &str) {
        let body = json!({
            "reference": [{"id": key}], "descriptionOfWork": description,
            "priority": {"priorityCode": 3, "requiredCompletionDateTime": "2026-11-27T18:30:00Z"},
            "site": {"property": [{"propertyReference": "00012345"}]},
        });
        let call = rig.call(Method::POST, "/api/v2/workOrders/schedule").header("x-api-key", "dovetail");
        assert_eq!(send(call.body(body.to_string())).await.unwrap().status, 200);
    }

    async fn state(rig: &Rig, id: &str) -> (Value, Value) {
        let job = rig.get(&format!("/_sim/jobs/{id}")).await;
        (job["status"].clone(), job["phase"].clone())
    }

    #[tokio::test]
    async fn a_person_ends_a_job_or_says_any_word_about_it() {
        let rig = Rig::start(Kind::Housing, still()).await;
        order(&rig, "k-1", "").await;
        order(&rig, "k-2", "").await;
        rig.post("/_sim/jobs/10000012/say", r#"{"status": "Gone Fishing"}"#).await;
        assert_eq!(state(&rig, "10000012").await, (json!("Gone Fishing"), json!("waiting")));
        rig.post("/_sim/step", "").await;
        assert_eq!(state(&rig, "10000012").await.0, "Gone Fishing", "a person has it");
        rig.post("/_sim/jobs/10000012/complete", r#"{"status": "No Access", "note": "No reply"}"#).await;
        assert_eq!(state(&rig, "10000012").await, (json!("No Access"), json!("ended")));
        rig.post("/_sim/jobs/10000013/complete", "").await;
        assert_eq!(state(&rig, "10000013").await, (json!("Completed"), json!("ended")));
        let counts = rig.get("/_sim/counts").await;
        assert_eq!(
            (&counts["jobs"], &counts["ended"], &counts["creates"]),
            (&json!(2), &json!(2), &json!(2))
        );
        assert_eq!(counts["states"], json!({"Completed": 1, "No Access": 1}));
    }

    #[tokio::test]
    async fn one_job_is_stepped_alone() {
        let rig = Rig::start(Kind::Housing, still()).await;
        order(&rig, "k-1", "").await;
        order(&rig, "k-2", "").await;
        rig.post("/_sim/jobs/10000012/step", "").await;
        assert_eq!(state(&rig, "10000012").await.0, "Scheduled");
        assert_eq!(state(&rig, "10000013").await.0, "Open");
        let page = rig.get("/_sim/jobs?after=1&limit=5").await;
        assert_eq!(page.as_array().unwrap().len(), 1);
        assert_eq!(page[0]["id"], "10000013");
    }

    #[tokio::test]
    async fn faults_are_switched_at_run_time() {
        let rig = Rig::start(Kind::Housing, still()).await;
        let set = rig
            .post("/_sim/faults", r#"{"error_500": 0.25, "lost_answer": {"next": 2}, "delay_ms": 5}"#)
            .await;
        assert_eq!((set.status, &set.json()["lost_answer"]), (200, &json!("next:2")));
        rig.post("/_sim/faults", r#"{"hang": "next:1"}"#).await;
        let faults = rig.sim.faults();
        assert_eq!(faults.switch(Fault::Error500), Switch::Rate(0.25), "what is not named stays");
        assert_eq!(faults.switch(Fault::Hang), Switch::Next(1));
        assert_eq!(faults.delay, Duration::from_millis(5));
        let wrong = rig.post("/_sim/faults", r#"{"eror_500": 1}"#).await;
        assert!(wrong.status == 400 && wrong.body.contains("error_500"), "{wrong:?}");
        send(rig.call(Method::DELETE, "/_sim/faults")).await.unwrap();
        assert_eq!(rig.sim.faults().switch(Fault::Hang), Switch::Off);
    }

    #[tokio::test]
    async fn what_is_not_understood_is_refused_with_a_reason() {
        let rig = Rig::start(Kind::Housing, still()).await;
        for (path, body, status) in [
            ("/_sim/jobs/1/complete", "", 404),
            ("/_sim/step", r#"{"stps": 2}"#, 400),
            ("/_sim/refuse", "soon", 400),
            ("/_sim/tickets/1/set", r#"{"status": "open"}"#, 404),
        ] {
            let answer = rig.post(path, body).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.json()["error"].is_string(), "{path}");
        }
    }

    #[tokio::test]
    async fn tickets_are_opened_by_the_dozen() {
        let rig = Rig::start(Kind::Crm, still()).await;
        let opened = rig.post("/_sim/tickets", r#"{"count": 3, "subject": "Bin missed"}"#).await;
        assert_eq!(opened.json(), json!({"ids": ["1", "2", "3"]}));
        assert_eq!(rig.get("/_sim/tickets").await.as_array().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn jobs_move_by_themselves_once_resumed() {
        let settings =
            Settings { pace: Pace { step: Duration::from_millis(2), paused: true }, ..Settings::default() };
        let rig = Rig::start(Kind::Housing, settings).await;
        order(&rig, "k-1", "").await;
        assert_eq!(rig.get("/_sim").await["paused"], true);
        assert_eq!(state(&rig, "10000012").await.0, "Open");
        rig.post("/_sim/resume", "").await;
        while state(&rig, "10000012").await.1 != "ended" {
            tokio::task::yield_now().await;
        }
        assert_eq!(state(&rig, "10000012").await.0, "Completed");
    }

    #[tokio::test]
    async fn a_simulator_ends_with_its_token_even_while_a_call_hangs() {
        let rig = Rig::start(Kind::Housing, still()).await;
        rig.post("/_sim/faults", r#"{"hang": 1}"#).await;
        let hanging = rig.call(Method::GET, "/api/v2/workOrders/1");
        let hanging = async { send(hanging).await.is_err() };
        let ending = async {
            while rig.get("/_sim/counts").await["struck"]["hang"] != 1 {
                tokio::task::yield_now().await;
            }
            rig.shutdown.cancel();
        };
        let (cut, ()) = tokio::join!(hanging, ending);
        assert!(cut, "the connection is closed without an answer");
        rig.sim.finished().await;
    }
}
