//! What the documents say of the code is so.

use std::collections::BTreeSet;

use mappings::domain::{HandoverState, Phase, RequestState};
use regex::Regex;
use router::event::Kind;

use crate::project::{File, files, none, read, root};

#[test]
fn every_link_between_documents_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]+)(#[^)]*)?\)").expect("a pattern");
    let mut findings = Vec::new();
    let mut links = 0;
    for File { path, text } in files(".", ".md") {
        let folder = root().join(&path).parent().expect("a file lies in a folder").to_owned();
        for found in link.captures_iter(&text).map(|found| found[1].to_owned()) {
            links += 1;
            if !found.contains("://") && !folder.join(&found).exists() {
                findings.push(format!("{path}: {found}"));
            }
        }
    }
    assert!(links > 10, "the links were found");
    none(&findings, "links lead nowhere");
}

#[test]
fn the_architecture_names_files_that_exist() {
    let path = Regex::new(r"`((?:mappings|connectors|router|tests)/[\w./-]*)`").expect("a pattern");
    let text = read("docs/ARCHITECTURE.md");
    let named: BTreeSet<&str> =
        path.captures_iter(&text).map(|found| found.get(1).map_or("", |path| path.as_str())).collect();
    assert!(named.len() > 15, "the files were found");
    let missing: Vec<String> =
        named.into_iter().filter(|path| !root().join(path).exists()).map(String::from).collect();
    none(&missing, "docs/ARCHITECTURE.md names what is not there");
}

#[test]
fn every_event_is_listed_with_its_schema_and_no_other() {
    let text = read("docs/EVENTS.md");
    let row = Regex::new(r"(?m)^\| `([\w.-]+)` \| .* \| \[schema\]\(schemas/([\w.-]+)\.v1\.json\) \|$")
        .expect("a pattern");
    let listed: Vec<(String, String)> =
        row.captures_iter(&text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect();
    let known: Vec<(String, String)> =
        Kind::ALL.iter().map(|kind| (kind.word().to_owned(), kind.word().to_owned())).collect();
    assert_eq!(listed, known, "docs/EVENTS.md lists the events in the order of `event::Kind::ALL`");
}

/// The names of all functions, among them all tests.
fn functions() -> BTreeSet<String> {
    let name = Regex::new(r"(?m)^\s*(?:async )?fn (\w+)\(").expect("a pattern");
    let mut known = BTreeSet::new();
    for file in files(".", ".rs") {
        known.extend(name.captures_iter(&file.text).map(|found| found[1].to_owned()));
    }
    known
}

#[test]
fn every_promise_names_tests_that_exist() {
    let known = functions();
    let text = read("docs/DELIVERY-GUARANTEES.md");
    let sentence = Regex::new(r"`([a-z0-9]+(?:_[a-z0-9]+){3,})`").expect("a pattern");
    let named: Vec<&str> =
        sentence.captures_iter(&text).filter_map(|found| found.get(1)).map(|name| name.as_str()).collect();
    assert!(named.len() > 8, "the promises name tests");
    let missing: Vec<String> =
        named.into_iter().filter(|name| !known.contains(*name)).map(str::to_owned).collect();
    none(&missing, "docs/DELIVERY-GUARANTEES.md names tests that are not there");
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let known = functions();
    let text = read("docs/ARCHITECTURE.md");
    let row = Regex::new(r"(?m)^\| (\d+) \| .* \| ?(.*?) ?\|$").expect("a pattern");
    let quoted = Regex::new(r"`(\w+)`").expect("a pattern");
    let mut findings = Vec::new();
    let mut rows = 0;
    for found in row.captures_iter(&text) {
        rows += 1;
        let tests: Vec<String> = quoted.captures_iter(&found[2]).map(|test| test[1].to_owned()).collect();
        if tests.is_empty() {
            findings.push(format!("invariant {} names no test", &found[1]));
        }
        findings.extend(
            tests.iter().filter(|test| !known.contains(*test)).map(|test| format!("{test} is no test")),
        );
    }
    assert!(rows >= 9, "the invariants were found");
    none(&findings, "an invariant is what a test holds");
}

#[test]
fn the_charts_draw_every_state_and_no_other() {
    let text = read("docs/STATES.md");
    let charts: Vec<&str> = text.split("```").filter_map(|block| block.strip_prefix("mermaid\n")).collect();
    let expected: [BTreeSet<&str>; 3] = [
        RequestState::ALL.iter().map(|state| state.as_str()).collect(),
        HandoverState::ALL.iter().map(|state| state.as_str()).collect(),
        Phase::ALL.iter().map(|phase| phase.as_str()).collect(),
    ];
    assert_eq!(charts.len(), expected.len(), "one chart for the request, the handover and the call");
    let arrow = Regex::new(r"(?m)^ +(\S+) --> ([^\s:]+)").expect("a pattern");
    for (chart, expected) in charts.into_iter().zip(expected) {
        let mut drawn = BTreeSet::new();
        for found in arrow.captures_iter(chart) {
            drawn.extend(found.iter().skip(1).flatten().map(|end| end.as_str()));
        }
        assert!(drawn.remove("[*]"), "a chart has a beginning");
        assert_eq!(drawn, expected);
    }
}

#[test]
fn every_snippet_of_the_mapping_guide_stands_in_its_file() {
    let guide = read("docs/MAPPING.md");
    let blocks = guide.split("```").skip(1).step_by(2);
    let snippets: Vec<(&str, &str)> =
        blocks.filter_map(|block| block.strip_prefix("yaml\n# ")?.split_once('\n')).collect();
    assert!(snippets.len() > 10, "the snippets were found");
    let changed: Vec<String> = snippets
        .into_iter()
        .filter(|(file, snippet)| !read(&format!("mappings/{file}")).contains(snippet))
        .map(|(file, snippet)| format!("{file} does not hold\n{snippet}"))
        .collect();
    none(&changed, "docs/MAPPING.md shows what is not shipped");
}
