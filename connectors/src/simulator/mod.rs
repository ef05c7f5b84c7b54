//! Back offices to test against: each keeps state, moves its jobs along, ends them, and has fault switches.
//!
//! They are other organisations' systems: they share no code with the connectors, and speak as the vendors do.
//! Everything that a test or a person wants of one is below `/_sim/` on its own port (`control`).

mod book;
mod call;
mod clock;
mod control;
mod crm;
mod draw;
mod dynamics;
mod faults;
mod gate;
mod housing;
mod markers;
mod markup;
mod mover;
mod partner;
mod pusher;
mod revenues;
mod script;
mod serve;
mod settings;
mod tickets;
mod waste;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod rig;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use book::Book;
use call::{Call, Reply};
pub use faults::{Fault, Faults, InvalidSwitch, Scope, Switch};
pub use script::{Callback, Refuse, Told, Written};
pub use settings::{Credentials, Ending, Kind, Pace, Settings, Time};

/// A running simulator. It ends with its token, or when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    _guard: DropGuard,
}

/// Starts a simulator on a listener.
///
/// # Panics
/// When the listener has no address, or the platform gives no HTTP client: neither happens to a bound socket
/// and the settings used here.
pub async fn start(
    kind: Kind,
    listener: TcpListener,
    settings: Settings,
    shutdown: CancellationToken,
) -> Simulator {
    let address = listener.local_addr().expect("a bound listener has an address");
    let shutdown = shutdown.child_token();
    let (refusal, refusals) = watch::channel(None);
    let gate = gate::Gate::new(address, listener, refusals);
    let shared = Arc::new(Shared::new(kind, address, settings, refusal, shutdown.clone()));
    tracing::info!(system = kind.as_str(), %address, seed = shared.settings.seed, "simulator started");
    let mut tasks = JoinSet::new();
    tasks.spawn(serve::run(gate, Arc::clone(&shared)));
    tasks.spawn(mover::run(Arc::clone(&shared)));
    tasks.spawn(pusher::run(Arc::clone(&shared), pusher::client()));
    Simulator { shared, tasks, _guard: shutdown.drop_guard() }
}

impl Simulator {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.shared.url()
    }

    /// The variables that the shipped mapping of the system needs to reach it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        self.shared.settings.credentials.environment(self.shared.kind, &self.url())
    }

    /// The faults as they are switched now; counts already used up are gone from them.
    pub fn faults(&self) -> Faults {
        self.shared.live.faults()
    }

    /// Switches all faults.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.live.replace(faults);
    }

    /// Closes the port for a while: connections are refused, open ones end, and the control API is away, too.
    /// Zero opens it again.
    pub fn refuse_for(&self, time: Duration) {
        self.shared.refuse_for(time);
    }

    /// Jobs stand still until they are stepped or resumed.
    pub fn pause(&self) {
        self.shared.pause(true);
    }

    /// Jobs move by themselves again.
    pub fn resume(&self) {
        self.shared.pause(false);
    }

    /// Moves every job one step, and says how many moved.
    pub fn step(&self) -> usize {
        self.shared.step()
    }

    /// Waits until everything has ended after its token was cancelled.
    pub async fn finished(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What the tasks of one simulator share.
#[derive(Debug)]
struct Shared {
    kind: Kind,
    address: SocketAddr,
    settings: Settings,
    live: draw::Live,
    book: Mutex<Book>,
    tickets: Mutex<tickets::Tickets>,
    grants: Mutex<dynamics::Grants>,
    script: Mutex<script::Script>,
    /// A job was scheduled, paused or resumed.
    scheduled: Notify,
    /// A change waits to be pushed.
    changed: Notify,
    refusal: watch::Sender<gate::Refusal>,
    shutdown: CancellationToken,
}

impl Shared {
    fn empty_book(kind: Kind, settings: &Settings) -> Book {
        let (prefix, first) = match kind {
            Kind::Housing => ("", 10_000_012),
            Kind::Revenues => ("CT-", 100_001),
            Kind::Waste => ("", 242_259),
            Kind::Partner => ("", 293_944),
            Kind::Crm | Kind::CrmDynamics => ("", 1),
        };
        // Simulators started one after the other with different seeds do not give the same numbers again.
        let first = first + settings.seed % 1_000 * 1_000_000;
        let pushes =
            settings.callback.is_some() && !settings.plain && matches!(kind, Kind::Waste | Kind::Partner);
        // The draws of faults and of paces do not disturb each other.
        Book::new(prefix, first, settings.pace, settings.seed.wrapping_add(1), pushes)
    }

    fn new(
        kind: Kind,
        address: SocketAddr,
        settings: Settings,
        refusal: watch::Sender<gate::Refusal>,
        shutdown: CancellationToken,
    ) -> Self {
        let book = Self::empty_book(kind, &settings);
        Self {
            kind,
            address,
            live: draw::Live::new(settings.faults.clone(), settings.seed),
            book: Mutex::new(book),
            tickets: Mutex::new(tickets::Tickets::new(settings.time.clone())),
            grants: Mutex::default(),
            script: Mutex::default(),
            scheduled: Notify::new(),
            changed: Notify::new(),
            refusal,
            shutdown,
            settings,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time, by the system's own clock.
    fn now(&self) -> jiff::Timestamp {
        self.settings.time.now()
    }

    fn tickets(&self) -> MutexGuard<'_, tickets::Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grants(&self) -> MutexGuard<'_, dynamics::Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a call out as the system would.
    fn answer(&self, call: &Call) -> Reply {
        let reply = match self.kind {
            Kind::Housing => housing::answer(self, call),
            Kind::Revenues => revenues::answer(self, call),
            Kind::Waste => waste::answer(self, call),
            Kind::Partner => partner::answer(self, call),
            Kind::Crm => crm::answer(self, call),
            Kind::CrmDynamics => dynamics::answer(self, call),
        };
        let wants = {
            let mut book = self.book();
            book.counts.calls += 1;
            book.wants()
        };
        self.ring(wants);
        reply
    }

    /// The system's word for a job that was done.
    fn done(&self) -> &'static str {
        match self.kind {
            Kind::Housing => housing::DONE,
            Kind::Revenues => revenues::DONE,
            Kind::Waste => waste::DONE,
            Kind::Partner => partner::DONE,
            Kind::Crm => crm::DONE,
            Kind::CrmDynamics => dynamics::DONE,
        }
    }

    /// A word that no mapping of the system knows.
    fn unheard(&self) -> &'static str {
        match self.kind {
            Kind::Housing => housing::UNHEARD,
            Kind::Revenues => revenues::UNHEARD,
            Kind::Waste => waste::UNHEARD,
            Kind::Partner => partner::UNHEARD,
            Kind::Crm => crm::UNHEARD,
            Kind::CrmDynamics => dynamics::UNHEARD,
        }
    }

    /// Has the mover and the pusher look at what changed, where they would not by themselves.
    fn wake(&self) {
        let wants = self.book().wants();
        self.ring(wants);
    }

    fn ring(&self, (late, waiting): (bool, bool)) {
        if late {
            self.scheduled.notify_one();
        }
        if waiting {
            self.changed.notify_one();
        }
    }

    fn refuse_for(&self, time: Duration) {
        let until = (!time.is_zero()).then(|| Instant::now() + time);
        self.refusal.send_replace(until);
    }

    fn pause(&self, paused: bool) {
        self.book().pause(paused);
        self.wake();
    }

    fn step(&self) -> usize {
        let mut book = self.book();
        let moving: Vec<_> =
            (0..book.len()).filter(|index| book.job(*index).phase == book::Phase::Moving).collect();
        for index in &moving {
            mover::step(self, &mut book, *index);
        }
        drop(book);
        self.wake();
        moving.len()
    }
}
