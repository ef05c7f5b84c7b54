//! Cases: what stands beside a mapping to prove it.

use super::Source;

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

/// Runs every case among the sources. Where the mappings do not compile, every finding is a failed case.
pub fn run_cases(sources: &[Source], resolve: &dyn Fn(&str) -> Option<String>) -> Vec<CaseResult> {
    let _ = (sources, resolve);
    unimplemented!()
}
