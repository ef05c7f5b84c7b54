//! Callers who were not let in: counted, and logged so that no stranger can flood the log.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use jiff::{SignedDuration, Timestamp};

/// A caller at a door is logged at most once in this time.
const ONCE_IN: SignedDuration = SignedDuration::from_mins(1);
/// The most lines in that time, however many callers there are.
const MOST: usize = 20;
/// The longest part of `X-Forwarded-For` that is looked at.
const LONGEST: usize = 64;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    /// The address that the connection comes from; none where it is no connection of the network.
    pub(super) address: Option<IpAddr>,
    /// The address that the nearest proxy says it was called from: the last of `X-Forwarded-For`. Whoever reaches us
    /// without a proxy can write anything there.
    pub(super) forwarded: Option<IpAddr>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let last = parts.headers.get_all("x-forwarded-for").iter().next_back();
        let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
        let forwarded = last.map(str::trim).filter(|text| text.len() <= LONGEST).and_then(|text| {
            text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        });
        Ok(Self { address, forwarded })
    }
}

impl Caller {
    fn shown(&self) -> String {
        self.address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    }
}

/// What was refused, and to whom.
#[derive(Debug, Clone)]
pub(super) struct Turned<'a> {
    /// `requests`, or the name of the system whose webhook it is.
    pub(super) door: &'a str,
    pub(super) caller: &'a Caller,
    /// The reason in a word.
    pub(super) reason: &'static str,
    /// The reason in a sentence, without anything that the caller sent in place of a secret.
    pub(super) detail: String,
    /// The name of the key, where it is known and not enough.
    pub(super) key: Option<&'a str>,
}

/// Those who were not let in of late.
#[derive(Debug, Clone, Default)]
pub struct Strangers(Arc<Mutex<Lately>>);

#[derive(Debug, Default)]
struct Lately {
    /// When each caller at each door was last logged, and how often it was refused since.
    seen: HashMap<(String, Caller), (Timestamp, u64)>,
    /// Refusals of callers who are not among them, since there are too many.
    others: u64,
}

impl Strangers {
    /// Counts a refusal, and logs it unless the same caller was logged a short while ago.
    pub(super) fn turn_away(&self, turned: &Turned<'_>, now: Timestamp) {
        let Turned { door, caller, reason, detail, key } = turned;
        metrics::counter!("dovetail_http_denied_total", "door" => (*door).to_owned(), "reason" => *reason)
            .increment(1);
        let Some(since) = self.lately().log(door, caller, now) else { return };
        tracing::warn!(
            door,
            caller = %caller.shown(),
            forwarded_for = caller.forwarded.map(tracing::field::display),
            key,
            reason,
            detail,
            not_logged = since,
            "a caller was not let in"
        );
    }

    fn lately(&self) -> std::sync::MutexGuard<'_, Lately> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lately {
    /// Whether this refusal is logged: then how many were not since the last line.
    fn log(&mut self, door: &str, caller: &Caller, now: Timestamp) -> Option<u64> {
        let recent = |at: &Timestamp| now.duration_since(*at).abs() < ONCE_IN;
        let key = (door.to_owned(), caller.clone());
        if let Some((at, since)) = self.seen.get_mut(&key) {
            if recent(at) {
                *since += 1;
                return None;
            }
            *at = now;
            return Some(std::mem::take(since));
        }
        if self.seen.len() >= MOST {
            let old: u64 = self.seen.extract_if(|_, (at, _)| !recent(at)).map(|(_, (_, since))| since).sum();
            self.others += old;
        }
        if self.seen.len() >= MOST {
            self.others += 1;
            return None;
        }
        self.seen.insert(key, (now, 0));
        Some(std::mem::take(&mut self.others))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).expect("a time")
    }

    fn caller(last: u8) -> Caller {
        Caller { address: Some(IpAddr::from([192, 0, 2, last])), forwarded: None }
    }

    #[test]
    fn a_caller_is_logged_once_a_minute_with_the_number_of_times_between() {
        let mut lately = Lately::default();
        assert_eq!(lately.log("requests", &caller(1), at(0)), Some(0));
        assert_eq!(lately.log("requests", &caller(1), at(1)), None);
        assert_eq!(lately.log("requests", &caller(1), at(59)), None);
        assert_eq!(lately.log("waste", &caller(1), at(59)), Some(0), "another door");
        assert_eq!(lately.log("requests", &caller(2), at(59)), Some(0), "another caller");
        assert_eq!(lately.log("requests", &caller(1), at(60)), Some(2));
    }

    #[test]
    fn a_crowd_of_callers_floods_neither_the_log_nor_the_memory() {
        let mut lately = Lately::default();
        let crowd = |lately: &mut Lately, second: i64| {
            (0..=255)
                .filter_map(|last| lately.log("requests", &caller(last), at(second)))
                .collect::<Vec<u64>>()
        };
        assert_eq!(crowd(&mut lately, 0), vec![0; MOST]);
        assert_eq!(crowd(&mut lately, 30), Vec::<u64>::new());
        let next = crowd(&mut lately, 60);
        assert_eq!((next.len(), lately.seen.len()), (MOST, MOST));
        // Of 256 + 256 refusals before, all but the lines were counted, and none of them is lost.
        let (told, kept): (u64, u64) =
            (next.iter().sum(), lately.seen.values().map(|(_, since)| since).sum());
        assert_eq!(told + kept + lately.others, 3 * 256 - 2 * u64::try_from(MOST).expect("small"));
    }

    #[tokio::test]
    async fn a_caller_behind_a_proxy_goes_by_what_the_nearest_proxy_says() {
        for (forwarded, expected) in [
            ("198.51.100.7", Some("198.51.100.7")),
            ("203.0.113.9, 198.51.100.7", Some("198.51.100.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("198.51.100.7:4711", Some("198.51.100.7")),
            ("a stranger's words", None),
        ] {
            let request =
                Request::builder().header("x-forwarded-for", forwarded).body(()).expect("a request");
            let (mut parts, ()) = request.into_parts();
            parts.extensions.insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4711))));
            let Ok(caller) = Caller::from_request_parts(&mut parts, &()).await;
            assert_eq!(caller.shown(), "127.0.0.1");
            assert_eq!(
                caller.forwarded.map(|address| address.to_string()).as_deref(),
                expected,
                "{forwarded}"
            );
        }
    }
}
