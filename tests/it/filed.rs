//! Completions in files: a router that is killed in the middle of one loses no row and takes none twice.

use std::path::Path;
use std::time::Duration;

use connectors::simulator::{Credentials, Kind};
use serde_json::Value;

use crate::journeys::counts;
use crate::program::{Program, SYSTEMS};
use crate::services::FreshSqlite;
use crate::wait::until;

const ROWS: u64 = 2_000;

/// The variables of systems that are all away, but for the folder of the files.
fn environment(inbox: &Path, fail: Option<&str>) -> Vec<(String, String)> {
    let away =
        Kind::ALL.iter().flat_map(|kind| Credentials::default().environment(*kind, "http://127.0.0.1:9"));
    let mut all: Vec<(String, String)> = away.map(|(name, value)| (name.to_owned(), value)).collect();
    all.push(("REVENUES_INBOX".to_owned(), inbox.display().to_string()));
    all.extend(fail.map(|fail| ("DOVETAIL_FAIL".to_owned(), fail.to_owned())));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_in_the_middle_of_a_file_takes_every_row_of_it_once() {
    for fail in ["heard=kill@700", "completing=kill@3", "completed=kill@3"] {
        let ledger = FreshSqlite::new();
        let folder = tempfile::tempdir().expect("a folder");
        let inbox = folder.path();
        let rows: String = (0..ROWS).map(|n| format!("CT-{n},,Done,2026-11-23T09:00:00Z,\n")).collect();
        let header = "ReceiptReference,CaseReference,Status,StatusDate,Remarks\n";
        std::fs::write(inbox.join("receipts.csv"), format!("{header}{rows}")).expect("written");
        let config = format!(
            "[ledger]\nurl = \"{}\"\n[pace]\npoll_every = \"200ms\"\n[mappings]\nsystems = {SYSTEMS}\n",
            ledger.url()
        );
        let mut killed = Program::serve_with(&config, &environment(inbox, Some(fail))).await;
        until("the router is killed", Duration::from_secs(60), async || killed.ended()).await;
        assert!(inbox.join("receipts.csv").exists(), "{fail}: the file stays until all of it is taken");
        let left = counts(&ledger.url()).await.waiting;
        assert!(left < ROWS, "{fail}: it was killed in the middle");

        let program = Program::serve_with(&config, &environment(inbox, None)).await;
        until("the file is done", Duration::from_secs(60), async || {
            inbox.join("done/receipts.csv").exists().then_some(())
        })
        .await;
        assert_eq!(counts(&ledger.url()).await.waiting, ROWS, "{fail}");
        let receipt = std::fs::read(inbox.join("receipts/receipts.csv.receipt.json")).expect("a receipt");
        let receipt: Value = serde_json::from_slice(&receipt).expect("JSON");
        assert_eq!(receipt["known_already"].as_u64(), Some(left), "{fail}: {receipt}");
        assert_eq!(receipt["taken"].as_u64(), Some(ROWS - left), "{fail}: {receipt}");
        assert!(program.stop().await.success());
    }
}
