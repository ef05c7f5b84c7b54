//! What is measured: each a process of its own, configured as a user would.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};

use crate::Options;
use crate::broker::Broker;
use crate::database::{Counts, Database};
use crate::history;
use crate::office::{Office, SECRET};
use crate::process::{self, Usage};
use crate::request::Format;

/// A subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// The bare loop.
    Floor,
    /// `dovetail serve` on PostgreSQL, so many routers.
    Postgres(usize),
    /// `dovetail serve` on PostgreSQL, with a long history in the ledger.
    Aged,
    /// `dovetail serve` on SQLite.
    Sqlite,
    /// A consumer in Node (amqplib and undici).
    Node(Memory),
    /// A consumer in Python (FastStream).
    FastStream(Memory),
}

/// What a peer remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Memory {
    /// Nothing.
    Nothing,
    /// One row a request: inserted before the call, updated at completion.
    NaiveLedger,
}

impl Subject {
    /// Its name in tables and as a key.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Postgres(1) => "postgres",
            Self::Postgres(_) => "replicas3",
            Self::Aged => "aged",
            Self::Sqlite => "sqlite",
            Self::Node(Memory::Nothing) => "node",
            Self::Node(Memory::NaiveLedger) => "node_ledger",
            Self::FastStream(Memory::Nothing) => "faststream",
            Self::FastStream(Memory::NaiveLedger) => "faststream_ledger",
        }
    }

    fn wants_database(self) -> bool {
        match self {
            Self::Floor | Self::Sqlite | Self::Node(Memory::Nothing) | Self::FastStream(Memory::Nothing) => {
                false
            }
            Self::Postgres(_)
            | Self::Aged
            | Self::Node(Memory::NaiveLedger)
            | Self::FastStream(Memory::NaiveLedger) => true,
        }
    }
}

/// A subject at work. Its processes are killed when this is dropped.
pub(crate) struct Running {
    subject: Subject,
    children: Vec<Child>,
    database: Option<Database>,
    ports: Vec<u16>,
    folder: PathBuf,
}

/// The parts around a subject.
pub(crate) struct Around<'a> {
    pub(crate) options: &'a Options,
    pub(crate) broker: &'a Broker,
    pub(crate) office: &'a Office,
    /// A ledger with a long history.
    pub(crate) history: Option<&'a Database>,
    /// A name that no other measurement has.
    pub(crate) name: &'a str,
}

impl Running {
    /// Starts a subject; it may not be ready yet.
    pub(crate) async fn start(subject: Subject, around: &Around<'_>) -> anyhow::Result<Self> {
        let folder = around.options.folder.join(around.name);
        std::fs::create_dir_all(&folder)?;
        let name = around.name.to_owned();
        let database = if subject == Subject::Aged {
            Some(around.history.context("there is no history")?.copy(name).await?)
        } else if subject.wants_database() {
            Some(Database::fresh(&around.options.postgres, name).await?)
        } else {
            None
        };
        let replicas = if let Subject::Postgres(replicas) = subject { replicas } else { 1 };
        let ports = free_ports(replicas)?;
        around.office.call_back(ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect());
        let mut running = Self { subject, children: Vec::new(), database, ports, folder };
        for (replica, port) in running.ports.clone().into_iter().enumerate() {
            let mut command = running.command(around, port)?;
            let log = File::create(running.folder.join(format!("{replica}.log")))?;
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
            let child = command.spawn().with_context(|| format!("{} does not start", subject.name()))?;
            running.children.push(child);
        }
        Ok(running)
    }

    fn command(&self, around: &Around<'_>, port: u16) -> anyhow::Result<Command> {
        let Options { node, faststream, python, dovetail, .. } = around.options;
        let missing = |what: &str| format!("{what} is not given, which the peers need");
        let mut command = match self.subject {
            Subject::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("floor");
                command
            }
            Subject::Postgres(_) | Subject::Aged | Subject::Sqlite => {
                let file = self.folder.join(format!("{port}.toml"));
                std::fs::write(&file, self.configuration(around, port))?;
                let mut command = Command::new(dovetail);
                command.args(["serve", "--config"]).arg(file);
                command.env("BENCH_URL", &around.office.url).env("BENCH_SECRET", SECRET);
                return Ok(command);
            }
            Subject::Node(_) => {
                let mut command = Command::new("node");
                command.arg(node.as_ref().with_context(|| missing("--node"))?.join("consumer.js"));
                command.env("NODE_ENV", "production");
                command
            }
            Subject::FastStream(_) => {
                let mut command = Command::new(python.as_ref().with_context(|| missing("--python"))?);
                command
                    .arg(faststream.as_ref().with_context(|| missing("--faststream"))?.join("consumer.py"));
                command
            }
        };
        let topology = &around.broker.topology;
        command.args([
            "--amqp",
            &around.broker.url,
            "--queue",
            &topology.intake,
            "--exchange",
            &topology.events,
        ]);
        command.args(["--target", &format!("{}/{}/orders", around.office.url, Format::Json.word())]);
        command.args(["--port", &port.to_string()]);
        if let Some(database) = &self.database {
            command.args(["--database", &database.url()]);
        }
        Ok(command)
    }

    fn configuration(&self, around: &Around<'_>, port: u16) -> String {
        let topology = &around.broker.topology;
        let ledger = match &self.database {
            Some(database) => database.url(),
            None => format!("sqlite:{}", self.folder.join("ledger.db").display()),
        };
        format!(
            r#"
[http]
listen = "127.0.0.1:{port}"
[console]
listen = "127.0.0.1:0"
[ledger]
url = "{ledger}"
[bus]
url = "{url}"
requests_exchange = "{requests}"
requests_queue = "{intake}"
completions_exchange = "{back_office}"
completions_queue = "{completions}"
events_exchange = "{events}"
dead_exchange = "{dead}"
[mappings]
folder = "{mappings}"
[telemetry]
log = "warn"
"#,
            url = around.broker.url,
            requests = topology.requests,
            intake = topology.intake,
            back_office = topology.back_office,
            completions = topology.completions,
            events = topology.events,
            dead = topology.dead,
            mappings = around.options.mappings.display(),
        )
    }

    /// Waits until each process consumes.
    pub(crate) async fn ready(&mut self, broker: &Broker) -> anyhow::Result<()> {
        for _ in 0..600 {
            let (_, consumers) = broker.intake().await?;
            if consumers as usize >= self.children.len() {
                return Ok(());
            }
            self.lives()?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{} does not consume; its log: {}", self.subject.name(), self.log())
    }

    /// Waits for something to come about, but not for a subject that has ended.
    pub(crate) async fn while_it_lives<T>(
        &mut self,
        awaited: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::pin!(awaited);
        loop {
            match tokio::time::timeout(Duration::from_millis(200), &mut awaited).await {
                Ok(done) => {
                    return done.with_context(|| format!("{}; its log: {}", self.subject.name(), self.log()));
                }
                Err(_) => self.lives()?,
            }
        }
    }

    /// Fails when a process has ended.
    fn lives(&mut self) -> anyhow::Result<()> {
        for child in &mut self.children {
            if let Some(status) = child.try_wait()? {
                bail!("{} ended, {status}; its log: {}", self.subject.name(), self.log());
            }
        }
        Ok(())
    }

    /// What its processes used: processor time of all, memory of the largest.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let mut all = Usage::default();
        for child in &self.children {
            let one = process::usage(child.id().context("the process has ended")?)?;
            all.cpu += one.cpu;
            all.peak = all.peak.max(one.peak);
            all.resident = all.resident.max(one.resident);
        }
        Ok(all)
    }

    /// What PostgreSQL has counted of it, where it has a database there.
    pub(crate) async fn counts(&self) -> anyhow::Result<Option<Counts>> {
        match &self.database {
            Some(database) => Ok(Some(database.counts().await?)),
            None => Ok(None),
        }
    }

    /// Asks it to end, waits until it has, and returns what PostgreSQL has counted: its sessions say so at their end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Option<Counts>> {
        for child in &self.children {
            if let Some(id) = child.id() {
                Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
            }
        }
        for child in &mut self.children {
            if tokio::time::timeout(Duration::from_secs(30), child.wait()).await.is_err() {
                child.kill().await?;
            }
        }
        let counts = self.counts().await?;
        self.forget().await?;
        Ok(counts)
    }

    /// Asks it to end, and leaves its database behind.
    pub(crate) async fn leave(mut self) -> anyhow::Result<Database> {
        let database = self.database.take().context("it has no database")?;
        self.stop().await?;
        Ok(database)
    }

    /// How long it takes to show some closed tickets.
    pub(crate) async fn show_some(&self) -> anyhow::Result<Vec<Duration>> {
        let database = self.database.as_ref().context("it has no database")?;
        let port = self.ports.first().context("it has no port")?;
        history::show_some(database, &format!("http://127.0.0.1:{port}")).await
    }

    /// Ends it at once.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        for child in &mut self.children {
            child.kill().await?;
        }
        self.forget().await
    }

    async fn forget(self) -> anyhow::Result<()> {
        if let Some(database) = self.database {
            database.drop().await?;
        }
        std::fs::remove_dir_all(&self.folder)?;
        Ok(())
    }

    /// The end of what it wrote.
    fn log(&self) -> String {
        let logs = (0..self.children.len()).map(|replica| tail(&self.folder.join(format!("{replica}.log"))));
        logs.collect()
    }
}

fn tail(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Ports that nobody listens on; all are held until the last is found.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
