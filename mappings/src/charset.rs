//! A body's bytes as text, whatever character set the system writes in.

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::UNDECODABLE;
use crate::media_type::parameter;

/// Bytes that are not text in the character set they are said to be in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// The named character set is not one of the WHATWG Encoding Standard.
    #[error("the character set {0:?} is not known")]
    UnknownCharset(String),
    /// Four bytes a character, which no system of the trade sends.
    #[error("the body is UTF-32, which is not read: expected UTF-8 or UTF-16")]
    Utf32,
    /// The bytes are not valid in it.
    #[error("the body is not valid {0}")]
    Invalid(&'static str),
}

/// Decodes a body, in the character set that [`encoding_of`] finds.
///
/// # Errors
/// [`Undecodable`]; nothing is ever replaced silently.
pub fn decode(bytes: &[u8], content_type: Option<&str>) -> Result<String, Undecodable> {
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
pub fn decode_marked(
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

/// The bytes of a text in the character set that it says it is in; UTF-8 where it says none, or one that cannot hold
/// the text.
pub fn encode(text: &str, content_type: Option<&str>) -> Vec<u8> {
    let encoding = encoding_of(text.as_bytes(), content_type).map_or(UTF_8, |(encoding, _)| encoding);
    match encoding.encode(text) {
        (bytes, used, false) if used == encoding => bytes.into_owned(),
        _ => text.as_bytes().to_vec(),
    }
}

/// The character set of a text that starts with these bytes, and the length of its byte order mark: by the mark, else
/// by the zero bytes of a document in UTF-16, else the `charset` of a `Content-Type` (RFC 9110), else the XML
/// declaration (RFC 7303), else UTF-8.
///
/// A text that can be read byte by byte is in no character set of two or four bytes a character, so a label that says
/// so is passed over (XML 1.0, appendix F): programs write `encoding="utf-16"` over what they save as UTF-8.
///
/// # Errors
/// [`Undecodable`] where a name is given that is not of the WHATWG Encoding Standard, and for UTF-32.
pub fn encoding_of(
    start: &[u8],
    content_type: Option<&str>,
) -> Result<(&'static Encoding, usize), Undecodable> {
    if is_utf32(start) {
        return Err(Undecodable::Utf32);
    }
    if let Some(found) = Encoding::for_bom(start) {
        return Ok(found);
    }
    if let Some(found) = unmarked_utf16(start) {
        return Ok((found, 0));
    }
    let labels = [content_type.and_then(|media_type| parameter(media_type, "charset")), xml_encoding(start)];
    for label in labels.into_iter().flatten() {
        let known = Encoding::for_label(label.as_bytes());
        if known.map_or_else(|| is_four_bytes_wide(&label), is_two_bytes_wide) && is_read_byte_by_byte(start)
        {
            continue;
        }
        return match known {
            Some(found) => Ok((by_its_zeros(found, &label, start), 0)),
            None if is_four_bytes_wide(&label) => Err(Undecodable::Utf32),
            None => Err(Undecodable::UnknownCharset(label)),
        };
    }
    Ok((UTF_8, 0))
}

fn is_two_bytes_wide(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

fn is_four_bytes_wide(label: &str) -> bool {
    let label = label.trim().to_ascii_lowercase();
    label.starts_with("utf-32") || label.starts_with("ucs-4") || label.starts_with("iso-10646-ucs-4")
}

/// A byte order mark or a first character of four bytes.
fn is_utf32(start: &[u8]) -> bool {
    match start {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => true,
        [0, 0, 0, first, ..] | [first, 0, 0, 0, ..] => begins_a_document(*first),
        _ => false,
    }
}

/// UTF-16 without a byte order mark, by where the zero bytes of its first two characters are.
fn unmarked_utf16(start: &[u8]) -> Option<&'static Encoding> {
    match start {
        [first, 0, second, 0, ..] if begins_a_document(*first) && *second != 0 => Some(UTF_16LE),
        [0, first, 0, second, ..] if begins_a_document(*first) && *second != 0 => Some(UTF_16BE),
        _ => None,
    }
}

fn begins_a_document(byte: u8) -> bool {
    matches!(byte, b'<' | b'{' | b'[' | b'"') || byte.is_ascii_whitespace()
}

/// A label that does not say in which order its bytes are is not to be believed against the bytes.
fn by_its_zeros(encoding: &'static Encoding, label: &str, start: &[u8]) -> &'static Encoding {
    let label = label.trim().to_ascii_lowercase();
    if !is_two_bytes_wide(encoding) || label.ends_with("le") || label.ends_with("be") {
        return encoding;
    }
    let zeros = |parity: usize| start.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    if zeros(0) > zeros(1) { UTF_16BE } else { encoding }
}

/// Whether the bytes are plainly a text of one byte a character, or UTF-8.
fn is_read_byte_by_byte(start: &[u8]) -> bool {
    let document = start.iter().position(|byte| !byte.is_ascii_whitespace());
    if let Some([first, second, ..]) = document.map(|at| &start[at..])
        && begins_a_document(*first)
        && second.is_ascii()
        && *second != 0
    {
        return true;
    }
    let is_utf8 = match std::str::from_utf8(start) {
        Ok(_) => true,
        // The start of a longer text may end within a character.
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    };
    is_utf8 && !start.contains(&0)
}

/// The `encoding` of an XML declaration that can be read byte by byte.
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

    fn le(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn be(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

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
        let utf16 = le("\u{feff}<a>é</a>");
        assert_eq!(decode(&utf16, Some("text/xml; charset=utf-8")).as_deref(), Ok("<a>é</a>"));
        assert_eq!(decode(b"\xef\xbb\xbf{}", None).as_deref(), Ok("{}"));
    }

    #[test]
    fn utf_16_that_is_declared_over_utf_8_is_passed_over() {
        for label in ["utf-16", "UTF-16LE", "utf-16be", "ISO-10646-UCS-2", "ucs-2", "utf-32", "UCS-4"] {
            let xml = format!("<?xml version=\"1.0\" encoding=\"{label}\"?>\n<R>Zoë’s gate</R>");
            assert_eq!(decode(xml.as_bytes(), Some("text/xml")).as_ref(), Ok(&xml), "{label}");
            assert_eq!(decode(xml.as_bytes(), None).as_ref(), Ok(&xml), "{label}");
            let labelled = format!("text/xml; charset={label}");
            for body in ["<R>Zoë</R>", "{\"a\": \"Zoë\"}", "Zoë came", "7"] {
                assert_eq!(decode(body.as_bytes(), Some(&labelled)).as_deref(), Ok(body), "{label}");
            }
        }
    }

    #[test]
    fn what_is_passed_over_leaves_the_other_label_to_decide() {
        let xml = b"<?xml version='1.0' encoding='iso-8859-15'?><a>\xa4</a>";
        let decoded = decode(xml, Some("text/xml; charset=utf-16")).expect("latin 9");
        assert!(decoded.ends_with("<a>€</a>"), "{decoded}");
    }

    #[test]
    fn utf_16_without_a_byte_order_mark_is_known_by_its_zero_bytes() {
        for text in ["<?xml version=\"1.0\" encoding=\"utf-16\"?><a>é</a>", "{\"a\": 1}", "\r\n<a>é</a>"] {
            for bytes in [le(text), be(text)] {
                for label in [None, Some("text/xml"), Some("text/xml; charset=utf-16")] {
                    assert_eq!(decode(&bytes, label).as_deref(), Ok(text), "{label:?}");
                }
            }
        }
        let plain = Some("text/plain; charset=utf-16");
        assert_eq!(decode(&le("Zoë"), plain).as_deref(), Ok("Zoë"));
        assert_eq!(decode(&be("Zoë"), plain).as_deref(), Ok("Zoë"));
    }

    #[test]
    fn utf_32_is_refused_by_its_name() {
        let wide = |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<u8>>();
        for bytes in [wide("<?xml version='1.0'?><a/>"), wide("\u{feff}<a/>"), vec![0, 0, 0, b'{']] {
            let error = decode(&bytes, None).expect_err("refused");
            assert!(error.to_string().contains("UTF-32"), "{error}");
        }
        assert_eq!(decode(&wide("abc"), Some("text/plain; charset=utf-32")), Err(Undecodable::Utf32));
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

    #[test]
    fn a_text_comes_back_out_of_the_bytes_that_it_is_written_as() {
        for label in
            ["text/plain; charset=iso-8859-1", "text/plain; charset=utf-16", "text/plain", "a/b; charset=x"]
        {
            let bytes = encode("café £5", Some(label));
            if !label.contains("=x") {
                assert_eq!(decode(&bytes, Some(label)).as_deref(), Ok("café £5"), "{label}");
            }
        }
        assert_eq!(encode("£", Some("text/plain; charset=iso-8859-1")), b"\xa3");
        assert_eq!(encode("中", Some("text/plain; charset=iso-8859-1")), "中".as_bytes());
    }
}
