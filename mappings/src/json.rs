//! Reading JSON.

use serde_json::Value;

use crate::digits;
use crate::mapping::ReadError;

/// Reads one JSON document (RFC 8259). A byte order mark is passed over; nesting is limited to 128 levels, so
/// that a hostile document cannot exhaust the stack.
///
/// # Errors
/// [`ReadError`] names the line and column, never the content.
pub fn read(text: &str) -> Result<Value, ReadError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(ReadError { reason: "empty: expected JSON".into() });
    }
    digits::from_str(text).map_err(|error| {
        let reason = if error.is_eof() {
            format!("JSON that is cut short: {error}")
        } else if error.to_string().starts_with("recursion limit") {
            format!("JSON nested deeper than 128 levels: {error}")
        } else {
            format!("not JSON: {error}")
        };
        ReadError { reason }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(text: &str) -> String {
        read(text).expect_err("refused").reason
    }

    #[test]
    fn json_is_read_with_or_without_a_byte_order_mark() {
        assert_eq!(read("\u{feff}{\"a\": 1}"), Ok(json!({"a": 1})));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        assert_eq!(reason(""), "empty: expected JSON");
        assert!(reason("<html>").starts_with("not JSON: expected value at line 1 column 1"));
        assert!(reason(r#"{"a": "b"#).starts_with("JSON that is cut short"));
        assert!(reason("{\"a\": 1} x").contains("trailing characters"));
    }

    #[test]
    fn nesting_of_a_thousand_levels_is_refused() {
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert!(reason(&deep).contains("deeper than 128"));
    }
}
