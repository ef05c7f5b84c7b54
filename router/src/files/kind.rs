//! What a file is by its first bytes, where it is nothing that holds rows.

use encoding_rs::Encoding;
use mappings::mapping::{BadRow, Files, Format};

/// How much is looked at.
pub(super) const START: usize = 1024;

/// What other kinds of files begin with.
const KINDS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a workbook (.xlsx) or another ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "a workbook (.xls) or another document of Office"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"{\\rtf", "an RTF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x7fELF", "a program"),
    (b"-----BEGIN PGP", "an encrypted file"),
];

/// What a file is that cannot hold rows of the format which its mapping names.
pub(super) fn foreign(start: &[u8], files: &Files) -> Option<BadRow> {
    let format = match &files.format {
        Format::Csv { .. } => "CSV",
        Format::Xml { .. } => "XML",
        Format::JsonLines => "lines of JSON",
    };
    let expected = format!("{format}; have the system export it so");
    if let Some((_, kind)) = KINDS.iter().find(|(bytes, _)| start.starts_with(bytes)) {
        return Some(BadRow::new(*kind, expected));
    }
    let wide = |label: &str| {
        Encoding::for_label(label.as_bytes()).is_some_and(|encoding| !encoding.is_ascii_compatible())
    };
    let is_wide = Encoding::for_bom(start).is_some_and(|(encoding, _)| !encoding.is_ascii_compatible())
        || files.encoding.as_deref().is_some_and(wide)
        || unmarked_utf16(start).is_some();
    if !is_wide && start.contains(&0) {
        return Some(BadRow::new("bytes that are no text", expected));
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    match (&files.format, text) {
        (Format::Csv { .. }, [b'<', ..]) => {
            Some(BadRow::new("markup where the header should be", "the names of the columns"))
        }
        (Format::Csv { .. }, [b'{', b'"' | b'\r' | b'\n', ..] | [b'[', b'{' | b'\r' | b'\n', ..]) => {
            Some(BadRow::new("JSON where the header should be", "the names of the columns"))
        }
        (Format::JsonLines, [b'<', ..]) => Some(BadRow::new("markup where JSON should be", expected)),
        (Format::Csv { .. } | Format::Xml { .. } | Format::JsonLines, _) => None,
    }
}

/// UTF-16 without a byte order mark, by every second byte being nothing.
pub(super) fn unmarked_utf16(start: &[u8]) -> Option<&'static str> {
    let pairs: Vec<&[u8]> = start.chunks_exact(2).take(64).collect();
    let little = pairs.iter().filter(|pair| pair[0] != 0 && pair[1] == 0).count();
    let big = pairs.iter().filter(|pair| pair[0] == 0 && pair[1] != 0).count();
    let most = |count: usize| pairs.len() >= 4 && count * 10 >= pairs.len() * 9;
    match (most(little), most(big)) {
        (true, false) => Some("utf-16le"),
        (false, true) => Some("utf-16be"),
        (false, false) | (true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::mapped;
    use super::*;

    #[test]
    fn other_kinds_of_files_are_known_by_their_beginning() {
        let csv = mapped("format: csv");
        let csv = csv.files.as_ref().expect("files");
        for (start, found) in [
            (&b"PK\x03\x04\x14\x00"[..], Some("a workbook (.xlsx) or another ZIP archive")),
            (b"%PDF-1.7", Some("a PDF document")),
            (b"J\x00\x01\x02\x03\xff\xfe\x00", Some("bytes that are no text")),
            (b"\xef\xbb\xbf <html>", Some("markup where the header should be")),
            (b"{\"Job\": 1}", Some("JSON where the header should be")),
            (b"\xff\xfeJ\x00o\x00b\x00", None),
            (b"J\x00o\x00b\x00,\x00", None),
            (b"Job,Status\n", None),
            (b"[Job],[Status]\n", None),
            (b"", None),
        ] {
            assert_eq!(foreign(start, csv).map(|bad| bad.found).as_deref(), found, "{start:?}");
        }
        let lines = mapped("format: json-lines");
        let lines = lines.files.as_ref().expect("files");
        assert!(foreign(b"<error/>", lines).is_some() && foreign(b"{\"Job\": 1}", lines).is_none());
    }

    #[test]
    fn utf16_is_known_without_a_mark() {
        let wide = |of: fn(u16) -> [u8; 2]| "Job,Zo\u{eb}".encode_utf16().flat_map(of).collect::<Vec<u8>>();
        assert_eq!(unmarked_utf16(&wide(u16::to_le_bytes)), Some("utf-16le"));
        assert_eq!(unmarked_utf16(&wide(u16::to_be_bytes)), Some("utf-16be"));
        assert_eq!(unmarked_utf16(b"Job,Status"), None);
    }
}
