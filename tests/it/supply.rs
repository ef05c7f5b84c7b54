//! Where the dependencies come from and on what terms: `deny.toml`, held on every run without cargo-deny.

use std::collections::BTreeSet;
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use crate::project::{File, files, none, read, root, toml};

/// Everything that is linked on this kind of machine, as cargo resolves it.
fn packages() -> Vec<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", &platform])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn texts(list: &toml::Value) -> BTreeSet<String> {
    list.as_array()
        .expect("a list")
        .iter()
        .map(|text| text.as_str().or_else(|| text["crate"].as_str()).expect("a text").to_owned())
        .collect()
}

/// Whether an SPDX expression can be met with the licences allowed. Of the grammar, what crates use:
/// `OR` and its old form `/`, `AND`, `WITH`, parentheses.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words, allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words, allowed: &BTreeSet<String>) -> bool {
    let mut met = one_of(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one_of(words, allowed);
    }
    met
}

fn one_of(words: &mut Words, allowed: &BTreeSet<String>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = any_of(words, allowed);
        return words.next_if_eq(&")").is_some() && met;
    }
    let mut name = words.next().unwrap_or_default().to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&name)
}

#[test]
fn a_licence_expression_is_read_as_spdx_means_it() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception"].map(String::from).into();
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn every_dependency_has_a_licence_we_allow_and_comes_from_crates_io() {
    let deny = toml("deny.toml");
    let allowed = texts(&deny["licenses"]["allow"]);
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let packages = packages();
    assert!(packages.len() > 100, "the dependencies were found");
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        match package["source"].as_str() {
            None => assert!(root().join(name).is_dir(), "{name} is ours"),
            Some(source) if source != registry => findings.push(format!("{name} comes from {source}")),
            Some(_) => {}
        }
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_allowed(licence, &allowed) {
            findings.push(format!("{name} is under {licence:?}"));
        }
    }
    none(&findings, "dependencies keep to deny.toml");
}

#[test]
fn no_banned_crate_is_in_the_lock_file() {
    let banned = texts(&toml("deny.toml")["bans"]["deny"]);
    assert!(banned.contains("backoff"), "docs/decisions/0002-backon-instead-of-backoff.md");
    let lock = toml("Cargo.lock");
    let locked = lock["package"].as_array().expect("packages").iter();
    let found: Vec<String> = locked
        .filter_map(|package| package["name"].as_str())
        .filter(|name| banned.contains(*name))
        .map(String::from)
        .collect();
    none(&found, "deny.toml bans these");
}

#[test]
fn every_dependency_is_explained_and_used() {
    let workspace = toml("Cargo.toml");
    let declared: BTreeSet<String> = workspace["workspace"]["dependencies"]
        .as_table()
        .expect("a table")
        .iter()
        .filter(|(_, value)| value.get("path").is_none())
        .map(|(name, _)| name.clone())
        .collect();
    let row = Regex::new(r"(?m)^\| `([\w-]+)` \|").expect("a pattern");
    let explained: BTreeSet<String> =
        row.captures_iter(&read("docs/decisions/dependencies.md")).map(|found| found[1].to_owned()).collect();
    assert_eq!(explained, declared, "docs/decisions/dependencies.md has one row for each dependency");

    let mut unused = Vec::new();
    for name in ["mappings", "connectors", "router", "tests"] {
        let manifest = toml(&format!("{name}/Cargo.toml"));
        let sources: String = files(name, ".rs").into_iter().map(|File { text, .. }| text).collect();
        for table in ["dependencies", "dev-dependencies"] {
            let asked = manifest.get(table).and_then(|t| t.as_table()).into_iter().flat_map(|t| t.keys());
            for dependency in asked {
                let word = Regex::new(&format!(r"\b{}\b", dependency.replace('-', "_"))).expect("a pattern");
                if !word.is_match(&sources) {
                    unused.push(format!("{name}/Cargo.toml: {dependency}"));
                }
            }
        }
    }
    none(&unused, "a dependency that no source names is taken out");
}
