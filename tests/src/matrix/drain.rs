//! Waiting until nothing more happens.

use std::time::{Duration, Instant};

use mappings::domain::RequestState;
use router::ledger::{Counts, Ledger, Parked};

use super::troupe::Troupe;
use crate::checker::Published;
use crate::council::Council;
use crate::wait::pass;

/// After so long, what has not ended will not end.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long nothing may be seen of a request before it counts as gone. A broker that has not noticed a dead
/// connection keeps what it gave out over it.
const STILL: Duration = Duration::from_secs(20);

/// Returns when every request has come to an end that the routers can bring about, or nothing changes any more.
pub(super) async fn drain(
    ledger: &dyn Ledger,
    council: &Council,
    troupe: &Troupe<'_>,
    published: &[Published],
) {
    let began = Instant::now();
    let (mut seen, mut since) = (0, Instant::now());
    while began.elapsed() < PATIENCE {
        pass(Duration::from_millis(100)).await;
        let Ok(counts) = ledger.counts().await else { continue };
        let (known, unsettled) = standing(&counts);
        if known != seen {
            (seen, since) = (known, Instant::now());
        }
        let is_all = known >= published.len() as u64 || since.elapsed() > STILL;
        if unsettled > 0 || counts.due + counts.outbox > 0 || !is_all {
            continue;
        }
        // Acknowledged, too: a router that stops gives back what it had yet to acknowledge.
        let is_empty = council.broker.depths().await.iter().all(|(_, count)| *count == 0);
        if is_empty && troupe.holds_nothing().await {
            return;
        }
    }
}

/// How many requests the ledger knows, and how many of them go on by themselves.
fn standing(counts: &Counts) -> (u64, u64) {
    let goes_on = |state: &RequestState, parked: &Parked| {
        matches!((state, parked), (RequestState::Open | RequestState::Closing, Parked::No))
    };
    let known: u64 = counts.tickets.iter().map(|(.., count)| count).sum();
    let unsettled = counts
        .tickets
        .iter()
        .filter(|(state, parked, _)| goes_on(state, parked))
        .map(|(.., count)| count)
        .sum();
    (known + counts.refused, unsettled)
}
