//! The text of a body: JSON is UTF-8, and clients send it in other character sets too.

use std::borrow::Cow;

use encoding_rs::UTF_8;
use mappings::charset;

use super::Error;

/// The text of JSON, without its byte order mark. UTF-16 is known by its mark or its zero bytes. Bytes that are UTF-8
/// are read so whatever the content type says (RFC 8259, section 11); others in the `charset` that it names.
///
/// # Errors
/// [`Error::NotUtf8`] or [`Error::Charset`]; nothing is ever replaced silently.
pub(super) fn decode<'a>(bytes: &'a [u8], content_type: Option<&str>) -> Result<Cow<'a, str>, Error> {
    let (encoding, mark) = charset::encoding_of(bytes, None)?;
    if encoding != UTF_8 {
        return Ok(Cow::Owned(charset::decode(bytes, None)?));
    }
    match std::str::from_utf8(&bytes[mark..]) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => {
            if charset::encoding_of(bytes, content_type).is_ok_and(|(encoding, _)| encoding != UTF_8) {
                return Ok(Cow::Owned(charset::decode(bytes, content_type)?));
            }
            let at = mark + error.valid_up_to();
            Err(Error::NotUtf8 { at, byte: bytes.get(at).copied().unwrap_or_default() })
        }
    }
}

/// The bytes of the text, as far as that can be had, for a look at what it is about.
pub(super) fn glimpse(bytes: &[u8]) -> Cow<'_, [u8]> {
    match charset::encoding_of(bytes, None) {
        Ok((encoding, mark)) if encoding == UTF_8 => Cow::Borrowed(&bytes[mark..]),
        Ok((encoding, mark)) => {
            let (text, _) = encoding.decode_without_bom_handling(&bytes[mark..]);
            Cow::Owned(text.into_owned().into_bytes())
        }
        Err(_) => Cow::Borrowed(bytes),
    }
}
