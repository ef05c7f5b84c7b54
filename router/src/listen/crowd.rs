//! Who is connected to a listener, what each connection does, and who makes room when it is full.
//!
//! A connection that asks for nothing, or is slow to say what it asks for, costs the caller nothing; so it never keeps out
//! one that asks. Where a limit is reached, the one goes that has been waited for the longest. Only what is being answered
//! stays.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Allowance;
use super::limit::{Limit, Reports};

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was opened, and nothing has come.
    Opened,
    /// The head of a request is coming.
    Head,
    /// The body of a request is coming.
    Body,
    /// A request is being answered.
    Answering,
    /// The answer is being written.
    Writing,
    /// An answer was written, and nothing has come since.
    KeptAlive,
}

impl Phase {
    /// Whether it waits for the caller alone.
    fn waits_for_caller(self) -> bool {
        match self {
            Self::Opened | Self::Head | Self::Body | Self::Writing | Self::KeptAlive => true,
            Self::Answering => false,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Head => "head",
            Self::Body => "body",
            Self::Answering => "answering",
            Self::Writing => "writing",
            Self::KeptAlive => "kept_alive",
        }
    }
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    phase: Phase,
    /// Since when it is in this phase.
    since: Instant,
    /// When it last took a byte.
    moved: Instant,
    /// Whether it counts as one of the requests at once.
    counts: bool,
    leave: CancellationToken,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    connections: HashMap<u64, Connection>,
    /// Those that were asked to go and hold their descriptor still.
    leaving: usize,
}

impl Inside {
    /// The connection that makes room: of those `among`, the one that has been waited for the longest.
    fn make_room(&mut self, among: impl Fn(&Connection) -> bool) -> Option<Connection> {
        let waiting = self.connections.iter().filter(|(_, it)| it.phase.waits_for_caller() && among(it));
        let longest = waiting.min_by_key(|(_, it)| it.since).map(|(number, _)| *number)?;
        self.ask_to_go(longest)
    }

    fn ask_to_go(&mut self, number: u64) -> Option<Connection> {
        let gone = self.connections.remove(&number);
        self.leaving += usize::from(gone.is_some());
        gone
    }
}

/// How many may still be closing while another is taken: each has a descriptor beyond what is allowed.
const LEAVING: usize = 8;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Crowd {
    listener: &'static str,
    allowance: Allowance,
    inside: Mutex<Inside>,
    changed: Notify,
    pub(super) reports: Reports,
}

impl Crowd {
    pub(super) fn new(listener: &'static str, allowance: Allowance) -> Self {
        let (inside, changed) = (Mutex::default(), Notify::new());
        Self { listener, allowance, inside, changed, reports: Reports::new(listener) }
    }

    pub(super) fn allowance(&self) -> Allowance {
        self.allowance
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.inside().connections.len()
    }

    #[cfg(test)]
    pub(super) fn answering(&self) -> usize {
        self.inside().connections.values().filter(|it| it.phase == Phase::Answering).count()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, inside: &Inside) {
        let count = u32::try_from(inside.connections.len()).map_or(f64::INFINITY, f64::from);
        metrics::gauge!("dovetail_connections", "listener" => self.listener).set(count);
    }

    /// Asks a connection to go.
    fn dismiss(&self, gone: &Connection, because: &'static str) {
        let (listener, phase) = (self.listener, gone.phase.as_str());
        let labels = [("listener", listener), ("phase", phase), ("because", because)];
        metrics::counter!("dovetail_connections_closed_total", &labels).increment(1);
        tracing::debug!(listener, phase, because, "a connection was closed");
        gone.leave.cancel();
    }

    /// Waits until a connection can be taken: one that leaves, or one that can be asked to.
    pub(super) async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            let is_held = {
                let inside = self.inside();
                let is_full = inside.connections.len() >= self.allowance.connections;
                let is_held = is_full && !inside.connections.values().any(|it| it.phase.waits_for_caller());
                if !is_held && inside.leaving < LEAVING {
                    return;
                }
                is_held
            };
            if is_held {
                self.reports.reached(Limit::Connections, Instant::now());
            }
            changed.await;
        }
    }

    /// Asks the connection to go that has been waited for the longest: the process needs its descriptor.
    pub(super) fn give_back(&self) {
        let gone = self.inside().make_room(|_| true);
        if let Some(gone) = gone {
            self.dismiss(&gone, "room");
        }
    }

    /// Takes a connection. None when its address has too many already that are being answered.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let (now, address) = (Instant::now(), address.to_canonical());
        let mut inside = self.inside();
        let mut gone = Vec::new();
        // What comes from this machine is a proxy, which speaks for many.
        let same = |it: &Connection| it.address == address;
        let is_many =
            || inside.connections.values().filter(|it| same(it)).count() >= self.allowance.per_address;
        if !address.is_loopback() && is_many() {
            self.reports.reached(Limit::Address, now);
            gone.push(inside.make_room(same)?);
        }
        if inside.connections.len() >= self.allowance.connections {
            self.reports.reached(Limit::Connections, now);
            gone.extend(inside.make_room(|_| true));
        }
        let number = inside.next;
        inside.next += 1;
        let leave = CancellationToken::new();
        let connection = Connection {
            address,
            phase: Phase::Opened,
            since: now,
            moved: now,
            counts: false,
            leave: leave.clone(),
        };
        inside.connections.insert(number, connection);
        self.tell(&inside);
        drop(inside);
        for gone in gone {
            self.dismiss(&gone, "room");
        }
        Some(Place { crowd: Arc::clone(self), number, leave })
    }
}

/// One connection's place in the crowd. Where it was asked to go, nothing it does counts any more.
#[derive(Debug, Clone)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    /// Cancelled when it has to go.
    pub(super) leave: CancellationToken,
}

impl Place {
    fn change(&self, change: impl FnOnce(&mut Connection, Instant)) {
        let mut inside = self.crowd.inside();
        if let Some(connection) = inside.connections.get_mut(&self.number) {
            change(connection, Instant::now());
        }
        drop(inside);
        self.crowd.changed.notify_one();
    }

    fn turn(&self, phase: Phase) {
        self.change(|it, now| (it.phase, it.since, it.moved) = (phase, now, now));
    }

    /// Bytes have come.
    pub(super) fn heard(&self) {
        self.change(|it, now| {
            it.moved = now;
            if matches!(it.phase, Phase::Opened | Phase::KeptAlive) {
                (it.phase, it.since) = (Phase::Head, now);
            }
        });
    }

    /// A request has come, with a body yet to come or without. `false` where too many are being answered already; health
    /// counts for nothing, so that it can be asked then, too.
    pub(super) fn begin(&self, has_body: bool, counts: bool) -> bool {
        let most = self.crowd.allowance.requests;
        let mut gone = None;
        let mut inside = self.crowd.inside();
        let is_let_in = !counts || inside.connections.values().filter(|it| it.counts).count() < most || {
            self.crowd.reports.reached(Limit::Requests, Instant::now());
            gone = inside.make_room(|it| it.counts && it.phase == Phase::Body);
            gone.is_some()
        };
        drop(inside);
        if let Some(gone) = gone {
            self.crowd.dismiss(&gone, "room");
        }
        let phase = if has_body && is_let_in { Phase::Body } else { Phase::Answering };
        self.change(|it, now| {
            (it.phase, it.since, it.moved, it.counts) = (phase, now, now, counts && is_let_in);
        });
        is_let_in
    }

    /// The body has come, or nobody wants it.
    pub(super) fn has_body(&self) {
        self.change(|it, now| {
            if it.phase == Phase::Body {
                (it.phase, it.since) = (Phase::Answering, now);
            }
        });
    }

    /// There is an answer to be written.
    pub(super) fn answers(&self) {
        self.change(|it, now| (it.phase, it.since, it.moved, it.counts) = (Phase::Writing, now, now, false));
    }

    /// Bytes were taken by the caller.
    pub(super) fn wrote(&self) {
        self.change(|it, now| it.moved = now);
    }

    /// All that was to be written has been.
    pub(super) fn wrote_all(&self) {
        let is_answered = {
            let inside = self.crowd.inside();
            inside.connections.get(&self.number).is_some_and(|it| it.phase == Phase::Writing)
        };
        if is_answered {
            self.turn(Phase::KeptAlive);
        }
    }

    /// Asks it to go where it is overdue, or where it waits for the caller while the router stops, as it does since a time.
    /// Says whether it has to.
    pub(super) fn look(&self, stopping: Option<Instant>) -> bool {
        let (now, is_stopping) = (Instant::now(), stopping.is_some());
        let mut inside = self.crowd.inside();
        let Some(it) = inside.connections.get(&self.number) else { return true };
        let Allowance { header, idle, kept_alive, .. } = self.crowd.allowance;
        let over = |since: Instant, most: Duration| now.saturating_duration_since(since) >= most;
        let holds_up = |it: &Connection| {
            stopping.is_some_and(|since| over(it.moved, STOPPING) || over(since, STOPPING_AT_MOST))
        };
        let because = match it.phase {
            // A body has a time-out of its own, which is answered.
            Phase::Body => holds_up(it).then_some("stop"),
            Phase::Answering => None,
            Phase::Opened | Phase::Head | Phase::KeptAlive if is_stopping => Some("stop"),
            Phase::Opened | Phase::Head => over(it.since, header).then_some("time"),
            Phase::KeptAlive => over(it.since, kept_alive).then_some("time"),
            Phase::Writing if holds_up(it) => Some("stop"),
            Phase::Writing => over(it.moved, idle).then_some("time"),
        };
        let gone = because.and_then(|because| Some((inside.ask_to_go(self.number)?, because)));
        drop(inside);
        if let Some((gone, because)) = gone {
            self.crowd.dismiss(&gone, because);
            return true;
        }
        false
    }

    /// It has ended.
    pub(super) fn leaves(&self) {
        let mut inside = self.crowd.inside();
        if inside.connections.remove(&self.number).is_none() {
            inside.leaving = inside.leaving.saturating_sub(1);
        }
        self.crowd.tell(&inside);
        drop(inside);
        self.crowd.changed.notify_one();
    }
}

/// How long a caller may be silent in a request or an answer while the router stops.
const STOPPING: Duration = Duration::from_secs(1);

/// How long a request or an answer whose bytes go on coming may take while the router stops.
const STOPPING_AT_MOST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn crowd(connections: usize, per_address: usize, requests: usize) -> Arc<Crowd> {
        let allowance = Allowance { connections, per_address, requests, ..Allowance::for_tests() };
        Arc::new(Crowd::new("doors", allowance))
    }

    fn from(crowd: &Arc<Crowd>, address: &str) -> Option<Place> {
        crowd.enter(address.parse().expect("an address"))
    }

    fn gone(places: &[&Place]) -> Vec<bool> {
        places.iter().map(|place| place.leave.is_cancelled()).collect()
    }

    #[tokio::test]
    async fn who_asks_for_nothing_makes_room_the_longest_first_and_what_is_being_answered_stays() {
        let crowd = crowd(3, 3, 3);
        let answered = crowd.enter(PROXY).expect("a place");
        assert!(answered.begin(false, true));
        let first = crowd.enter(PROXY).expect("a place");
        let second = crowd.enter(PROXY).expect("a place");
        let third = crowd.enter(PROXY).expect("a place");
        assert_eq!(gone(&[&answered, &first, &second, &third]), [false, true, false, false]);
        second.heard();
        // Half a head is as little as nothing, and it is newer now.
        let fourth = crowd.enter(PROXY).expect("a place");
        assert_eq!(gone(&[&answered, &second, &third, &fourth]), [false, false, true, false]);
        assert!(second.begin(false, true) && fourth.begin(false, true));
        let mut room = std::pin::pin!(crowd.room());
        assert!(futures::poll!(room.as_mut()).is_pending(), "all are being answered");
        fourth.answers();
        room.await;
        assert_eq!(crowd.reports.tell(Instant::now()).len(), 1);
        // What was asked to go changes nothing any more.
        first.heard();
        assert!(first.look(None) && crowd.inside().connections.len() == 3);
    }

    #[test]
    fn a_stop_waits_for_bytes_that_go_on_coming_and_not_for_ever() {
        let crowd = crowd(8, 8, 8);
        let dripping = crowd.enter(PROXY).expect("a place");
        assert!(dripping.begin(true, true));
        dripping.heard();
        let now = Instant::now();
        assert!(!dripping.look(None) && !dripping.look(Some(now)));
        assert!(dripping.look(now.checked_sub(STOPPING_AT_MOST)) && dripping.leave.is_cancelled());
    }

    #[tokio::test]
    async fn nobody_is_taken_while_too_many_that_were_asked_to_go_hold_their_descriptors() {
        let crowd = crowd(2, 100, 10);
        let here: Vec<Place> = (0..2 + LEAVING).filter_map(|_| crowd.enter(PROXY)).collect();
        assert_eq!((crowd.count(), crowd.inside().leaving), (2, LEAVING));
        let mut room = std::pin::pin!(crowd.room());
        assert!(futures::poll!(room.as_mut()).is_pending());
        here[0].leaves();
        assert!(futures::poll!(room.as_mut()).is_ready(), "one has closed");
    }

    #[test]
    fn one_address_has_its_part_and_a_proxy_on_this_machine_has_all() {
        let crowd = crowd(8, 2, 8);
        let here: Vec<Place> = (0..4).filter_map(|_| crowd.enter(PROXY)).collect();
        let one = from(&crowd, "10.0.0.1").expect("a place");
        let two = from(&crowd, "::ffff:10.0.0.1").expect("a place");
        let other = from(&crowd, "10.0.0.2").expect("a place");
        let three = from(&crowd, "10.0.0.1").expect("a place of its own");
        assert_eq!(gone(&[&one, &two, &three, &other, &here[0]]), [true, false, false, false, false]);
        assert!(two.begin(false, true) && three.begin(false, true));
        assert!(from(&crowd, "10.0.0.1").is_none(), "both are being answered");
        let told: Vec<String> = crowd.reports.tell(Instant::now()).into_keys().collect();
        assert_eq!(told, ["doors.connections_per_address"]);
    }

    #[test]
    fn half_a_body_keeps_no_request_out_and_health_is_told_at_any_rate() {
        let crowd = crowd(9, 9, 2);
        let [half, whole, next, late] = [(); 4].map(|()| crowd.enter(PROXY).expect("a place"));
        assert!(half.begin(true, true) && whole.begin(true, true));
        whole.has_body();
        assert!(next.begin(false, true));
        assert_eq!(gone(&[&half, &whole, &next]), [true, false, false]);
        assert!(!late.begin(true, true), "both are being answered");
        assert!(crowd.enter(PROXY).expect("a place").begin(false, false), "health");
        whole.answers();
        assert!(crowd.enter(PROXY).expect("a place").begin(false, true));
    }

    #[test]
    fn each_phase_has_its_time_and_an_answer_all_the_time_it_takes() {
        let allowance = Allowance { header: Duration::ZERO, idle: Duration::ZERO, ..Allowance::for_tests() };
        let crowd = Arc::new(Crowd::new("doors", allowance));
        let place = || crowd.enter(PROXY).expect("a place");
        let [opened, head, answering, writing, kept] = [(); 5].map(|()| place());
        head.heard();
        answering.begin(true, true);
        answering.has_body();
        writing.begin(false, true);
        writing.answers();
        kept.begin(false, true);
        kept.answers();
        kept.wrote_all();
        let over = |place: &Place| place.look(None);
        assert_eq!([&opened, &head, &answering, &writing, &kept].map(over), [true, true, false, true, false]);
        assert!(kept.look(Some(Instant::now())), "a stop waits for no further request");
        assert!(!answering.look(Some(Instant::now())), "and for what is being answered");
        answering.leaves();
        assert!(crowd.inside().connections.is_empty());
    }
}
