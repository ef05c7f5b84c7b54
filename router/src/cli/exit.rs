//! How a command ends: its exit code, and what is said on standard error.

use std::fmt::Write as _;
use std::process::ExitCode;

/// The exit codes, as the help documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It is as it should be: 0.
    Ok,
    /// The thing asked about is not as it should be: 1.
    NotOk,
    /// The command could not do its work: 2.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => Self::SUCCESS,
            Exit::NotOk => Self::from(1),
            Exit::Failed => Self::from(2),
        }
    }
}

/// A mistake that the person at the keyboard can mend.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Mistake {
    /// What was found and what was expected.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Mistake {
    /// A mistake and the way out.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

/// An error as a person reads it: what failed, its causes, and the hint where there is one.
pub fn report(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            let _ = writeln!(text, "  because: {cause}");
            said = cause;
        }
    }
    if let Some(mistake) = error.chain().find_map(|cause| cause.downcast_ref::<Mistake>()) {
        let _ = writeln!(text, "hint: {}", mistake.hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_report_tells_the_causes_in_order_and_ends_with_the_hint() {
        let error = Err::<(), _>(Mistake::new("\"x\" is not a file", "name a file"))
            .context("the request cannot be read")
            .expect_err("an error");
        assert_eq!(
            report(&error),
            "error: the request cannot be read\n  because: \"x\" is not a file\nhint: name a file\n"
        );
    }
}
