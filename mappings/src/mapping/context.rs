//! The document that `$` selects from while a call is rendered.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::domain::{CallId, HandoverId, Job, Operation, RequestId};

/// What Dovetail itself knows when it makes a call; goes beside the request under `$.dovetail` and the other
/// top-level keys. Start from [`Facts::at`] and set what there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// `$.dovetail.now`.
    pub now: Timestamp,
    /// `$.dovetail.key`: the idempotency key.
    pub key: Option<CallId>,
    /// `$.dovetail.request`.
    pub request: Option<RequestId>,
    /// `$.dovetail.handover`.
    pub handover: Option<HandoverId>,
    /// `$.dovetail.operation`.
    pub operation: Option<Operation>,
    /// `$.dovetail.job`: known for amend, cancel and polls of one job.
    pub job: Option<Job>,
    /// `$.dovetail.jobs`: status queries about many jobs at once.
    pub jobs: Vec<Job>,
    /// `$.dovetail.since`: polls for changes.
    pub since: Option<Timestamp>,
    /// `$.dovetail.until`: the end of the time that a poll for changes asks about.
    pub until: Option<Timestamp>,
    /// `$.dovetail.traceparent`.
    pub traceparent: Option<String>,
    /// `$.dovetail.callback_url`: where the system may call us.
    pub callback_url: Option<String>,
    /// `$.closure`: `{disposition, reason, say, evidence: [{system, said, at}]}`, for the close operation.
    pub closure: Option<Value>,
    /// `$.change`: the revision as it was sent, for amend, cancel, and the create of a ticket that was opened again.
    pub change: Option<Value>,
    /// `$.event`: the body of a thin event, for its read-back.
    pub event: Option<Value>,
}

impl Facts {
    /// Only the time.
    pub fn at(now: Timestamp) -> Self {
        Self {
            now,
            key: None,
            request: None,
            handover: None,
            operation: None,
            job: None,
            jobs: Vec::new(),
            since: None,
            until: None,
            traceparent: None,
            callback_url: None,
            closure: None,
            change: None,
            event: None,
        }
    }
}

/// The rendering context: the request document with Dovetail's own keys beside its fields.
/// For a poll there is no request: give `Value::Null`.
pub fn context(document: &Value, facts: &Facts) -> Value {
    context_of(document.clone(), facts)
}

/// The same, of a document that nobody else needs.
pub fn context_of(document: Value, facts: &Facts) -> Value {
    let mut context = match document {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    let text = |value: Option<String>| value.map(Value::String);
    let own = [
        ("key", text(facts.key.map(|key| key.to_string()))),
        ("request", text(facts.request.map(|request| request.to_string()))),
        ("handover", text(facts.handover.map(|handover| handover.to_string()))),
        ("operation", text(facts.operation.map(|operation| operation.to_string()))),
        ("job", text(facts.job.as_ref().map(|job| job.to_string()))),
        ("now", text(Some(facts.now.to_string()))),
        ("since", text(facts.since.map(|since| since.to_string()))),
        ("until", text(facts.until.map(|until| until.to_string()))),
        ("traceparent", text(facts.traceparent.clone())),
        ("callback_url", text(facts.callback_url.clone())),
    ];
    let mut own: Map<String, Value> =
        own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    if !facts.jobs.is_empty() {
        own.insert("jobs".into(), facts.jobs.iter().map(|job| job.as_str()).collect());
    }
    context.insert("dovetail".into(), Value::Object(own));
    for (name, value) in [("closure", &facts.closure), ("change", &facts.change), ("event", &facts.event)] {
        if let Some(value) = value {
            context.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(context)
}

/// Puts a step's answer ([`super::Step::seen`]) under `$.steps.<name>` for the steps that follow.
/// Nothing happens to a context that is not an object.
pub fn add_step(context: &mut Value, name: &str, seen: Value) {
    let Value::Object(members) = context else { return };
    let steps = members.entry("steps").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(steps) = steps {
        steps.insert(name.to_owned(), seen);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_context_is_the_request_with_our_own_facts_beside_it() {
        let now: Timestamp = "2026-11-22T09:15:00Z".parse().expect("valid");
        let facts = Facts {
            job: Job::parse("7").ok(),
            operation: Some(Operation::Amend),
            change: Some(json!({"reason": "x"})),
            ..Facts::at(now)
        };
        let mut made = context(&json!({"ticket": "CRM-1", "dovetail": "theirs"}), &facts);
        add_step(&mut made, "read", json!({"status": 200}));
        assert_eq!(
            made,
            json!({"ticket": "CRM-1", "change": {"reason": "x"}, "steps": {"read": {"status": 200}},
                   "dovetail": {"operation": "amend", "job": "7", "now": "2026-11-22T09:15:00Z"}})
        );
        assert_eq!(
            context(&Value::Null, &Facts::at(now)),
            json!({"dovetail": {"now": "2026-11-22T09:15:00Z"}})
        );
    }
}
