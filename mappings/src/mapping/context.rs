//! The document that `$` selects from while a call is rendered.

use jiff::Timestamp;
use serde_json::Value;

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
    /// `$.dovetail.since`: polls for changes.
    pub since: Option<Timestamp>,
    /// `$.dovetail.traceparent`.
    pub traceparent: Option<String>,
    /// `$.dovetail.callback_url`: where the system may call us.
    pub callback_url: Option<String>,
    /// `$.closure`: `{disposition, reason, say, evidence: [{system, said, at}]}`, for the close operation.
    pub closure: Option<Value>,
    /// `$.change`: what was amended and why, for the amend operation.
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
            since: None,
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
    let _ = (document, facts);
    unimplemented!()
}

/// Puts a step's answer ([`super::Step::seen`]) under `$.steps.<name>` for the steps that follow.
pub fn add_step(context: &mut Value, name: &str, seen: Value) {
    let _ = (context, name, seen);
    unimplemented!()
}
