//! A look of its own whether the database does its work, on a connection of its own.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use super::Store;
use super::health::{Health, words};
use crate::ledger::{Error, WorkerId};

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_millis(1500);
/// A write that was committed so recently is proof enough.
const RECENT: Duration = Duration::from_millis(500);
/// A transaction that waits so long for a connection is looked into.
const WAITS: Duration = Duration::from_secs(1);
/// A transaction that waits so long for a connection finds none.
const WAITS_LONG: Duration = Duration::from_secs(2);
/// How much is written where writes have failed, in characters: what a batch of requests may take.
const AMPLE: usize = 256 * 1024;

const SAY: &str = "insert into probes (id, seen_at, filling) values ($1, $2, $3) \
                   on conflict (id) do update set seen_at = excluded.seen_at, filling = excluded.filling";
/// The server gives up before we do, so that nothing is left behind.
const SESSION: &str = "set lock_timeout = '1s'; set statement_timeout = '2s'";

/// Looks whether the ledger's database answers and takes writes.
///
/// It has a connection of its own: those of the pool may all be in use, or wait for an answer that does not come.
#[derive(Debug)]
pub struct Probe {
    worker: WorkerId,
    health: Health,
    most: u32,
    server: Server,
    /// Where SQLite's file is, and which file that was at the start.
    file: Option<(PathBuf, Option<(u64, u64)>)>,
}

#[derive(Debug)]
enum Server {
    Postgres(Arc<PgConnectOptions>, Option<PgConnection>),
    Sqlite(Arc<SqliteConnectOptions>, Option<SqliteConnection>),
}

impl Probe {
    pub(super) fn new(store: &Store, worker: WorkerId) -> Self {
        let (server, most) = match store {
            Store::Postgres { write, read, .. } => {
                let most = write.options().get_max_connections() + read.options().get_max_connections();
                (Server::Postgres(write.connect_options(), None), most)
            }
            Store::Sqlite { write, read, .. } => {
                let most = write.options().get_max_connections() + read.options().get_max_connections();
                let options = write.connect_options().as_ref().clone();
                let options = options.create_if_missing(false).busy_timeout(Duration::from_millis(500));
                (Server::Sqlite(Arc::new(options), None), most)
            }
        };
        let file = match &server {
            Server::Postgres(..) => None,
            Server::Sqlite(options, _) => {
                let path = options.get_filename().to_owned();
                let known = identity(&path);
                Some((path, known))
            }
        };
        Self { worker, health: store.health().clone(), most, server, file }
    }

    /// Looks once; takes 1.5 s at most for an answer, and as long again where transactions wait for a connection.
    ///
    /// # Errors
    /// Why the database does not do its work, in words for an operator.
    pub async fn look(&mut self, now: Timestamp) -> Result<(), String> {
        if let Some((path, known)) = &self.file
            && identity(path) != *known
        {
            return Err(format!(
                "{} is no longer the file that was opened: it was moved, deleted or replaced, and what is written now is lost \
                 with it. Hint: stop, put it back, and start again",
                path.display()
            ));
        }
        let failure = self.health.failure();
        let began = Instant::now();
        let proven = began.checked_sub(RECENT).is_some_and(|recent| self.health.wrote_since(recent));
        if failure.is_some() || !proven {
            let filling = failure.as_ref().map(|_| "x".repeat(AMPLE));
            let written = within(self.write_anew(now, filling)).await;
            match written {
                Ok(()) if failure.is_some() => self.health.mended(),
                Ok(()) => {}
                Err(reason) => {
                    self.disconnect();
                    // One of the two may have waited for the other.
                    if failure.is_some() || !self.health.wrote_since(began) {
                        return Err(reason);
                    }
                }
            }
        }
        if self.health.longest_wait() < WAITS {
            return Ok(());
        }
        within(self.connect_anew()).await?;
        if self.health.longest_wait() < WAITS_LONG {
            return Ok(());
        }
        Err(format!(
            "all {} connections to the database are in use, and others have waited for one for more than 2 s",
            self.most
        ))
    }

    /// Writes; again on a new connection where the old one may be to blame, as after a restart of the server.
    async fn write_anew(&mut self, now: Timestamp, filling: Option<String>) -> Result<(), Error> {
        let is_old = matches!(self.server, Server::Postgres(_, Some(_)));
        if is_old && self.write(now, filling.clone()).await.is_ok() {
            return Ok(());
        }
        if is_old {
            self.disconnect();
        }
        self.write(now, filling).await
    }

    async fn write(&mut self, now: Timestamp, filling: Option<String>) -> Result<(), Error> {
        let worker = self.worker.0.to_string();
        match &mut self.server {
            Server::Postgres(options, connection) => {
                let connection = match connection {
                    Some(connection) => connection,
                    None => {
                        let mut fresh = PgConnection::connect_with(options).await?;
                        sqlx::raw_sql(SESSION).execute(&mut fresh).await?;
                        connection.insert(fresh)
                    }
                };
                let say = sqlx::query(SAY).bind(worker).bind(now.as_millisecond()).bind(filling);
                say.execute(connection).await?;
            }
            Server::Sqlite(options, connection) => {
                let connection = match connection {
                    Some(connection) => connection,
                    None => connection.insert(SqliteConnection::connect_with(options).await?),
                };
                let say = sqlx::query(SAY).bind(worker).bind(now.as_millisecond()).bind(filling);
                say.execute(connection).await?;
            }
        }
        Ok(())
    }

    /// Whether another connection can be had at all.
    async fn connect_anew(&self) -> Result<(), Error> {
        match &self.server {
            Server::Postgres(options, _) => PgConnection::connect_with(options).await?.close().await?,
            Server::Sqlite(options, _) => SqliteConnection::connect_with(options).await?.close().await?,
        }
        Ok(())
    }

    fn disconnect(&mut self) {
        match &mut self.server {
            Server::Postgres(_, connection) => drop(connection.take()),
            Server::Sqlite(_, connection) => drop(connection.take()),
        }
    }
}

/// Which file a path leads to: its device and its number there.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Waits for the database's answer, but not longer than an operator may go without word of it.
async fn within(answer: impl Future<Output = Result<(), Error>>) -> Result<(), String> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(words(&error)),
        Err(_) => Err("the database does not answer".to_owned()),
    }
}
