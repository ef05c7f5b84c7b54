//! Whether a database holds a ledger that this release can read, found out without writing anything.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;
use sqlx::{PgPool, SqlitePool};

use crate::ledger::{Error, Schema};

/// Where the migrations keep what they did (sqlx's own table).
const DONE: &str = "select version, checksum from _sqlx_migrations where success order by version";

/// Looks at the tables of a PostgreSQL database.
pub(super) async fn of_postgres(pool: &PgPool, known: &Migrator) -> Result<(), Error> {
    let done = sqlx::query_as(DONE).fetch_all(pool).await;
    compare(done, known)
}

/// Looks at the tables of an SQLite file.
pub(super) async fn of_sqlite(pool: &SqlitePool, known: &Migrator) -> Result<(), Error> {
    let done = sqlx::query_as(DONE).fetch_all(pool).await;
    compare(done, known)
}

/// Compares what was done to a database with what this release knows. A release that is older than the tables reads them:
/// they only ever gain.
fn compare(done: Result<Vec<(i64, Vec<u8>)>, sqlx::Error>, known: &Migrator) -> Result<(), Error> {
    let done: BTreeMap<i64, Vec<u8>> = match done {
        Ok(done) => done.into_iter().collect(),
        Err(error) if is_missing(&error) => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    if done.is_empty() {
        return Err(Error::Schema(Schema::None));
    }
    for migration in known.iter() {
        match done.get(&migration.version) {
            None => {
                let found = done.keys().next_back().copied().unwrap_or_default();
                let expected = known.iter().map(|migration| migration.version).max().unwrap_or_default();
                return Err(Error::Schema(Schema::Older { found, expected }));
            }
            Some(checksum) if **checksum != *migration.checksum => {
                return Err(Error::Schema(Schema::Other { step: migration.version }));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Whether there is no such table: 42P01 in PostgreSQL, a text of the code 1 in SQLite.
fn is_missing(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
    })
}
