//! The two databases behind one small interface: begin, run a statement, commit.

mod health;
mod postgres;
mod probe;
mod row;
mod schema;
mod session;
mod sqlite;
mod statement;

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgPool, Postgres, SqlSafeStr, Sqlite, SqlitePool};

use health::Health;
pub use postgres::{add_schema, remove_schema};
pub use probe::Probe;
pub(super) use row::Row;
use session::Session;
pub(super) use statement::Statement;

use crate::failpoint::{self, Injected};
use crate::ledger::{Error, WorkerId};

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
        /// What their use says of the database.
        health: Health,
    },
    /// SQLite, which has one writer.
    Sqlite {
        /// One connection.
        write: SqlitePool,
        /// Several.
        read: SqlitePool,
        /// What their use says of the database.
        health: Health,
    },
}

/// A transaction; dropped without [`commit`](Tx::commit), it is rolled back.
pub(super) struct Tx {
    connection: Connection,
    /// What has yet to be written, in order.
    pending: Vec<Statement>,
    /// Where it is told what became of a transaction that writes.
    health: Option<Health>,
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
        if is_postgres(address) {
            let (write, read) = postgres::open(address, max_connections).await?;
            return Ok(Self::Postgres { write, read, health: Health::default() });
        }
        let (write, read) = sqlite::open(file_of(address)?, max_connections).await?;
        Ok(Self::Sqlite { write, read, health: Health::default() })
    }

    /// Opens the database at an address to read it; nothing is written, also not where its tables are not up to date.
    pub(super) async fn open_to_read(address: &str, max_connections: u32) -> Result<Self, Error> {
        if is_postgres(address) {
            let read = postgres::open_to_read(address, max_connections).await?;
            return Ok(Self::Postgres { write: read.clone(), read, health: Health::default() });
        }
        let read = sqlite::open_to_read(file_of(address)?, max_connections).await?;
        let write = read.clone();
        Ok(Self::Sqlite { write, read, health: Health::default() })
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        let health = self.health();
        let waiting = health.wait();
        let begun = match self {
            Self::Postgres { write, .. } => {
                Session::begin(write, postgres::WRITE).await.map(Connection::Postgres)
            }
            Self::Sqlite { write, .. } => Session::begin(write, sqlite::WRITE).await.map(Connection::Sqlite),
        };
        drop(waiting);
        let connection = begun.inspect_err(|error| health.failed(error))?;
        Ok(Tx { connection, pending: Vec::new(), health: Some(health.clone()) })
    }

    /// Begins a transaction that reads the ledger as it stood at its first statement.
    pub(super) async fn snapshot(&self) -> Result<Tx, Error> {
        let _waiting = self.health().wait();
        let connection = match self {
            Self::Postgres { read, .. } => Connection::Postgres(Session::begin(read, postgres::READ).await?),
            Self::Sqlite { read, .. } => Connection::Sqlite(Session::begin(read, sqlite::READ).await?),
        };
        Ok(Tx { connection, pending: Vec::new(), health: None })
    }

    /// Brings what SQLite keeps in the file beside into the ledger's own, so that whoever copies that after a stop has all.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn put_in_order(&self) -> Result<(), Error> {
        match self {
            Self::Postgres { .. } => {}
            Self::Sqlite { write, .. } => {
                sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(write).await?;
            }
        }
        Ok(())
    }

    fn health(&self) -> &Health {
        match self {
            Self::Postgres { health, .. } | Self::Sqlite { health, .. } => health,
        }
    }

    /// A look of its own whether the database does its work.
    pub(super) fn probe(&self, worker: WorkerId) -> Probe {
        Probe::new(self, worker)
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
    /// Runs a statement and reads what it returns.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<Vec<Row>, Error> {
        self.write_pending().await?;
        let rows = match &mut self.connection {
            Connection::Postgres(session) => postgres::run(session, statement).await,
            Connection::Sqlite(session) => sqlite::run(session, statement).await,
        };
        rows.inspect_err(|error| self.failed(error))
    }

    fn failed(&self, error: &Error) {
        if let Some(health) = &self.health {
            health.failed(error);
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
        let written = match &mut self.connection {
            Connection::Postgres(session) => {
                postgres::run(session, postgres::together(pending)).await.map(drop)
            }
            Connection::Sqlite(session) => sqlite::run_all(session, pending).await,
        };
        written.inspect_err(|error| self.failed(error))
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
        let committed = match self.connection {
            Connection::Postgres(session) => session.commit().await,
            Connection::Sqlite(session) => session.commit().await,
        };
        if let Some(health) = self.health {
            match &committed {
                Ok(()) => health.wrote(),
                Err(error) => health.failed(error),
            }
        }
        committed
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

fn is_postgres(address: &str) -> bool {
    address.starts_with("postgres://") || address.starts_with("postgresql://")
}

/// The file of an SQLite ledger.
fn file_of(address: &str) -> Result<&str, Error> {
    let file = address.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    // Each connection would have a memory of its own.
    let file = file.filter(|path| !path.is_empty() && !path.contains([':', '?']));
    file.ok_or_else(|| Error::Address(crate::config::without_password(address)))
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
