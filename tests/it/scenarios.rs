//! The scenarios of the repository, played on both databases by the program.

use serde_json::Value;

use crate::program::dovetail;
use crate::project::root;
use crate::services::setting;

#[tokio::test]
async fn every_scenario_holds_on_both_databases() {
    let folder = root().join("tests/scenarios").display().to_string();
    let database = setting("PG_URL");
    let arguments = ["test", "--scenarios", &folder, "--database", &database, "--output", "json"];
    let output = dovetail(&arguments).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = said.lines().filter(|line| line.contains("\"passed\":false")).collect::<Vec<_>>();
    assert!(
        output.status.success() && failed.is_empty(),
        "{failed:#?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let last: Value = serde_json::from_str(said.lines().last().expect("a last line")).expect("JSON");
    assert_eq!(last["failed"], 0);
    let played = said.lines().count() - 1;
    assert_eq!(last["scenarios"].as_u64(), u64::try_from(played / 2).ok(), "each on two databases");
    assert!(played / 2 >= 30, "{played}");
}
