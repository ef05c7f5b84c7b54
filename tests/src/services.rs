//! The real parts: RabbitMQ, PostgreSQL and Request Tracker, as `tests/run` started them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

use crate::disk::SmallDisk;

/// What `tests/run` says about a part.
///
/// # Panics
/// When it says nothing, since the test cannot do without.
#[expect(clippy::disallowed_methods, reason = "tests/run hands over in the environment where the parts are")]
pub fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run tests/run, which starts what is needed"))
}

/// The RabbitMQ that all tests share. A test that declares anything gives it a name of its own.
pub fn amqp_url() -> String {
    setting("AMQP_URL")
}

/// A name that no other test uses, for queues and exchanges.
pub fn own_name(what: &str) -> String {
    format!("{what}.{}", Uuid::new_v4().simple())
}

/// The address of a new, empty PostgreSQL database. It goes with the server when `tests/run` ends.
pub async fn fresh_postgres() -> String {
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
pub struct FreshSqlite {
    folder: TempDir,
    disk: Option<SmallDisk>,
}

impl Default for FreshSqlite {
    fn default() -> Self {
        Self::new()
    }
}

impl FreshSqlite {
    /// Names the file; whoever opens it first makes it.
    pub fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder"), disk: None }
    }

    /// The same on a small disk of its own.
    pub fn on(disk: SmallDisk) -> Self {
        Self { disk: Some(disk), ..Self::new() }
    }

    /// The disk it is on, where that is one of its own.
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.disk.as_ref()
    }

    /// The address of the database.
    pub fn url(&self) -> String {
        let folder = self.disk.as_ref().map_or(self.folder.path(), SmallDisk::path);
        format!("sqlite:{}", folder.join("ledger.db").display())
    }
}

/// The Request Tracker that all tests share. A test works only on tickets that it made.
pub struct Tracker {
    /// Where REST 2 is, without `/` at the end.
    pub url: String,
    /// The user of the basic authentication.
    pub user: String,
    /// The user's password.
    pub password: String,
}

impl Tracker {
    /// The one that `tests/run` started.
    pub fn shared() -> Self {
        let credentials = setting("RT_AUTH");
        let (user, password) = credentials.split_once(':').expect("RT_AUTH is user:password");
        let url = format!("{}/REST/2.0", setting("RT_URL"));
        Self { url, user: user.to_owned(), password: password.to_owned() }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = http().request(method.clone(), format!("{}/{path}", self.url));
        let request = request.basic_auth(&self.user, Some(&self.password)).json(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a text");
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// A queue of a test's own.
    pub async fn queue(&self) -> String {
        let name = own_name("queue");
        self.ask(Method::POST, "queue", &json!({"Name": name})).await;
        name
    }

    /// Opens a ticket with what the contact centre wrote beside it.
    pub async fn open(&self, queue: &str, subject: &str, fields: Value) -> String {
        let body = json!({"Queue": queue, "Subject": subject, "Requestor": "jo.lamb@example.org",
                          "Content": "Please", "ContentType": "text/plain", "CustomFields": fields});
        let opened = self.ask(Method::POST, "ticket", &body).await;
        opened["id"].as_str().unwrap_or_else(|| panic!("a ticket: {opened}")).to_owned()
    }

    /// Changes fields of a ticket, as a person does.
    pub async fn change(&self, ticket: &str, fields: &Value) {
        self.ask(Method::PUT, &format!("ticket/{ticket}"), fields).await;
    }

    /// Writes to the customer, or for colleagues only (`comment`).
    pub async fn write(&self, ticket: &str, what: &str, text: &str) {
        let body = json!({"Content": text, "ContentType": "text/plain"});
        self.ask(Method::POST, &format!("ticket/{ticket}/{what}"), &body).await;
    }

    /// Where a ticket stands.
    pub async fn status(&self, ticket: &str) -> String {
        let seen = self.ask(Method::GET, &format!("ticket/{ticket}"), &Value::Null).await;
        seen["Status"].as_str().expect("a status").to_owned()
    }

    /// The kinds of what happened to a ticket, oldest first, a change of status with the new one.
    pub async fn happened(&self, ticket: &str) -> Vec<String> {
        let path = format!("ticket/{ticket}/history?fields=Type,NewValue&per_page=100");
        let history = self.ask(Method::GET, &path, &Value::Null).await;
        let items = history["items"].as_array().expect("a history").iter();
        let told = items.filter(|item| item["Type"] != "EmailRecord").map(|item| {
            let kind = item["Type"].as_str().expect("a type");
            if kind == "Status" {
                format!("Status {}", item["NewValue"].as_str().expect("a status"))
            } else {
                kind.to_owned()
            }
        });
        told.collect()
    }
}

/// An HTTP client for tests. Answers that take longer than 20 s are failures.
pub fn http() -> reqwest::Client {
    static TLS: Once = Once::new();
    // An error only says that another test program's part installed one first.
    TLS.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client")
}

/// Parts of a test's own, in a folder below that of the shared ones. They end when this is dropped.
struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Starts one part, and returns what it says of how to reach it.
    async fn start(part: &str, variable: &str) -> (Self, String) {
        // Made before it starts, so that a failure on the way ends it too.
        let parts = Self { folder: Path::new(&setting("DOVETAIL_SERVICES")).join(own_name(part)) };
        let said = parts.services("up", &[part]).await;
        let url = said.trim().strip_prefix(variable).expect("the part's address").to_owned();
        (parts, url)
    }

    async fn services(&self, command: &str, arguments: &[&str]) -> String {
        let mut script = Command::new(script());
        script.arg(command).arg(&self.folder).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(300), script.output());
        let output = output.await.expect("tests/services ends").expect("tests/services runs");
        assert!(
            output.status.success(),
            "tests/services {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let ended = std::process::Command::new(script()).arg("down").arg(&self.folder).status();
        let has_ended = ended.is_ok_and(|status| status.success());
        assert!(has_ended || std::thread::panicking(), "{} is left running", self.folder.display());
    }
}

/// A RabbitMQ of a test's own, which it may kill and start again. It ends when this is dropped.
pub struct Broker {
    parts: Parts,
    url: String,
}

impl Broker {
    /// Starts one, which takes some seconds.
    pub async fn start() -> Self {
        let (parts, url) = Parts::start("broker", "AMQP_URL=").await;
        Self { parts, url }
    }

    /// Its address, which stays the same when it starts again.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns when the queues that were declared are on disk as queues. RabbitMQ 3.10 keeps its directory of
    /// quorum queues in tables that it writes some seconds late: killed before, it comes back with a queue that
    /// has a name and its messages, but no leader.
    pub async fn settle(&self) {
        self.ctl(&["eval", "lists:foreach(fun dets:sync/1, dets:all())."]).await;
    }

    /// SIGKILL.
    pub async fn kill(&self) {
        self.parts.services("kill-broker", &[]).await;
    }

    /// Starts it again on the same data.
    pub async fn restart(&self) {
        self.parts.services("restart-broker", &[]).await;
    }

    /// What `rabbitmqctl` prints for these arguments.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        self.parts.services("rabbitmqctl", arguments).await
    }
}

/// A PostgreSQL of a test's own, which it may stop and start again. It ends when this is dropped.
pub struct Database {
    parts: Parts,
    url: String,
}

impl Database {
    /// Starts one, which takes some seconds.
    pub async fn start() -> Self {
        let (parts, url) = Parts::start("database", "PG_URL=").await;
        Self { parts, url }
    }

    /// The address of an empty database, which stays the same when the server starts again.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it without a checkpoint, as a fallen host would, and starts it on the same data.
    pub async fn restart(&self) {
        self.parts.services("restart-database", &[]).await;
    }

    /// Takes every place that the server has for clients, those of the routers too; they are free again when what is
    /// returned is dropped.
    ///
    /// # Panics
    /// When the server refuses for another reason.
    pub async fn take_every_place(&self) -> Vec<PgConnection> {
        let mut taken = vec![PgConnection::connect(&self.url).await.expect("a connection")];
        let fill = async |taken: &mut Vec<PgConnection>| loop {
            match PgConnection::connect(&self.url).await {
                Ok(connection) => taken.push(connection),
                Err(error) if error.to_string().contains("too many clients") => return,
                Err(error) => panic!("{error}"),
            }
        };
        fill(&mut taken).await;
        let end =
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dovetail'";
        sqlx::query(end).fetch_all(&mut taken[0]).await.expect("they are ended");
        fill(&mut taken).await;
        taken
    }

    /// Sends a signal to every process of the server, for example `STOP`.
    ///
    /// # Panics
    /// When the server cannot be found.
    pub fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.parts.folder.join("database.pid")).expect("a process id");
        let pid = pid.split_whitespace().next().expect("a process id").to_owned();
        let children = std::process::Command::new("pgrep").args(["-P", &pid]).output().expect("pgrep runs");
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        let all = children.split_whitespace().chain([pid.as_str()]);
        // One that has ended in between needs no signal.
        for process in all {
            drop(std::process::Command::new("kill").arg(format!("-{name}")).arg(process).status());
        }
    }
}

/// Ends every session of a database but the one that asks, as an administrator or a failover does. Returns how
/// many there were.
pub async fn end_sessions(database: &str) -> u64 {
    let mut connection = PgConnection::connect(database).await.expect("PostgreSQL answers");
    let ended = sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .fetch_all(&mut connection)
    .await
    .expect("sessions are ended");
    ended.len() as u64
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("services")
}
