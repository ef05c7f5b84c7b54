//! The rows of a file, one after the other, whatever it is written in. A file is never in memory as a whole.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::fs::FileExt as _;

use mappings::mapping::{self, BadRow, Files, Format};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::table::Table;
use super::text::{Counted, LONGEST_ROW, utf8};
use super::{kind, markup};

/// One row, as its mapping reads it.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it begins.
    pub(super) line: u64,
    /// Which of the rows it is, the first after a header being 1.
    pub(super) number: u64,
    /// What it says, or why it says nothing.
    pub(super) said: Result<mapping::Row, BadRow>,
}

/// What a file was, once it is read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// The SHA-256 of all of it.
    pub(super) digest: String,
    /// The line from which on it could not be read, and why.
    pub(super) broken: Option<(u64, BadRow)>,
}

/// Why the rest of a file is not read.
pub(super) enum Stop {
    /// It is not what it should be, from this line on.
    Broken(u64, BadRow),
    /// It could not be read now.
    Unread(io::Error),
}

/// What becomes of each row; `false` where no more are wanted.
pub(super) type Give<'g> = dyn FnMut(u64, Result<Value, BadRow>) -> bool + 'g;

/// Reads a file to its end and gives each row to `each`, which says whether it wants more.
///
/// # Errors
/// The file cannot be read now; nothing is said of what it holds.
pub(super) fn read(file: &File, files: &Files, mut each: impl FnMut(Row) -> bool) -> io::Result<End> {
    let digest = RefCell::new(Sha256::new());
    let (mut wanted, mut number) = (true, 0);
    let mut give = |line, document: Result<Value, BadRow>| {
        number += 1;
        wanted = each(Row { line, number, said: document.and_then(|document| files.row(&document)) });
        wanted
    };
    let mut start = [0; kind::START];
    let length = file.read_at(&mut start, 0)?;
    let start = &start[..length];
    // What is written on while it is read is read again; none of it without end.
    let size = file.metadata()?.len();
    let read = match kind::foreign(start, files) {
        Some(bad) => Err(Stop::Broken(1, bad)),
        None => {
            let label = kind::unmarked_utf16(start).or(files.encoding.as_deref());
            let source = Counted { file, digest: &digest }.take(size);
            match utf8(source, label).map_err(|error| stop(1, error)) {
                Err(stop) => Err(stop),
                Ok(text) => rows(text, files, &mut give),
            }
        }
    };
    let broken = match read {
        Ok(()) => None,
        Err(Stop::Broken(line, bad)) => Some((line, bad)),
        Err(Stop::Unread(error)) => return Err(error),
    };
    if wanted {
        io::copy(&mut Counted { file, digest: &digest }.take(size), &mut io::sink())?;
    }
    let digest = digest.into_inner().finalize();
    Ok(End { digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(), broken })
}

fn rows(text: impl Read, files: &Files, give: &mut Give<'_>) -> Result<(), Stop> {
    match &files.format {
        Format::Csv { delimiter, columns } => {
            Table { delimiter: *delimiter, given: columns.as_deref(), columns: &files.columns }
                .rows(text, give)
        }
        Format::Xml { row } => markup::rows(text, row, files, give),
        Format::JsonLines => json_lines(text, give),
    }
}

/// What an error means that came up while a line was read: a wrong file, or one that cannot be read now.
pub(super) fn stop(line: u64, error: io::Error) -> Stop {
    let expected = if error.kind() == io::ErrorKind::InvalidData {
        "the character set that the mapping names"
    } else if error.kind() == io::ErrorKind::FileTooLarge {
        "shorter rows; a quote may not be closed"
    } else {
        return Stop::Unread(error);
    };
    Stop::Broken(line, BadRow::new(error.to_string(), expected))
}

/// What is said of bytes in another character set.
pub(super) fn not_text() -> BadRow {
    BadRow::new(
        "bytes that are not valid UTF-8",
        "text in UTF-8, or encoding: in the mapping, such as windows-1252",
    )
}

fn json_lines(text: impl Read, give: &mut Give<'_>) -> Result<(), Stop> {
    let mut text = BufReader::new(text);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let most = LONGEST_ROW as u64 + 1;
        let read = text.by_ref().take(most).read_until(b'\n', &mut line);
        if read.map_err(|error| stop(number, error))? == 0 {
            return Ok(());
        }
        let whole = line.len() <= LONGEST_ROW || line.ends_with(b"\n");
        if !whole {
            text.skip_until(b'\n').map_err(|error| stop(number, error))?;
        }
        let document = match line.trim_ascii() {
            [] => continue,
            _ if !whole => Err(BadRow::new("a row of more than 1 MiB", "shorter rows")),
            line => one_object(line),
        };
        if !give(number, document) {
            return Ok(());
        }
    }
    Ok(())
}

fn one_object(line: &[u8]) -> Result<Value, BadRow> {
    const EXPECTED: &str = "one JSON object a line";
    let line = std::str::from_utf8(line).map_err(|_| not_text())?;
    match mappings::digits::from_str(line) {
        Ok(document @ Value::Object(_)) => Ok(document),
        Ok(_) => Err(BadRow::new("JSON that is no object", EXPECTED)),
        Err(error) => Err(BadRow::new(format!("no JSON at column {}", error.column()), EXPECTED)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{Seek, Write};

    use super::super::tests::mapped;
    use super::*;

    /// A line, and the word in it or what was found there.
    pub(in super::super) type Line = (u64, String);

    /// The rows; then how it ended.
    pub(in super::super) fn told(mapping: &str, content: impl AsRef<[u8]>) -> (Vec<Line>, Option<Line>) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content.as_ref()).expect("written");
        file.rewind().expect("rewound");
        let mut rows = Vec::new();
        let system = mapped(mapping);
        let files = system.files.as_ref().expect("files");
        let end = read(&file, files, |row| {
            let said = match row.said {
                Ok(mapping::Row::Says(reports)) => reports.into_iter().map(|report| report.said).collect(),
                Ok(mapping::Row::PassedOver) => "passed over".to_owned(),
                Err(bad) => format!("bad: {}", bad.found),
            };
            rows.push((row.line, said));
            true
        });
        let end = end.expect("readable");
        assert_eq!(end.digest, crate::envelope::digest(content.as_ref()), "all of it was read");
        (rows, end.broken.map(|(line, bad)| (line, bad.found)))
    }

    pub(in super::super) fn rows(mapping: &str, content: impl AsRef<[u8]>) -> Vec<(u64, String)> {
        let (rows, broken) = told(mapping, content);
        assert_eq!(broken, None);
        rows
    }

    pub(in super::super) fn is(rows: &[(u64, String)], expected: &[(u64, &str)]) {
        let rows: Vec<(u64, &str)> = rows.iter().map(|(line, said)| (*line, said.as_str())).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn json_lines_are_read_one_by_one() {
        let long = format!("{{\"Job\": \"{}\"}}", "x".repeat(LONGEST_ROW));
        let content = format!(
            "{{\"Job\": 1, \"Status\": \"Done\"}}\n\n[]\n{{\"Job\": \n{long}\n{{\"Job\": 2, \"Status\": \"Late\"}}"
        );
        is(
            &rows("format: json-lines", content),
            &[
                (1, "Done"),
                (3, "bad: JSON that is no object"),
                (4, "bad: no JSON at column 7"),
                (5, "bad: a row of more than 1 MiB"),
                (6, "Late"),
            ],
        );
    }

    #[test]
    fn xml_is_read_row_by_row_whatever_stands_around_it() {
        let content = "<?xml version=\"1.0\"?>\n<!-- nightly -->\n<r:Receipts xmlns:r=\"urn:r\">\n  <Header>x</Header>\n  \
                       <r:Receipt id=\"1\"><r:Job>J-1</r:Job>\n<r:Status>Done &amp; dusted</r:Status></r:Receipt>\n\
                       <r:Receipt><Job>J-2</Job><Status><![CDATA[<Late>]]></Status></r:Receipt><r:Receipt/>\n</r:Receipts>";
        let found = "bad: neither a job nor our reference";
        is(&rows("format: xml, row: Receipt", content), &[(5, "Done & dusted"), (7, "<Late>"), (7, found)]);
    }

    #[test]
    fn xml_that_is_cut_short_or_no_data_is_broken_after_the_rows_before() {
        let row = "<Receipt><Job>J-1</Job><Status>Done</Status></Receipt>";
        let (taken, broken) = told("format: xml, row: Receipt", format!("<Receipts>{row}\n<Receipt><Job>"));
        is(&taken, &[(1, "Done")]);
        assert_eq!(broken, Some((2, "the end of the file within an element".to_owned())));
        let (_, broken) = told("format: xml, row: Receipt", format!("<Receipts>{row}</Receipt>"));
        assert!(broken.is_some());
        for (content, found) in [
            ("<html><body/></html>", "HTML"),
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><a/>", "a doctype"),
            ("Job,Status\n", "text outside of any element"),
        ] {
            let (_, broken) = told("format: xml, row: Receipt", content);
            assert_eq!(broken.expect("broken").1, found, "{content}");
        }
    }
}
