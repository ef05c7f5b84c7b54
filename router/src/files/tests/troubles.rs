//! Files that cannot be read, hold something else, or are too large: a person sees each of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::*;

/// Two looks at a file, after which it is refused for this reason.
async fn refused(files: &str, name: &str, content: &[u8], reason: &str) {
    let mut rig = Rig::start(files).await;
    fs::write(rig.inbox.join(name), content).expect("written");
    assert_eq!((rig.look().await, rig.look().await), (0, 0));
    assert!(rig.is_there(&format!("refused/{name}")), "{content:?}");
    let told = rig.refusals().await;
    assert_eq!(told.len(), 1, "{content:?}: {told:?}");
    assert!(told[0].1.contains(reason) && told[0].1.contains("the file is in refused"), "{told:?}");
    let receipt = rig.receipt(name).to_string();
    assert!(receipt.contains(reason), "{receipt}");
}

#[tokio::test]
async fn a_file_that_holds_no_rows_is_refused_with_the_reason_and_told() {
    for (content, reason) in [
        (&b"PK\x03\x04\x14\x00\x06\x00"[..], "a workbook (.xlsx)"),
        (b"\x00\x01\x02\x03", "bytes that are no text"),
        (b"<html><body>503</body></html>", "markup where the header should be"),
        (b"Reference,Outcome\nJ-1,Done\n", "no header among the first 20 rows"),
        (b"Reference,Outcome\n", "a row with the columns Job, and Status"),
        (b"\n\n", "no header"),
        (b"{\"error\": \"try again\"}", "JSON where the header should be"),
    ] {
        refused("format: csv", "a.csv", content, reason).await;
    }
    for (content, reason) in [
        (&b"<html><body/></html>"[..], "HTML"),
        (b"<Receipts><Receipt><Job>J-1</Job>", "the end of the file within an element"),
        (b"<?xml version=\"1.0\"?>", "no element"),
        (b"<Error><Code>500</Code></Error>", "no Receipt, but an element Error"),
        (
            b"<e:Envelope xmlns:e=\"e\"><e:Fault><x/></e:Fault></e:Envelope>",
            "no Receipt, but an element Fault",
        ),
        (b"<Receipts><receipt><Job>J-1</Job></receipt></Receipts>", "no Receipt, but an element receipt"),
        (b"<Items><Item><Job>J-1</Job></Item></Items>", "no Receipt, but an element Job"),
        (b"<string>try again</string>", "no Receipt, but text"),
    ] {
        refused("format: xml, row: Receipt", "a.csv", content, reason).await;
    }
    for (content, reason) in [
        (&b"<html/>"[..], "markup where JSON should be"),
        (b"[\n{\"Job\": 1\n", "JSON"),
        (b"{\"error\": \"try again\"}\n", "neither a job nor our reference"),
    ] {
        refused("format: json-lines", "a.csv", content, reason).await;
    }
}

#[tokio::test]
async fn an_honest_file_without_rows_is_done_and_not_told() {
    for (files, content) in [
        ("format: csv", "Job,Status\n"),
        ("format: csv", "Receipts\n\nJob;Status;Note\n\n0 rows\n"),
        ("format: csv, columns: [Job, Status]", "\n"),
        ("format: xml, row: Receipt", "<Receipts/>"),
        ("format: xml, row: Receipt", "<Receipts><Made><Date>2026-11-23</Date></Made><Errors/></Receipts>"),
        ("format: json-lines", "\n"),
    ] {
        let mut rig = Rig::start(files).await;
        rig.put("a.csv", content);
        assert_eq!((rig.look().await, rig.look().await), (0, 0));
        assert!(rig.is_there("done/a.csv"), "{content}");
        assert_eq!(rig.refusals().await, [], "{content}");
        assert_eq!(rig.receipt("a.csv")["rows"].as_u64(), Some(0));
    }
}

#[tokio::test]
async fn a_file_of_nothing_is_told_when_it_stood_so_for_an_hour() {
    let mut rig = Rig::start("format: csv").await;
    rig.put("a.csv", "");
    for _ in 0..60 {
        assert_eq!(rig.look().await, 0);
    }
    assert!(rig.is_there("a.csv") && rig.refusals().await.is_empty());
    assert_eq!(rig.look().await, 0);
    assert!(rig.is_there("refused/a.csv"));
    assert!(rig.refusals().await[0].1.contains("no header"));
    // With its marker it says of itself that it is whole.
    let mut rig = Rig::start("format: csv, marker: .ok").await;
    rig.put("a.csv", "").put("a.csv.ok", "");
    assert_eq!(rig.look().await, 0);
    assert!(rig.is_there("refused/a.csv") && !rig.is_there("a.csv.ok"));
}

#[tokio::test]
async fn the_same_garbage_is_told_each_time_that_it_is_written() {
    let mut rig = Rig::start("format: csv").await;
    for day in 0..2 {
        rig.put("a.csv", "<html/>");
        let written = std::time::UNIX_EPOCH + Duration::from_hours(24 * (20_000 + day));
        File::open(rig.inbox.join("a.csv")).expect("open").set_modified(written).expect("dated");
        assert_eq!((rig.look().await, rig.look().await), (0, 0));
    }
    assert_eq!(rig.refusals().await.len(), 2);
    // A file whose rows are known already, and one of them bad, is told once.
    for name in ["b.csv", "b.csv.2"] {
        rig.put("b.csv", &format!("{HEADER}J-1,Done\nJ-2\n"));
        rig.look().await;
        rig.look().await;
        assert!(rig.is_there(&format!("done/{name}")));
    }
    assert_eq!(rig.refusals().await.len(), 3);
}

#[tokio::test]
async fn a_file_that_is_too_large_stays_and_is_told_once() {
    let mut rig = Rig::start("format: csv").await;
    let rows = "J-1,Done\n".repeat(20_000);
    rig.put("large.csv", &format!("{HEADER}{rows}")).put("small.csv", &format!("{HEADER}J-2,Done\n"));
    assert_eq!(rig.look().await, 0);
    let fault = rig.fault().await;
    assert!(fault.starts_with("large.csv stays in the folder: it has 180011 bytes"), "{fault}");
    assert!(fault.contains("files may have 100000") && fault.contains("[files] max_bytes"), "{fault}");
    assert!(rig.is_there("large.csv") && rig.is_there("done/small.csv"));
    let told = rig.refusals().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0], ("large.csv".to_owned(), fault));
    rig.watcher.bounds.largest *= 2;
    rig.look().await;
    assert!(rig.is_there("done/large.csv"));
}

#[tokio::test]
async fn a_name_that_is_not_utf8_is_told() {
    let mut rig = Rig::start("format: csv").await;
    let name = OsStr::from_bytes(b"re\xe7us.csv");
    if fs::write(rig.inbox.join(name), HEADER).is_err() {
        // This file system takes no such names.
        return;
    }
    rig.look().await;
    let told = rig.refusals().await;
    assert!(told[0].1.contains("not written in UTF-8"), "{told:?}");
}

#[tokio::test]
async fn a_file_that_is_written_on_while_it_is_read_is_not_whole_yet() {
    let mut rig = Rig::start("format: csv").await;
    rig.put("a.csv", &format!("{HEADER}J-1,Done\nJ-2,Do"));
    rig.look().await;
    let system = system_of(&rig.catalogue);
    let files = system.files.as_ref().expect("files");
    let visit = Visit::start(files, files.folder.as_deref().expect("a folder")).await.expect("a visit");
    let stand = visit.stand("a.csv").await.expect("looked at").expect("it is there");
    let file =
        Arc::new(visit.open("a.csv", stand.size, &rig.watcher.bounds).await.expect("open").expect("free"));
    // What is written before it is read to its end makes it another file; the last rows are not heard yet.
    let (account, last) = match rig.watcher.read("a.csv", stand, &file).await {
        Ok(read) => read,
        Err(fault) => panic!("{fault:?}"),
    };
    rig.put("a.csv", &format!("{HEADER}J-1,Done\nJ-2,Done\n"));
    assert_eq!((account.taken, last.len(), rig.words().await), (0, 2, 0));
    let settled = receipt::settle(&visit, &account, stand, None).await.expect("looked at");
    assert_eq!(settled, Settled::Changed);
    assert!(rig.is_there("a.csv") && !rig.is_there("receipts/a.csv.receipt.json"));
    drop(file);
    assert_eq!((rig.look().await, rig.look().await), (0, 2));
}
