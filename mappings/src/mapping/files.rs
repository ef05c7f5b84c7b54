//! How a system tells by files: which files are its, and what a row of them says.

use std::fmt;
use std::time::Duration;

use encoding_rs::Encoding;
use serde_json::Value;

use super::Report;
use super::check::{Check, Fields};
use super::report::{BadRow, Reports};
use super::yaml::Node;

/// Pause between two looks into the folder, where the mapping says none.
const EVERY: Duration = Duration::from_secs(60);

/// The files that a system puts into a folder: `files:` of its completion.
pub struct Files {
    /// The folder; `None` where its variable is not set, and then no file is taken.
    pub folder: Option<String>,
    /// How a file is read.
    pub format: Format,
    /// The character set by its name in the WHATWG Encoding Standard, where the file does not say it itself.
    pub encoding: Option<String>,
    /// What is added to a file's name for the empty file beside it that says that it is whole.
    pub marker: Option<String>,
    /// Pause between two looks.
    pub every: Duration,
    /// Elements of its XML that are always lists.
    pub xml_lists: Vec<String>,
    pattern: String,
    reports: Reports,
}

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

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("folder", &self.folder)
            .field("pattern", &self.pattern)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

const KEYS: &[&str] =
    &["folder", "pattern", "format", "delimiter", "columns", "row", "encoding", "marker", "every", "reports"];
const FORMATS: &[(&str, &str)] = &[("csv", "csv"), ("xml", "xml"), ("json-lines", "json-lines")];

impl Files {
    /// Reads `files:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "files", KEYS)?;
        let folder = check.required(fields, "folder", "files")?;
        let folder = check.text_if_set(folder, "folder");
        let pattern = check.required_text(fields, "pattern", "files");
        if let Some(pattern) = pattern.as_deref().filter(|pattern| pattern.contains(['/', '\\'])) {
            let expected = "the name of a file, with * for any letters and ? for one";
            check.error(node.line, format!("pattern: {pattern:?}"), expected);
        }
        let format = format(check, fields, node.line);
        let encoding = check.text_of(fields, "encoding");
        if let Some(name) = encoding.as_deref().filter(|name| Encoding::for_label(name.as_bytes()).is_none())
        {
            let expected = "a character set such as utf-8, windows-1252 or utf-16le";
            check.error(node.line, format!("encoding: {name:?}"), expected);
        }
        let marker = check.text_of(fields, "marker");
        let every = match fields.get("every") {
            Some(node) => check.duration(node, "every"),
            None => Some(EVERY),
        };
        let reports = check.required(fields, "reports", "files")?;
        if reports.get("each").is_some() {
            check.error(reports.line, "each in the reports of files", "none: a row is one report");
        }
        let line = reports.line;
        let reports = Reports::compile(check, reports);
        if reports.as_ref().is_some_and(|reports| !reports.has_status()) {
            check.error(line, "reports without status", "status: …");
        }
        Some(Self {
            folder,
            pattern: pattern?,
            format: format?,
            encoding,
            marker,
            every: every?,
            xml_lists: check.xml_lists.to_vec(),
            reports: reports?,
        })
    }

    /// Whether a file of this name is one of the system's, in any case of its letters.
    pub fn takes(&self, name: &str) -> bool {
        let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
        fits(&lower(&self.pattern), &lower(name))
    }

    /// Where its files are, where that is said.
    pub(super) fn place(&self) -> Option<String> {
        Some(format!("{}/{}", self.folder.as_ref()?, self.pattern))
    }

    /// What a row says. CSV is an object of texts by the names of the columns; XML is what the row's element holds.
    ///
    /// # Errors
    /// [`BadRow`] where it does not say whose word it is or what the word is, or where its time cannot be read.
    pub fn report(&self, row: &Value) -> Result<Report, BadRow> {
        self.reports.of_row(row)
    }
}

fn format(check: &mut Check<'_>, fields: Fields<'_>, line: usize) -> Option<Format> {
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

/// Whether a name fits a pattern with `*` and `?`.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(sign) if *sign == '?' || *sign == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            Some(_) | None => {
                // The last star takes one letter more.
                let Some((of_star, taken)) = star else { return false };
                star = Some((of_star, taken + 1));
                at = of_star + 1;
                in_name = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|sign| *sign == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::tests::lower;
    use super::super::fixture::{SYSTEM, found};
    use super::super::yaml;
    use super::*;

    const REPORTS: &str = "{job: $.Job, reference: $.Ours, status: $.Status, at: {from: $.When, date: {input: \"%d/%m/%Y\", zone: Europe/London}}}";

    fn files(more: &str) -> Files {
        let text = format!("{{folder: /inbox, pattern: \"Receipts*.csv\", {more}, reports: {REPORTS}}}");
        let mut check = Check::new("f.yaml", &lower);
        let files = Files::compile(&mut check, &yaml::parse(&text).expect("yaml"));
        assert!(check.findings.is_empty(), "{:?}", check.findings);
        files.expect("compiled")
    }

    #[test]
    fn the_files_of_a_system_are_known_by_their_names() {
        let files = files("format: csv");
        for (name, taken) in [
            ("receipts.csv", true),
            ("RECEIPTS-2026-11-23.CSV", true),
            ("receipts.csv.part", false),
            ("old-receipts.csv", false),
            ("receiptscsv", false),
        ] {
            assert_eq!(files.takes(name), taken, "{name}");
        }
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        assert!(fits(&letters("a?c*e*"), &letters("abcdeef")) && !fits(&letters("a?c"), &letters("ac")));
        assert!(fits(&letters("*"), &[]) && !fits(&letters("?"), &[]));
    }

    #[test]
    fn a_row_is_one_report_or_says_what_it_lacks() {
        let files = files("format: csv, delimiter: tab, encoding: windows-1252, marker: .done, every: 5m");
        assert_eq!(files.format, Format::Csv { delimiter: b'\t', columns: None });
        assert_eq!((files.marker.as_deref(), files.every), (Some(".done"), Duration::from_secs(300)));
        let row = json!({"Job": "CT-1", "Ours": "", "Status": " Done ", "When": "23/11/2026"});
        let report = files.report(&row).expect("a report");
        assert_eq!((report.said.as_str(), report.reference), ("Done", None));
        assert_eq!(report.at, "2026-11-23T00:00:00Z".parse().ok());
        for (row, found) in [
            (json!({"Status": "Done"}), "neither a job nor our reference"),
            (json!({"Job": "CT-1", "Status": " "}), "no status"),
            (json!({"Job": "CT-1", "Status": "Done", "When": "soon"}), "a time that cannot be read"),
            (json!({"Job": "x".repeat(300), "Status": "Done"}), "a job that cannot be one"),
        ] {
            let bad = files.report(&row).expect_err("a bad row");
            assert!(bad.found.starts_with(found), "{bad:?}");
        }
    }

    #[test]
    fn a_folder_whose_variable_is_not_set_has_no_files() {
        let text = format!("{{folder: \"${{UNSET}}\", pattern: x, format: json-lines, reports: {REPORTS}}}");
        let mut check = Check::new("f.yaml", &lower);
        let files = Files::compile(&mut check, &yaml::parse(&text).expect("yaml")).expect("compiled");
        assert_eq!((files.folder, check.findings.len()), (None, 0));
    }

    #[test]
    fn wrong_files_are_refused_with_their_reason() {
        for (files, expected) in [
            ("{pattern: x, format: csv}", "files without folder"),
            ("{folder: f, format: csv}", "files without pattern"),
            ("{folder: f, pattern: a/x, format: csv}", "the name of a file"),
            ("{folder: f, pattern: x, format: cvs}", "did you mean csv?"),
            ("{folder: f, pattern: x, format: csv, delimiter: ab}", "one sign such as"),
            ("{folder: f, pattern: x, format: csv, row: R}", "row beside format: csv"),
            ("{folder: f, pattern: x, format: xml}", "files of XML without row"),
            ("{folder: f, pattern: x, format: csv, encoding: klingon}", "a character set such as"),
        ] {
            let files = files.replace('}', ", reports: {job: $.a, status: $.b}}");
            let system = format!("{SYSTEM}completion: {{files: {files}}}\n");
            let all = found(&[("systems/waste/system.yaml", &*system)]).join("\n");
            assert!(all.contains(expected), "{files}: {all}");
        }
        for (reports, expected) in [
            ("{each: $.a, job: $.a, status: $.b}", "a row is one report"),
            ("{job: $.a}", "reports without status"),
        ] {
            let files = format!("{{folder: f, pattern: x, format: csv, reports: {reports}}}");
            let system = format!("{SYSTEM}completion: {{files: {files}}}\n");
            let all = found(&[("systems/waste/system.yaml", &*system)]).join("\n");
            assert!(all.contains(expected), "{reports}: {all}");
        }
    }
}
