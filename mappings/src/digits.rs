//! JSON whose numbers keep the spelling they came in.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// What stands before a number while it is carried through the parser as a text.
const MARK: &str = "\u{0}number\u{0}";
const MARK_ESCAPED: &str = "\\u0000number\\u0000";

/// Reads one JSON document as `serde_json` does. That keeps every digit but writes `1e3` as `1e+3`, so numbers with an
/// exponent are carried past it.
///
/// # Errors
/// As `serde_json` has them.
pub fn from_str(text: &str) -> Result<Value, serde_json::Error> {
    if let Cow::Owned(marked) = marked(text)
        && let Ok(mut value) = serde_json::from_str(&marked)
    {
        unmark(&mut value);
        return Ok(value);
    }
    // The places of mistakes are those of the text as it is.
    serde_json::from_str(text)
}

/// The text with a marked text in the place of each number that has an exponent.
fn marked(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = after_quote(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..].iter().position(|byte| !is_of_a_number(*byte));
                let end = end.map_or(bytes.len(), |length| at + length);
                let number = &text[at..end];
                if number.contains(['e', 'E']) && is_number(number) {
                    out.push_str(&text[copied..at]);
                    out.extend(["\"", MARK_ESCAPED, number, "\""]);
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

fn after_quote(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn is_of_a_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

fn is_number(text: &str) -> bool {
    serde_json::from_str::<Number>(text).is_ok()
}

fn unmark(value: &mut Value) {
    match value {
        Value::String(text) => {
            // Only a number is written without quotes again, whoever marked it.
            if let Some(number) = text.strip_prefix(MARK).filter(|number| is_number(number)) {
                *value = Value::Number(Number::from_string_unchecked(number.to_owned()));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unmark),
        Value::Object(members) => members.values_mut().for_each(unmark),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_spelling() {
        for number in [
            "1.10",
            "12345678901234567890",
            "1e3",
            "1E+3",
            "1e+3",
            "2.50e-07",
            "-0",
            "0.1000000000000000055511151231257827",
            "1.0",
        ] {
            let document = format!("{{\"n\":{number},\"e1\":[{number},\"say \\\"1e3\\\" 2e5\"]}}");
            let read = from_str(&document).expect(number);
            assert_eq!(read["n"].to_string(), number);
            assert_eq!(read.to_string(), document);
        }
        assert_eq!(from_str("1e3").map(|read| read.to_string()).ok().as_deref(), Some("1e3"));
    }

    #[test]
    fn what_is_no_number_stays_what_it_is() {
        for broken in ["{\"n\": 1e}", "[1e3, 006]", "[1e3", "e3", "{\"a\": 1e3e3}", "-"] {
            let (ours, theirs) = (from_str(broken), serde_json::from_str::<Value>(broken));
            let (ours, theirs) = (ours.expect_err(broken).to_string(), theirs.expect_err(broken).to_string());
            assert_eq!(ours, theirs, "{broken}");
        }
        let forged = "[1e3, \"\\u0000number\\u00001,2\"]";
        assert_eq!(from_str(forged).expect("JSON")[1], "\u{0}number\u{0}1,2");
    }
}
