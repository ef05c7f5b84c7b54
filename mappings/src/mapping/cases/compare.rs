//! Comparing what a mapping made with what a case expects. An error says what was expected and what came.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::mapping::{Body, Call, Connection, address, wire};
use crate::{form, json, xml};

use super::expected::{ExpectedBody, ExpectedCall};

/// One call, as it goes over the wire.
pub(super) fn call(expected: &ExpectedCall, call: &Call, connection: &Connection) -> Result<(), String> {
    same("method", &expected.method, call.method)?;
    let (wanted, made) = (below(connection, &expected.path), below(connection, &call.path));
    match &expected.query {
        None => same("path", &wanted, &made)?,
        Some(query) => {
            let (path, sent) = made.split_once('?').unwrap_or((&made, ""));
            same("path", &wanted, path)?;
            let sent: Vec<(String, String)> = sent
                .split('&')
                .filter(|field| !field.is_empty())
                .map(|field| field.split_once('=').unwrap_or((field, "")))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect();
            fields("query", query, &sent)?;
        }
    }
    let sent = wire::headers(connection, call).map_err(|error| error.to_string())?;
    for (name, value) in &expected.headers {
        match sent.get(name.as_str()).map(|sent| String::from_utf8_lossy(sent.as_bytes()).into_owned()) {
            // A case may leave out the quotes of a SOAPAction.
            Some(sent) if name.eq_ignore_ascii_case("soapaction") => {
                same("header SOAPAction", value.trim_matches('"'), sent.trim_matches('"'))?;
            }
            Some(sent) => same(&format!("header {name}"), value, &sent)?,
            None => return Err(format!("header {name}: expected {value:?}, got none")),
        }
    }
    body(&expected.body, &call.body)
}

/// Path and query as they go out, below the base URL. A case may write a page's link as the system gave it.
fn below(connection: &Connection, path: &str) -> String {
    let Ok(base) = address::base(&connection.base_url) else { return path.to_owned() };
    let path =
        if path.starts_with('/') { Some(path.to_owned()) } else { address::beside(&base, &base, path) };
    let url = path.as_ref().and_then(|path| address::url(&base, path).ok());
    url.map_or_else(|| path.unwrap_or_default(), |url| address::below(&base, &url))
}

fn body(expected: &ExpectedBody, body: &Body) -> Result<(), String> {
    match (expected, body) {
        (ExpectedBody::Any, _) => Ok(()),
        (ExpectedBody::Json(expected), Body::Json(sent)) => documents(expected, &parse(sent, "json")?),
        (ExpectedBody::Form(expected), Body::Form(sent)) => {
            fields("form", expected, &form::fields(sent).map_err(|error| error.reason)?)
        }
        (ExpectedBody::Text(expected), Body::Json(sent)) => {
            documents(&parse(expected, "the expected body")?, &parse(sent, "json")?)
        }
        (ExpectedBody::Text(expected), Body::Xml(sent) | Body::Soap { element: sent, .. }) => {
            markup(expected, sent)
        }
        (ExpectedBody::Text(expected), Body::Form(sent)) => {
            let read = |text: &str| form::fields(text).map_err(|error| error.reason);
            fields("form", &read(expected)?, &read(sent)?)
        }
        (ExpectedBody::Text(expected), Body::Text(sent)) => same("body", expected.trim(), sent.trim()),
        (ExpectedBody::Text(expected), Body::None) if expected.trim().is_empty() => Ok(()),
        (ExpectedBody::Text(_) | ExpectedBody::Json(_) | ExpectedBody::Form(_), sent) => {
            let sent = match sent {
                Body::None => "no body",
                Body::Json(_) => "JSON",
                Body::Xml(_) => "XML",
                Body::Soap { .. } => "SOAP",
                Body::Form(_) => "a form",
                Body::Text(_) => "text",
            };
            Err(format!("body: expected another kind, got {sent}"))
        }
    }
}

fn parse(text: &str, what: &str) -> Result<Value, String> {
    json::read(text).map_err(|error| format!("{what}: {error}"))
}

/// As a server reads a field of a query: a plus sign is a space.
fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// Two texts.
pub(super) fn same(what: &str, expected: &str, got: &str) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {got:?}"))
}

fn fields(what: &str, expected: &[(String, String)], got: &[(String, String)]) -> Result<(), String> {
    let values = |fields: &[(String, String)], name: &str| -> Vec<String> {
        fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone()).collect()
    };
    for (name, _) in expected.iter().chain(got) {
        let (one, two) = (values(expected, name), values(got, name));
        if one != two {
            let shown =
                |values: &[String]| if values.is_empty() { "none".into() } else { format!("{values:?}") };
            return Err(format!("{what} {name}: expected {}, got {}", shown(&one), shown(&two)));
        }
    }
    Ok(())
}

fn markup(expected: &str, sent: &str) -> Result<(), String> {
    let canonical = |text: &str, what: &str| xml::canonical(text).map_err(|error| format!("{what}: {error}"));
    let expected = canonical(expected, "the expected body")?;
    let sent = canonical(sent, "the body")?;
    if expected == sent {
        return Ok(());
    }
    let (mut one, mut two) = (expected.lines(), sent.lines());
    loop {
        match (one.next(), two.next()) {
            (Some(one), Some(two)) if one == two => {}
            (one, two) => {
                let shown =
                    |line: Option<&str>| line.map_or("the end".to_owned(), |line| line.trim().to_owned());
                return Err(format!("body: expected {}, got {}", shown(one), shown(two)));
            }
        }
    }
}

/// Two documents: the first place where they differ. Members may come in any order.
pub(super) fn documents(expected: &Value, got: &Value) -> Result<(), String> {
    differ("$", expected, got)
}

/// Whether two numbers are the same; more digits than a computer's own number holds are compared one by one.
fn is_same(one: &str, two: &str) -> bool {
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let value = |text: &str| text.parse::<f64>().ok();
    one == two || digits(one).max(digits(two)) <= 15 && value(one).is_some() && value(one) == value(two)
}

fn differ(path: &str, expected: &Value, got: &Value) -> Result<(), String> {
    match (expected, got) {
        (Value::Object(one), Value::Object(two)) => {
            for name in one.keys().chain(two.keys()) {
                let path = format!("{path}.{name}");
                match (one.get(name), two.get(name)) {
                    (Some(one), Some(two)) => differ(&path, one, two)?,
                    (Some(one), None) => return Err(format!("{path}: expected {one}, got nothing")),
                    (None, Some(two)) => return Err(format!("{path}: expected nothing, got {two}")),
                    (None, None) => {}
                }
            }
            Ok(())
        }
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => one
            .iter()
            .zip(two)
            .enumerate()
            .try_for_each(|(at, (one, two))| differ(&format!("{path}[{at}]"), one, two)),
        (Value::Number(one), Value::Number(two)) if is_same(&one.to_string(), &two.to_string()) => Ok(()),
        (one, two) if one == two => Ok(()),
        (one, two) => Err(format!("{path}: expected {one}, got {two}")),
    }
}
