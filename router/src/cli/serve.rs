//! `dovetail serve`: runs until it is told to stop.

use std::io::{self, Write as _};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Mistake;
use crate::app::App;
use crate::config::{self, Config};
use crate::listen::Sockets;
use crate::{failpoint, library, telemetry};

/// How long a start that is to be stopped may take to its end.
const LAST_START: Duration = Duration::from_secs(5);

/// Runs the router. The first line on standard output tells where it listens, as JSON.
///
/// # Errors
/// A setting, a mapping or a part cannot be used; all findings are listed.
pub(super) async fn run(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let config = Config::load(file)?;
    let settings = config.telemetry.clone();
    // The exporter of traces has a blocking client, which must not be made on an asynchronous thread.
    let guard = tokio::task::spawn_blocking(move || telemetry::start(&settings)).await??;
    let metrics = telemetry::metrics()?;
    failpoint::arm().map_err(anyhow::Error::msg)?;

    let sources = library::read(config.mappings.folder())?;
    let doors = bind("http.listen", &config.http.listen).await?;
    let console = bind("console.listen", &config.console.listen).await?;
    config.console.check_bound(console.local_addr()?)?;
    let sockets = Sockets { doors, console };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    let mut starting = pin!(App::start(&config, &sources, &config::resolve, sockets, Some(metrics)));
    let started = tokio::select! {
        started = &mut starting => Some(started.map_err(|error| first_steps(error, file, &config))?),
        () = signals.stop() => {
            tracing::info!("stopping before everything has started");
            // What it wrote of itself is taken back where the start comes to its end.
            tokio::time::timeout(LAST_START, starting).await.ok().and_then(Result::ok)
        }
    };
    if let Some(app) = started {
        if !signals.stopped {
            let told =
                serde_json::json!({"listening": app.address.to_string(), "console": app.console.to_string()});
            writeln!(std::io::stdout(), "{told}")?;
            signals.stop().await;
        }
        tracing::info!("stopping");
        app.stop().await;
    }
    tokio::task::spawn_blocking(move || guard.finish()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn bind(setting: &str, address: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("{setting}: {address} cannot be listened on"))
}

/// Whoever starts without saying what is in use is told what to do, in place of all that has no value.
fn first_steps(error: anyhow::Error, file: Option<&Path>, config: &Config) -> anyhow::Error {
    let shipped = config.mappings.folder.is_empty() && config.mappings.systems.is_empty();
    let unset = error.downcast_ref::<library::Error>().is_some_and(library::Error::is_unset);
    if !(shipped && unset) {
        return error;
    }
    let found = match file {
        None => "no configuration was given, and nothing says which systems are in use".to_owned(),
        Some(file) => format!("{}: nothing says which systems are in use", file.display()),
    };
    let hint = "name them in a configuration, for example `[mappings] systems = [\"waste\"]`, set their addresses and \
                keys in the environment, and start with --config FILE; dovetail demo shows the loop without any";
    Mistake::new(found, hint).into()
}

/// What the operating system tells the router.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    stopped: bool,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let listen = |kind| signal(kind);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            stopped: false,
        })
    }

    /// Waits until the router is to stop. SIGHUP is what some send to have settings read anew, and what a terminal sends
    /// that closes: neither is a reason to end.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP changes nothing: settings and mappings are read at the start; restart to have them read anew");
                }
            }
        }
        self.stopped = true;
    }
}
