//! A rendered call as the HTTP request it becomes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method};
use mappings::mapping::wire::{self, set};
use mappings::mapping::{Auth, Body, Call, Connection, RenderError, System, address};
use reqwest::Url;

use crate::mask::{HIDDEN, Mask, is_sensitive_header};
use crate::soap;

/// How we name ourselves.
pub(crate) const OURSELVES: &str = concat!("dovetail/", env!("CARGO_PKG_VERSION"));

/// One HTTP request (RFC 9110), complete but for what the client adds: `Host`, `Content-Length`, `Accept-Encoding`.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Draft {
    /// Adds address, authentication, media type, SOAP envelope and trace to a call.
    ///
    /// A header of the mapping goes before one of ours. Credentials only ever go to the system's own address.
    pub(crate) fn new(
        base: &Url,
        connection: &Connection,
        call: &Call,
        traceparent: Option<&str>,
    ) -> Result<Self, RenderError> {
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| RenderError {
            field: "method".into(),
            reason: format!("{:?} is not an HTTP method", call.method),
        })?;
        let body = match &call.body {
            Body::None => String::new(),
            Body::Soap { element, .. } => soap::envelope(element, &connection.auth),
            Body::Json(text) | Body::Xml(text) | Body::Form(text) | Body::Text(text) => text.clone(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(OURSELVES));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if body.is_empty() && matches!(call.method, "POST" | "PUT" | "PATCH") {
            // RFC 9110, section 8.6; IIS answers 411 without it.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if let Some(traceparent) = traceparent {
            set(&mut headers, "traceparent", traceparent)?;
        }
        authenticate(&mut headers, &connection.auth)?;
        headers.extend(wire::headers(connection, call)?);
        Ok(Self { method, url: address::url(base, &call.path)?, headers, body })
    }

    /// Whether the mapping wrote an authorization of its own, before which ours must stand back.
    pub(crate) fn is_authorized(&self) -> bool {
        self.headers.contains_key(AUTHORIZATION)
    }

    /// Adds the header of an access token.
    pub(crate) fn bear(&mut self, token: HeaderValue) {
        self.headers.insert(AUTHORIZATION, token);
    }

    /// The request as it goes over the wire, with line feeds for line ends and secrets hidden.
    pub(crate) fn text(&self, mask: &Mask) -> String {
        let mut text = format!("{} {}", self.method, self.url.path());
        if let Some(query) = self.url.query() {
            text.push('?');
            text.push_str(query);
        }
        text.push_str(" HTTP/1.1\nhost: ");
        text.push_str(self.url.host_str().unwrap_or_default());
        if let Some(port) = self.url.port() {
            text.push_str(&format!(":{port}"));
        }
        for (name, value) in &self.headers {
            let shown = String::from_utf8_lossy(value.as_bytes());
            let hide = value.is_sensitive() || is_sensitive_header(name.as_str());
            text.push_str(&format!("\n{name}: {}", if hide { HIDDEN } else { &shown }));
        }
        text.push_str("\naccept-encoding: gzip");
        if !self.body.is_empty() {
            text.push_str(&format!("\ncontent-length: {}", self.body.len()));
        }
        text.push_str("\n\n");
        text.push_str(&self.body);
        mask.text(&text)
    }
}

/// The exact HTTP request that a call becomes, with secrets hidden; sends nothing.
///
/// Where the call cannot be sent, for example because its path leaves the system, the text says why.
pub fn preview(system: &System, call: &Call) -> String {
    let mut mask = Mask::of(system);
    mask.learn(call);
    let base = match address::base(&system.connection.base_url) {
        Ok(base) => base,
        Err(reason) => {
            let found = address::shown(&system.connection.base_url);
            return format!("cannot be sent: base_url {found:?}: {reason}");
        }
    };
    match Draft::new(&base, &system.connection, call, None) {
        Ok(mut draft) => {
            if matches!(system.connection.auth, Auth::OAuth2(_)) && !draft.is_authorized() {
                draft.bear(HeaderValue::from_static(HIDDEN));
            }
            draft.text(&mask)
        }
        Err(error) => mask.text(&format!("cannot be sent: {error}")),
    }
}

fn authenticate(headers: &mut HeaderMap, auth: &Auth) -> Result<(), RenderError> {
    let (name, value) = match auth {
        // A token is fetched when it is needed.
        Auth::None | Auth::WsSecurity { .. } | Auth::OAuth2(_) => return Ok(()),
        Auth::Basic { username, password } => {
            let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
            (AUTHORIZATION.as_str(), format!("Basic {pair}"))
        }
        Auth::Bearer(token) => (AUTHORIZATION.as_str(), format!("Bearer {}", token.expose())),
        Auth::Token(token) => (AUTHORIZATION.as_str(), format!("token {}", token.expose())),
        Auth::ApiKey { header, key } => (header.as_str(), key.expose().to_owned()),
    };
    set(headers, name, &value)?;
    if let Some(value) = headers.get_mut(name) {
        value.set_sensitive(true);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mappings::mapping::Secret;

    use super::*;

    fn connection(auth: Auth) -> Connection {
        Connection {
            base_url: "https://waste.example:8443/ws/".into(),
            auth,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            headers: vec![("X-Council".into(), "harlow".into())],
        }
    }

    fn call(method: &'static str, path: &str, body: Body) -> Call {
        Call { method, path: path.into(), headers: Vec::new(), body }
    }

    fn draft(auth: Auth, call: &Call) -> Result<Draft, RenderError> {
        let connection = connection(auth);
        let base = address::base(&connection.base_url).expect("a base URL");
        Draft::new(&base, &connection, call, Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
    }

    #[test]
    fn a_soap_call_carries_envelope_action_and_trace() {
        let body = Body::Soap { action: Some("urn:ws/Create".into()), element: "<Create/>".into() };
        let draft = draft(Auth::None, &call("POST", "/services.asmx", body)).expect("drafted");
        let text = draft.text(&Mask::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "POST /ws/services.asmx HTTP/1.1");
        assert_eq!(lines[1], "host: waste.example:8443");
        for line in [
            "content-type: text/xml; charset=utf-8",
            "soapaction: \"urn:ws/Create\"",
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "x-council: harlow",
        ] {
            assert!(lines.contains(&line), "{line} in {text}");
        }
        assert!(text.ends_with("<soap:Body><Create/></soap:Body></soap:Envelope>"), "{text}");
    }

    #[test]
    fn no_credential_is_in_the_text_of_a_call() {
        let auths = [
            Auth::Basic { username: "u".into(), password: Secret::new("s3cret".into()) },
            Auth::Bearer(Secret::new("s3cret".into())),
            Auth::Token(Secret::new("s3cret".into())),
            Auth::ApiKey { header: "X-Our-Door".into(), key: Secret::new("s3cret".into()) },
        ];
        for auth in auths {
            let draft = draft(auth.clone(), &call("GET", "/a", Body::None)).expect("drafted");
            assert!(
                format!("{:?}", draft.headers.get("x-our-door")).contains("Sensitive")
                    || draft.headers.contains_key(AUTHORIZATION)
            );
            let text = draft.text(&Mask::default());
            assert!(text.contains(": ***") && !text.contains("s3cret"), "{auth:?}: {text}");
        }
    }

    #[test]
    fn a_header_of_the_mapping_goes_before_ours() {
        let mut call = call("POST", "/a", Body::Json("{}".into()));
        call.headers = vec![
            ("Content-Type".into(), "application/merge-patch+json".into()),
            ("x-council".into(), "epping".into()),
            ("Authorization".into(), "Bearer from-a-step".into()),
        ];
        let draft = draft(Auth::Bearer(Secret::new("ours".into())), &call).expect("drafted");
        assert_eq!(draft.headers["content-type"], "application/merge-patch+json");
        assert_eq!(draft.headers["x-council"], "epping");
        assert_eq!(draft.headers[AUTHORIZATION], "Bearer from-a-step");
        assert!(!draft.text(&Mask::default()).contains("from-a-step"));
    }

    #[test]
    fn a_whole_url_is_followed_only_on_the_systems_own_address() {
        let own = draft(Auth::None, &call("GET", "https://waste.example:8443/other?x=1", Body::None));
        assert_eq!(own.expect("drafted").url.as_str(), "https://waste.example:8443/other?x=1");
        for elsewhere in [
            "https://evil.example/",
            "http://waste.example:8443/",
            "//evil",
            "@evil/",
            "https://u@waste.example:8443/",
        ] {
            let drafted = draft(Auth::None, &call("GET", elsewhere, Body::None));
            match drafted {
                Err(error) => assert_eq!(error.field, "path", "{elsewhere}"),
                Ok(draft) => assert_eq!(draft.url.host_str(), Some("waste.example"), "{elsewhere}"),
            }
        }
    }

    #[test]
    fn a_value_cannot_climb_out_of_its_path() {
        for path in ["/tickets/../admin", "/tickets/%2e%2E", "/tickets/.", "/tickets/..\\x", "/a#b"] {
            assert!(draft(Auth::None, &call("GET", path, Body::None)).is_err(), "{path}");
        }
        assert!(draft(Auth::None, &call("GET", "/a?next=../b", Body::None)).is_ok());
    }

    #[test]
    fn a_header_value_cannot_hold_a_line_end() {
        let mut call = call("GET", "/a", Body::None);
        call.headers = vec![("X-Note".into(), "a\r\nx-admin: 1".into())];
        let error = draft(Auth::None, &call).expect_err("refused");
        assert_eq!(error.field, "headers.X-Note");
    }

    #[test]
    fn a_base_url_with_credentials_query_or_another_scheme_is_refused() {
        for found in ["ftp://x", "http://u:p@x", "http://x?a=1", "waste.example", ""] {
            assert!(address::base(found).is_err(), "{found}");
        }
    }
}
