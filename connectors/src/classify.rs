//! What an answer means where the mapping has no rule for it.

use jiff::Timestamp;
use mappings::mapping::{Answer, ByStatus};

use crate::exchange::Broken;
use crate::outcome::Outcome;
use crate::retry_after;

/// The outcome of a call that got no complete answer.
pub(crate) fn unanswered(method: &str, broken: Broken) -> Outcome {
    match broken {
        Broken::NotSent(reason) => Outcome::Retry { after: None, reason },
        Broken::NotAnswered(reason) => uncertain(method, reason),
    }
}

/// The outcome of an answer that no rule matched. Only a status that asks for patience may say for how long.
pub(crate) fn unmatched(answer: &Answer, by_status: ByStatus, reason: String, now: Timestamp) -> Outcome {
    match by_status {
        ByStatus::Unknown => Outcome::Unknown { reason },
        ByStatus::Rejected => Outcome::Rejected { disposition: None, reason, say: None },
        ByStatus::Retry => {
            let waits = matches!(answer.status, 408 | 425 | 429 | 503);
            Outcome::Retry { after: waits.then(|| pause(answer, now)).flatten(), reason }
        }
    }
}

/// The pause that an answer asks for.
pub(crate) fn pause(answer: &Answer, now: Timestamp) -> Option<std::time::Duration> {
    answer.header("retry-after").and_then(|value| retry_after::parse(value, now))
}

/// A call that changes nothing (RFC 9110, section 9.2.1) can always be made again.
fn uncertain(method: &str, reason: String) -> Outcome {
    match method {
        "GET" => Outcome::Retry { after: None, reason },
        _ => Outcome::Unknown { reason },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_not_sent_is_sent_again_and_what_was_not_answered_is_unknown() {
        assert_eq!(unanswered("POST", Broken::NotSent("refused".into())).word(), "retry");
        assert_eq!(unanswered("DELETE", Broken::NotAnswered("cut".into())).word(), "unknown");
        assert_eq!(unanswered("GET", Broken::NotAnswered("cut".into())).word(), "retry");
    }

    #[test]
    fn a_busy_system_is_given_the_pause_it_asks_for() {
        let answer = |status| Answer {
            status,
            headers: vec![("Retry-After".into(), "90".into())],
            body: String::new(),
        };
        for status in [408, 425, 429, 503] {
            let outcome = unmatched(&answer(status), ByStatus::Retry, String::new(), Timestamp::UNIX_EPOCH);
            let Outcome::Retry { after, .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(after, Some(Duration::from_secs(90)));
        }
        let refused = unmatched(&answer(401), ByStatus::Retry, String::new(), Timestamp::UNIX_EPOCH);
        assert!(matches!(refused, Outcome::Retry { after: None, .. }), "{refused:?}");
    }
}
