//! The real parts: RabbitMQ, PostgreSQL and Request Tracker, as `tests/run` started them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

/// What `tests/run` says about a part.
///
/// # Panics
/// When it says nothing, since the test cannot do without.
#[expect(clippy::disallowed_methods, reason = "tests/run hands over in the environment where the parts are")]
pub(crate) fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run tests/run, which starts what is needed"))
}

/// The RabbitMQ that all tests share. A test that declares anything gives it a name of its own.
pub(crate) fn amqp_url() -> String {
    setting("AMQP_URL")
}

/// A name that no other test uses, for queues and exchanges.
pub(crate) fn own_name(what: &str) -> String {
    format!("{what}.{}", Uuid::new_v4().simple())
}

/// The address of a new, empty PostgreSQL database. It goes with the server when `tests/run` ends.
pub(crate) async fn fresh_postgres() -> String {
    let url = setting("PG_URL");
    let name = format!("test_{}", Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(&url).await.expect("PostgreSQL answers");
    let create = AssertSqlSafe(format!("create database {name}"));
    sqlx::raw_sql(create).execute(&mut connection).await.expect("the database is made");
    connection.close().await.expect("the connection closes");
    let (server, _) = url.rsplit_once('/').expect("an address with a database");
    format!("{server}/{name}")
}

/// A new SQLite database in a folder of its own, which goes when this is dropped.
pub(crate) struct FreshSqlite {
    folder: TempDir,
}

impl FreshSqlite {
    /// Names the file; whoever opens it first makes it.
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("ledger.db").display())
    }
}

/// The Request Tracker that all tests share. A test works only on tickets that it made.
pub(crate) struct Tracker {
    /// Where REST 2 is, without `/` at the end.
    pub(crate) url: String,
    /// The user of the basic authentication.
    pub(crate) user: String,
    /// The user's password.
    pub(crate) password: String,
}

impl Tracker {
    /// The one that `tests/run` started.
    pub(crate) fn shared() -> Self {
        let credentials = setting("RT_AUTH");
        let (user, password) = credentials.split_once(':').expect("RT_AUTH is user:password");
        let url = format!("{}/REST/2.0", setting("RT_URL"));
        Self { url, user: user.to_owned(), password: password.to_owned() }
    }
}

/// An HTTP client for tests. Answers that take longer than 20 s are failures.
pub(crate) fn http() -> reqwest::Client {
    static TLS: Once = Once::new();
    // An error only says that another test program's part installed one first.
    TLS.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client")
}

/// A RabbitMQ of a test's own, which it may kill and start again. It ends when this is dropped.
pub(crate) struct Broker {
    folder: PathBuf,
    url: String,
}

impl Broker {
    /// Starts one, which takes some seconds.
    pub(crate) async fn start() -> Self {
        let folder = Path::new(&setting("DOVETAIL_SERVICES")).join(own_name("broker"));
        // Made before it starts, so that a failure on the way ends it too.
        let mut broker = Self { folder, url: String::new() };
        let said = broker.services("up", &["broker"]).await;
        broker.url = said.trim().strip_prefix("AMQP_URL=").expect("the broker's address").to_owned();
        broker
    }

    /// Its address, which stays the same when it starts again.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns when the queues that were declared are on disk as queues. RabbitMQ 3.10 keeps its directory of
    /// quorum queues in tables that it writes some seconds late: killed before, it comes back with a queue that
    /// has a name and its messages, but no leader.
    pub(crate) async fn settle(&self) {
        self.ctl(&["eval", "lists:foreach(fun dets:sync/1, dets:all())."]).await;
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self) {
        self.services("kill-broker", &[]).await;
    }

    /// Starts it again on the same data.
    pub(crate) async fn restart(&self) {
        self.services("restart-broker", &[]).await;
    }

    /// What `rabbitmqctl` prints for these arguments.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> String {
        self.services("rabbitmqctl", arguments).await
    }

    async fn services(&self, command: &str, arguments: &[&str]) -> String {
        let mut script = Command::new(script());
        script.arg(command).arg(&self.folder).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(120), script.output());
        let output = output.await.expect("tests/services ends").expect("tests/services runs");
        assert!(
            output.status.success(),
            "tests/services {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let ended = std::process::Command::new(script()).arg("down").arg(&self.folder).status();
        let has_ended = ended.is_ok_and(|status| status.success());
        assert!(has_ended || std::thread::panicking(), "{} is left running", self.folder.display());
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("services")
}

#[tokio::test]
async fn a_fresh_postgresql_database_is_empty_and_durable() {
    let mut connection = PgConnection::connect(&fresh_postgres().await).await.expect("connects");
    let (tables,): (i64,) = sqlx::query_as("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&mut connection)
        .await
        .expect("counts");
    assert_eq!(tables, 0);
    let (fsync,): (String,) = sqlx::query_as("show fsync").fetch_one(&mut connection).await.expect("shows");
    assert_eq!(fsync, "on", "faults are tested with the durability of production");
}

#[tokio::test]
async fn request_tracker_answers_over_rest_2() {
    let tracker = Tracker::shared();
    let request =
        http().get(format!("{}/rt", tracker.url)).basic_auth(&tracker.user, Some(&tracker.password));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let body: serde_json::Value = answer.json().await.expect("JSON");
    assert!(body["Version"].as_str().is_some_and(|version| version.starts_with("5.")), "{body}");
}

#[tokio::test]
async fn the_shared_broker_takes_and_gives_back_a_message() {
    let queue = own_name("echo");
    deliver(&amqp_url(), &queue, b"one").await;
    assert_eq!(fetch(&amqp_url(), &queue).await, Some(b"one".to_vec()));
}

#[tokio::test]
async fn a_brokers_durable_message_survives_its_sigkill() {
    let broker = Broker::start().await;
    deliver(broker.url(), "kept", b"one").await;
    broker.settle().await;
    deliver(broker.url(), "kept", b"two").await;
    broker.kill().await;
    assert!(lapin::Connection::connect(broker.url(), Default::default()).await.is_err(), "it is down");
    broker.restart().await;
    assert_eq!(fetch(broker.url(), "kept").await, Some(b"one".to_vec()));
    assert_eq!(fetch(broker.url(), "kept").await, Some(b"two".to_vec()));
}

async fn deliver(url: &str, queue: &str, body: &[u8]) {
    let connection = lapin::Connection::connect(url, Default::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(Default::default()).await.expect("confirms");
    let mut arguments = lapin::types::FieldTable::default();
    arguments.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    let options = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(queue.into(), options, arguments).await.expect("declares");
    let properties = lapin::BasicProperties::default().with_delivery_mode(2);
    let publish = channel.basic_publish("".into(), queue.into(), Default::default(), body, properties);
    let confirm = publish.await.expect("publishes").await.expect("confirms");
    assert!(confirm.is_ack());
}

async fn fetch(url: &str, queue: &str) -> Option<Vec<u8>> {
    let connection = lapin::Connection::connect(url, Default::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    let options = lapin::options::BasicGetOptions { no_ack: true };
    let message = channel.basic_get(queue.into(), options).await.expect("gets");
    message.map(|message| message.delivery.data.clone())
}
