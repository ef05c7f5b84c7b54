//! One transaction on one connection of a pool, the same for both databases.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Executor, Pool};

use crate::ledger::Error;

/// How long an answer of the database is waited for; a PostgreSQL server gives up sooner.
const PATIENCE: Duration = Duration::from_secs(40);

/// A transaction. Where it is not committed its connection is closed, which ends it whatever state it is in: after a full
/// disk or a lost server even a rollback may fail, and a connection that kept the broken transaction would serve nobody.
pub(super) struct Session<D: Database> {
    connection: PoolConnection<D>,
    ended: bool,
}

impl<D: Database> Session<D>
where
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    /// Begins on a connection that works: one that broke while it was idle, or that cannot begin, is replaced.
    pub(super) async fn begin(pool: &Pool<D>, how: &'static str) -> Result<Self, Error> {
        let mut tries = pool.size() + 1;
        loop {
            let mut session = Self { connection: pool.acquire().await?, ended: false };
            match patiently(session.connection().execute(how)).await {
                Ok(_) => return Ok(session),
                Err(error) if tries == 1 => return Err(error),
                Err(_) => tries -= 1,
            }
        }
    }

    pub(super) async fn commit(mut self) -> Result<(), Error> {
        patiently(self.connection().execute("COMMIT")).await?;
        self.ended = true;
        Ok(())
    }
}

impl<D: Database> Session<D> {
    pub(super) fn connection(&mut self) -> &mut D::Connection {
        &mut self.connection
    }
}

impl<D: Database> Drop for Session<D> {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

/// Waits for the database's answer, but not for ever: a connection may lead nowhere, and so may a disk.
pub(super) async fn patiently<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}
