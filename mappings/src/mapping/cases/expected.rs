use serde_json::Value;

use crate::domain::{Disposition, Progress};
use crate::mapping::check::Check;
use crate::mapping::yaml::{Node, Yaml};

use super::file::{filled, pairs};

/// The call a case expects.
pub(super) struct ExpectedCall {
    /// Upper case.
    pub(super) method: String,
    /// With the query, unless that is given apart.
    pub(super) path: String,
    /// The query, decoded.
    pub(super) query: Option<Vec<(String, String)>>,
    /// Headers that must be among those sent.
    pub(super) headers: Vec<(String, String)>,
    /// The body.
    pub(super) body: ExpectedBody,
}

/// The body a case expects.
pub(super) enum ExpectedBody {
    /// Not looked at.
    Any,
    /// Compared by the kind of body that is sent.
    Text(String),
    /// Compared by structure.
    Json(Value),
    /// Compared by fields, in any order.
    Form(Vec<(String, String)>),
}

const METHODS: &[&str] = &["get", "post", "put", "patch", "delete"];

impl ExpectedCall {
    /// Reads `{post: /path, query, headers, body | json | form}`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let known = [METHODS, &["query", "headers", "body", "json", "form"]].concat();
        let fields = check.fields(node, "an expected call", &known)?;
        let method = check.one_of(fields, "an expected call", METHODS)?;
        let path = check.text_of(fields, method)?;
        let query = fields.get("query").map(|node| pairs(check, node));
        let headers = fields.get("headers").map(|node| pairs(check, node)).unwrap_or_default();
        let body = match fields.among(&["body", "json", "form"]).as_slice() {
            [] => ExpectedBody::Any,
            ["body"] => ExpectedBody::Text(check.text_of(fields, "body")?),
            ["json"] => ExpectedBody::Json(filled(check, fields.get("json")?)),
            ["form"] => ExpectedBody::Form(pairs(check, fields.get("form")?)),
            more => {
                check.error(node.line, more.join(" and "), "one body");
                return None;
            }
        };
        Some(Self { method: method.to_uppercase(), path, query, headers, body })
    }
}

/// How a case ends.
pub(super) enum Then {
    /// `delivered: {job, note}`; also `done: TEXT` and `note: TEXT`
    Delivered {
        /// The job's reference; `None` is not looked at.
        job: Option<String>,
        /// What a note holds.
        note: Option<String>,
    },
    /// `rejected: {disposition, reason, say}`
    Rejected {
        /// `None`: the refusal says nothing of how the job ended.
        disposition: Option<Disposition>,
        /// What the reason holds.
        reason: Option<String>,
        /// What the customer is told, word for word.
        say: Option<String>,
    },
    /// `pending: {job, reason}`: the system has it, and is asked for the rest again later
    Pending {
        /// The job's reference so far; `None` is not looked at.
        job: Option<String>,
        /// What the reason holds.
        reason: Option<String>,
    },
    /// `retry: TEXT`
    Retry(String),
    /// `unknown: TEXT`: no rule of the mapping matched
    Unknown(String),
    /// `absent`
    Absent,
    /// `{request, event}` of an intake
    Request {
        /// The document.
        request: Option<Value>,
        /// The event's id.
        event: Option<String>,
    },
}

const ENDS: &[&str] =
    &["delivered", "pending", "rejected", "retry", "unknown", "absent", "done", "note", "request", "event"];

impl Then {
    /// Reads `then:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        if node.as_text() == Some("absent") {
            return Some(Self::Absent);
        }
        let fields = check.fields(node, "then", ENDS)?;
        if !fields.among(&["request", "event"]).is_empty() {
            let request = fields.get("request").map(|node| filled(check, node));
            return Some(Self::Request { request, event: check.text_of(fields, "event") });
        }
        let kind = check.one_of(fields, "then", ENDS)?;
        let value = fields.get(kind)?;
        let text = |check: &mut Check<'_>| match value.value {
            Yaml::Null | Yaml::Map(_) => Some(String::new()),
            Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) => check.text(value, kind),
        };
        match kind {
            "delivered" => {
                let known = ["job", "note"];
                let (mut job, mut note) = (None, None);
                if matches!(value.value, Yaml::Map(_)) {
                    let fields = check.fields(value, kind, &known)?;
                    job = check.text_of(fields, "job");
                    note = check.text_of(fields, "note");
                }
                Some(Self::Delivered { job, note })
            }
            "pending" => {
                let fields = check.fields(value, kind, &["job", "reason"])?;
                let (job, reason) = (check.text_of(fields, "job"), check.text_of(fields, "reason"));
                Some(Self::Pending { job, reason })
            }
            "done" | "note" => Some(Self::Delivered { job: None, note: Some(text(check)?) }),
            "rejected" => {
                let fields = check.fields(value, kind, &["disposition", "reason", "say"])?;
                let words: Vec<_> = Disposition::ALL.iter().map(|word| (word.as_str(), *word)).collect();
                let disposition = match fields.get("disposition") {
                    Some(node) => Some(check.word(node, "disposition", &words)?),
                    None => None,
                };
                let reason = check.text_of(fields, "reason");
                Some(Self::Rejected { disposition, reason, say: check.text_of(fields, "say") })
            }
            "retry" => Some(Self::Retry(text(check)?)),
            "unknown" => Some(Self::Unknown(text(check)?)),
            _ => Some(Self::Absent),
        }
    }
}

/// A report a case expects; what is `None` is not looked at.
pub(in crate::mapping) struct ExpectedReport {
    /// By the same names as in `reports:` of a mapping.
    pub(super) fields: Vec<(&'static str, String)>,
    /// The status.
    pub(in crate::mapping) said: Option<String>,
    /// What it means.
    pub(super) disposition: Option<Disposition>,
    /// What it means.
    pub(super) progress: Option<Progress>,
    /// It means nothing.
    pub(super) unrecognised: bool,
}

const PLAIN: &[&str] = &["key", "job", "reference", "at", "note", "reason", "say"];

impl ExpectedReport {
    /// Reads one report.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let known = [PLAIN, &["status", "disposition", "progress", "unrecognised"]].concat();
        let fields = check.fields(node, "an expected report", &known)?;
        let dispositions: Vec<_> = Disposition::ALL.iter().map(|word| (word.as_str(), *word)).collect();
        let stages: Vec<_> = Progress::ALL.iter().map(|word| (word.as_str(), *word)).collect();
        let plain = PLAIN.iter().filter_map(|name| Some((*name, check.text_of(fields, name)?))).collect();
        Some(Self {
            fields: plain,
            said: check.text_of(fields, "status"),
            disposition: fields
                .get("disposition")
                .and_then(|node| check.word(node, "disposition", &dispositions)),
            progress: fields.get("progress").and_then(|node| check.word(node, "progress", &stages)),
            unrecognised: fields.get("unrecognised").is_some_and(|node| check.flag(node, "unrecognised")),
        })
    }
}
