use std::path::PathBuf;

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

const MAPPINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../mappings");

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn with(document: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("request.json"), document.to_string()).expect("written");
        Self { folder }
    }

    fn request(&self) -> PathBuf {
        self.folder.path().join("request.json")
    }
}

fn missed_bin() -> Value {
    json!({"ticket": "CRM-1", "council": "harlow", "service": "waste.missed-bin",
           "raised_at": "2026-11-22T09:15:00Z", "summary": "Grey bin missed",
           "location": {"uprn": "10008049175"}, "details": {"container": "refuse"}})
}

fn tried(mapping: &str, document: &Value, more: &[&str]) -> anyhow::Result<Shown> {
    let files = Files::with(document);
    let request = files.request();
    let arguments = ["dovetail", "try", mapping, request.to_str().expect("text"), "--mappings", MAPPINGS];
    let command = Cli::parse_from(arguments.iter().chain(more)).command;
    let Command::Try(args) = command else { panic!("{command:?} is not try") };
    run(&args, "2026-11-23T09:00:00Z".parse().expect("a time"))
}

#[test]
fn a_service_shows_the_exact_call_with_secrets_masked() {
    let shown = tried("waste.missed-bin", &missed_bin(), &[]).expect("shown");
    assert_eq!(shown.exit, Exit::Ok);
    assert!(
        shown.text.contains("\nPOST /services.asmx HTTP/1.1\nhost: waste-url.invalid\n"),
        "{}",
        shown.text
    );
    assert!(shown.text.contains("<Uprn>10008049175</Uprn>"), "{}", shown.text);
    assert!(!shown.text.contains("WASTE_PASSWORD"), "{}", shown.text);
    assert!(shown.text.ends_with("# Nothing was sent.\n"), "{}", shown.text);
    assert_eq!(shown.json["calls"][0]["system"], "waste");
}

#[test]
fn the_path_of_a_service_file_shows_the_same() {
    let path = format!("{MAPPINGS}/systems/waste/missed-bin.yaml");
    let by_path = tried(&path, &missed_bin(), &[]).expect("shown");
    assert_eq!(by_path, tried("waste.missed-bin", &missed_bin(), &[]).expect("shown"));
}

#[test]
fn a_whole_cloudevent_is_tried_by_its_data() {
    let event = json!({"specversion": "1.0", "id": "1", "source": "/crm", "type": "x", "data": missed_bin()});
    assert_eq!(tried("waste.missed-bin", &event, &[]).expect("shown").exit, Exit::Ok);
}

#[test]
fn what_a_request_lacks_is_named_and_the_exit_code_is_1() {
    let mut document = missed_bin();
    document["location"] = json!({});
    let shown = tried("waste.missed-bin", &document, &[]).expect("shown");
    assert_eq!(shown.exit, Exit::NotOk);
    assert!(shown.text.contains("# cannot be made: location.uprn"), "{}", shown.text);
    document["location"] = json!({"uprn": 7});
    let shown = tried("waste.missed-bin", &document, &[]).expect("shown");
    assert_eq!((shown.exit, shown.json["request"]["path"].as_str()), (Exit::NotOk, Some("location.uprn")));
}

#[test]
fn a_closure_is_shown_as_the_crm_gets_it_and_says_which_calls_wait_for_answers() {
    let shown = tried("waste.missed-bin", &missed_bin(), &["--operation", "close"]).expect("shown");
    assert!(shown.text.contains("GET /REST/2.0/ticket/CRM-1 HTTP/1.1"), "{}", shown.text);
    assert!(shown.text.contains("# needs the answer to an earlier call"), "{}", shown.text);
}

#[test]
fn a_mapping_that_does_not_fit_is_a_mistake_with_a_hint() {
    for (mapping, what) in [
        ("waste.bulky", "the request asks for waste.missed-bin"),
        ("Bins", "is not a service"),
        ("/nowhere/bins.yaml", "cannot be read"),
    ] {
        let error = tried(mapping, &missed_bin(), &[]).expect_err("refused");
        assert!(error.to_string().contains(what), "{error}");
    }
}
