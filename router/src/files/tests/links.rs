//! Links, pipes and whatever else stands where a file or a folder should.

use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::os::unix::net::UnixListener;

use super::*;

#[tokio::test]
async fn a_link_in_the_inbox_is_left_where_it_is_and_told_once() {
    let mut rig = Rig::start("format: csv").await;
    let elsewhere = rig.inbox.with_file_name("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    fs::write(elsewhere.join("secret.csv"), format!("{HEADER}J-1,Done\n")).expect("written");
    symlink(elsewhere.join("secret.csv"), rig.inbox.join("file.csv")).expect("a link");
    symlink(&elsewhere, rig.inbox.join("folder.csv")).expect("a link");
    symlink("nowhere", rig.inbox.join("dangling.csv")).expect("a link");
    for _ in 0..4 {
        assert_eq!(rig.look().await, 0);
    }
    assert_eq!(rig.words().await, 0);
    let mut told = rig.refusals().await;
    told.sort();
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dangling.csv", "file.csv", "folder.csv"]);
    assert!(told[1].1.contains("it is a symbolic link, which is not followed"), "{told:?}");
    // Nor are they told again by another router.
    rig.watcher = watcher(&rig.catalogue, (&rig.ledger, &rig.writer), &rig.clock);
    rig.look().await;
    assert_eq!(rig.refusals().await.len(), 3);
    assert!(elsewhere.join("secret.csv").exists() && !rig.is_there("done"));
}

#[tokio::test]
async fn pipes_and_sockets_are_told_and_never_waited_for() {
    let mut rig = Rig::start("format: csv").await;
    let pipe = rig.inbox.join("pipe.csv");
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    let _socket = UnixListener::bind(rig.inbox.join("socket.csv")).expect("a socket");
    fs::create_dir(rig.inbox.join("folder.csv")).expect("a folder");
    rig.put("a.csv", &format!("{HEADER}J-1,Done\n"));
    assert_eq!((rig.look().await, rig.look().await), (0, 1));
    let told = rig.refusals().await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|(name, reason)| name == "pipe.csv" && reason.contains("it is a pipe")));
    assert!(fs::metadata(&pipe).expect("still there").file_type().is_fifo());
}

#[tokio::test]
async fn a_file_that_is_replaced_by_a_link_or_a_pipe_is_not_opened() {
    let rig = Rig::start("format: csv").await;
    let folder = folder::Folder::open(rig.inbox.to_str().expect("a path")).expect("the inbox");
    rig.put("target.csv", HEADER);
    symlink("target.csv", rig.inbox.join("link.csv")).expect("a link");
    assert!(folder.lock("link.csv").expect("looked at").is_none());
    assert_eq!(folder.stand("link.csv").expect("looked at"), None);
    assert_eq!(folder.read("link.csv").expect("looked at"), Some(Vec::new()));
    assert!(folder.lock("target.csv").expect("looked at").is_some());
}

#[tokio::test]
async fn a_folder_of_ours_that_is_a_link_is_told_and_nothing_is_written_through_it() {
    for name in receipt::FOLDERS {
        let mut rig = Rig::start("format: csv").await;
        let elsewhere = rig.inbox.with_file_name("elsewhere");
        fs::create_dir(&elsewhere).expect("a folder");
        symlink(&elsewhere, rig.inbox.join(name)).expect("a link");
        rig.put("a.csv", &format!("{HEADER}J-1,Done\n"));
        let said = format!("{name} is a symbolic link, which is not followed; expected a folder");
        assert!(rig.fault().await.contains(&said));
        assert!(rig.is_there("a.csv") && fs::read_dir(&elsewhere).expect("a folder").next().is_none());
        let told = rig.refusals().await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].1.contains("its rows are taken, but it cannot be moved") && told[0].1.contains(&said)
        );
        let system = system_of(&rig.catalogue);
        let checked = reach(system.files.as_ref().expect("files")).await.expect_err("it is checked");
        assert!(checked.to_string().contains(&said), "{checked}");
        // When it is mended, the file goes where it belongs.
        fs::remove_file(rig.inbox.join(name)).expect("removed");
        assert_eq!(rig.look().await, 1);
        assert!(rig.is_there("done/a.csv") && rig.is_there("receipts/a.csv.receipt.json"));
    }
}

#[tokio::test]
async fn what_stands_under_a_name_in_done_or_receipts_is_neither_followed_nor_written_over() {
    let mut rig = Rig::start("format: csv").await;
    let elsewhere = rig.inbox.with_file_name("elsewhere.txt");
    fs::write(&elsewhere, "mine").expect("written");
    for folder in receipt::FOLDERS {
        fs::create_dir(rig.inbox.join(folder)).expect("a folder");
    }
    symlink(&elsewhere, rig.inbox.join("receipts/a.csv.receipt.json")).expect("a link");
    symlink("nowhere", rig.inbox.join("done/a.csv.2")).expect("a link");
    fs::write(rig.inbox.join("refused/a.csv.3"), "somebody's").expect("written");
    symlink("nowhere", rig.inbox.join("receipts/a.csv.4.receipt.json")).expect("a link");
    rig.put("a.csv", &format!("{HEADER}J-1,Done\n"));
    assert_eq!((rig.look().await, rig.look().await), (0, 1));
    assert!(rig.is_there("done/a.csv.5"));
    assert_eq!(rig.receipt("a.csv.5")["moved_to"], "done/a.csv.5");
    assert_eq!(fs::read_to_string(&elsewhere).expect("there"), "mine");
    assert_eq!(fs::read_to_string(rig.inbox.join("refused/a.csv.3")).expect("there"), "somebody's");
    assert!(fs::symlink_metadata(rig.inbox.join("done/a.csv.2")).expect("there").is_symlink());
}

#[tokio::test]
async fn the_inbox_itself_may_be_a_link() {
    let mut rig = Rig::start("format: csv").await;
    let real = rig.inbox.with_file_name("real");
    fs::rename(&rig.inbox, &real).expect("renamed");
    symlink(&real, &rig.inbox).expect("a link");
    rig.put("a.csv", &format!("{HEADER}J-1,Done\n"));
    assert_eq!((rig.look().await, rig.look().await), (0, 1));
    assert!(real.join("done/a.csv").exists());
}
