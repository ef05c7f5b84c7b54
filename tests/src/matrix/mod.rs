//! The matrix of faults: each row is one thing that goes wrong while requests are carried, on one database with so
//! many routers. [`play`] plays a row with a seed and has the checker judge what is left.

mod control;
mod crash;
mod drain;
mod load;
mod slow;
mod strike;
mod troupe;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use router::failpoint::{Point, Write};

use crate::checker::gather::{gather, open};
use crate::checker::{Verdict, check};
use crate::council::Council;
use crate::disk::SmallDisk;
use crate::services::{self, FreshSqlite, amqp_url, fresh_postgres};

use troupe::Troupe;

/// The address space of a router that is given little.
const LITTLE: u64 = 3_000_000 * 1024;
/// What a router may hold at most when it is sent nested lists.
const PEAK: u64 = 300_000_000;

/// The limit of descriptors of a router that is given few, which it cannot raise.
const FEW: &str = "-n 256";

/// How long a call may take; what a system holds back longer is a time-out.
const PATIENCE: Duration = Duration::from_secs(1);

/// Which database the ledger is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// PostgreSQL, which several routers may share.
    Postgres,
    /// SQLite, which belongs to one router.
    Sqlite,
    /// PostgreSQL for odd seeds, SQLite for even ones.
    BySeed,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// A router kills itself at a fail point.
    Crash(Point),
    /// Routers are killed at random.
    Kill,
    /// A router stands still for 15 s, longer than its leases last, and goes on.
    Freeze,
    /// The sessions of the database are ended again and again.
    Sessions,
    /// The database falls and comes back.
    RestartDatabase,
    /// The database stands still for 5 s and says nothing, twice.
    SilentDatabase,
    /// The router's connections are ended, and others take every place at the database for 5 s.
    TooManyClients,
    /// The only router is killed and started again while systems call it, with a heartbeat that stays young for a minute.
    /// How many events it refuses is compared with the same number of requests before.
    OnlyRouter,
    /// The broker is killed and comes back.
    RestartBroker,
    /// The link to the broker is late, silent, closed, reset, and takes nobody.
    Link,
    /// Systems carry calls out and never answer.
    AppliedThenSilent,
    /// Systems answer with 500 and 503.
    Errors,
    /// Systems refuse one call in twenty with 503 and `Retry-After`. What goes on beside is compared with the same number
    /// of requests before they began to.
    OneInTwenty,
    /// Systems carry calls out and cut the connection before the answer, and call back twice.
    LostAnswers,
    /// The disk of the ledger is full for a while, twice; the second time the router is stopped and started again.
    FullDisk,
    /// Writes of the ledger are carried out, and their callers hear of an error: one in twenty.
    LateWrites,
    /// Writes of the ledger fail: one in twenty.
    FailingWrites,
    /// One request kills every router that reads it.
    Deadly,
    /// One request would take gigabytes as a tree, and routers have an address space of 3 GB.
    NestedLists,
    /// Callers who ask for nothing, or for half of something, take every connection of both listeners.
    SlowClients,
    /// The same, and routers have few descriptors.
    Descriptors,
    /// Nothing, but every fail point that is come by is told in the log.
    Tour,
    /// A router acknowledges what it has not written, and is killed. It loses tickets: the checker must say so.
    AcknowledgesFirst,
}

/// One row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is called in the table and on the command line.
    pub name: String,
    /// What goes wrong.
    pub strike: Strike,
    /// Where the ledger is.
    pub database: Database,
    /// How many routers there are.
    pub routers: usize,
}

/// What came of a row.
#[derive(Debug)]
pub struct Played {
    /// What the checker says.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
    /// What each router logged, in the order in which they ended.
    pub logs: Vec<String>,
}

impl Row {
    /// A row of this name.
    pub fn new(name: &str, strike: Strike, database: Database, routers: usize) -> Self {
        let suffix = match (database, routers) {
            (Database::BySeed, _) => String::new(),
            (Database::Sqlite, _) => "-sqlite".to_owned(),
            (Database::Postgres, routers) => format!("-postgres-{routers}"),
        };
        Self { name: format!("{name}{suffix}"), strike, database, routers }
    }

    /// The row that kills a router at this point.
    pub fn crash(point: Point) -> Self {
        Self::new(&format!("crash-{}", point.as_str()), Strike::Crash(point), Database::BySeed, 1)
    }
}

/// A strike by its name, and where it is struck: the database, and how many routers.
type Strikes<'a> = (&'a str, Strike, &'a [(Database, usize)]);

/// Every row: the kill matrix, and a crash at each fail point.
pub fn rows() -> Vec<Row> {
    use Database::{Postgres, Sqlite};
    let everywhere = [(Postgres, 1), (Postgres, 3), (Sqlite, 1)];
    let several = [(Postgres, 1), (Postgres, 3)];
    let matrix: [Strikes<'_>; 20] = [
        ("kill", Strike::Kill, &everywhere),
        ("freeze", Strike::Freeze, &[(Postgres, 3)]),
        ("sessions", Strike::Sessions, &several),
        ("restart-database", Strike::RestartDatabase, &several),
        ("silent-database", Strike::SilentDatabase, &several),
        ("too-many-clients", Strike::TooManyClients, &[(Postgres, 1)]),
        ("only-router", Strike::OnlyRouter, &[(Postgres, 1), (Sqlite, 1)]),
        ("restart-broker", Strike::RestartBroker, &everywhere),
        ("full-disk", Strike::FullDisk, &[(Sqlite, 1)]),
        ("link", Strike::Link, &everywhere),
        ("applied-then-silent", Strike::AppliedThenSilent, &everywhere),
        ("errors", Strike::Errors, &everywhere),
        ("one-in-twenty", Strike::OneInTwenty, &everywhere),
        ("lost-answers", Strike::LostAnswers, &everywhere),
        ("late-writes", Strike::LateWrites, &everywhere),
        ("failing-writes", Strike::FailingWrites, &everywhere),
        ("deadly", Strike::Deadly, &everywhere),
        ("nested-lists", Strike::NestedLists, &everywhere),
        ("slow-clients", Strike::SlowClients, &everywhere),
        ("descriptors", Strike::Descriptors, &everywhere),
    ];
    let matrix = matrix.into_iter().flat_map(|(name, strike, on)| {
        on.iter().map(move |(database, routers)| Row::new(name, strike, *database, *routers))
    });
    matrix.chain(Point::all().into_iter().map(Row::crash)).collect()
}

/// The parts of one play that end with it.
struct Place {
    ledger: String,
    amqp: String,
    sqlite: Option<FreshSqlite>,
    database: Option<services::Database>,
    broker: Option<services::Broker>,
}

impl Place {
    async fn new(row: &Row, seed: u64) -> Self {
        let (mut broker, mut database) = (None, None);
        if row.strike == Strike::RestartBroker {
            broker = Some(services::Broker::start().await);
        }
        if matches!(row.strike, Strike::RestartDatabase | Strike::SilentDatabase | Strike::TooManyClients) {
            database = Some(services::Database::start().await);
        }
        let on_sqlite = match row.database {
            Database::Postgres => false,
            Database::Sqlite => true,
            Database::BySeed => seed.is_multiple_of(2),
        };
        let sqlite = on_sqlite.then(|| {
            let is_small = row.strike == Strike::FullDisk;
            if is_small { FreshSqlite::on(SmallDisk::mount(16)) } else { FreshSqlite::new() }
        });
        let ledger = match (&sqlite, &database) {
            (Some(sqlite), _) => sqlite.url(),
            (None, Some(database)) => database.url().to_owned(),
            (None, None) => fresh_postgres().await,
        };
        let amqp = broker.as_ref().map_or_else(amqp_url, |broker| broker.url().to_owned());
        Self { ledger, amqp, sqlite, database, broker }
    }
}

/// Plays a row: requests are published while the strike strikes; then everything is healed and drained, the routers
/// are stopped, and the checker judges.
///
/// # Panics
/// When the stage itself breaks, for example when a router does not start again.
pub async fn play(row: &Row, seed: u64) -> Played {
    let began = Instant::now();
    let mut dice = StdRng::seed_from_u64(seed);
    let place = Place::new(row, seed).await;
    let mut council = Council::linked(&place.ledger, &place.amqp, seed).await;
    council.time_out_after(PATIENCE);
    if row.strike == Strike::NestedLists {
        council.limit_memory(LITTLE);
    }
    if row.strike == Strike::Descriptors {
        council.limit_descriptors(FEW);
    }
    if row.strike == Strike::OnlyRouter {
        council.set_variable("DOVETAIL__WORKER__DEAD_AFTER", "60s");
    }
    let plans = plans(row.strike, seed, &mut dice);
    strike::prepare(row.strike, &council);
    let mut troupe = Troupe::start(&council, row.routers, &plans).await;
    let mut client = council.broker.connect().await;
    let tickets = council.open_simulated(load::requests(row.strike)).await;
    let ledger = open(&place.ledger).await;

    let mut control = control::Control::default();
    let (before, tickets) = tickets.split_at(control::share(row.strike, tickets.len()));
    if !before.is_empty() {
        control = control::Control::begin();
        control.published = load::publish(&mut client, before, row.strike, seed).await;
        drain::drain(&*ledger, &council, &troupe, &control.published).await;
        control.ended(row.strike, &council, &troupe);
    }
    let (mut published, ()) = tokio::join!(
        load::publish(&mut client, tickets, row.strike, seed),
        strike::strike(row.strike, &mut troupe, &place, &council, &mut dice),
    );
    strike::heal(row.strike, &council);
    troupe.fill().await;
    published.append(&mut control.published);
    drain::drain(&*ledger, &council, &troupe, &published).await;
    let peak = troupe.peak_memory();
    let held_up = control.compare(row.strike, &*ledger, &troupe).await;
    troupe.stop().await;

    let evidence = gather(&*ledger, &council, &mut client, published).await;
    let mut verdict = check(&evidence).with_all_work_ended(&evidence);
    verdict.findings.extend(held_up);
    if matches!(row.strike, Strike::SlowClients | Strike::Descriptors) {
        verdict.findings.extend(slow::judge(&*ledger, &troupe.logs).await);
    }
    if plans.must_kill && troupe.fell == 0 {
        verdict.findings.push("the point was not reached: no router fell".to_owned());
    }
    if row.strike == Strike::NestedLists && (peak > PEAK || troupe.fell > 0) {
        verdict.findings.push(format!("{} routers fell, and one held {peak} bytes", troupe.fell));
    }
    Played { verdict, took: began.elapsed(), logs: troupe.logs }
}

/// What the routers are told to do wrong.
struct Plans {
    /// From the start.
    first: String,
    /// Those that are started in place of fallen ones.
    later: String,
    /// Whether a router must fall by its plan.
    must_kill: bool,
}

fn plans(strike: Strike, seed: u64, dice: &mut StdRng) -> Plans {
    let first = match strike {
        Strike::Crash(point) => crash::plan(point, dice),
        Strike::LateWrites => format!("written=error:5%:{seed}"),
        Strike::FailingWrites => format!("writing=error:5%:{seed}"),
        Strike::Tour => crash::LEAVES_SOMETHING.to_owned(),
        Strike::Deadly => format!("deadly:{}", load::DEADLY),
        Strike::AcknowledgesFirst => format!("acknowledge_first;accepting=kill@{}", dice.random_range(3..8)),
        Strike::Kill
        | Strike::Freeze
        | Strike::Sessions
        | Strike::RestartDatabase
        | Strike::SilentDatabase
        | Strike::TooManyClients
        | Strike::OnlyRouter
        | Strike::RestartBroker
        | Strike::Link
        | Strike::FullDisk
        | Strike::AppliedThenSilent
        | Strike::Errors
        | Strike::OneInTwenty
        | Strike::LostAnswers
        | Strike::NestedLists
        | Strike::SlowClients
        | Strike::Descriptors => String::new(),
    };
    let later = if matches!(strike, Strike::LateWrites | Strike::FailingWrites | Strike::Deadly) {
        first.clone()
    } else if strike == Strike::Tour {
        "any=tell".to_owned()
    } else {
        String::new()
    };
    let must_kill = matches!(strike, Strike::Crash(_) | Strike::AcknowledgesFirst | Strike::Deadly);
    Plans { first, later, must_kill }
}

/// The points that only come by where a router before left something behind, or one ends.
fn needs_prelude(point: Point) -> bool {
    matches!(point, Point::Before(Write::Rescue | Write::Take) | Point::After(Write::Rescue | Write::Take))
}
