//! A call as a simulated system reads it, and the answer it gives.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use subtle::ConstantTimeEq;

/// The largest body that is read, in bytes.
const LARGEST: usize = 1024 * 1024;

/// One call, read whole.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Call {
    /// Reads a request.
    ///
    /// # Errors
    /// The answer to a body that is too large, cut short or not UTF-8.
    pub(super) async fn read(request: Request) -> Result<Self, Reply> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, LARGEST)
            .await
            .map_err(|_| Reply::text(413, format!("expected a body of at most {LARGEST} bytes")))?;
        let body = String::from_utf8(body.into())
            .map_err(|_| Reply::text(400, "expected a body in UTF-8".to_owned()))?;
        Ok(Self {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
        })
    }

    /// The parts of the path, decoded.
    pub(super) fn parts(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
    }

    /// A header as text; empty where it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether the call carries these basic credentials.
    pub(super) fn is_from(&self, user: &str, password: &str) -> bool {
        let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        same(self.header("authorization"), &expected)
    }

    /// The body as a form.
    pub(super) fn form(&self) -> Fields {
        Fields::read(&self.body)
    }

    /// The query as a form.
    pub(super) fn asked(&self) -> Fields {
        Fields::read(&self.query)
    }
}

/// Whether two secrets are the same, without telling by time how much of them is.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// The fields of a form, in their order.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
                })
                .collect(),
        )
    }

    /// The first field of this name; empty where it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json; charset=utf-8", body.to_string())
    }

    pub(super) fn xml(status: u16, body: String) -> Self {
        Self::of(status, "application/xml; charset=utf-8", body)
    }

    pub(super) fn text(status: u16, body: String) -> Self {
        Self::of(status, "text/plain; charset=utf-8", body)
    }

    pub(super) fn of(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into_bytes() }
    }

    /// This answer with one more header.
    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same answer with a byte that is not of the character set it declares, where a reader must meet it.
    pub(super) fn miswritten(mut self) -> Self {
        // An e with an acute accent in ISO 8859-1.
        let (at, spoilt): (usize, &[u8]) = match self.body.first() {
            Some(b'{') if self.body.get(1) != Some(&b'}') => (1, b"\"remark\":\"caf\xE9\","),
            Some(b'<') => (self.body.len(), b"<!-- caf\xE9 -->"),
            Some(_) | None => (self.body.len(), b" caf\xE9"),
        };
        self.body.splice(at..at, spoilt.iter().copied());
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_field_by_field() {
        let fields =
            Fields::read("description=Lamp+out%21&attribute%5Bcolumn%5D=LC12&long=-0.4&odd=50%&empty");
        assert_eq!(fields.get("description"), "Lamp out!");
        assert_eq!(fields.get("attribute[column]"), "LC12");
        assert_eq!(fields.get("long"), "-0.4");
        assert_eq!(fields.get("odd"), "50%");
        assert_eq!(fields.get("empty"), "");
    }

    #[test]
    fn a_miswritten_answer_is_not_utf_8() {
        for body in [r#"{"id":1}"#, "<a/>", "10000012", "{}", ""] {
            let reply = Reply::text(200, body.to_owned()).miswritten();
            assert!(String::from_utf8(reply.body).is_err(), "{body}");
        }
    }
}
