//! SQLite: batches are JSON, and there is one writer, so that nothing needs a lock of its own.

use std::time::Duration;

use serde_json::Value as Json;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqlitePool, TypeInfo, ValueRef};

use super::row::{Row, Value};
use super::session::{Session, patiently};
use super::statement::{Bind, Column, Statement};
use super::{Fault, schema};
use crate::ledger::Error;

const MIGRATIONS: &[&str] = &[include_str!("../../../../migrations/sqlite/0001_ledger.sql")];

pub(super) const WRITE: &str = "BEGIN IMMEDIATE";
pub(super) const READ: &str = "BEGIN DEFERRED";
pub(super) const NOW: &str = "select cast(unixepoch('now', 'subsec') * 1000 as integer)";

/// Opens the file with one connection that writes and several that read.
///
/// The disk has what was committed: deliveries are acknowledged on a commit.
pub(super) async fn open(path: &str, max_connections: u32) -> Result<(SqlitePool, SqlitePool), Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(200)
        .foreign_keys(false);
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(30))
        .test_before_acquire(false)
        .connect_with(options.clone())
        .await?;
    super::migrations(MIGRATIONS).run(&write).await?;
    let read = SqlitePoolOptions::new()
        .max_connections(max_connections.clamp(1, 8))
        .test_before_acquire(false)
        .connect_with(options.read_only(true))
        .await?;
    Ok((write, read))
}

/// Opens the file with connections that read.
///
/// A file in write-ahead mode needs files beside it even to be read. Where they are not there and cannot be made, as on a
/// file system that takes no writes, nobody writes to it either: it is read as it is.
pub(super) async fn open_to_read(path: &str, max_connections: u32) -> Result<SqlitePool, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(10))
        .statement_cache_capacity(200)
        .foreign_keys(false);
    let migrator = super::migrations(MIGRATIONS);
    let error = match readers(options.clone(), max_connections, &migrator).await {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let log = std::fs::metadata(format!("{path}-wal"));
    if !cannot_begin(&error) || log.is_ok_and(|log| log.len() > 0) {
        return Err(error);
    }
    readers(options.immutable(true), max_connections, &migrator).await
}

async fn readers(
    options: SqliteConnectOptions,
    max_connections: u32,
    migrator: &Migrator,
) -> Result<SqlitePool, Error> {
    let pool =
        SqlitePoolOptions::new().max_connections(max_connections.clamp(1, 8)).test_before_acquire(false);
    let read = pool.connect_with(options).await?;
    schema::of_sqlite(&read, migrator).await?;
    Ok(read)
}

/// Whether a file could not be opened or made beside the ledger's: SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_IOERR.
fn cannot_begin(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 8 | 10 | 14))
}

pub(super) async fn run(session: &mut Session<Sqlite>, mut statement: Statement) -> Result<Vec<Row>, Error> {
    let sql = statement.expand(&rows(&statement), "", "");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for bind in std::mem::take(&mut statement.binds) {
        query = match bind {
            Bind::Text(text) => query.bind(text),
            Bind::Int(number) => query.bind(number),
        };
    }
    if !statement.columns.is_empty() {
        query = query.bind(batch(statement.columns));
    }
    patiently(query.fetch_all(session.connection())).await?.iter().map(read).collect()
}

/// Runs statements that return nothing, in order.
pub(super) async fn run_all(session: &mut Session<Sqlite>, statements: Vec<Statement>) -> Result<(), Error> {
    for statement in statements {
        run(session, statement).await?;
    }
    Ok(())
}

/// `{rows}`: one JSON array a row, taken apart by position.
fn rows(statement: &Statement) -> String {
    let columns: Vec<String> = statement
        .columns
        .iter()
        .enumerate()
        .map(|(position, (name, _))| format!("value ->> {position} as {name}"))
        .collect();
    format!("select {} from json_each(${})", columns.join(", "), statement.binds.len() + 1)
}

fn batch(columns: Vec<(&'static str, Column)>) -> String {
    let mut rows: Vec<Vec<Json>> = Vec::new();
    for (_, column) in columns {
        let values: Vec<Json> = match column {
            Column::Texts(texts) => texts.into_iter().map(Json::from).collect(),
            Column::Ints(numbers) => numbers.into_iter().map(Json::from).collect(),
        };
        rows.resize(values.len(), Vec::new());
        for (row, value) in rows.iter_mut().zip(values) {
            row.push(value);
        }
    }
    Json::from(rows).to_string()
}

fn read(row: &SqliteRow) -> Result<Row, Error> {
    let mut values = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        let raw = row.try_get_raw(index)?;
        let value = if raw.is_null() {
            Value::Null
        } else if raw.type_info().name() == "TEXT" {
            Value::Text(row.try_get(index)?)
        } else {
            Value::Int(row.try_get(index)?)
        };
        values.push(value);
    }
    Ok(Row::new(values))
}

/// What a result code asks for: the low byte is the kind, the rest says which.
pub(super) fn fault(code: &str) -> Fault {
    let Ok(code) = code.parse::<u32>() else { return Fault::Database };
    match (code, code & 0xff) {
        (1555 | 2067, _) => Fault::Taken,
        (_, 5 | 6) => Fault::Contention,
        (_, 18..=20) => Fault::Row,
        _ => Fault::Database,
    }
}
