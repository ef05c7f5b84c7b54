//! One rendered HTTP request.

/// A call ready to be made: everything but the base URL, authentication and the SOAP envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// Path and query, percent-encoded; starts with a slash, or is a whole URL.
    pub path: String,
    /// Headers the mapping asks for, in its order. `Content-Type` is here only where the mapping sets it.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// The body of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// No body.
    None,
    /// JSON text.
    Json(String),
    /// A whole XML document without declaration.
    Xml(String),
    /// One element for a SOAP body; the connector wraps the envelope and adds WS-Security.
    Soap {
        /// The `SOAPAction`.
        action: Option<String>,
        /// The element, as XML text.
        element: String,
    },
    /// `application/x-www-form-urlencoded` text.
    Form(String),
    /// Any other text.
    Text(String),
}
