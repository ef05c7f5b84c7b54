//! Text of others as it is shown: in logs, events and pages, on one line, and of a bounded length.

use std::borrow::Cow;
use std::fmt;

/// What somebody is told on one line: at most [`OneLine::LONGEST`] characters, none of which breaks the line, drives a
/// terminal or turns the direction of the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OneLine(String);

impl OneLine {
    /// The most characters.
    pub const LONGEST: usize = 256;

    /// Makes a line of a text: what is harmful is escaped, and what is too long is cut, with `…` at its end.
    pub fn new(text: &str) -> Self {
        // An escape is longer than what it stands for, so no more than this is ever looked at.
        let start = text.char_indices().nth(Self::LONGEST + 1).map_or(text, |(end, _)| &text[..end]);
        Self(cut(&escaped(start), Self::LONGEST).into_owned())
    }

    /// The line as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OneLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OneLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for OneLine {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for OneLine {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

/// The first `most` characters of a text; one that is longer ends in `…`.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.char_indices().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let end = text.char_indices().nth(most.saturating_sub(1)).map_or(0, |(end, _)| end);
    Cow::Owned(format!("{}…", &text[..end]))
}

/// The text with what is [harmful](is_harmful) written as escapes, for example `\n` or `\u{1b}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_harmful(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character could break a line, drive a terminal, or make a text look like another: control characters, line
/// and paragraph separators, and those that turn the direction of what follows (Unicode Technical Report 36).
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_begin_a_line_or_drive_a_terminal_is_escaped() {
        let line = OneLine::new("a\r\nb\u{1b}[2J\u{2028}\u{202e}é \"q\"");
        assert_eq!(line.as_str(), "a\\r\\nb\\u{1b}[2J\\u{2028}\\u{202e}é \"q\"");
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        assert_eq!(OneLine::new(&"é".repeat(256)).as_str(), "é".repeat(256));
        assert_eq!(OneLine::new(&"é".repeat(257)).as_str(), format!("{}…", "é".repeat(255)));
        assert_eq!(cut("abc", 2), "a…");
        assert_eq!(cut("", 0), "");
    }

    proptest! {
        #[test]
        fn a_line_is_one_line_and_bounded_whatever_it_is_made_of(text in "\\PC{0,300}|(?s).{0,300}") {
            let line = OneLine::new(&text);
            prop_assert!(line.as_str().chars().count() <= OneLine::LONGEST);
            prop_assert!(!line.as_str().chars().any(is_harmful));
            prop_assert_eq!(OneLine::new(line.as_str()), line);
        }
    }
}
