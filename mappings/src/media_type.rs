//! The parameters of a media type (RFC 9110, section 8.3.1).

/// The value of a parameter, such as the `charset` of `text/xml; charset=utf-8`. A quoted value may hold semicolons.
pub(crate) fn parameter(media_type: &str, name: &str) -> Option<String> {
    let mut rest = media_type.split_once(';')?.1;
    loop {
        let (found, after) = match rest.find(['=', ';']) {
            None => return None,
            Some(at) if rest.as_bytes()[at] == b';' => {
                rest = &rest[at + 1..];
                continue;
            }
            Some(at) => (rest[..at].trim(), rest[at + 1..].trim_start()),
        };
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        if found.eq_ignore_ascii_case(name) {
            return Some(value).filter(|value| !value.is_empty());
        }
        rest = after;
    }
}

/// The text up to the closing quote, and what follows the next semicolon.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text[at + 1..].split_once(';').map_or("", |(_, after)| after)),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            plain => value.push(plain),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_whatever_its_case_and_quotes() {
        let plain = "text/xml; Charset = \"ISO-8859-1\" ; version=1";
        assert_eq!(parameter(plain, "charset").as_deref(), Some("ISO-8859-1"));
        assert_eq!(parameter(plain, "version").as_deref(), Some("1"));
        assert_eq!(parameter("text/xml; charset=", "charset"), None);
        assert_eq!(parameter("text/xml", "charset"), None);
        assert_eq!(parameter("text/xml;;charset=utf-8", "charset").as_deref(), Some("utf-8"));
    }

    #[test]
    fn a_quoted_value_may_hold_what_looks_like_another_parameter() {
        let related = r#"multipart/related; start-info="text/xml; charset=x"; start="<a\"b>"; boundary=b-1"#;
        assert_eq!(parameter(related, "charset"), None);
        assert_eq!(parameter(related, "start").as_deref(), Some("<a\"b>"));
        assert_eq!(parameter(related, "boundary").as_deref(), Some("b-1"));
        assert_eq!(parameter("a/b; boundary=\"never closed", "boundary").as_deref(), Some("never closed"));
    }
}
