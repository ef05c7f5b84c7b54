use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::domain::{Operation, Service};
use crate::mapping::check::{Check, Fields, Resolve};
use crate::mapping::finding::Finding;
use crate::mapping::yaml::{self, Node, Yaml};
use crate::mapping::{Received, Source};
use crate::{charset, form};

use super::expected::{ExpectedCall, ExpectedReport, Then};

/// One case, read and checked.
pub(in crate::mapping) struct Case {
    /// Its file.
    pub(in crate::mapping) file: String,
    /// Its line.
    pub(in crate::mapping) line: usize,
    /// Its own words.
    pub(in crate::mapping) name: String,
    /// The system whose folder it is in.
    pub(in crate::mapping) system: String,
    /// What it tests.
    pub(in crate::mapping) subject: Subject,
    /// The service whose words are meant.
    pub(super) service: Option<Service>,
    /// The rendering context but for what is filled in by default.
    pub(super) given: Value,
    /// The event or native message that comes in.
    pub(super) event: Option<Received>,
    /// Rows of a file.
    pub(super) rows: Vec<Value>,
    /// The first call.
    pub(super) call: Option<ExpectedCall>,
    /// Every call.
    pub(super) calls: Option<Vec<ExpectedCall>>,
    /// What the system answers, in order.
    pub(super) answers: Vec<Message>,
    /// How it ends.
    pub(super) then: Option<Then>,
    /// What is read.
    pub(in crate::mapping) reports: Option<Vec<ExpectedReport>>,
    /// What an intake's poll finds in the answer.
    pub(super) items: Option<Value>,
    /// What the error holds.
    pub(super) error: Option<String>,
    /// What the warnings hold.
    pub(super) warnings: Vec<String>,
}

/// An answer or event as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// HTTP status; 200 for an event.
    pub status: u16,
    /// Headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Message {
    /// The message as it is read where it may be a list.
    pub(super) fn marked(&self) -> Received {
        Received::marked(self.status, self.headers.clone(), self.bytes.clone())
    }

    /// The message as it is read.
    pub fn received(&self) -> Received {
        Received::new(self.status, self.headers.clone(), &self.bytes)
    }
}

/// What a case tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mapping) enum Subject {
    /// An operation of a service.
    Operation(Service, Operation),
    /// A call by name.
    Call(String),
    /// An event.
    Webhook,
    /// A native message.
    Intake,
    /// Rows of a file.
    Files,
}

/// What a case may give beside the request.
pub(super) const CONTEXT: &[&str] = &["steps", "closure", "dovetail", "change"];
const KEYS: &[&str] = &[
    "case",
    "service",
    "operation",
    "call_name",
    "call",
    "calls",
    "webhook",
    "intake",
    "given",
    "steps",
    "closure",
    "dovetail",
    "change",
    "event",
    "rows",
    "answer",
    "answers",
    "then",
    "reports",
    "items",
    "error",
    "warnings",
];

/// What a file says for all its cases.
struct Common {
    system: String,
    base: Value,
    service: Option<String>,
    operation: Option<String>,
}

/// Reads every file of cases.
pub(in crate::mapping) fn read(sources: &[Source], resolve: Resolve<'_>) -> (Vec<Case>, Vec<Finding>) {
    let mut cases = Vec::new();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_yaml() && source.is_cases()) {
        let mut check = Check::new(&source.path, resolve);
        match yaml::parse(&source.text) {
            Ok(node) => file(&mut check, source, &node, &mut cases),
            Err(error) => check.unparsable(error),
        }
        findings.append(&mut check.findings);
    }
    (cases, findings)
}

fn file(check: &mut Check<'_>, source: &Source, node: &Node, cases: &mut Vec<Case>) {
    let system = source.system().unwrap_or_default().to_owned();
    let (list, common) = match &node.value {
        Yaml::List(_) => {
            (node, Common { system, base: Value::Object(Map::new()), service: None, operation: None })
        }
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::Map(_) => {
            let known = ["base", "service", "operation", "cases"];
            let Some(fields) = check.fields(node, "a file of cases", &known) else { return };
            let none = || Value::Object(Map::new());
            let base = fields.get("base").map_or_else(none, |node| filled(check, node));
            let service = check.text_of(fields, "service");
            let operation = check.text_of(fields, "operation");
            let Some(list) = check.required(fields, "cases", "a file of cases") else { return };
            (list, Common { system, base, service, operation })
        }
    };
    for item in check.items(list) {
        let before = check.findings.len();
        if let Some(case) = case(check, source, item, &common)
            && check.findings.len() == before
        {
            cases.push(case);
        }
    }
}

fn case(check: &mut Check<'_>, source: &Source, node: &Node, common: &Common) -> Option<Case> {
    let fields = check.fields(node, "a case", KEYS)?;
    let name = check.required_text(fields, "case", "a case")?;
    let service = check.text_of(fields, "service").or_else(|| common.service.clone());
    let service = match service.as_deref().map(Service::parse) {
        Some(Ok(service)) => Some(service),
        Some(Err(error)) => {
            check.error(node.line, error.to_string(), error.expected);
            return None;
        }
        None => None,
    };
    let subject = subject(check, fields, common, service.as_ref())?;
    let mut given = common.base.clone();
    if let Some(node) = fields.get("given") {
        merge(&mut given, filled(check, node));
    }
    for key in CONTEXT {
        if let Some(node) = fields.get(key) {
            let mut one = Map::new();
            one.insert((*key).to_owned(), filled(check, node));
            merge(&mut given, Value::Object(one));
        }
    }
    let event =
        fields.get("event").and_then(|node| message(check, node, "event")).map(|event| event.received());
    let rows = fields.get("rows").map(|node| check.items(node)).unwrap_or_default();
    let rows = rows.iter().map(|node| filled(check, node)).collect();
    let call = fields.get("call").filter(|node| matches!(node.value, Yaml::Map(_)));
    let call = call.and_then(|node| ExpectedCall::compile(check, node));
    let calls = fields
        .get("calls")
        .map(|node| check.items(node).iter().filter_map(|node| ExpectedCall::compile(check, node)).collect());
    let answers = match (fields.get("answer"), fields.get("answers")) {
        (Some(one), None) => message(check, one, "answer").into_iter().collect(),
        (None, Some(all)) => {
            check.items(all).iter().filter_map(|node| message(check, node, "an answer")).collect()
        }
        (None, None) => Vec::new(),
        (Some(_), Some(_)) => {
            check.error(node.line, "answer and answers at once", "one of them");
            Vec::new()
        }
    };
    let then = fields.get("then").and_then(|node| Then::compile(check, node));
    let reports = fields.get("reports").map(|node| {
        check.items(node).iter().filter_map(|node| ExpectedReport::compile(check, node)).collect()
    });
    let items = fields.get("items").map(|node| filled(check, node));
    let error = check.text_of(fields, "error");
    let warnings = fields.get("warnings").map(|node| check.texts(node, "warnings")).unwrap_or_default();
    let proves = ["call", "calls", "then", "reports", "items", "error", "warnings"];
    if !proves.iter().any(|key| fields.get(key).is_some()) {
        check.error(node.line, "a case that expects nothing", format!("one of {}", proves.join(", ")));
    }
    Some(Case {
        file: source.path.clone(),
        line: node.line,
        name,
        system: common.system.clone(),
        subject,
        service,
        given,
        event,
        rows,
        call,
        calls,
        answers,
        then,
        reports,
        items,
        error,
        warnings,
    })
}

fn subject(
    check: &mut Check<'_>,
    fields: Fields<'_>,
    common: &Common,
    service: Option<&Service>,
) -> Option<Subject> {
    let named =
        fields.get("call_name").or_else(|| fields.get("call").filter(|node| node.as_text().is_some()));
    if let Some(node) = named {
        return check.text(node, "call_name").map(Subject::Call);
    }
    if fields.get("intake").is_some_and(|node| check.flag(node, "intake")) {
        return Some(Subject::Intake);
    }
    if fields.get("rows").is_some() {
        return Some(Subject::Files);
    }
    let webhook = fields.get("webhook").is_some_and(|node| check.flag(node, "webhook"));
    if webhook || fields.get("event").is_some() {
        return Some(Subject::Webhook);
    }
    let Some(service) = service else {
        let found = "a case that does not say what it tests";
        check.error(
            fields.line(),
            found,
            "service and operation, call_name, webhook: true, rows or intake: true",
        );
        return None;
    };
    let operation = check.text_of(fields, "operation").or_else(|| common.operation.clone());
    let operation = operation.unwrap_or_else(|| Operation::Create.as_str().to_owned());
    match operation.parse() {
        Ok(operation) => Some(Subject::Operation(service.clone(), operation)),
        Err(_) => {
            let known = Operation::ALL.iter().map(|operation| operation.as_str());
            check.unknown(fields.line(), format!("operation {operation}"), &operation, known);
            None
        }
    }
}

/// `{status, headers, body}`, with `body_base64`, `json` or `form` in place of `body`. A `body` is sent in the character
/// set that it says it is in.
fn message(check: &mut Check<'_>, node: &Node, what: &str) -> Option<Message> {
    let bodies = &["body", "body_base64", "json", "form"];
    let fields = check.fields(node, what, &[&["status", "headers"], bodies.as_slice()].concat())?;
    let status = fields.get("status").and_then(|node| check.number(node, "status", 100, 599)).unwrap_or(200);
    let mut headers: Vec<(String, String)> = Vec::new();
    for entry in fields.get("headers").map(Node::entries).unwrap_or_default() {
        headers.extend(check.text(&entry.value, &entry.key).map(|value| (entry.key.clone(), value)));
    }
    let given = fields.among(bodies);
    if given.len() > 1 {
        check.error(node.line, given.join(" and "), "one body");
        return None;
    }
    let mut label = |kind: &str| {
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".into(), kind.into()));
        }
    };
    let bytes = match given.first() {
        Some(&"json") => {
            label("application/json");
            fields.get("json").map(|node| filled(check, node)).unwrap_or_default().to_string().into_bytes()
        }
        Some(&"form") => {
            label("application/x-www-form-urlencoded");
            let pairs = fields.get("form").map(|node| pairs(check, node)).unwrap_or_default();
            form::write(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))).into_bytes()
        }
        Some(&"body_base64") => bytes_of(check, fields.get("body_base64")?)?,
        Some(_) => {
            let text = check.text_of(fields, "body").unwrap_or_default();
            let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            charset::encode(&text, kind.map(|(_, value)| value.as_str()))
        }
        None => Vec::new(),
    };
    Some(Message { status: u16::try_from(status).unwrap_or(200), headers, bytes })
}

fn bytes_of(check: &mut Check<'_>, node: &Node) -> Option<Vec<u8>> {
    let text: String = check.text(node, "body_base64")?.split_whitespace().collect();
    let bytes = STANDARD.decode(text).ok();
    if bytes.is_none() {
        check.error(node.line, node.shown(), "body_base64: the bytes as Base64 (RFC 4648)");
    }
    bytes
}

/// The fields of a form; a list is the same field several times.
pub(super) fn pairs(check: &mut Check<'_>, node: &Node) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for entry in node.entries() {
        for item in check.items(&entry.value) {
            pairs.extend(check.text(item, &entry.key).map(|value| (entry.key.clone(), value)));
        }
    }
    pairs
}

/// A value with its variables filled in.
pub(super) fn filled(check: &mut Check<'_>, node: &Node) -> Value {
    match &node.value {
        Yaml::Text(text) => Value::String(check.fill(node.line, text)),
        Yaml::List(items) => items.iter().map(|item| filled(check, item)).collect(),
        Yaml::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), filled(check, &entry.value))).collect()
        }
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) => node.to_json(),
    }
}

/// Lays one document over another: objects member by member, null takes a member away.
pub(super) fn merge(under: &mut Value, over: Value) {
    let Value::Object(over) = over else {
        *under = over;
        return;
    };
    if !under.is_object() {
        *under = Value::Object(Map::new());
    }
    let Value::Object(under) = under else { return };
    for (name, value) in over {
        if value.is_null() {
            under.remove(&name);
        } else if value.is_object() {
            merge(under.entry(name).or_insert(Value::Null), value);
        } else {
            under.insert(name, value);
        }
    }
}
