//! A fresh ledger for a test, and words to drive it with.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mappings::domain::{
    Council, Disposition, HandoverState, Job, Operation, ParkClass, Phase, Progress, Request, Revised,
    Revision, Service, SystemName, Ticket,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::closing::{Closure, Decision, Grounds, Standing};
use crate::ledger::{
    Accepted, Arrival, Attempt, Change, ClockSetting, Closer, Completion, Correlated, Deferral, History,
    InboxKey, Ledger, Lessee, Meaning, Next, Outbox, Places, Reader, Recorded, Room, Settlement, Way, Work,
    WorkerId, Written, open,
};

/// Runs a test on a fresh PostgreSQL database and on a fresh SQLite file.
macro_rules! both {
    ($($(#[$attribute:meta])* async fn $name:ident($fixture:ident: &Fixture) $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn test($fixture: &Fixture) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                let fixture = Fixture::postgres().await;
                test(&fixture).await;
                fixture.remove().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                let fixture = Fixture::sqlite().await;
                test(&fixture).await;
                fixture.remove().await;
            }
        }
    )+};
}
pub(super) use both;

/// A fresh ledger and the worker that writes to it.
pub(super) struct Fixture {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) lessee: Lessee,
    pub(super) address: String,
    place: Place,
}

enum Place {
    Database(String),
    Schema(String),
    File { _folder: tempfile::TempDir },
}

impl Fixture {
    /// A schema of its own: a fresh database costs the server a second under load.
    pub(super) async fn postgres() -> Self {
        let schema = fresh_name();
        administer(format!("create schema {schema}")).await;
        let server = server();
        let joint = if server.contains('?') { '&' } else { '?' };
        let address = format!("{server}{joint}options[search_path]={schema}");
        Self::at(address, Place::Schema(schema)).await
    }

    /// A database of its own, for a test that ends its connections.
    pub(super) async fn postgres_database() -> Self {
        let database = fresh_name();
        administer(format!("create database {database}")).await;
        let server = server();
        let (base, _) = server.rsplit_once('/').expect("PG_URL names a database");
        Self::at(format!("{base}/{database}"), Place::Database(database)).await
    }

    pub(super) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
        Self::at(address, Place::File { _folder: folder }).await
    }

    async fn at(address: String, place: Place) -> Self {
        let ledger = open(&address, closer(), reader(), 8).await.expect("the ledger opens");
        let lessee = lessee();
        ledger.heartbeat(lessee.worker, at(0)).await.expect("a heartbeat");
        Self { ledger, lessee, address, place }
    }

    /// Another router on the same database.
    pub(super) async fn another(&self) -> (Arc<dyn Ledger>, Lessee) {
        let ledger = open(&self.address, closer(), reader(), 8).await.expect("the ledger opens");
        let lessee = lessee();
        ledger.heartbeat(lessee.worker, at(0)).await.expect("a heartbeat");
        (ledger, lessee)
    }

    /// Ends a test that passed.
    pub(super) async fn remove(self) {
        drop(self.ledger);
        match self.place {
            Place::Database(database) => administer(format!("drop database {database} with (force)")).await,
            Place::Schema(schema) => administer(format!("drop schema {schema} cascade")).await,
            Place::File { .. } => {}
        }
    }

    /// Ends all connections to the database, as a restart of the server does.
    pub(super) async fn end_all_connections(&self) {
        let Place::Database(database) = &self.place else { panic!("on a database of its own only") };
        administer(format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'"
        ))
        .await;
    }

    pub(super) async fn accept(&self, batch: &[Arrival]) -> Written<Accepted> {
        self.ledger.accept(batch, &self.lessee).await.expect("accept")
    }

    /// Accepts one request for these systems; returns its calls.
    pub(super) async fn submit(&self, ticket: &str, systems: &[&str]) -> Vec<Work> {
        let written = self.accept(&[arrival(ticket, ticket, systems)]).await;
        assert!(matches!(written.replies[..], [Ok(Accepted::New(_))]), "{:?}", written.replies);
        written.work
    }

    pub(super) async fn record(&self, batch: &[Settlement]) -> Written<Recorded> {
        self.ledger.record(batch, &self.lessee).await.expect("record")
    }

    /// Submits a request for one system and has it deliver this job.
    pub(super) async fn deliver(&self, ticket: &str, system: &str, job: &str) -> Work {
        let work = self.submit(ticket, &[system]).await.remove(0);
        let written = self.record(&[settle(&work, delivered(job))]).await;
        assert_eq!(written.replies, [Ok(Recorded::Written)]);
        work
    }

    pub(super) async fn complete(&self, batch: &[Completion]) -> Written<Correlated> {
        self.ledger.complete(batch, &self.lessee).await.expect("complete")
    }

    /// Hears one completion.
    pub(super) async fn hear(&self, completion: Completion) -> Correlated {
        let written = self.complete(&[completion]).await;
        *written.replies[0].as_ref().expect("heard")
    }

    pub(super) async fn history(&self, ticket: &str) -> History {
        let found = self.ledger.ticket(Some(&council()), &self::ticket(ticket)).await.expect("a read");
        found.unwrap_or_else(|| panic!("no ticket {ticket}"))
    }

    pub(super) async fn claim(&self, system: &str, most: usize, now: Timestamp) -> Vec<Work> {
        self.ledger.claim_due(&self::system(system), most, now, self.lessee.worker).await.expect("a claim")
    }
}

/// The server the tests may make databases on.
#[expect(clippy::disallowed_methods, reason = "the tests are told by the environment where PostgreSQL is")]
fn server() -> String {
    std::env::var("PG_URL").expect("run tests/run, or set PG_URL")
}

fn fresh_name() -> String {
    format!("suite_{}", Uuid::now_v7().simple())
}

async fn administer(sql: String) {
    let mut admin = PgConnection::connect(&server()).await.expect("PostgreSQL answers at PG_URL");
    admin.execute(AssertSqlSafe(sql)).await.expect("PostgreSQL does it");
}

/// A worker with ample room.
pub(super) fn lessee() -> Lessee {
    let systems = ["waste", "housing", "revenues", "partner", "crm"];
    Lessee {
        worker: WorkerId(Uuid::now_v7()),
        room: Room::new(systems.map(|name| (system(name), 1000))),
        outbox: Outbox::On(Places::new(1000)),
    }
}

/// A worker without any room: all it writes is left to be claimed.
pub(super) fn full_lessee() -> Lessee {
    Lessee { worker: WorkerId(Uuid::now_v7()), room: Room::default(), outbox: Outbox::On(Places::new(0)) }
}

/// Closes what is completed, declined or a duplicate; tells the CRM of the council `harlow`, and of each case of
/// the model.
pub(super) fn closer() -> Closer {
    Arc::new(|standing: &Standing| {
        if standing.handovers.iter().any(|part| part.state != HandoverState::Ended) {
            return Decision::Wait;
        }
        let mut dispositions = standing.handovers.iter().filter_map(|part| part.disposition);
        let automatic = [Disposition::Completed, Disposition::Declined, Disposition::Duplicate];
        let as_asked = |disposition| standing.withdrawn && disposition == Disposition::Cancelled;
        let by_itself = |disposition| automatic.contains(&disposition) || as_asked(disposition);
        if let Some(other) = dispositions.clone().find(|disposition| !by_itself(*disposition)) {
            return Decision::Hold(format!("it ended as {other}"));
        }
        let whole = dispositions.clone().find(|disposition| *disposition != Disposition::Completed);
        Decision::Close(Closure {
            disposition: whole.or_else(|| dispositions.next()).unwrap_or(Disposition::Completed),
            reason: None,
            say: "It is done.".into(),
            crm: match standing.council.as_str().split_once('-') {
                Some(("case", number)) => Some(system(&format!("crm-{number}"))),
                Some(_) | None => (standing.council.as_str() == "harlow").then(|| system("crm")),
            },
            grounds: Grounds {
                undo: if standing.council.as_str() == "patient" { MINUTE } else { Duration::ZERO },
                ..Grounds::default()
            },
        })
    })
}

/// The words of all systems.
pub(super) fn reader() -> Reader {
    Arc::new(|_: &SystemName, _: &Service, completion: &Completion| match completion.said.as_str() {
        "Completed" => ended(Disposition::Completed),
        "Not Out" => ended(Disposition::Declined),
        "No Access" => ended(Disposition::NoAccess),
        "In Progress" => Meaning::Progress { progress: Progress::InProgress, say: None },
        "Scheduled" => Meaning::Progress { progress: Progress::Scheduled, say: None },
        _ => Meaning::Unrecognised,
    })
}

fn ended(disposition: Disposition) -> Meaning {
    Meaning::Ended { disposition, reason: None, say: None }
}

/// So many seconds after the beginning of the test.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

pub(super) fn council() -> Council {
    Council::parse("harlow").expect("a council")
}

pub(super) fn system(name: &str) -> SystemName {
    SystemName::parse(name).expect("a system")
}

pub(super) fn ticket(reference: &str) -> Ticket {
    Ticket::parse(reference).expect("a ticket")
}

/// A request of the council `harlow` for these systems.
pub(super) fn arrival(delivery: &str, ticket: &str, systems: &[&str]) -> Arrival {
    arrival_of("harlow", delivery, ticket, systems)
}

pub(super) fn arrival_of(council: &str, delivery: &str, ticket: &str, systems: &[&str]) -> Arrival {
    let document = json!({"ticket": ticket, "council": council, "service": "waste.missed-bin",
        "raised_at": "2026-11-22T09:15:00Z", "summary": "Grey bin missed", "details": {"container": "refuse"}});
    Arrival {
        key: InboxKey { source: "/crm".into(), id: delivery.into() },
        change: Change::Submitted {
            request: Request::parse(document).expect("a request"),
            systems: systems.iter().map(|name| system(name)).collect(),
            clock: ClockSetting::default(),
        },
        traceparent: None,
        received_at: at(0),
        sent_with: None,
    }
}

/// Gives a call back that was leased to the worker of the fixture.
pub(super) fn deferral(work: &Work, at: Option<Timestamp>) -> Deferral {
    Deferral { call: work.call, council: work.council.clone(), lease: work.lease, at }
}

/// What the customer changed their mind to, half a minute after the beginning.
pub(super) fn revised(delivery: &str, ticket: &str, revision: Revision, data: Value) -> Arrival {
    revised_of("harlow", delivery, ticket, revision, data)
}

pub(super) fn revised_of(
    council: &str,
    delivery: &str,
    ticket: &str,
    revision: Revision,
    mut data: Value,
) -> Arrival {
    data["council"] = council.into();
    data["ticket"] = ticket.into();
    Arrival {
        key: InboxKey { source: "/changes".into(), id: delivery.into() },
        change: Change::Revised(Revised::parse(revision, data).expect("a revision")),
        traceparent: None,
        received_at: at(30),
        sent_with: None,
    }
}

/// An attempt that may have been carried out: what is next is due at once.
pub(super) fn unsure(work: &Work, phase: Phase) -> Settlement {
    let mut settlement = settle(work, again(at(2), phase));
    settlement.attempt.outcome = "unknown".into();
    settlement
}

pub(super) fn settle(work: &Work, next: Next) -> Settlement {
    let outcome = match &next {
        Next::Delivered { .. } => "delivered",
        Next::Again { .. } => "retry",
        Next::Pending { .. } => "pending",
        Next::Rejected { .. } => "rejected",
        Next::Unable { .. } => "not_sent",
        Next::Park { .. } => "unknown",
    };
    Settlement {
        work: work.clone(),
        attempt: Attempt {
            started_at: at(1),
            ended_at: at(2),
            outcome: outcome.into(),
            status: Some(200),
            reason: None,
            call: None,
            answer: None,
        },
        next,
        owner: None,
    }
}

pub(super) fn delivered(job: &str) -> Next {
    Next::Delivered { job: Some(Job::parse(job).expect("a job")), note: None }
}

pub(super) fn again(at: Timestamp, phase: Phase) -> Next {
    Next::Again { at, phase }
}

pub(super) fn rejected(disposition: Disposition) -> Next {
    Next::Rejected { disposition, reason: "no_such_property".into(), say: None }
}

pub(super) fn park() -> Next {
    Next::Park { class: ParkClass::Uncertain, reason: "the answer was lost".into() }
}

/// A word of a system by its job reference.
pub(super) fn said(system: &str, key: &str, job: &str, word: &str) -> Completion {
    Completion {
        system: self::system(system),
        key: key.into(),
        job: Some(Job::parse(job).expect("a job")),
        reference: None,
        said: word.into(),
        note: None,
        said_at: None,
        received_at: at(10),
        way: Way::Webhook,
    }
}

/// A word of a system by our reference.
pub(super) fn said_of(system: &str, key: &str, reference: &str, word: &str) -> Completion {
    Completion { job: None, reference: Some(ticket(reference)), ..said(system, key, "-", word) }
}

/// The same word with the system's own time.
pub(super) fn timed(completion: Completion, seconds: i64) -> Completion {
    Completion { said_at: Some(at(seconds)), ..completion }
}

/// What the operations of some calls are.
pub(super) fn operations(work: &[Work]) -> Vec<Operation> {
    work.iter().map(|work| work.operation).collect()
}

/// The words of the events of a ticket, in order.
pub(super) fn words(history: &History) -> Vec<&'static str> {
    history.events.iter().map(|event| event.kind.word()).collect()
}

/// A minute.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
