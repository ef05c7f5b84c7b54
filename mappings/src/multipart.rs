//! Documents that travel as the root part of a MIME message, as SOAP services send them where MTOM is on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::mapping::ReadError;
use crate::media_type::parameter;

/// A part within a part within a part: deeper is no answer of a system.
const DEEPEST: usize = 4;

/// The part of a multipart message that is the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its own `Content-Type`.
    pub content_type: Option<String>,
    /// Its content, its transfer encoding taken off.
    pub bytes: Vec<u8>,
}

/// Whether a media type is that of a message whose root part is the document. The fields of a form are none.
pub fn has_a_root(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("multipart/") && kind != "multipart/form-data"
}

/// The root part: the one that `start` names, else the first (RFC 2387, section 3.2).
///
/// # Errors
/// [`ReadError`] where there is no such part, where it is cut short, or where its transfer encoding cannot be read.
pub fn root(media_type: &str, body: &[u8]) -> Result<Part, ReadError> {
    within(media_type, body, 1)
}

fn within(media_type: &str, body: &[u8], depth: usize) -> Result<Part, ReadError> {
    if depth > DEEPEST {
        return Err(wrong("a MIME message nested too deep"));
    }
    let boundary = parameter(media_type, "boundary")
        .or_else(|| first_boundary(body))
        .ok_or_else(|| wrong("a MIME message without a boundary"))?;
    let start = parameter(media_type, "start");
    let parts = parts(body, &boundary);
    let named = start.and_then(|start| parts.iter().find(|part| is(part.header("content-id"), &start)));
    let part = named.or_else(|| parts.first()).ok_or_else(|| wrong("a MIME message without parts"))?;
    if !part.is_closed {
        return Err(wrong("a MIME message that is cut short"));
    }
    let content_type = part.header("content-type").map(str::to_owned);
    let bytes = transferred(part)?;
    match content_type {
        Some(inner) if has_a_root(&inner) => within(&inner, &bytes, depth + 1),
        content_type => Ok(Part { content_type, bytes }),
    }
}

fn wrong(reason: &str) -> ReadError {
    ReadError { reason: reason.to_owned() }
}

fn is(id: Option<&str>, start: &str) -> bool {
    let bare = |id: &str| id.trim().trim_start_matches('<').trim_end_matches('>').to_owned();
    id.is_some_and(|id| bare(id) == bare(start))
}

/// A part as it stands in the message.
struct Raw<'b> {
    headers: Vec<(String, String)>,
    content: &'b [u8],
    /// A delimiter follows it.
    is_closed: bool,
}

impl Raw<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// A line of the message: where it starts, and where the next one does.
fn lines(body: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at;
        let rest = body.get(from..).filter(|rest| !rest.is_empty())?;
        at = from + rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        Some((from, at))
    })
}

/// What the first line that looks like a delimiter says the boundary is.
fn first_boundary(body: &[u8]) -> Option<String> {
    let (from, to) = lines(body).find(|(from, to)| body[*from..*to].starts_with(b"--"))?;
    let line = std::str::from_utf8(&body[from + 2..to]).ok()?.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

fn parts<'b>(body: &'b [u8], boundary: &str) -> Vec<Raw<'b>> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut open: Option<usize> = None;
    for (from, to) in lines(body) {
        let Some(rest) = body[from..to].strip_prefix(delimiter.as_bytes()) else { continue };
        let last = rest.starts_with(b"--");
        if !last && !rest.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if let Some(start) = open.take() {
            parts.push(part(without_line_end(&body[start..from]), true));
        }
        if last {
            return parts;
        }
        open = Some(to);
    }
    if let Some(start) = open {
        parts.push(part(&body[start..], false));
    }
    parts
}

/// The line end before a delimiter belongs to the delimiter (RFC 2046, section 5.1.1).
fn without_line_end(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

fn part(text: &[u8], is_closed: bool) -> Raw<'_> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (from, to) in lines(text) {
        let line = String::from_utf8_lossy(&text[from..to]);
        let bare = line.trim_end_matches(['\r', '\n']);
        if bare.is_empty() {
            return Raw { headers, content: &text[to..], is_closed };
        }
        match (bare.starts_with([' ', '\t']), headers.last_mut(), bare.split_once(':')) {
            // A header goes on in a line that begins with white space.
            (true, Some((_, value)), _) => {
                value.push(' ');
                value.push_str(bare.trim());
            }
            (_, _, Some((name, value))) => headers.push((name.trim().to_owned(), value.trim().to_owned())),
            // No header at all: the part has none, and this is its content.
            (_, _, None) => return Raw { headers, content: &text[from..], is_closed },
        }
    }
    Raw { headers, content: &[], is_closed }
}

fn transferred(part: &Raw<'_>) -> Result<Vec<u8>, ReadError> {
    let encoding = part.header("content-transfer-encoding").unwrap_or("binary").to_ascii_lowercase();
    match encoding.as_str() {
        "7bit" | "8bit" | "binary" | "" => Ok(part.content.to_vec()),
        "base64" => {
            let digits: Vec<u8> =
                part.content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            STANDARD.decode(digits).map_err(|_| wrong("a part of a MIME message that is not Base64"))
        }
        "quoted-printable" => quoted_printable(part.content),
        other => Err(ReadError { reason: format!("a part of a MIME message in the encoding {other:?}") }),
    }
}

/// RFC 2045, section 6.7.
fn quoted_printable(text: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(text.len());
    for (from, to) in lines(text) {
        let line = &text[from..to];
        let bare = line.trim_ascii_end();
        let mut rest = bare;
        while let Some((first, after)) = rest.split_first() {
            match (first, after) {
                // The line goes on.
                (b'=', []) => break,
                (b'=', [high, low, after @ ..]) => {
                    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
                    let value = digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low);
                    bytes.push(
                        value
                            .ok_or_else(|| wrong("a part of a MIME message that is not quoted-printable"))?,
                    );
                    rest = after;
                }
                (byte, after) => {
                    bytes.push(*byte);
                    rest = after;
                }
            }
        }
        if !bare.ends_with(b"=") {
            bytes.extend_from_slice(&line[line.len() - line_end(line)..]);
        }
    }
    Ok(bytes)
}

/// How many bytes end a line.
fn line_end(line: &[u8]) -> usize {
    if line.ends_with(b"\r\n") { 2 } else { usize::from(line.ends_with(b"\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str =
        "multipart/related; type=\"application/xop+xml\"; start=\"<root@works>\"; boundary=\"b-1\"";

    fn text(media_type: &str, body: &str) -> Result<(Option<String>, String), String> {
        let part = root(media_type, body.as_bytes()).map_err(|error| error.reason)?;
        Ok((part.content_type, String::from_utf8(part.bytes).expect("text")))
    }

    #[test]
    fn the_root_is_the_part_that_start_names_else_the_first() {
        let body = "preamble\r\n--b-1\r\nContent-ID: <photo>\r\n\r\nx\r\n--b-1\r\nContent-Type: text/xml;\r\n charset=utf-8\r\n\
                    content-id: <root@works>\r\n\r\n<a/>\r\n--b-1--\r\n";
        assert_eq!(text(TYPE, body), Ok((Some("text/xml; charset=utf-8".into()), "<a/>".into())));
        let first = text("multipart/related; boundary=b-1", body);
        assert_eq!(first, Ok((None, "x".into())));
        let unknown = text("multipart/related; boundary=b-1; start=other", body);
        assert_eq!(unknown, Ok((None, "x".into())));
    }

    #[test]
    fn a_boundary_that_is_not_said_is_seen_and_line_feeds_alone_do() {
        let body = "--q\nContent-Type: text/xml\n\n<a>\n--quite\n</a>\n--q--";
        let read = Ok((Some("text/xml".into()), "<a>\n--quite\n</a>".into()));
        assert_eq!(text("multipart/mixed", body), read);
        assert_eq!(text("multipart/related; boundary=q", body), read);
    }

    #[test]
    fn transfer_encodings_are_taken_off() {
        let of = |encoding: &str, content: &str| {
            let body = format!("--b\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{content}\r\n--b--\r\n");
            text("multipart/related; boundary=b", &body).map(|(_, text)| text)
        };
        assert_eq!(of("base64", "PGE+\r\nMTwv\r\nYT4="), Ok("<a>1</a>".into()));
        assert_eq!(
            of("Quoted-Printable", "<a=3D1>Zo=C3=AB =\r\ncame  \r\nhome</a>"),
            Ok("<a=1>Zoë came\r\nhome</a>".into())
        );
        assert_eq!(of("8bit", "<a>é</a>"), Ok("<a>é</a>".into()));
        assert!(of("base64", "???").is_err());
        assert!(of("quoted-printable", "=XY").is_err());
        assert!(of("x-uuencode", "a").expect_err("unknown").contains("x-uuencode"));
    }

    #[test]
    fn a_message_in_a_message_is_read_to_its_document() {
        let inner = "--i\r\nContent-Type: text/xml\r\n\r\n<a/>\r\n--i--";
        let body = format!("--o\r\nContent-Type: multipart/related; boundary=i\r\n\r\n{inner}\r\n--o--");
        assert_eq!(text("multipart/mixed; boundary=o", &body), Ok((Some("text/xml".into()), "<a/>".into())));
    }

    #[test]
    fn what_is_cut_short_or_no_message_is_refused() {
        let cut = "--b\r\nContent-Type: text/xml\r\n\r\n<a>1";
        assert!(text("multipart/related; boundary=b", cut).expect_err("cut").contains("cut short"));
        for body in ["", "no parts", "--b--"] {
            assert!(text("multipart/related; boundary=b", body).is_err(), "{body}");
        }
        assert!(text("multipart/related", "<a/>").is_err());
    }

    #[test]
    fn forms_are_no_messages_with_a_root() {
        assert!(has_a_root("Multipart/Related; boundary=b"));
        assert!(!has_a_root("multipart/form-data; boundary=b") && !has_a_root("text/xml"));
    }
}
