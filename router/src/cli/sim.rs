//! `dovetail sim`: one simulated back office, until it is told to stop.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use connectors::simulator::{self, Faults, Kind, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Mistake, SimArgs};
use crate::config::{Config, Telemetry};
use crate::telemetry;

/// Runs the simulator. The first line on standard output tells where it listens, as JSON.
///
/// # Errors
/// The system, a fault or the port cannot be used.
pub(super) async fn run(args: SimArgs) -> anyhow::Result<ExitCode> {
    let kind: Kind = args
        .system
        .as_str()
        .parse()
        .map_err(|error| Mistake::new(format!("{error}"), "name one of these systems"))?;
    let mut faults = Faults::default();
    for fault in &args.faults {
        let (name, value) = fault.split_once('=').ok_or_else(|| {
            Mistake::new(
                format!("--fault {fault:?} has no value"),
                "write name=value, for example error_500=0.1",
            )
        })?;
        faults
            .set(name, value)
            .map_err(|error| Mistake::new(format!("--fault {fault}: {error}"), "write name=value"))?;
    }
    if args.plain && kind != Kind::Partner {
        return Err(Mistake::new(format!("--plain with {kind}"), "only partner speaks Open311").into());
    }
    // What the simulator has to say, such as that nobody took what it pushed.
    let warnings = Telemetry { log: "warn".to_owned(), ..Config::defaults()?.telemetry };
    let guard = tokio::task::spawn_blocking(move || telemetry::start(&warnings)).await??;
    let seed = args.seed.unwrap_or_else(rand::random);
    let settings =
        Settings { callback: args.callback, faults, seed, plain: args.plain, ..Settings::default() };
    let address = ("127.0.0.1", args.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("port {} cannot be listened on", args.port))?;
    let stop = CancellationToken::new();
    let simulator = simulator::start(kind, listener, settings, stop.clone()).await;
    let environment: serde_json::Map<String, serde_json::Value> =
        simulator.environment().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let line = serde_json::json!({"listening": simulator.address().to_string(), "system": kind.as_str(), "seed": seed, "environment": environment});
    writeln!(std::io::stdout(), "{line}")?;
    tokio::signal::ctrl_c().await.context("Ctrl-C cannot be heard")?;
    stop.cancel();
    simulator.finished().await;
    tokio::task::spawn_blocking(move || guard.finish()).await?;
    Ok(ExitCode::SUCCESS)
}
