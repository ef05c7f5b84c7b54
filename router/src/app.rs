//! The router as a whole: its parts, started in order and stopped in order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use connectors::Connector;
use mappings::domain::SystemName;
use mappings::mapping::{BreakerRule, Catalogue, RetryRule, Source, System};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::api::{self, Doors, Readiness};
use crate::bus::{self, Queue};
use crate::clock::Clock;
use crate::complete::Listener;
use crate::config::Config;
use crate::dispatch::{Asker, Desk, Halts, Lane, Lookout, Turns};
use crate::files::Watcher;
use crate::harvest::Harvester;
use crate::home::Home;
use crate::intake::Intake;
use crate::ledger::{self, Ledger, Lessee, Outbox, Places, Room, Sole, WorkerId, Writer};
use crate::listen::{self, Crowds, Endpoint, Sockets};
use crate::probing::Prober;
use crate::reading::Memory;
use crate::reconcile::Reconciler;
use crate::share::{Shared, Shares};
use crate::stage::{self, Stage};
use crate::{
    backlog, closing, console, inlet, library, relay, report, rescue, secrets, sla, telemetry, undo,
};

/// How many events are held in memory for the relay.
const EVENTS_IN_MEMORY: usize = 10_000;

/// A running router.
pub struct App {
    /// Where the doors listen.
    pub address: SocketAddr,
    /// Where the console listens.
    pub console: SocketAddr,
    /// What is served: the name of each listener, with its endpoints.
    pub endpoints: Vec<(&'static str, Vec<Endpoint>)>,
    /// Its ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Its mappings.
    pub catalogue: Arc<Catalogue>,
    /// Its time.
    pub clock: Clock,
    worker: WorkerId,
    inward: Stage,
    calls: Stage,
    outward: Stage,
    links: Stage,
    writes: Stage,
    readiness: watch::Sender<Readiness>,
    stop_within: Duration,
    /// Held until the router has stopped.
    _sole: Option<Sole>,
}

/// How long a stop waits for the leases to be given up.
const LAST_WRITE: Duration = Duration::from_secs(5);

impl App {
    /// Compiles the mappings, opens the ledger, and starts every part.
    ///
    /// `resolve` gives what stands for `${NAME}` in a mapping.
    ///
    /// # Errors
    /// A mapping, a setting or the ledger cannot be used; every finding in the mappings is listed.
    pub async fn start(
        config: &Config,
        sources: &[Source],
        resolve: &dyn Fn(&str) -> Option<String>,
        sockets: Sockets,
        metrics: Option<PrometheusHandle>,
    ) -> anyhow::Result<Self> {
        let crowds = Crowds::new(config);
        let catalogue = Arc::new(library::compile_only(sources, &config.mappings.systems, resolve)?);
        for crm in catalogue.unused_crms() {
            tracing::info!(
                %crm,
                "closures are events only, since this CRM is not in mappings.systems; add it where it is to be called"
            );
        }
        secrets::check(&catalogue)?;
        for weakness in secrets::weaknesses(config, &catalogue) {
            tracing::warn!(weakness, "a secret can be guessed");
        }
        telemetry::begin(catalogue.systems().map(|system| &system.name));
        let sole = Sole::take(&config.ledger.url)?;
        let ledger = open(config, &catalogue).await?;
        let clock = Clock::started_at(ledger.now().await.context("the ledger does not answer")?);
        let worker = WorkerId(Uuid::now_v7());
        let connecting = config.has_bus().then(|| "connecting".to_owned());
        let (readiness, ready) = watch::channel(Readiness { bus: connecting, ..Readiness::default() });
        let shared = shared(&catalogue);
        let outbox = outbox(config);
        let pulse = rescue::Pulse::new(clock.clone(), config.worker.dead_after.0);
        let mut keeper = rescue::Keeper {
            ledger: Arc::clone(&ledger),
            worker,
            clock: clock.clone(),
            heartbeat: config.worker.heartbeat.0,
            dead_after: config.worker.dead_after.0,
            trouble: watch::Sender::new(None),
            home: Home::take(worker),
            shares: Shares::new(worker, shared.clone()),
            outbox: outbox.clone(),
            pulse: pulse.clone(),
        };
        keeper.begin(&config.ledger.url).await?;

        // The lanes make room as far as their shares go.
        let room = Room::new(catalogue.systems().map(|system| (system.name.clone(), 0)));
        let lessee = Lessee { worker, room, outbox };
        let (events, to_relay) = mpsc::unbounded_channel();
        let (work, to_lanes) = mpsc::unbounded_channel();
        let [inward, calls, outward, links, writes] = std::array::from_fn(|_| Stage::new());
        let (writer, lanes) = Writer::new(Arc::clone(&ledger), lessee.clone(), events, work);
        writes.tasks.spawn(lanes.run(writes.stop.clone()));

        let connectors = connectors(&catalogue)?;
        let turns = turns(&shared, &keeper.shares);
        let desk = Desk {
            catalogue: Arc::clone(&catalogue),
            ledger: Arc::clone(&ledger),
            writer: writer.clone(),
            lessee: lessee.clone(),
            clock: clock.clone(),
            claim_every: config.worker.claim_every.0,
            room_factor: config.worker.room_factor,
            // Before anything is called: a system that was paused stays so over a start.
            halts: watch::Sender::new(Halts::of(ledger.halts().await?)),
            pulse,
        };
        let lookout = Lookout {
            ledger: Arc::clone(&ledger),
            catalogue: Arc::clone(&catalogue),
            clock: clock.clone(),
            every: config.worker.claim_every.0,
            halts: desk.halts.clone(),
            readiness: readiness.clone(),
        };
        links.tasks.spawn(lookout.run(links.stop.clone()));
        start_lanes(config, &desk, &connectors, to_lanes, (&keeper.shares, &turns), &calls)?;
        let askers = askers(connectors, &turns)?;
        let listeners = start_listeners(config, &desk, worker, &askers, &inward)?;

        let intake = Intake::new(Arc::clone(&catalogue), writer.clone());
        start_harvesters(config, &desk, &askers, &intake, &inward)?;
        start_watchers(config, &desk, &inward);
        let bounds = config.reading.bounds(config.http.max_body_bytes);
        let memory = Memory::new(config.reading.memory_bytes);
        if config.has_bus() {
            let ends = bus::open(config.bus.settings(), clock.clone()).context("bus.url cannot be used")?;
            let inlet = inlet::Inlet {
                intake: intake.clone(),
                writer: writer.clone(),
                clock: clock.clone(),
                bounds,
                memory: memory.clone(),
                bus: ends.bus.clone(),
                most: usize::from(config.bus.prefetch.max(1)) * 2,
                delivery_limit: u32::from(config.bus.settings().topology.delivery_limit),
                ledger: Arc::clone(&ledger),
                suspects: inlet::Suspects::default(),
            };
            let (stop, completions) = (&inward.stop, ends.completions);
            inward.tasks.spawn(inlet.clone().run(Queue::Intake, ends.intake, stop.clone()));
            inward.tasks.spawn(inlet.run(Queue::Completions, completions, stop.clone()));
            let relay = relay::Relay {
                ledger: Arc::clone(&ledger),
                writer: writer.clone(),
                lessee: lessee.clone(),
                exchange: config.bus.events_exchange.clone(),
                readiness: readiness.clone(),
                claim_every: config.worker.claim_every.0,
            };
            outward.tasks.spawn(relay.run(to_relay, ends.publisher, ends.confirmed, outward.stop.clone()));
            links.tasks.spawn(rescue::watch_bus(ends.bus.state(), readiness.clone(), links.stop.clone()));
            let letters = ends.bus.dead_letters();
            links.tasks.spawn(rescue::watch_dead_letters(letters, readiness.clone(), links.stop.clone()));
            links.tasks.spawn(ends.supervisor.run(links.stop.clone()));
        }
        let undo = undo::Undo {
            ledger: Arc::clone(&ledger),
            lessee: Lessee::without_room(worker, &lessee.outbox),
            clock: clock.clone(),
            every: config.worker.claim_every.0,
        };
        calls.tasks.spawn(undo.run(calls.stop.clone()));
        let prober = Prober {
            probe: ledger.probe(worker),
            clock: clock.clone(),
            heartbeat: keeper.trouble.subscribe(),
            readiness: readiness.clone(),
        };
        links.tasks.spawn(prober.run(links.stop.clone()));
        links.tasks.spawn(keeper.run(links.stop.clone()));

        let timekeeper = sla::Timekeeper::new(
            Arc::clone(&ledger),
            &lessee,
            Arc::clone(&catalogue),
            clock.clone(),
            config.worker.clocks_every.0,
        );
        inward.tasks.spawn(timekeeper.run(inward.stop.clone()));
        let bookkeeper =
            report::Bookkeeper { ledger: Arc::clone(&ledger), every: config.worker.clocks_every.0 };
        links.tasks.spawn(bookkeeper.run(links.stop.clone()));
        let counter = backlog::Counter {
            ledger: Arc::clone(&ledger),
            catalogue: Arc::clone(&catalogue),
            clock: clock.clone(),
            every: config.worker.clocks_every.0,
            readiness: readiness.clone(),
        };
        links.tasks.spawn(counter.run(links.stop.clone()));

        let doors = Doors {
            intake,
            keys: Arc::new(api::Keys::new(&config.http)),
            strangers: api::Strangers::default(),
            listeners,
            ledger: Arc::clone(&ledger),
            catalogue: Arc::clone(&catalogue),
            crowds: crowds.clone(),
            readiness: ready.clone(),
            clock: clock.clone(),
            bounds,
            bodies: Memory::new(config.http.bodies_bytes),
            callbacks: Memory::new(config.http.bodies_bytes),
            memory,
        };
        let desk = console::Desk {
            ledger: Arc::clone(&ledger),
            catalogue: Arc::clone(&catalogue),
            clock: clock.clone(),
            readiness: ready,
            crowds: crowds.clone(),
        };
        let endpoints =
            vec![("doors", api::endpoints(&doors)), ("console", console::endpoints(&desk, metrics))];
        let (doors, pages) = (
            listen::router(&endpoints[0].1, api::fallback()),
            listen::router(&endpoints[1].1, console::fallback()),
        );
        let doors = crowds.doors(sockets.doors, doors, &config.http.hosts);
        let pages = crowds.console(sockets.console, pages, &config.console.hosts);
        let address = doors.address().context("the listener of the doors has no address")?;
        let console = pages.address().context("the listener of the console has no address")?;
        inward.tasks.spawn(doors.run(inward.stop.clone()));
        inward.tasks.spawn(pages.run(inward.stop.clone()));
        tracing::info!(address = %address, console = %console, ledger = %crate::config::without_password(&config.ledger.url), bus = config.has_bus(), "running");
        Ok(Self {
            address,
            console,
            endpoints,
            ledger,
            catalogue,
            clock,
            worker,
            inward,
            calls,
            outward,
            links,
            writes,
            readiness,
            stop_within: config.worker.stop_within.0,
            _sole: sole,
        })
    }

    /// Stops in order: nothing new comes in, calls under way end, events go out, leases are given up. What has not ended
    /// when the time for stopping is over counts as if the router had been killed.
    pub async fn stop(self) {
        self.readiness.send_modify(|readiness| readiness.stopping = true);
        let stages = [
            ("what comes in", 0.25, &self.inward),
            ("calls under way", 0.8, &self.calls),
            ("events on their way", 0.9, &self.outward),
            ("connections", 0.95, &self.links),
            ("writes", 1.0, &self.writes),
        ];
        stage::finish(&stages, self.stop_within).await;
        let released = tokio::time::timeout(LAST_WRITE, self.ledger.release(self.worker)).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::warn!(answer = ?released, "leases could not be given up; others take them over when they are due");
        }
        tracing::info!("stopped");
    }
}

async fn open(config: &Config, catalogue: &Arc<Catalogue>) -> anyhow::Result<Arc<dyn Ledger>> {
    let address = crate::config::without_password(&config.ledger.url);
    let (closer, reader) = closing::rules(catalogue);
    ledger::open(&config.ledger.url, closer, reader, config.ledger.connections)
        .await
        .with_context(|| format!("the ledger at {address} cannot be opened"))
}

fn shared(catalogue: &Catalogue) -> Vec<Shared> {
    let shared = |system: &Arc<System>| Shared {
        system: system.name.clone(),
        limits: system.limits.clone(),
        slots: Places::new(0),
    };
    catalogue.systems().map(shared).collect()
}

fn outbox(config: &Config) -> Outbox {
    if config.has_bus() { Outbox::On(Places::new(EVENTS_IN_MEMORY)) } else { Outbox::Off }
}

fn connectors(catalogue: &Catalogue) -> anyhow::Result<HashMap<SystemName, Arc<Connector>>> {
    let connect = |system: &Arc<System>| {
        let connector =
            Connector::new(system).with_context(|| format!("{} cannot be called", system.name))?;
        Ok((system.name.clone(), Arc::new(connector)))
    };
    catalogue.systems().map(connect).collect()
}

/// The turns of each system, within this worker's share of its limits.
fn turns(shared: &[Shared], shares: &Shares) -> HashMap<SystemName, Arc<Turns>> {
    let turns = |shared: &Shared| Turns::new(shared.system.clone(), shares.grants(), shared.slots.clone());
    shared.iter().map(|shared| (shared.system.clone(), Arc::new(turns(shared)))).collect()
}

/// Who reads from each system, in turn with the calls of its lane.
fn askers(
    connectors: HashMap<SystemName, Arc<Connector>>,
    turns: &HashMap<SystemName, Arc<Turns>>,
) -> anyhow::Result<HashMap<SystemName, Asker>> {
    let asker = |(name, connector)| {
        let turns = turns.get(&name).cloned().context("every system has turns")?;
        Ok((name, Asker::new(connector, turns)))
    };
    connectors.into_iter().map(asker).collect()
}

fn start_lanes(
    config: &Config,
    desk: &Desk,
    connectors: &HashMap<SystemName, Arc<Connector>>,
    mut work: mpsc::UnboundedReceiver<ledger::Work>,
    (shares, turns): (&Shares, &HashMap<SystemName, Arc<Turns>>),
    stage: &Stage,
) -> anyhow::Result<()> {
    let mut lanes = HashMap::new();
    for system in desk.catalogue.systems() {
        let (sender, memory) = mpsc::unbounded_channel();
        lanes.insert(system.name.clone(), sender);
        let connector = connectors.get(&system.name).cloned().context("every system has a connector")?;
        let turns = turns.get(&system.name).cloned().context("every system has turns")?;
        let rules = (retry_rule(config, system.retry), breaker_rule(config, system.limits.breaker));
        let lane = Lane::new(desk.clone(), system, rules, connector, memory, (shares.grants(), turns));
        stage.tasks.spawn(lane.run(stage.stop.clone()));
    }
    let stop = stage.stop.clone();
    stage.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                next = work.recv() => {
                    let Some(next) = next else { return };
                    // A lane that has stopped leaves its calls to the ledger.
                    if let Some(lane) = lanes.get(&next.system) {
                        let _left = lane.send(next).is_err();
                    }
                }
            }
        }
    });
    Ok(())
}

fn start_listeners(
    config: &Config,
    desk: &Desk,
    worker: WorkerId,
    askers: &HashMap<SystemName, Asker>,
    stage: &Stage,
) -> anyhow::Result<Arc<HashMap<String, Listener>>> {
    let mut listeners = HashMap::new();
    for system in desk.catalogue.systems() {
        let listener = Listener {
            catalogue: Arc::clone(&desk.catalogue),
            system: system.name.clone(),
            connector: askers.get(&system.name).cloned().context("every system has a connector")?,
            ledger: Arc::clone(&desk.ledger),
            writer: desk.writer.clone(),
            clock: desk.clock.clone(),
            halts: desk.halts.subscribe(),
        };
        if let Some(poll) = &system.poll {
            let every = config.pace.poll_every.given().unwrap_or(poll.every());
            stage.tasks.spawn(listener.clone().run(every, stage.stop.clone()));
        }
        if let Some(status) = &system.status {
            let reconciler = Reconciler { listener: listener.clone(), worker, rate: system.limits.rate };
            stage.tasks.spawn(reconciler.run(status.every, stage.stop.clone()));
        }
        if let Some(webhook) = &system.webhook {
            listeners.insert(webhook.path.clone(), listener);
        }
    }
    Ok(Arc::new(listeners))
}

fn start_harvesters(
    config: &Config,
    desk: &Desk,
    askers: &HashMap<SystemName, Asker>,
    intake: &Intake,
    stage: &Stage,
) -> anyhow::Result<()> {
    for system in desk.catalogue.systems() {
        let connector = askers.get(&system.name).cloned().context("every system has a connector")?;
        let (ledger, clock) = (Arc::clone(&desk.ledger), desk.clock.clone());
        let harvester = Harvester::new(&desk.catalogue, system, connector, ledger, intake.clone(), clock);
        if let Some((harvester, every)) = harvester {
            let every = config.pace.poll_every.given().unwrap_or(every);
            stage.tasks.spawn(harvester.run(every, stage.stop.clone()));
        }
    }
    Ok(())
}

fn start_watchers(config: &Config, desk: &Desk, stage: &Stage) {
    for system in desk.catalogue.systems() {
        let (books, clock) = ((Arc::clone(&desk.ledger), desk.writer.clone()), desk.clock.clone());
        let watcher = Watcher::new(&desk.catalogue, system, books, clock, config.files.bounds());
        if let Some((watcher, every)) = watcher {
            let every = config.pace.poll_every.given().unwrap_or(every);
            stage.tasks.spawn(watcher.run(every, stage.stop.clone()));
        }
    }
}

fn breaker_rule(config: &Config, rule: Option<BreakerRule>) -> Option<BreakerRule> {
    let rule = rule?;
    let most = config.pace.retry_most.given().map_or(rule.most, |most| most.min(rule.most));
    Some(BreakerRule { pause: rule.pause.min(most), most, ..rule })
}

fn retry_rule(config: &Config, rule: RetryRule) -> RetryRule {
    RetryRule {
        first: config.pace.retry_first.given().unwrap_or(rule.first),
        most: config.pace.retry_most.given().unwrap_or(rule.most),
        attempts: rule.attempts,
    }
}
