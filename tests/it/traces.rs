//! One trace goes from the header of the AMQP message through the calls to the closure, and out by OTLP.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::council::{Council, Crm, request, submitted};
use crate::journeys::settled;
use crate::services::{amqp_url, fresh_postgres};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What was posted to `/v1/traces`, one body after the other.
type Posted = Arc<Mutex<Vec<u8>>>;

async fn keep(State(posted): State<Posted>, body: Bytes) {
    posted.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&body);
}

fn contains(posted: &[u8], part: &[u8]) -> bool {
    posted.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_amqp_header_through_the_calls_to_the_closure_and_out_by_otlp() {
    let posted = Posted::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let otlp = format!("http://{}", listener.local_addr().expect("an address"));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let collector = Router::new().route("/v1/traces", post(keep)).with_state(Arc::clone(&posted));
    let serving = axum::serve(listener, collector).with_graceful_shutdown(stop.clone().cancelled_owned());
    tasks.spawn(async move { serving.await.expect("the collector serves") });

    let ledger = fresh_postgres().await;
    let mut council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 8).await;
    council.set(&format!("[telemetry]\notlp = \"{otlp}\"\n"));
    let program = council.start().await;
    let mut client = council.broker.connect().await;
    let ticket = council.open_simulated(1).await.remove(0);
    let header = format!("00-{TRACE}-00f067aa0ba902b7-01");
    client.publish_traced(&submitted("traced", &request(&ticket, 0)), &header).await;
    client.listen("the closure", |client| !client.heard("ticket.closed").is_empty()).await;
    settled(&ledger, 1).await;

    for kind in ["ticket.accepted", "ticket.handed-over", "ticket.closed"] {
        let trace = client.heard(kind)[0]["traceparent"].as_str().expect("a traceparent").to_owned();
        assert_eq!(trace.split('-').nth(1), Some(TRACE), "{kind}");
    }
    assert!(program.stop().await.success());
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let posted = posted.lock().unwrap_or_else(PoisonError::into_inner);
    let id: Vec<u8> = (0..TRACE.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&TRACE[at..at + 2], 16).expect("hex"))
        .collect();
    assert!(contains(&posted, &id), "the spans belong to the request's trace");
    for part in ["attempt", "waste", "create", "crm", "close"] {
        assert!(contains(&posted, part.as_bytes()), "a span tells of {part}");
    }
    assert!(!contains(&posted, b"jo.lamb"), "no personal field is in a span");
}
