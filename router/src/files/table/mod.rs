//! Rows of CSV, as systems and spreadsheets write them: with titles before the header, another delimiter than the mapping
//! says, ends of lines of any kind, and totals after the last row.

use std::borrow::Cow;
use std::io::{self, Cursor, Read};

use mappings::mapping::{BadRow, Columns};
use serde_json::{Map, Value};

use super::records::{Fields, Records};
use super::rows::{Give, Stop, not_text, stop};
use super::trailer::{self, Trailer};

/// How much is looked at to find the header.
const START: u64 = 64 * 1024;
/// Among how many rows the header is looked for.
const TITLES: usize = 20;
/// What may stand between two fields.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// What a spreadsheet writes in place of a value that it has not.
const ERRORS: &[&str] = &["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"];

/// How a mapping says that its rows are written.
pub(super) struct Table<'m> {
    pub(super) delimiter: u8,
    /// The names of the fields, where the first row does not give them.
    pub(super) given: Option<&'m [String]>,
    pub(super) columns: &'m Columns,
}

impl Table<'_> {
    /// Gives each row as an object of texts by the names of the columns.
    pub(super) fn rows(&self, mut text: impl Read, give: &mut Give<'_>) -> Result<(), Stop> {
        let mut start = Vec::new();
        let failure = Failure(text.by_ref().take(START).read_to_end(&mut start).err());
        let from = if start.contains(&b'\r') && !start.contains(&b'\n') { b'\r' } else { b'\n' };
        let mut start: Vec<u8> =
            start.into_iter().map(|byte| if byte == from { b'\n' } else { byte }).collect();
        let (own, before) = match separator(&start) {
            Some((delimiter, length)) => {
                start.drain(..length);
                (delimiter, 1)
            }
            None => (self.delimiter, 0),
        };
        let delimiter = self.delimiter_of(&start, own, before)?;
        let rest = Lines { inner: Cursor::new(start).chain(failure).chain(text), from };
        let mut records = Records::new(rest, delimiter);
        let mut body = Body { names: None, rows: 0, numeric: Vec::new(), trailers: Vec::new() };
        loop {
            let Some((line, record)) =
                records.next().map_err(|error| stop(before + records.line(), error))?
            else {
                return body.end(give);
            };
            let line = before + line;
            let record = match record {
                Ok(record) if record.iter().all(|field| is_blank(field)) => continue,
                Ok(record) => record,
                // Titles are not read.
                Err(_) if body.names.is_none() && self.given.is_none() => continue,
                Err(bad) => {
                    if !body.bad(line, bad, give) {
                        return Ok(());
                    }
                    continue;
                }
            };
            let wanted = match &body.names {
                Some(_) => body.row(self, line, &record, give),
                None => {
                    let header = self.header(&record).transpose().map_err(|bad| Stop::Broken(line, bad))?;
                    match (header, self.given) {
                        (Some(header), _) => body.names = Some(header),
                        (None, Some(given)) => {
                            body.names = Some(given.to_vec());
                            // The first row is one already.
                            if !body.row(self, line, &record, give) {
                                return Ok(());
                            }
                        }
                        (None, None) => {}
                    }
                    true
                }
            };
            if !wanted {
                return Ok(());
            }
        }
    }

    /// What stands between the fields: whatever makes a header of one of the first rows, what is said before all else.
    fn delimiter_of(&self, start: &[u8], own: u8, before: u64) -> Result<u8, Stop> {
        let others = [self.delimiter].into_iter().chain(DELIMITERS).filter(|other| *other != own);
        let mut first_line = None;
        for delimiter in [own].into_iter().chain(others) {
            let mut records = Records::new(start, delimiter);
            let mut looked_at = 0;
            while let Ok(Some((line, record))) = records.next() {
                let Ok(record) = record else { continue };
                if record.iter().all(|field| is_blank(field)) {
                    continue;
                }
                if looked_at == if self.given.is_some() { 1 } else { TITLES } {
                    break;
                }
                looked_at += 1;
                if delimiter == own {
                    first_line.get_or_insert(before + line);
                }
                let fits = match self.given {
                    None => self.header(&record).is_some(),
                    Some(given) => record.len() == given.len(),
                };
                if fits {
                    return Ok(delimiter);
                }
            }
        }
        let lacking = |found: String| {
            let expected =
                format!("a row with the columns {}; or columns: in the mapping", self.columns.needed());
            Err(Stop::Broken(first_line.unwrap_or(before + 1), BadRow::new(found, expected)))
        };
        match (self.given, first_line) {
            (Some(_), _) => Ok(own),
            (None, None) => lacking("no header".to_owned()),
            (None, Some(_)) => lacking(format!("no header among the first {TITLES} rows")),
        }
    }

    /// The names of the columns, where a row gives them.
    fn header(&self, record: &Fields) -> Option<Result<Vec<String>, BadRow>> {
        let texts: Vec<Cow<'_, str>> = record.iter().map(|field| String::from_utf8_lossy(field)).collect();
        let names: Vec<Cow<'_, str>> = texts.iter().map(|text| plain(text)).collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        match self.given {
            None => self.columns.header(&names),
            Some(given) => is_header(given, &names).then(|| Ok(given.to_vec())),
        }
    }
}

/// What comes after the header.
struct Body {
    names: Option<Vec<String>>,
    rows: u64,
    /// Whether all that stands in a column are numbers, where anything does.
    numeric: Vec<Option<bool>>,
    /// Trailers after which no row has come yet.
    trailers: Vec<(u64, Trailer)>,
}

impl Body {
    /// Takes a row; `false` where no more are wanted.
    fn row(&mut self, table: &Table<'_>, line: u64, record: &Fields, give: &mut Give<'_>) -> bool {
        let Self { names: Some(names), rows, numeric, trailers } = self else { return true };
        let texts: Vec<Cow<'_, str>> = record.iter().map(|field| String::from_utf8_lossy(field)).collect();
        let fields: Vec<Cow<'_, str>> = texts.iter().map(|text| plain(text)).collect();
        let fields: Vec<&str> = fields.iter().map(AsRef::as_ref).collect();
        if is_header(names, &fields) {
            return true;
        }
        if let Some(trailer) = trailer::trailer(&fields) {
            // Where the word is no reference and another field is one, it is a row of a job all the same.
            let owner = |at: usize| names.get(at).is_some_and(|name| table.columns.owns(name));
            let owned = (0..fields.len()).any(|at| owner(at) && !fields[at].trim().is_empty());
            if owner(trailer.at) || !owned {
                trailers.push((line, trailer));
                return true;
            }
        }
        *rows += 1;
        if !give_among(trailers, give) {
            return false;
        }
        numeric.resize(numeric.len().max(fields.len()), None);
        for (numeric, field) in numeric.iter_mut().zip(&fields).filter(|(_, field)| !field.trim().is_empty())
        {
            *numeric = Some(numeric.unwrap_or(true) && field.trim().parse::<f64>().is_ok());
        }
        give(line, object(names, table.columns, record))
    }

    /// Takes a row that is none; `false` where no more are wanted.
    fn bad(&mut self, line: u64, bad: BadRow, give: &mut Give<'_>) -> bool {
        self.rows += 1;
        give_among(&mut self.trailers, give) && give(line, Err(bad))
    }

    /// Compares what trailers count with what was read.
    fn end(self, give: &mut Give<'_>) -> Result<(), Stop> {
        let Self { rows, numeric, trailers, .. } = self;
        for (line, trailer) in trailers {
            let Some(count) = trailer.count.filter(|count| count.rows != rows) else { continue };
            let is_sum = count.sum_of.is_some_and(|at| numeric.get(at).copied().flatten() == Some(true));
            if !is_sum {
                let found = format!("a trailer that counts {} rows after {rows}", count.rows);
                let expected = "all of its rows; ask whoever wrote the file whether some are missing";
                if !give(line, Err(BadRow::new(found, expected))) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Gives trailers after which a row came, and which are none.
fn give_among(trailers: &mut Vec<(u64, Trailer)>, give: &mut Give<'_>) -> bool {
    let found = "a total, or the end of a report, among the rows";
    let expected = "rows alone, and totals after the last of them";
    trailers.drain(..).all(|(line, _)| give(line, Err(BadRow::new(found, expected))))
}

/// The delimiter that a first line such as `sep=;` names, and how long that line is.
fn separator(start: &[u8]) -> Option<(u8, usize)> {
    let end = start.iter().position(|byte| *byte == b'\n')?;
    let line = start[..end].trim_ascii_start();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    let (word, sign) = line.split_at_checked(4)?;
    match sign {
        [delimiter, rest @ ..]
            if word.eq_ignore_ascii_case(b"sep=") && rest.iter().all(|byte| b",;\t|".contains(byte)) =>
        {
            Some((*delimiter, end + 1))
        }
        _ => None,
    }
}

fn is_blank(field: &[u8]) -> bool {
    std::str::from_utf8(field).is_ok_and(|text| plain(text).trim().is_empty())
}

/// Whether a row gives the names of the columns, once more or beside the mapping.
fn is_header(names: &[String], fields: &[&str]) -> bool {
    let alike = |name: &str, field: &str| name.is_empty() || field.trim().eq_ignore_ascii_case(name.trim());
    fields.len() >= names.len() && names.iter().zip(fields).all(|(name, field)| alike(name, field))
}

/// A text that a spreadsheet wrote as a formula, `="00123"`, without that.
fn plain(text: &str) -> Cow<'_, str> {
    let inner = text.trim().strip_prefix("=\"").and_then(|text| text.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.replace("\"\"", "").contains('"') => Cow::Owned(inner.replace("\"\"", "\"")),
        Some(_) | None => Cow::Borrowed(text),
    }
}

fn object(names: &[String], columns: &Columns, record: &Fields) -> Result<Value, BadRow> {
    let surplus = record.iter().skip(names.len()).any(|field| !is_blank(field));
    if surplus || record.len() < names.len() {
        let expected =
            format!("{}, one for each column; a text with the delimiter in it stands in quotes", names.len());
        return Err(BadRow::new(format!("{} fields", record.len()), expected));
    }
    let mut row = Map::with_capacity(names.len());
    for (name, field) in names.iter().zip(record) {
        let text = match std::str::from_utf8(field) {
            Ok(text) => text,
            Err(_) if columns.reads(name) => return Err(not_text()),
            Err(_) => continue,
        };
        let text = plain(text);
        if columns.reads(name) && ERRORS.contains(&text.trim()) {
            let expected = "a value; the spreadsheet that it comes from has an error there";
            return Err(BadRow::new(format!("{} in the column {name}", text.trim()), expected));
        }
        if columns.owns(name) && is_rounded(text.trim()) {
            let expected = "the reference in full; have its column formatted as text in the spreadsheet";
            return Err(BadRow::new(format!("a number that was rounded in the column {name}"), expected));
        }
        if !name.is_empty() {
            row.insert(name.clone(), Value::String(text.into_owned()));
        }
    }
    Ok(Value::Object(row))
}

/// Whether a text is a long number as spreadsheets show it: `1.23457E+14`.
fn is_rounded(text: &str) -> bool {
    let Some((number, power)) = text.split_once("E+") else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (before, after) = number.split_once(['.', ',']).unwrap_or((number, "0"));
    before.len() == 1 && digits(before) && digits(after) && digits(power)
}

/// Text whose lines end with `from`, as lines that end with a line feed.
struct Lines<R> {
    inner: R,
    from: u8,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        if self.from != b'\n' {
            out[..read].iter_mut().filter(|byte| **byte == self.from).for_each(|byte| *byte = b'\n');
        }
        Ok(read)
    }
}

/// What was in the way of reading the start, in its place.
struct Failure(Option<io::Error>);

impl Read for Failure {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[cfg(test)]
mod tests;
