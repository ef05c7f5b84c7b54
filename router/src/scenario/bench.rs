//! What scenarios share, one after the other: running simulators, and the mappings compiled for their addresses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use connectors::simulator::{self, Kind, Pace, Settings, Simulator, Time};
use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{Catalogue, Source};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::document::Scenario;
use super::overlay;
use crate::clock::Clock;
use crate::library;

/// Benches that nobody uses at the moment.
#[derive(Default)]
pub(super) struct Benches(Mutex<Vec<Bench>>);

/// Simulators with nothing in them, and the mappings that reach them.
pub(super) struct Bench {
    pub(super) simulators: HashMap<SystemName, Simulator>,
    /// The mappings as this scenario has them.
    pub(super) catalogue: Arc<Catalogue>,
    /// The mappings as they are.
    plain: Arc<Catalogue>,
    clock: Arc<Mutex<Clock>>,
    _stop: DropGuard,
}

impl Benches {
    /// A bench for a scenario.
    pub(super) async fn take(&self, scenario: &Scenario, mappings: &[Source]) -> anyhow::Result<Bench> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bench = match free {
            Some(bench) => bench,
            None => Bench::start(mappings).await?,
        };
        bench.catalogue = if scenario.given.overlays.is_empty() {
            Arc::clone(&bench.plain)
        } else {
            let mut sources = mappings.to_vec();
            overlay::lay(&scenario.given.overlays, &mut sources);
            compile(&bench.simulators, sources)?
        };
        Ok(bench)
    }

    /// Takes a bench back.
    pub(super) fn put(&self, bench: Bench) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(bench);
    }
}

impl Bench {
    async fn start(mappings: &[Source]) -> anyhow::Result<Self> {
        let clock = Arc::new(Mutex::new(Clock::stopped_at(Timestamp::UNIX_EPOCH)));
        let stop = CancellationToken::new();
        let mut simulators = HashMap::new();
        for kind in Kind::ALL {
            let told = Arc::clone(&clock);
            let settings = Settings {
                pace: Pace { paused: true, ..Pace::default() },
                time: Time::told(move || told.lock().unwrap_or_else(PoisonError::into_inner).now()),
                ..Settings::default()
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
            let simulator = simulator::start(kind, listener, settings, stop.clone()).await;
            simulators.insert(SystemName::parse(kind.as_str())?, simulator);
        }
        let plain = compile(&simulators, mappings.to_vec())?;
        Ok(Self { simulators, catalogue: Arc::clone(&plain), plain, clock, _stop: stop.drop_guard() })
    }

    /// The simulators forget the scenario before, and have their time from `clock`.
    pub(super) async fn begin(&self, clock: &Clock) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock.clone();
        for simulator in self.simulators.values() {
            simulator.reset();
            until_open(simulator, true).await;
        }
    }
}

/// Returns when the port of a simulator takes connections, or no longer does.
pub(super) async fn until_open(simulator: &Simulator, open: bool) {
    while TcpStream::connect(simulator.address()).await.is_ok() != open {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn compile(
    simulators: &HashMap<SystemName, Simulator>,
    sources: Vec<Source>,
) -> anyhow::Result<Arc<Catalogue>> {
    let environment: Vec<(&str, String)> = simulators.values().flat_map(Simulator::environment).collect();
    let resolve =
        |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let names: Vec<String> = simulators.keys().map(ToString::to_string).collect();
    Ok(Arc::new(library::compile(&library::only(sources, &names), &resolve)?))
}
