//! Completions in files, in a folder and on a real OpenSSH: a router that is killed in the middle of one loses no row and
//! takes none twice.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use connectors::simulator::{Credentials, Kind};
use serde_json::Value;
use tempfile::TempDir;

use crate::journeys::counts;
use crate::program::{Program, SYSTEMS, dovetail, dovetail_with};
use crate::project::root;
use crate::services::{FreshSqlite, fresh_postgres, own_name, setting};
use crate::wait::until;

const ROWS: u64 = 2_000;
const HEADER: &str = "ReceiptReference,CaseReference,Status,StatusDate,Remarks\n";

/// A folder of the revenues system's files, and how a router comes to it.
struct Inbox {
    folder: PathBuf,
    /// The folder of the mappings; empty for the shipped ones.
    mappings: PathBuf,
    variables: Vec<(String, String)>,
    kept: TempDir,
}

impl Inbox {
    /// A folder of this machine. All systems are away.
    fn here() -> Self {
        let kept = tempfile::tempdir().expect("a folder");
        let mut inbox =
            Self { folder: kept.path().join("inbox"), mappings: PathBuf::new(), variables: Vec::new(), kept };
        fs::create_dir(&inbox.folder).expect("a folder");
        for kind in Kind::ALL {
            for (name, value) in Credentials::default().environment(kind, "http://127.0.0.1:9") {
                inbox.set(name, &value);
            }
        }
        let folder = inbox.folder.display().to_string();
        inbox.set("REVENUES_INBOX", &folder);
        inbox
    }

    /// A folder of the OpenSSH that `tests/run` started, which the tests can look into from behind.
    fn on_a_server() -> Self {
        let mut inbox = Self::here();
        inbox.folder = Path::new(&setting("SFTP_FOLDERS")).join(own_name("inbox"));
        fs::create_dir(&inbox.folder).expect("a folder");
        // The server is another user's.
        fs::set_permissions(&inbox.folder, Permissions::from_mode(0o777)).expect("set");
        let folder = inbox.folder.display().to_string();
        inbox.set("REVENUES_INBOX", &folder);
        for name in ["SFTP_HOST", "SFTP_USER", "SFTP_HOST_KEY"] {
            inbox.set(&format!("REVENUES_{name}"), &setting(name));
        }
        inbox.with_key(Path::new(&setting("SFTP_KEY")));
        inbox
    }

    /// The shipped mappings, but for the place of the key.
    fn with_key(&mut self, key: &Path) {
        self.mappings = self.kept.path().join("mappings");
        copy(&root().join("mappings/systems"), &self.mappings.join("systems"));
        for file in ["routes.yaml", "targets.yaml"] {
            fs::copy(root().join("mappings").join(file), self.mappings.join(file)).expect("copied");
        }
        let file = self.mappings.join("systems/revenues/system.yaml");
        let mapping = fs::read_to_string(&file).expect("the mapping");
        let mine = mapping.replace("/run/secrets/revenues-sftp", key.to_str().expect("a path in UTF-8"));
        assert_ne!(mapping, mine, "the mapping names the file of the key");
        fs::write(file, mine).expect("written");
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn config(&self, ledger: &FreshSqlite) -> String {
        self.config_on(&ledger.url())
    }

    fn config_on(&self, ledger: &str) -> String {
        format!(
            "[ledger]\nurl = \"{ledger}\"\n[pace]\npoll_every = \"200ms\"\n[mappings]\nfolder = \"{}\"\nsystems = {SYSTEMS}\n",
            self.mappings.display()
        )
    }

    fn put(&self, name: &str, rows: &str) {
        fs::write(self.folder.join(name), format!("{HEADER}{rows}")).expect("written");
    }

    fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    async fn until_there(&self, name: &str) {
        until(name, Duration::from_secs(60), async || self.has(name).then_some(())).await;
    }

    fn receipt(&self, name: &str) -> Value {
        let receipt = fs::read(self.folder.join(format!("receipts/{name}.receipt.json"))).expect("a receipt");
        serde_json::from_slice(&receipt).expect("JSON")
    }

    /// Has a router killed while it takes a file, and another one take the rest.
    async fn killed_in_the_middle(&self, fail: &str) {
        let ledger = FreshSqlite::new();
        let rows: String = (0..ROWS).map(|n| format!("CT-{n},,Done,2026-11-23T09:00:00Z,\n")).collect();
        self.put("receipts.csv", &rows);
        let mut failing = self.variables.clone();
        failing.push(("DOVETAIL_FAIL".to_owned(), fail.to_owned()));
        let mut killed = Program::serve_with(&self.config(&ledger), &failing).await;
        until("the router is killed", Duration::from_secs(60), async || killed.ended()).await;
        assert!(self.has("receipts.csv"), "{fail}: the file stays until all of it is taken");
        let left = counts(&ledger.url()).await.waiting;
        assert!(left < ROWS, "{fail}: it was killed in the middle");

        let program = Program::serve_with(&self.config(&ledger), &self.variables).await;
        self.until_there("done/receipts.csv").await;
        assert_eq!(counts(&ledger.url()).await.waiting, ROWS, "{fail}");
        let receipt = self.receipt("receipts.csv");
        assert_eq!(receipt["known_already"].as_u64(), Some(left), "{fail}: {receipt}");
        // Nobody ordered them, and the mapping says that such work is others': it is kept, and told to nobody.
        assert_eq!(receipt["passed_over"].as_u64(), Some(ROWS - left), "{fail}: {receipt}");
        assert_eq!(receipt["taken"].as_u64(), Some(0), "{fail}: {receipt}");
        assert!(program.stop().await.success());
    }

    /// What a person is told of files, as `dovetail problems` prints it, once it has `count` of them.
    async fn told(&self, ledger: &FreshSqlite, count: usize) -> Vec<String> {
        until("the problems", Duration::from_secs(60), async || {
            let output = dovetail(&["problems", "--database", &ledger.url(), "--output", "json"]).await;
            let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let reasons =
                told["problems"].as_array()?.iter().filter_map(|problem| problem["reason"].as_str());
            let mut reasons: Vec<String> = reasons.map(str::to_owned).collect();
            reasons.sort();
            (reasons.len() >= count).then_some(reasons)
        })
        .await
    }

    /// What `dovetail check` says of the folder.
    async fn checked(&self) -> String {
        let ledger = FreshSqlite::new();
        let config = self.kept.path().join("config.toml");
        fs::write(&config, self.config(&ledger)).expect("written");
        let config = config.to_str().expect("a path in UTF-8");
        let output = dovetail_with(&["check", "--config", config], &self.variables).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.contains("revenues files")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_in_the_middle_of_a_file_takes_every_row_of_it_once() {
    for fail in ["heard=kill@700", "completing=kill@3", "completed=kill@3"] {
        Inbox::here().killed_in_the_middle(fail).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_in_the_middle_of_a_file_on_a_server_takes_every_row_of_it_once() {
    Inbox::on_a_server().killed_in_the_middle("heard=kill@700").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_on_a_server_are_taken_and_their_receipts_written_there() {
    let inbox = Inbox::on_a_server();
    let ledger = fresh_postgres().await;
    inbox.put("receipts-1.csv", "CT-1,,Done,2026-11-23T09:00:00Z,\nCT-2,,Done,soon,\n");
    inbox.put("receipts-2.csv.part", "CT-3,,Done,2026-11-23T09:00:00Z,\n");
    // Two routers look into one folder of the server, where nothing can be locked.
    let program = Program::serve_with(&inbox.config_on(&ledger), &inbox.variables).await;
    let other = Program::serve_with(&inbox.config_on(&ledger), &inbox.variables).await;
    inbox.until_there("done/receipts-1.csv").await;
    let receipt = inbox.receipt("receipts-1.csv");
    assert_eq!(receipt["rows"].as_u64(), Some(2), "{receipt}");
    assert_eq!((receipt["bad"].as_u64(), receipt["bad_rows"][0]["line"].as_u64()), (Some(1), Some(3)));
    assert!(inbox.has("receipts-2.csv.part"), "it is not finished");
    fs::rename(inbox.folder.join("receipts-2.csv.part"), inbox.folder.join("receipts-2.csv"))
        .expect("renamed");
    inbox.until_there("done/receipts-2.csv").await;
    // Whatever comes again is known.
    inbox.put("receipts-1.csv", "CT-1,,Done,2026-11-23T09:00:00Z,\n");
    inbox.until_there("done/receipts-1.csv.2").await;
    assert_eq!(counts(&ledger).await.waiting, 2);
    assert!(program.stop().await.success() && other.stop().await.success());
    let rest: Vec<_> = fs::read_dir(inbox.folder.join("receipts")).expect("receipts").flatten().collect();
    assert!(rest.iter().all(|file| file.path().to_string_lossy().ends_with(".receipt.json")), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_on_a_server_stays_there_and_is_told_once() {
    let mut inbox = Inbox::on_a_server();
    let ledger = FreshSqlite::new();
    let row = "CT-1,,Done,2026-11-23T09:00:00Z,\n";
    inbox.put("elsewhere.txt", row);
    symlink("elsewhere.txt", inbox.folder.join("receipts-link.csv")).expect("a link");
    inbox.put("receipts-locked.csv", row);
    fs::set_permissions(inbox.folder.join("receipts-locked.csv"), Permissions::from_mode(0o000))
        .expect("set");
    inbox.put("receipts-large.csv", &row.repeat(1_000));
    inbox.put("receipts-good.csv", "CT-2,,Done,2026-11-23T09:00:00Z,\n");
    inbox.set("DOVETAIL__FILES__MAX_BYTES", "10000");
    let program = Program::serve_with(&inbox.config(&ledger), &inbox.variables).await;
    inbox.until_there("done/receipts-good.csv").await;
    let told = inbox.told(&ledger, 3).await;
    for (reason, part) in told.iter().zip([
        "receipts-large.csv stays in the folder: it has 33057 bytes, and files may have 10000",
        "receipts-link.csv stays in the folder: it is a symbolic link, which is not followed",
        "receipts-locked.csv stays in the folder: it cannot be read: Permission denied",
    ]) {
        assert!(reason.starts_with(part), "{told:?}");
    }
    assert_eq!(counts(&ledger.url()).await.waiting, 1, "nothing of them is heard");

    // What is mended is taken.
    fs::set_permissions(inbox.folder.join("receipts-locked.csv"), Permissions::from_mode(0o644))
        .expect("set");
    inbox.until_there("done/receipts-locked.csv").await;
    assert_eq!(inbox.told(&ledger, 3).await.len(), 3, "none of them is told again");
    assert!(inbox.has("receipts-link.csv") && inbox.has("receipts-large.csv"));
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_server_waits_for_a_place_for_its_copy_and_for_folders_that_are_no_links() {
    let mut inbox = Inbox::on_a_server();
    let ledger = FreshSqlite::new();
    let copies = inbox.kept.path().join("copies");
    inbox.set("DOVETAIL__FILES__COPIES", &copies.display().to_string());
    let elsewhere = inbox.folder.with_file_name(own_name("elsewhere"));
    fs::create_dir(&elsewhere).expect("a folder");
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o777)).expect("set");
    symlink(&elsewhere, inbox.folder.join("done")).expect("a link");
    inbox.put("receipts.csv", "CT-1,,Done,2026-11-23T09:00:00Z,\n");
    let program = Program::serve_with(&inbox.config(&ledger), &inbox.variables).await;
    let told = inbox.told(&ledger, 1).await;
    assert!(
        told[0].contains(&*copies.display().to_string()) && told[0].contains("bytes are needed"),
        "{told:?}"
    );
    assert_eq!(counts(&ledger.url()).await.waiting, 0, "nothing of it is heard");

    fs::create_dir(&copies).expect("a folder");
    let told = inbox.told(&ledger, 2).await;
    let said = "done is a symbolic link, which is not followed; expected a folder";
    assert!(told.iter().any(|reason| reason.contains(said)), "{told:?}");
    assert!(inbox.has("receipts.csv") && fs::read_dir(&elsewhere).expect("a folder").next().is_none());
    let checked = inbox.checked().await;
    assert!(checked.starts_with("FAIL") && checked.contains(said), "{checked}");
    fs::remove_file(inbox.folder.join("done")).expect("removed");
    inbox.until_there("done/receipts.csv").await;
    assert_eq!(counts(&ledger.url()).await.waiting, 1);
    assert!(fs::read_dir(&copies).expect("a folder").next().is_none(), "no copy is left");
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_a_stranger_or_does_not_know_us_is_named_by_the_check() {
    let mut inbox = Inbox::on_a_server();
    let reached = inbox.checked().await;
    assert!(reached.starts_with("ok") && reached.contains("sftp://"), "{reached}");

    let known = setting("SFTP_HOST_KEY");
    inbox.set("REVENUES_SFTP_HOST_KEY", "SHA256:uNiVztksCsDhcc0u9e8BrrQXVUpKn2mTVo8KWcJMVvE");
    let stranger = inbox.checked().await;
    assert!(stranger.starts_with("FAIL") && stranger.contains("which is not the host_key"), "{stranger}");
    // The key that it was said to have is the one to put there, if the supplier agrees.
    let shown = stranger.split_whitespace().find(|word| word.starts_with("SHA256:")).expect("its key");
    inbox.set("REVENUES_SFTP_HOST_KEY", shown.trim_end_matches(','));
    let reached = inbox.checked().await;
    assert!(reached.starts_with("ok"), "{reached}");

    inbox.set("REVENUES_SFTP_HOST_KEY", &known);
    inbox.set("REVENUES_SFTP_USER", "nobody-of-that-name");
    let unknown = inbox.checked().await;
    assert!(unknown.contains("does not take the key of the user nobody-of-that-name"), "{unknown}");

    let key = inbox.kept.path().join("key");
    fs::write(&key, "not a key").expect("written");
    inbox.with_key(&key);
    let unreadable = inbox.checked().await;
    assert!(unreadable.contains("expected a private key without a passphrase"), "{unreadable}");
}
