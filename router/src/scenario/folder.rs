//! The scenarios of a folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

use mappings::domain::{Council, Service};
use mappings::mapping::Finding;
use mappings::mapping::yaml::{self, Node, Yaml};
use serde_json::{Value, json};

use super::document::{Given, Scenario};
use super::overlay::Overlay;
use super::read::Reader;
use super::{expectations, steps};

/// Why scenarios cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder holds no scenarios.
    #[error("{0} holds no scenarios: expected *.yaml files, each a list of scenarios")]
    None(PathBuf),
    /// The scenarios have mistakes; every one is listed.
    #[error("the scenarios cannot be played:{}", .0.iter().map(|finding| format!("\n  {finding}")).collect::<String>())]
    Wrong(Vec<Finding>),
}

/// The scenarios of a folder or of one file, by file name and in their order.
///
/// # Errors
/// [`Error`] lists every mistake in every file.
pub fn read(path: &Path) -> Result<Vec<Scenario>, Error> {
    let unreadable = |path: &Path, source| Error::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    if path.is_dir() {
        let listing = fs::read_dir(path).map_err(|error| unreadable(path, error))?;
        for entry in listing {
            files.push(entry.map_err(|error| unreadable(path, error))?.path());
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let mut scenarios = Vec::new();
    let mut findings = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
        let (mut read, mut found) = parse(&file.display().to_string(), &text);
        scenarios.append(&mut read);
        findings.append(&mut found);
    }
    if !findings.is_empty() {
        return Err(Error::Wrong(findings));
    }
    if scenarios.is_empty() {
        return Err(Error::None(path.to_owned()));
    }
    Ok(scenarios)
}

/// The scenarios of one file's text, and what is wrong in it.
pub(super) fn parse(file: &str, text: &str) -> (Vec<Scenario>, Vec<Finding>) {
    let mut reader = Reader::new(file);
    let mut scenarios = Vec::new();
    match yaml::parse(text) {
        Ok(Node { value: Yaml::List(items), .. }) => {
            scenarios.extend(items.iter().filter_map(|item| scenario(&mut reader, item)));
        }
        Ok(node) => reader.wrong(node.line, node.shown(), "a list of scenarios: - scenario: …"),
        Err(error) => reader.wrong(error.line, error.reason, "YAML"),
    }
    (scenarios, reader.findings)
}

fn scenario(reader: &mut Reader<'_>, node: &Node) -> Option<Scenario> {
    if !reader.keys(node, "a scenario", &["scenario", "note", "given", "when", "then"]) {
        return None;
    }
    let mut required = |key: &str| {
        let found = node.get(key);
        if found.is_none() {
            reader.wrong(node.line, format!("a scenario without {key}"), format!("{key}:"));
        }
        found
    };
    let (name, when, then) = (required("scenario"), required("when"), required("then"));
    let given = given(reader, node.get("given"));
    let name = reader.text(name?, "scenario")?;
    let steps = steps::read(reader, when?);
    let then = expectations::read(reader, then?);
    Some(Scenario { file: reader.file().to_owned(), line: node.line, name, given: given?, steps, then })
}

const GIVEN: &[&str] =
    &["time", "council", "service", "request", "calendar", "intake", "open311", "mappings"];

fn given(reader: &mut Reader<'_>, node: Option<&Node>) -> Option<Given> {
    let mut given = Given {
        time: "2026-11-23T09:00:00Z".parse().ok()?,
        council: Council::parse("harlow").ok()?,
        service: Service::parse("waste.missed-bin").ok()?,
        request: json!({}),
        clocks: false,
        polled: false,
        plain: false,
        overlays: Vec::new(),
    };
    let Some(node) = node else { return Some(given) };
    if !reader.keys(node, "given", GIVEN) {
        return None;
    }
    if let Some(node) = node.get("time") {
        given.time = reader.time(node, "time")?;
    }
    if let Some(node) = node.get("council") {
        given.council = reader.parsed(node, "council")?;
    }
    if let Some(node) = node.get("service") {
        given.service = reader.parsed(node, "service")?;
    }
    if let Some(node) = node.get("request") {
        given.request = document(reader, node, "request")?;
    }
    if let Some(node) = node.get("calendar") {
        let calendar = reader.text(node, "calendar")?;
        let councils = json!([{"council": "*", "calendar": calendar}]);
        given.clocks = true;
        given
            .overlays
            .push(Overlay { path: "targets.yaml".to_owned(), keys: vec![("councils".to_owned(), councils)] });
    }
    if let Some(node) = node.get("intake") {
        let text = reader.text(node, "intake")?;
        given.polled = text == "polled";
        if !given.polled {
            reader.unknown(node.line, format!("intake: {text}"), &text, &["polled"]);
        }
    }
    if let Some(node) = node.get("open311") {
        let text = reader.text(node, "open311")?;
        given.plain = text == "plain";
        if !given.plain {
            reader.unknown(node.line, format!("open311: {text}"), &text, &["plain"]);
        }
    }
    if let Some(node) = node.get("mappings") {
        given.overlays.extend(overlays(reader, node));
    }
    Some(given)
}

/// Files of the mappings, with keys that are given other values.
pub(super) fn overlays(reader: &mut Reader<'_>, node: &Node) -> Vec<Overlay> {
    let mut overlays = Vec::new();
    for entry in node.entries() {
        let Yaml::Map(keys) = &entry.value.value else {
            reader.wrong(entry.line, entry.value.shown(), "a mapping: keys of the file and their values");
            continue;
        };
        let keys = keys.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect();
        overlays.push(Overlay { path: entry.key.clone(), keys });
    }
    overlays
}

/// A part of a request.
pub(super) fn document(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Value> {
    let document = node.to_json();
    if document.is_object() {
        return Some(document);
    }
    reader.wrong(
        node.line,
        node.shown(),
        format!("{what}: a part of a request, for example {{priority: urgent}}"),
    );
    None
}
