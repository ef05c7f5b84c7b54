//! One look at how all systems stand, for all lanes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mappings::mapping::Catalogue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Halts;
use crate::api::Readiness;
use crate::clock::Clock;
use crate::gate;
use crate::ledger::Ledger;
use crate::rounds::Rounds;

/// Reads how systems stand and tells the lanes, readiness and the metrics.
pub struct Lookout {
    /// Where it is kept.
    pub ledger: Arc<dyn Ledger>,
    /// The mappings.
    pub catalogue: Arc<Catalogue>,
    /// The time.
    pub clock: Clock,
    /// How often to look.
    pub every: Duration,
    /// Where the lanes read.
    pub halts: watch::Sender<Halts>,
    /// Where readiness reads: a system that takes no calls is told there, and makes nobody unready.
    pub readiness: watch::Sender<Readiness>,
}

impl Lookout {
    /// Looks until shutdown. While the ledger is away, what was last read stays.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut rounds = Rounds::every(self.every, shutdown);
        let mut told = BTreeMap::new();
        while rounds.next().await {
            self.look(&mut told).await;
        }
    }

    /// Looks once, for whoever drives the time.
    pub async fn step(&self) {
        self.look(&mut BTreeMap::new()).await;
    }

    async fn look(&self, told: &mut BTreeMap<String, &'static str>) {
        if let Err(error) = Halts::renew(&self.halts, self.ledger.halts()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "how systems stand could not be read");
        }
        let shut = self.shut();
        if shut == *told {
            return;
        }
        for (system, why) in told.iter().filter(|(system, why)| shut.get(*system) != Some(*why)) {
            gauge(system, why).set(0.0);
        }
        for (system, why) in &shut {
            gauge(system, why).set(1.0);
        }
        self.readiness.send_modify(|readiness| readiness.systems.clone_from(&shut));
        *told = shut;
    }

    /// The systems that take no calls, and why in a word.
    fn shut(&self) -> BTreeMap<String, &'static str> {
        let (now, halts) = (self.clock.now(), self.halts.borrow());
        let systems = self.catalogue.systems().filter_map(|system| {
            let shut = gate::shut(halts.get(&system.name), &system.limits, now)?;
            Some((system.name.to_string(), shut.word()))
        });
        systems.collect()
    }
}

/// 1 while a system takes no calls, by reason.
fn gauge(system: &str, why: &'static str) -> metrics::Gauge {
    metrics::gauge!("dovetail_system_shut", "system" => system.to_owned(), "why" => why)
}
