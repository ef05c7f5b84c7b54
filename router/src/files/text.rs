//! The bytes of a file as they are read: counted into a digest, bounded for each row, and as UTF-8.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Cursor, Read};

use encoding_rs::{Decoder, Encoding, UTF_8};
use sha2::{Digest, Sha256};

/// The most bytes of one row; what is longer is no row but a quote or an element that is never closed.
pub(super) const LONGEST_ROW: usize = 1 << 20;
/// How much is looked at to find out the character set.
const START: u64 = 1024;
/// How much is decoded at once.
const PART: usize = 16 * 1024;

/// A file whose bytes go into a digest as they are read.
pub(super) struct Counted<'f> {
    pub(super) file: &'f File,
    pub(super) digest: &'f RefCell<Sha256>,
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(out)?;
        self.digest.borrow_mut().update(&out[..read]);
        Ok(read)
    }
}

/// A source of which no more than [`LONGEST_ROW`] is read until `left` is set again.
pub(super) struct Bounded<'c, R> {
    pub(super) inner: R,
    pub(super) left: &'c Cell<usize>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(self.left.get());
        if most == 0 && !out.is_empty() {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a row of more than 1 MiB"));
        }
        let read = self.inner.read(&mut out[..most])?;
        self.left.set(self.left.get() - read);
        Ok(read)
    }
}

/// A text as UTF-8 without a byte order mark. The mark decides what it is written in, else `label`, else an XML
/// declaration, else it is taken to be UTF-8 already, and then nothing of it is looked at.
///
/// # Errors
/// It cannot be read, or names a character set that nobody knows.
pub(super) fn utf8<'r>(mut source: impl Read + 'r, label: Option<&str>) -> io::Result<Box<dyn Read + 'r>> {
    let mut start = Vec::new();
    source.by_ref().take(START).read_to_end(&mut start)?;
    let label = label.map(|label| format!("text/plain; charset={label}"));
    let (encoding, mark) = mappings::charset::encoding_of(&start, label.as_deref())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    let mut start = Cursor::new(start);
    start.set_position(mark as u64);
    let all = start.chain(source);
    Ok(if encoding == UTF_8 { Box::new(all) } else { Box::new(Decoded::new(all, encoding)) })
}

/// A text that is decoded as it is read. Nothing is replaced silently: what is not valid is an error.
struct Decoded<R> {
    inner: R,
    encoding: &'static Encoding,
    decoder: Decoder,
    raw: Vec<u8>,
    text: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Decoded<R> {
    fn new(inner: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_without_bom_handling();
        Self { inner, encoding, decoder, raw: vec![0; PART], text: Vec::new(), given: 0, ended: false }
    }

    fn decode_more(&mut self) -> io::Result<()> {
        let read = self.inner.read(&mut self.raw)?;
        self.ended = read == 0;
        let most = self.decoder.max_utf8_buffer_length_without_replacement(read).unwrap_or(PART * 4);
        self.text.resize(most, 0);
        let (result, _, written) =
            self.decoder.decode_to_utf8_without_replacement(&self.raw[..read], &mut self.text, self.ended);
        if result != encoding_rs::DecoderResult::InputEmpty {
            let what = format!("bytes that are not valid {}", self.encoding.name());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.text.truncate(written);
        self.given = 0;
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() {
            if self.ended {
                return Ok(0);
            }
            self.decode_more()?;
        }
        let part = &self.text[self.given..];
        let length = part.len().min(out.len());
        out[..length].copy_from_slice(&part[..length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], label: Option<&str>) -> io::Result<String> {
        let mut text = String::new();
        utf8(bytes, label)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_text_is_read_in_the_character_set_that_it_is_written_in() {
        assert_eq!(read(b"\xef\xbb\xbfa,b", None).expect("utf-8"), "a,b");
        assert_eq!(read(b"\xa3 5", Some("windows-1252")).expect("latin"), "£ 5");
        let utf16: Vec<u8> =
            [0xfeff_u16].into_iter().chain("é,b".encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&utf16, Some("utf-8")).expect("utf-16"), "é,b");
        let xml = b"<?xml version='1.0' encoding='iso-8859-15'?><a>\xa4</a>";
        assert!(read(xml, None).expect("xml").ends_with("<a>€</a>"));
        assert_eq!(read(b"", None).expect("nothing"), "");
    }

    #[test]
    fn a_long_text_in_another_character_set_is_read_whole() {
        let text = "Zoë said £5; ".repeat(20_000);
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(read(&bytes, Some("utf-16le")).expect("utf-16") == text);
    }

    #[test]
    fn what_is_not_valid_is_said_and_never_replaced() {
        let error = read(b"a\x00b", Some("utf-16le")).expect_err("half a letter");
        assert_eq!(error.to_string(), "bytes that are not valid UTF-16LE");
        assert!(read(b"a", Some("klingon")).is_err());
    }
}
