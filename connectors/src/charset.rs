//! A body's bytes as text, whatever character set the system writes in.

use encoding_rs::{DecoderResult, Encoding, UTF_8};
use mappings::UNDECODABLE;

/// Bytes that are not text in the character set they are said to be in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// The named character set is not one of the WHATWG Encoding Standard.
    #[error("the character set {0:?} is not known")]
    UnknownCharset(String),
    /// The bytes are not valid in it.
    #[error("the body is not valid {0}")]
    Invalid(&'static str),
}

/// Decodes a body: by its byte order mark, else the `charset` of its `Content-Type` (RFC 9110), else its XML
/// declaration (RFC 7303), else as UTF-8.
///
/// # Errors
/// [`Undecodable`]; nothing is ever replaced silently.
pub(crate) fn decode(bytes: &[u8], content_type: Option<&str>) -> Result<String, Undecodable> {
    let (encoding, mark) = encoding_of(bytes, content_type)?;
    encoding
        .decode_without_bom_handling_and_without_replacement(&bytes[mark..])
        .map(|text| text.into_owned())
        .ok_or(Undecodable::Invalid(encoding.name()))
}

/// The same where the body may be a list: what is not valid becomes [`UNDECODABLE`], so that it costs only the item that
/// it stands in. The error beside the text says what was not valid.
///
/// # Errors
/// [`Undecodable`] where the character set is not known.
pub(crate) fn decode_marked(
    bytes: Vec<u8>,
    content_type: Option<&str>,
) -> Result<(String, Option<Undecodable>), Undecodable> {
    let (encoding, mark) = encoding_of(&bytes, content_type)?;
    // A long answer is not copied where it is text already.
    let bytes = match String::from_utf8(bytes) {
        Ok(mut text) if encoding == UTF_8 => {
            text.drain(..mark);
            return Ok((text, None));
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    let (mut rest, mut invalid) = (&bytes[mark..], None);
    loop {
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
        rest = &rest[read..];
        match result {
            DecoderResult::InputEmpty => return Ok((text, invalid)),
            DecoderResult::OutputFull => text.reserve(rest.len().max(1 << 10)),
            DecoderResult::Malformed(..) => {
                invalid = Some(Undecodable::Invalid(encoding.name()));
                text.reserve(4);
                text.push(UNDECODABLE);
            }
        }
    }
}

/// The character set of a text that starts with these bytes, and the length of its byte order mark: by the mark, else
/// the `charset` of a `Content-Type`, else the XML declaration, else UTF-8.
///
/// # Errors
/// [`Undecodable`] where a name is given that is not of the WHATWG Encoding Standard.
pub fn encoding_of(
    start: &[u8],
    content_type: Option<&str>,
) -> Result<(&'static Encoding, usize), Undecodable> {
    match Encoding::for_bom(start) {
        Some(found) => Ok(found),
        None => Ok((declared(start, content_type)?, 0)),
    }
}

fn declared(bytes: &[u8], content_type: Option<&str>) -> Result<&'static Encoding, Undecodable> {
    let label = content_type.and_then(charset).or_else(|| xml_encoding(bytes));
    let Some(label) = label else { return Ok(UTF_8) };
    Encoding::for_label(label.as_bytes()).ok_or(Undecodable::UnknownCharset(label))
}

/// The `charset` parameter of a media type.
fn charset(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then(|| value.to_owned())
    })
}

/// The `encoding` of an XML declaration; it is ASCII in every character set that can be declared there.
fn xml_encoding(bytes: &[u8]) -> Option<String> {
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let declaration = bytes[start..].strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).take(200).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(&declaration[..end]).ok()?;
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(quote).next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_without_a_charset_is_utf_8_and_never_lossy() {
        assert_eq!(decode("naïve".as_bytes(), None).as_deref(), Ok("naïve"));
        assert_eq!(decode("naïve".as_bytes(), Some("application/json")).as_deref(), Ok("naïve"));
        assert_eq!(decode(b"na\xefve", None), Err(Undecodable::Invalid("UTF-8")));
    }

    #[test]
    fn the_charset_of_the_content_type_goes_before_the_xml_declaration() {
        let xml = b"<?xml version='1.0' encoding='utf-8'?><a>\xa3 5</a>";
        let decoded = decode(xml, Some("text/xml; Charset=\"ISO-8859-1\"")).expect("latin1");
        assert!(decoded.ends_with("<a>£ 5</a>"), "{decoded}");
    }

    #[test]
    fn an_xml_declaration_names_the_charset_where_nothing_else_does() {
        let xml = b"\r\n<?xml version=\"1.0\" encoding = \"windows-1252\"?><a>\x80 5</a>";
        let decoded = decode(xml, Some("text/xml")).expect("windows-1252");
        assert!(decoded.ends_with("<a>€ 5</a>"), "{decoded}");
    }

    #[test]
    fn a_byte_order_mark_goes_before_everything_and_is_dropped() {
        let utf16: Vec<u8> =
            [0xfeff_u16].into_iter().chain("<a>é</a>".encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&utf16, Some("text/xml; charset=utf-8")).as_deref(), Ok("<a>é</a>"));
        assert_eq!(decode(b"\xef\xbb\xbf{}", None).as_deref(), Ok("{}"));
    }

    #[test]
    fn what_is_not_valid_in_a_list_is_marked_where_it_stands() {
        let marked = |bytes: &[u8], kind: &str| decode_marked(bytes.to_vec(), Some(kind)).expect("a charset");
        let mark = |text: &str| text.replace('?', &UNDECODABLE.to_string());
        let (text, invalid) =
            marked(b"\xef\xbb\xbf[\"a\", \"na\xefve\", \"\xe2\x82\", \"b\"]", "application/json");
        assert_eq!(text, mark("[\"a\", \"na?ve\", \"?\", \"b\"]"));
        assert_eq!(invalid, Some(Undecodable::Invalid("UTF-8")));
        assert_eq!(marked("[\"é\"]".as_bytes(), "application/json"), ("[\"é\"]".to_owned(), None));
        let utf16: Vec<u8> = [0x61_u16, 0xd83d, 0x62].into_iter().flat_map(u16::to_le_bytes).collect();
        let (text, invalid) = marked(&utf16, "text/plain; charset=utf-16le");
        assert_eq!((text.as_str(), invalid.is_some()), (mark("a?b").as_str(), true));
        assert_eq!(marked(b"caf\xe9", "text/plain; charset=iso-8859-1").0, "café");
    }

    #[test]
    fn an_unknown_charset_is_named() {
        let error = decode(b"{}", Some("application/json; charset=klingon")).expect_err("unknown");
        assert_eq!(error.to_string(), "the character set \"klingon\" is not known");
    }

    #[test]
    fn odd_declarations_fall_back_to_utf_8() {
        for body in ["", "   ", "<?xml", "<?xml version='1.0'?><a/>", "<?xml encoding=?><a/>"] {
            assert_eq!(decode(body.as_bytes(), Some("text/xml; charset=")).as_deref(), Ok(body));
        }
    }
}
