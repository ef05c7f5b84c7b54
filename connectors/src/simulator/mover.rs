//! Moves jobs along as time passes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::book::{Book, Index, Text};
use super::{Fault, Shared};

/// Steps that are due within this time of each other are taken together.
const GRAIN: Duration = Duration::from_millis(2);

/// Runs until the simulator ends.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let next = {
            let mut book = shared.book();
            let due = book.take_due(Instant::now());
            for index in &due {
                step(&shared, &mut book, *index);
            }
            if !due.is_empty() {
                shared.changed.notify_one();
            }
            book.set_alarm()
        };
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            () = shared.scheduled.notified() => {}
            () = sleep_until(next) => {}
        }
    }
}

/// Moves one job one step; the switch for unknown statuses may change its end.
pub(super) fn step(shared: &Shared, book: &mut Book, index: Index) {
    let unheard = || shared.live.strikes(Fault::UnknownStatus).then(|| Text::Borrowed(shared.unheard()));
    book.step(index, unheard, shared.now());
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next.max(Instant::now() + GRAIN)).await,
        None => std::future::pending().await,
    }
}
