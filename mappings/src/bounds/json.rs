//! The extent of JSON, and of other text that is not XML.

use super::{Extent, line_at};

/// Counts every list, object and scalar. The name of a member is no value, and a form has one for each field.
pub(super) fn extent(text: &str) -> Extent {
    let bytes = text.as_bytes();
    let (mut open, mut nodes, mut most) = (0_usize, 0_usize, 0_usize);
    let (mut deepest, mut deepest_at) = (0, 0);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'[' | b'{' => {
                nodes += 1;
                open += 1;
                if open > deepest {
                    (deepest, deepest_at) = (open, at);
                }
            }
            b']' | b'}' => open = open.saturating_sub(1),
            // What came before it was a name.
            b':' => nodes = nodes.saturating_sub(1),
            b',' | b' ' | b'\t' | b'\n' | b'\r' | b'&' => {}
            b'"' => {
                nodes += 1;
                at = end_of_string(bytes, at);
            }
            _ => {
                nodes += 1;
                at = end_of_word(bytes, at);
            }
        }
        // A reader stops at the first mistake, so what follows it must not take anything back.
        most = most.max(nodes);
        at += 1;
    }
    Extent { depth: deepest, line: line_at(text, deepest_at), nodes: most }
}

/// The place of the quote that ends the string which begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// The place of the last character of the scalar, or of the field of a form, that begins at `start`.
fn end_of_word(bytes: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b",:[]{}\"&".contains(byte);
    let length = bytes[start..].iter().position(ends).unwrap_or(bytes.len() - start);
    start + length.max(1) - 1
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The same of a tree.
    fn counted(value: &Value) -> (usize, usize) {
        let inner: Vec<(usize, usize)> = match value {
            Value::Array(items) => items.iter().map(counted).collect(),
            Value::Object(members) => members.values().map(counted).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return (0, 1),
        };
        let deepest = inner.iter().map(|(depth, _)| *depth).max().unwrap_or(0);
        (deepest + 1, 1 + inner.iter().map(|(_, nodes)| *nodes).sum::<usize>())
    }

    #[test]
    fn what_stands_in_a_string_counts_for_nothing() {
        let text = r#"{"[[[": "{,:\"[1,2]", "b\\": ["\\", "]"]}"#;
        assert_eq!(extent(text), Extent { depth: 2, line: 1, nodes: 5 });
    }

    #[test]
    fn the_fields_of_a_form_are_values() {
        assert_eq!(extent("a=1&b=2&c").nodes, 3);
    }

    #[test]
    fn nothing_after_a_mistake_takes_back_what_was_built_before_it() {
        let text = format!("[{}{}", "1,".repeat(50), ":".repeat(50));
        assert_eq!(extent(&text).nodes, 51);
        assert_eq!(extent(&"]".repeat(50)).depth, 0);
        assert_eq!(extent("\"\\").nodes, 1);
    }

    proptest::proptest! {
        #[test]
        fn the_extent_is_that_of_the_tree(text in r#"[\[\]{}:,"a1 \\]{0,24}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                // A name that comes twice is one member of the tree.
                let (depth, nodes) = counted(&value);
                let extent = extent(&text);
                proptest::prop_assert_eq!(extent.depth >= depth, true);
                proptest::prop_assert_eq!(extent.nodes >= nodes, true);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn the_extent_of_what_was_written_is_exact(value in tree()) {
            let (depth, nodes) = counted(&value);
            for text in [value.to_string(), format!("{value:#}")] {
                let extent = extent(&text);
                proptest::prop_assert_eq!((extent.depth, extent.nodes), (depth, nodes));
            }
        }
    }

    fn tree() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
