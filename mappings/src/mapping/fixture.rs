//! Small mappings for tests.

use serde_json::{Value, json};

use crate::domain::{Operation, Service};

use super::check::tests::lower;
use super::{Catalogue, Finding, Source, System};

/// A request with a bit of everything.
pub(super) fn request() -> Value {
    json!({"ticket": "CRM-1", "council": "harlow", "service": "waste.missed-bin", "summary": "Grey bin <missed>",
        "raised_at": "2026-07-01T09:15:00Z", "customer": {"surname": "Lamb", "forename": " ", "needs": []},
        "location": {"uprn": "10008049175", "easting": 535000, "address": {"lines": ["16 Pitcairn House", "Hackney"]}},
        "details": {"container": "refuse", "out_before_7am": true, "none": null, "count": 3,
                    "items": [{"name": "sofa", "parts": [{"n": 1}, {"n": 2}]}, {"name": "bed"}]},
        "dovetail": {"key": "k-1", "now": "2026-07-01T10:00:00Z"}})
}

/// A sound `system.yaml`.
pub(super) const SYSTEM: &str = "\
system: waste
name: Waste
role: back_office
owner: {team: T, contact: c@example.org}
connection: {base_url: \"https://waste.test/\", auth: none}
idempotency: none
";

/// A sound `routes.yaml`.
pub(super) const ROUTES: &str = "routes:\n  - {service: waste.missed-bin, to: [waste]}\n";

/// Sources by path and text.
pub(super) fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    files.iter().map(|(path, text)| Source { path: (*path).to_owned(), text: (*text).to_owned() }).collect()
}

/// Compiles files with [`lower`] for the variables.
pub(super) fn compile(files: &[(&str, &str)]) -> Result<Catalogue, Vec<Finding>> {
    Catalogue::compile(&sources(files), &lower)
}

/// What is found in files, as texts.
pub(super) fn found(files: &[(&str, &str)]) -> Vec<String> {
    let (_, findings) = Catalogue::examine(&sources(files), &lower);
    findings.iter().map(ToString::to_string).collect()
}

/// The one system of a `system.yaml` and one service file, whose operations stand in `operations`.
pub(super) fn system(more: &str, operations: &str) -> System {
    let system = format!("{SYSTEM}{more}");
    let service = format!("service: waste.missed-bin\nname: Missed bin\n{operations}");
    let files = [
        ("systems/waste/system.yaml", &*system),
        ("systems/waste/bin.yaml", &*service),
        ("routes.yaml", ROUTES),
    ];
    let catalogue = compile(&files).unwrap_or_else(|findings| {
        let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
        panic!("{}", all.join("\n"))
    });
    let mut systems: Vec<_> = catalogue.systems.into_values().collect();
    std::sync::Arc::into_inner(systems.remove(0)).expect("one owner")
}

/// The steps of `create`.
pub(super) fn create(system: &System) -> &super::Steps {
    let service = Service::parse("waste.missed-bin").expect("valid");
    system.operation(&service, Operation::Create).expect("a create")
}
