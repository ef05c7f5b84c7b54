//! How a file of rows is written.

use super::super::check::{Check, Fields};

/// How a file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Rows of fields (RFC 4180).
    Csv {
        /// What stands between two fields.
        delimiter: u8,
        /// The names of the fields, where the first row does not give them.
        columns: Option<Vec<String>>,
    },
    /// One XML document with an element for each row.
    Xml {
        /// The local name of that element.
        row: String,
    },
    /// One JSON object a line.
    JsonLines,
}

const FORMATS: &[(&str, &str)] = &[("csv", "csv"), ("xml", "xml"), ("json-lines", "json-lines")];

/// Reads `format:` and the keys that belong to one.
pub(super) fn format(check: &mut Check<'_>, fields: Fields<'_>, line: usize) -> Option<Format> {
    let word = check.required(fields, "format", "files")?;
    let word = check.word(word, "format", FORMATS)?;
    let own: &[&str] = match word {
        "csv" => &["delimiter", "columns"],
        "xml" => &["row"],
        _ => &[],
    };
    for key in fields.among(&["delimiter", "columns", "row"]) {
        if !own.contains(&key) {
            check.error(line, format!("{key} beside format: {word}"), "only what that format knows");
        }
    }
    Some(match word {
        "csv" => {
            let delimiter = match check.text_of(fields, "delimiter").as_deref() {
                None => b',',
                Some("tab") => b'\t',
                Some(text) => match text.as_bytes() {
                    [one] if one.is_ascii_punctuation() && *one != b'"' || *one == b'\t' => *one,
                    _ => {
                        let expected = "one sign such as \",\", \";\" or \"|\", or tab";
                        check.error(line, format!("delimiter: {text:?}"), expected);
                        return None;
                    }
                },
            };
            let columns = fields.get("columns").map(|node| check.texts(node, "columns"));
            Format::Csv { delimiter, columns }
        }
        "xml" => Format::Xml { row: check.required_text(fields, "row", "files of XML")? },
        _ => Format::JsonLines,
    })
}
