//! Logs, traces and metrics: set up once, and the spans of a request's way.

mod lines;
mod metric;

use std::collections::HashMap;
use std::io::IsTerminal as _;

use anyhow::Context as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use metric::{METRICS, Metric, begin};

use crate::bus;
use crate::config::{self, Telemetry};
use crate::ledger::{Attempt, Work};

/// What must be ended when the process ends.
pub struct Guard {
    traces: Option<SdkTracerProvider>,
}

impl Guard {
    /// Sends what is still to be sent.
    pub fn finish(self) {
        if let Some(error) = self.traces.and_then(|provider| provider.shutdown().err()) {
            tracing::warn!(error = %error, "the last traces could not be sent");
        }
    }
}

/// Sets up logs on standard error and, where an endpoint is given, traces by OTLP. To be called outside async code.
///
/// # Errors
/// The filter or the endpoint cannot be used, or logging was set up before.
pub fn start(settings: &Telemetry) -> anyhow::Result<Guard> {
    let filter = EnvFilter::try_new(&settings.log).with_context(|| {
        format!(
            "telemetry.log: {:?} is not a filter: expected for example info or router=debug",
            settings.log
        )
    })?;
    let is_coloured = config::may_colour() && std::io::stderr().is_terminal();
    let lines = lines::lines(settings.format, is_coloured, BoxMakeWriter::new(std::io::stderr));
    let traces = match settings.otlp.as_str() {
        "" => None,
        endpoint => {
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_http()
                .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
                .build()
                .with_context(|| format!("telemetry.otlp: {endpoint:?} cannot be used"))?;
            let resource = Resource::builder().with_service_name("dovetail").build();
            Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
        }
    };
    let spans = traces
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("dovetail")));
    tracing_subscriber::registry()
        .with(filter)
        // Whatever the filter of the settings says.
        .with(filter_fn(|event| bus::may_be_logged(event.target(), *event.level())))
        .with(lines)
        .with(spans)
        .try_init()
        .context("logging was set up before")?;
    Ok(Guard { traces })
}

/// Installs the metrics of this process; rendered at `/metrics` in the Prometheus text format.
///
/// # Errors
/// Metrics were installed before.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    let buckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];
    let handle = PrometheusBuilder::new().set_buckets(&buckets)?.install_recorder()?;
    metric::describe();
    Ok(handle)
}

/// The span of one attempt, a child of the request's trace.
pub fn attempt_span(work: &Work) -> Span {
    let span = tracing::info_span!(
        "attempt",
        system = %work.system,
        operation = %work.operation,
        phase = %work.phase,
        attempt = work.attempt,
        request.id = %work.request,
    );
    continue_trace(&span, work.traceparent.as_deref());
    span
}

/// Makes `span` a child of the W3C trace a message came with.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    if let Some(traceparent) = traceparent {
        let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        // Without a tracer there is no trace to join; the request's own header is then passed on as it is.
        let _joined = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    }
}

/// The W3C header of the current span, where traces are recorded.
pub fn traceparent() -> Option<String> {
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove("traceparent")
}

/// Counts an attempt and its time.
pub fn attempted(work: &Work, attempt: &Attempt) {
    let system = work.system.to_string();
    let took = (attempt.ended_at.as_millisecond() - attempt.started_at.as_millisecond()).max(0);
    metrics::counter!("dovetail_attempts_total", "system" => system.clone(), "outcome" => attempt.outcome.clone()).increment(1);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of one call")]
    metrics::histogram!("dovetail_attempt_seconds", "system" => system).record(took as f64 / 1000.0);
    if attempt.outcome != "delivered" {
        tracing::warn!(outcome = %attempt.outcome, status = attempt.status, duration_ms = took, reason = attempt.reason, "the call was not delivered");
    } else {
        tracing::debug!(duration_ms = took, "the call was delivered");
    }
}
