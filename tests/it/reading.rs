//! Commands that only read work on a ledger that takes no writes, and leave it as it is.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::program::{Program, dovetail};
use crate::services::{FreshSqlite, fresh_postgres};
use tests::disk::SmallDisk;

/// Each command that only reads ends well.
async fn all_read(ledger: &str) {
    for command in
        [&["tickets", "list"][..], &["problems"], &["report", "--from", "2020-01-01"], &["system", "list"]]
    {
        let output = dovetail(&[command, &["--database", ledger]].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code < 2), "{command:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_read_need_no_more_than_a_user_who_may_read() {
    let admin = fresh_postgres().await;
    let program = Program::serve(&format!("[ledger]\nurl = {admin:?}\n")).await;
    let (_, rest) = admin.split_once('@').expect("a user");
    let (_, database) = admin.rsplit_once('/').expect("a database");
    let user = format!("reader_{database}");
    let reader = format!("postgres://{user}@{rest}");
    let mut connection = PgConnection::connect(&admin).await.expect("PostgreSQL answers");
    let make = format!(
        "create role {user} login; grant usage on schema public to {user}; \
         grant select on all tables in schema public to {user}; alter role {user} set default_transaction_read_only = on"
    );
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await.expect("a user who may read");
    all_read(&reader).await;
    assert!(program.stop().await.success());

    let empty = fresh_postgres().await;
    let output = dovetail(&["problems", "--database", &empty]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("holds no ledger yet"), "{said}");
    let mut connection = PgConnection::connect(&empty).await.expect("PostgreSQL answers");
    let (tables,): (i64,) = sqlx::query_as("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&mut connection)
        .await
        .expect("counts");
    assert_eq!(tables, 0, "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_read_work_on_a_disk_that_takes_no_writes() {
    let ledger = FreshSqlite::on(SmallDisk::mount(16));
    let program = Program::serve(&format!("[ledger]\nurl = {:?}\n", ledger.url())).await;
    assert!(program.stop().await.success());
    ledger.disk().expect("a disk of its own").take_no_writes();
    all_read(&ledger.url()).await;
}
