//! What came back from a call, and what the mapping makes of it.

use serde_json::Value;

use crate::domain::{Disposition, Job};

/// A body that cannot be read as the document it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ReadError {
    /// What was found and what was expected, in plain words; never the body itself.
    pub reason: String,
}

/// An answer of a system, or an event it sent: the body is already text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status; 200 for an event.
    pub status: u16,
    /// Headers in the order received; names in any case.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: String,
}

impl Answer {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as a document: JSON as it is, XML by the rules of the language, a form as an object of
    /// strings, other text as a string, an empty body as null. Elements named in `xml_lists` are always lists.
    ///
    /// # Errors
    /// [`ReadError`] when the body is not what its type says, is HTML, is nested too deep, or is XML with a
    /// doctype or entities of its own.
    pub fn document(&self, xml_lists: &[String]) -> Result<Value, ReadError> {
        let _ = xml_lists;
        unimplemented!()
    }
}

/// What the answer rules of a step say of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is left to do; later steps are skipped.
    Done {
        /// What a person should know.
        note: String,
    },
    /// The system has nothing under our reference.
    Absent,
    /// The system refused, in words the mapping knows.
    Rejected {
        /// How the job ended.
        disposition: Disposition,
        /// Why, in the system's words or the mapping's.
        reason: String,
        /// What the customer may be told.
        say: Option<String>,
    },
    /// Certainly not carried out; worth another try.
    Retry {
        /// Why.
        reason: String,
    },
    /// The system has it.
    Accepted {
        /// The system's own reference, where the mapping reads one.
        job: Option<Job>,
    },
    /// No rule matched: the connector decides by the status.
    NotAccepted {
        /// What was missing.
        reason: String,
    },
}
