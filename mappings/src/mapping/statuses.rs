//! What a system's words mean.

use crate::domain::{Disposition, Progress};

/// What a status word of a system means to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The job ended.
    Ended {
        /// How.
        disposition: Disposition,
        /// Why, as a short word of the mapping.
        reason: Option<String>,
        /// What the customer may be told.
        say: Option<String>,
    },
    /// The job goes on.
    Progress {
        /// How far.
        progress: Progress,
        /// What the customer may be told.
        say: Option<String>,
    },
    /// The mapping does not know the word: held, never guessed.
    Unrecognised,
}
