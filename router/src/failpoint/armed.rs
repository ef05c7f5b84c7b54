//! The fail points of a debug build.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::plan::{Action, Plan, When};
use super::{Injected, Point, Write};
use crate::config;

/// How long a call is under way before it counts as sent.
const UNDER_WAY: Duration = Duration::from_millis(20);

static ARMED: OnceLock<Armed> = OnceLock::new();

tokio::task_local! {
    static WRITES: Vec<Write>;
}

/// The plan, and what has come of it so far.
struct Armed {
    plan: Plan,
    hits: Mutex<HashMap<Point, (u64, StdRng)>>,
}

/// Reads `DOVETAIL_FAIL` and does from now on what it says.
///
/// # Errors
/// It cannot be understood; the text says what was found and what is expected.
pub fn arm() -> Result<(), String> {
    let Some(text) = config::variable("DOVETAIL_FAIL") else { return Ok(()) };
    let plan = Plan::parse(&text)?;
    tracing::warn!(plan = %text, "this router fails on purpose");
    // Armed once before: the first plan stays.
    let _armed = ARMED.set(Armed { plan, hits: Mutex::default() });
    Ok(())
}

/// A place that cannot fail, but die or pause.
pub async fn hit(point: Point) {
    // The plan allows no error here.
    let _never = fall(point).await;
}

/// Runs a write whose commit has fail points.
pub fn during<F: Future>(write: Write, future: F) -> impl Future<Output = F::Output> {
    WRITES.scope(vec![write], future)
}

/// Runs a transaction of several writes; its commit has the fail points of each.
pub fn during_all<F: Future>(writes: &[Write], future: F) -> impl Future<Output = F::Output> + use<F> {
    WRITES.scope(writes.to_vec(), future)
}

/// The place before the commit of the write under way; what only reads has none.
///
/// # Errors
/// The plan wants the write to fail.
pub async fn before_commit() -> Result<(), Injected> {
    for write in WRITES.try_with(Clone::clone).unwrap_or_default() {
        fall(Point::Before(write)).await?;
    }
    Ok(())
}

/// The place after the commit of the write under way.
///
/// # Errors
/// The plan wants the answer to be lost.
pub async fn after_commit() -> Result<(), Injected> {
    for write in WRITES.try_with(Clone::clone).unwrap_or_default() {
        fall(Point::After(write)).await?;
    }
    Ok(())
}

/// Awaits the answer to a call, with a fail point while it is under way.
pub async fn sent<F: Future>(call: F) -> F::Output {
    let under_way = async {
        tokio::time::sleep(UNDER_WAY).await;
        hit(Point::Sent).await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        output = call => output,
        never = under_way => never,
    }
}

/// Whether deliveries are acknowledged before they are written, as no router may.
pub fn acknowledges_first() -> bool {
    ARMED.get().is_some_and(|armed| armed.plan.acknowledges_first)
}

/// The place where a body is read; the plan may name a text that no router survives.
pub fn reading(body: &[u8]) {
    let deadly = ARMED.get().and_then(|armed| armed.plan.deadly.as_deref()).map(str::as_bytes);
    if deadly.is_some_and(|deadly| body.windows(deadly.len()).any(|window| window == deadly)) {
        tracing::warn!("aborted on purpose by what was read");
        std::process::abort();
    }
}

async fn fall(point: Point) -> Result<(), Injected> {
    match ARMED.get().and_then(|armed| armed.due(point)) {
        None => Ok(()),
        Some(Action::Error) => Err(Injected(point)),
        Some(Action::Tell) => {
            tracing::info!(point = point.as_str(), "fail point reached");
            Ok(())
        }
        Some(Action::Pause(time)) => {
            tracing::warn!(point = point.as_str(), "paused on purpose");
            tokio::time::sleep(time).await;
            Ok(())
        }
        Some(Action::Kill) => {
            tracing::warn!(point = point.as_str(), "killed on purpose");
            kill().await
        }
    }
}

/// SIGKILL to this process, which ends here.
async fn kill() -> ! {
    let id = std::process::id().to_string();
    // Where there is no such command, an abort ends the process as suddenly.
    if std::process::Command::new("kill").args(["-KILL", &id]).status().is_err() {
        std::process::abort();
    }
    std::future::pending().await
}

impl Armed {
    fn due(&self, point: Point) -> Option<Action> {
        let (action, when) = *self.plan.actions.get(&point)?;
        let mut hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, dice) = hits.entry(point).or_insert_with(|| (0, dice(point, when)));
        *count += 1;
        let is_due = match when {
            When::Always => action != Action::Tell || *count == 1,
            When::Nth(nth) => *count == nth,
            When::Rate(rate, _) => dice.random_bool(rate.clamp(0.0, 1.0)),
        };
        is_due.then_some(action)
    }
}

/// Draws of their own for each point, so that they do not disturb each other.
fn dice(point: Point, when: When) -> StdRng {
    let seed = match when {
        When::Rate(_, seed) => seed,
        When::Always | When::Nth(_) => 0,
    };
    let name =
        point.as_str().bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    StdRng::seed_from_u64(seed ^ name)
}
