//! Cases: what stands beside a mapping to prove it.

mod compare;
mod context;
mod expected;
mod file;
mod perform;
mod rehearsal;
mod run;

use super::Source;
use super::catalogue::Catalogue;
use super::check::Resolve;
use super::finding::{Finding, Severity};

pub use file::Message;
pub(super) use file::{Case, Subject, read};
pub use rehearsal::{Rehearsal, rehearse};

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// File, relative to the mappings folder.
    pub file: String,
    /// Line the case starts on.
    pub line: usize,
    /// The case's own words.
    pub case: String,
    /// What differed; `None` when the case passed.
    pub failure: Option<String>,
}

/// Runs every case among the sources. What does not compile is a failed case, one for each error.
///
/// A variable that `resolve` does not know gets a made-up value, the same in mapping and case, so that cases
/// need no secrets. `$.dovetail` has made-up values too, those that the router knows when it makes such a call; a case
/// takes one away with null.
pub fn run_cases(sources: &[Source], resolve: &dyn Fn(&str) -> Option<String>) -> Vec<CaseResult> {
    let made_up = |name: &str| {
        let any =
            || if name.ends_with("URL") { "http://unset.invalid".into() } else { format!("unset-{name}") };
        resolve(name).or_else(|| Some(any()))
    };
    let resolve: Resolve<'_> = &made_up;
    let (catalogue, findings) = Catalogue::examine(sources, resolve);
    let (cases, more) = read(sources, resolve);
    let mut results: Vec<CaseResult> = findings
        .iter()
        .chain(&more)
        .filter(|finding| finding.severity == Severity::Error)
        .map(broken)
        .collect();
    for case in &cases {
        let failure = match catalogue.systems().find(|system| system.name.as_str() == case.system) {
            Some(system) => run::run(case, system).err(),
            None => Some(format!("the mapping of {} does not compile", case.system)),
        };
        let (file, line, case) = (case.file.clone(), case.line, case.name.clone());
        results.push(CaseResult { file, line, case, failure });
    }
    results.sort_by(|one, two| (&one.file, one.line).cmp(&(&two.file, two.line)));
    results
}

fn broken(finding: &Finding) -> CaseResult {
    CaseResult {
        file: finding.file.clone(),
        line: finding.line,
        case: "the file is sound".into(),
        failure: Some(finding.to_string()),
    }
}

#[cfg(test)]
mod tests;
