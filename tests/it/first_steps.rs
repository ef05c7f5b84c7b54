//! What somebody does first: the lines of the README and of docs/API.md, the shipped configurations, and a start without
//! any.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use connectors::simulator::{Credentials, Kind};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::program::{Program, dovetail, dovetail_with};
use crate::project::{files, read, root};
use crate::services::{amqp_url, fresh_postgres, setting};

/// The lines of the shell blocks in a part of a document.
fn lines(document: &str, heading: &str) -> Vec<String> {
    let text = read(document);
    let part = text.split_once(heading).unwrap_or_else(|| panic!("{document} has {heading:?}")).1;
    let part = part.split("\n## ").next().unwrap_or_default();
    shell_lines(part)
}

fn shell_lines(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    blocks.flat_map(str::lines).map(str::to_owned).filter(|line| !line.is_empty()).collect()
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A folder in which the lines of the documents work: `dovetail` is in the path, and `deploy/` and `docs/` are there.
fn workplace() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    let link = |to: &Path, name: &str| {
        std::os::unix::fs::symlink(to, folder.path().join(name)).expect("a link");
    };
    link(Path::new(&setting("DOVETAIL_BIN")), "dovetail");
    link(&root().join("deploy"), "deploy");
    link(&root().join("docs"), "docs");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_quick_start_close_a_ticket_and_so_does_every_line_for_curl() {
    let (doors, console, waste) = (free_port().await, free_port().await, free_port().await);
    let begin = lines("README.md", "\n## Begin\n");
    assert!(begin.iter().any(|line| line == "dovetail serve &"), "{begin:#?}");
    let curls = shell_lines(&read("docs/API.md"));
    assert!(curls.len() >= 4 && curls.iter().all(|line| line.contains("curl ")), "{curls:#?}");
    // Line by line, as a person would: what fails stops it, and is named.
    let mut script = String::from("set -eu -o pipefail\ntrap 'kill $(jobs -p)' EXIT\n");
    for line in begin.iter().chain(&curls) {
        let fails = line.replace("curl ", "curl --fail-with-body ");
        script += &format!("echo {} >&2\n{fails}\n", shell_quoted(&format!("+ {line}")));
    }
    for ticket in ["CRM-1", "CRM-2"] {
        script += &format!(
            "until curl -sS -H \"Authorization: Bearer $WEB_FORMS_KEY\" http://127.0.0.1:8080/v1/tickets/harlow/{ticket} \
             | tee /dev/stderr | grep -q '\"state\":\"closed\"'; do sleep 0.2; done\n"
        );
    }
    let script =
        script.replace("127.0.0.1:8080", &format!("127.0.0.1:{doors}")).replace("9084", &waste.to_string());
    let home = workplace();
    let path = format!("{}:{}", home.path().display(), setting("PATH"));
    let mut shell = tokio::process::Command::new("bash");
    shell.args(["-c", &script]).current_dir(home.path()).stdin(Stdio::null()).kill_on_drop(true);
    shell.env("PATH", path);
    shell.env("DOVETAIL__HTTP__LISTEN", format!("127.0.0.1:{doors}"));
    shell.env("DOVETAIL__CONSOLE__LISTEN", format!("127.0.0.1:{console}"));
    let ended = tokio::time::timeout(Duration::from_secs(180), shell.output()).await;
    let output = ended.expect("the quick start ends").expect("bash runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The variables of every system that has a simulator, as if it were away; and those that only the examples name.
async fn variables() -> Vec<(String, String)> {
    let away =
        Kind::ALL.iter().flat_map(|kind| Credentials::default().environment(*kind, "http://127.0.0.1:9"));
    let mut all: Vec<(String, String)> = away.map(|(name, value)| (name.to_owned(), value)).collect();
    let own = [
        ("WEB_FORMS_KEY", "a-key-of-the-web-forms".to_owned()),
        ("REPORTING_KEY", "another-key-for-reports".to_owned()),
        ("DATABASE_URL", fresh_postgres().await),
        ("RABBITMQ_URL", amqp_url()),
    ];
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_configuration_starts_as_it_is_written() {
    let mut environment = variables().await;
    // What differs from machine to machine: Program takes free ports, and the mappings are those of this folder.
    environment
        .push(("DOVETAIL__MAPPINGS__FOLDER".to_owned(), root().join("mappings").display().to_string()));
    let configurations = files("deploy", ".toml");
    assert!(configurations.len() >= 2, "the configurations were found");
    for file in configurations {
        let program = Program::try_serve(&file.text, &environment).await;
        let program = program.unwrap_or_else(|ended| panic!("{}: {ended}", file.path));
        let ended = program.stop().await;
        assert!(ended.success(), "{}: {ended}", file.path);
    }
}

#[tokio::test]
async fn serve_without_a_configuration_says_in_one_sentence_what_to_do() {
    let free =
        ["HTTP", "CONSOLE"].map(|part| (format!("DOVETAIL__{part}__LISTEN"), "127.0.0.1:0".to_owned()));
    let output = dovetail_with(&["serve"], &free).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let told: Vec<&str> = said.lines().filter(|line| !line.contains(" INFO ")).collect();
    assert_eq!(told.len(), 2, "an error and a hint: {said}");
    assert!(said.contains("mappings") && said.contains("dovetail demo"), "{said}");
}

#[tokio::test]
async fn a_command_without_a_configuration_names_each_system_once() {
    let output = dovetail(&["check"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("systems/partner").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_systems_can_be_in_use_and_what_would_go_elsewhere_is_refused_with_the_reason() {
    let config = "[http]\nkeys = [{name = \"k\", key = \"a-key-for-this-test\", councils = [\"*\"]}]\n\
                  [mappings]\nsystems = [\"waste\"]\n";
    let program = Program::serve_with(config, &variables().await).await;
    let event = |service: &str, ticket: &str| {
        serde_json::json!({"specversion": "1.0", "id": ticket, "source": "/t", "type": "uk.dovetail.request.submitted.v1",
            "data": {"ticket": ticket, "council": "harlow", "service": service, "summary": "s", "raised_at": "2026-11-30T09:15:00Z"}})
    };
    for (service, status, says) in [
        ("waste.missed-bin", 202, "accepted"),
        ("housing.repair", 422, "housing.repair goes to housing, which is not in use here"),
        ("housing.clearance", 422, "housing, which is not in use here"),
        ("parks.tree", 422, "no route for parks.tree"),
    ] {
        let sent = crate::services::http()
            .post(program.url("/v1/requests"))
            .bearer_auth("a-key-for-this-test")
            .header("content-type", "application/cloudevents+json")
            .body(event(service, service).to_string());
        let answer = sent.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{service}");
        let text = answer.text().await.expect("a text");
        assert!(text.contains(says), "{service}: {text}");
    }
}
