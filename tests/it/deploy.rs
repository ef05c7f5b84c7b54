//! What stands under `deploy/`: every file is parsed by what it is, and agrees with the rest.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use crate::program::dovetail;
use crate::project::{File, files, none, read, root, toml};
use crate::services::{Broker, setting};

/// `(section, key, value)` of a systemd unit.
type Entry = (String, String, String);

/// One instruction of a Dockerfile and what follows it, with continued lines joined.
type Instruction = (String, String);

#[test]
fn every_file_under_deploy_is_read_as_what_it_is() {
    let all = files("deploy", "");
    assert!(all.len() >= 6, "the files were found");
    for File { path, text } in all {
        let name = path.rsplit('/').next().unwrap_or_default();
        let parts = match name {
            "Dockerfile" => dockerfile(&path, &text).len(),
            ".env.example" => variables(&path, &text).len(),
            _ if name.ends_with(".yaml") => yaml(&path, &text).as_object().map_or(0, |map| map.len()),
            _ if name.ends_with(".service") => unit(&path, &text).len(),
            _ if name.ends_with(".toml") => toml(&path).len(),
            _ if name.ends_with(".json") => {
                let document: Value =
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
                document.as_object().map_or(0, |map| map.len())
            }
            _ => panic!("{path}: no test reads files of this kind; add one here"),
        };
        assert!(parts > 0, "{path} is empty");
    }
}

#[test]
fn the_image_is_pinned_runs_without_root_and_is_watched() {
    let path = "deploy/Dockerfile";
    let instructions = dockerfile(path, &read(path));
    let mut stages = BTreeSet::new();
    for (name, rest) in &instructions {
        if name == "FROM" {
            let words: Vec<&str> = rest.split_whitespace().collect();
            assert_pinned(path, words[0]);
            stages.extend(words.get(2).map(ToString::to_string));
        }
        if let Some(from) = rest.split_whitespace().find_map(|word| word.strip_prefix("--from=")) {
            assert!(stages.contains(from), "{path}: --from={from} names no stage above");
        }
    }
    let toolchain = toml("rust-toolchain.toml");
    let channel = toolchain["toolchain"]["channel"].as_str().expect("a channel");
    assert!(instructions[0].1.contains(&format!("rust:{channel}-")), "{path} builds with Rust {channel}");

    let last = instructions.iter().rposition(|(name, _)| name == "FROM").expect("a stage");
    let runtime = &instructions[last..];
    let of = |wanted: &str| runtime.iter().find(|(name, _)| name == wanted).map(|(_, rest)| rest.as_str());
    let user = of("USER").expect("the image names its user");
    assert!(user.parse::<u32>().is_ok_and(|id| id > 0), "{path}: USER {user} is a number that is not root's");
    assert!(of("HEALTHCHECK").is_some_and(|check| check.contains("/health/live")));
    assert_eq!(of("ENTRYPOINT"), Some(r#"["dovetail"]"#));
    // The doors alone: whoever runs the image decides who reaches the pages.
    assert_eq!(of("EXPOSE"), Some("8080"));
    assert!(!runtime.iter().any(|(_, rest)| rest.contains("CONSOLE")), "{path} exposes no console");
}

#[test]
fn the_composition_names_only_what_exists() {
    let path = "deploy/compose.yaml";
    let compose = yaml(path, &read(path));
    let services = compose["services"].as_object().expect("services");
    assert!(["rabbitmq", "postgres", "dovetail"].iter().all(|name| services.contains_key(*name)));
    for (name, service) in services {
        match (service["image"].as_str(), service["build"]["dockerfile"].as_str()) {
            (Some(image), None) => assert_pinned(path, image),
            (None, Some(file)) => assert!(root().join(file).is_file(), "{path}: {name} is built from {file}"),
            (image, build) => panic!("{path}: {name} has image {image:?} and build {build:?}"),
        }
        for needed in service["depends_on"].as_object().into_iter().flatten().map(|(needed, _)| needed) {
            let healthy = services.get(needed).is_some_and(|other| other["healthcheck"].is_object());
            assert!(healthy, "{path}: {name} waits for the health of {needed}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().expect("a port as text");
            assert!(port.starts_with("127.0.0.1:"), "{path}: {name} opens {port} to every network");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().and_then(|v| v.split(':').next()).expect("a volume as text");
            assert!(compose["volumes"].get(volume).is_some(), "{path}: {name} mounts {volume}");
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            let secret = secret.as_str().expect("a secret as text");
            assert!(compose["secrets"].get(secret).is_some(), "{path}: {name} is given {secret}");
        }
    }
}

#[test]
fn the_composition_mounts_the_secrets_that_mappings_read_from_files() {
    let compose = yaml("deploy/compose.yaml", &read("deploy/compose.yaml"));
    let given = compose["services"]["dovetail"]["secrets"].as_array().cloned().unwrap_or_default();
    let asked = Regex::new(r"\$\{file:/run/secrets/([^}]+)\}").expect("a pattern");
    let mut found = 0;
    for file in files("mappings/systems", ".yaml") {
        for secret in asked.captures_iter(&file.text).map(|found| found[1].to_owned()) {
            assert!(given.contains(&secret.as_str().into()), "{}: {secret} is not mounted", file.path);
            found += 1;
        }
    }
    assert!(found > 0, "no mapping reads a secret from a file: this test proves nothing");
}

#[test]
fn every_variable_that_is_asked_for_has_a_line_in_the_example() {
    let path = "deploy/.env.example";
    let given = variables(path, &read(path));
    let asked = Regex::new(r"\$\{([A-Z][A-Z0-9_]*)[:}]").expect("a pattern");
    let mut findings = Vec::new();
    for file in files("mappings/systems", ".yaml").into_iter().chain(files("deploy", "compose.yaml")) {
        for (at, line) in file.lines() {
            for found in asked.captures_iter(line).map(|found| found[1].to_owned()) {
                if !given.contains(&found) && !line.trim_start().starts_with('#') {
                    findings.push(format!("{}:{at}: {found}", file.path));
                }
            }
        }
    }
    none(&findings, "deploy/.env.example lacks variables");
}

#[test]
fn the_example_configuration_names_only_settings_that_exist() {
    let known = router::config::keys();
    let mut findings = Vec::new();
    for (section, settings) in toml("deploy/config.example.toml") {
        for key in settings.as_table().expect("a section").keys() {
            let key = format!("{section}.{key}");
            if !known.contains(&key) {
                findings.push(key);
            }
        }
    }
    none(&findings, "deploy/config.example.toml sets what is no setting");
}

#[test]
fn the_unit_takes_away_what_the_service_does_not_need() {
    let path = "deploy/systemd/dovetail.service";
    let entries = unit(path, &read(path));
    let value = |section: &str, key: &str| {
        let found = entries.iter().find(|(s, k, _)| s == section && k == key);
        found.map(|(_, _, value)| value.as_str())
    };
    for (key, expected) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("CapabilityBoundingSet", ""),
        ("Restart", "always"),
    ] {
        assert_eq!(value("Service", key), Some(expected), "{path}: {key}");
    }
    assert!(value("Service", "ExecStart").is_some_and(|start| start.contains("dovetail serve --config ")));
    assert_eq!(value("Install", "WantedBy"), Some("multi-user.target"));
    verify_with_systemd(path);
}

/// systemd's own reading, where systemd is installed; the program is not where the unit expects it.
fn verify_with_systemd(path: &str) {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("dovetail.service");
    let text = read(path).replace("/usr/local/bin/dovetail", &setting("DOVETAIL_BIN"));
    std::fs::write(&copy, text).expect("the copy is written");
    let output = Command::new("/usr/bin/systemd-analyze").arg("verify").arg(&copy).output();
    let said = String::from_utf8_lossy(&output.expect("systemd-analyze runs").stderr).into_owned();
    // It also reads the units of the machine, whose faults are not ours.
    let ours: Vec<String> =
        said.lines().filter(|line| line.contains("dovetail.service")).map(String::from).collect();
    none(&ours, "systemd-analyze verify");
}

#[tokio::test]
async fn the_definitions_are_what_topology_prints() {
    let output = dovetail(&["topology"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), read("deploy/rabbitmq/definitions.json"));
}

#[tokio::test]
async fn the_definitions_import_into_a_broker() {
    let broker = Broker::start().await;
    let definitions = root().join("deploy/rabbitmq/definitions.json");
    broker.ctl(&["import_definitions", &definitions.to_string_lossy()]).await;
    let listed = broker.ctl(&["--quiet", "list_queues", "name", "type"]).await;
    for queue in ["dovetail.intake", "dovetail.completions", "dovetail.dead"] {
        assert!(listed.lines().any(|line| line == format!("{queue}\tquorum")), "{queue} in:\n{listed}");
    }
}

fn assert_pinned(path: &str, image: &str) {
    let tag = image.rsplit_once(':').map(|(_, tag)| tag);
    assert!(tag.is_some_and(|tag| tag != "latest"), "{path}: {image} names no version");
}

fn yaml(path: &str, text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dockerfile(path: &str, text: &str) -> Vec<Instruction> {
    let known = [
        "FROM",
        "RUN",
        "ENV",
        "WORKDIR",
        "COPY",
        "USER",
        "VOLUME",
        "EXPOSE",
        "HEALTHCHECK",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
        "ARG",
        "LABEL",
    ];
    let mut instructions: Vec<Instruction> = Vec::new();
    let mut continues = false;
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (words, more) = line.strip_suffix('\\').map_or((line, false), |words| (words.trim_end(), true));
        if continues {
            let (_, rest) = instructions.last_mut().expect("a line was continued");
            rest.push(' ');
            rest.push_str(words);
        } else {
            let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
            assert!(known.contains(&name), "{path}:{at}: {name} is no instruction");
            assert!(!rest.is_empty(), "{path}:{at}: {name} of nothing");
            instructions.push((name.to_owned(), rest.to_owned()));
        }
        continues = more;
    }
    assert!(!continues, "{path}: the last line is continued by nothing");
    instructions
}

fn variables(path: &str, text: &str) -> BTreeSet<String> {
    let line = Regex::new(r"^([A-Z][A-Z0-9_]*)=\S*$").expect("a pattern");
    let mut names = BTreeSet::new();
    for (at, text) in text.lines().enumerate().filter(|(_, text)| !text.is_empty() && !text.starts_with('#'))
    {
        let found =
            line.captures(text).unwrap_or_else(|| panic!("{path}:{}: {text:?} is not NAME=value", at + 1));
        assert!(names.insert(found[1].to_owned()), "{path}:{}: {} again", at + 1, &found[1]);
    }
    names
}

fn unit(path: &str, text: &str) -> Vec<Entry> {
    let mut section = String::new();
    let mut entries = Vec::new();
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            assert!(["Unit", "Service", "Install"].contains(&name), "{path}:{at}: section {name}");
            section = name.to_owned();
            continue;
        }
        let (key, value) =
            line.split_once('=').unwrap_or_else(|| panic!("{path}:{at}: {line:?} is not Key=value"));
        assert!(!section.is_empty(), "{path}:{at}: {key} stands in no section");
        entries.push((section.clone(), key.to_owned(), value.to_owned()));
    }
    entries
}
