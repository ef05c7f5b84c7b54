//! What a system says of its jobs.

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::{Job, Ticket};

use super::check::Check;
use super::date;
use super::expression::Expression;
use super::path::Path;
use super::place::{self, Place};
use super::scope::{Scope, Trail};
use super::yaml::Node;
use super::{Answer, ReadError};

/// A system's word on one job, before its meaning is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What makes this word recognisable when it comes again.
    pub key: Option<String>,
    /// The system's reference.
    pub job: Option<Job>,
    /// Our reference, as the system gives it back.
    pub reference: Option<Ticket>,
    /// The status, in the system's words; empty where the mapping or the system gives none.
    pub said: String,
    /// When the system says it happened; `None` also where that cannot be read.
    pub at: Option<Timestamp>,
    /// What somebody wrote beside it.
    pub note: Option<String>,
}

/// A row of a file that says nothing that could be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found}; expected {expected}")]
pub struct BadRow {
    /// What was found, without what it says of anybody.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl BadRow {
    /// A row in which this was found.
    pub fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { found: found.into(), expected: expected.into() }
    }
}

/// `reports: {each, job, reference, status, at, note, key}`
pub(super) struct Reports {
    each: Option<Path>,
    job: Option<Expression>,
    reference: Option<Expression>,
    status: Option<Expression>,
    at: Option<Expression>,
    note: Option<Expression>,
    key: Option<Expression>,
}

impl Reports {
    /// Compiles the mapping of reports.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let known = ["each", "job", "reference", "status", "at", "note", "key"];
        let fields = check.fields(node, "reports", &known)?;
        let each = match check.text_of(fields, "each") {
            Some(text) => Some(place::path(check, node.line, &text, Place::ANSWER)?),
            None => None,
        };
        if fields.among(&["job", "reference"]).is_empty() {
            check.error(
                node.line,
                "reports without job and reference",
                "at least one, to know whose word it is",
            );
        }
        let mut one = |key: &str| {
            fields.get(key).and_then(|node| Expression::compile(check, node, Place::ANSWER.in_list()))
        };
        Some(Self {
            job: one("job"),
            reference: one("reference"),
            status: one("status"),
            at: one("at"),
            note: one("note"),
            key: one("key"),
            each,
        })
    }

    /// Whether a status is read.
    pub(super) fn has_status(&self) -> bool {
        self.status.is_some()
    }

    /// Reads every report in an answer or event.
    ///
    /// In a list an item without a reference is still reported, so that nothing is dropped unseen. A list is empty
    /// where it has its place in the document, and where the system says 204: it has nothing to say.
    ///
    /// # Errors
    /// [`ReadError`] when the body cannot be read, holds no place for the list, or should be one report and names
    /// no job.
    pub(super) fn read(&self, answer: &Answer, xml_lists: &[String]) -> Result<Vec<Report>, ReadError> {
        let document = answer.document(xml_lists)?;
        let scope = Scope::of(answer, &document);
        let Some(each) = &self.each else {
            let report = self.one(scope);
            if report.job.is_none() && report.reference.is_none() {
                return Err(ReadError { reason: "the body names neither a job nor our reference".into() });
            }
            return Ok(vec![report]);
        };
        if answer.status == 204 && document.is_null() {
            return Ok(Vec::new());
        }
        let items = scope.list(each)?;
        Ok(items.into_iter().map(|item| self.one(scope.at(item))).collect())
    }

    /// Whether it reads a list.
    pub(super) fn is_list(&self) -> bool {
        self.each.is_some()
    }

    /// Reads a row of a file, which is one report and must be whole.
    pub(super) fn of_row(&self, row: &Value) -> Result<Report, BadRow> {
        let scope = Scope::over(row);
        let report = self.one(scope);
        let says = |expression: &Option<Expression>| match expression {
            None => false,
            Some(expression) => match expression.text(scope, &mut Trail::default()) {
                Ok(text) => text.is_some_and(|text| !text.trim().is_empty()),
                Err(_) => true,
            },
        };
        if report.job.is_none() && says(&self.job) {
            return Err(BadRow::new("a job that cannot be one", "a reference of at most 200 letters"));
        }
        if report.job.is_none() && report.reference.is_none() {
            return Err(BadRow::new(
                "neither a job nor our reference",
                "one of them, to know whose word it is",
            ));
        }
        if report.said.is_empty() {
            return Err(BadRow::new(
                "no status",
                "a word of the system in the column that the mapping names",
            ));
        }
        if report.at.is_none() && says(&self.at) {
            let expected = "a time as the mapping reads it, for example 2026-11-23T09:00:00Z";
            return Err(BadRow::new("a time that cannot be read", expected));
        }
        Ok(report)
    }

    fn one(&self, scope: Scope<'_>) -> Report {
        let text = |expression: &Option<Expression>| -> Option<String> {
            let text = expression.as_ref()?.text(scope, &mut Trail::default()).ok()??;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Report {
            key: text(&self.key),
            job: text(&self.job).and_then(|text| Job::parse(&text).ok()),
            reference: text(&self.reference).and_then(|text| Ticket::parse(&text).ok()),
            said: text(&self.status).unwrap_or_default(),
            at: text(&self.at).and_then(|text| date::timestamp(&text)),
            note: text(&self.note),
        }
    }
}

/// A path of a webhook's shared secret.
pub(super) fn secret_at(path: &Path, event: &Answer, xml_lists: &[String]) -> Option<String> {
    let document: Value = event.document(xml_lists).ok()?;
    let scope = Scope::of(event, &document);
    scope.first(path).and_then(super::scope::text_of).map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn reports(mapping: &str) -> Reports {
        let mut check = Check::new("f.yaml", &lower);
        let reports = Reports::compile(&mut check, &yaml::parse(mapping).expect("yaml"));
        assert!(check.findings.is_empty(), "{:?}", check.findings);
        reports.expect("compiled")
    }

    fn read(mapping: &str, body: &str) -> Result<Vec<Report>, ReadError> {
        reports(mapping).read(&Answer { status: 200, headers: vec![], body: body.into() }, &[])
    }

    const LIST: &str = r#"
        each: $..Worksheet
        job: "@.Id"
        reference: "@.Ref"
        status: "@.Status"
        at: {from: "@.When", date: {input: "%d/%m/%Y %H:%M", zone: Europe/London}}
        note: {join: ["@.Note[*]"], with: "; "}
        key: {template: "{@.Id}-{@.When}"}"#;

    #[test]
    fn one_element_and_many_read_alike() {
        let one =
            "<R><Worksheet><Id>7</Id><Status> Not Out </Status><When>01/07/2026 10:15</When></Worksheet></R>";
        let report = Report {
            key: Some("7-01/07/2026 10:15".into()),
            job: Job::parse("7").ok(),
            reference: None,
            said: "Not Out".into(),
            at: "2026-07-01T09:15:00Z".parse().ok(),
            note: None,
        };
        assert_eq!(read(LIST, one), Ok(vec![report.clone()]));
        let two = "<R><Worksheet><Id>7</Id><Status>Not Out</Status><When>01/07/2026 10:15</When></Worksheet>\
                   <Worksheet><Ref>CRM-1</Ref><When>soon</When><Note>a</Note><Note>b</Note></Worksheet></R>";
        let read = read(LIST, two).expect("readable");
        assert_eq!(read[0], report);
        assert_eq!(read[1].reference, Ticket::parse("CRM-1").ok());
        assert_eq!((read[1].said.as_str(), read[1].at, read[1].note.as_deref()), ("", None, Some("a; b")));
    }

    #[test]
    fn an_empty_list_is_no_report() {
        for body in ["<R/>", "<R><Worksheet/></R>"] {
            assert_eq!(read(LIST, body), Ok(vec![]), "{body}");
        }
        assert!(read(LIST, "<html/>").is_err());
        let jobs = "{each: $.result.jobs, job: \"@.id\", status: \"@.s\"}";
        for body in [r#"{"result": {"jobs": []}}"#, r#"{"result": {}}"#, r#"{"result": null}"#] {
            assert_eq!(read(jobs, body), Ok(vec![]), "{body}");
        }
        let nothing = Answer { status: 204, headers: vec![], body: String::new() };
        assert_eq!(reports(jobs).read(&nothing, &[]), Ok(vec![]));
    }

    #[test]
    fn an_answer_without_the_place_of_the_list_is_no_empty_list() {
        let jobs = "{each: $.result.jobs, job: \"@.id\", status: \"@.s\"}";
        for body in ["", "OK", "7", "{}", r#"{"message": "maintenance"}"#, "[]"] {
            let error = read(jobs, body).expect_err(body);
            assert!(error.reason.contains("where a list was expected at $.result.jobs"), "{error}");
        }
        assert!(read(LIST, "").is_err());
    }

    #[test]
    fn a_single_event_must_name_its_job() {
        let mapping = "{job: $.id, status: $.state}";
        assert_eq!(read(mapping, r#"{"id": 7, "state": "done"}"#).map(|reports| reports.len()), Ok(1));
        assert!(read(mapping, r#"{"state": "done"}"#).expect_err("refused").reason.contains("neither a job"));
        assert!(read(mapping, "").is_err());
    }
}
