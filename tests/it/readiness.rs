//! Readiness tells within three seconds that the ledger's database does not do its work, and why; and takes it back when
//! it does again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};

use crate::council::{KEY, request, submitted};
use crate::program::Program;
use crate::services::{Database, FreshSqlite, fresh_postgres, http};
use crate::wait::{pass, until};
use tests::disk::SmallDisk;
use tests::proxy::{Carry, Proxy};

/// Within which readiness tells, on a machine that does in time what it is asked.
const SOON: Duration = Duration::from_secs(3);

async fn serve(ledger: &str) -> Program {
    let keys = format!("[http]\nkeys = [{{name = \"test\", key = \"{KEY}\", councils = [\"*\"]}}]\n");
    let program = Program::serve(&format!("{keys}[ledger]\nurl = {ledger:?}\nconnections = 2\n")).await;
    until("the router is ready", Duration::from_secs(30), async || {
        ledger_of(&program).await.is_none().then_some(())
    })
    .await;
    program
}

/// Why the ledger is not ready; `None` where it is.
async fn ledger_of(program: &Program) -> Option<String> {
    let answer = http().get(program.url("/health/ready")).send().await.expect("an answer");
    let status = answer.status();
    let body: Value = answer.json().await.expect("JSON");
    let told = body["ledger"].as_str().expect("a text").to_owned();
    assert_eq!(status == 200, told == "ready", "{body}");
    (told != "ready").then_some(told)
}

/// Waits until readiness tells of trouble, and takes its time beside a control: something that takes as long by itself,
/// made late by the same machine.
async fn told_soon(program: &Program, cause: &str) -> String {
    let began = Instant::now();
    let control = async {
        let begun = Instant::now();
        for _ in 0..30 {
            pass(SOON / 30).await;
            let answer = http().get(program.url("/health/live")).send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
        }
        begun.elapsed()
    };
    let told = until(cause, Duration::from_secs(30), async || {
        let told = ledger_of(program).await.filter(|told| told.contains(cause))?;
        Some((told, began.elapsed()))
    });
    let (control, (told, took)) = tokio::join!(control, told);
    assert!(told.contains(", since 20"), "{told}");
    assert!(took <= control, "{told}: after {took:?}, beside a control of {control:?}");
    told
}

async fn ready_again(program: &Program) {
    until("readiness takes it back", Duration::from_secs(30), async || {
        ledger_of(program).await.is_none().then_some(())
    })
    .await;
}

/// The same database over a link.
async fn linked(ledger: &str) -> (Proxy, String) {
    let (user, rest) = ledger.split_once('@').expect("a user");
    let (server, database) = rest.split_once('/').expect("a database");
    let link = Proxy::start().await;
    link.point(server.parse().expect("an address"));
    let url = format!("{user}@{}/{database}", link.address());
    (link, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_or_is_away_makes_the_router_unready_within_three_seconds() {
    let (link, url) = linked(&fresh_postgres().await).await;
    let program = serve(&url).await;

    link.carry(Carry::Nothing);
    told_soon(&program, "the database does not answer").await;
    link.carry(Carry::Everything);
    ready_again(&program).await;

    link.carry(Carry::Nobody);
    link.reset();
    told_soon(&program, "the database does not answer").await;
    link.carry(Carry::Everything);
    ready_again(&program).await;
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_or_takes_no_writes_is_told_with_its_reason() {
    let admin = fresh_postgres().await;
    let (_, database) = admin.rsplit_once('/').expect("a database");
    let user = format!("user_{database}");
    let mut connection = PgConnection::connect(&admin).await.expect("PostgreSQL answers");
    let run = async |connection: &mut PgConnection, sql: &str| {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.expect("it is done");
    };
    run(
        &mut connection,
        &format!("create role {user} login; grant all on schema public to {user}; alter database {database} owner to {user}"),
    )
    .await;
    let (_, rest) = admin.split_once('@').expect("a user");
    let program = serve(&format!("postgres://{user}@{rest}")).await;
    let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{user}'");

    run(&mut connection, &format!("alter role {user} connection limit 0")).await;
    run(&mut connection, &end).await;
    told_soon(&program, "refuses further connections: too many clients").await;
    run(&mut connection, &format!("alter role {user} connection limit -1")).await;
    ready_again(&program).await;

    // What a router finds that is still connected to the old primary after a fail-over.
    run(&mut connection, &format!("alter role {user} set default_transaction_read_only = on")).await;
    run(&mut connection, &end).await;
    told_soon(&program, "read-only").await;
    run(&mut connection, &format!("alter role {user} reset default_transaction_read_only")).await;
    run(&mut connection, &end).await;
    ready_again(&program).await;

    // Another session holds what the router writes: its connections are used up, though the server answers.
    run(&mut connection, "begin; lock table due in access exclusive mode").await;
    told_soon_after_waiting(&program, "connections to the database are in use").await;
    run(&mut connection, "rollback").await;
    ready_again(&program).await;
    assert!(program.stop().await.success());
}

/// The same for what begins only when the router next wants a connection: told no later than three seconds after that
/// and a heartbeat.
async fn told_soon_after_waiting(program: &Program, cause: &str) {
    let told = until(cause, Duration::from_secs(30), async || ledger_of(program).await).await;
    assert!(told.contains(cause), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_for_another_client_or_that_stands_still_is_told() {
    let database = Database::start().await;
    let program = serve(database.url()).await;
    database.signal("STOP");
    told_soon(&program, "the database does not answer").await;
    database.signal("CONT");
    ready_again(&program).await;

    // Every place is taken before the router, whose connections were lost, comes back.
    let others = database.take_every_place().await;
    told_soon(&program, "too many clients").await;
    drop(others);
    ready_again(&program).await;
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_another_program_locks_makes_the_router_unready() {
    let ledger = FreshSqlite::new();
    let program = serve(&ledger.url()).await;
    let options = SqliteConnectOptions::new().filename(ledger.url().trim_start_matches("sqlite:"));
    let mut other = SqliteConnection::connect_with(&options).await.expect("a connection");
    // Waits for its turn, as any other program would.
    sqlx::raw_sql("pragma busy_timeout = 20000; begin immediate").execute(&mut other).await.expect("locked");
    told_soon(&program, "locked by another program").await;
    sqlx::raw_sql("rollback").execute(&mut other).await.expect("freed");
    ready_again(&program).await;
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_the_router_unready_as_soon_as_a_write_found_it() {
    let ledger = FreshSqlite::on(SmallDisk::mount(8));
    let program = serve(&ledger.url()).await;
    let disk = ledger.disk().expect("a disk of its own");
    disk.fill();
    until("a request finds no room", Duration::from_secs(30), async || {
        let data = json!({"text": "x".repeat(200_000)});
        let mut document = request("CRM-1", 0);
        document["details"]["more"] = data;
        let event = submitted(&uuid::Uuid::new_v4().to_string(), &document);
        let posted = http()
            .post(program.url("/v1/requests"))
            .bearer_auth(KEY)
            .header("content-type", "application/cloudevents+json")
            .body(event.to_string());
        (posted.send().await.expect("an answer").status() == 503).then_some(())
    })
    .await;
    told_soon(&program, "disk full").await;
    disk.clear();
    ready_again(&program).await;
    assert!(program.stop().await.success());
}
