//! One service of a system, and the operations it has there.

use crate::domain::{Operation, Service};
use crate::sla::Feedback;

use super::check::{Check, Fields};
use super::path::Path;
use super::place::{self, Place};
use super::statuses::Statuses;
use super::targets::{self, TargetRule};
use super::yaml::Node;
use super::{CloseRules, Steps};

/// A service file.
#[derive(Debug)]
pub(super) struct ServiceRules {
    /// The service.
    pub(super) name: Service,
    /// Its name for people.
    pub(super) title: String,
    /// The line the file's mapping starts on.
    pub(super) line: usize,
    create: Option<Steps>,
    amend: Option<Steps>,
    cancel: Option<Steps>,
    close: Option<Steps>,
    /// What closes without a person; `None` when the file does not say.
    pub(super) close_rules: Option<CloseRules>,
    /// The promise.
    pub(super) target: Option<TargetRule>,
    /// Whether customers are asked what they think.
    pub(super) feedback: Option<Feedback>,
    /// Paths the request must have.
    pub(super) requires: Vec<String>,
    /// Words that mean something else for this service.
    pub(super) statuses: Statuses,
}

const KEYS: &[&str] = &[
    "service", "name", "note", "requires", "create", "amend", "cancel", "close", "target", "feedback",
    "lookups", "statuses",
];

impl ServiceRules {
    /// Reads a service file; the tables it may use are already in `check`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "a service file", KEYS)?;
        let name = service(check, fields);
        let title = check.required_text(fields, "name", "a service file");
        check.text_of(fields, "note");
        let requires = fields.get("requires").map(|node| requires(check, node)).unwrap_or_default();
        let mut operation = |operation: Operation| {
            let node = fields.get(operation.as_str())?;
            let told = matches!(operation, Operation::Amend | Operation::Cancel);
            if let Some(flag) = node.get("repeatable").filter(|_| !told) {
                let hint = "whether a create or close may be made again is said by the system's idempotency";
                check.hinted(
                    flag.line,
                    format!("repeatable in {operation}"),
                    "repeatable in amend or cancel",
                    hint,
                );
            }
            Steps::compile(check, node, operation.as_str())
        };
        let mut create = operation(Operation::Create);
        let amend = operation(Operation::Amend);
        let cancel = operation(Operation::Cancel);
        let rules = fields.get("close").filter(|node| CloseRules::is_here(node));
        let close = if rules.is_some() { None } else { operation(Operation::Close) };
        let close_rules = rules.and_then(|node| CloseRules::compile(check, node));
        let target = fields.get("target").and_then(|node| TargetRule::compile(check, node));
        let feedback = fields.get("feedback").and_then(|node| targets::feedback(check, node));
        let statuses = fields.get("statuses").map(|node| Statuses::compile(check, node)).unwrap_or_default();
        if fields.among(&["create", "amend", "cancel", "close"]).is_empty() {
            check.error(node.line, "a service file without an operation", "create, amend, cancel or close");
        }
        let paths: Vec<String> = requires.iter().map(|(name, _)| name.clone()).collect();
        if let Some(create) = &mut create {
            create.require(requires);
        }
        let line = node.line;
        let (name, title) = (name?, title?);
        Some(Self {
            name,
            title,
            line,
            create,
            amend,
            cancel,
            close,
            close_rules,
            target,
            feedback,
            requires: paths,
            statuses,
        })
    }

    /// The calls of an operation.
    pub(super) fn operation(&self, operation: Operation) -> Option<&Steps> {
        match operation {
            Operation::Create => self.create.as_ref(),
            Operation::Amend => self.amend.as_ref(),
            Operation::Cancel => self.cancel.as_ref(),
            Operation::Close => self.close.as_ref(),
        }
    }
}

fn service(check: &mut Check<'_>, fields: Fields<'_>) -> Option<Service> {
    let node = check.required(fields, "service", "a service file")?;
    let text = check.text(node, "service")?;
    let service = Service::parse(&text);
    if let Err(error) = &service {
        check.error(node.line, format!("service {}", node.shown()), error.expected);
    }
    service.ok()
}

fn requires(check: &mut Check<'_>, node: &Node) -> Vec<(String, Path)> {
    let texts = check.texts(node, "requires");
    texts
        .into_iter()
        .filter_map(|text| {
            let bare = text.strip_prefix("$.").unwrap_or(&text).to_owned();
            let path = place::path(check, node.line, &format!("$.{bare}"), Place::REQUEST)?;
            Some((bare, path))
        })
        .collect()
}
