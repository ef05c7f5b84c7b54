//! Durations in the settings.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A duration as it is written in the settings: `500ms`, `30s`, `15m`, `2h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl Span {
    /// The duration, unless it is zero.
    pub fn given(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let parsed: Option<SignedDuration> = text.parse().ok();
        let duration = parsed.and_then(|d| Duration::try_from(d).ok());
        duration
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a duration: expected for example 500ms, 30s, 15m or 2h"))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        format!("{}ms", span.0.as_millis())
    }
}
