//! How a CRM that cannot publish is asked for new tickets.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::ReadError;
use super::check::Check;
use super::path::Path;
use super::place::{self, Place};
use super::scope::Scope;
use super::yaml::Node;

/// How a CRM is asked for new tickets: `poll:` of its intake.
pub struct Harvest {
    /// Pause between polls.
    pub every: Duration,
    /// How far each poll looks back before the last one, since a clock and a list lag.
    pub overlap: Duration,
    /// The call that lists tickets; `$.dovetail.since` is the time of the last poll less the overlap.
    pub call: String,
    /// The call that reads one ticket whole, with its item of the list as `$.event`; without it the item is all.
    pub then: Option<String>,
    /// A ticket that we closed and that is listed was opened again: `each` leaves closed tickets out.
    pub reopens: bool,
    each: Path,
    pub(super) line: usize,
}

impl fmt::Debug for Harvest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harvest")
            .field("every", &self.every)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

impl Harvest {
    /// Reads `{every, overlap, call, each, then}`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "poll", &["every", "overlap", "call", "each", "then", "reopens"])?;
        let every = check.required(fields, "every", "poll").and_then(|node| check.duration(node, "every"));
        let overlap = check.required(fields, "overlap", "poll");
        let overlap = overlap.and_then(|node| check.duration(node, "overlap"));
        let call = check.required_text(fields, "call", "poll");
        let then = check.text_of(fields, "then");
        let reopens = fields.get("reopens").is_some_and(|node| check.flag(node, "reopens"));
        let each = check.required_text(fields, "each", "poll");
        let each = each.and_then(|text| {
            let line = fields.get("each").map_or(node.line, |node| node.line);
            place::path(check, line, &text, Place::ANSWER)
        });
        Some(Self {
            every: every?,
            overlap: overlap?,
            call: call?,
            then,
            reopens,
            each: each?,
            line: node.line,
        })
    }

    /// The tickets in one page of the list.
    ///
    /// # Errors
    /// [`ReadError`] where the page holds no place for the list.
    pub fn items(&self, page: &Value) -> Result<Vec<Value>, ReadError> {
        Ok(Scope::over(page).list(&self.each)?.into_iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{SYSTEM, found, system};
    use super::*;

    const CALLS: &str = "calls: {list: {get: /tickets, query: {since: $.dovetail.since}}, read: {get: \"/tickets/{$.event.id}\"}}\n";

    fn intake(poll: &str) -> String {
        let system = format!("{SYSTEM}{CALLS}");
        let intake = format!("intake:\n  poll: {poll}\n  event: $.id\n  request: {{ticket: $.id}}\n");
        let files = [("systems/waste/system.yaml", &*system), ("systems/waste/intake.yaml", &*intake)];
        found(&files).join("\n")
    }

    #[test]
    fn the_items_of_a_page_are_those_that_the_path_selects() {
        let mut check = Check::new("f.yaml", &super::super::check::tests::lower);
        let text = "{every: 1m, overlap: 10m, call: list, each: \"$.items[?@.Status == 'new']\", then: read}";
        let harvest = Harvest::compile(&mut check, &super::super::yaml::parse(text).expect("yaml"));
        let harvest = harvest.unwrap_or_else(|| panic!("{:?}", check.findings));
        assert_eq!((harvest.every.as_secs(), harvest.overlap.as_secs()), (60, 600));
        let page = json!({"items": [{"id": 1, "Status": "new"}, {"id": 2, "Status": "resolved"}, {}]});
        assert_eq!(harvest.items(&page), Ok(vec![json!({"id": 1, "Status": "new"})]));
        assert_eq!(harvest.items(&json!({"items": []})), Ok(vec![]));
        assert!(harvest.items(&json!("OK")).is_err());
    }

    #[test]
    fn a_sound_poll_of_an_intake_compiles() {
        let found = intake("{every: 1m, overlap: 10m, call: list, each: \"$.items[*]\", then: read}");
        assert!(!found.contains("intake.yaml"), "{found}");
        let system = system(CALLS, "create: {post: /}\n");
        assert!(system.call("list").is_some());
    }

    #[test]
    fn a_wrong_poll_of_an_intake_is_refused_with_its_reason() {
        let cases = [
            ("{every: 1m, overlap: 10m, call: lists, each: $.a}", "poll lists, which is none of the calls"),
            (
                "{every: 1m, overlap: 10m, call: list, each: $.a, then: red}",
                "then red, which is none of the calls",
            ),
            ("{every: 1m, call: list, each: $.a}", "poll without overlap"),
            ("{every: 1m, overlap: 10m, call: list}", "poll without each"),
            ("{every: 1m, overlap: 10m, call: list, each: items}", "a JSONPath"),
        ];
        for (poll, expected) in cases {
            let found = intake(poll);
            assert!(found.contains(expected), "{poll}: {found}");
        }
    }

    #[test]
    fn one_system_is_not_polled_for_jobs_and_for_tickets() {
        let system = format!("{SYSTEM}{CALLS}completion: {{poll: {{every: 1m, call: jobs}}}}\n")
            .replace("read: {", "jobs: {get: /jobs, reports: {job: $.id, status: $.s}}, read: {");
        let intake = "intake: {poll: {every: 1m, overlap: 1m, call: list, each: $.a}, event: $.id, request: {ticket: $.id}}\n";
        let files = [("systems/waste/system.yaml", &*system), ("systems/waste/intake.yaml", intake)];
        let found = found(&files).join("\n");
        assert!(found.contains("a poll for tickets beside a poll for jobs"), "{found}");
    }
}
