//! Random lives of tickets against a small model: no illegal transition, exact attempts, one closure at most.

mod books;

use std::sync::atomic::{AtomicU32, Ordering};

use mappings::domain::{Disposition, HandoverState, Phase, RequestState, Revision};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use uuid::Uuid;

use self::books::Books;
use super::fixture::*;
use super::{Fixture, both};
use crate::closing::{Closure, Grounds};
use crate::event::Kind;
use crate::ledger::{
    Accepted, Choice, Completion, Correlated, Lessee, Next, Outbox, Person, Places, Recorded, Resolution,
    Resolved, Room, Seen, SeenTicket, Work, WorkerId,
};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// A delivery comes in.
    Submit { ticket: u8, delivery: u8, systems: u8 },
    /// A worker takes what is due.
    Claim { system: u8 },
    /// A worker, living or dead, gives back a call that it holds or held.
    Defer { pick: prop::sample::Index },
    /// A worker, living or dead, says what came of a call that it holds or held.
    Settle { pick: prop::sample::Index, how: How },
    /// A system says something.
    Hear { ticket: u8, system: u8, by_job: bool, word: u8, said_at: Option<u8>, key: u8 },
    /// The customer changes their mind.
    Revise { ticket: u8, delivery: u8, revision: Revision },
    /// The keeper looks after what came early.
    Keep { gives_up: bool },
    /// A person decides, on what stands there now or on what stood there once.
    Resolve { ticket: u8, system: u8, what: What, stale: bool },
    /// The worker dies, and another takes its place.
    Die,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Delivered,
    DeliveredWithoutJob,
    Again,
    Unsure,
    Rejected,
    Unable,
    Park,
}

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    SendAgain,
    WasDone,
    Close,
    KeepOpen,
}

const WORDS: [&str; 6] = ["Completed", "Not Out", "No Access", "In Progress", "Scheduled", "Zzz"];

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        4 => Just(How::Delivered),
        1 => Just(How::DeliveredWithoutJob),
        2 => Just(How::Again),
        1 => Just(How::Unsure),
        1 => Just(How::Rejected),
        1 => Just(How::Unable),
        1 => Just(How::Park),
    ];
    let what =
        prop_oneof![Just(What::SendAgain), Just(What::WasDone), Just(What::Close), Just(What::KeepOpen)];
    prop_oneof![
        4 => (0..3_u8, 0..6_u8, 1..4_u8)
            .prop_map(|(ticket, delivery, systems)| Step::Submit { ticket, delivery, systems }),
        3 => (0..3_u8).prop_map(|system| Step::Claim { system }),
        2 => any::<prop::sample::Index>().prop_map(|pick| Step::Defer { pick }),
        8 => (any::<prop::sample::Index>(), how).prop_map(|(pick, how)| Step::Settle { pick, how }),
        8 => (0..4_u8, 0..2_u8, any::<bool>(), 0..6_u8, prop::option::of(0..6_u8), 0..40_u8).prop_map(
            |(ticket, system, by_job, word, said_at, key)| Step::Hear { ticket, system, by_job, word, said_at, key }
        ),
        4 => (0..3_u8, 0..12_u8, prop::sample::select(Revision::ALL))
            .prop_map(|(ticket, delivery, revision)| Step::Revise { ticket, delivery, revision }),
        1 => any::<bool>().prop_map(|gives_up| Step::Keep { gives_up }),
        3 => (0..3_u8, 0..3_u8, what, prop::bool::weighted(0.2))
            .prop_map(|(ticket, system, what, stale)| Step::Resolve { ticket, system, what, stale }),
        1 => Just(Step::Die),
    ]
}

/// One case: its own council and systems, so that cases can share a database.
struct Case<'a> {
    fixture: &'a Fixture,
    name: String,
    lessee: Lessee,
    /// Calls as they were leased, to the living worker and to dead ones.
    leased: Vec<(Work, Lessee)>,
    books: Books,
    /// How many revisions were sent.
    revisions: u32,
}

static CASES: AtomicU32 = AtomicU32::new(0);

impl<'a> Case<'a> {
    async fn new(fixture: &'a Fixture) -> Self {
        let name = CASES.fetch_add(1, Ordering::Relaxed).to_string();
        let mut case = Self {
            fixture,
            lessee: lessee(),
            name,
            leased: Vec::new(),
            books: Books::default(),
            revisions: 0,
        };
        case.be_born().await;
        case
    }

    /// A new worker with little room, so that some calls are left to be claimed.
    async fn be_born(&mut self) {
        self.lessee = Lessee {
            worker: WorkerId(Uuid::now_v7()),
            room: Room::new((0..3).map(|n| (self.system(n), 3))),
            outbox: Outbox::On(Places::new(2)),
        };
        self.fixture.ledger.heartbeat(self.lessee.worker, at(0)).await.expect("a heartbeat");
    }

    fn system(&self, n: u8) -> mappings::domain::SystemName {
        let role = ["waste", "housing", "crm"][usize::from(n)];
        system(&format!("{role}-{}", self.name))
    }

    fn council(&self) -> String {
        format!("case-{}", self.name)
    }

    fn ticket(&self, n: u8) -> String {
        format!("T-{}-{n}", self.name)
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Submit { ticket, delivery, systems } => self.submit(ticket, delivery, systems).await,
            Step::Claim { system } => self.claim(system).await,
            Step::Settle { pick, how } => {
                if !self.leased.is_empty() {
                    let (work, lessee) = pick.get(&self.leased).clone();
                    self.settle(&work, &lessee, how).await;
                }
            }
            Step::Defer { pick } => {
                if !self.leased.is_empty() {
                    let (work, lessee) = pick.get(&self.leased).clone();
                    self.defer(&work, &lessee).await;
                }
            }
            Step::Hear { .. } => self.hear(step).await,
            Step::Revise { ticket, delivery, revision } => self.revise(ticket, delivery, revision).await,
            Step::Keep { gives_up } => {
                // Other cases share the database: only what this one sent is old enough to be given up.
                let before = if gives_up { at(31) } else { at(0) };
                self.fixture.ledger.settle_early(before, &full_lessee()).await.expect("a look");
            }
            Step::Resolve { ticket, system, what, stale } => self.resolve(ticket, system, what, stale).await,
            Step::Die => {
                self.fixture.ledger.release(self.lessee.worker).await.expect("a release");
                self.books.all_free();
                self.be_born().await;
            }
        }
    }

    async fn submit(&mut self, ticket: u8, delivery: u8, systems: u8) {
        let names: Vec<String> =
            (0..2).filter(|n| systems & (1 << n) != 0).map(|n| self.system(n).to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let arrival = arrival_of(&self.council(), &delivery.to_string(), &self.ticket(ticket), &names);
        let ledger = &self.fixture.ledger;
        let written = ledger.accept(&[arrival], &self.lessee).await.expect("accept");
        let reply = written.replies[0].as_ref().expect("writable");
        match reply {
            Accepted::New(_) | Accepted::DuplicateTicket(_) => {
                assert!(self.books.deliveries.insert(delivery), "a delivery was accepted twice");
            }
            Accepted::DuplicateDelivery | Accepted::IdInUse => {
                assert!(self.books.deliveries.contains(&delivery));
                assert!(written.work.is_empty() && written.events.is_empty());
            }
            Accepted::Early => panic!("a request is never early"),
        }
        self.hold(written.work);
    }

    fn hold(&mut self, work: Vec<Work>) {
        for work in work {
            self.books.lease(&work);
            self.leased.push((work, self.lessee.clone()));
        }
    }

    async fn claim(&mut self, n: u8) {
        let system = self.system(n);
        let claimed = self.fixture.ledger.claim_due(&system, 2, at(100), self.lessee.worker).await;
        self.hold(claimed.expect("a claim"));
    }

    async fn defer(&mut self, work: &Work, lessee: &Lessee) {
        let given = self.fixture.ledger.defer(&[deferral(work, None)], lessee.worker).await.expect("defer");
        let expected = if self.books.defer(work) { Recorded::Written } else { Recorded::LeaseLost };
        assert_eq!(given, [expected]);
    }

    async fn settle(&mut self, work: &Work, lessee: &Lessee, how: How) {
        let job = format!("J-{}", work.handover);
        let next = match how {
            How::Delivered => delivered(&job),
            How::DeliveredWithoutJob => Next::Delivered { job: None, note: None },
            How::Again => again(at(50), work.phase),
            How::Unsure => again(at(50), Phase::LookUp),
            How::Rejected => rejected(Disposition::Declined),
            How::Unable => Next::Unable { reason: "it cannot".into() },
            How::Park => park(),
        };
        let ends = !matches!(next, Next::Again { .. });
        let mut settlement = settle(work, next);
        if matches!(how, How::Unsure) {
            settlement.attempt.outcome = "unknown".into();
        }
        let written = self.fixture.ledger.record(&[settlement], lessee).await.expect("record");
        let expected = if self.books.settle(work, ends) { Recorded::Written } else { Recorded::LeaseLost };
        assert_eq!(written.replies, [Ok(expected)]);
        // A write on behalf of a dead worker leases nothing, since it is refused.
        self.hold(written.work);
    }

    async fn hear(&mut self, step: Step) {
        let Step::Hear { ticket, system, by_job, word, said_at, key } = step else { return };
        let system = self.system(system);
        let reference = self.ticket(ticket);
        let job = self.books.call_for(&reference, &system).map(|work| format!("J-{}", work.handover));
        let completion = match (by_job, job) {
            (true, Some(job)) => said(system.as_str(), &key.to_string(), &job, WORDS[usize::from(word)]),
            (true, None) | (false, _) => {
                said_of(system.as_str(), &key.to_string(), &reference, WORDS[usize::from(word)])
            }
        };
        let completion = Completion { said_at: said_at.map(|seconds| at(seconds.into())), ..completion };
        let written = self.fixture.ledger.complete(&[completion], &self.lessee).await.expect("complete");
        let reply = written.replies[0].as_ref().expect("writable");
        if !self.books.words.insert((system, key)) {
            assert_eq!(*reply, Correlated::Duplicate);
            assert!(written.events.is_empty() && written.work.is_empty());
        }
        self.hold(written.work);
    }

    async fn revise(&mut self, ticket: u8, delivery: u8, revision: Revision) {
        let reference = self.ticket(ticket);
        self.revisions += 1;
        let data = json!({"reason": format!("{:05}", self.revisions)});
        let arrival = revised_of(&self.council(), &delivery.to_string(), &reference, revision, data);
        let ledger = &self.fixture.ledger;
        let before = ledger.ticket(None, &super::fixture::ticket(&reference)).await.expect("a read");
        let written = ledger.accept(&[arrival], &self.lessee).await.expect("accept");
        match (written.replies[0].as_ref().expect("writable"), before) {
            (Accepted::DuplicateDelivery | Accepted::IdInUse, _) => {
                assert!(written.work.is_empty() && written.events.is_empty())
            }
            (Accepted::Early, before) => assert!(before.is_none(), "a ticket is known"),
            (Accepted::New(request), Some(before)) if *request != before.line.request => {
                assert_eq!(revision, Revision::Reopened, "a new opening");
                self.books.leave(&before);
            }
            (Accepted::New(_), before) => assert!(before.is_some(), "a ticket is not known"),
            (Accepted::DuplicateTicket(_), _) => panic!("a revision opens nothing"),
        }
        self.hold(written.work);
    }

    async fn resolve(&mut self, ticket: u8, n: u8, what: What, stale: bool) {
        let reference = super::fixture::ticket(&self.ticket(ticket));
        let found = self.fixture.ledger.ticket(None, &reference).await.expect("a read");
        let Some(history) = found else { return };
        let system = self.system(n);
        let parked = history
            .handovers
            .iter()
            .find(|handover| handover.system == system && handover.state == HandoverState::Parked);
        let tried = history.attempts.iter().filter(|tried| parked.is_some_and(|it| it.id == tried.handover));
        let seen = parked.map(|handover| Seen {
            handover: handover.id,
            system: system.clone(),
            attempts: tried.map(|tried| tried.number).max().unwrap_or(0) + u32::from(stale),
        });
        let line = &history.line;
        let reason = if stale { Some("another".to_owned()) } else { line.reason.clone() };
        let as_seen = SeenTicket { state: line.state, reason };
        let choice = match (what, seen) {
            (What::SendAgain | What::WasDone, None) => return,
            (What::SendAgain, Some(seen)) => Choice::SendAgain { seen },
            (What::WasDone, Some(seen)) => Choice::WasDone { seen, job: None },
            (What::Close, _) => {
                let crm = Some(self.system(2));
                let disposition = Disposition::Declined;
                let closure = Closure {
                    disposition,
                    reason: None,
                    say: "No.".into(),
                    crm,
                    grounds: Grounds::default(),
                };
                Choice::Close { seen: as_seen, closure }
            }
            (What::KeepOpen, _) => Choice::KeepOpen { seen: as_seen },
        };
        let person = Person { name: "jo".into(), because: "it is so".into() };
        let (council, request) = (line.council.clone(), line.request);
        let resolution = Resolution { council, request, person, at: at(30), choice };
        let written = self.fixture.ledger.resolve(&[resolution], &self.lessee).await.expect("resolve");
        if written.replies == [Ok(Resolved::Written)] {
            assert!(!stale, "a decision on what is no more was written");
            let released = parked.filter(|_| what == What::SendAgain).map(|handover| handover.id);
            // A ticket that a person keeps open although it was closed may be closed once more.
            let closed_before = history.events.iter().any(|event| event.kind == Kind::Closed);
            let closes = what == What::Close || (what == What::KeepOpen && closed_before);
            self.books.decided(request, released, closes);
        } else {
            let decidable = line.state == RequestState::Held && what == What::KeepOpen;
            assert!(stale || !decidable, "{:?}", written.replies);
            assert!(written.work.is_empty() && written.events.is_empty());
        }
        self.hold(written.work);
    }

    /// Compares the ledger with the books.
    async fn check(&mut self) {
        for n in 0..3 {
            let ticket = super::fixture::ticket(&self.ticket(n));
            if let Some(history) = self.fixture.ledger.ticket(None, &ticket).await.expect("a read") {
                self.books.compare(&history);
            }
        }
    }

    /// Lets every call end and every system complete: then nothing is left that only time could move.
    async fn drain(&mut self) {
        self.take(Step::Die).await;
        for _ in 0..20 {
            for n in 0..3 {
                self.claim(n).await;
            }
            let held: Vec<_> =
                self.leased.iter().filter(|(work, _)| self.books.holds(work)).cloned().collect();
            for (work, lessee) in held {
                self.settle(&work, &lessee, How::Delivered).await;
            }
        }
        self.check().await;
        self.books.nothing_is_due();
    }
}

both! {
    async fn no_life_of_a_ticket_breaks_the_rules(fixture: &Fixture) {
        let mut config = Config { failure_persistence: None, ..Config::default() };
        config.cases = (config.cases / 16).max(1);
        let lives = prop::collection::vec(step(), 1..40);
        let lived = block_in_place(|| {
            TestRunner::new(config).run(&lives, |life| {
                Handle::current().block_on(async {
                    let mut case = Case::new(fixture).await;
                    for step in life {
                        case.take(step).await;
                        case.check().await;
                    }
                    case.drain().await;
                });
                Ok(())
            })
        });
        if let Err(error) = lived {
            panic!("{error}");
        }
    }
}
