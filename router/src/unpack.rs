//! Bodies that come packed: `Content-Encoding` of HTTP (RFC 9110, section 8.4) and the `content_encoding` of AMQP.
//!
//! What comes out is bounded while it comes out, so that a body which would swell to gigabytes costs no more than one of
//! the largest size that is read.

use std::borrow::Cow;
use std::io::Read;

use encoding_rs::Encoding;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use mappings::bounds::Bounds;

/// What is read: the value of `Accept-Encoding` in an answer that refuses another coding.
pub const ACCEPTED: &str = "gzip, deflate";

/// The most codings one within another. Each is a pass over the body, and nobody needs two.
const MOST_CODINGS: usize = 2;

/// How every body in gzip begins (RFC 1952), and no text in any character set.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// Why a body cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A coding that is not read.
    #[error("the body is packed as {found:?}; expected {ACCEPTED} or no content encoding")]
    Unknown {
        /// The name of the coding, cut to 40 characters.
        found: String,
    },
    /// More codings within each other than are read.
    #[error("the body is packed {found} times over; expected {MOST_CODINGS} at most")]
    Often {
        /// How many are named.
        found: usize,
    },
    /// It is not what it is said to be, or it is damaged or cut short.
    #[error(
        "the body is said to be {coding} and cannot be unpacked: it is another format, damaged or cut short"
    )]
    Damaged {
        /// The coding.
        coding: &'static str,
    },
    /// More comes out than is read.
    #[error("the body is larger than it may be when it is unpacked; expected fewer than {limit} bytes")]
    TooLarge {
        /// The number of bytes that must not be reached.
        limit: usize,
    },
}

/// One coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

/// Whether a body begins as all that is in gzip does.
pub fn is_packed(body: &[u8]) -> bool {
    body.starts_with(&GZIP)
}

/// The body as it was before it was packed; borrowed where it was not.
///
/// `said` is the content encoding. A character set there counts as none, since .NET, Spring and Celery write it there;
/// [`charset_in`] gives it. A body in gzip whose content encoding is absent is unpacked too.
///
/// # Errors
/// [`Error`] says what was found and what was expected.
pub fn unpack<'a>(body: &'a [u8], said: Option<&str>, bounds: &Bounds) -> Result<Cow<'a, [u8]>, Error> {
    let mut codings = codings(said.unwrap_or_default())?;
    if codings.is_empty() && is_packed(body) {
        codings.push(Coding::Gzip);
    }
    let mut whole = Cow::Borrowed(body);
    // An empty body is empty, however it is said to be packed.
    while let Some(coding) = codings.pop().filter(|_| !whole.is_empty()) {
        whole = Cow::Owned(coding.undo(&whole, bounds.bytes)?);
    }
    Ok(whole)
}

/// Whether a body is packed, as far as its content encoding or its first bytes say.
pub fn may_be_packed(body: &[u8], said: Option<&str>) -> bool {
    is_packed(body) || codings(said.unwrap_or_default()).is_ok_and(|codings| !codings.is_empty())
}

/// The first `most` bytes of the body as it was before it was packed, for a look at what cannot be unpacked whole; the
/// body itself where not even that can be had.
pub fn beginning<'a>(body: &'a [u8], said: Option<&str>, most: usize) -> Cow<'a, [u8]> {
    let named = codings(said.unwrap_or_default()).unwrap_or_default();
    let coding = match named.as_slice() {
        [coding] => Some(*coding),
        [] if body.starts_with(&GZIP) => Some(Coding::Gzip),
        [..] => None,
    };
    let start = &body[..body.len().min(most)];
    match coding.map(|coding| coding.begin(body, most)) {
        Some(whole) if !whole.is_empty() => Cow::Owned(whole),
        Some(_) | None => Cow::Borrowed(start),
    }
}

/// The character set that stands where a content encoding belongs.
pub fn charset_in(said: &str) -> Option<&str> {
    let said = said.trim();
    Encoding::for_label(said.as_bytes()).map(|_| said)
}

/// The codings in the order in which they were applied.
fn codings(said: &str) -> Result<Vec<Coding>, Error> {
    let mut codings = Vec::new();
    for name in said.split(',').map(str::trim) {
        match name.to_ascii_lowercase().as_str() {
            // "binary" and the like are words of MIME for "as it is".
            "" | "identity" | "none" | "binary" | "7bit" | "8bit" => {}
            "gzip" | "x-gzip" => codings.push(Coding::Gzip),
            "deflate" => codings.push(Coding::Deflate),
            _ if charset_in(name).is_some() => {}
            _ => return Err(Error::Unknown { found: name.chars().take(40).collect() }),
        }
    }
    if codings.len() > MOST_CODINGS { Err(Error::Often { found: codings.len() }) } else { Ok(codings) }
}

impl Coding {
    fn undo(self, body: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
        let (whole, is_sound) = self.read(body, limit);
        match is_sound {
            false => Err(Error::Damaged { coding: self.name() }),
            true if whole.len() >= limit => Err(Error::TooLarge { limit }),
            true => Ok(whole),
        }
    }

    /// What comes out before it ends, breaks or reaches the limit.
    fn begin(self, body: &[u8], most: usize) -> Vec<u8> {
        self.read(body, most).0
    }

    fn read(self, body: &[u8], most: usize) -> (Vec<u8>, bool) {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let mut whole = Vec::new();
        let read = match self {
            Self::Gzip => MultiGzDecoder::new(body).take(most).read_to_end(&mut whole),
            // RFC 9110 means the zlib format; some programs leave its two bytes away.
            Self::Deflate if begins_as_zlib(body) => {
                ZlibDecoder::new(body).take(most).read_to_end(&mut whole)
            }
            Self::Deflate => DeflateDecoder::new(body).take(most).read_to_end(&mut whole),
        };
        (whole, read.is_ok())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// RFC 1950: the method is 8, and the first two bytes are a multiple of 31.
fn begins_as_zlib(body: &[u8]) -> bool {
    match body {
        [first, second, ..] => first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31),
        [] | [_] => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 100_000, depth: 64, nodes: 100_000 };

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(body).unwrap();
        packer.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
        packer.write_all(body).unwrap();
        packer.finish().unwrap()
    }

    fn raw(body: &[u8]) -> Vec<u8> {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::default());
        packer.write_all(body).unwrap();
        packer.finish().unwrap()
    }

    fn unpacked(body: &[u8], said: &str) -> Result<Vec<u8>, Error> {
        unpack(body, Some(said), &BOUNDS).map(Cow::into_owned)
    }

    #[test]
    fn each_coding_is_undone_in_whatever_way_it_is_named() {
        let body = b"{\"ticket\": \"CRM-1\"}";
        for (packed, said) in [
            (gzip(body), "gzip"),
            (gzip(body), "GZIP"),
            (gzip(body), "x-gzip"),
            (gzip(body), " identity , gzip"),
            (gzip(body), "gzip, utf-8"),
            (gzip(body), ""),
            (gzip(body), "utf-8"),
            (zlib(body), "deflate"),
            (raw(body), "deflate"),
            (gzip(&zlib(body)), "deflate, gzip"),
            ([gzip(b"{\"ticket\""), gzip(b": \"CRM-1\"}")].concat(), "gzip"),
        ] {
            assert_eq!(unpacked(&packed, said).as_deref(), Ok(&body[..]), "{said:?}");
        }
        assert_eq!(unpack(&gzip(body), None, &BOUNDS).as_deref(), Ok(&body[..]));
    }

    #[test]
    fn what_is_not_packed_is_given_back_as_it_is() {
        for said in ["", "identity", "utf-8", "UTF-8", "iso-8859-1", "binary", "8bit", "none"] {
            assert!(matches!(unpack(b"{}", Some(said), &BOUNDS), Ok(Cow::Borrowed(b"{}"))), "{said}");
            assert!(!may_be_packed(b"{}", Some(said)) && may_be_packed(&gzip(b"{}"), Some(said)), "{said}");
        }
        assert_eq!(unpacked(b"", "gzip").as_deref(), Ok(&[][..]));
    }

    #[test]
    fn a_coding_that_is_not_read_is_named_with_those_that_are() {
        let error = unpacked(b"x", "br").unwrap_err().to_string();
        assert_eq!(error, "the body is packed as \"br\"; expected gzip, deflate or no content encoding");
        let error = unpacked(b"x", &"z\n".repeat(1000)).unwrap_err().to_string();
        assert!(error.len() < 200 && !error.contains('\n'), "{error}");
        assert_eq!(unpacked(b"x", "gzip, gzip, gzip"), Err(Error::Often { found: 3 }));
    }

    #[test]
    fn what_is_damaged_cut_short_or_not_packed_at_all_is_named() {
        let whole = gzip(b"{\"ticket\": \"CRM-1\"}");
        for body in [&whole[..whole.len() - 4], b"{\"ticket\": \"CRM-1\"}", &[&whole[..], b"rest"].concat()] {
            assert_eq!(unpacked(body, "gzip"), Err(Error::Damaged { coding: "gzip" }));
        }
        assert_eq!(unpacked(b"\xff\xff", "deflate"), Err(Error::Damaged { coding: "deflate" }));
    }

    #[test]
    fn a_body_that_swells_is_given_up_at_the_bound() {
        let bomb = gzip(&vec![b' '; 50_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpacked(&bomb, "gzip"), Err(Error::TooLarge { limit: 100_000 }));
        assert_eq!(unpacked(&gzip(&bomb), "gzip, gzip"), Err(Error::TooLarge { limit: 100_000 }));
        assert_eq!(unpacked(&gzip(&[b' '; 100_000]), "gzip"), Err(Error::TooLarge { limit: 100_000 }));
        assert_eq!(unpacked(&gzip(&[b' '; 99_999]), "gzip").map(|body| body.len()), Ok(99_999));
    }

    #[test]
    fn the_beginning_can_be_looked_at_of_what_cannot_be_unpacked_whole() {
        let body = format!("{{\"ticket\": \"CRM-1\"{}", " ".repeat(1_000_000));
        let packed = gzip(body.as_bytes());
        for packed in [&packed[..], &packed[..packed.len() - 4]] {
            let start = beginning(packed, Some("gzip"), 1000);
            assert!(start.len() == 1000 && body.as_bytes().starts_with(&start));
        }
        assert_eq!(*beginning(b"{\"a\": 1}", Some("gzip"), 4), *b"{\"a\"");
        assert_eq!(*beginning(b"abc", Some("br"), 2), *b"ab");
    }

    #[test]
    fn a_character_set_in_the_wrong_place_is_found() {
        assert_eq!(charset_in(" utf-8 "), Some("utf-8"));
        assert_eq!(charset_in("iso-8859-1"), Some("iso-8859-1"));
        assert_eq!((charset_in("gzip"), charset_in("")), (None, None));
    }

    proptest! {
        #[test]
        fn no_bytes_whatever_make_it_panic(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            said in prop_oneof![Just("gzip"), Just("deflate"), Just("gzip, deflate"), Just("")],
        ) {
            let _ = unpacked(&body, said).map_err(|error| error.to_string());
            prop_assert_eq!(unpacked(&gzip(&body), "gzip"), Ok(body.clone()));
            prop_assert_eq!(unpacked(&zlib(&body), "deflate"), Ok(body));
        }
    }
}
