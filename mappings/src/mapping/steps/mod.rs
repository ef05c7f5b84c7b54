//! The calls an operation makes, in order.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::domain::Job;

use super::check::{Check, Fields};
use super::expression::Expression;
use super::path::Path;
use super::place::Place;
use super::render::{self, Outgoing};
use super::report::Reports;
use super::rules::{self, Asking, Rules};
use super::scope::{Scope, Trail, is_empty};
use super::test::Test;
use super::yaml::{Node, Yaml};
use super::{Answer, Call, Facts, List, ReadError, Reading, Received, Verdict, context};

/// Why a call cannot be rendered: the request lacks or misstates something the system needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct RenderError {
    /// The field of the target, as a dotted path.
    pub field: String,
    /// What is missing or wrong, naming the path it comes from.
    pub reason: String,
}

/// A call, and what was lost in making it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The call.
    pub call: Call,
    /// Truncations and characters left out, each naming its field.
    pub warnings: Vec<String>,
}

/// The calls of one operation.
#[derive(Debug)]
pub struct Steps {
    /// In the order they are made; at least one, and at least one that is not optional.
    pub steps: Vec<Step>,
    /// The mapping says that making the calls twice does no harm.
    pub repeatable: bool,
    /// It names `$.dovetail.jobs`: it wants to know which jobs are open.
    pub names_jobs: bool,
}

/// One call of an operation, and how its answer is read.
pub struct Step {
    /// Its name, under which later steps see its answer.
    pub name: String,
    /// Its failure is a note and never fails the operation.
    pub optional: bool,
    /// Made a second time, it changes nothing more: a later step that fails does not leave it uncertain.
    pub repeatable: bool,
    /// Its answer is kept that long for all operations of the system.
    pub store: Option<Duration>,
    /// The line it starts on.
    pub(super) line: usize,
    /// Where the paths begin that its call sends something of.
    sends: BTreeSet<String>,
    when: Option<Test>,
    requires: Arc<[(String, Path)]>,
    outgoing: Outgoing,
    rules: Rules,
    reports: Option<Reports>,
    next: Option<Expression>,
    xml_lists: Arc<[String]>,
}

impl fmt::Debug for Step {
    /// Only the name: the call may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Steps {
    /// Compiles an operation: `steps: […]`, or the keys of its one step. A single step is named after it.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node, name: &str) -> Option<Self> {
        check.in_call = true;
        check.names_jobs = false;
        check.steps.clear();
        let repeatable = node.get("repeatable").is_some_and(|node| check.flag(node, "repeatable"));
        let steps = match node.get("steps") {
            Some(list) => {
                check.fields(node, name, &["steps", "repeatable"]);
                Self::several(check, list)
            }
            None => Step::compile(check, node, Some(name)).map(|step| vec![step]),
        };
        check.in_call = false;
        check.steps.clear();
        let steps = steps?;
        if steps.iter().all(|step| step.optional) {
            check.error(node.line, format!("{name} with no step but optional ones"), "one step that decides");
        }
        Some(Self { steps, repeatable, names_jobs: check.names_jobs })
    }

    fn several(check: &mut Check<'_>, node: &Node) -> Option<Vec<Step>> {
        let Yaml::List(items) = &node.value else {
            check.error(node.line, node.shown(), "steps: a list of steps");
            return None;
        };
        let mut steps: Vec<Option<Step>> = Vec::with_capacity(items.len());
        for item in items {
            let step = Step::compile(check, item, None);
            if let Some(name) = item.get("name").and_then(Node::as_text) {
                if check.steps.iter().any(|known| known == name) {
                    check.error(item.line, format!("a second step {name}"), "a name of its own");
                }
                check.steps.push(name.to_owned());
            }
            steps.push(step);
        }
        steps.into_iter().collect()
    }

    /// Has every step refuse a context that lacks one of these paths: the first may not be rendered at all,
    /// where its answer is stored.
    pub(super) fn require(&mut self, requires: Vec<(String, Path)>) {
        let requires: Arc<[_]> = requires.into();
        for step in &mut self.steps {
            step.requires = Arc::clone(&requires);
        }
    }

    /// The first path that the service requires and the request lacks: no step would render.
    pub fn lacks(&self, request: &Value) -> Option<&str> {
        self.steps.first()?.lacks(request)
    }

    /// Whether this step and all after it only read, but for what they store: they may be made again at will.
    pub fn only_reads_from(&self, step: &str) -> bool {
        let left = self.steps.iter().skip_while(|left| left.name != step);
        left.into_iter().all(|left| left.is_get() || left.store.is_some())
    }

    /// Whether the time that a poll asks about ends where it is told to: some call uses `$.dovetail.until`.
    pub fn ends_at_until(&self) -> bool {
        self.tells_apart("until")
    }

    /// Whether the time that a poll asks about begins where it is told to: some call uses `$.dovetail.since`.
    pub fn begins_at_since(&self) -> bool {
        self.tells_apart("since")
    }

    /// Whether some call is another one with another time under this name, everything else being equal.
    fn tells_apart(&self, name: &str) -> bool {
        let rendered = |second: i64| {
            let epoch = jiff::Timestamp::UNIX_EPOCH;
            let facts = Facts { since: Some(epoch), until: Some(epoch), ..Facts::at(epoch) };
            let mut context = context(&Value::Null, &facts);
            let time = jiff::Timestamp::from_second(second).unwrap_or_default();
            context["dovetail"][name] = Value::String(time.to_string());
            self.steps.iter().map(|step| step.outgoing.render(&context).ok()).collect::<Vec<_>>()
        };
        rendered(1_000_000_000) != rendered(1_500_000_000)
    }

    /// Whether some step reads reports, and each that does reads a status.
    pub(super) fn reads_reports(&self) -> bool {
        self.steps.iter().any(|step| step.reports.as_ref().is_some_and(Reports::has_status))
    }
}

impl Step {
    fn compile(check: &mut Check<'_>, node: &Node, name: Option<&str>) -> Option<Self> {
        let mut known = if name.is_some() {
            vec!["store", "repeatable"]
        } else {
            vec!["name", "optional", "repeatable", "when", "store"]
        };
        known.extend(render::KEYS);
        known.extend(rules::KEYS);
        known.extend(["reports", "next"]);
        let fields = check.fields(node, "a step", &known)?;
        let name = match name {
            Some(name) => Some(name.to_owned()),
            None => check.required_text(fields, "name", "a step"),
        };
        let optional =
            name.is_some() && fields.get("optional").is_some_and(|node| check.flag(node, "optional"));
        let repeatable = fields.get("repeatable").is_some_and(|node| check.flag(node, "repeatable"));
        let store = fields.get("store").and_then(|node| seconds(check, node));
        let when = fields.get("when").map(|node| Test::compile(check, node, Place::REQUEST));
        check.sent.clear();
        let outgoing = Outgoing::compile(check, fields);
        let sends = std::mem::take(&mut check.sent);
        let rules = Rules::compile(check, fields);
        if let Some(soap) = fields.get("soap").filter(|_| !rules.prove()) {
            let expected = "accepted: {when: …}, by something that only such an answer holds";
            let hint = "a SOAP system often refuses under HTTP 200; only a fault is known as a refusal without a rule";
            check.warn(soap.line, "a soap step whose accepted proves nothing", expected, Some(hint.into()));
        }
        let reports = fields.get("reports").map(|node| Reports::compile(check, node));
        let next = fields.get("next").map(|node| next(check, fields, node));
        let next = match next {
            Some(next) => Some(next?),
            None => None,
        };
        let when = match when {
            Some(when) => Some(when?),
            None => None,
        };
        let reports = match reports {
            Some(reports) => Some(reports?),
            None => None,
        };
        let xml_lists = Arc::clone(&check.xml_lists);
        let requires = Arc::from([]);
        Some(Self {
            name: name?,
            optional,
            repeatable,
            store,
            line: node.line,
            sends,
            when,
            requires,
            outgoing: outgoing?,
            rules,
            reports,
            next,
            xml_lists,
        })
    }

    /// Whether the step is taken in this context.
    pub fn applies(&self, context: &Value) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(Scope::over(context)))
    }

    /// Renders the call.
    ///
    /// # Errors
    /// [`RenderError`] names the field and what the request lacks.
    pub fn render(&self, context: &Value) -> Result<Rendered, RenderError> {
        if let Some(field) = self.lacks(context) {
            let reason = "is absent or empty, and the service requires it".to_owned();
            return Err(RenderError { field: field.to_owned(), reason });
        }
        self.outgoing.render(context)
    }

    /// The first path that the service requires and the context lacks.
    fn lacks(&self, context: &Value) -> Option<&str> {
        let lacking = |(_, path): &&(String, Path)| path.first(context).is_none_or(is_empty);
        self.requires.iter().find(lacking).map(|(field, _)| field.as_str())
    }

    /// Whether the call sends something of one of these, such as `dovetail.key`.
    pub(super) fn sends_any(&self, paths: &[&str]) -> bool {
        let has = |path: &str, sent: &str| {
            let starts = |long: &str, short: &str| {
                long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            // The whole request, or all of `$.dovetail`, holds it too.
            sent.is_empty() || starts(sent, path) || starts(path, sent)
        };
        paths.iter().any(|path| self.sends.iter().any(|sent| has(path, sent)))
    }

    /// Whether making the call a second time would do something again: once accepted, it must not be repeated.
    pub fn would_double(&self) -> bool {
        self.outgoing.is_unsafe_to_repeat() && !self.repeatable && !self.optional && self.store.is_none()
    }

    /// Whether the call only reads, so that it may be made again at will.
    pub fn is_get(&self) -> bool {
        self.outgoing.is_get()
    }

    /// What the answer rules say: `done`, `absent`, `rejected`, `retry`, `accepted`, the first that matches, and where
    /// none does, the status.
    ///
    /// A rule that looks into the body does not match a body that cannot be read; without an `accepted` test,
    /// any 2xx with a body that can be read, or without one, is accepted, unless it states a failure. Where the
    /// mapping reads a job reference and the answer has none, the answer is not accepted.
    pub fn read(&self, received: &Received) -> Verdict {
        let asking = Asking {
            method: self.outgoing.method(),
            reads_reports: self.reports.is_some(),
            xml_lists: &self.xml_lists,
        };
        self.rules.read(received, asking)
    }

    /// Whether its answer is a list that may be long, since its items are read one by one.
    pub fn reads_long_lists(&self) -> bool {
        self.reports.as_ref().is_some_and(Reports::reads_long_lists)
    }

    /// Whether its answer is read for reports.
    pub fn reads_reports(&self) -> bool {
        self.reports.is_some()
    }

    /// Takes the items of a list out of an answer, before its rules are asked; `None` where it has none. What is left
    /// in the answer is all of it where it is small, else what stands around the items. Bytes that are no text are then
    /// those of the items that hold them. An answer that is too large to be read as a whole, and whose items cannot be
    /// told in its text, is unreadable.
    pub fn separate(&self, received: &mut Received) -> Option<List> {
        let reports = self.reports.as_ref()?;
        match reports.separate(&mut received.answer, &self.xml_lists) {
            Ok(list) => {
                if list.is_some() && received.answer.is_text() {
                    received.unreadable = None;
                }
                list
            }
            Err(error) => {
                received.unreadable = Some(error.reason);
                received.answer.body.clear();
                None
            }
        }
    }

    /// The reports in an answer, whose list was separated from it; none when the step reads none. Ask [`Step::read`]
    /// first whether the answer is one at all: an error document simply holds no reports. Where the answer is about one
    /// job, it need not name it.
    ///
    /// # Errors
    /// [`ReadError`] when the body cannot be read, or should be one report and names no job.
    pub fn reports(
        &self,
        answer: &Answer,
        list: Option<&List>,
        about: Option<&Job>,
    ) -> Result<Reading, ReadError> {
        match &self.reports {
            Some(_) if !(200..300).contains(&answer.status) => Ok(Reading::default()),
            Some(reports) => reports.read(answer, list, about, &self.xml_lists),
            None => Ok(Reading::default()),
        }
    }

    /// Where the answer says that its next page is, to be got under the same headers.
    pub fn next(&self, answer: &Answer) -> Option<String> {
        let next = self.next.as_ref()?;
        let document = answer.document(&self.xml_lists).ok()?;
        let link = next.text(Scope::of(answer, &document), &mut Trail::default()).ok()??;
        Some(link.trim().to_owned()).filter(|link| !link.is_empty())
    }

    /// The body of an answer as a document.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    pub fn document(&self, answer: &Answer) -> Result<Value, ReadError> {
        answer.document(&self.xml_lists)
    }

    /// The answer as later steps see it: `{status, headers, body}`; a body that cannot be read is its text.
    pub fn seen(&self, answer: &Answer) -> Value {
        answer.seen(&self.xml_lists)
    }
}

/// Compiles `next:`, which only what changes nothing may have.
fn next(check: &mut Check<'_>, step: Fields<'_>, node: &Node) -> Option<Expression> {
    if step.get("get").is_none() {
        check.error(node.line, "next in a step that is no get", "next only beside get");
    }
    Expression::compile(check, node, Place::NEXT)
}

fn seconds(check: &mut Check<'_>, node: &Node) -> Option<Duration> {
    let fields: Fields<'_> = check.fields(node, "store", &["seconds"])?;
    let seconds = check.required(fields, "seconds", "store")?;
    check.number(seconds, "seconds", 1, 31_536_000).map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
