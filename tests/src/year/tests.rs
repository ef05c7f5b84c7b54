use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_weeks_of_requests_close_or_wait_by_the_rules_and_the_report_agrees_with_the_crm() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let outcome = play(Plan { weeks: 2, a_week: 110, seed: 1 }, &address).await.expect("played");
    assert!(outcome.findings.is_empty(), "{outcome}");
    assert_eq!(outcome.requests, 220);
    assert!(outcome.closed.1 > 150 && outcome.closed.0 > outcome.closed.1, "{outcome}");
    assert!(outcome.open.0 + outcome.open.1 > 0 && outcome.overdue > 0, "{outcome}");
    assert!(outcome.compared > 300, "{outcome}");
}
