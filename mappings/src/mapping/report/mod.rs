//! What a system says of its jobs.

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::{Job, Ticket};

use super::check::Check;
use super::date;
use super::expression::Expression;
use super::list;
use super::path::Path;
use super::place::{self, Place};
use super::reading::{BadItem, Reading};
use super::scope::{Scope, Trail, is_empty};
use super::test::Test;
use super::yaml::Node;
use super::{Answer, ReadError};

/// The most tickets that one item may name.
const MOST_REFERENCES: usize = 200;
/// The most that is read of a list whose path cannot be followed through its text, and so becomes a tree as a whole.
pub(super) const TREE: usize = 4 << 20;

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
    /// The item names several of our references and this is its word on one: the job may be another ticket's.
    pub one_of_several: bool,
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

/// What a row of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Its words, one for each of our references that it names.
    Says(Vec<Report>),
    /// The mapping leaves it to others: its `when` does not hold.
    PassedOver,
}

/// `reports: {each, when, job, reference, status, at, note, key}`
pub(super) struct Reports {
    each: Option<Path>,
    when: Option<Test>,
    job: Option<Expression>,
    reference: Option<Expression>,
    status: Option<Expression>,
    at: Option<Expression>,
    note: Option<Expression>,
    key: Option<Expression>,
    /// The largest item that is read, in bytes.
    largest: usize,
}

/// A list that was cut into its items, each to be read by itself.
pub struct List {
    body: String,
    list: list::List,
}

impl Reports {
    /// Compiles the mapping of reports.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let known = ["each", "when", "job", "reference", "status", "at", "note", "key"];
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
        let when = match fields.get("when") {
            Some(node) => Some(Test::compile(check, node, Place::ANSWER.in_list())?),
            None => None,
        };
        let largest = check.largest_item;
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
            when,
            largest,
        })
    }

    /// Whether a status is read.
    pub(super) fn has_status(&self) -> bool {
        self.status.is_some()
    }

    /// Whether it reads a list.
    pub(super) fn is_list(&self) -> bool {
        self.each.is_some()
    }

    /// Whether it reads lists whose items can be told in the text, so that a long one can be read.
    pub(super) fn reads_long_lists(&self) -> bool {
        self.each.as_ref().is_some_and(|each| each.hops().is_some())
    }

    /// Cuts a list into its items; `None` where there is none, or where it is read as a whole. The answer that is left
    /// is what its rules and later steps look at: all of it where it is small and can be read, else what stands
    /// around the items with the first that can be read.
    ///
    /// # Errors
    /// [`ReadError`] where it cannot be cut and is too large to be read as a whole.
    pub(super) fn separate(
        &self,
        answer: &mut Answer,
        xml_lists: &[String],
    ) -> Result<Option<List>, ReadError> {
        let cut = self.each.as_ref().and_then(|each| list::List::cut(&answer.body, each, xml_lists));
        match cut {
            Some(Ok(mut list)) => {
                let body = std::mem::take(&mut answer.body);
                let small = Answer { body, headers: answer.headers.clone(), ..*answer };
                let is_whole = small.body.len() <= list::WHOLE
                    && small.is_text()
                    && list::ITEM.measure(&small.body).is_ok()
                    && small.document(xml_lists).is_ok();
                let around = std::mem::take(&mut list.around);
                answer.body = if is_whole { small.body.clone() } else { around };
                Ok(Some(List { body: small.body, list }))
            }
            Some(Err(error)) if answer.body.len() > TREE => Err(error),
            None if answer.body.len() > TREE => {
                let reason = format!(
                    "the answer is larger than {}, and its items cannot be told one by one: expected `each` as a \
                     path of names, such as $.jobs[*]",
                    size(TREE)
                );
                Err(ReadError { reason })
            }
            Some(Err(_)) | None => Ok(None),
        }
    }

    /// Reads every report in an answer or event. An item that cannot be read is set aside, and the others are read.
    /// Where the answer is about one job, its items need not name it. A list is empty where it has its place in the
    /// document, and where the system says 204: it has nothing to say.
    ///
    /// # Errors
    /// [`ReadError`] when the body cannot be read, holds no place for the list, or should be one report and names no
    /// job.
    pub(super) fn read(
        &self,
        answer: &Answer,
        list: Option<&List>,
        about: Option<&Job>,
        xml_lists: &[String],
    ) -> Result<Reading, ReadError> {
        let document = answer.document(xml_lists)?;
        let scope = Scope::of(answer, &document);
        let mut reading = Reading::default();
        let Some(each) = &self.each else {
            if self.passes_over(scope) {
                reading.passed_over += 1;
                return Ok(reading);
            }
            let mut reports = self.one(scope, about).map_err(|reason| ReadError { reason })?;
            if let Some(reason) = reports.wrong.take() {
                reading.set_aside.push(BadItem::new(reason, &answer.body));
            }
            reading.reports = reports.good;
            return Ok(reading);
        };
        if answer.status == 204 && document.is_null() {
            return Ok(reading);
        }
        let Some(List { body, list }) = list else {
            for item in scope.list(each)? {
                self.item(scope.at(item), about, &mut reading, || item.to_string());
            }
            return Ok(reading);
        };
        if list.items.is_empty() {
            // A list without items has its place all the same.
            scope.list(each)?;
        }
        for (place, reached) in &list.items {
            let text = &body[place.clone()];
            if text.len() > self.largest {
                let reason =
                    format!("an item of {} bytes: expected at most {}", text.len(), size(self.largest));
                reading.set_aside.push(BadItem::new(reason, text));
                continue;
            }
            match list.read(text, *reached, xml_lists) {
                Ok(values) => {
                    for value in &values {
                        self.item(scope.at(value), about, &mut reading, || text.to_owned());
                    }
                }
                Err(error) => reading.set_aside.push(BadItem::new(error.reason, text)),
            }
        }
        Ok(reading)
    }

    /// Reads one item of a list, which is not empty.
    fn item(&self, scope: Scope<'_>, about: Option<&Job>, reading: &mut Reading, text: impl Fn() -> String) {
        if is_empty(scope.item) {
            return;
        }
        if self.passes_over(scope) {
            reading.passed_over += 1;
            return;
        }
        match self.one(scope, about) {
            Ok(reports) => {
                reading.reports.extend(reports.good);
                reading.set_aside.extend(reports.wrong.map(|reason| BadItem::new(reason, &text())));
            }
            Err(reason) => reading.set_aside.push(BadItem::new(reason, &text())),
        }
    }

    fn passes_over(&self, scope: Scope<'_>) -> bool {
        self.when.as_ref().is_some_and(|when| !when.holds(scope))
    }

    /// Reads a row of a file, which must be whole.
    pub(super) fn of_row(&self, row: &Value) -> Result<Row, BadRow> {
        let scope = Scope::over(row);
        if self.passes_over(scope) {
            return Ok(Row::PassedOver);
        }
        let says = |expression: &Option<Expression>| match expression {
            None => false,
            Some(expression) => match expression.text(scope, &mut Trail::default()) {
                Ok(text) => text.is_some_and(|text| !text.trim().is_empty()),
                Err(_) => true,
            },
        };
        if self.text(&self.job, scope).is_some_and(|job| Job::parse(&job).is_err()) {
            return Err(BadRow::new("a job that cannot be one", "a reference of at most 200 letters"));
        }
        let reports = match self.one(scope, None) {
            Ok(Items { good, wrong: None }) => good,
            Ok(Items { wrong: Some(reason), .. }) | Err(reason) => {
                let (found, expected) = reason.split_once(": expected ").unwrap_or((&reason, "a whole row"));
                return Err(BadRow::new(found, expected));
            }
        };
        if reports.iter().any(|report| report.said.is_empty()) {
            return Err(BadRow::new(
                "no status",
                "a word of the system in the column that the mapping names",
            ));
        }
        if reports.iter().any(|report| report.at.is_none()) && says(&self.at) {
            let found = match self.at.as_ref().map(|at| at.text(scope, &mut Trail::default())) {
                Some(Ok(Some(text))) => format!("a time that cannot be read, {text:?}"),
                // The modifier says what it found and which form it expected.
                Some(Err(error)) => format!("a time that cannot be read, {}", error.reason),
                Some(Ok(None)) | None => "a time that cannot be read".to_owned(),
            };
            let expected = "a time as the mapping reads it: `date: {input: …}` says its form, else RFC 3339";
            return Err(BadRow::new(found, expected));
        }
        Ok(Row::Says(reports))
    }

    fn text(&self, expression: &Option<Expression>, scope: Scope<'_>) -> Option<String> {
        let text = expression.as_ref()?.text(scope, &mut Trail::default()).ok()??;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// What the item says of each ticket that it names, or of the job alone.
    fn one(&self, scope: Scope<'_>, about: Option<&Job>) -> Result<Items, String> {
        self.lacks(scope)?;
        let job = match self.text(&self.job, scope) {
            Some(text) => Some(Job::parse(&text).map_err(|error| {
                let letters = text.chars().count();
                format!("a job that cannot be one, of {letters} letters: expected {}", error.expected)
            })?),
            None => about.cloned(),
        };
        let at = self.text(&self.at, scope).map(|text| date::timestamp(&text));
        if at == Some(None) && self.at.as_ref().is_some_and(Expression::is_required) {
            return Err("a time that cannot be read: expected one as 2026-11-23T09:00:00Z".to_owned());
        }
        let (references, wrong) = self.references(scope)?;
        if job.is_none() && references.is_empty() {
            return Err(wrong.unwrap_or_else(|| {
                "neither a job nor our reference: expected one of them, to know whose word it is".to_owned()
            }));
        }
        let report = Report {
            key: self.text(&self.key, scope),
            job,
            reference: None,
            said: self.text(&self.status, scope).unwrap_or_default(),
            at: at.flatten(),
            note: self.text(&self.note, scope),
            one_of_several: false,
        };
        let good = match references.as_slice() {
            [] => vec![report],
            [one] => vec![Report { reference: Some(one.clone()), ..report }],
            several => several
                .iter()
                .map(|reference| Report {
                    // Each is known again by itself, in whatever order they are named.
                    key: report.key.as_ref().map(|key| format!("{key}/{reference}")),
                    reference: Some(reference.clone()),
                    one_of_several: true,
                    ..report.clone()
                })
                .collect(),
        };
        Ok(Items { good, wrong })
    }

    /// What the mapping requires and the item has not.
    fn lacks(&self, scope: Scope<'_>) -> Result<(), String> {
        let all = [
            ("job", &self.job),
            ("status", &self.status),
            ("at", &self.at),
            ("note", &self.note),
            ("key", &self.key),
        ];
        for (name, expression) in all {
            if let Some(expression) = expression.as_ref().filter(|expression| expression.is_required()) {
                expression.text(scope, &mut Trail::at(name)).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Our references that the item names, and what stands among them that is none.
    fn references(&self, scope: Scope<'_>) -> Result<(Vec<Ticket>, Option<String>), String> {
        let Some(expression) = &self.reference else { return Ok((Vec::new(), None)) };
        let texts = match expression.texts(scope, &mut Trail::at("reference")) {
            Ok(texts) => texts,
            Err(error) if expression.is_required() => return Err(error.to_string()),
            Err(_) => Vec::new(),
        };
        if texts.len() > MOST_REFERENCES {
            return Err(format!("{} references: expected at most {MOST_REFERENCES}", texts.len()));
        }
        let (mut references, mut wrong) = (Vec::new(), None);
        for text in texts {
            match Ticket::parse(&text) {
                Ok(ticket) if references.contains(&ticket) => {}
                Ok(ticket) => references.push(ticket),
                Err(error) => {
                    let letters = text.chars().count();
                    wrong = Some(format!(
                        "a reference that is no ticket's, of {letters} letters: expected {}",
                        error.expected
                    ));
                }
            }
        }
        Ok((references, wrong))
    }
}

/// What one item says.
struct Items {
    good: Vec<Report>,
    /// What could not be read beside.
    wrong: Option<String>,
}

/// A size for people.
pub(super) fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) {
        format!("{} KiB", bytes >> 10)
    } else {
        format!("{bytes} bytes")
    }
}

/// A path of a webhook's shared secret.
pub(super) fn secret_at(path: &Path, event: &Answer, xml_lists: &[String]) -> Option<String> {
    let document: Value = event.document(xml_lists).ok()?;
    let scope = Scope::of(event, &document);
    scope.first(path).and_then(super::scope::text_of).map(|text| text.into_owned())
}

#[cfg(test)]
mod tests;
