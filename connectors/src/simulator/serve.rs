//! The server: reads each call, draws what goes wrong with it, and has the system answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::call::{Call, Reply};
use super::draw::Drawn;
use super::gate::{Gate, Line};
use super::{Fault, Kind, Shared, control, dynamics, waste};

const SIGN_IN: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form method=\"post\" \
                       action=\"/login\"><h1>Your session has ended</h1><input name=\"user\"></form></body></html>";

/// Runs until the simulator ends.
pub(super) async fn run(gate: Gate, shared: Arc<Shared>) {
    let ended = shared.shutdown.clone().cancelled_owned();
    let app = control::routes().fallback(answer).with_state(Arc::clone(&shared));
    let served = axum::serve(gate, app.into_make_service_with_connect_info::<Line>())
        .with_graceful_shutdown(ended)
        .await;
    if let Err(error) = served {
        tracing::error!(system = shared.kind.as_str(), %error, "simulator stopped serving");
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let call = match Call::read(request).await {
        Ok(call) => call,
        Err(reply) => return reply.into_response(),
    };
    shared.note(&call);
    let drawn = shared.live.draw(writes(shared.kind, &call));
    if !drawn.delay.is_zero() {
        wait(&shared, drawn.delay).await;
    }
    let Some(fault) = drawn.fault else { return shared.answer(&call).into_response() };
    strike(&shared, &line, &call, fault, drawn).await
}

async fn strike(shared: &Shared, line: &Line, call: &Call, fault: Fault, drawn: Drawn) -> Response {
    match fault {
        Fault::Down => cut(line),
        Fault::Hang => {
            wait(shared, drawn.hold).await;
            cut(line)
        }
        Fault::Error500 => Reply::text(500, "Internal Server Error".to_owned()).into_response(),
        Fault::Error503 => Reply::text(503, "Service Unavailable".to_owned())
            .with("retry-after", drawn.retry_after.to_string())
            .into_response(),
        Fault::HtmlAnswer => Reply::of(200, "text/html; charset=utf-8", SIGN_IN.to_owned()).into_response(),
        Fault::TimeoutAfterApplying => {
            shared.answer(call);
            wait(shared, drawn.hold).await;
            cut(line)
        }
        Fault::LostAnswer => {
            shared.answer(call);
            cut(line)
        }
        Fault::WrongCharset => shared.answer(call).miswritten().into_response(),
        Fault::EmptyAnswer => Reply { body: Vec::new(), ..shared.answer(call) }.into_response(),
        Fault::TruncatedAnswer => {
            let reply = shared.answer(call);
            match reply.body.len() {
                0 => line.cut(),
                length => line.withhold(length.div_ceil(2)),
            }
            reply.into_response()
        }
        // Not of a call, so never drawn for one.
        Fault::DoubleCallback | Fault::UnknownStatus => shared.answer(call).into_response(),
    }
}

fn writes(kind: Kind, call: &Call) -> bool {
    match kind {
        Kind::Waste => waste::writes(call),
        Kind::CrmDynamics => dynamics::writes(call),
        Kind::Housing | Kind::Revenues | Kind::Partner | Kind::Crm => call.method != Method::GET,
    }
}

/// Ends the connection; the response is never written.
fn cut(line: &Line) -> Response {
    line.cut();
    Response::new(Body::empty())
}

async fn wait(shared: &Shared, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = shared.shutdown.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::Method;
    use serde_json::json;

    use crate::simulator::rig::{Answered, Rig, send, still};
    use crate::simulator::{Fault, Faults, Kind, Settings, Switch};

    /// A client's patience that a held call outlasts.
    const SHORT: Duration = Duration::from_millis(400);

    /// Orders a repair, with a client's patience of ten seconds.
    async fn order(rig: &Rig, key: &str) -> reqwest::Result<Answered> {
        order_within(rig, key, Duration::from_secs(10)).await
    }

    async fn order_within(rig: &Rig, key: &str, patience: Duration) -> reqwest::Result<Answered> {
        let body = json!({
            "reference": [{"id": key}], "descriptionOfWork": "Tap leaking",
            "priority": {"priorityCode": 3, "requiredCompletionDateTime": "2026-11-27T18:30:00Z"},
            "site": {"property": [{"propertyReference": "00012345"}]},
        });
        let call = rig.call(Method::POST, "/api/v2/workOrders/schedule").header("x-api-key", "dovetail");
        send(call.timeout(patience).body(body.to_string())).await
    }

    async fn with(fault: Fault) -> Rig {
        let faults = Faults::default().with(fault, Switch::Next(1));
        Rig::start(Kind::Housing, Settings { faults, ..still() }).await
    }

    /// How many jobs the fault left, and how many there are after the call was made again.
    async fn applied(rig: &Rig) -> (u64, u64) {
        let jobs = async || rig.get("/_sim/counts").await["jobs"].as_u64().unwrap();
        let before = jobs().await;
        assert_eq!(order(rig, "k-1").await.unwrap().status, 200, "the fault strikes once");
        (before, jobs().await)
    }

    #[tokio::test]
    async fn a_system_that_is_down_closes_the_connection_and_applies_nothing() {
        let rig = with(Fault::Down).await;
        assert!(!order(&rig, "k-1").await.unwrap_err().is_timeout());
        assert_eq!(applied(&rig).await, (0, 1));
    }

    #[tokio::test]
    async fn a_hanging_call_times_out_and_is_not_applied() {
        let rig = with(Fault::Hang).await;
        assert!(order_within(&rig, "k-1", SHORT).await.unwrap_err().is_timeout());
        assert_eq!(applied(&rig).await, (0, 1));
    }

    #[tokio::test]
    async fn errors_of_the_server_are_not_applied() {
        let rig = with(Fault::Error500).await;
        assert_eq!(order(&rig, "k-1").await.unwrap().status, 500);
        assert_eq!(applied(&rig).await, (0, 1));
        let rig = with(Fault::Error503).await;
        let answer = order(&rig, "k-1").await.unwrap();
        assert_eq!((answer.status, answer.headers["retry-after"].to_str().unwrap()), (503, "1"));
        assert_eq!(applied(&rig).await, (0, 1));
    }

    #[tokio::test]
    async fn a_time_out_after_applying_leaves_a_job() {
        let rig = with(Fault::TimeoutAfterApplying).await;
        assert!(order_within(&rig, "k-1", SHORT).await.unwrap_err().is_timeout());
        assert_eq!(applied(&rig).await, (1, 1));
        let jobs = rig.get("/_sim/jobs").await;
        assert_eq!((&jobs[0]["delivered"], &jobs[0]["applied"]), (&json!(2), &json!(1)));
    }

    #[tokio::test]
    async fn a_lost_answer_leaves_a_job() {
        let rig = with(Fault::LostAnswer).await;
        assert!(!order(&rig, "k-1").await.unwrap_err().is_timeout());
        assert_eq!(applied(&rig).await, (1, 1));
    }

    #[tokio::test]
    async fn a_sign_in_page_is_html_with_status_200() {
        let rig = with(Fault::HtmlAnswer).await;
        let answer = order(&rig, "k-1").await.unwrap();
        assert_eq!(
            (answer.status, answer.headers["content-type"].to_str().unwrap()),
            (200, "text/html; charset=utf-8")
        );
        assert!(answer.body.contains("<form"));
        assert_eq!(applied(&rig).await, (0, 1));
    }

    #[tokio::test]
    async fn spoilt_answers_follow_work_that_was_done() {
        let rig = with(Fault::WrongCharset).await;
        let answer = order(&rig, "k-1").await.unwrap();
        assert!(answer.body.contains(char::REPLACEMENT_CHARACTER), "{}", answer.body);
        assert_eq!(applied(&rig).await, (1, 1));
        let rig = with(Fault::EmptyAnswer).await;
        assert_eq!(order(&rig, "k-1").await.unwrap().body, "");
        assert_eq!(applied(&rig).await, (1, 1));
        let rig = with(Fault::TruncatedAnswer).await;
        let error = order(&rig, "k-1").await.unwrap_err();
        assert!(error.is_body() || error.is_decode(), "{error:?}");
        assert_eq!(applied(&rig).await, (1, 1));
    }

    #[tokio::test]
    async fn a_delay_slows_every_call() {
        let faults = Faults { delay: Duration::from_millis(80), ..Faults::default() };
        let rig = Rig::start(Kind::Housing, Settings { faults, ..still() }).await;
        let started = tokio::time::Instant::now();
        order(&rig, "k-1").await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(80));
    }

    #[tokio::test]
    async fn an_unknown_status_takes_the_place_of_the_ending_and_waits_for_a_person() {
        let rig = with(Fault::UnknownStatus).await;
        order(&rig, "k-1").await.unwrap();
        rig.post("/_sim/step", r#"{"steps": 9}"#).await;
        let job = &rig.get("/_sim/jobs").await[0];
        assert_eq!((&job["status"], &job["phase"]), (&json!("Deferred"), &json!("waiting")));
    }

    #[tokio::test]
    async fn a_call_that_is_no_text_or_too_large_is_refused() {
        let rig = Rig::start(Kind::Housing, still()).await;
        let call = |body: Vec<u8>| send(rig.call(Method::POST, "/api/v2/jobStatusUpdate").body(body));
        assert_eq!(call(vec![0xE9]).await.unwrap().status, 400);
        assert_eq!(call(vec![b' '; 1024 * 1024 + 1]).await.unwrap().status, 413);
    }
}
