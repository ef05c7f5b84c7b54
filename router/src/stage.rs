//! Groups of tasks that are stopped together, one group after the other.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that stop together.
pub(crate) struct Stage {
    /// Where they are spawned.
    pub(crate) tasks: TaskTracker,
    /// Tells them to end.
    pub(crate) stop: CancellationToken,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Tells the tasks to end, and waits until they have. Says `false` when some have not by `deadline`: they are left as
    /// they are, and end with the process.
    pub(crate) async fn finish(&self, deadline: Instant) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_ok()
    }
}

/// Finishes stages in order within a time: each has until its share of it is over, so that one that hangs leaves time
/// for those after it.
pub(crate) async fn finish(stages: &[(&str, f64, &Stage)], within: Duration) {
    let began = Instant::now();
    for (what, share, stage) in stages {
        if !stage.finish(began + within.mul_f64(*share)).await {
            tracing::warn!(what, within = ?within, "did not end in time, and is left as it is");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stage_that_hangs_keeps_those_after_it_from_nothing() {
        let (hangs, ends) = (Stage::new(), Stage::new());
        hangs.tasks.spawn(std::future::pending::<()>());
        let stop = ends.stop.clone();
        let ended = ends.tasks.spawn(async move { stop.cancelled().await });
        finish(&[("one", 0.01, &hangs), ("another", 1.0, &ends)], Duration::from_secs(20)).await;
        assert!(ended.is_finished());
    }
}
