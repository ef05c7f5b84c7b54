//! Databases for the subjects, and what PostgreSQL counts.

use anyhow::Context as _;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// One database of its own.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    server: String,
    name: String,
}

/// What PostgreSQL has counted so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Transactions committed in this database.
    pub(crate) commits: i64,
    /// Bytes of the write-ahead log of the whole server, on which nothing else runs.
    pub(crate) wal: i64,
    /// Pages that were written into that log whole, each at its first change after a checkpoint.
    pub(crate) pages: i64,
}

impl Database {
    /// Makes an empty one on the server of this address.
    pub(crate) async fn fresh(url: &str, name: String) -> anyhow::Result<Self> {
        let mut connection = PgConnection::connect(url).await.context("PostgreSQL does not answer")?;
        for sql in [format!("drop database if exists {name} with (force)"), format!("create database {name}")]
        {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(Self { server: url.to_owned(), name })
    }

    /// Makes one that holds what this one does, to which nobody may be connected.
    pub(crate) async fn copy(&self, name: String) -> anyhow::Result<Self> {
        let mut connection = PgConnection::connect(&self.server).await?;
        for sql in [
            format!("drop database if exists {name} with (force)"),
            format!("create database {name} template {} strategy file_copy", self.name),
            "checkpoint".to_owned(),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        }
        connection.close().await?;
        Ok(Self { server: self.server.clone(), name })
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap_or((&self.server, ""));
        format!("{server}/{}", self.name)
    }

    /// What was counted so far. The backends say what they did about once a second.
    pub(crate) async fn counts(&self) -> anyhow::Result<Counts> {
        let mut connection = PgConnection::connect(&self.server).await?;
        let row = sqlx::query(
            "select xact_commit, (pg_current_wal_lsn() - '0/0')::bigint, (select wal_fpi from pg_stat_wal) \
             from pg_stat_database where datname = $1",
        )
        .bind(&self.name)
        .fetch_one(&mut connection)
        .await?;
        let counts = Counts { commits: row.try_get(0)?, wal: row.try_get(1)?, pages: row.try_get(2)? };
        connection.close().await?;
        Ok(counts)
    }

    /// Takes it away.
    pub(crate) async fn drop(self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.server).await?;
        let sql = AssertSqlSafe(format!("drop database if exists {} with (force)", self.name));
        sqlx::raw_sql(sql).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Writes out what the last subject left, so that the next does not pay for it.
    pub(crate) async fn checkpoint(url: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql("checkpoint").execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }
}
