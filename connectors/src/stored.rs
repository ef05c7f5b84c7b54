//! Answers that are kept for later operations, such as access tokens.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use mappings::mapping::Call;
use serde_json::Value;

/// More kept answers than any system needs: a call that differs with every request cannot fill the memory.
const MOST: usize = 64;

/// The kept answers of one system.
#[derive(Debug, Default)]
pub(crate) struct Stored(Mutex<HashMap<Key, Kept>>);

/// What makes two calls of a stored step the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key(String);

impl Key {
    pub(crate) fn new(step: &str, call: &Call) -> Self {
        Self(format!("{step} {call:?}"))
    }
}

#[derive(Debug)]
struct Kept {
    seen: Value,
    until: Timestamp,
}

impl Stored {
    /// The answer as later steps see it, where it has not expired.
    pub(crate) fn get(&self, key: &Key, now: Timestamp) -> Option<Value> {
        self.lock().get(key).filter(|kept| now < kept.until).map(|kept| kept.seen.clone())
    }

    pub(crate) fn keep(&self, key: Key, seen: Value, now: Timestamp, lasts: Duration) {
        let until = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
        let mut kept = self.lock();
        kept.retain(|_, kept| now < kept.until);
        if kept.len() < MOST {
            kept.insert(key, Kept { seen, until });
        }
    }

    /// Forgets an answer that the system no longer honours.
    pub(crate) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use mappings::mapping::Body;
    use serde_json::json;

    use super::*;

    fn key(path: String) -> Key {
        Key::new("token", &Call { method: "POST", path, headers: Vec::new(), body: Body::None })
    }

    #[test]
    fn an_answer_is_kept_until_it_expires_or_is_forgotten() {
        let stored = Stored::default();
        let now: Timestamp = "2026-11-22T09:00:00Z".parse().expect("a time");
        let minute = Duration::from_secs(60);
        stored.keep(key("/a".into()), json!("a"), now, minute);
        stored.keep(key("/b".into()), json!("b"), now, minute);
        stored.forget(&key("/b".into()));
        assert_eq!(stored.get(&key("/a".into()), now), Some(json!("a")));
        assert_eq!(stored.get(&key("/a".into()), now + minute), None);
        assert_eq!(stored.get(&key("/b".into()), now), None);
    }

    #[test]
    fn the_number_of_kept_answers_is_bounded() {
        let stored = Stored::default();
        for number in 0..200 {
            stored.keep(key(format!("/{number}")), json!(1), Timestamp::UNIX_EPOCH, Duration::from_secs(1));
        }
        assert_eq!(stored.lock().len(), MOST);
    }
}
