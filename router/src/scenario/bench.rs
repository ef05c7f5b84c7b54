//! What scenarios share, one after the other: running simulators, and the mappings compiled for their addresses.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use connectors::simulator::{self, Kind, Pace, Settings, Simulator, Time};
use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{Catalogue, Source};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::document::{Act, Scenario};
use super::overlay;
use crate::clock::Clock;
use crate::library;

/// The queue of the CRM that is asked for its tickets.
pub(super) const QUEUE: &str = "General";
/// The door of a CRM that is asked.
const POLLED: &str = "crm-polled";

/// Benches that nobody uses at the moment.
#[derive(Default)]
pub(super) struct Benches(Mutex<Vec<Bench>>);

/// Simulators with nothing in them, and the mappings that reach them.
pub(super) struct Bench {
    pub(super) simulators: HashMap<SystemName, Simulator>,
    /// The mappings as this scenario has them.
    pub(super) catalogue: Arc<Catalogue>,
    /// The same after each change of the rules.
    pub(super) later: Vec<Arc<Catalogue>>,
    /// The mappings as they are.
    plain: Arc<Catalogue>,
    clock: Arc<Mutex<Clock>>,
    inboxes: Inboxes,
    _stop: DropGuard,
}

/// The folders into which systems put files, gone with the bench.
struct Inboxes(PathBuf);

impl Drop for Inboxes {
    fn drop(&mut self) {
        // What is left is in the folder for what is temporary.
        let _gone = std::fs::remove_dir_all(&self.0).is_ok();
    }
}

impl Benches {
    /// A bench for a scenario.
    pub(super) async fn take(&self, scenario: &Scenario, mappings: &[Source]) -> anyhow::Result<Bench> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bench = match free {
            Some(bench) => bench,
            None => Bench::start(mappings).await?,
        };
        let mut sources = mappings.to_vec();
        let polled = scenario.given.polled;
        bench.catalogue = if scenario.given.overlays.is_empty() && !polled {
            Arc::clone(&bench.plain)
        } else {
            overlay::lay(&scenario.given.overlays, &mut sources);
            compile(&bench.simulators, &bench.inboxes, sources.clone(), polled)?
        };
        bench.later.clear();
        for step in &scenario.steps {
            if let Some(Act::Rules(overlays)) = &step.act {
                overlay::lay(overlays, &mut sources);
                bench.later.push(compile(&bench.simulators, &bench.inboxes, sources.clone(), polled)?);
            }
        }
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
        let name = format!("scenario_inboxes_{}", Uuid::now_v7().simple());
        let inboxes = Inboxes(std::env::temp_dir().join(name));
        let plain = compile(&simulators, &inboxes, mappings.to_vec(), false)?;
        let catalogue = Arc::clone(&plain);
        Ok(Self { simulators, catalogue, later: Vec::new(), plain, clock, inboxes, _stop: stop.drop_guard() })
    }

    /// The simulators forget the scenario before, and have their time from `clock`.
    ///
    /// # Errors
    /// The folders for files cannot be emptied.
    pub(super) async fn begin(&self, clock: &Clock) -> anyhow::Result<()> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock.clone();
        for simulator in self.simulators.values() {
            simulator.reset();
            until_open(simulator, true).await;
        }
        if self.inboxes.0.exists() {
            std::fs::remove_dir_all(&self.inboxes.0).context("the files of the scenario before stay")?;
        }
        let files = self.catalogue.systems().filter_map(|system| system.files.as_ref()?.folder.as_ref());
        for folder in files {
            std::fs::create_dir_all(folder).with_context(|| format!("{folder} cannot be made"))?;
        }
        Ok(())
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
    inboxes: &Inboxes,
    sources: Vec<Source>,
    polled: bool,
) -> anyhow::Result<Arc<Catalogue>> {
    let environment: Vec<(&str, String)> = simulators.values().flat_map(Simulator::environment).collect();
    let inbox = |name: &str| {
        let system = name.strip_suffix("_INBOX")?.to_lowercase();
        Some(inboxes.0.join(system).display().to_string())
    };
    let resolve = |name: &str| {
        let known = environment.iter().find(|(known, _)| *known == name);
        let queue = || (name == "CRM_QUEUE").then(|| QUEUE.to_owned());
        known.map(|(_, value)| value.clone()).or_else(|| inbox(name)).or_else(queue)
    };
    let mut names: Vec<String> = simulators.keys().map(ToString::to_string).collect();
    names.extend(polled.then(|| POLLED.to_owned()));
    Ok(Arc::new(library::compile_only(&sources, &names, &resolve)?))
}
