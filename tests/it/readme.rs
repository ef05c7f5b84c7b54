//! The commands that README.md promises are the commands that are tested.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::program::dovetail;
use crate::project::{read, root};
use crate::services::setting;
use crate::wait::until;

const DEMO: &str = "cargo run --release -- demo";
const TESTS: &str = "tests/run";

/// The command lines in the README's shell blocks, without their comments.
fn commands() -> Vec<String> {
    let readme = read("README.md");
    let blocks = readme.split("```").skip(1).step_by(2);
    blocks
        .filter_map(|block| block.strip_prefix("sh\n"))
        .flat_map(str::lines)
        .map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// The arguments that a command line gives to the program, where it runs the program.
fn arguments(command: &str) -> Option<Vec<&str>> {
    let rest =
        command.strip_prefix("cargo run --release -- ").or_else(|| command.strip_prefix("dovetail "))?;
    Some(rest.trim_end_matches(" &").split_whitespace().collect())
}

#[test]
fn the_readme_starts_with_the_two_commands() {
    let commands = commands();
    assert_eq!(&commands[..2], [DEMO, TESTS], "first the demonstration, then the proof");
}

#[test]
fn the_test_command_is_the_one_that_continuous_integration_runs() {
    assert!(read(".ci/run").lines().any(|line| line.contains(&format!("/../{TESTS}\""))));
    for script in [".ci/run", TESTS, "tests/faults", "tests/services", "tests/load"] {
        let mode = std::fs::metadata(root().join(script)).expect("the script").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is executable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_that_the_demonstration_prints_works_against_its_ledger() {
    let home = tempfile::TempDir::new().expect("a temporary folder");
    let output = home.path().join("stdout");
    let mut demo = std::process::Command::new(setting("DOVETAIL_BIN"))
        .args(["demo", "--requests", "30"])
        .stdin(std::process::Stdio::null())
        .stdout(std::fs::File::create(&output).expect("a file"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the demonstration starts");
    let printed = until("the demonstration stays up", Duration::from_secs(150), async || {
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        text.contains("Ctrl-C ends").then_some(text)
    })
    .await;
    let commands: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("  dovetail ")).collect();
    assert!(commands.len() >= 5, "{printed}");
    for command in commands {
        let arguments: Vec<&str> = command.split_whitespace().map(|word| word.trim_matches('\'')).collect();
        let ran = dovetail(&arguments).await;
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        // What waits for a person is found, which is no failure of the command.
        assert!(ran.status.code().is_some_and(|code| code < 2), "{command}: {said}");
    }
    let ended = std::process::Command::new("kill").args(["-INT", &demo.id().to_string()]).status();
    assert!(ended.is_ok_and(|status| status.success()));
    let status =
        until("it ends", Duration::from_secs(60), async || demo.try_wait().expect("its state")).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn every_command_of_the_readme_is_one_that_the_program_knows() {
    let commands = commands();
    let known: Vec<Vec<&str>> = commands.iter().filter_map(|command| arguments(command)).collect();
    assert!(!known.is_empty(), "the README runs the program");
    for mut arguments in known {
        arguments.push("--help");
        let output = dovetail(&arguments).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "dovetail {}: {said}", arguments.join(" "));
    }
}

#[tokio::test]
async fn the_demonstration_of_the_readme_loses_nothing() {
    let mut demo = arguments(DEMO).expect("it runs the program");
    // What the README runs, but ended and counted.
    demo.extend(["--exit", "--output", "json"]);
    let output = dovetail(&demo).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    let counted: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let count = |name: &str| counted[name].as_u64().unwrap_or_else(|| panic!("{name} in {counted}"));
    assert_eq!(count("lost"), 0, "{counted}");
    assert_eq!(count("opened"), count("closed") + count("held") + count("parked"), "{counted}");
    assert!(count("closed") > 0 && count("rejected") > 0 && count("duplicates") > 0, "{counted}");
    assert!(counted["by_system"].as_object().is_some_and(|systems| systems.len() >= 4), "{counted}");
}
