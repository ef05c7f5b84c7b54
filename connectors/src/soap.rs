//! The SOAP 1.1 envelope (W3C Note, 8 May 2000), with WS-Security where the system wants it.

use mappings::mapping::Auth;

/// OASIS Web Services Security, SOAP Message Security 1.0: the namespace of its header.
const WSSE: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
/// OASIS UsernameToken Profile 1.0: the password as it is. Only to be used over TLS.
const PASSWORD_TEXT: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText";

/// Wraps one element into an envelope. `Nonce` and `Created`, optional in the profile, are left out: the
/// call stays the same text for the same request, and no system's clock can refuse it.
pub(crate) fn envelope(element: &str, auth: &Auth) -> String {
    let header = match auth {
        Auth::WsSecurity { username, password } => format!(
            concat!(
                "<soap:Header>",
                r#"<wsse:Security soap:mustUnderstand="1" xmlns:wsse="{}">"#,
                "<wsse:UsernameToken>",
                "<wsse:Username>{}</wsse:Username>",
                r#"<wsse:Password Type="{}">{}</wsse:Password>"#,
                "</wsse:UsernameToken>",
                "</wsse:Security>",
                "</soap:Header>",
            ),
            WSSE,
            escape(username),
            PASSWORD_TEXT,
            escape(password.expose()),
        ),
        Auth::None
        | Auth::Basic { .. }
        | Auth::Bearer(_)
        | Auth::Token(_)
        | Auth::ApiKey { .. }
        | Auth::OAuth2(_) => String::new(),
    };
    format!(
        concat!(
            r#"<?xml version="1.0" encoding="utf-8"?>"#,
            r#"<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">"#,
            "{}<soap:Body>{}</soap:Body></soap:Envelope>",
        ),
        header, element
    )
}

/// Text as XML character data.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use mappings::mapping::Secret;

    use super::*;

    #[test]
    fn a_user_name_token_stands_in_the_header_and_is_escaped() {
        let auth = Auth::WsSecurity { username: "bins & co".into(), password: Secret::new("a<b>&c".into()) };
        let envelope = envelope("<CreateWorksheet/>", &auth);
        assert!(envelope.contains("<wsse:Username>bins &amp; co</wsse:Username>"), "{envelope}");
        assert!(envelope.contains("#PasswordText\">a&lt;b&gt;&amp;c</wsse:Password>"), "{envelope}");
        assert!(envelope.contains("</soap:Header><soap:Body><CreateWorksheet/></soap:Body>"), "{envelope}");
    }

    #[test]
    fn without_ws_security_there_is_no_header() {
        assert_eq!(
            envelope("<Ping/>", &Auth::None),
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
             <soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\">\
             <soap:Body><Ping/></soap:Body></soap:Envelope>"
        );
    }
}
