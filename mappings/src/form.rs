//! Reading and writing `application/x-www-form-urlencoded`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::mapping::ReadError;

/// What the URL standard leaves as it is in a form field, beside letters and digits; a space becomes `+`.
const FIELD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ');

/// Writes fields in their order.
pub fn write<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        push(&mut text, name);
        text.push('=');
        push(&mut text, value);
    }
    text
}

fn push(text: &mut String, part: &str) {
    for piece in utf8_percent_encode(part, FIELD) {
        for c in piece.chars() {
            text.push(if c == ' ' { '+' } else { c });
        }
    }
}

/// Reads fields in their order.
///
/// # Errors
/// [`ReadError`] when a field is not UTF-8 once its percent signs are decoded.
pub fn fields(text: &str) -> Result<Vec<(String, String)>, ReadError> {
    text.trim_matches(|c: char| c.is_ascii_whitespace())
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            Ok((part(name)?, part(value)?))
        })
        .collect()
}

fn part(text: &str) -> Result<String, ReadError> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(|decoded| decoded.into_owned())
        .map_err(|_| ReadError { reason: "a form field that is not UTF-8".into() })
}

/// Reads a form as an object of strings; a field that comes again makes a list.
///
/// # Errors
/// As [`fields`].
pub fn read(text: &str) -> Result<Value, ReadError> {
    let mut document = Map::new();
    for (name, value) in fields(text)? {
        let value = Value::String(value);
        match document.get_mut(&name) {
            None => {
                document.insert(name, value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Ok(Value::Object(document))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_keep_their_order_names_and_every_character() {
        let fields_in = [("service_code", "A&B=1"), ("attribute[x]", "two words"), ("n", "é+/%\n")];
        let text = write(fields_in);
        assert_eq!(text, "service_code=A%26B%3D1&attribute%5Bx%5D=two+words&n=%C3%A9%2B%2F%25%0A");
        let back = fields(&text).expect("readable");
        assert_eq!(back, fields_in.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn a_repeated_field_reads_as_a_list() {
        assert_eq!(read("a=1&b=x+y&a=2&c&a=3"), Ok(json!({"a": ["1", "2", "3"], "b": "x y", "c": ""})));
        assert_eq!(read(""), Ok(json!({})));
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        assert!(read("a=%ff").is_err());
    }
}
