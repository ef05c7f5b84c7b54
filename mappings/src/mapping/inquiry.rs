//! How a system is asked about the jobs that are still open.

use std::time::Duration;

use super::check::Check;
use super::yaml::Node;

/// `status:` of a system's completion: how it is asked where each open job stands, whether or not it told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusQuery {
    /// Pause between two reconciliations.
    pub every: Duration,
    /// The call.
    pub call: String,
    /// How many jobs one call asks about, as `$.dovetail.jobs`; `None` for one job a call, as `$.dovetail.job`.
    pub batch: Option<usize>,
}

impl StatusQuery {
    /// Reads `{every, each_job}` or `{every, call, batch}`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "status", &["every", "each_job", "call", "batch"])?;
        let every = check.required(fields, "every", "status").and_then(|node| check.duration(node, "every"));
        let kind = check.one_of(fields, "status", &["call", "each_job"])?;
        let call = check.text_of(fields, kind)?;
        let batch = match (kind, fields.get("batch")) {
            ("call", Some(node)) => {
                let most = check.number(node, "batch", 1, 1_000)?;
                Some(usize::try_from(most).ok()?)
            }
            ("call", None) => {
                check.error(node.line, "call without batch", "batch: how many jobs one call asks about");
                return None;
            }
            (_, Some(node)) => {
                check.error(node.line, "batch beside each_job", "a batch only beside call");
                return None;
            }
            (_, None) => None,
        };
        Some(Self { every: every?, call, batch })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{SYSTEM, found, system};
    use super::*;

    const CALLS: &str = "calls: {jobs: {get: /jobs, reports: {each: $.jobs, job: \"@.id\", status: \"@.s\"}}, bare: {get: /}}\n";
    const BIN: &str = "create: {post: /, json: {}}\n";

    fn wrong(status: &str) -> String {
        let text = format!("{SYSTEM}{CALLS}completion: {{status: {status}}}\n");
        found(&[("systems/waste/system.yaml", &text)]).join("\n")
    }

    #[test]
    fn a_system_is_asked_about_one_job_or_about_many_at_once() {
        let of = |status: &str| {
            system(&format!("{CALLS}completion: {{status: {status}}}\n"), BIN).status.expect("a status query")
        };
        let day = Duration::from_secs(24 * 3600);
        let many = StatusQuery { every: day, call: "jobs".into(), batch: Some(50) };
        assert_eq!(of("{every: 1d, call: jobs, batch: 50}"), many);
        let one = StatusQuery { every: Duration::from_secs(3600), call: "jobs".into(), batch: None };
        assert_eq!(of("{every: 1h, each_job: jobs}"), one);
    }

    #[test]
    fn a_wrong_status_query_is_refused_with_its_reason() {
        let cases = [
            ("{each_job: jobs}", "status without every"),
            ("{every: 1d}", "none of call, each_job"),
            ("{every: 1d, call: jobs}", "call without batch"),
            ("{every: 1d, call: jobs, batch: 0}", "a whole number from 1 to 1000"),
            ("{every: 1d, each_job: jobs, batch: 5}", "a batch only beside call"),
            ("{every: 1d, each_job: job}", "status job, which is none of the calls"),
            ("{every: 1d, each_job: bare}", "the call bare, which reads no status"),
        ];
        for (status, expected) in cases {
            let found = wrong(status);
            assert!(found.contains(expected), "{status}: {found}");
        }
    }
}
