//! What came back from a call, and what the mapping makes of it.

use serde_json::{Map, Value};

use crate::domain::{Disposition, Job};
use crate::{UNDECODABLE, charset, form, json, multipart, xml};

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

/// An answer or event as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its body is empty where it could not be read.
    pub answer: Answer,
    /// Why the body could not be read.
    pub unreadable: Option<String>,
    /// Nothing but the end of the connection says where the body ends, so that it may be cut short.
    pub is_open_ended: bool,
    /// The body was larger than it may be, and was not read.
    pub is_too_large: bool,
}

impl Received {
    /// Reads the bytes of a body as text, in the character set that [`charset::encoding_of`] finds. Of a MIME message
    /// the root part is the body, and its `Content-Type` takes the place of the message's.
    pub fn new(status: u16, headers: Vec<(String, String)>, bytes: &[u8]) -> Self {
        let mut answer = Answer { status, headers, body: String::new() };
        let unreadable = answer.decode(bytes).err().map(|error| error.reason);
        Self { unreadable, ..answer.into() }
    }

    /// The same of what may be a list: bytes that are not text are marked where they stand, so that they cost only the
    /// item that holds them.
    pub fn marked(status: u16, headers: Vec<(String, String)>, bytes: Vec<u8>) -> Self {
        let mut answer = Answer { status, headers, body: String::new() };
        let decoded = answer.root(bytes).and_then(|(bytes, media_type)| {
            charset::decode_marked(bytes, media_type.as_deref()).map_err(undecodable)
        });
        let unreadable = match decoded {
            Ok((body, invalid)) => {
                answer.body = body;
                invalid.map(|error| error.to_string())
            }
            Err(error) => Some(error.reason),
        };
        Self { unreadable, ..answer.into() }
    }

    /// One whose body is too large to be read.
    pub fn too_large(status: u16, headers: Vec<(String, String)>, reason: String) -> Self {
        let answer = Answer { status, headers, body: String::new() };
        Self { unreadable: Some(reason), is_too_large: true, ..answer.into() }
    }

    /// The body as [`Answer::document`] has it.
    ///
    /// # Errors
    /// [`ReadError`] also when the bytes could not be read.
    pub(super) fn document(&self, xml_lists: &[String]) -> Result<Value, ReadError> {
        match &self.unreadable {
            Some(reason) => Err(ReadError { reason: reason.clone() }),
            None => self.answer.document(xml_lists),
        }
    }

    /// Whether the body may have been cut short without a sign of it: it has no brackets that would be missing, no
    /// line end, and no length.
    pub(super) fn may_be_cut(&self) -> bool {
        let body = &self.answer.body;
        self.is_open_ended && !body.is_empty() && !self.answer.is_structured() && !body.ends_with('\n')
    }
}

impl From<Answer> for Received {
    fn from(answer: Answer) -> Self {
        Self { answer, unreadable: None, is_open_ended: false, is_too_large: false }
    }
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
    /// No rule matched: the status decides.
    Unmatched {
        /// Status and what was missing, in plain words.
        reason: String,
        /// What the status says.
        by_status: ByStatus,
    },
}

/// What an answer that no rule matched comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByStatus {
    /// It may have been carried out.
    Unknown,
    /// Certainly not carried out, or a call that changes nothing.
    Retry,
    /// Refused in words that nobody knows.
    Rejected,
}

impl Answer {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        let media_type = self.header("content-type").map(str::to_owned);
        self.body = if media_type.as_deref().is_some_and(multipart::has_a_root) {
            let (bytes, media_type) = self.root(bytes.to_vec())?;
            charset::decode(&bytes, media_type.as_deref()).map_err(undecodable)?
        } else {
            charset::decode(bytes, media_type.as_deref()).map_err(undecodable)?
        };
        Ok(())
    }

    /// The bytes of the body with their media type, which of a MIME message are those of its root part.
    fn root(&mut self, bytes: Vec<u8>) -> Result<(Vec<u8>, Option<String>), ReadError> {
        let media_type = self.header("content-type").map(str::to_owned);
        match media_type {
            Some(media_type) if multipart::has_a_root(&media_type) && !bytes.trim_ascii().is_empty() => {
                let part = multipart::root(&media_type, &bytes)?;
                self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
                let media_type = part.content_type.clone();
                self.headers.extend(part.content_type.map(|kind| ("content-type".to_owned(), kind)));
                Ok((part.bytes, media_type))
            }
            media_type => Ok((bytes, media_type)),
        }
    }

    /// Whether the body is a page for a browser: a proxy's, a login's or an error's, whatever its type says.
    pub(super) fn is_page(&self) -> bool {
        is_html(self.body.trim_start_matches('\u{feff}').trim_start())
    }

    /// Whether the body is markup or JSON, whose end can be seen.
    pub(super) fn is_structured(&self) -> bool {
        let body = self.body.trim_start_matches('\u{feff}').trim_start();
        body.starts_with(['<', '{', '[', '"'])
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

fn undecodable(error: charset::Undecodable) -> ReadError {
    ReadError { reason: error.to_string() }
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
