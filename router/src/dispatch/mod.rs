//! Makes the calls that are due: one lane a system, so that none waits for another.

mod caller;
mod halts;
mod lane;
mod lookout;
mod pace;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use mappings::mapping::Catalogue;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::ledger::{Halt, Ledger, Lessee, Writer};
use crate::rescue::Pulse;

pub(crate) use caller::idempotency;
pub use halts::Halts;
pub use lane::Lane;
pub use lookout::Lookout;
pub use turns::{Asker, Turns};

/// What every lane needs.
#[derive(Clone)]
pub struct Desk {
    /// The mappings.
    pub catalogue: Arc<Catalogue>,
    /// For claims.
    pub ledger: Arc<dyn Ledger>,
    /// For outcomes.
    pub writer: Writer,
    /// Who holds the leases.
    pub lessee: Lessee,
    /// The time.
    pub clock: Clock,
    /// How often the ledger is asked for what is due.
    pub claim_every: Duration,
    /// How many calls are held in memory, as a multiple of those that run at once.
    pub room_factor: usize,
    /// How the systems stand.
    pub halts: watch::Sender<Halts>,
    /// Whether the leases are sure to be ours still.
    pub pulse: Pulse,
}

impl Desk {
    /// Lets all lanes know how a system stands, before the next look would.
    fn learn(&self, halt: Halt) {
        self.halts.send_if_modified(|halts| halts.changed(halt));
    }
}
