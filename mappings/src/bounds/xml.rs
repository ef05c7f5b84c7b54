//! The extent of XML.

use super::{Extent, line_at};

/// So many comments, instructions, sections and references cost as much to read as an element.
const LIGHT: usize = 4;

/// Counts every element and attribute, and comments, instructions, sections of character data and references a quarter
/// each: none becomes a value, but reading them takes time.
pub(super) fn extent(text: &str) -> Extent {
    let bytes = text.as_bytes();
    let (mut open, mut nodes, mut deepest, mut deepest_at) = (0_usize, 0, 0, 0);
    let (mut rest, mut light) = (0, bytes.iter().filter(|byte| **byte == b'&').count());
    while let Some(found) = bytes[rest..].iter().position(|byte| *byte == b'<') {
        let at = rest + found;
        let tag = &text[at..];
        light += usize::from(matches!(tag.as_bytes().get(1), Some(b'!' | b'?')));
        rest = match tag.as_bytes().get(1) {
            Some(b'!') if tag.starts_with("<!--") => after(text, at + 4, "-->"),
            Some(b'!') if tag.starts_with("<![CDATA[") => after(text, at + 9, "]]>"),
            Some(b'?') => after(text, at + 2, "?>"),
            // A doctype is refused by whoever reads it.
            Some(b'!') => after(text, at + 2, ">"),
            Some(b'/') => {
                open = open.saturating_sub(1);
                after(text, at + 2, ">")
            }
            Some(_) | None => {
                let Tag { attributes, end, is_empty } = start(bytes, at + 1);
                nodes += 1 + attributes;
                if open + 1 > deepest {
                    (deepest, deepest_at) = (open + 1, at);
                }
                open += usize::from(!is_empty);
                end
            }
        };
    }
    Extent { depth: deepest, line: line_at(text, deepest_at), nodes: nodes + light / LIGHT }
}

/// The place after the next `end`, or the end of the text.
fn after(text: &str, from: usize, end: &str) -> usize {
    text.get(from..).and_then(|rest| rest.find(end)).map_or(text.len(), |found| from + found + end.len())
}

/// A start tag, or an empty one.
struct Tag {
    attributes: usize,
    /// The place after it.
    end: usize,
    is_empty: bool,
}

fn start(bytes: &[u8], from: usize) -> Tag {
    let (mut attributes, mut quote) = (0, None);
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(open), byte) if open == *byte => quote = None,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b'=') => attributes += 1,
            (None, b'>') => {
                let is_empty = at > from && bytes[at - 1] == b'/';
                return Tag { attributes, end: at + 1, is_empty };
            }
            (Some(_) | None, _) => {}
        }
        at += 1;
    }
    Tag { attributes, end: bytes.len(), is_empty: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_attributes_count_and_all_else_counts_little() {
        let text = "<?xml version='1.0'?><!-- <a><b> --><a x='<>=\"' y=\">/\">\n<b/><![CDATA[<c><d>]]>\
                    <e z = '1'>&lt;<f/></e></a>";
        // Seven of the one kind, four of the other.
        assert_eq!(extent(text), Extent { depth: 3, line: 2, nodes: 8 });
        for light in ["&#65;", "<?p?>", "<!---->", "<![CDATA[]]>"] {
            let text = format!("<a>{}</a>", light.repeat(40_000));
            assert_eq!(extent(&text).nodes, 10_001, "{light}");
        }
    }

    #[test]
    fn what_ends_in_the_middle_is_measured_as_far_as_it_goes() {
        for (text, nodes) in [("<", 1), ("<a", 1), ("<a x='", 2), ("<a><!-- ", 1), ("</a></b>", 0), ("<é", 1)]
        {
            assert_eq!(extent(text).nodes, nodes, "{text}");
        }
        assert_eq!(extent(&"<a>".repeat(500)).depth, 500);
    }

    proptest::proptest! {
        #[test]
        fn no_text_whatever_makes_it_panic(text in "[<>/!?'\"=\\[\\]a é-]{0,40}") {
            extent(&text);
        }
    }
}
