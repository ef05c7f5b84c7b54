//! `dovetail demo`: the whole loop on one machine, with simulated back offices and a simulated CRM.
//!
//! The router is the real one, with the settings that a file could give it; only the other ends are simulated.

mod crm;
mod outcome;
mod scenario;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use connectors::simulator::{self, Kind, Pace, Settings, Simulator};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use mappings::domain::RequestState;
use mappings::mapping::Source;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use crate::cli::{DemoArgs, Output};
use crate::config::{Config, Key, Span};
use crate::ledger::Parked;
use crate::listen::Sockets;
use crate::{library, telemetry};

use crm::{Crm, Sent};
use outcome::Outcome;

/// The systems of the demonstration: the back offices, and one CRM.
const KINDS: [Kind; 5] = [Kind::Housing, Kind::Revenues, Kind::Waste, Kind::Partner, Kind::Crm];
/// How many requests are on their way to the router at once.
const AT_ONCE: usize = 32;
/// How long the tickets may take to settle before the rest counts as lost.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the revenues system is down.
const DOWN: Duration = Duration::from_secs(3);

/// Runs the demonstration. The exit code is 0 only if nothing was lost.
///
/// # Errors
/// A part could not be started.
pub async fn run(args: DemoArgs, output: Output) -> anyhow::Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let folder = std::env::temp_dir().join(format!("dovetail-demo-{}", Uuid::now_v7()));
    std::fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let result = with_parts(&args, output, seed, &folder).await;
    std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    result
}

async fn with_parts(
    args: &DemoArgs,
    output: Output,
    seed: u64,
    folder: &std::path::Path,
) -> anyhow::Result<ExitCode> {
    let doors = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
    let console = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
    let base = format!("http://{}", doors.local_addr()?);
    let pages = format!("http://{}", console.local_addr()?);
    let sockets = Sockets { doors, console };
    let stop_simulators = CancellationToken::new();
    let simulators = start_simulators(&base, seed, &stop_simulators).await?;
    let environment: Vec<(&str, String)> =
        simulators.iter().flat_map(|(_, simulator)| simulator.environment()).collect();
    let resolve =
        |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());

    let key = Uuid::new_v4().simple().to_string();
    let config = config(args, folder, &key)?;
    let sources: Vec<Source> = library::read(None)?;
    let metrics = telemetry::metrics().ok();
    let app = App::start(&config, &sources, &resolve, sockets, metrics).await?;

    let crm_address = simulators
        .iter()
        .find(|(kind, _)| *kind == Kind::Crm)
        .map(|(_, s)| s.address())
        .context("the CRM runs")?;
    let crm = Crm::connect(&config, &base, &key, &format!("http://{crm_address}")).await?;
    let started = Instant::now();
    let sent = send(args.requests, seed, &crm, &app, &simulators, output).await?;
    settle(&app, &sent, output).await?;
    let outcome = Outcome::gather(&app, &crm, &sent, started.elapsed(), seed).await?;
    outcome.print(output, &pages)?;
    let exit = if outcome.lost() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if !args.exit {
        let ticket = sent.iter().find(|sent| sent.opened()).map(|sent| sent.ticket.as_str());
        outcome::invite(&pages, &config.ledger.url, ticket)?;
        tokio::signal::ctrl_c().await.context("Ctrl-C cannot be heard")?;
    }
    app.stop().await;
    crm.disconnect().await;
    stop_simulators.cancel();
    for (_, simulator) in simulators {
        simulator.finished().await;
    }
    Ok(exit)
}

async fn start_simulators(
    base: &str,
    seed: u64,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<(Kind, Simulator)>> {
    let mut running = Vec::new();
    for kind in KINDS {
        let settings = Settings {
            callback: Some(base.to_owned()),
            pace: Pace { step: Duration::from_millis(300), ..Pace::default() },
            seed,
            ..Settings::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        running.push((kind, simulator::start(kind, listener, settings, stop.clone()).await));
    }
    Ok(running)
}

/// The shipped settings, with retries and polls that suit a demonstration.
fn config(args: &DemoArgs, folder: &std::path::Path, key: &str) -> anyhow::Result<Config> {
    let mut config = Config::defaults()?;
    config.ledger.url =
        args.database.clone().unwrap_or_else(|| format!("sqlite:{}", folder.join("ledger.db").display()));
    config.http.keys =
        vec![Key { name: "demo".into(), key: key.into(), old_key: None, councils: vec!["*".into()] }];
    config.mappings.systems = KINDS.iter().map(|kind| kind.as_str().to_owned()).collect();
    config.pace.poll_every = Span(Duration::from_millis(500));
    config.pace.retry_first = Span(Duration::from_millis(200));
    config.pace.retry_most = Span(Duration::from_secs(1));
    config.worker.claim_every = Span(Duration::from_millis(100));
    if let Some(bus) = &args.bus {
        config.bus.url.clone_from(bus);
        for name in [
            &mut config.bus.requests_exchange,
            &mut config.bus.requests_queue,
            &mut config.bus.completions_exchange,
            &mut config.bus.completions_queue,
            &mut config.bus.events_exchange,
            &mut config.bus.dead_exchange,
        ] {
            *name = format!("demo.{name}");
        }
    }
    Ok(config)
}

/// Opens a ticket for each request and submits it. A fifth of the way through, revenues is down for a while.
async fn send(
    count: u32,
    seed: u64,
    crm: &Crm,
    app: &App,
    simulators: &[(Kind, Simulator)],
    output: Output,
) -> anyhow::Result<Vec<Sent>> {
    let bar = bar("requests sent", u64::from(count), output)?;
    let wanted = scenario::requests(count, seed, app.clock.now());
    let down_at = wanted.len() / 5;
    let revenues =
        simulators.iter().find(|(kind, _)| *kind == Kind::Revenues).map(|(_, simulator)| simulator);
    let mut sent = Vec::with_capacity(wanted.len());
    let sends: Vec<_> = wanted.into_iter().map(|wanted| crm.send(wanted)).collect();
    let mut results = futures::stream::iter(sends).buffered(AT_ONCE);
    while let Some(result) = results.next().await {
        sent.push(result?);
        bar.inc(1);
        if let Some(revenues) = revenues.filter(|_| sent.len() == down_at) {
            revenues.refuse_for(DOWN);
        }
    }
    bar.finish();
    Ok(sent)
}

/// Waits until every ticket is closed, held or parked, or patience ends.
async fn settle(app: &App, sent: &[Sent], output: Output) -> anyhow::Result<()> {
    let opened = sent.iter().filter(|sent| sent.opened()).count();
    let bar = bar("tickets settled", u64::try_from(opened)?, output)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let counts = app.ledger.counts().await?;
        let settled = counts
            .tickets
            .iter()
            .filter(|(state, parked, _)| is_settled(*state, *parked))
            .map(|(_, _, n)| n)
            .sum();
        bar.set_position(settled);
        if settled >= u64::try_from(opened)? && counts.outbox == 0 || Instant::now() > end {
            bar.finish();
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_settled(state: RequestState, parked: Parked) -> bool {
    match state {
        RequestState::Closed | RequestState::Held => true,
        RequestState::Open | RequestState::Closing => parked == Parked::Yes,
    }
}

fn bar(label: &'static str, length: u64, output: Output) -> anyhow::Result<ProgressBar> {
    match output {
        Output::Json => Ok(ProgressBar::hidden()),
        Output::Text => {
            let style = ProgressStyle::with_template("{msg:16} [{bar:40}] {pos}/{len}  {elapsed}")?;
            Ok(ProgressBar::new(length).with_style(style).with_message(label))
        }
    }
}
