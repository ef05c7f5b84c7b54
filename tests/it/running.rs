//! The built program starts, ends and starts again.

use std::time::Duration;

use crate::program::{Program, dovetail};
use crate::services::{FreshSqlite, http};
use crate::wait::until;

#[tokio::test]
async fn serve_says_where_it_listens_and_ends_when_asked() {
    let database = FreshSqlite::new();
    let program = Program::serve(&format!("[ledger]\nurl = {:?}\n", database.url())).await;
    let answer = http().get(program.url("/health/live")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let status = program.stop().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_killed_router_starts_again_on_the_same_ledger() {
    let database = FreshSqlite::new();
    let config = format!("[ledger]\nurl = {:?}\n", database.url());
    Program::serve(&config).await.kill();
    let program = Program::serve(&config).await;
    let ready = until("the router is ready", Duration::from_secs(30), async || {
        let answer = http().get(program.url("/health/ready")).send().await.ok()?;
        answer.status().is_success().then_some(())
    });
    ready.await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_a_mistake_in_usage() {
    let output = dovetail(&["frobnicate"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
