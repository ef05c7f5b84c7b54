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
        let rendered = |until: i64| {
            let until = jiff::Timestamp::from_second(until).unwrap_or_default();
            let facts =
                Facts { since: Some(jiff::Timestamp::UNIX_EPOCH), until: Some(until), ..Facts::at(until) };
            let mut context = context(&Value::Null, &facts);
            // What else is of this moment must not look like the end.
            context["dovetail"]["now"] = Value::String(jiff::Timestamp::UNIX_EPOCH.to_string());
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
mod tests {
    use serde_json::json;

    use super::super::add_step;
    use super::super::fixture::{SYSTEM, create, found, request, system};
    use super::*;

    const STEPS: &str = r#"create:
  steps:
    - name: token
      post: /token
      form: {key: "${KEY}"}
      store: {seconds: 60}
    - name: create
      post: /jobs
      headers: {Authorization: {template: "Bearer {$.steps.token.body.access_token}"}}
      json: {a: $.ticket}
      accepted: {job: $.id}
    - name: attach
      when: {path: $.attachments, exists: true}
      optional: true
      post: /jobs/{$.steps.create.body.id}/files
"#;

    #[test]
    fn a_later_step_sees_the_answers_of_the_earlier_ones() {
        let system = system("", STEPS);
        let steps = &create(&system).steps;
        assert_eq!(
            steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(),
            ["token", "create", "attach"]
        );
        assert_eq!(steps[0].store, Some(Duration::from_secs(60)));
        let mut context = request();
        let token = Answer { status: 200, headers: vec![], body: r#"{"access_token": "t0"}"#.into() };
        add_step(&mut context, "token", steps[0].seen(&token));
        let call = steps[1].render(&context).expect("rendered").call;
        assert_eq!(call.headers, [("Authorization".to_owned(), "Bearer t0".to_owned())]);
        assert!(!steps[2].applies(&context));
        context["attachments"] = json!([{"href": "x"}]);
        assert!(steps[2].applies(&context) && steps[2].optional);
    }

    #[test]
    fn what_is_left_of_an_operation_only_reads_or_does_not() {
        let system = system("", STEPS);
        let steps = create(&system);
        assert!(!steps.only_reads_from("token") && !steps.only_reads_from("create"));
        assert!(steps.only_reads_from("gone"), "nothing is left");
        let number = "create:\n  steps:\n    - {name: submit, post: /}\n    - {name: session, post: /t, store: {seconds: 9}}\n    \
                      - {name: number, get: /n}\n";
        let system = super::super::fixture::system("", number);
        let steps = create(&system);
        assert!(!steps.only_reads_from("submit") && steps.only_reads_from("session"));
        assert!(steps.only_reads_from("number"));
    }

    #[test]
    fn only_a_call_that_wants_to_know_is_told_which_jobs_are_open() {
        let calls = "calls:\n  all: {get: /all}\n  some: {get: /some, query: {ids: {join: [\"$.dovetail.jobs[*]\"], with: \",\"}}}\n";
        let system = system(calls, STEPS);
        let names = |call: &str| system.call(call).expect("a call").names_jobs;
        assert!(names("some") && !names("all") && !create(&system).names_jobs);
    }

    #[test]
    fn a_poll_may_say_at_which_time_it_ends() {
        let calls = "calls: {open: {get: /a, query: {since: $.dovetail.since, now: $.dovetail.now}}, \
                     ended: {get: /a, query: {since: $.dovetail.since, to: $.dovetail.until}}}\n";
        let system = system(calls, STEPS);
        let ends = |call: &str| system.call(call).expect("a call").ends_at_until();
        assert_eq!((ends("open"), ends("ended")), (false, true));
    }

    #[test]
    fn a_list_says_where_its_next_page_is() {
        let system = system("calls: {list: {get: /a, next: \"$['@odata.nextLink']\"}}\n", STEPS);
        let list = &system.call("list").expect("a call").steps[0];
        let answer = |body: &str| Answer { status: 200, headers: vec![], body: body.into() };
        let next = answer(r#"{"@odata.nextLink": "https://waste.test/a?page=2", "value": []}"#);
        assert_eq!(list.next(&next).as_deref(), Some("https://waste.test/a?page=2"));
        for last in
            ["{\"value\": []}", "{\"@odata.nextLink\": null}", "{\"@odata.nextLink\": \" \"}", "<html>"]
        {
            assert_eq!(list.next(&answer(last)), None, "{last}");
        }
    }

    #[test]
    fn a_cursor_is_encoded_in_the_address_of_the_next_page() {
        let next = |expression: &str, body: &str| {
            let calls = format!("calls: {{list: {{get: /a, next: {expression}}}}}\n");
            let system = system(&calls, STEPS);
            let answer = Answer { status: 200, headers: vec![], body: body.into() };
            system.call("list").expect("a call").steps[0].next(&answer)
        };
        let cursor = r#"{"next": "b64/+=&page=9", "link": "/a?since=1%2B1"}"#;
        let template = "{template: \"/a?cursor={$.next}\"}";
        assert_eq!(next(template, cursor).as_deref(), Some("/a?cursor=b64%2F%2B%3D%26page%3D9"));
        assert_eq!(next(template, "{}"), None, "without a cursor there is no next page");
        let chosen = "{when: {path: $.next, exists: true}, then: {template: \"?cursor={$.next}\"}}";
        assert_eq!(next(chosen, cursor).as_deref(), Some("?cursor=b64%2F%2B%3D%26page%3D9"));
        let longer = "{template: \"{$.link}&limit=5\"}";
        assert_eq!(next(longer, cursor).as_deref(), Some("/a?since=1%2B1&limit=5"));
    }

    #[test]
    fn what_the_service_requires_is_asked_of_every_step() {
        let system = system("", &format!("requires: [details.container, $.location.usrn]\n{STEPS}"));
        for step in &create(&system).steps {
            let error = step.render(&request()).expect_err("refused").to_string();
            assert_eq!(error, "location.usrn: is absent or empty, and the service requires it");
        }
        let service = crate::domain::Service::parse("waste.missed-bin").expect("valid");
        assert_eq!(system.requires(&service), ["details.container", "location.usrn"]);
    }

    #[test]
    fn secrets_are_shown_neither_by_a_step_nor_by_a_system() {
        let system = system("calls: {token: {post: /t, form: {key: \"${KEY_OF_OURS}\"}}}\n", STEPS);
        let shown = format!("{system:?}");
        assert!(!shown.contains("key_of_ours"), "{shown}");
        assert!(system.secrets().iter().any(|secret| secret.expose() == "key_of_ours"));
    }

    #[test]
    fn wrong_steps_are_refused() {
        let cases = [
            ("steps:\n    - {post: /}", "a step without name"),
            ("steps:\n    - {name: a, post: /, optional: true}", "no step but optional ones"),
            ("steps:\n    - {name: a, post: /}\n    - {name: a, post: /}", "a second step a"),
            (
                "steps:\n    - {name: a, get: \"/{$.steps.b.body.id}\"}\n    - {name: b, post: /}",
                "before which there is no step b",
            ),
            ("steps: {name: a}", "steps: a list of steps"),
            ("steps: []\n  post: /", "unknown key post in create"),
            ("post: /\n  store: {hours: 3}", "unknown key hours in store"),
            ("post: /\n  optional: true", "unknown key optional in a step"),
            ("post: /\n  repeatable: true", "repeatable in create"),
            ("post: /\n  next: $.next", "next in a step that is no get"),
        ];
        for (create, expected) in cases {
            let service = format!("service: waste.missed-bin\nname: N\ncreate:\n  {create}\n");
            let files = [("systems/waste/system.yaml", SYSTEM), ("systems/waste/a.yaml", &*service)];
            let all = found(&files).join("\n");
            assert!(all.contains(expected), "{create}: {all}");
        }
    }
}
