//! The built program, run as a user runs it. `tests/run` says in `DOVETAIL_BIN` where it is.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use connectors::simulator::{Credentials, Kind};
use tempfile::TempDir;

use crate::services::setting;
use crate::wait::until;

/// The systems that have a simulator.
pub const SYSTEMS: &str = r#"["housing", "revenues", "waste", "partner", "crm"]"#;

/// Where a router listens.
struct Addresses {
    doors: SocketAddr,
    console: SocketAddr,
}

/// A running `dovetail serve`. It is killed (SIGKILL) when this is dropped, and a panic in it fails the test.
pub struct Program {
    child: Child,
    addresses: Addresses,
    home: TempDir,
}

impl Program {
    /// Starts it with this configuration on the shipped mappings, whose systems are all away.
    pub async fn serve(config: &str) -> Self {
        Self::serve_with(&format!("{config}\n[mappings]\nsystems = {SYSTEMS}\n"), &away()).await
    }

    /// Starts it with this configuration and these variables, and returns when it listens on a free port.
    pub async fn serve_with(config: &str, environment: &[(String, String)]) -> Self {
        Self::try_serve(config, environment).await.unwrap_or_else(|ended| panic!("{ended}"))
    }

    /// The same for a program that may end on the way: then, what it said.
    pub async fn try_serve(config: &str, environment: &[(String, String)]) -> Result<Self, String> {
        Self::try_serve_by(Command::new(setting("DOVETAIL_BIN")), config, environment).await
    }

    /// The same within limits of the shell, for example `-n 256`.
    pub async fn try_serve_within(
        limits: &str,
        config: &str,
        environment: &[(String, String)],
    ) -> Result<Self, String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit {limits}; exec \"$0\" \"$@\"")]);
        shell.arg(setting("DOVETAIL_BIN"));
        Self::try_serve_by(shell, config, environment).await
    }

    async fn try_serve_by(
        command: Command,
        config: &str,
        environment: &[(String, String)],
    ) -> Result<Self, String> {
        let (mut child, home) = launch(command, config, environment);
        let addresses = until("dovetail serve says where it listens", Duration::from_secs(90), async || {
            if let Some(ended) = child.try_wait().expect("its state") {
                return Some(Err(format!("dovetail serve ended: {ended}\n{}", text(home.path(), "stderr"))));
            }
            listening(&text(home.path(), "stdout")).map(Ok)
        });
        let addresses = addresses.await?;
        Ok(Self { child, addresses, home })
    }

    /// Where its doors listen.
    pub fn address(&self) -> SocketAddr {
        self.addresses.doors
    }

    /// Where its console listens, and its metrics.
    pub fn console(&self) -> SocketAddr {
        self.addresses.console
    }

    /// The address of something the doors serve.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The address of something the console serves.
    pub fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.console())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it has held so far, in bytes; none where it has ended.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    /// How it ended, where it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("its state")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        text(self.home.path(), "stderr")
    }

    /// Sends a signal by name, for example `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} reaches dovetail");
    }

    /// Asks it to end (SIGTERM), and returns how it ended.
    pub async fn stop(self) -> ExitStatus {
        self.stop_and_tell().await.0
    }

    /// The same, with what it has logged to its end.
    pub async fn stop_and_tell(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let child = &mut self.child;
        let status = until("dovetail serve ends after SIGTERM", Duration::from_secs(30), async || {
            child.try_wait().expect("its state")
        })
        .await;
        (status, self.log())
    }

    /// Starts it and asks it to end (SIGTERM) once it has logged this text, before it listens. Returns how it ended, and
    /// what it has logged.
    pub async fn stopped_during_start(config: &str, logged: &str) -> (ExitStatus, String) {
        let config = format!("{config}\n[mappings]\nsystems = {SYSTEMS}\n");
        let (mut child, home) = launch(Command::new(setting("DOVETAIL_BIN")), &config, &away());
        until("dovetail serve has begun", Duration::from_secs(90), async || {
            text(home.path(), "stderr").contains(logged).then_some(())
        })
        .await;
        let sent = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM reaches dovetail");
        let status = until("dovetail serve ends after SIGTERM", Duration::from_secs(30), async || {
            child.try_wait().expect("its state")
        })
        .await;
        (status, text(home.path(), "stderr"))
    }

    /// SIGKILL, and nothing else: what a power cut does.
    pub fn kill(mut self) {
        self.child.kill().expect("SIGKILL reaches dovetail");
        self.child.wait().expect("it is gone");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Errors only say that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        let log = self.log();
        assert!(!log.contains("panicked at") || std::thread::panicking(), "dovetail panicked:\n{log}");
    }
}

/// The variables of the shipped systems, all of which are away.
fn away() -> Vec<(String, String)> {
    let away =
        Kind::ALL.iter().flat_map(|kind| Credentials::default().environment(*kind, "http://127.0.0.1:9"));
    away.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Starts it in a folder of its own.
fn launch(mut command: Command, config: &str, environment: &[(String, String)]) -> (Child, TempDir) {
    let home = TempDir::new().expect("a temporary folder");
    let file = home.path().join("config.toml");
    std::fs::write(&file, config).expect("the configuration is written");
    let output = |name: &str| File::create(home.path().join(name)).expect("a log file");
    let child = command
        .args(["serve", "--config"])
        .arg(&file)
        .env("DOVETAIL__HTTP__LISTEN", "127.0.0.1:0")
        .env("DOVETAIL__CONSOLE__LISTEN", "127.0.0.1:0")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(output("stdout"))
        .stderr(output("stderr"))
        .spawn()
        .expect("dovetail starts");
    (child, home)
}

/// Runs `dovetail` with these arguments to its end, in a folder of its own.
pub async fn dovetail(arguments: &[&str]) -> Output {
    dovetail_with(arguments, &[]).await
}

/// The same with these variables.
pub async fn dovetail_with(arguments: &[&str], environment: &[(String, String)]) -> Output {
    let home = TempDir::new().expect("a temporary folder");
    let mut command = tokio::process::Command::new(setting("DOVETAIL_BIN"));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.args(arguments).current_dir(home.path()).stdin(Stdio::null()).kill_on_drop(true);
    // No bound on how long it may take, but an end for what hangs.
    let output = tokio::time::timeout(Duration::from_secs(900), command.output());
    output.await.unwrap_or_else(|_| panic!("dovetail {arguments:?} ends")).expect("dovetail runs")
}

fn listening(stdout: &str) -> Option<Addresses> {
    let lines = stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let said = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let addresses = |said: serde_json::Value| {
        let address = |name: &str| said[name].as_str()?.parse().ok();
        Some(Addresses { doors: address("listening")?, console: address("console")? })
    };
    said.filter_map(addresses).next()
}

fn text(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_default()
}
