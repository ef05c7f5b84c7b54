//! The scenarios of the repository, played on both databases by the program.

use serde_json::Value;

use crate::program::dovetail;
use crate::project::{files, root};
use crate::services::setting;

#[tokio::test]
async fn every_scenario_holds_on_both_databases() {
    let database = setting("PG_URL");
    let mut all = 0;
    // File by file, so that none hides behind the time that all of them take.
    for file in files("tests/scenarios", ".yaml") {
        let path = root().join(&file.path).display().to_string();
        let arguments = ["test", "--scenarios", &path, "--database", &database, "--output", "json"];
        let output = dovetail(&arguments).await;
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = said.lines().filter(|line| line.contains("\"passed\":false")).collect::<Vec<_>>();
        assert!(
            output.status.success() && failed.is_empty(),
            "{path}: {failed:#?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let last: Value = serde_json::from_str(said.lines().last().expect("a last line")).expect("JSON");
        assert_eq!(last["failed"], 0, "{path}");
        let played = said.lines().count() - 1;
        assert_eq!(
            last["scenarios"].as_u64(),
            u64::try_from(played / 2).ok(),
            "{path}: each on two databases"
        );
        all += played / 2;
    }
    assert!(all >= 60, "{all}");
}
