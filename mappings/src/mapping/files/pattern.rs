//! Names of files: which are a system's, and which are not finished.

use super::neighbours;

/// Endings of names that writers give to what they have not finished.
const UNFINISHED: &[&str] = &[".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", "~"];
/// What is added to a file's name for the name of its receipt.
pub(super) const RECEIPT: &str = ".receipt.json";

/// A name with `*` for any letters and `?` for one, in any case of its letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    letters: Vec<char>,
}

impl Pattern {
    /// A pattern as it is written.
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), letters: lower(text) }
    }

    /// As it is written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a name fits.
    pub(super) fn fits(&self, name: &str) -> bool {
        fits(&self.letters, &lower(name))
    }

    /// Whether one name can fit both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        neighbours::meets(&self.letters, &other.letters)
    }

    /// Whether the receipts of its files fit, too.
    pub(super) fn fits_receipts(&self) -> bool {
        let name = self.text.replace('*', "").replace('?', "x");
        self.fits(&format!("{name}{RECEIPT}"))
    }

    /// Why no file can ever be taken by it, where none can.
    pub(super) fn hindrance(&self, marker: Option<&str>) -> Option<String> {
        let end = self.text.rsplit(['*', '?']).next().unwrap_or_default().to_lowercase();
        if self.text.trim().is_empty() {
            return Some("it is empty".to_owned());
        }
        if self.text.contains(['/', '\\']) {
            return Some("no name has a slash".to_owned());
        }
        if self.text.starts_with('.') {
            return Some("names that begin with a dot are left alone".to_owned());
        }
        if let Some(ending) = UNFINISHED.iter().find(|ending| end.ends_with(**ending)) {
            return Some(format!("names that end in {ending} are not finished"));
        }
        let marker = marker.filter(|marker| end.ends_with(&marker.to_lowercase()))?;
        Some(format!("names that end in {marker} are markers"))
    }
}

/// Whether a file of this name is still being written, or is no file of rows.
pub(super) fn is_unfinished(name: &str, marker: Option<&str>) -> bool {
    let lower = name.to_lowercase();
    name.starts_with('.')
        || UNFINISHED.iter().any(|ending| lower.ends_with(ending))
        || marker.is_some_and(|marker| name.ends_with(marker))
}

fn lower(text: &str) -> Vec<char> {
    text.to_lowercase().chars().collect()
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
    use super::*;

    #[test]
    fn a_pattern_has_stars_and_question_marks_and_no_case() {
        for (pattern, name, taken) in [
            ("Receipts*.csv", "receipts.csv", true),
            ("Receipts*.csv", "RECEIPTS-2026-11-23.CSV", true),
            ("Receipts*.csv", "receipts.csv.part", false),
            ("Receipts*.csv", "old-receipts.csv", false),
            ("a?c*e*", "abcdeef", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(name), taken, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_takes_no_file_or_its_own_receipts_is_known() {
        for (pattern, hindrance) in [
            (".csv", Some("begin with a dot")),
            ("*.csv.PART", Some("end in .part")),
            ("out/*.csv", Some("no name has a slash")),
            (" ", Some("it is empty")),
            ("*.ok", Some("end in .ok are markers")),
            ("*.csv", None),
            ("*", None),
            ("*.part*", None),
        ] {
            let found = Pattern::new(pattern).hindrance(Some(".ok"));
            match (hindrance, &found) {
                (Some(part), Some(found)) => assert!(found.contains(part), "{pattern}: {found}"),
                (None, None) => {}
                (Some(_) | None, _) => panic!("{pattern}: {found:?}"),
            }
        }
        for (pattern, own) in
            [("*", true), ("*.json", true), ("receipts*", true), ("*.csv", false), ("?.csv", false)]
        {
            assert_eq!(Pattern::new(pattern).fits_receipts(), own, "{pattern}");
        }
    }
}
