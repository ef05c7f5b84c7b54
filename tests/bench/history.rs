//! A ledger with a long history: requests that went through the loop, and copies of them under other names.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::database::Database;

/// The tables that keep what became of a closed request.
const TABLES: [&str; 7] =
    ["inbox", "requests", "documents", "handovers", "attempts", "events", "completions"];
/// Copies of one statement.
const STEP: usize = 25;
/// How long a page may take.
const LONGEST: Duration = Duration::from_secs(30);
/// Tickets that are looked for.
const SAMPLE: i64 = 200;

/// Puts so many copies of all that a ledger holds into its place; each copy is an hour older, and counted in the reports already.
pub(crate) async fn copy(database: &Database, times: usize) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&database.url()).await?;
    for table in TABLES {
        let rows = sqlx::query(
            "select attname::text from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped \
             order by attnum",
        )
        .bind(table)
        .fetch_all(&mut connection)
        .await?;
        let columns: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let values: Vec<String> = columns.iter().map(|column| value(table, column)).collect();
        // The stub's references begin anew with each measurement: those of the first would be taken for the same again.
        let base = format!("create temporary table base_{table} as select * from {table}; truncate {table}");
        sqlx::raw_sql(AssertSqlSafe(base)).execute(&mut connection).await?;
        for from in (1..=times).step_by(STEP) {
            let to = (from + STEP - 1).min(times);
            let sql = format!(
                "insert into {table} ({}) select {} from base_{table} cross join generate_series({from}, {to}) n",
                columns.join(", "),
                values.join(", ")
            );
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.with_context(|| table)?;
        }
        sqlx::raw_sql(AssertSqlSafe(format!("vacuum analyze {table}"))).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}

/// A column of the n-th copy.
fn value(table: &str, column: &str) -> String {
    match (table, column) {
        // The group after the version of a UUID; its first digit says the variant.
        (_, "request" | "call" | "handover") | ("requests" | "handovers" | "events", "id") => {
            format!("overlay({column} placing '8' || lpad(to_hex(n), 3, '0') from 20 for 4)")
        }
        (_, "ticket" | "job" | "reference" | "key") | ("inbox", "id") => format!("{column} || '-' || n"),
        (_, "folded") => "1".to_owned(),
        (_, column) if column == "at" || column.ends_with("_at") => format!("{column} - n * 3600000"),
        (_, column) => column.to_owned(),
    }
}

/// How long it takes to show some closed tickets, one after the other, on the console at this address.
pub(crate) async fn show_some(database: &Database, console: &str) -> anyhow::Result<Vec<Duration>> {
    let mut connection = PgConnection::connect(&database.url()).await?;
    let sql = "select council, ticket from requests where state = 'closed' order by md5(id) limit $1";
    let rows = sqlx::query(sql).bind(SAMPLE).fetch_all(&mut connection).await?;
    connection.close().await?;
    let client = reqwest::Client::builder().timeout(LONGEST).build()?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let (council, ticket): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let begun = Instant::now();
        let answer = client.get(format!("{console}/tickets/{council}/{ticket}")).send().await?;
        let page = answer.error_for_status()?.text().await?;
        taken.push(begun.elapsed());
        anyhow::ensure!(page.contains(&ticket), "the page of {ticket} does not name it");
    }
    anyhow::ensure!(!taken.is_empty(), "there is no closed ticket");
    taken.sort_unstable();
    Ok(taken)
}
