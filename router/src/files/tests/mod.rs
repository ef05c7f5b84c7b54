//! A folder that a system writes into, watched on a clock that the test sets.

mod links;
mod troubles;

use std::fs;
use std::path::{Path, PathBuf};

use mappings::mapping::Source;
use serde_json::Value;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;
use crate::closing::Decision;
use crate::ledger::{self, Ledger, Lessee, Meaning, Outbox, Problem, Room, WorkerId};

const EVERY: Duration = Duration::from_secs(60);
pub(super) const REPORTS: &str = "{job: $.Job, status: $.Status, note: $.Note}";
/// The most bytes of a file.
const LARGEST: u64 = 100_000;
const HEADER: &str = "Job,Status\n";

fn catalogue(folder: &Path, files: &str) -> Arc<Catalogue> {
    let text = format!(
        "system: council-tax\nname: Council tax\nrole: back_office\nowner: {{team: T, contact: c@example.org}}\n\
         connection: {{base_url: \"http://127.0.0.1:9\", auth: none}}\nidempotency: none\n\
         completion: {{files: {{folder: \"${{INBOX}}\", pattern: \"*.csv\", {files}, reports: {REPORTS}}}}}\n"
    );
    let source = |path: &str, text: String| Source { path: path.to_owned(), text };
    let sources =
        [source("systems/council-tax/system.yaml", text), source("routes.yaml", "routes: []\n".to_owned())];
    let compiled = Catalogue::compile(&sources, &|_| Some(folder.display().to_string()));
    Arc::new(compiled.unwrap_or_else(|found| panic!("{found:?}")))
}

fn system_of(catalogue: &Catalogue) -> Arc<System> {
    let name = SystemName::parse("council-tax").expect("a name");
    Arc::clone(catalogue.system(&name).expect("the system"))
}

/// The system with this in its mapping of files.
pub(super) fn mapped(files: &str) -> Arc<System> {
    system_of(&catalogue(Path::new("inbox"), files))
}

struct Rig {
    watcher: Watcher,
    catalogue: Arc<Catalogue>,
    ledger: Arc<dyn Ledger>,
    writer: Writer,
    clock: Clock,
    inbox: PathBuf,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start(files: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let inbox = folder.path().join("inbox");
        fs::create_dir(&inbox).expect("an inbox");
        let catalogue = catalogue(&inbox, files);
        let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let (closer, reader): (ledger::Closer, ledger::Reader) =
            (Arc::new(|_| Decision::Wait), Arc::new(|_, _, _| Meaning::Unrecognised));
        let ledger = ledger::open(&address, closer, reader, 2).await.expect("a ledger");
        let clock = Clock::stopped_at("2026-11-23T09:00:00Z".parse().expect("a time"));
        let lessee = Lessee { worker: WorkerId(Uuid::now_v7()), room: Room::new([]), outbox: Outbox::Off };
        let ((events, _), (work, _)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let (writer, lanes) = Writer::new(Arc::clone(&ledger), lessee, events, work);
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(lanes.run(stop.clone()));
        let watcher = watcher(&catalogue, (&ledger, &writer), &clock);
        Self { watcher, catalogue, ledger, writer, clock, inbox, stop, tasks, _folder: folder }
    }

    fn put(&self, name: &str, content: &str) -> &Self {
        fs::write(self.inbox.join(name), content).expect("written");
        self
    }

    fn is_there(&self, name: &str) -> bool {
        self.inbox.join(name).exists()
    }

    fn receipt(&self, name: &str) -> Value {
        let receipt = fs::read(self.inbox.join(format!("receipts/{name}.receipt.json"))).expect("a receipt");
        serde_json::from_slice(&receipt).expect("JSON")
    }

    async fn look(&mut self) -> usize {
        self.clock.advance(EVERY);
        match self.watcher.look(EVERY).await.expect("a look") {
            Step::Done(rows) => rows,
            Step::Idle => panic!("it was not time"),
        }
    }

    /// Looks twice, after which what stood still is whole, and returns the fault that it told of.
    async fn fault(&mut self) -> String {
        let mut fault = None;
        for _ in 0..2 {
            self.clock.advance(EVERY);
            fault = self.watcher.look(EVERY).await.err();
        }
        format!("{:#}", fault.expect("a fault"))
    }

    /// How many words of the system the ledger has; none of them is about a ticket.
    async fn words(&self) -> u64 {
        self.ledger.counts().await.expect("counts").waiting
    }

    async fn refusals(&self) -> Vec<(String, String)> {
        let problems = self.ledger.problems(99).await.expect("problems");
        let refused = problems.into_iter().filter_map(|problem| match problem {
            Problem::Refused { key, path, reason, .. } => Some((key.source, path, reason)),
            Problem::Held { .. }
            | Problem::Parked { .. }
            | Problem::Orphan(_)
            | Problem::Orphans { .. }
            | Problem::ParkedAlike { .. }
            | Problem::RefusedAlike { .. }
            | Problem::Contradiction { .. }
            | Problem::Early { .. } => None,
        });
        refused
            .map(|(source, path, reason)| {
                assert_eq!(source, "/systems/council-tax/files");
                (path.expect("a line"), reason)
            })
            .collect()
    }
}

fn watcher(
    catalogue: &Arc<Catalogue>,
    (ledger, writer): (&Arc<dyn Ledger>, &Writer),
    clock: &Clock,
) -> Watcher {
    let bounds = Bounds { largest: LARGEST, copies: std::env::temp_dir() };
    let watcher = Watcher::new(
        catalogue,
        &system_of(catalogue),
        (Arc::clone(ledger), writer.clone()),
        clock.clone(),
        bounds,
    );
    let (watcher, every) = watcher.expect("it tells by files");
    assert_eq!(every, EVERY);
    watcher
}

#[tokio::test]
async fn a_file_is_taken_when_it_stood_still_over_two_looks() {
    let mut rig = Rig::start("format: csv").await;
    rig.put("a.csv", HEADER);
    assert_eq!(rig.look().await, 0);
    rig.put("a.csv", &format!("{HEADER}J-1,Done\nJ-2,Late\n"));
    assert_eq!(rig.look().await, 0);
    assert_eq!(rig.watcher.look(EVERY).await.expect("a look"), Step::Idle);
    assert_eq!(rig.look().await, 2);
    assert!(rig.is_there("done/a.csv") && !rig.is_there("a.csv"));
    let receipt = rig.receipt("a.csv");
    assert_eq!((receipt["rows"].as_u64(), receipt["taken"].as_u64()), (Some(2), Some(2)));
    assert_eq!((receipt["bad"].as_u64(), receipt["moved_to"].as_str()), (Some(0), Some("done/a.csv")));
    assert_eq!((rig.words().await, rig.refusals().await.len()), (2, 0));
}

#[tokio::test]
async fn what_is_not_finished_or_not_the_systems_is_left_alone() {
    let mut rig = Rig::start("format: csv").await;
    let content = format!("{HEADER}J-1,Done\n");
    for name in ["a.csv.part", ".a.csv", "a.csv.filepart", "b.txt"] {
        rig.put(name, &content);
    }
    rig.put("empty.csv", "");
    assert_eq!((rig.look().await, rig.look().await, rig.look().await), (0, 0, 0));
    for name in ["a.csv.part", ".a.csv", "a.csv.filepart", "b.txt", "empty.csv"] {
        assert!(rig.is_there(name), "{name}");
    }
    assert_eq!(rig.words().await, 0);
}

#[tokio::test]
async fn a_file_with_a_marker_is_taken_when_its_marker_is_there() {
    let mut rig = Rig::start("format: csv, marker: .ok").await;
    rig.put("a.csv", &format!("{HEADER}J-1,Done\n"));
    assert_eq!((rig.look().await, rig.look().await), (0, 0));
    rig.put("a.csv.ok", "");
    assert_eq!(rig.look().await, 1);
    assert!(rig.is_there("done/a.csv") && !rig.is_there("a.csv.ok"));
}

#[tokio::test]
async fn a_bad_row_is_told_with_its_line_and_the_rest_is_taken() {
    let mut rig = Rig::start("format: csv").await;
    rig.put("a.csv", &format!("{HEADER}J-1,Done\nJ-2\n,Done\nJ-4,Done\n"));
    assert_eq!((rig.look().await, rig.look().await), (0, 2));
    let receipt = rig.receipt("a.csv");
    assert_eq!(receipt["bad_rows"][0]["line"], 3);
    assert_eq!(receipt["bad_rows"][0]["found"], "1 fields");
    assert_eq!(receipt["bad_rows"][1]["line"], 4);
    assert_eq!((receipt["taken"].as_u64(), receipt["bad"].as_u64()), (Some(2), Some(2)));
    let refusals = rig.refusals().await;
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].0, "line 3");
    assert!(refusals[0].1.starts_with("2 of 4 rows of a.csv could not be taken; the first: found 1 fields"));
}

#[tokio::test]
async fn the_same_file_twice_and_the_same_row_in_two_files_count_once() {
    let mut rig = Rig::start("format: csv").await;
    let content = format!("{HEADER}J-1,Done\nJ-2,Done\n");
    rig.put("a.csv", &content).put("b.csv", &format!("{HEADER}J-2,Done\nJ-3,Done\nJ-3,Done\n"));
    assert_eq!((rig.look().await, rig.look().await), (0, 3));
    rig.put("a.csv", &content);
    assert_eq!((rig.look().await, rig.look().await), (0, 0));
    assert_eq!(rig.words().await, 3);
    let (first, again) = (rig.receipt("a.csv"), rig.receipt("a.csv.2"));
    assert_eq!(first["taken"].as_u64(), Some(2));
    assert_eq!((again["taken"].as_u64(), again["known_already"].as_u64()), (Some(0), Some(2)));
    assert!(rig.is_there("done/a.csv") && rig.is_there("done/a.csv.2") && rig.is_there("done/b.csv"));
    assert_eq!(rig.receipt("b.csv")["known_already"].as_u64(), Some(2));
}

#[tokio::test]
async fn a_file_of_which_nothing_can_be_read_is_set_aside_and_told() {
    let mut rig = Rig::start("format: csv").await;
    rig.put("a.csv", "Something,Else\n1,2\n").put("b.csv", &format!("{HEADER}J-1,Done\n"));
    assert_eq!((rig.look().await, rig.look().await), (0, 1));
    assert!(rig.is_there("refused/a.csv") && rig.is_there("done/b.csv"));
    let refusals = rig.refusals().await;
    assert!(refusals[0].1.contains("the file is in refused"), "{refusals:?}");
}

#[tokio::test]
async fn a_router_that_dies_after_some_rows_takes_the_rest_and_nothing_twice() {
    let mut rig = Rig::start("format: csv").await;
    let rows: String = (0..1_200).map(|n| format!("J-{n},Done\n")).collect();
    rig.put("a.csv", &format!("{HEADER}{rows}"));
    // The first router died when it had taken some rows.
    let report = |n: u32| Report {
        key: None,
        job: mappings::domain::Job::parse(&format!("J-{n}")).ok(),
        reference: None,
        said: "Done".to_owned(),
        at: None,
        note: None,
        one_of_several: false,
    };
    for n in 0..700 {
        let system = SystemName::parse("council-tax").expect("a name");
        let completion = complete::completion(&system, report(n), Way::File, rig.clock.now());
        complete::take(&rig.writer, completion).await.expect("taken");
    }
    assert_eq!((rig.look().await, rig.look().await), (0, 500));
    assert_eq!(rig.words().await, 1_200);
    let receipt = rig.receipt("a.csv");
    assert_eq!((receipt["taken"].as_u64(), receipt["known_already"].as_u64()), (Some(500), Some(700)));
}

#[tokio::test]
async fn a_router_that_dies_before_it_moved_the_file_leaves_its_receipt_as_it_is() {
    let mut rig = Rig::start("format: csv").await;
    rig.put("a.csv", &format!("{HEADER}J-1,Done\n"));
    assert_eq!((rig.look().await, rig.look().await), (0, 1));
    let before = rig.receipt("a.csv");
    fs::rename(rig.inbox.join("done/a.csv"), rig.inbox.join("a.csv")).expect("moved back");
    rig.watcher = watcher(&rig.catalogue, (&rig.ledger, &rig.writer), &rig.clock);
    assert_eq!((rig.look().await, rig.look().await), (0, 0));
    assert!(rig.is_there("done/a.csv") && !rig.is_there("receipts/a.csv.2.receipt.json"));
    assert_eq!((rig.receipt("a.csv"), rig.words().await), (before, 1));
}

#[tokio::test]
async fn a_file_that_cannot_be_moved_is_not_read_again_and_moved_when_it_can_be() {
    let mut rig = Rig::start("format: csv").await;
    rig.put("a.csv", &format!("{HEADER}J-1,Done\n")).put("receipts", "in the way");
    rig.look().await;
    rig.clock.advance(EVERY);
    let error = rig.watcher.look(EVERY).await.expect_err("it cannot be moved");
    assert!(format!("{error:#}").contains("its rows are taken"), "{error:#}");
    assert_eq!(rig.words().await, 1);
    fs::remove_file(rig.inbox.join("receipts")).expect("out of the way");
    rig.look().await;
    assert!(rig.is_there("done/a.csv"));
    assert_eq!(rig.receipt("a.csv")["taken"].as_u64(), Some(1));
}

#[tokio::test]
async fn two_routers_on_one_folder_take_every_row_once() {
    let mut rig = Rig::start("format: csv").await;
    let mut other = watcher(&rig.catalogue, (&rig.ledger, &rig.writer), &rig.clock);
    for file in 0..6 {
        let rows: String = (0..50).map(|row| format!("J-{file}-{row},Done\n")).collect();
        rig.put(&format!("{file}.csv"), &format!("{HEADER}{rows}"));
    }
    rig.look().await;
    other.look(EVERY).await.expect("a look");
    rig.clock.advance(EVERY);
    let (one, two) = tokio::join!(rig.watcher.look(EVERY), other.look(EVERY));
    let rows = |step: anyhow::Result<Step>| match step.expect("a look") {
        Step::Done(rows) => rows,
        Step::Idle => 0,
    };
    assert_eq!((rows(one) + rows(two), rig.words().await), (300, 300));
    for file in 0..6 {
        assert!(rig.is_there(&format!("done/{file}.csv")));
        assert_eq!(rig.receipt(&format!("{file}.csv"))["taken"].as_u64(), Some(50));
    }
}

#[tokio::test]
async fn a_file_that_another_router_reads_is_left_to_it() {
    let mut rig = Rig::start("format: csv").await;
    rig.put("a.csv", &format!("{HEADER}J-1,Done\n"));
    let lock = File::open(rig.inbox.join("a.csv")).expect("open");
    lock.lock().expect("locked");
    assert_eq!((rig.look().await, rig.look().await), (0, 0));
    assert!(rig.is_there("a.csv"));
    drop(lock);
    assert_eq!(rig.look().await, 1);
}

#[tokio::test]
async fn a_file_stays_while_the_ledger_takes_nothing() {
    let mut rig = Rig::start("format: csv").await;
    rig.put("a.csv", &format!("{HEADER}J-1,Done\n"));
    rig.look().await;
    rig.stop.cancel();
    while rig.tasks.join_next().await.is_some() {}
    rig.clock.advance(EVERY);
    let error = rig.watcher.look(EVERY).await.expect_err("no ledger");
    assert!(format!("{error:#}").starts_with("a.csv stays in the folder"), "{error:#}");
    assert!(rig.is_there("a.csv") && !rig.is_there("receipts"));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_said() {
    let mut rig = Rig::start("format: csv").await;
    fs::remove_dir(&rig.inbox).expect("removed");
    let error = rig.watcher.look(EVERY).await.expect_err("no folder");
    assert!(format!("{error:#}").contains("inbox cannot be read"), "{error:#}");
    let system = system_of(&rig.catalogue);
    assert!(reach(system.files.as_ref().expect("files")).await.is_err());
}
