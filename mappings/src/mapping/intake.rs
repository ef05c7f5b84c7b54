//! A CRM's native message, translated to a request.

use jiff::Timestamp;
use serde_json::Value;

use super::ReadError;

/// How a CRM's native message becomes a canonical request.
#[derive(Debug)]
pub struct Intake(());

impl Intake {
    /// Translates a message: the event's own id, for the inbox key, and the request document.
    /// `now` is `$.dovetail.now`. The document is not yet checked against the schema.
    ///
    /// # Errors
    /// [`ReadError`] when the body cannot be read, or lacks what the mapping requires.
    pub fn translate(&self, body: &str, now: Timestamp) -> Result<(Option<String>, Value), ReadError> {
        let _ = (body, now);
        unimplemented!()
    }
}
