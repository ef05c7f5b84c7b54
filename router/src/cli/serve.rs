//! `dovetail serve`: runs until it is told to stop.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::config::{self, Config};
use crate::listen::Sockets;
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
    let doors = bind("http.listen", &config.http.listen).await?;
    let console = bind("console.listen", &config.console.listen).await?;
    config.console.check_bound(console.local_addr()?)?;
    let sockets = Sockets { doors, console };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let app = App::start(&config, &sources, &config::resolve, sockets, Some(metrics)).await?;
    let told = serde_json::json!({"listening": app.address.to_string(), "console": app.console.to_string()});
    writeln!(std::io::stdout(), "{told}")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    app.stop().await;
    tokio::task::spawn_blocking(move || guard.finish()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn bind(setting: &str, address: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("{setting}: {address} cannot be listened on"))
}
