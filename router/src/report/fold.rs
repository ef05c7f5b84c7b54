//! Folds closed requests into the figures that reports read.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ledger::{Error, Ledger};
use crate::rounds::Rounds;

/// Requests that are folded in one transaction.
const ROUND: usize = 500;

/// Folds closed requests, beside their way: nothing waits for it, and several routers may do so at once.
pub struct Bookkeeper {
    /// Where they are.
    pub ledger: Arc<dyn Ledger>,
    /// How often it looks.
    pub every: Duration,
}

impl Bookkeeper {
    /// Folds until shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut rounds = Rounds::every(self.every, shutdown.clone());
        while rounds.next().await {
            while !shutdown.is_cancelled() {
                match self.ledger.fold(ROUND).await {
                    Ok(ROUND) => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(error = %error, "closed requests could not be folded into the figures yet");
                        break;
                    }
                }
            }
        }
    }

    /// Folds what there is; says how much.
    ///
    /// # Errors
    /// The ledger failed; the same again does no harm.
    pub async fn fold_all(ledger: &dyn Ledger) -> Result<usize, Error> {
        let mut all = 0;
        loop {
            let count = ledger.fold(ROUND).await?;
            all += count;
            if count < ROUND {
                return Ok(all);
            }
        }
    }
}
