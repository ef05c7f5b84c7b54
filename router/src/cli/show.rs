//! What a command has to say, in both forms.

use std::io::{self, Write as _};

use serde_json::Value;

use super::{Exit, Output};

/// What a command has to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// For people, with a line feed at its end.
    pub text: String,
    /// For programs.
    pub json: Value,
    /// How the command ends.
    pub exit: Exit,
}

impl Shown {
    /// Writes it to standard output.
    ///
    /// # Errors
    /// When standard output fails for another reason than that its reader has gone.
    pub fn print(&self, output: Output) -> io::Result<()> {
        let text = match output {
            Output::Text => harmless(&self.text),
            Output::Json => format!("{:#}\n", self.json),
        };
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }
}

/// Text of other systems may hold control characters that would drive a terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_other_systems_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\n");
    }
}
