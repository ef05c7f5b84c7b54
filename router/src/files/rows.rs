//! The rows of a file, one after the other, whatever it is written in. A file is never in memory as a whole.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};

use csv::ByteRecord;
use mappings::mapping::{BadRow, Files, Format, Report};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::markup;
use super::text::{Bounded, Counted, LONGEST_ROW, utf8};

/// One row, as its mapping reads it.
#[derive(Debug)]
pub(super) struct Row {
    /// Where it begins.
    pub(super) line: u64,
    /// What it says, or why it says nothing.
    pub(super) said: Result<Report, BadRow>,
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
    let mut wanted = true;
    let mut give = |line, document: Result<Value, BadRow>| {
        wanted = each(Row { line, said: document.and_then(|document| files.report(&document)) });
        wanted
    };
    let text = utf8(Counted { file, digest: &digest }, files.encoding.as_deref());
    let read = match text.map_err(|error| stop(1, error)) {
        Err(stop) => Err(stop),
        Ok(text) => match &files.format {
            Format::Csv { delimiter, columns } => csv_rows(text, *delimiter, columns.as_deref(), &mut give),
            Format::Xml { row } => markup::rows(text, row, &files.xml_lists, &mut give),
            Format::JsonLines => json_lines(text, &mut give),
        },
    };
    let broken = match read {
        Ok(()) => None,
        Err(Stop::Broken(line, bad)) => Some((line, bad)),
        Err(Stop::Unread(error)) => return Err(error),
    };
    if wanted {
        io::copy(&mut Counted { file, digest: &digest }, &mut io::sink())?;
    }
    let digest = digest.into_inner().finalize();
    Ok(End { digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(), broken })
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

fn csv_rows(
    text: impl Read,
    delimiter: u8,
    columns: Option<&[String]>,
    give: &mut Give<'_>,
) -> Result<(), Stop> {
    let left = Cell::new(LONGEST_ROW);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(Bounded { inner: text.chain(&b"\n"[..]), left: &left });
    let mut columns = columns.map(<[String]>::to_vec);
    let mut record = ByteRecord::new();
    loop {
        left.set(LONGEST_ROW);
        let more = reader.read_byte_record(&mut record);
        let more = more.map_err(|error| stop(reader.position().line(), unwrapped(error)))?;
        if !more {
            return Ok(());
        }
        // Each row ends with its line, and may hold the ends of others; the reader's own count is of where it began to
        // look for the row.
        let within: usize =
            record.iter().map(|field| field.iter().filter(|byte| **byte == b'\n').count()).sum();
        let line = reader.position().line().saturating_sub(within as u64 + 1);
        if record.iter().all(|field| field.trim_ascii().is_empty()) && record.len() == 1 {
            continue;
        }
        match &columns {
            None => columns = Some(header(&record).map_err(|bad| Stop::Broken(line, bad))?),
            Some(columns) if !give(line, object(columns, &record)) => return Ok(()),
            Some(_) => {}
        }
    }
}

/// What was in the way of the reader.
fn unwrapped(error: csv::Error) -> io::Error {
    let text = error.to_string();
    if let csv::ErrorKind::Io(error) = error.into_kind() {
        return error;
    }
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The names of the columns.
fn header(record: &ByteRecord) -> Result<Vec<String>, BadRow> {
    let mut columns: Vec<String> = Vec::with_capacity(record.len());
    for field in record {
        let name = std::str::from_utf8(field).map_err(|_| not_text())?.trim().to_owned();
        if name.starts_with('<') {
            return Err(BadRow::new("markup where the header should be", "the names of the columns"));
        }
        if name.contains('\r') {
            return Err(BadRow::new(
                "lines that end with a carriage return alone",
                "ends of lines as in RFC 4180",
            ));
        }
        if !name.is_empty() && columns.contains(&name) {
            return Err(BadRow::new(format!("two columns {name}"), "a name of its own for each column"));
        }
        columns.push(name);
    }
    Ok(columns)
}

fn object(columns: &[String], record: &ByteRecord) -> Result<Value, BadRow> {
    let surplus = record.iter().skip(columns.len()).any(|field| !field.trim_ascii().is_empty());
    if surplus || record.len() < columns.len() {
        let expected = format!("{}, one for each column", columns.len());
        return Err(BadRow::new(format!("{} fields", record.len()), expected));
    }
    let mut row = Map::with_capacity(columns.len());
    for (name, field) in columns.iter().zip(record) {
        let text = std::str::from_utf8(field).map_err(|_| not_text())?;
        // The end of the line is not part of its last field.
        row.insert(name.clone(), Value::String(text.strip_suffix('\r').unwrap_or(text).to_owned()));
    }
    Ok(Value::Object(row))
}

fn not_text() -> BadRow {
    BadRow::new("bytes that are not valid UTF-8", "text in UTF-8, or encoding: in the mapping")
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
mod tests {
    use std::io::{Seek, Write};

    use super::super::tests::mapped;
    use super::*;

    /// A line, and the word in it or what was found there.
    type Line = (u64, String);

    /// The rows; then how it ended.
    fn told(mapping: &str, content: impl AsRef<[u8]>) -> (Vec<Line>, Option<Line>) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content.as_ref()).expect("written");
        file.rewind().expect("rewound");
        let mut rows = Vec::new();
        let system = mapped(mapping);
        let files = system.files.as_ref().expect("files");
        let end = read(&file, files, |row| {
            let said = row.said.map_or_else(|bad| format!("bad: {}", bad.found), |report| report.said);
            rows.push((row.line, said));
            true
        });
        let end = end.expect("readable");
        assert_eq!(end.digest, crate::envelope::digest(content.as_ref()), "all of it was read");
        (rows, end.broken.map(|(line, bad)| (line, bad.found)))
    }

    fn rows(mapping: &str, content: impl AsRef<[u8]>) -> Vec<(u64, String)> {
        let (rows, broken) = told(mapping, content);
        assert_eq!(broken, None);
        rows
    }

    fn is(rows: &[(u64, String)], expected: &[(u64, &str)]) {
        let rows: Vec<(u64, &str)> = rows.iter().map(|(line, said)| (*line, said.as_str())).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn csv_is_read_by_the_names_of_its_columns_with_the_line_of_each_row() {
        let content = "Job,Status, Note\r\nJ-1,Done,\"two\nlines, and a \"\"quote\"\"\"\r\n\r\nJ-2,Done\nJ-3,,\nJ-4,Late,x,\n";
        is(
            &rows("format: csv", content),
            &[(2, "Done"), (5, "bad: 2 fields"), (6, "bad: no status"), (7, "Late")],
        );
        let content = "\u{feff}Job;Status\nJ-1;Zoë";
        is(&rows("format: csv, delimiter: \";\"", content), &[(2, "Zoë")]);
        is(&rows("format: csv, columns: [Job, Status]", "J-1,Done\n"), &[(1, "Done")]);
        is(&rows("format: csv", ""), &[]);
    }

    #[test]
    fn a_row_in_another_character_set_is_bad_and_its_neighbours_are_not() {
        let content = b"Job,Status\nJ-1,Done\nJ-2,Zo\xeb\nJ-3,Done\n";
        let found = "bad: bytes that are not valid UTF-8";
        is(&rows("format: csv", content), &[(2, "Done"), (3, found), (4, "Done")]);
        is(&rows("format: csv, encoding: windows-1252", content), &[(2, "Done"), (3, "Zoë"), (4, "Done")]);
    }

    #[test]
    fn a_quote_that_is_never_closed_ends_the_reading_and_not_the_memory() {
        let content = format!("Job,Status\nJ-1,Done\nJ-2,\"{}", "x,".repeat(LONGEST_ROW));
        let (taken, broken) = told("format: csv", content);
        is(&taken, &[(2, "Done")]);
        assert_eq!(broken.expect("broken").1, "a row of more than 1 MiB");
        let (_, broken) = told("format: csv", "Job,Job\n");
        assert_eq!(broken, Some((1, "two columns Job".to_owned())));
        let (_, broken) = told("format: csv", "<html><body>Try again later</body></html>");
        assert_eq!(broken, Some((1, "markup where the header should be".to_owned())));
        let (_, broken) = told("format: csv", "Job,Status\rJ-1,Done\r");
        assert!(broken.is_some());
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
