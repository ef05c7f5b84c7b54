//! Rows of fields (RFC 4180). A quote that is not closed, or closed in the middle of a field, costs the line that it
//! stands in, and never those after it.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read};

use mappings::mapping::BadRow;

use super::text::LONGEST_ROW;

/// The fields of a row.
pub(super) type Fields = Vec<Vec<u8>>;

/// The rows of a text whose lines end with a line feed.
pub(super) struct Records<R> {
    text: BufReader<R>,
    delimiter: u8,
    /// Lines that were read with one before, and are rows by themselves.
    ahead: VecDeque<Vec<u8>>,
    /// Lines that were given.
    lines: u64,
}

impl<R: Read> Records<R> {
    pub(super) fn new(text: R, delimiter: u8) -> Self {
        Self { text: BufReader::new(text), delimiter, ahead: VecDeque::new(), lines: 0 }
    }

    /// The line that is read next.
    pub(super) fn line(&self) -> u64 {
        self.lines + 1
    }

    /// The next row with its first line; `None` at the end.
    ///
    /// # Errors
    /// The text cannot be read, or `FileTooLarge` where a line is longer than any row.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Result<Fields, BadRow>)>> {
        let line = self.line();
        let Some(first) = self.read_line()? else { return Ok(None) };
        let mut row = Row::new(self.delimiter);
        let mut end = row.feed(&first);
        let (mut more, mut length) = (VecDeque::new(), first.len());
        while end == End::Open && length <= LONGEST_ROW {
            let Some(next) = self.read_line()? else { break };
            length += next.len();
            end = row.feed(&next);
            more.push_back(next);
        }
        if end == End::Whole {
            self.lines += 1 + more.len() as u64;
            return Ok(Some((line, Ok(row.fields))));
        }
        self.lines += 1;
        while let Some(next) = more.pop_back() {
            self.ahead.push_front(next);
        }
        let expected = "quotes around the whole of a field, each quote within it doubled";
        Ok(Some((line, Err(BadRow::new("a quote that does not end with its field", expected)))))
    }

    fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        self.text.by_ref().take(LONGEST_ROW as u64).read_until(b'\n', &mut line)?;
        if line.len() == LONGEST_ROW && !line.ends_with(b"\n") {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a row of more than 1 MiB"));
        }
        Ok((!line.is_empty()).then_some(line))
    }
}

/// Where a row stands after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// Within quotes.
    Open,
    /// It can be no row any more.
    Broken,
}

/// Where the reading is within a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Plain,
    Quoted,
    /// After a quote within quotes.
    Quote,
}

/// A row that is being read.
struct Row {
    delimiter: u8,
    fields: Fields,
    field: Vec<u8>,
    place: Place,
}

impl Row {
    fn new(delimiter: u8) -> Self {
        Self { delimiter, fields: Vec::new(), field: Vec::new(), place: Place::Start }
    }

    fn feed(&mut self, line: &[u8]) -> End {
        for byte in line {
            self.place = match (self.place, *byte) {
                (Place::Start, b'"') => Place::Quoted,
                (Place::Quoted, b'"') => Place::Quote,
                (Place::Quote, b'"') => self.add(b'"', Place::Quoted),
                (Place::Quoted, other) => self.add(other, Place::Quoted),
                (Place::Start | Place::Plain | Place::Quote, end) if end == self.delimiter => self.close(),
                (Place::Start | Place::Plain | Place::Quote, b'\n') => {
                    while self.place != Place::Quote && self.field.ends_with(b"\r") {
                        self.field.pop();
                    }
                    self.close();
                    return End::Whole;
                }
                (Place::Quote, b'\r' | b' ') => Place::Quote,
                (Place::Quote, _) => return End::Broken,
                (Place::Start | Place::Plain, other) => self.add(other, Place::Plain),
            };
        }
        match self.place {
            Place::Quoted => End::Open,
            // The last line of a text may lack its end.
            Place::Start | Place::Plain | Place::Quote => {
                self.close();
                End::Whole
            }
        }
    }

    fn add(&mut self, byte: u8, place: Place) -> Place {
        self.field.push(byte);
        place
    }

    fn close(&mut self) -> Place {
        self.fields.push(std::mem::take(&mut self.field));
        Place::Start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row as its line and its fields with `|` between them, or what was found.
    fn records(text: &str) -> Vec<String> {
        let mut records = Records::new(text.as_bytes(), b',');
        let mut all = Vec::new();
        while let Some((line, row)) = records.next().expect("readable") {
            all.push(match row {
                Ok(fields) => {
                    let fields: Vec<_> = fields.iter().map(|field| String::from_utf8_lossy(field)).collect();
                    format!("{line}: {}", fields.join("|"))
                }
                Err(bad) => format!("{line}: {}", bad.found),
            });
        }
        all
    }

    const BAD: &str = "a quote that does not end with its field";

    #[test]
    fn fields_are_read_as_the_standard_says() {
        let text = "a,b\r\n\"c,\r\nd\",\"say \"\"hi\"\"\"\n,\n\n5\" pipe,=\"1\"\n\"\",last";
        let rows = ["1: a|b", "2: c,\r\nd|say \"hi\"", "4: |", "5: ", "6: 5\" pipe|=\"1\"", "7: |last"];
        assert_eq!(records(text), rows);
        assert_eq!(records("a,\"b\" \r\r\n"), ["1: a|b"]);
        assert_eq!(records(""), [""; 0]);
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_line_alone() {
        let text = "a,\"open\nb,2\nc,\"3\"\nd,\"four\nlines\"\n";
        assert_eq!(records(text), [&*format!("1: {BAD}"), "2: b|2", "3: c|3", "4: d|four\nlines"]);
        assert_eq!(records("a,\"open\nb,2\nc,3"), [&*format!("1: {BAD}"), "2: b|2", "3: c|3"]);
        assert_eq!(records("a,\"2\" pipe\"\nb,2\n"), [&*format!("1: {BAD}"), "2: b|2"]);
    }

    #[test]
    fn a_quote_that_is_not_closed_in_a_long_text_costs_its_own_line_alone() {
        let rest = "b,2\n".repeat(LONGEST_ROW / 2);
        let all = records(&format!("a,\"open\n{rest}"));
        assert_eq!(all.len(), 1 + LONGEST_ROW / 2);
        assert_eq!((&*all[0], &*all[1]), (&*format!("1: {BAD}"), "2: b|2"));
    }
}
