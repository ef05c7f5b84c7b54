//! PostgreSQL: batches are arrays, rows are locked one by one.

use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::postgres::{PgColumn, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{
    AssertSqlSafe, Column as _, Connection, Executor, PgConnection, PgPool, Postgres, Row as _, TypeInfo,
};

use super::row::{Row, Value};
use super::session::{Session, patiently};
use super::statement::{Bind, Column, Statement};
use super::{Fault, schema};
use crate::ledger::Error;

const MIGRATIONS: &[&str] = &[include_str!("../../../../migrations/postgres/0001_ledger.sql")];

pub(super) const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
pub(super) const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
pub(super) const NOW: &str = "select cast(extract(epoch from clock_timestamp()) * 1000 as bigint)";
pub(super) const GATES: &str =
    "select 1 from (select pg_advisory_xact_lock_shared(gate) from ({rows}) v) locked";
pub(super) const CLOSE_GATES: &str =
    "select 1 from (select pg_advisory_xact_lock(gate) from ({rows}) v) locked";

/// All statements go by an index, row by row: that a table is small, or that nothing is known of it yet, is no reason to
/// read it whole, be it for a scan or for a join. A plan that is made so serves batches of any size, and is kept. What a
/// client or the network leaves behind is ended by the server.
const SESSION: &str = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off; \
     set random_page_cost = 1.1; set lock_timeout = '10s'; set statement_timeout = '30s'; \
     set idle_in_transaction_session_timeout = '60s'";

/// A batch is planned alike whatever its size, so that it is planned once a connection.
const BATCHES: &str = "set plan_cache_mode = force_generic_plan";

/// Opens the database with some connections that write and some that read, so that neither waits for the other.
pub(super) async fn open(address: &str, max_connections: u32) -> Result<(PgPool, PgPool), Error> {
    let options: PgConnectOptions = address.parse()?;
    let options = options.application_name("dovetail").statement_cache_capacity(200);
    // On a connection without the limits of a session: another replica may take long over the tables.
    let mut connection = patiently(PgConnection::connect_with(&options)).await?;
    super::migrations(MIGRATIONS).run(&mut connection).await?;
    connection.close().await?;
    let write = (max_connections / 2).max(1);
    let read = max_connections.saturating_sub(write).max(1);
    Ok((pool(&options, write, BATCHES).await?, pool(&options, read, "").await?))
}

/// Opens the database with connections that read.
pub(super) async fn open_to_read(address: &str, max_connections: u32) -> Result<PgPool, Error> {
    let options: PgConnectOptions = address.parse()?;
    let options = options.application_name("dovetail").statement_cache_capacity(200);
    let read = pool(&options, max_connections, "").await?;
    schema::of_postgres(&read, &super::migrations(MIGRATIONS)).await?;
    Ok(read)
}

async fn pool(options: &PgConnectOptions, most: u32, more: &'static str) -> Result<PgPool, Error> {
    let pool = PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(SESSION).await?;
                connection.execute(more).await.map(drop)
            })
        })
        .connect_with(options.clone())
        .await?;
    Ok(pool)
}

/// Makes a schema in a PostgreSQL database, and returns the address under which a ledger is opened there.
///
/// # Errors
/// The database's own.
pub async fn add_schema(address: &str, schema: &str) -> Result<String, Error> {
    administer(address, format!("create schema {schema}")).await?;
    let joint = if address.contains('?') { '&' } else { '?' };
    Ok(format!("{address}{joint}options[search_path]={schema}"))
}

/// Takes a schema away, with all that is in it.
///
/// # Errors
/// The database's own.
pub async fn remove_schema(address: &str, schema: &str) -> Result<(), Error> {
    administer(address, format!("drop schema {schema} cascade")).await
}

async fn administer(address: &str, sql: String) -> Result<(), Error> {
    let options: PgConnectOptions = address.parse()?;
    let mut connection = patiently(PgConnection::connect_with(&options)).await?;
    patiently(connection.execute(AssertSqlSafe(sql))).await?;
    connection.close().await?;
    Ok(())
}

pub(super) async fn run(session: &mut Session<Postgres>, statement: Statement) -> Result<Vec<Row>, Error> {
    let rows = rows(&statement.columns, statement.binds.len() + 1);
    let sql = statement.expand(&rows, "for update", "for update skip locked");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for bind in statement.binds {
        query = match bind {
            Bind::Text(text) => query.bind(text),
            Bind::Int(number) => query.bind(number),
        };
    }
    for (_, column) in statement.columns {
        query = match column {
            Column::Texts(texts) => query.bind(texts),
            Column::Ints(numbers) => query.bind(numbers),
        };
    }
    let rows = patiently(query.fetch_all(session.connection())).await?;
    let kinds: Vec<Kind> = rows.first().map(kinds).unwrap_or_default();
    rows.iter().map(|row| read(row, &kinds)).collect()
}

/// Statements that do not meet, as one: each is a part of it, and all of them see the ledger as it was before.
///
/// They are made of batches only, and have no single values.
pub(super) fn together(mut statements: Vec<Statement>) -> Statement {
    if statements.len() == 1
        && let Some(only) = statements.pop()
    {
        return only;
    }
    let mut all = Statement::new("");
    let mut parts = Vec::with_capacity(statements.len());
    for (number, statement) in statements.into_iter().enumerate() {
        debug_assert!(statement.binds.is_empty(), "a single value among batches: {}", statement.sql);
        let rows = rows(&statement.columns, all.columns.len() + 1);
        parts.push(format!("part{number} as ({})", statement.expand(&rows, "", "")));
        all.columns.extend(statement.columns);
    }
    all.sql = format!("with {} select 1 where false", parts.join(", ")).into();
    all
}

/// `{rows}`: the arrays side by side, as a table; the first of them is this parameter.
fn rows(columns: &[(&'static str, Column)], first: usize) -> String {
    let mut arrays = Vec::with_capacity(columns.len());
    let mut names = Vec::with_capacity(columns.len());
    for (number, (name, column)) in (first..).zip(columns) {
        arrays.push(match column {
            Column::Texts(_) => format!("${number}::text[]"),
            Column::Ints(_) => format!("${number}::bigint[]"),
        });
        names.push(*name);
    }
    format!("select * from unnest({}) as rows({})", arrays.join(", "), names.join(", "))
}

/// How a column is read.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Small,
    Int,
}

/// The kinds of a result's columns, the same for each of its rows.
fn kinds(row: &PgRow) -> Vec<Kind> {
    let kind = |column: &PgColumn| match column.type_info().name() {
        "TEXT" => Kind::Text,
        "INT4" => Kind::Small,
        _ => Kind::Int,
    };
    row.columns().iter().map(kind).collect()
}

fn read(row: &PgRow, kinds: &[Kind]) -> Result<Row, Error> {
    let mut values = Vec::with_capacity(kinds.len());
    for (index, kind) in kinds.iter().enumerate() {
        values.push(match kind {
            Kind::Text => row.try_get::<Option<String>, _>(index)?.map_or(Value::Null, Value::Text),
            Kind::Small => {
                row.try_get::<Option<i32>, _>(index)?.map_or(Value::Null, |number| Value::Int(number.into()))
            }
            Kind::Int => row.try_get::<Option<i64>, _>(index)?.map_or(Value::Null, Value::Int),
        });
    }
    Ok(Row::new(values))
}

/// What an SQLSTATE asks for.
pub(super) fn fault(code: &str) -> Fault {
    match code {
        "40001" | "40P01" | "55P03" => Fault::Contention,
        "23505" => Fault::Taken,
        _ if ["21", "22", "23", "54"].iter().any(|class| code.starts_with(class)) => Fault::Row,
        _ => Fault::Database,
    }
}

/// The number of a system's advisory lock.
pub(super) fn gate_key(system: &str) -> i64 {
    let digest = Sha256::new().chain_update("dovetail/gate/").chain_update(system).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}
