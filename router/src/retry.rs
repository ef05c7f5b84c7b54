//! Where a call goes after an outcome: a pure decision.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use connectors::Outcome;
use jiff::Timestamp;
use mappings::domain::{ParkClass, Phase};
use mappings::mapping::{Idempotency, RetryRule};

use crate::ledger::Next;

/// Decides where a call goes after attempt number `attempt` (from 1) came to `outcome`.
///
/// A call whose outcome is unknown is sent again only under a key that the system honours; where the
/// system can be asked, it is asked first; else the call waits for a person.
pub fn after(
    outcome: Outcome,
    phase: Phase,
    attempt: u32,
    rule: &RetryRule,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Next {
    let given_up = |reason: &str| format!("gave up after {attempt} attempts; the last: {reason}");
    let due = |wait: Option<Duration>| now + wait.unwrap_or_else(|| delay(rule, attempt));
    let again = |phase: Phase, wait: Option<Duration>, reason: String| {
        if attempt >= rule.attempts {
            return Next::Park { class: ParkClass::Technical, reason: given_up(&reason) };
        }
        Next::Again { at: due(wait), phase }
    };
    match outcome {
        Outcome::Delivered { job, note } => Next::Delivered { job, note },
        Outcome::Retry { after, reason } => again(phase, after, reason),
        // The job stands all the same.
        Outcome::Pending { reason, carried, .. } if attempt >= rule.attempts && carried.job.is_some() => {
            Next::Delivered { job: carried.job, note: Some(given_up(&reason)) }
        }
        Outcome::Pending { reason, .. } if attempt >= rule.attempts => {
            Next::Park { class: ParkClass::Technical, reason: given_up(&reason) }
        }
        Outcome::Pending { after, reason, carried } => {
            Next::Pending { at: due(after), job: carried.job.clone(), reason, carried: carried.json() }
        }
        Outcome::Rejected { disposition: Some(disposition), reason, say } => {
            Next::Rejected { disposition, reason, say }
        }
        Outcome::Rejected { disposition: None, reason, say: _ } => {
            Next::Park { class: ParkClass::Refused, reason }
        }
        Outcome::Unknown { reason } => match idempotency {
            Idempotency::Key => again(Phase::Send, None, reason),
            Idempotency::LookUp(_) => again(Phase::LookUp, None, reason),
            Idempotency::None => Next::Park {
                class: ParkClass::Uncertain,
                reason: format!("may have been done: {reason}; the system cannot be asked"),
            },
        },
        Outcome::Absent => {
            again(Phase::Send, Some(Duration::ZERO), "the system has nothing under our reference".into())
        }
    }
}

/// The pause before the next attempt: exponential, with jitter, never longer than twice the rule's longest.
pub fn delay(rule: &RetryRule, attempt: u32) -> Duration {
    let nth = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX).min(64);
    ExponentialBuilder::default()
        .with_min_delay(rule.first)
        .with_max_delay(rule.most)
        .without_max_times()
        .with_jitter()
        .build()
        .nth(nth)
        .unwrap_or(rule.most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: RetryRule =
        RetryRule { first: Duration::from_secs(2), most: Duration::from_secs(900), attempts: 3 };

    fn next(outcome: Outcome, attempt: u32, idempotency: &Idempotency) -> Next {
        after(outcome, Phase::Send, attempt, &RULE, idempotency, Timestamp::UNIX_EPOCH)
    }

    fn unknown() -> Outcome {
        Outcome::Unknown { reason: "no answer in 30 s".into() }
    }

    #[test]
    fn an_unknown_outcome_is_looked_up_before_any_resend() {
        let look_up = Idempotency::LookUp("find".into());
        assert!(matches!(next(unknown(), 1, &look_up), Next::Again { phase: Phase::LookUp, .. }));
    }

    #[test]
    fn an_unknown_outcome_is_sent_again_only_under_a_key() {
        let key = Idempotency::Key;
        assert!(matches!(next(unknown(), 1, &key), Next::Again { phase: Phase::Send, .. }));
        let parked = next(unknown(), 1, &Idempotency::None);
        assert!(matches!(parked, Next::Park { class: ParkClass::Uncertain, .. }), "{parked:?}");
    }

    #[test]
    fn work_that_is_there_is_asked_about_until_the_schedule_is_used_up_and_stands_then() {
        let pending = |job: Option<&str>| Outcome::Pending {
            after: None,
            reason: "no number yet".into(),
            carried: Box::new(connectors::Carried {
                next: "number".into(),
                changed: "submit".into(),
                job: job.and_then(|job| mappings::domain::Job::parse(job).ok()),
                steps: serde_json::Map::new(),
            }),
        };
        for idempotency in [Idempotency::None, Idempotency::Key, Idempotency::LookUp("find".into())] {
            let asked = next(pending(Some("T-1")), 2, &idempotency);
            assert!(
                matches!(&asked, Next::Pending { job: Some(job), .. } if job.as_str() == "T-1"),
                "{asked:?}"
            );
            let Next::Delivered { job: Some(job), note: Some(note) } =
                next(pending(Some("T-1")), 3, &idempotency)
            else {
                panic!("the job stands")
            };
            assert!(job.as_str() == "T-1" && note.contains("3 attempts; the last: no number yet"), "{note}");
            let unnamed = next(pending(None), 3, &idempotency);
            assert!(matches!(unnamed, Next::Park { class: ParkClass::Technical, .. }), "{unnamed:?}");
        }
    }

    #[test]
    fn the_last_attempt_is_parked_with_its_reason() {
        let retry = Outcome::Retry { after: None, reason: "connection refused".into() };
        let Next::Park { class, reason } = next(retry, 3, &Idempotency::None) else { panic!("not parked") };
        assert_eq!(class, ParkClass::Technical);
        assert!(reason.contains("3 attempts") && reason.contains("connection refused"), "{reason}");
    }

    #[test]
    fn a_refusal_in_unknown_words_is_parked_and_in_known_words_ends() {
        let refused = Outcome::Rejected { disposition: None, reason: "400: bad".into(), say: None };
        assert!(matches!(next(refused, 1, &Idempotency::None), Next::Park { class: ParkClass::Refused, .. }));
    }

    #[test]
    fn delays_double_with_jitter_up_to_the_longest() {
        for attempt in 1..20 {
            let shortest = Duration::from_secs(2).saturating_mul(1 << (attempt - 1).min(20)).min(RULE.most);
            let delay = delay(&RULE, attempt);
            assert!(delay >= shortest && delay <= shortest * 2, "attempt {attempt}: {delay:?}");
        }
    }
}
