//! Closes what nobody stopped in time.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::ledger::{Error, Ledger, Lessee};
use crate::rounds::Rounds;

/// How many tickets are closed in one round.
const ROUND: usize = 100;

/// Looks for closures whose time for being stopped is over.
pub struct Undo {
    /// Where they are.
    pub ledger: Arc<dyn Ledger>,
    /// Who writes; it takes nothing into memory: lanes and relay claim what follows.
    pub lessee: Lessee,
    /// The time.
    pub clock: Clock,
    /// How often it looks.
    pub every: Duration,
}

impl Undo {
    /// Closes what is due, until shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut rounds = Rounds::every(self.every, shutdown);
        while rounds.next().await {
            if let Err(error) = self.step().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "closures that are due could not be written yet"
                );
            }
        }
    }

    /// Closes what is due now, and returns how many that were.
    ///
    /// # Errors
    /// The database failed; the same again does no harm.
    pub async fn step(&self) -> Result<usize, Error> {
        let closed = self.ledger.close_due(self.clock.now(), ROUND, &self.lessee).await?;
        Ok(closed.replies.len())
    }
}
