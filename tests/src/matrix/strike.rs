//! The strikes: what is done to the parts while requests are carried, and undone afterwards.

use std::time::Duration;

use connectors::simulator::{Fault, Faults, Kind, Switch};
use rand::RngExt;
use rand::rngs::StdRng;
use router::failpoint::{Point, Write};

use super::troupe::Troupe;
use super::{Place, Strike, needs_prelude};
use crate::council::Council;
use crate::proxy::Carry;
use crate::services::{FreshSqlite, end_sessions};
use crate::wait::{pass, until};

/// How long a router stands still: far longer than its leases last.
const FROZEN: Duration = Duration::from_secs(15);
/// How long a database says nothing.
const SILENT: Duration = Duration::from_secs(5);
/// How long a router may take to stop: longer than its own `stop_within`.
const STOPS: Duration = Duration::from_secs(40);
/// How long a router has to come by its fail point.
const FALLS: Duration = Duration::from_secs(20);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn slow(mut faults: Faults, name: &str, value: &str) -> Faults {
    faults.set(name, value).expect("a switch");
    faults
}

/// Switches the faults of the systems that are there from the start.
pub(super) fn prepare(strike: Strike, council: &Council) {
    let rate = |fault, rate| Faults::default().with(fault, Switch::Rate(rate));
    let faults = match strike {
        // What a claim takes up was tried before.
        Strike::Crash(Point::Before(Write::Claim) | Point::After(Write::Claim)) => rate(Fault::Error503, 0.5),
        Strike::Crash(_) | Strike::AcknowledgesFirst => slow(Faults::default(), "delay_ms", "50"),
        Strike::Tour => slow(rate(Fault::Error503, 0.3), "delay_ms", "50"),
        Strike::Freeze => slow(Faults::default(), "delay_ms", "300"),
        Strike::AppliedThenSilent => slow(rate(Fault::TimeoutAfterApplying, 0.3), "hold_ms", "3000"),
        Strike::Errors => rate(Fault::Error500, 0.25).with(Fault::Error503, Switch::Rate(0.25)),
        Strike::LostAnswers => rate(Fault::LostAnswer, 0.3).with(Fault::DoubleCallback, Switch::Rate(0.5)),
        Strike::Kill
        | Strike::Sessions
        | Strike::RestartDatabase
        | Strike::SilentDatabase
        | Strike::TooManyClients
        | Strike::RestartBroker
        | Strike::Link
        | Strike::FullDisk
        | Strike::LateWrites
        | Strike::FailingWrites
        | Strike::Deadly
        | Strike::NestedLists
        | Strike::SlowClients
        | Strike::Descriptors => rate(Fault::LostAnswer, 0.05),
        // The control comes first.
        Strike::OneInTwenty | Strike::OnlyRouter => Faults::default(),
    };
    for kind in Kind::ALL {
        council.simulator(kind).set_faults(faults.clone());
    }
}

/// Takes back what is wrong, but for what the routers do wrong by their plan.
pub(super) fn heal(strike: Strike, council: &Council) {
    // The calls under way may still be slow: what is drained is what was published under the fault.
    if !matches!(strike, Strike::LateWrites | Strike::FailingWrites | Strike::OneInTwenty) {
        for kind in Kind::ALL {
            council.simulator(kind).set_faults(Faults::default());
        }
    }
    if let Some(link) = council.link() {
        link.carry(Carry::Everything);
    }
}

/// Strikes while the requests are published.
pub(super) async fn strike(
    strike: Strike,
    troupe: &mut Troupe<'_>,
    place: &Place,
    council: &Council,
    dice: &mut StdRng,
) {
    let which = dice.random_range(0..100);
    let mut soon = |most: u64| pass(ms(dice.random_range(most / 4..=most)));
    match strike {
        Strike::Crash(point) => crash(point, troupe).await,
        Strike::AcknowledgesFirst => {
            troupe.fallen(FALLS).await;
            troupe.fill().await;
        }
        Strike::Tour => {
            leave_something(troupe).await;
            troupe.fill().await;
        }
        Strike::Kill => {
            for turn in 0..4 {
                soon(1200).await;
                troupe.kill(which + turn);
                troupe.fill().await;
            }
        }
        Strike::Freeze => {
            soon(600).await;
            troupe.signal(which, "STOP");
            pass(FROZEN).await;
            troupe.signal(which, "CONT");
        }
        Strike::Sessions => {
            for _ in 0..8 {
                soon(600).await;
                end_sessions(&place.ledger).await;
            }
        }
        Strike::RestartDatabase => {
            let database = place.database.as_ref().expect("a database of its own");
            for _ in 0..2 {
                soon(800).await;
                database.restart().await;
            }
        }
        Strike::SilentDatabase => {
            let database = place.database.as_ref().expect("a database of its own");
            for _ in 0..2 {
                soon(800).await;
                database.signal("STOP");
                pass(SILENT).await;
                database.signal("CONT");
                troupe.ready().await;
            }
        }
        Strike::TooManyClients => {
            let database = place.database.as_ref().expect("a database of its own");
            soon(800).await;
            let others = database.take_every_place().await;
            until("the router finds no place", FALLS, async || troupe.said("too many clients").then_some(()))
                .await;
            pass(SILENT).await;
            drop(others);
            troupe.ready().await;
        }
        Strike::OnlyRouter => {
            for _ in 0..3 {
                soon(1500).await;
                troupe.kill(0);
                troupe.fill().await;
            }
        }
        Strike::RestartBroker => {
            let broker = place.broker.as_ref().expect("a broker of its own");
            broker.settle().await;
            for _ in 0..2 {
                soon(800).await;
                broker.restart().await;
            }
        }
        Strike::Link => {
            let link = council.link().expect("a link of its own");
            for _ in 0..2 {
                soon(600).await;
                link.cut();
                soon(600).await;
                link.reset();
                soon(600).await;
                link.carry(Carry::Nothing);
                soon(1500).await;
                link.reset();
                link.carry(Carry::Late(ms(20)));
                soon(1000).await;
                link.carry(Carry::Nobody);
                link.reset();
                soon(1000).await;
                link.carry(Carry::Everything);
            }
        }
        Strike::FullDisk => {
            let disk = place.sqlite.as_ref().and_then(FreshSqlite::disk).expect("a disk of its own");
            soon(600).await;
            disk.fill();
            until("the router finds its disk full", FALLS, async || {
                troupe.said("disk is full").then_some(())
            })
            .await;
            soon(2000).await;
            disk.clear();
            troupe.ready().await;
            soon(1000).await;
            disk.fill();
            soon(600).await;
            troupe.signal(0, "TERM");
            assert!(troupe.fallen(STOPS).await, "a router whose disk is full ends after SIGTERM");
            disk.clear();
            troupe.fill().await;
        }
        Strike::SlowClients | Strike::Descriptors => {
            soon(300).await;
            super::slow::come(troupe).await;
        }
        Strike::AppliedThenSilent
        | Strike::Errors
        | Strike::OneInTwenty
        | Strike::LostAnswers
        | Strike::LateWrites
        | Strike::FailingWrites
        | Strike::NestedLists => {}
        Strike::Deadly => {
            // Once beside others, once with those that came back beside it, and twice alone.
            for falls in 1..=4 {
                troupe.fallen_times(falls, FALLS * 2).await;
                troupe.fill().await;
            }
        }
    }
}

/// Kills the router once it stands still with something in hand.
async fn leave_something(troupe: &mut Troupe<'_>) {
    until("the router has a call and an event in hand", FALLS, async || {
        let has = |point: &str| troupe.said(&format!("paused on purpose point=\"{point}\""));
        (has("answered") && has("confirmed")).then_some(())
    })
    .await;
    troupe.kill(0);
}

/// Waits until the router has fallen at its point, and starts it again.
async fn crash(point: Point, troupe: &mut Troupe<'_>) {
    if needs_prelude(point) {
        // The first router leaves a call and an event behind; the next falls over them.
        leave_something(troupe).await;
        troupe.add(&format!("{}=kill@1", point.as_str())).await;
    }
    if matches!(point, Point::Before(Write::Release) | Point::After(Write::Release)) {
        pass(ms(500)).await;
        troupe.signal(0, "TERM");
    }
    troupe.fallen(FALLS).await;
    troupe.fill().await;
}
