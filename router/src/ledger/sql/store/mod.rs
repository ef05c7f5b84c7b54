//! The two databases behind one small interface: begin, run a statement, commit.

mod postgres;
mod row;
mod session;
mod sqlite;
mod statement;

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgPool, Postgres, SqlSafeStr, Sqlite, SqlitePool};

pub use postgres::{add_schema, remove_schema};
pub(super) use row::Row;
use session::Session;
pub(super) use statement::Statement;

use crate::failpoint::{self, Injected};
use crate::ledger::Error;

/// The tables as one release after another made them. A release that is older than the tables runs on them:
/// they only ever gain.
fn migrations(texts: &[&'static str]) -> Migrator {
    let migration = |(number, text): (i64, &&'static str)| {
        Migration::new(number, "ledger".into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations((1..).zip(texts).map(migration).collect());
    migrator.set_ignore_missing(true);
    migrator
}

/// A database that holds a ledger.
#[derive(Debug, Clone)]
pub(super) enum Store {
    /// PostgreSQL.
    Postgres {
        /// For transactions that write.
        write: PgPool,
        /// For those that read.
        read: PgPool,
    },
    /// SQLite, which has one writer.
    Sqlite {
        /// One connection.
        write: SqlitePool,
        /// Several.
        read: SqlitePool,
    },
}

/// A transaction; dropped without [`commit`](Tx::commit), it is rolled back.
pub(super) struct Tx {
    connection: Connection,
    /// What has yet to be written, in order.
    pending: Vec<Statement>,
}

enum Connection {
    Postgres(Session<Postgres>),
    Sqlite(Session<Sqlite>),
}

/// What a failure of the database asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another transaction was in the way: the same again.
    Contention,
    /// Another transaction was first with a key: the same again finds it.
    Taken,
    /// A row cannot be written, now or later.
    Row,
    /// The database failed.
    Database,
}

impl Store {
    /// Opens the database at an address and brings its tables up to date.
    pub(super) async fn open(address: &str, max_connections: u32) -> Result<Self, Error> {
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            let (write, read) = postgres::open(address, max_connections).await?;
            return Ok(Self::Postgres { write, read });
        }
        let file = address.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        // Each connection would have a memory of its own.
        let Some(file) = file.filter(|path| !path.is_empty() && !path.contains([':', '?'])) else {
            return Err(Error::Address(crate::config::without_password(address)));
        };
        let (write, read) = sqlite::open(file, max_connections).await?;
        Ok(Self::Sqlite { write, read })
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        Ok(Tx::new(match self {
            Self::Postgres { write, .. } => {
                Connection::Postgres(Session::begin(write, postgres::WRITE).await?)
            }
            Self::Sqlite { write, .. } => Connection::Sqlite(Session::begin(write, sqlite::WRITE).await?),
        }))
    }

    /// Begins a transaction that reads the ledger as it stood at its first statement.
    pub(super) async fn snapshot(&self) -> Result<Tx, Error> {
        Ok(Tx::new(match self {
            Self::Postgres { read, .. } => Connection::Postgres(Session::begin(read, postgres::READ).await?),
            Self::Sqlite { read, .. } => Connection::Sqlite(Session::begin(read, sqlite::READ).await?),
        }))
    }

    /// The database's time.
    pub(super) async fn now(&self) -> Result<Timestamp, Error> {
        let sql = match self {
            Self::Postgres { .. } => postgres::NOW,
            Self::Sqlite { .. } => sqlite::NOW,
        };
        let mut tx = self.snapshot().await?;
        let rows = tx.run(Statement::new(sql)).await?;
        tx.commit().await?;
        let mut row = rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
        row.time("now")
    }
}

impl Tx {
    fn new(connection: Connection) -> Self {
        Self { connection, pending: Vec::new() }
    }

    /// Runs a statement and reads what it returns.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<Vec<Row>, Error> {
        self.write_pending().await?;
        match &mut self.connection {
            Connection::Postgres(session) => postgres::run(session, statement).await,
            Connection::Sqlite(session) => sqlite::run(session, statement).await,
        }
    }

    /// Runs a statement that returns nothing, together with others that follow it: before the next one that is
    /// [run](Self::run), and no later than the commit. Each costs a way to the server and back; all of them cost one.
    pub(super) async fn write(&mut self, statement: Statement) -> Result<(), Error> {
        // Statements that run together do not see what the others write.
        if self.pending.iter().any(|pending| pending.meets(&statement)) {
            self.write_pending().await?;
        }
        self.pending.push(statement);
        Ok(())
    }

    async fn write_pending(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        match &mut self.connection {
            Connection::Postgres(session) => {
                postgres::run(session, postgres::together(pending)).await.map(drop)
            }
            Connection::Sqlite(session) => {
                for statement in pending {
                    sqlite::run(session, statement).await?;
                }
                Ok(())
            }
        }
    }

    /// Commits. After an error it is not known whether the transaction was written.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        self.write_pending().await?;
        failpoint::before_commit().await.map_err(injected)?;
        self.close().await?;
        failpoint::after_commit().await.map_err(injected)
    }

    /// Commits what wrote nothing.
    pub(super) async fn close(self) -> Result<(), Error> {
        debug_assert!(self.pending.is_empty(), "something was to be written");
        match self.connection {
            Connection::Postgres(session) => session.commit().await,
            Connection::Sqlite(session) => session.commit().await,
        }
    }

    /// Until the end of this transaction, none that takes [`gates`](Self::gates) of these systems runs beside it.
    ///
    /// Whoever keeps a completion for later takes them, so that no record of a job reference passes unseen.
    pub(super) async fn close_gates(&mut self, systems: &[Arc<str>]) -> Result<(), Error> {
        self.gate(postgres::CLOSE_GATES, systems).await
    }

    /// Until the end of this transaction, none that [closes the gates](Self::close_gates) of these systems runs beside it.
    pub(super) async fn gates(&mut self, systems: &[Arc<str>]) -> Result<(), Error> {
        self.gate(postgres::GATES, systems).await
    }

    async fn gate(&mut self, sql: &'static str, systems: &[Arc<str>]) -> Result<(), Error> {
        match self.connection {
            Connection::Postgres(_) if !systems.is_empty() => {
                let mut keys: Vec<i64> = systems.iter().map(|system| postgres::gate_key(system)).collect();
                keys.sort_unstable();
                keys.dedup();
                self.run(Statement::new(sql).ints("gate", &keys, |key| *key)).await.map(drop)
            }
            // SQLite has one writer: nothing runs beside it.
            Connection::Postgres(_) | Connection::Sqlite(_) => Ok(()),
        }
    }
}

/// A fault that a test asked for, as the database's own.
fn injected(injected: Injected) -> Error {
    Error::Database(sqlx::Error::Io(std::io::Error::other(injected)))
}

/// What an error asks for.
pub(super) fn fault(error: &Error) -> Fault {
    let Error::Database(error) = error else { return Fault::Database };
    let Some(database) = error.as_database_error() else { return Fault::Database };
    let code = database.code().unwrap_or_default();
    if database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        postgres::fault(&code)
    } else {
        sqlite::fault(&code)
    }
}

#[cfg(test)]
mod tests;
