//! Everything that can be said against a set of mappings.

use std::collections::BTreeSet;

use crate::domain::Operation;

use super::cases::{Case, Subject, read};
use super::catalogue::Catalogue;
use super::check::Check;
use super::promises;
use super::{Finding, Source, System};

/// All errors and warnings, by file and line: those of the mappings, those of the cases, and what has no case.
pub fn lint(sources: &[Source], resolve: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let (catalogue, mut findings) = Catalogue::examine(sources, resolve);
    let (cases, mut more) = read(sources, resolve);
    findings.append(&mut more);
    for system in catalogue.systems() {
        let file = format!("systems/{}/system.yaml", system.name);
        let mut check = Check::new(&file, resolve);
        let own: Vec<&Case> = cases.iter().filter(|case| case.system == system.name.as_str()).collect();
        uncovered(&mut check, system, &own);
        promises::of_system(&mut check, system);
        findings.append(&mut check.findings);
    }
    findings.sort_by(|one, two| (&one.file, one.line).cmp(&(&two.file, two.line)));
    findings
}

fn uncovered(check: &mut Check<'_>, system: &System, cases: &[&Case]) {
    let has = |subject: &Subject| cases.iter().any(|case| case.subject == *subject);
    let mut missing = Vec::new();
    for service in system.services() {
        for operation in Operation::ALL {
            let own = system.services.get(service).and_then(|rules| rules.operation(*operation));
            if own.is_some() && !has(&Subject::Operation(service.clone(), *operation)) {
                missing.push(format!("{operation} of {service}"));
            }
        }
    }
    for name in system.call_names() {
        if !has(&Subject::Call(name.to_owned())) {
            missing.push(format!("the call {name}"));
        }
    }
    if system.webhook.is_some() && !has(&Subject::Webhook) {
        missing.push("the webhook".into());
    }
    if system.files.is_some() && !has(&Subject::Files) {
        missing.push("the files".into());
    }
    if system.intake().is_some() && !has(&Subject::Intake) {
        missing.push("the intake".into());
    }
    let said: BTreeSet<&str> = cases
        .iter()
        .flat_map(|case| case.reports.iter().flatten())
        .filter_map(|report| report.said.as_deref())
        .collect();
    let words =
        system.statuses.words().chain(system.services.values().flat_map(|rules| rules.statuses.words()));
    missing.extend(words.filter(|word| !said.contains(word)).map(|word| format!("the status {word:?}")));
    for what in missing {
        let expected = format!("a case in systems/{}/cases", system.name);
        check.warn(1, format!("{what} without a case"), expected, None);
    }
}
