//! `dovetail serve`: runs until it is told to stop.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::config::{self, Config};
use crate::{failpoint, library, telemetry};

/// Runs the router. The first line on standard output tells where it listens, as JSON.
///
/// # Errors
/// A setting, a mapping or a part cannot be used; all findings are listed.
pub(super) async fn run(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let config = Config::load(file)?;
    let settings = config.telemetry.clone();
    // The exporter of traces has a blocking client, which must not be made on an asynchronous thread.
    let guard = tokio::task::spawn_blocking(move || telemetry::start(&settings)).await??;
    let metrics = telemetry::metrics()?;
    failpoint::arm().map_err(anyhow::Error::msg)?;

    let sources = library::only(library::read(config.mappings.folder())?, &config.mappings.systems);
    let listener = TcpListener::bind(&config.http.listen)
        .await
        .with_context(|| format!("http.listen: {} cannot be listened on", config.http.listen))?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let app = App::start(&config, &sources, &config::resolve, listener, Some(metrics)).await?;
    writeln!(std::io::stdout(), "{}", serde_json::json!({"listening": app.address.to_string()}))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    app.stop().await;
    tokio::task::spawn_blocking(move || guard.finish()).await?;
    Ok(ExitCode::SUCCESS)
}
