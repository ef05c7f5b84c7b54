//! Callers who are slow, on both listeners of every router, in each form.

use router::ledger::Ledger;

use super::troupe::Troupe;
use crate::services::http;
use crate::slow::Slow;

/// More connections than the doors take.
const AT_THE_DOORS: usize = 1_100;
/// More than the console takes.
const AT_THE_CONSOLE: usize = 100;

/// Slow callers come in each form, and stay while health, a page and the metrics are asked for.
///
/// # Panics
/// When one of these is not answered.
pub(super) async fn come(troupe: &Troupe<'_>) {
    for form in Slow::ALL {
        let mut opened = Vec::new();
        for (doors, console) in troupe.addresses() {
            opened.extend(form.open(doors, AT_THE_DOORS).await);
            opened.extend(form.open(console, AT_THE_CONSOLE).await);
            for (address, path) in [
                (doors, "/health/live"),
                (doors, "/health/ready"),
                (console, "/problems"),
                (console, "/metrics"),
            ] {
                let answer = http().get(format!("http://{address}{path}")).send().await;
                let answer = answer.unwrap_or_else(|error| panic!("{path} beside {form:?}: {error:?}"));
                assert_eq!(answer.status(), 200, "{path} beside {form:?}");
            }
        }
    }
}

/// What slow callers must not have brought about, and what must have been told of them.
pub(super) async fn judge(ledger: &dyn Ledger, logs: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for log in logs {
        if !log.contains("a limit was reached") {
            findings.push("a router told of no limit that was reached".to_owned());
        }
        findings.extend(
            log.lines().filter(|line| line.contains("oo many open files")).take(3).map(str::to_owned),
        );
    }
    let changes = ledger.system_changes(100).await.unwrap_or_default();
    for change in changes.iter().filter(|change| change.change == "opened") {
        findings.push(format!("{} was left alone: {:?}", change.system, change.reason));
    }
    findings
}
