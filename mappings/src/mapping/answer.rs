//! What came back from a call, and what the mapping makes of it.

use serde_json::{Map, Value};

use crate::domain::{Disposition, Job};
use crate::{UNDECODABLE, form, json, xml};

/// A body that cannot be read as the document it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ReadError {
    /// What was found and what was expected, in plain words; never the body itself.
    pub reason: String,
}

/// An answer of a system, or an event it sent: the body is already text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status; 200 for an event.
    pub status: u16,
    /// Headers in the order received; names in any case.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: String,
}

/// What the answer rules of a step say of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is left to do; later steps are skipped.
    Done {
        /// What a person should know.
        note: String,
    },
    /// The system has nothing under our reference.
    Absent,
    /// The system refused.
    Rejected {
        /// How the job ended; `None` when the mapping knows only that it is a refusal, and a person must look.
        disposition: Option<Disposition>,
        /// Why, in the system's words or the mapping's.
        reason: String,
        /// What the customer may be told.
        say: Option<String>,
    },
    /// Certainly not carried out; worth another try.
    Retry {
        /// Why.
        reason: String,
        /// What was stored, or the access token, is not honoured any more and is fetched anew.
        renew: bool,
    },
    /// The system has it.
    Accepted {
        /// The system's own reference, where the mapping reads one.
        job: Option<Job>,
    },
    /// No rule matched: the connector decides by the status.
    NotAccepted {
        /// What was missing.
        reason: String,
    },
}

impl Answer {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as a document: JSON as it is, XML by the rules of [`crate::xml`], a form as an object of
    /// strings, other text as a string, an empty body as null. Elements named in `xml_lists` are always lists.
    ///
    /// What the body is, its `Content-Type` says; where that says nothing of use, its first character does,
    /// since systems mislabel.
    ///
    /// # Errors
    /// [`ReadError`] when the body is not what its type says, is HTML, is nested too deep, or is XML with a
    /// doctype or entities of its own.
    pub fn document(&self, xml_lists: &[String]) -> Result<Value, ReadError> {
        let body = self.body.trim_start_matches('\u{feff}').trim();
        if body.is_empty() {
            return Ok(Value::Null);
        }
        if !self.is_text() {
            return Err(ReadError { reason: "bytes that are not text in its character set".into() });
        }
        let label = self.header("content-type").unwrap_or_default().to_ascii_lowercase();
        let kind = label.split(';').next().unwrap_or_default().trim();
        let html = is_html(body);
        if html || kind == "text/html" && !body.starts_with(['{', '[', '<']) {
            return Err(ReadError { reason: "HTML where data was expected".into() });
        }
        if kind.ends_with("/json") || kind.ends_with("+json") {
            return json::read(body);
        }
        if kind == "application/x-www-form-urlencoded" {
            return form::read(body);
        }
        if kind.ends_with("/xml") || kind.ends_with("+xml") || body.starts_with('<') {
            return xml::read(body, xml_lists);
        }
        if body.starts_with(['{', '[']) {
            return match json::read(body) {
                Err(_) if kind == "text/plain" => Ok(Value::String(body.to_owned())),
                read => read,
            };
        }
        Ok(Value::String(body.to_owned()))
    }

    /// Whether all of the body was text in its character set.
    pub fn is_text(&self) -> bool {
        !self.body.contains(UNDECODABLE)
    }

    /// `{status, headers, body}` with header names in lower case.
    pub(super) fn seen(&self, xml_lists: &[String]) -> Value {
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            let name = name.to_ascii_lowercase();
            match headers.get_mut(&name) {
                Some(Value::String(all)) => {
                    all.push_str(", ");
                    all.push_str(value);
                }
                Some(_) | None => {
                    headers.insert(name, Value::String(value.clone()));
                }
            }
        }
        let body = self.document(xml_lists).unwrap_or_else(|_| Value::String(self.body.clone()));
        let mut seen = Map::new();
        seen.insert("status".into(), self.status.into());
        seen.insert("headers".into(), Value::Object(headers));
        seen.insert("body".into(), body);
        Value::Object(seen)
    }
}

fn is_html(body: &str) -> bool {
    let start: String = body.chars().take(300).collect::<String>().to_ascii_lowercase();
    let start = match start.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, rest)| rest).trim_start(),
        None => start.as_str(),
    };
    start.starts_with("<!doctype html") || start.starts_with("<html") || start.starts_with("<head")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(kind: &str, body: &str) -> Result<Value, String> {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Answer { status: 200, headers, body: body.into() }.document(&[]).map_err(|error| error.reason)
    }

    #[test]
    fn a_body_is_read_by_its_type() {
        assert_eq!(document("application/json; charset=utf-8", "{\"a\": 1}"), Ok(json!({"a": 1})));
        assert_eq!(document("application/problem+json", "[1]"), Ok(json!([1])));
        assert_eq!(document("application/soap+xml", "<a>1</a>"), Ok(json!({"a": "1"})));
        assert_eq!(document("application/x-www-form-urlencoded", "a=1"), Ok(json!({"a": "1"})));
        assert_eq!(document("text/plain", " OK \n"), Ok(json!("OK")));
        assert_eq!(document("", ""), Ok(json!(null)));
        assert_eq!(document("application/json", " \n"), Ok(json!(null)));
    }

    #[test]
    fn a_mislabelled_body_is_read_by_its_first_character() {
        assert_eq!(document("text/html; charset=utf-8", "{\"a\": 1}"), Ok(json!({"a": 1})));
        assert_eq!(document("", "[{\"a\": 1}]"), Ok(json!([{"a": 1}])));
        assert_eq!(document("text/plain", "\u{feff}<a/>"), Ok(json!({"a": ""})));
        assert_eq!(document("text/plain", "[note] ok"), Ok(json!("[note] ok")));
    }

    #[test]
    fn html_and_broken_bodies_are_refused() {
        let html = "HTML where data was expected";
        assert_eq!(document("text/html", "Service unavailable").expect_err("refused"), html);
        assert_eq!(document("application/json", "<!DOCTYPE html><html>").expect_err("refused"), html);
        assert_eq!(document("application/xml", "<?xml version='1.0'?>\n<html/>").expect_err("refused"), html);
        assert!(document("application/json", "{\"a\":").expect_err("refused").contains("cut short"));
        assert!(document("text/xml", "<a><b>").expect_err("refused").contains("cut short"));
        assert!(document("text/xml", "no").is_err());
        assert!(document("", "{oops").is_err());
    }

    #[test]
    fn a_later_step_sees_status_headers_and_body() {
        let headers =
            vec![("ETag".into(), "\"1\"".into()), ("X".into(), "a".into()), ("x".into(), "b".into())];
        let answer = Answer { status: 200, headers, body: "{\"id\": 7}".into() };
        assert_eq!(
            answer.seen(&[]),
            json!({"status": 200, "headers": {"etag": "\"1\"", "x": "a, b"}, "body": {"id": 7}})
        );
    }
}
