//! `dovetail lint`: what can be said against mappings.

use std::fmt::Write as _;
use std::path::Path;

use mappings::mapping::{Finding, Severity, lint};
use serde_json::{Value, json};

use super::{Exit, Shown};
use crate::library::{self, word};

/// Lints the mappings of a folder, or those shipped.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn run(folder: Option<&Path>) -> anyhow::Result<Shown> {
    let sources = library::read(folder)?;
    let mut findings = lint(&sources, &library::placeholder);
    if folder.is_some_and(|folder| folder.join("system.yaml").is_file()) {
        // One system alone has no routing table.
        findings.retain(|finding| finding.file != "routes.yaml");
    }
    Ok(shown(sources.len(), &findings))
}

fn shown(files: usize, findings: &[Finding]) -> Shown {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let mut text = String::new();
    for finding in findings {
        let _ = writeln!(text, "{}: {finding}", word(finding.severity));
    }
    let _ = writeln!(text, "{files} files: {errors} errors, {warnings} warnings");
    Shown {
        text,
        json: json!({
            "files": files,
            "errors": errors,
            "warnings": warnings,
            "findings": findings.iter().map(as_json).collect::<Vec<_>>(),
        }),
        exit: if errors == 0 { Exit::Ok } else { Exit::NotOk },
    }
}

fn as_json(finding: &Finding) -> Value {
    json!({
        "severity": word(finding.severity),
        "file": finding.file,
        "line": finding.line,
        "found": finding.found,
        "expected": finding.expected,
        "hint": finding.hint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity) -> Finding {
        Finding {
            severity,
            file: "systems/waste/system.yaml".to_owned(),
            line: 3,
            found: "key \"conection\"".to_owned(),
            expected: "one of connection, limits".to_owned(),
            hint: Some("did you mean \"connection\"?".to_owned()),
            unset: None,
        }
    }

    #[test]
    fn an_error_is_told_with_its_place_and_makes_the_exit_code_1() {
        let shown = shown(4, &[finding(Severity::Error), finding(Severity::Warning)]);
        assert_eq!(shown.exit, Exit::NotOk);
        assert!(
            shown.text.starts_with("error: systems/waste/system.yaml:3: found key \"conection\""),
            "{}",
            shown.text
        );
        assert!(shown.text.ends_with("4 files: 1 errors, 1 warnings\n"), "{}", shown.text);
        assert_eq!(shown.json["findings"][0]["line"], 3);
    }

    #[test]
    fn warnings_alone_are_ok() {
        assert_eq!(shown(4, &[finding(Severity::Warning)]).exit, Exit::Ok);
    }
}
