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
use super::{Fault, Kind, Shared, control, waste};

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
