//! The calls an operation makes, in order.

use std::time::Duration;

use serde_json::Value;

use super::{Answer, Call, ReadError, Report, Verdict};

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
    /// Truncations, each naming field and lengths.
    pub warnings: Vec<String>,
}

/// The calls of one operation.
#[derive(Debug)]
pub struct Steps {
    /// In the order they are made; at least one.
    pub steps: Vec<Step>,
}

/// One call of an operation, and how its answer is read.
#[derive(Debug)]
pub struct Step {
    /// Its name, under which later steps see its answer.
    pub name: String,
    /// Its failure is a note and never fails the operation.
    pub optional: bool,
    /// Its answer is kept that long for all operations of the system.
    pub store: Option<Duration>,
}

impl Step {
    /// Whether the step is taken in this context.
    pub fn applies(&self, context: &Value) -> bool {
        let _ = context;
        unimplemented!()
    }

    /// Renders the call.
    ///
    /// # Errors
    /// [`RenderError`] names the field and what the request lacks.
    pub fn render(&self, context: &Value) -> Result<Rendered, RenderError> {
        let _ = context;
        unimplemented!()
    }

    /// What the answer rules say: `done`, `absent`, `rejected`, `retry`, `accepted`, the first that matches.
    pub fn read(&self, answer: &Answer) -> Verdict {
        let _ = answer;
        unimplemented!()
    }

    /// The reports in an answer; empty when the step reads none.
    ///
    /// # Errors
    /// [`ReadError`] when the body cannot be read.
    pub fn reports(&self, answer: &Answer) -> Result<Vec<Report>, ReadError> {
        let _ = answer;
        unimplemented!()
    }

    /// The answer as later steps see it: `{status, headers, body}`; a body that cannot be read is its text.
    pub fn seen(&self, answer: &Answer) -> Value {
        let _ = answer;
        unimplemented!()
    }
}
