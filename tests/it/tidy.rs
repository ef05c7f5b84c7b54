//! The architecture, as tests: what may know what, how files are laid out, and what stands in none of them.

use std::collections::BTreeSet;

use regex::Regex;

use crate::project::{File, files, none, read, root, toml};

const CRATES: [&str; 4] = ["mappings", "connectors", "router", "tests"];

/// What a crate asks for: `dependencies`, or `dev-dependencies`.
fn asked_for(name: &str, table: &str) -> BTreeSet<String> {
    let manifest = toml(&format!("{name}/Cargo.toml"));
    manifest.get(table).and_then(|t| t.as_table()).map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

/// Findings for every code line under the crates' sources that matches outside of the folders allowed.
/// Something must match inside, or the rule guards nothing.
fn stands_only_in(allowed: &[&str], pattern: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    let mut inside = 0;
    let mut findings = Vec::new();
    for file in ["mappings/src", "connectors/src", "router/src"].iter().flat_map(|f| files(f, ".rs")) {
        let is_allowed = allowed.iter().any(|prefix| file.path.starts_with(prefix));
        for (at, line) in file.code().filter(|(_, line)| pattern.is_match(line)) {
            if is_allowed {
                inside += 1;
            } else {
                findings.push(format!("{}:{at}: {}", file.path, line.trim()));
            }
        }
    }
    if inside == 0 {
        findings.push(format!("nothing under {} matches {pattern}", allowed.join(", ")));
    }
    findings
}

#[test]
fn the_crates_depend_on_each_other_in_one_direction() {
    let edges = [
        ("mappings", &[][..]),
        ("connectors", &["mappings"]),
        ("router", &["connectors", "mappings"]),
        ("tests", &["connectors", "mappings", "router"]),
    ];
    for (name, expected) in edges {
        let asked: BTreeSet<String> = &asked_for(name, "dependencies") | &asked_for(name, "dev-dependencies");
        let found: Vec<&str> =
            asked.iter().map(String::as_str).filter(|other| CRATES.contains(other)).collect();
        assert_eq!(found, expected, "what {name} depends on");
    }
}

#[test]
fn mappings_does_no_input_or_output() {
    let lock = toml("Cargo.lock");
    let packages = lock["package"].as_array().expect("packages");
    let dev = asked_for("mappings", "dev-dependencies");
    let mut reached = BTreeSet::new();
    let mut next = vec!["mappings".to_owned()];
    while let Some(name) = next.pop() {
        let found = packages.iter().filter(|p| p["name"].as_str() == Some(&name));
        for dependency in
            found.filter_map(|p| p.get("dependencies")).flat_map(|d| d.as_array().expect("a list"))
        {
            let other = dependency.as_str().and_then(|d| d.split(' ').next()).expect("a name").to_owned();
            if !(name == "mappings" && dev.contains(&other)) && reached.insert(other.clone()) {
                next.push(other);
            }
        }
    }
    assert!(reached.contains("serde"), "the dependencies of mappings were found");
    let banned = ["tokio", "reqwest", "hyper", "sqlx", "lapin", "axum", "mio", "socket2", "rustls"];
    let found: Vec<String> =
        banned.iter().filter(|name| reached.contains(**name)).map(ToString::to_string).collect();
    none(&found, "mappings is pure: it reaches none of these crates");

    let does = Regex::new(r"std::(fs|net|env|process|thread)\b|Timestamp::now|SystemTime::now|\basync fn\b")
        .expect("a pattern");
    let mut findings = Vec::new();
    for file in files("mappings/src", ".rs") {
        let before_tests = file.code().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
        for (at, line) in before_tests.filter(|(_, line)| does.is_match(line)) {
            findings.push(format!("{}:{at}: {}", file.path, line.trim()));
        }
    }
    none(&findings, "mappings is pure: no file, socket, clock, thread or await");
}

#[test]
fn only_the_ledger_knows_sql() {
    let sql = r#"(?i)\bsqlx\b|["(]\s*(insert\s+into|delete\s+from|update\s+\w+\s+set|select\s.*\sfrom)\s"#;
    none(&stands_only_in(&["router/src/ledger/"], sql), "SQL stands only under router/src/ledger/");
    let strays: Vec<String> = files(".", ".sql")
        .into_iter()
        .map(|file| file.path)
        .filter(|path| !path.starts_with("router/migrations/"))
        .collect();
    none(&strays, "SQL files stand only under router/migrations/");
}

#[test]
fn only_the_bus_knows_amqp() {
    none(&stands_only_in(&["router/src/bus/"], r"\blapin\b"), "lapin is used only under router/src/bus/");
}

#[test]
fn nothing_is_served_past_the_table_of_endpoints() {
    let serves = r#"\.route\((?:"|&endpoint)|\.route_service\(|\.nest\w*\(|\.fallback_service\(|axum::serve|hyper::server"#;
    let allowed = [
        "router/src/listen/",
        "connectors/src/simulator/",
        // Systems for tests.
        "router/src/harvest/tests/mod.rs",
        "router/src/reconcile/tests.rs",
    ];
    none(
        &stands_only_in(&allowed, serves),
        "what is served stands in a table that router/src/listen makes routes of",
    );
}

#[test]
fn only_dispatch_performs_a_call() {
    none(
        &stands_only_in(&["router/src/dispatch", "connectors/src/"], r"\.perform\("),
        "a call is made only by router/src/dispatch",
    );
}

#[test]
fn a_release_build_has_no_fail_point() {
    let folder = "router/src/failpoint/";
    none(&stands_only_in(&[folder], r"DOVETAIL_FAIL|debug_assertions"), "fail points are made in one place");
    let inside = read(&format!("{folder}mod.rs"));
    for part in ["mod armed;", "mod plan;", "pub use armed::"] {
        let guarded = format!("#[cfg(debug_assertions)]\n{part}");
        assert!(inside.contains(&guarded), "{part} is compiled into debug builds only");
    }
    let function = Regex::new(r"(?m)^(#\[inline\(always\)\]\n)?pub (?:async )?fn (\w+)").expect("a pattern");
    let names = |file: &str| -> BTreeSet<String> {
        let text = read(&format!("{folder}{file}"));
        function.captures_iter(&text).map(|found| found[2].to_owned()).collect()
    };
    assert_eq!(names("absent.rs"), names("armed.rs"), "both builds offer the same");
    let absent = read(&format!("{folder}absent.rs"));
    assert!(
        function.captures_iter(&absent).all(|found| found.get(1).is_some()),
        "what is absent is inlined away"
    );
    let does =
        Regex::new(r"\b(static|thread_local|sleep|select|spawn|Command|tracing)\b").expect("a pattern");
    let code = |text: &str| {
        text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| does.is_match(line))
    };
    assert!(!code(&absent) && code(&read(&format!("{folder}armed.rs"))), "what is absent does nothing");
    assert!(toml("Cargo.toml")["profile"]["release"].get("debug-assertions").is_none());
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let long: Vec<String> = files(".", ".rs")
        .iter()
        .map(|file| (file.text.lines().count(), &file.path))
        .filter(|(lines, _)| *lines > 500)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    none(&long, "a file of more than 500 lines holds more than one thing");
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let banned =
        ["util", "utils", "common", "helper", "helpers", "misc", "types", "models", "core", "manager"];
    let says_nothing = |part: &str| banned.contains(&part.trim_end_matches(".rs"));
    let found: Vec<String> = files(".", ".rs")
        .into_iter()
        .map(|file| file.path)
        .filter(|path| path.split('/').any(says_nothing))
        .collect();
    none(&found, "a module is named for what it holds");
}

#[test]
fn a_module_with_parts_is_a_folder_with_mod_rs() {
    let found: Vec<String> = files(".", ".rs")
        .into_iter()
        .map(|file| file.path)
        .filter(|path| root().join(path.trim_end_matches(".rs")).is_dir())
        .collect();
    none(&found, "a module with parts is name/mod.rs, not name.rs beside name/");
}

#[test]
fn every_crate_follows_the_workspace() {
    for name in CRATES {
        let manifest = toml(&format!("{name}/Cargo.toml"));
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{name}: lints of the workspace");
        let package = &manifest["package"];
        assert_eq!(package["autotests"].as_bool(), Some(false), "{name}: at most one test program");
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            assert_eq!(package[key]["workspace"].as_bool(), Some(true), "{name}: {key} of the workspace");
        }
    }
}

#[test]
fn every_shipped_system_has_cases() {
    let systems = root().join("mappings/systems");
    let names: Vec<String> = std::fs::read_dir(&systems)
        .expect("mappings/systems")
        .map(|entry| entry.expect("readable folder").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!names.is_empty(), "systems are shipped");
    let case = Regex::new(r"(?m)^\s*- case: \S").expect("a pattern");
    for name in names {
        let folder = format!("mappings/systems/{name}");
        assert!(root().join(&folder).join("system.yaml").is_file(), "{folder}/system.yaml is missing");
        let cases: usize =
            files(&format!("{folder}/cases"), ".yaml").iter().map(|f| case.find_iter(&f.text).count()).sum();
        assert!(cases > 0, "{folder}/cases holds no case");
    }
}

#[test]
fn every_key_of_the_shipped_settings_is_a_field_and_the_reverse() {
    let fields = router::config::keys();
    assert!(fields.len() > 20, "the settings were found");
    assert_eq!(router::config::default_keys(), fields, "router/config.default.toml and router::config");
    let comment = |lines: &[&str]| lines.iter().rev().take_while(|line| line.starts_with('#')).count();
    let text = read("router/config.default.toml");
    let lines: Vec<&str> = text.lines().collect();
    let unexplained: Vec<String> = (1..lines.len())
        .filter(|at| lines[*at].contains('=') && !lines[*at].starts_with('#'))
        .filter(|at| lines[at - 1].starts_with('[') || lines[at - 1].is_empty())
        .filter(|at| comment(&lines[..*at]) == 0)
        .map(|at| format!("router/config.default.toml:{}: {}", at + 1, lines[at]))
        .collect();
    none(&unexplained, "settings that nothing explains");
}

#[test]
fn a_tests_name_is_a_sentence_and_it_is_never_skipped() {
    let skipped = concat!("#[", "ignore");
    let attribute = Regex::new(r"^#\[(tokio::)?test\b.*\]$").expect("a pattern");
    let name = Regex::new(r"^(?:pub )?(?:async )?fn (\w+)\(").expect("a pattern");
    let mut findings = Vec::new();
    let mut tests = 0;
    for file in files(".", ".rs") {
        let mut is_test = false;
        for (at, line) in file.code().map(|(at, line)| (at, line.trim())) {
            if line.starts_with(skipped) {
                findings.push(format!("{}:{at}: a test that is skipped proves nothing", file.path));
            }
            is_test |= attribute.is_match(line);
            let Some(found) = name.captures(line).filter(|_| is_test) else { continue };
            is_test = false;
            tests += 1;
            // The ledger's suite runs each sentence on both databases: there, it is the name of a module.
            let is_of_the_suite = ["on_postgres", "on_sqlite"].contains(&&found[1]);
            if found[1].matches('_').count() < 2 && !is_of_the_suite {
                findings.push(format!("{}:{at}: {} is no sentence", file.path, &found[1]));
            }
        }
    }
    assert!(tests > 20, "the tests were found");
    none(&findings, "a test says in its name what holds");
}

#[test]
fn no_test_waits_for_a_fixed_time() {
    let sleep = concat!("sle", "ep(");
    // One waits for what is to come, the other is what a slow link is.
    let may = ["tests/src/wait.rs", "tests/src/proxy.rs"];
    let findings: Vec<String> = ["tests/it", "tests/src", "tests/matrix"]
        .into_iter()
        .flat_map(|folder| files(folder, ".rs"))
        .filter(|file| !may.contains(&file.path.as_str()))
        .flat_map(|file| {
            file.code()
                .filter(|(_, line)| line.contains(sleep))
                .map(|(at, _)| format!("{}:{at}", file.path))
                .collect::<Vec<_>>()
        })
        .collect();
    none(&findings, "tests wait with wait::until, which ends as soon as it can");
}

#[test]
fn nothing_is_left_to_do_and_no_machine_is_named() {
    let left =
        Regex::new(concat!(r"\b(TO", "DO|FIX", "ME|XX", r"X)\b|\bunimple", "mented!")).expect("a pattern");
    let machine = Regex::new(r#"(^|[\s"'`(=:])/(home|root|work|Users|tmp)/\w"#).expect("a pattern");
    let is_document = |path: &str| {
        let ending = path.rsplit('.').next().unwrap_or_default();
        ["md", "toml", "json"].contains(&ending)
            || ["deploy/", ".ci/"].iter().any(|folder| path.starts_with(folder))
            || ["tests/run", "tests/faults", "tests/services", "tests/load", "tests/year"].contains(&path)
    };
    let mut findings = Vec::new();
    let mut documents = 0;
    for File { path, text } in text_files() {
        documents += usize::from(is_document(&path));
        for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
            if left.is_match(line) {
                findings.push(format!("{path}:{at}: left to do: {}", line.trim()));
            }
            if is_document(&path) && machine.is_match(line) {
                findings.push(format!("{path}:{at}: path of a machine: {}", line.trim()));
            }
        }
    }
    assert!(documents > 10, "the documents were found");
    none(&findings, "what is committed is finished and belongs to no machine");
}

fn text_files() -> impl Iterator<Item = File> {
    let endings = [
        ".rs", ".md", ".toml", ".yaml", ".json", ".sql", ".html", ".conf", ".service", "run", "faults",
        "services", "load", "year",
    ];
    endings.into_iter().flat_map(|ending| files(".", ending)).filter(|file| file.path != "Cargo.lock")
}

#[test]
fn the_licence_is_there_in_both_forms() {
    assert!(read("LICENSE-MIT").contains("Permission is hereby granted, free of charge"));
    assert!(read("LICENSE-APACHE").contains("Version 2.0, January 2004"));
    let workspace = toml("Cargo.toml");
    assert_eq!(workspace["workspace"]["package"]["license"].as_str(), Some("MIT OR Apache-2.0"));
}
