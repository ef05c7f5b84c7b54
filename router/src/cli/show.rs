//! What a command has to say, in both forms.

use std::io::{self, Write as _};

use mappings::domain::is_harmful;
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
    let mut characters = text.chars().peekable();
    let mut harmless = String::with_capacity(text.len());
    while let Some(c) = characters.next() {
        // Rows of a sheet end in CR LF; a CR alone would write over the line.
        let ends_a_row = c == '\r' && characters.peek() == Some(&'\n');
        let is_harmless = matches!(c, '\n' | '\t') || ends_a_row || !is_harmful(c);
        harmless.push(if is_harmless { c } else { '\u{fffd}' });
    }
    harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_other_systems_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\n");
        assert_eq!(harmless("good\rbad\u{202e}\u{9b}\r"), "good\u{fffd}bad\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn the_rows_of_a_sheet_end_as_they_were_written() {
        assert_eq!(harmless("a,b\r\n1,2\r\n"), "a,b\r\n1,2\r\n");
    }
}
