//! A council for one scenario: its CRM, its back offices, and the router between them, on a clock that stands still.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use connectors::Connector;
use connectors::simulator::{Kind, Simulator};
use mappings::domain::{Council, SystemName, Ticket};
use mappings::mapping::{Catalogue, Limits};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Database;
use super::bench::Bench;
use super::document::Scenario;
use crate::api::Readiness;
use crate::clock::Clock;
use crate::complete::Listener;
use crate::config::Config;
use crate::dispatch::{Asker, Desk, Halts, Lane, Lookout, Turns};
use crate::files::Watcher;
use crate::harvest::Harvester;
use crate::intake::Intake;
use crate::ledger::{self, Ledger, Lessee, Outbox, Places, Room, Work, WorkerId, Writer};
use crate::reconcile::Reconciler;
use crate::share::{Shared, Shares};
use crate::sla::Timekeeper;
use crate::undo::Undo;
use crate::{closing, rescue};

/// Connections to the database.
const CONNECTIONS: u32 = 3;
/// How often the lanes would look by themselves, which they never do here.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Between two heartbeats that are never made.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Everything of one scenario.
pub(super) struct World<'b> {
    pub(super) clock: Clock,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) intake: Intake,
    pub(super) writer: Writer,
    pub(super) lanes: Vec<Lane>,
    pub(super) memory: HashMap<SystemName, UnboundedSender<Work>>,
    pub(super) work: UnboundedReceiver<Work>,
    pub(super) lookout: Lookout,
    pub(super) undo: Undo,
    pub(super) listeners: HashMap<SystemName, Listener>,
    /// Who looks for files, and how often.
    pub(super) watchers: Vec<(Watcher, Duration)>,
    pub(super) reconcilers: HashMap<SystemName, Reconciler>,
    /// Who asks CRMs for their tickets, and how often.
    pub(super) harvesters: Vec<(Harvester, Duration)>,
    pub(super) simulators: &'b HashMap<SystemName, Simulator>,
    /// Every ticket that was named, in the order in which it was.
    pub(super) tickets: Vec<(Council, Ticket)>,
    /// What the person who decided last was told.
    pub(super) person_read: String,
    /// Looks at the clocks of what was promised, where the scenario has them run.
    pub(super) timekeeper: Option<Timekeeper>,
    /// The mappings with which it goes on when the rules change, in order.
    pub(super) later: VecDeque<Arc<Catalogue>>,
    /// How many messages were sent.
    pub(super) messages: u32,
    /// Holds the shares of the lanes.
    _keeper: rescue::Keeper,
    writes: JoinHandle<()>,
    stop: CancellationToken,
    place: Place,
}

/// Where the ledger is, to be taken away at the end.
enum Place {
    Folder(PathBuf),
    Schema { server: String, schema: String },
}

impl<'b> World<'b> {
    /// Starts everything that `scenario` needs.
    pub(super) async fn build(
        scenario: &Scenario,
        database: &Database,
        bench: &'b Bench,
    ) -> anyhow::Result<Self> {
        let clock = Clock::stopped_at(scenario.given.time);
        bench.begin(&clock).await?;
        if scenario.given.plain {
            let partner = SystemName::parse(Kind::Partner.as_str())?;
            bench.simulators.get(&partner).context("there is no simulator of partner")?.speak_plainly();
        }
        let stop = CancellationToken::new();
        let catalogue = Arc::clone(&bench.catalogue);
        let (place, url) = make_room(database).await?;
        let (closer, reader) = closing::rules(&catalogue);
        let ledger = ledger::open(&url, closer, reader, CONNECTIONS).await.context("no ledger")?;
        let worker = WorkerId(Uuid::now_v7());
        let shared = shared(&catalogue);
        let pulse = rescue::Pulse::new(clock.clone(), NEVER);
        let (readiness, _) = watch::channel(Readiness::default());
        let mut keeper = rescue::Keeper {
            ledger: Arc::clone(&ledger),
            worker,
            clock: clock.clone(),
            heartbeat: AT_ONCE,
            dead_after: NEVER,
            trouble: watch::Sender::new(None),
            home: None,
            shares: Shares::new(worker, shared.clone()),
            outbox: Outbox::Off,
            pulse: pulse.clone(),
        };
        keeper.begin(&url).await?;
        let room = Room::new(catalogue.systems().map(|system| (system.name.clone(), 0)));
        let lessee = Lessee { worker, room, outbox: Outbox::Off };
        // Without an outbox no event is ever sent on.
        let (events, _) = mpsc::unbounded_channel();
        let (to_lanes, work) = mpsc::unbounded_channel();
        let (writer, flushes) = Writer::new(Arc::clone(&ledger), lessee.clone(), events, to_lanes);
        let undo = Undo {
            ledger: Arc::clone(&ledger),
            lessee: Lessee::without_room(worker, &lessee.outbox),
            clock: clock.clone(),
            every: NEVER,
        };
        let timekeeper = scenario.given.clocks.then(|| {
            Timekeeper::new(Arc::clone(&ledger), &lessee, Arc::clone(&catalogue), clock.clone(), NEVER)
        });
        let desk = Desk {
            catalogue: Arc::clone(&catalogue),
            ledger: Arc::clone(&ledger),
            writer: writer.clone(),
            lessee,
            clock: clock.clone(),
            claim_every: NEVER,
            room_factor: 1,
            halts: watch::Sender::new(Halts::of(Vec::new())),
            pulse,
        };
        let lookout = Lookout {
            ledger: Arc::clone(&ledger),
            catalogue: Arc::clone(&catalogue),
            clock: clock.clone(),
            every: NEVER,
            halts: desk.halts.clone(),
            readiness,
        };
        let (mut lanes, mut memory) = (Vec::new(), HashMap::new());
        let (mut listeners, mut reconcilers) = (HashMap::new(), HashMap::new());
        let intake = Intake::new(Arc::clone(&catalogue), writer.clone());
        let mut harvesters = Vec::new();
        let bounds = Config::defaults()?.files.bounds();
        let watchers = catalogue.systems().filter_map(|system| {
            let books = (Arc::clone(&ledger), writer.clone());
            Watcher::new(&catalogue, system, books, clock.clone(), bounds.clone())
        });
        let watchers = watchers.collect();
        for system in catalogue.systems() {
            let connector = Arc::new(Connector::new(system)?);
            let (sender, receiver) = mpsc::unbounded_channel();
            memory.insert(system.name.clone(), sender);
            let slots = shared.iter().find(|shared| shared.system == system.name);
            let slots = slots.context("every system has a share")?.slots.clone();
            let rules = (system.retry, system.limits.breaker);
            let turns = Arc::new(Turns::new(system.name.clone(), keeper.shares.grants(), slots));
            let asker = Asker::new(Arc::clone(&connector), Arc::clone(&turns));
            let share = (keeper.shares.grants(), turns);
            lanes.push(Lane::new(desk.clone(), system, rules, connector, receiver, share));
            harvesters.extend(Harvester::new(
                &catalogue,
                system,
                asker.clone(),
                Arc::clone(&ledger),
                intake.clone(),
                clock.clone(),
            ));
            let listener = Listener {
                catalogue: Arc::clone(&catalogue),
                system: system.name.clone(),
                connector: asker,
                ledger: Arc::clone(&ledger),
                writer: writer.clone(),
                clock: clock.clone(),
                halts: desk.halts.subscribe(),
            };
            if system.status.is_some() {
                let reconciler = Reconciler { listener: listener.clone(), worker, rate: None };
                reconcilers.insert(system.name.clone(), reconciler);
            }
            listeners.insert(system.name.clone(), listener);
        }
        #[expect(clippy::disallowed_methods, reason = "ended by `end`, with everything else of the scenario")]
        let writes = tokio::spawn(flushes.run(stop.clone()));
        Ok(Self {
            intake,
            clock,
            ledger,
            catalogue,
            writer,
            lanes,
            memory,
            work,
            lookout,
            _keeper: keeper,
            undo,
            listeners,
            watchers,
            reconcilers,
            harvesters,
            simulators: &bench.simulators,
            tickets: Vec::new(),
            person_read: String::new(),
            timekeeper,
            later: bench.later.iter().cloned().collect(),
            messages: 0,
            writes,
            stop,
            place,
        })
    }

    /// Ends everything, and takes the ledger away.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.writes.await.context("the flushes ended in a panic")?;
        drop((
            self.ledger,
            self.writer,
            self.intake,
            self.lanes,
            self.listeners,
            self.watchers,
            self.harvesters,
            self.reconcilers,
            self.timekeeper,
            self.lookout,
            self.undo,
            self._keeper,
        ));
        match self.place {
            Place::Folder(folder) => {
                std::fs::remove_dir_all(&folder).with_context(|| format!("{} stays", folder.display()))
            }
            Place::Schema { server, schema } => Ok(ledger::remove_schema(&server, &schema).await?),
        }
    }
}

/// What the systems can bear. Rates are left out: they are about time that a scenario does not have.
fn shared(catalogue: &Catalogue) -> Vec<Shared> {
    let shared = catalogue.systems().map(|system| Shared {
        system: system.name.clone(),
        limits: Limits { rate: None, ..system.limits.clone() },
        slots: Places::new(0),
    });
    shared.collect()
}

/// A ledger that nobody else uses.
async fn make_room(database: &Database) -> anyhow::Result<(Place, String)> {
    let name = format!("scenario_{}", Uuid::now_v7().simple());
    match database {
        Database::Sqlite => {
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
            let url = format!("sqlite:{}", folder.join("ledger.db").display());
            Ok((Place::Folder(folder), url))
        }
        Database::Postgres(server) => {
            let url = ledger::add_schema(server, &name).await.context("PostgreSQL gives no room")?;
            Ok((Place::Schema { server: server.clone(), schema: name }, url))
        }
    }
}
