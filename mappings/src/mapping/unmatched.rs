//! What an answer means where the mapping has no rule for it.

use http::StatusCode;

use super::{Answer, ByStatus, Verdict};

/// The verdict of an answer that no rule matched, by its status (RFC 9110, section 15).
///
/// 429 and 503 say that nothing was done, 408 and 425 that the request was not taken in; credentials that
/// are refused are put right by a person while the work waits. 500, 502 and 504 say nothing about what was
/// done before, and neither does a success that does not read like one.
pub(super) fn by_status(method: &str, answer: &Answer, why: &str) -> Verdict {
    // Such a status says enough.
    stated(method, answer, if is_a_promise(answer.status) { "" } else { why })
}

/// The same of an answer that says in words of its own what went wrong.
pub(super) fn stated(method: &str, answer: &Answer, why: &str) -> Verdict {
    let answered = answered(answer);
    let full = if why.is_empty() { answered.clone() } else { format!("{answered}: {why}") };
    let (by_status, reason) = match answer.status {
        401 | 403 | 407 => (ByStatus::Retry, format!("credentials refused: {full}")),
        408 | 425 | 429 | 503 => (ByStatus::Retry, full),
        300..=399 => {
            let target = answer.header("location").unwrap_or("nowhere");
            (ByStatus::Rejected, format!("{answered}, to {target}: redirects are not followed"))
        }
        400..=499 => (ByStatus::Rejected, full),
        _ => (uncertain(method), full),
    };
    Verdict::Unmatched { reason, by_status }
}

/// The verdict of an answer that says in so many words that the system failed: not even a status that blames the
/// call says what was done before.
pub(super) fn failed(method: &str, answer: &Answer, why: &str) -> Verdict {
    if is_a_promise(answer.status) {
        return stated(method, answer, why);
    }
    Verdict::Unmatched { reason: format!("{}: {why}", answered(answer)), by_status: uncertain(method) }
}

/// Whether the status alone says that nothing was done.
pub(super) fn is_a_promise(status: u16) -> bool {
    matches!(status, 401 | 403 | 407 | 408 | 425 | 429 | 503)
}

/// `answered 404 Not Found`
fn answered(answer: &Answer) -> String {
    let status = StatusCode::from_u16(answer.status).ok();
    let words = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
    format!("answered {} {words}", answer.status).trim_end().to_owned()
}

/// A call that changes nothing (RFC 9110, section 9.2.1) can always be made again.
fn uncertain(method: &str) -> ByStatus {
    if method == "GET" { ByStatus::Retry } else { ByStatus::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status, headers, body: String::new() }
    }

    fn outcome(method: &str, status: u16) -> ByStatus {
        let verdict = by_status(method, &answer(status, &[]), "no rule matched");
        let Verdict::Unmatched { by_status, .. } = verdict else { panic!("{verdict:?}") };
        by_status
    }

    fn reason(verdict: &Verdict) -> &str {
        let Verdict::Unmatched { reason, .. } = verdict else { panic!("{verdict:?}") };
        reason
    }

    #[test]
    fn every_status_has_its_outcome_for_a_call_that_changes_something() {
        let expected = [
            (ByStatus::Unknown, vec![200, 201, 204, 299, 500, 501, 502, 504, 505, 599, 600, 999]),
            (ByStatus::Rejected, vec![300, 302, 304, 308, 400, 402, 404, 405, 409, 410, 412, 422, 451]),
            (ByStatus::Retry, vec![401, 403, 407, 408, 425, 429, 503]),
        ];
        for (by_status, statuses) in expected {
            for status in statuses {
                assert_eq!(outcome("POST", status), by_status, "{status}");
            }
        }
    }

    #[test]
    fn a_get_is_never_unknown() {
        for status in (200..=599).filter(|status| outcome("POST", *status) == ByStatus::Unknown) {
            assert_eq!(outcome("GET", status), ByStatus::Retry, "{status}");
        }
    }

    #[test]
    fn the_reason_names_the_status_and_where_a_redirect_leads() {
        let redirect = by_status("POST", &answer(302, &[("location", "/login")]), "");
        assert_eq!(reason(&redirect), "answered 302 Found, to /login: redirects are not followed");
        assert_eq!(reason(&by_status("POST", &answer(503, &[]), "")), "answered 503 Service Unavailable");
    }

    #[test]
    fn a_system_that_says_it_failed_may_have_done_it_whatever_the_status() {
        for status in [200, 400, 404, 500] {
            let verdict = failed("POST", &answer(status, &[]), "out of order");
            assert!(matches!(verdict, Verdict::Unmatched { by_status: ByStatus::Unknown, .. }), "{status}");
            assert!(reason(&verdict).ends_with(": out of order"), "{status}");
        }
        let busy = failed("POST", &answer(503, &[]), "out of order");
        assert!(matches!(busy, Verdict::Unmatched { by_status: ByStatus::Retry, .. }), "{busy:?}");
    }
}
