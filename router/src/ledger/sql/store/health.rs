//! What the use of the database says of its health: writes that failed for want of something, and transactions that
//! wait for a connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ledger::Error;

/// What is known of a database from its use; shared by all that use it.
#[derive(Debug, Clone, Default)]
pub(in crate::ledger) struct Health(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// When a transaction that writes was committed last.
    wrote: Option<Instant>,
    /// Why writes fail, until one that needs room succeeds.
    failure: Option<String>,
    /// Since when transactions wait for a connection, by their number.
    waiting: BTreeMap<u64, Instant>,
    /// The number of the next that waits.
    next: u64,
}

/// A transaction that waits for a connection, until this is dropped.
pub(super) struct Waiting {
    health: Health,
    number: u64,
}

impl Health {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction begins to wait for a connection.
    pub(super) fn wait(&self) -> Waiting {
        let mut known = self.known();
        let number = known.next;
        known.next += 1;
        known.waiting.insert(number, Instant::now());
        Waiting { health: self.clone(), number }
    }

    /// How long the transaction has waited that waits longest.
    pub(super) fn longest_wait(&self) -> Duration {
        self.known().waiting.values().next().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// A transaction that writes was committed.
    pub(super) fn wrote(&self) {
        self.known().wrote = Some(Instant::now());
    }

    /// Whether a transaction that writes was committed since then.
    pub(super) fn wrote_since(&self, then: Instant) -> bool {
        self.known().wrote.is_some_and(|wrote| wrote >= then)
    }

    /// A write failed: kept where the cause is one that other writes meet as well.
    pub(super) fn failed(&self, error: &Error) {
        if let Some(words) = lasting(error) {
            self.known().failure = Some(words);
        }
    }

    /// Why writes fail.
    pub(super) fn failure(&self) -> Option<String> {
        self.known().failure.clone()
    }

    /// A write that needs room succeeded.
    pub(super) fn mended(&self) {
        self.known().failure = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.health.known().waiting.remove(&self.number);
    }
}

/// What a failure says of the database as a whole, where it does.
fn lasting(error: &Error) -> Option<String> {
    let Error::Database(sqlx::Error::Database(database)) = error else { return None };
    let code = database.code().unwrap_or_default();
    let postgres = ["25006", "53100", "53200", "58030", "XX001", "XX002"];
    let lasting = if is_postgres(database.as_ref()) {
        postgres.contains(&code.as_ref())
    } else {
        matches!(primary(&code), 8 | 10 | 11 | 13 | 26)
    };
    lasting.then(|| words(error))
}

/// Why the database does not do its work, in words for an operator.
///
/// The codes are PostgreSQL's SQLSTATE (its appendix A) and SQLite's result codes (<https://sqlite.org/rescode.html>).
pub(super) fn words(error: &Error) -> String {
    let Error::Database(error) = error else { return error.to_string() };
    if let sqlx::Error::Io(error) = error {
        return if error.kind() == std::io::ErrorKind::TimedOut {
            "the database does not answer".to_owned()
        } else {
            format!("the database does not answer: {error}")
        };
    }
    let sqlx::Error::Database(database) = error else {
        return format!("the database does not answer as it should: {error}");
    };
    let code = database.code().unwrap_or_default();
    let what = if is_postgres(database.as_ref()) { of_postgres(&code) } else { of_sqlite(primary(&code)) };
    match what {
        Some(what) => format!("{what}: {}", database.message()),
        None => format!("the database refuses: {}", database.message()),
    }
}

fn is_postgres(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some()
}

fn of_postgres(code: &str) -> Option<&'static str> {
    Some(match code {
        "25006" => "the database is read-only and takes no writes, as a standby is after a fail-over",
        "53100" => "disk full: the database cannot write",
        "53200" => "the database is out of memory",
        "53300" => "the database refuses further connections: too many clients",
        "55P03" | "57014" => {
            "the database does not answer in time: another session holds what is to be written"
        }
        "57P01" | "57P02" => "the database ends its sessions",
        "57P03" => "the database is starting up or shutting down",
        "28000" | "28P01" => "the database refuses the user or the password",
        "3D000" => "there is no such database",
        "42501" => "the database's user may not write",
        "42P01" => "the database holds no ledger",
        "58030" => "the database's disk cannot be read or written",
        "XX001" | "XX002" => "the database is damaged",
        _ => return None,
    })
}

fn of_sqlite(code: u32) -> Option<&'static str> {
    Some(match code {
        5 | 6 => "the ledger's file is locked by another program",
        8 => "the ledger's file is read-only",
        10 => "the ledger's disk cannot be read or written",
        11 | 26 => "the ledger's file is damaged",
        13 => "disk full: the ledger cannot write",
        14 => "the ledger's file cannot be opened",
        _ => return None,
    })
}

/// The kind of a result code of SQLite, without what says which of its kind it is.
fn primary(code: &str) -> u32 {
    code.parse::<u32>().unwrap_or(0) & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_longest_is_known_until_it_has_its_connection() {
        let health = Health::default();
        assert_eq!(health.longest_wait(), Duration::ZERO);
        let first = health.wait();
        let began = Instant::now();
        let second = health.wait();
        while began.elapsed() < Duration::from_millis(2) {}
        assert!(health.longest_wait() >= Duration::from_millis(2));
        drop(first);
        drop(second);
        assert_eq!(health.longest_wait(), Duration::ZERO);
    }

    #[test]
    fn an_answer_that_does_not_come_is_said_to_be_none() {
        let io = |kind: std::io::ErrorKind| words(&Error::Database(sqlx::Error::Io(kind.into())));
        assert_eq!(io(std::io::ErrorKind::TimedOut), "the database does not answer");
        assert_eq!(
            io(std::io::ErrorKind::ConnectionRefused),
            "the database does not answer: connection refused"
        );
    }
}
