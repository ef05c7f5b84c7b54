//! What a call says beside its path and body.

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::{Body, Call, Connection, RenderError};

/// The headers of a call that its mapping decides: the media type of its body, its `SOAPAction`, and those that the
/// connection and the call name, of which the last one of a name counts.
///
/// # Errors
/// [`RenderError`] names a header that HTTP cannot carry.
pub fn headers(connection: &Connection, call: &Call) -> Result<HeaderMap, RenderError> {
    let mut headers = HeaderMap::new();
    if let Some(media_type) = media_type(&call.body) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    if let Body::Soap { action, .. } = &call.body {
        // Quoted, and empty where the mapping names none (SOAP 1.1, section 6.1.1).
        set(&mut headers, "soapaction", &format!("\"{}\"", action.as_deref().unwrap_or_default()))?;
    }
    for (name, value) in connection.headers.iter().chain(&call.headers) {
        set(&mut headers, name, value)?;
    }
    Ok(headers)
}

/// The media type of a body; that of SOAP 1.1 for an element in an envelope.
fn media_type(body: &Body) -> Option<&'static str> {
    match body {
        Body::None => None,
        Body::Json(_) => Some("application/json"),
        Body::Xml(_) => Some("application/xml; charset=utf-8"),
        Body::Soap { .. } => Some("text/xml; charset=utf-8"),
        Body::Form(_) => Some("application/x-www-form-urlencoded"),
        Body::Text(_) => Some("text/plain; charset=utf-8"),
    }
}

/// Sets a header in place of one of the same name.
///
/// # Errors
/// [`RenderError`] where HTTP cannot carry it.
pub fn set(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), RenderError> {
    let wrong = |reason: &str| RenderError { field: format!("headers.{name}"), reason: reason.to_owned() };
    let header =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("this is not a name of an HTTP header"))?;
    let value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|_| wrong("its value holds a line end or another control character"))?;
    headers.insert(header, value);
    Ok(())
}
