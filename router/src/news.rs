//! Asks a system for what changed since it was last asked: in one window of time or, where an answer would be too
//! large, in several.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use connectors::ReadFailure;
use jiff::{SignedDuration, Timestamp};
use mappings::mapping::{Facts, Poll, Reading, Steps, System, context};
use serde_json::Value;

use crate::aside;
use crate::complete::{Listener, Step};
use crate::ledger::{Activity, PollFailure, Way};
use crate::reconcile;

/// The smallest window that is asked for.
const SMALLEST: SignedDuration = SignedDuration::from_secs(1);
/// No window that may be narrowed is longer than this, or than ten times what a poll looks over.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// How far a window looks back before the end of the one before it, for clocks that count in seconds.
const SEAM: SignedDuration = SignedDuration::from_secs(1);
/// How many open jobs a poll names that wants to know them: their numbers go into one address.
const NAMED: usize = 100;
/// The most of a reason that is kept, in letters.
const REASON: usize = 500;

/// Asks for news where it is time. What is heard moves the position on, window by window.
///
/// # Errors
/// The system or the ledger failed; the position is where what was heard ends, so nothing is missed.
pub(crate) async fn ask(
    listener: &Listener,
    system: &System,
    call: &str,
    (every, overlap): (Duration, Duration),
) -> anyhow::Result<Step> {
    let now = listener.clock.now();
    let Some(position) = listener.ledger.claim_poll(&listener.system, now, every).await? else {
        return Ok(Step::Idle);
    };
    let steps = system.call(call).ok_or_else(|| anyhow!("its mapping names no call {call}"))?;
    let longest = longest(every, overlap).filter(|_| steps.ends_at_until());
    let ends = |from: Timestamp| longest.map_or(now, |longest| now.min(from.max(position) + longest));
    let jobs = if steps.names_jobs {
        // Those that nobody asked about for the longest time first; all others have their turn at a later poll.
        let open = listener.ledger.claim_checks(&listener.system, now, now, NAMED).await?;
        open.into_iter().map(|check| check.job).collect()
    } else {
        Vec::new()
    };
    let (mut since, mut taken) = (position - overlap, 0);
    let mut until = ends(since);
    loop {
        let facts = Facts { since: Some(since), until: Some(until), jobs: jobs.clone(), ..Facts::at(now) };
        match listener.connector.read(steps, context(&Value::Null, &facts), now).await {
            Ok(reading) => taken += hear(listener, reading, now).await?,
            Err(failure) if longest.is_some() && is_long(&failure, since, until) => {
                tracing::warn!(
                    system = %listener.system, since = %since, until = %until, reason = failure.reason,
                    "the answer is too large: half of the time is asked for"
                );
                until = since + until.duration_since(since) / 2;
                continue;
            }
            Err(failure) => {
                fail(listener, PollFailure::of(&failure), now).await?;
                return Err(failure.into());
            }
        }
        if until >= now {
            break;
        }
        listener.ledger.advance_poll(&listener.system, until).await?;
        since = until - SEAM;
        until = ends(until);
    }
    let gap = reconcile::gap(position, every, overlap, now);
    if gap.is_some() && is_all_heard(system, steps) {
        // All since the last poll was asked for. What a list leaves out or tells late, the comparison finds.
        listener.ledger.tell_gap(&listener.system, None, now).await?;
    } else if let Some(gap) = gap {
        tracing::warn!(system = %listener.system, gap = %gap, "news may have been missed");
        metrics::counter!("dovetail_poll_gaps_total", "system" => listener.system.to_string()).increment(1);
        listener.ledger.tell_gap(&listener.system, Some(&gap), now).await?;
    }
    listener.ledger.advance_poll(&listener.system, now).await?;
    listener.ledger.end_failure(&listener.system, Activity::News).await?;
    Ok(Step::Done(taken))
}

impl PollFailure {
    /// Why a system could not be asked. What was answered and is not what its mapping says will be answered again.
    pub(crate) fn of(failure: &ReadFailure) -> Self {
        let lasting = failure.too_large || matches!(failure.status, Some(200..300));
        Self::new(&failure.reason, lasting)
    }

    /// A reason as it is kept.
    pub(crate) fn new(reason: &str, lasting: bool) -> Self {
        Self { reason: reason.replace('\0', " ").chars().take(REASON).collect(), lasting }
    }
}

async fn fail(listener: &Listener, failure: PollFailure, now: Timestamp) -> anyhow::Result<()> {
    Ok(listener.ledger.keep_failure(&listener.system, Activity::News, &failure, now).await?)
}

fn longest(every: Duration, overlap: Duration) -> Option<SignedDuration> {
    let ten_times = SignedDuration::try_from(every.saturating_add(overlap).saturating_mul(10)).ok()?;
    Some(ten_times.max(LONGEST))
}

/// Whether a poll hears all that was missed while it could not be made: its list is always whole, or is asked for since
/// when news was heard last.
pub(crate) fn is_all_heard(system: &System, steps: &Steps) -> bool {
    matches!(&system.poll, Some(Poll::Changed { whole: true, .. })) || steps.begins_at_since()
}

/// Whether asking for half of the time may help.
fn is_long(failure: &ReadFailure, since: Timestamp, until: Timestamp) -> bool {
    failure.too_large && until.duration_since(since) > SMALLEST * 2
}

/// Hears what was read. A list of which too much cannot be read is not what its mapping says, and moves nothing.
async fn hear(listener: &Listener, reading: Reading, now: Timestamp) -> anyhow::Result<usize> {
    let (good, bad) = (reading.reports.len(), reading.set_aside.len());
    let taken = listener.take(reading, Way::Poll).await.context("what was heard could not be kept")?;
    if bad > aside::MOST {
        let reason = format!(
            "{bad} of {} items cannot be read, of which the first {} are kept: expected a list as its mapping says",
            good + bad,
            aside::MOST
        );
        fail(listener, PollFailure::new(&reason, true), now).await?;
        bail!(reason);
    }
    Ok(taken)
}
