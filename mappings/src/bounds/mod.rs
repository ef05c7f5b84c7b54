//! How large a document may be, told from its text before anything is built of it.
//!
//! A tree takes a hundred times the memory of the text it is read from: 15 MB of nested empty lists become gigabytes.
//! So a text from outside is measured first, in one pass that remembers nothing, and only then read.

mod json;
mod xml;

/// The largest document that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A text of so many bytes, or more, is refused.
    pub bytes: usize,
    /// The most levels: lists and objects of JSON, elements of XML.
    pub depth: usize,
    /// The most values: every list, object and scalar of JSON, every element and attribute of XML, every field of a form.
    pub nodes: usize,
}

impl Default for Bounds {
    /// 16 MiB, 64 levels, 100,000 values.
    fn default() -> Self {
        Self { bytes: 16 * 1024 * 1024, depth: 64, nodes: 100_000 }
    }
}

/// What a text would be as a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// The deepest level, from 1; 0 where there is none.
    pub depth: usize,
    /// The line on which the deepest level is reached, from 1.
    pub line: usize,
    /// How many values there are.
    pub nodes: usize,
}

/// The bound that a text exceeds: which one, what was found, what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Too long.
    #[error("the body has {found} bytes; expected fewer than {limit}")]
    Bytes {
        /// How many there are.
        found: usize,
        /// The number that must not be reached.
        limit: usize,
    },
    /// Nested too deep.
    #[error("the body is nested {found} levels deep on line {line}; expected {limit} at most")]
    Depth {
        /// The deepest level.
        found: usize,
        /// The deepest that is read.
        limit: usize,
        /// Where it is, from 1.
        line: usize,
    },
    /// Too many values.
    #[error(
        "the body holds {found} values; expected {limit} at most. Hint: leave out what is not \
             needed, send a batch in parts, or raise reading.max_values"
    )]
    Nodes {
        /// How many there are.
        found: usize,
        /// The most that are read.
        limit: usize,
    },
}

impl Bounds {
    /// Whether a text of so many bytes may be looked at.
    ///
    /// # Errors
    /// [`Excess::Bytes`].
    pub fn admit(&self, found: usize) -> Result<(), Excess> {
        if found < self.bytes { Ok(()) } else { Err(Excess::Bytes { found, limit: self.bytes }) }
    }

    /// Measures a text, and says what it would be as a document.
    ///
    /// # Errors
    /// The [`Excess`] that keeps it from being read.
    pub fn measure(&self, text: &str) -> Result<Extent, Excess> {
        self.admit(text.len())?;
        let extent = Extent::of(text);
        let Extent { depth, line, nodes } = extent;
        if depth > self.depth {
            return Err(Excess::Depth { found: depth, limit: self.depth, line });
        }
        if nodes > self.nodes {
            return Err(Excess::Nodes { found: nodes, limit: self.nodes });
        }
        Ok(extent)
    }
}

impl Extent {
    /// The extent of a text: of XML where it begins with `<`, else of JSON, where a form counts too.
    ///
    /// It is exact for what a parser reads, up to the first character that it refuses.
    pub fn of(text: &str) -> Self {
        let first = text.chars().find(|c| *c != '\u{feff}' && !c.is_whitespace());
        match first {
            Some('<') => xml::extent(text),
            // White space before an element may be written as a reference; a form may begin with an empty field.
            Some('&') => std::cmp::max_by_key(xml::extent(text), json::extent(text), |extent| extent.nodes),
            Some(_) | None => json::extent(text),
        }
    }

    /// About how many bytes of memory the document takes beside its text.
    pub fn memory(&self) -> usize {
        /// A list with one value in it, or a member of an object with its name.
        const NODE: usize = 300;
        self.nodes.saturating_mul(NODE)
    }
}

/// The line of a place in a text, from 1.
fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINT: &str =
        "Hint: leave out what is not needed, send a batch in parts, or raise reading.max_values";

    const SMALL: Bounds = Bounds { bytes: 200, depth: 3, nodes: 10 };

    fn refused(text: &str) -> String {
        SMALL.measure(text).expect_err("refused").to_string()
    }

    #[test]
    fn each_bound_is_named_with_what_was_found_and_what_was_expected() {
        assert_eq!(refused(&" ".repeat(200)), "the body has 200 bytes; expected fewer than 200");
        assert_eq!(refused("[\n[[[]]]]"), "the body is nested 4 levels deep on line 2; expected 3 at most");
        assert_eq!(
            refused("<a><b>\n\n<c><d/></c></b></a>"),
            "the body is nested 4 levels deep on line 3; expected 3 at most"
        );
        let many = format!("[{}0]", "0,".repeat(10));
        assert_eq!(refused(&many), format!("the body holds 12 values; expected 10 at most. {HINT}"));
        assert_eq!(
            refused("<a b='1' c='2' d='3' e='4' f='5' g='6' h='7' i='8' j='9' k='0'/>"),
            format!("the body holds 11 values; expected 10 at most. {HINT}")
        );
    }

    #[test]
    fn what_is_within_every_bound_is_measured() {
        let extent = SMALL.measure("{\"a\": [1, 2]}").expect("within");
        assert_eq!(extent, Extent { depth: 2, line: 1, nodes: 4 });
        let extent = SMALL.measure("\u{feff} <a b='1'><c>x</c></a>").expect("within");
        assert_eq!(extent, Extent { depth: 2, line: 1, nodes: 3 });
        assert_eq!(SMALL.measure("").expect("within").nodes, 0);
        assert_eq!(SMALL.measure("a=1&b=2").map(|extent| extent.depth), Ok(0));
    }

    #[test]
    fn a_text_of_empty_lists_is_told_without_being_built() {
        let lists = format!("[{}0]", format!("{}{},", "[".repeat(40), "]".repeat(40)).repeat(20_000));
        let found = Bounds::default().measure(&lists).expect_err("refused");
        assert_eq!(found, Excess::Nodes { found: 800_002, limit: 100_000 });
        assert!(Extent::of(&lists).memory() > 100 * lists.len());
    }

    #[test]
    fn nothing_before_the_first_element_hides_what_it_holds() {
        let deep = "<a>".repeat(50);
        for before in ["", " \n", "\u{feff}", " \u{feff} ", "&#32;", "\u{a0}\u{feff}&#x20;"] {
            assert_eq!(Extent::of(&format!("{before}{deep}")).depth, 50, "{before:?}");
        }
        assert_eq!(Extent::of("&a=1&b=2").nodes, 2);
    }
}
