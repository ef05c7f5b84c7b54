//! The control of a strike that may slow things down and must not stop them: the same number of requests without it.

use std::time::{Duration, Instant};

use connectors::simulator::{Fault, Faults, Kind, Switch};
use router::ledger::Ledger;

use super::Strike;
use super::troupe::Troupe;
use crate::checker::Published;
use crate::council::Council;

/// Under a strike it may take so many times as long as in its control: each refused call waits a second by itself.
const FACTOR: u32 = 4;

/// What was published before the strike, and how long it took.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) published: Vec<Published>,
    began: Option<Instant>,
    took: Option<Duration>,
    refused: usize,
}

/// What a router logs of an event that it did not take.
const REFUSED: &str = "an event of a system was not taken";

/// How many of the requests are published before the strike.
pub(super) fn share(strike: Strike, all: usize) -> usize {
    if matches!(strike, Strike::OneInTwenty | Strike::OnlyRouter) { all / 2 } else { 0 }
}

impl Control {
    pub(super) fn begin() -> Self {
        Self { began: Some(Instant::now()), ..Self::default() }
    }

    /// All that was published has ended; the strike begins.
    pub(super) fn ended(&mut self, strike: Strike, council: &Council, troupe: &Troupe<'_>) {
        self.took = self.began.map(|began| began.elapsed());
        self.began = Some(Instant::now());
        self.refused = troupe.times_said(REFUSED);
        if strike != Strike::OneInTwenty {
            return;
        }
        for kind in Kind::ALL {
            council.simulator(kind).set_faults(Faults::default().with(Fault::Error503, Switch::Rate(0.05)));
        }
    }

    /// What the strike held up beyond measure, once all has ended.
    pub(super) async fn compare(
        &self,
        strike: Strike,
        ledger: &dyn Ledger,
        troupe: &Troupe<'_>,
    ) -> Vec<String> {
        let (Some(alone), Some(began)) = (self.took, self.began) else { return Vec::new() };
        let struck = began.elapsed();
        let mut findings = Vec::new();
        if strike == Strike::OnlyRouter {
            let refused = troupe.times_said(REFUSED) - self.refused;
            if refused > self.refused {
                let alone = self.refused;
                findings.push(format!(
                    "{refused} events were refused around the starts, and {alone} without any"
                ));
            }
            return findings;
        }
        if struck > alone * FACTOR {
            findings.push(format!("one refused call in twenty: {struck:?}, and {alone:?} without"));
        }
        let changes = ledger.system_changes(100).await.unwrap_or_default();
        for change in changes.iter().filter(|change| change.change == "opened") {
            findings.push(format!("{} was left alone: {:?}", change.system, change.reason));
        }
        findings
    }
}
