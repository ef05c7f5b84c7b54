use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn system(name: &str) -> SystemName {
    SystemName::parse(name).expect("a system")
}

fn limits(concurrency: usize, calls: Option<u32>) -> Limits {
    let rate = calls.map(|calls| Rate { calls, per: Duration::from_secs(1) });
    Limits { concurrency, rate, ..Limits::default() }
}

#[test]
fn shares_add_up_to_the_limit_for_any_number_of_workers() {
    for (concurrency, calls) in
        [(1, None), (8, None), (8, Some(1)), (3, Some(20)), (8, Some(3)), (1000, Some(7))]
    {
        for live in 1..12 {
            let limits = limits(concurrency, calls);
            let shares: Vec<Share> =
                (0..live).map(|rank| Share::of(&system("waste"), &limits, rank, live)).collect();
            assert_eq!(shares.iter().map(|share| share.concurrency).sum::<usize>(), concurrency);
            let rates: u32 = shares.iter().filter_map(|share| share.rate).map(|rate| rate.calls).sum();
            assert_eq!(rates, calls.unwrap_or(0));
            for share in shares {
                let idle = share.concurrency == 0;
                assert_eq!(
                    share.rate.is_some_and(|rate| rate.calls == 0),
                    idle && calls.is_some(),
                    "{share:?}"
                );
                assert_eq!(share.memory(4) == 0, idle, "{share:?}");
            }
        }
    }
}

#[test]
fn a_worker_of_several_does_not_get_all_that_cannot_be_split() {
    let systems =
        ["housing", "revenues", "waste", "partner", "crm", "crm-sap", "parking", "trees"].map(system);
    let holders: BTreeSet<usize> = systems
        .iter()
        .filter_map(|name| (0..3).find(|rank| Share::of(name, &limits(1, None), *rank, 3).concurrency == 1))
        .collect();
    assert!(holders.len() > 1, "{holders:?}");
}

#[test]
fn what_can_only_begin_slowly_is_not_hoarded() {
    let share = |calls, seconds| Share {
        concurrency: 8,
        rate: Some(Rate { calls, per: Duration::from_secs(seconds) }),
    };
    assert_eq!(share(100, 1).memory(4), 32);
    assert_eq!(share(12, 60).memory(4), 2);
    assert_eq!(share(1, 3600).memory(4), 1);
}

/// One worker of a small world: what it has read, and how far it is with a heartbeat.
struct Worker {
    shares: Shares,
    slots: Places,
    busy: usize,
    read: Vec<Peer>,
    saying: Option<Agreement>,
    dead: bool,
}

/// The ledger's table of workers, and the workers on it; every step of a heartbeat is a step of its own.
struct World {
    limits: Limits,
    rows: BTreeMap<Uuid, Option<Agreement>>,
    workers: Vec<Worker>,
}

#[derive(Debug, Clone)]
enum Step {
    Join,
    Read(prop::sample::Index),
    Fit(prop::sample::Index),
    Say(prop::sample::Index),
    Grow(prop::sample::Index),
    Begin(prop::sample::Index),
    End(prop::sample::Index),
    Die(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let any = any::<prop::sample::Index>;
    prop_oneof![
        1 => Just(Step::Join),
        6 => any().prop_map(Step::Read),
        4 => any().prop_map(Step::Fit),
        4 => any().prop_map(Step::Say),
        4 => any().prop_map(Step::Grow),
        8 => any().prop_map(Step::Begin),
        5 => any().prop_map(Step::End),
        1 => any().prop_map(Step::Die),
    ]
}

impl World {
    fn new(limits: Limits) -> Self {
        Self { limits, rows: BTreeMap::new(), workers: Vec::new() }
    }

    fn peers(&self) -> Vec<Peer> {
        let peer = |(id, agreed): (&Uuid, &Option<Agreement>)| Peer {
            worker: WorkerId(*id),
            agreed: agreed.clone(),
            home: None,
        };
        self.rows.iter().map(peer).collect()
    }

    fn take(&mut self, step: &Step) {
        let pick = match step {
            Step::Join => return self.join(),
            Step::Read(pick) | Step::Fit(pick) | Step::Say(pick) | Step::Grow(pick) => pick,
            Step::Begin(pick) | Step::End(pick) | Step::Die(pick) => pick,
        };
        if self.workers.is_empty() {
            return;
        }
        let number = pick.index(self.workers.len());
        let peers = self.peers();
        let worker = &mut self.workers[number];
        if worker.dead {
            return;
        }
        let id = worker.shares.worker.0;
        match step {
            Step::Join => {}
            Step::Read(_) => worker.read = peers,
            Step::Fit(_) => worker.saying = worker.shares.fit(&worker.read),
            Step::Say(_) => {
                if let Some(agreement) = worker.saying.take() {
                    self.rows.insert(id, Some(agreement));
                    // A heartbeat looks again after it has said something.
                    let peers = self.peers();
                    self.workers[number].read = peers;
                }
            }
            Step::Grow(_) => {
                // Nothing is left unsaid when a heartbeat comes to its end.
                if worker.saying.is_none() {
                    worker.shares.grow(&worker.read);
                }
            }
            Step::Begin(_) => worker.busy += usize::from(worker.slots.take()),
            Step::End(_) => {
                if worker.busy > 0 {
                    worker.busy -= 1;
                    worker.slots.give_back();
                }
            }
            Step::Die(_) => {
                // Others hear of it only once its calls have ended or its lease is void.
                worker.dead = true;
                worker.busy = 0;
                self.rows.remove(&id);
            }
        }
    }

    fn join(&mut self) {
        if self.workers.iter().filter(|worker| !worker.dead).count() == 4 {
            return;
        }
        let worker = WorkerId(Uuid::now_v7());
        self.rows.insert(worker.0, None);
        let slots = Places::new(0);
        let shared = Shared { system: system("waste"), limits: self.limits.clone(), slots: slots.clone() };
        let shares = Shares::new(worker, vec![shared]);
        self.workers.push(Worker { shares, slots, busy: 0, read: Vec::new(), saying: None, dead: false });
    }

    fn busy(&self) -> usize {
        self.workers.iter().map(|worker| worker.busy).sum()
    }

    /// Whole heartbeats, until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..8 {
            for number in 0..self.workers.len() {
                while self.workers[number].busy > 0 {
                    self.workers[number].busy -= 1;
                    self.workers[number].slots.give_back();
                }
                if self.workers[number].dead {
                    continue;
                }
                let peers = self.peers();
                if let Some(agreement) = self.workers[number].shares.fit(&peers) {
                    self.rows.insert(self.workers[number].shares.worker.0, Some(agreement));
                }
                let peers = self.peers();
                self.workers[number].shares.grow(&peers);
            }
        }
    }
}

proptest! {
    #[test]
    fn however_workers_come_and_go_they_never_have_more_calls_under_way_than_the_limit(
        concurrency in 1..9_usize,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(limits(concurrency, None));
        for step in &steps {
            world.take(step);
            prop_assert!(world.busy() <= concurrency, "{} under way, {concurrency} allowed", world.busy());
        }
        world.settle();
        let live = world.workers.iter().filter(|worker| !worker.dead);
        let free: usize = live.clone().map(|worker| worker.slots.free()).sum();
        prop_assert_eq!(free, if live.count() == 0 { 0 } else { concurrency }, "nothing of the limit is left unused");
    }
}

#[test]
fn a_worker_that_joins_has_nothing_until_all_others_have_seen_it() {
    let mut world = World::new(limits(4, None));
    world.join();
    world.settle();
    assert_eq!(world.workers[0].slots.free(), 4);
    (0..4).for_each(|_| world.workers[0].busy += usize::from(world.workers[0].slots.take()));
    world.join();
    let beat = |world: &mut World, number: usize| {
        let peers = world.peers();
        if let Some(agreement) = world.workers[number].shares.fit(&peers) {
            world.rows.insert(world.workers[number].shares.worker.0, Some(agreement));
        }
        let peers = world.peers();
        world.workers[number].shares.grow(&peers);
    };
    beat(&mut world, 1);
    assert_eq!(world.workers[1].slots.free(), 0, "the first has not seen it");
    beat(&mut world, 0);
    beat(&mut world, 1);
    assert_eq!(world.workers[1].slots.free(), 0, "the first has seen it, and has still four calls under way");
    (0..2).for_each(|_| world.workers[0].slots.give_back());
    world.workers[0].busy = 2;
    beat(&mut world, 0);
    beat(&mut world, 1);
    assert_eq!((world.workers[0].slots.free(), world.workers[1].slots.free()), (0, 2));
}

#[test]
fn a_worker_that_went_without_a_heartbeat_joins_anew() {
    let slots = Places::new(0);
    let worker = WorkerId(Uuid::now_v7());
    let shared = Shared { system: system("waste"), limits: limits(4, None), slots: slots.clone() };
    let mut shares = Shares::new(worker, vec![shared]);
    assert!(!shares.lapsed(), "one that never began has nothing to give up");
    let agreement = shares.fit(&[Peer { worker, agreed: None, home: None }]);
    shares.grow(&[Peer { worker, agreed: agreement, home: None }]);
    shares.tell(Instant::now() + Duration::from_secs(60));
    assert!(!shares.lapsed());
    assert_eq!(slots.free(), 4);
    shares.tell(Instant::now());
    assert!(shares.lapsed());
    shares.reset();
    assert_eq!(slots.free(), 0);
    assert!(!shares.lapsed());
}
