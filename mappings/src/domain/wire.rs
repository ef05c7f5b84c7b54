//! Reads documents as the schemas in `docs/schemas` have them, and says what is wrong without saying what somebody wrote.

use std::sync::LazyLock;

use jiff::Timestamp;
use regex::Regex;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use super::{InvalidRequest, cut, escaped};

/// A date and time of RFC 3339, section 5.6, of the years 1900 to 2199, with a `T`, seconds and an offset; to the
/// billionth of a second, and without leap seconds.
pub(super) const TIME: &str = "^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";

/// What [`Ticket`](super::Ticket) takes: neither space nor mark of byte order at an end, no control character and no
/// line separator anywhere.
pub(super) const TICKET: &str = r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]([^\u0000-\u001f\u007f-\u009f\u2028\u2029]*[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff])?$";

/// How long what is found may be where a reason shows it.
const SHOWN: usize = 60;

/// Reads a document.
///
/// # Errors
/// The path of the first field that is missing, unknown or of the wrong kind, the kind that was found and what was
/// expected. It never holds the value, which may be personal, nor the name of an unknown member of `customer`.
pub fn read<T: DeserializeOwned>(document: &Value) -> Result<T, InvalidRequest> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let (path, reason) = (error.path().to_string(), error.inner().to_string());
        if let Some(rest) = reason.strip_prefix("unknown field `")
            && let Some((name, expected)) = rest.rsplit_once("`, expected ")
            && let Some(parent) = path.strip_suffix(name).map(|parent| parent.trim_end_matches('.'))
            && (parent == "customer" || parent.starts_with("customer."))
        {
            let reason = format!("a member is not known here; expected {expected}");
            return InvalidRequest { path: parent.to_owned(), reason };
        }
        InvalidRequest { path: cut(&escaped(&path), SHOWN * 2).into_owned(), reason: told(&reason) }
    })
}

/// Refuses a list in the place of an object: the parser would take its items for the members, in their order.
pub(super) fn objects(document: &Value) -> Result<(), InvalidRequest> {
    const OBJECTS: [&str; 5] = ["", "/customer", "/customer/sharing", "/location", "/location/address"];
    let refuse = |path: String| {
        Err(InvalidRequest { path, reason: "a list was found; expected an object".to_owned() })
    };
    for pointer in OBJECTS {
        if document.pointer(pointer).is_some_and(Value::is_array) {
            let path = pointer.trim_start_matches('/').replace('/', ".");
            return refuse(if path.is_empty() { ".".to_owned() } else { path });
        }
    }
    let attachments = document.get("attachments").and_then(Value::as_array);
    match attachments.and_then(|attachments| attachments.iter().position(Value::is_array)) {
        Some(at) => refuse(format!("attachments[{at}]")),
        None => Ok(()),
    }
}

/// When something happened.
pub(super) fn time(path: &str, text: &str) -> Result<Timestamp, InvalidRequest> {
    static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(TIME).ok());
    let is_of_the_form = FORM.as_ref().is_some_and(|form| form.is_match(text));
    text.parse().ok().filter(|_| is_of_the_form).ok_or_else(|| InvalidRequest {
        path: path.to_owned(),
        reason: format!(
            "{:?} is not a date and time: expected RFC 3339 with seconds and an offset, from 1900 to 2199, for example 2026-11-22T09:15:00Z",
            cut(text, SHOWN)
        ),
    })
}

/// A whole number from 0 that fits into 32 bits, in whatever way JSON writes it: 5, 5.0 or 5e0.
pub(super) fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let exact = number.as_u64().and_then(|number| u32::try_from(number).ok());
    let is_whole = |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and within the range"
    )]
    let written_otherwise = || number.as_f64().filter(is_whole).map(|number| number as u32);
    exact
        .or_else(written_otherwise)
        .map(Some)
        .ok_or_else(|| D::Error::custom("it is another number; expected a whole number from 0 to 4294967295"))
}

/// The message of the parser with the kind of what was found in the place of the value.
fn told(message: &str) -> String {
    let found_and_expected = ["invalid type: ", "invalid value: ", "invalid length: "]
        .iter()
        .find_map(|start| message.strip_prefix(start));
    if let Some(rest) = found_and_expected {
        let (kind, rest) = kind(rest);
        let expected = match rest.split_once("expected ").map_or("", |(_, expected)| expected) {
            "a map" => "an object",
            "a sequence" => "a list",
            "f32" | "f64" | "a JSON number" => "a number",
            expected if expected.starts_with("struct ") => "an object",
            expected => expected,
        };
        return format!("{kind} was found; expected {expected}");
    }
    if let Some(rest) = message.strip_prefix("unknown field `")
        && let Some((name, expected)) = rest.rsplit_once("`, expected ")
    {
        return format!("{:?} is not known here; expected {expected}", cut(name, SHOWN));
    }
    message.to_owned()
}

/// The kind of what the parser says that it found, and what it says after it.
fn kind(found: &str) -> (&'static str, &str) {
    if let Some(text) = found.strip_prefix("string \"") {
        // A quote within the text is escaped.
        let mut is_escaped = false;
        let end = text.find(|c| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        return ("a text", end.map_or("", |end| &text[end..]));
    }
    let kinds = [
        ("map", "an object"),
        ("sequence", "a list"),
        ("null", "null"),
        ("unit", "null"),
        ("boolean", "true or false"),
        ("integer", "a number"),
        ("floating point", "a number"),
        ("number", "a number"),
    ];
    let kind =
        kinds.iter().find(|(word, _)| found.starts_with(word)).map_or("something else", |(_, kind)| kind);
    (kind, found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its form is checked")]
    struct Form {
        text: Option<String>,
        list: Option<Vec<String>>,
        #[serde(default, deserialize_with = "whole_number")]
        number: Option<u32>,
    }

    fn wrong(document: Value) -> String {
        read::<Form>(&document).expect_err("refused").to_string()
    }

    #[test]
    fn the_path_and_the_kind_are_told_and_never_the_value() {
        for (found, kind) in [
            (json!(7), "a number"),
            (json!(7.5), "a number"),
            (json!(true), "true or false"),
            (json!({"secret": 1}), "an object"),
            (json!(["secret"]), "a list"),
        ] {
            assert_eq!(wrong(json!({"text": found})), format!("text: {kind} was found; expected a string"));
        }
        for secret in ["secret", "secret\", expected \"x", "secret\\\"", "\\", "secret, expected a map\\\\"] {
            let told = wrong(json!({"list": secret}));
            assert_eq!(told, "list: a text was found; expected a list");
            assert_eq!(wrong(json!(secret)), ".: a text was found; expected an object");
        }
        assert_eq!(wrong(json!({"list": ["a", null]})), "list[1]: null was found; expected a string");
    }

    #[test]
    fn a_name_that_is_not_known_is_shown_in_part_and_on_one_line() {
        assert_eq!(
            wrong(json!({"texts": 1})),
            "texts: \"texts\" is not known here; expected one of `text`, `list`, `number`"
        );
        let name = format!("a\nb`, expected {}", "x".repeat(10_000));
        let told = wrong(json!({name: 1}));
        assert!(told.chars().count() < 300 && !told.contains('\n'), "{told}");
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let read = |text: &str| {
            let document = serde_json::from_str(&format!("{{\"number\": {text}}}")).expect("JSON");
            read::<Form>(&document).map(|form| form.number)
        };
        for (text, number) in
            [("5", 5), ("5.0", 5), ("5e0", 5), ("50E-1", 5), ("0", 0), ("4294967295", u32::MAX)]
        {
            assert_eq!(read(text), Ok(Some(number)), "{text}");
        }
        for text in ["4294967296", "-1", "5.5", "1e400", "\"5\"", "99999999999999999999999"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(read("null"), Ok(None));
    }

    #[test]
    fn a_time_is_of_rfc_3339_and_of_this_age() {
        for text in [
            "2026-11-22T09:15:00Z",
            "2026-11-22t09:15:00z",
            "2026-11-22T09:15:00.123456789+01:00",
            "1900-01-01T00:00:00Z",
            "2199-12-31T23:59:59-23:59",
        ] {
            assert!(time("at", text).is_ok(), "{text}");
        }
        for text in [
            "",
            "2026-11-22",
            "2026-11-22 09:15:00Z",
            "2026-11-22T09:15Z",
            "2026-11-22T09:15:00",
            "2026-11-22T09:15:00+0100",
            "2026-11-22T09:15:00+01",
            "2026-11-22T09:15:00,5Z",
            "2026-11-22T09:15:00.1234567891Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T09:15:60Z",
            "2026-02-30T09:15:00Z",
            "2026-11-22T09:15:00+00:00[Europe/London]",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "+012026-11-22T09:15:00Z",
            "2026-11-22T09:15:00Z\n",
        ] {
            assert!(time("at", text).is_err(), "{text}");
        }
    }
}
