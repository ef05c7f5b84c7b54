//! What an answer means where the mapping has no rule for it.

use http::StatusCode;
use jiff::Timestamp;
use mappings::mapping::Answer;

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

/// The outcome of an answer that no rule matched, by its status (RFC 9110, section 15).
///
/// 429 and 503 say that nothing was done, 408 and 425 that the request was not taken in; credentials that
/// are refused are put right by a person while the work waits. 500, 502 and 504 say nothing about what was
/// done before, and neither does a success that does not read like one.
pub(crate) fn unmatched(method: &str, answer: &Answer, reason: &str, now: Timestamp) -> Outcome {
    let status = StatusCode::from_u16(answer.status).ok();
    let words = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
    let answered = format!("answered {} {words}", answer.status).trim_end().to_owned();
    let full = if reason.is_empty() { answered.clone() } else { format!("{answered}: {reason}") };
    match answer.status {
        401 | 403 | 407 => Outcome::Retry { after: None, reason: format!("credentials refused: {answered}") },
        408 | 425 | 429 | 503 => Outcome::Retry { after: pause(answer, now), reason: answered },
        300..=399 => {
            let target = answer.header("location").unwrap_or("nowhere");
            let reason = format!("{answered}, to {target}: redirects are not followed");
            Outcome::Rejected { disposition: None, reason, say: None }
        }
        400..=499 => Outcome::Rejected { disposition: None, reason: full, say: None },
        _ => uncertain(method, full),
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

/// Whether the body is a page for a browser: a proxy's, a login's or an error's, whatever its status and its
/// type say.
pub(crate) fn is_html(answer: &Answer) -> bool {
    let body = answer.body.trim_start_matches('\u{feff}').trim_start();
    let start: String = body.chars().take(14).map(|c| c.to_ascii_lowercase()).collect();
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status, headers, body: body.to_owned() }
    }

    fn outcome(method: &str, status: u16) -> Outcome {
        unmatched(method, &answer(status, &[], ""), "no rule matched", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn every_status_has_its_outcome_for_a_call_that_changes_something() {
        let expected = [
            ("unknown", vec![200, 201, 204, 299, 500, 501, 502, 504, 505, 599, 600, 999]),
            ("rejected", vec![300, 302, 304, 308, 400, 402, 404, 405, 409, 410, 412, 422, 451]),
            ("retry", vec![401, 403, 407, 408, 425, 429, 503]),
        ];
        for (word, statuses) in expected {
            for status in statuses {
                assert_eq!(outcome("POST", status).word(), word, "{status}");
            }
        }
    }

    #[test]
    fn a_get_is_never_unknown() {
        for status in (200..=599).filter(|status| outcome("POST", *status).word() == "unknown") {
            assert_eq!(outcome("GET", status).word(), "retry", "{status}");
        }
        let broken = Broken::NotAnswered("cut".into());
        assert_eq!(unanswered("GET", broken).word(), "retry");
    }

    #[test]
    fn what_was_not_sent_is_sent_again_and_what_was_not_answered_is_unknown() {
        assert_eq!(unanswered("POST", Broken::NotSent("refused".into())).word(), "retry");
        assert_eq!(unanswered("DELETE", Broken::NotAnswered("cut".into())).word(), "unknown");
    }

    #[test]
    fn a_busy_system_is_given_the_pause_it_asks_for() {
        for status in [408, 425, 429, 503] {
            let answer = answer(status, &[("Retry-After", "90")], "");
            let outcome = unmatched("POST", &answer, "", Timestamp::UNIX_EPOCH);
            let Outcome::Retry { after, .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(after, Some(Duration::from_secs(90)));
        }
    }

    #[test]
    fn the_reason_names_the_status_and_where_a_redirect_leads() {
        let outcome =
            unmatched("POST", &answer(302, &[("location", "/login")], ""), "", Timestamp::UNIX_EPOCH);
        let Outcome::Rejected { reason, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(reason, "answered 302 Found, to /login: redirects are not followed");
    }

    #[test]
    fn a_page_is_known_by_its_first_words() {
        assert!(is_html(&answer(200, &[], "\n <!DOCTYPE HTML><title>Log in</title>")));
        assert!(is_html(&answer(200, &[], "<html lang='en'>")));
        assert!(!is_html(&answer(200, &[("content-type", "text/html")], "{\"job\": 7}")));
        assert!(!is_html(&answer(200, &[], "é")));
    }
}
