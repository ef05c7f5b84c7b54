//! `dovetail test`: the cases that stand beside the mappings.

use std::fmt::Write as _;
use std::path::Path;

use mappings::mapping::{CaseResult, run_cases};
use serde_json::json;

use super::{Exit, Shown};
use crate::library;

/// Runs the cases of a folder, or those shipped.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn run(folder: Option<&Path>) -> anyhow::Result<Shown> {
    Ok(shown(&run_cases(&library::read(folder)?, &library::placeholder)))
}

fn shown(results: &[CaseResult]) -> Shown {
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    let passed = results.len() - failed;
    let mut text = String::new();
    for CaseResult { file, line, case, failure } in results {
        let word = if failure.is_some() { "FAILED" } else { "ok    " };
        let _ = writeln!(text, "{word} {file}:{line} {case}");
        for reason in failure.iter().flat_map(|reason| reason.lines()) {
            let _ = writeln!(text, "       {reason}");
        }
    }
    if results.is_empty() {
        text.push_str("There are no cases: write some beside the mappings, under systems/<system>/cases/.\n");
    } else {
        let _ = writeln!(text, "{} cases: {passed} passed, {failed} failed", results.len());
    }
    let cases = results.iter().map(|CaseResult { file, line, case, failure }| {
        json!({"file": file, "line": line, "case": case, "passed": failure.is_none(), "failure": failure})
    });
    Shown {
        text,
        json: json!({"passed": passed, "failed": failed, "cases": cases.collect::<Vec<_>>()}),
        exit: if failed == 0 && passed > 0 { Exit::Ok } else { Exit::NotOk },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(failure: Option<&str>) -> CaseResult {
        CaseResult {
            file: "systems/waste/cases/create.yaml".to_owned(),
            line: 7,
            case: "a missed bin becomes a worksheet".to_owned(),
            failure: failure.map(str::to_owned),
        }
    }

    #[test]
    fn a_failed_case_is_told_with_its_place_and_difference() {
        let shown = shown(&[result(None), result(Some("call differs\nexpected 1\nfound 2"))]);
        assert_eq!(shown.exit, Exit::NotOk);
        assert!(
            shown.text.contains(
                "FAILED systems/waste/cases/create.yaml:7 a missed bin becomes a worksheet\n       call differs\n"
            ),
            "{}",
            shown.text
        );
        assert!(shown.text.ends_with("2 cases: 1 passed, 1 failed\n"), "{}", shown.text);
        assert_eq!(shown.json["cases"][1]["passed"], false);
    }

    #[test]
    fn mappings_without_cases_are_not_ok() {
        assert_eq!(shown(&[]).exit, Exit::NotOk);
        assert_eq!(shown(&[result(None)]).exit, Exit::Ok);
    }
}
