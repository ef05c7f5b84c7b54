//! The columns that a mapping of rows reads: by them a header is known among titles, whatever its letters look like.

use super::super::path::Path;
use super::super::report::BadRow;
use super::super::yaml::{Node, Yaml};

/// The names that the paths of a mapping begin with: columns of CSV, elements and members otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    all: Part,
    status: Part,
    /// The job and our reference.
    owner: Part,
}

/// The names in one part of a mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Part {
    names: Vec<String>,
    /// Whether a path begins with no name, as `$..Job` does: then any column may be meant.
    open: bool,
}

impl Columns {
    /// The names in `reports:`.
    pub(super) fn of(reports: &Node) -> Self {
        let part = |keys: &[&str]| {
            let mut part = Part::default();
            keys.iter().filter_map(|key| reports.get(key)).for_each(|node| part.add(node));
            part
        };
        let mut all = Part::default();
        all.add(reports);
        Self { all, status: part(&["status"]), owner: part(&["job", "reference"]) }
    }

    /// Whether a column or element of this name is read.
    pub fn reads(&self, name: &str) -> bool {
        self.all.open || self.all.has(name)
    }

    /// Whether a column or element of this name says whose word a row is.
    pub fn owns(&self, name: &str) -> bool {
        self.owner.has(name)
    }

    /// Whether a column or element of this name says whose word a row is, or what the word is.
    pub fn needs(&self, name: &str) -> bool {
        self.owns(name) || self.status.has(name)
    }

    /// What a row of names calls the columns, in the mapping's letters; `None` where it is no header, because it lacks
    /// the status, or both the job and our reference. A second column of one name that is not read has no name.
    ///
    /// # Errors
    /// [`BadRow`] where a column that is read is there twice.
    pub fn header(&self, names: &[&str]) -> Option<Result<Vec<String>, BadRow>> {
        let mut names: Vec<String> = names.iter().map(|name| clean(name)).collect();
        while names.last().is_some_and(String::is_empty) {
            names.pop();
        }
        let mut header = Vec::with_capacity(names.len());
        for name in &names {
            let name = self.spelling(name, &names);
            if name.is_empty() || !header.contains(&name) {
                header.push(name);
            } else if self.reads(&name) {
                let expected = "one column of that name; or columns: in the mapping, a name for each";
                return Some(Err(BadRow::new(format!("two columns {name}"), expected)));
            } else {
                header.push(String::new());
            }
        }
        let fits = !header.is_empty() && self.status.is_in(&header) && self.owner.is_in(&header);
        fits.then_some(Ok(header))
    }

    /// The names that a header must have.
    pub fn needed(&self) -> String {
        let parts = [&self.owner, &self.status].map(|part| part.names.join(" or "));
        parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", and ")
    }

    /// The mapping's letters for a name.
    fn spelling(&self, name: &str, header: &[String]) -> String {
        if self.all.has(name) {
            return name.to_owned();
        }
        let mut alike =
            self.all.names.iter().filter(|known| fold(known) == fold(name) && !header.contains(known));
        match (alike.next(), alike.next()) {
            (Some(one), None) => one.clone(),
            (Some(_) | None, _) => name.to_owned(),
        }
    }
}

impl Part {
    fn add(&mut self, node: &Node) {
        match &node.value {
            Yaml::Text(text) => self.add_text(text),
            Yaml::List(items) => items.iter().for_each(|item| self.add(item)),
            Yaml::Map(entries) => entries.iter().for_each(|entry| self.add(&entry.value)),
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) => {}
        }
    }

    /// Adds a path, or the paths in the braces of a template.
    fn add_text(&mut self, text: &str) {
        let in_braces = text
            .split("{$")
            .skip(1)
            .filter_map(|rest| rest.split_once('}'))
            .map(|(path, _)| format!("${path}"));
        let whole = text.starts_with('$').then(|| text.to_owned());
        for path in whole.into_iter().chain(in_braces).filter_map(|path| Path::parse(&path).ok()) {
            match path.names().first() {
                None => self.open = true,
                Some(name) if self.has(name) => {}
                Some(name) => self.names.push((*name).to_owned()),
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Whether a header may give it: it names at least one of the columns, or none can be told.
    fn is_in(&self, header: &[String]) -> bool {
        self.open || self.names.is_empty() || header.iter().any(|name| self.has(name))
    }
}

/// A name without blanks around it and without signs that nobody sees.
fn clean(name: &str) -> String {
    let seen = name.replace(['\u{feff}', '\u{200b}'], "");
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fold(name: &str) -> String {
    clean(name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::super::super::yaml;
    use super::*;

    const REPORTS: &str = "{job: $.Job, reference: {first: [$.Ours, \"$['Our ref']\"]}, status: $.Status.text, \
                           note: {template: \"{$.Note} ({$['By whom']})\"}, at: {from: $.When, date: {input: \"%d\"}}}";

    fn columns(reports: &str) -> Columns {
        Columns::of(&yaml::parse(reports).expect("yaml"))
    }

    fn header(names: &[&str]) -> Option<Result<Vec<String>, String>> {
        columns(REPORTS).header(names).map(|header| header.map_err(|bad| bad.found))
    }

    fn is(names: &[&str], expected: &[&str]) {
        let expected = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(header(names), Some(Ok(expected)), "{names:?}");
    }

    #[test]
    fn the_names_of_all_paths_are_known() {
        let columns = columns(REPORTS);
        for name in ["Job", "Ours", "Our ref", "Status", "Note", "By whom", "When"] {
            assert!(columns.reads(name), "{name}");
        }
        assert!(!columns.reads("text") && !columns.reads("Address"));
        assert!(columns.owns("Our ref") && !columns.owns("Status"));
        assert_eq!(columns.needed(), "Job or Ours or Our ref, and Status");
    }

    #[test]
    fn a_header_is_known_in_any_letters_and_by_what_it_must_have() {
        is(&["Job", "Status", "Address"], &["Job", "Status", "Address"]);
        is(&["\u{feff} OUR\u{a0} REF ", "status", "", ""], &["Our ref", "Status"]);
        is(&["status", "Status", "Job"], &["status", "Status", "Job"]);
        for names in [&["Job", "Note"][..], &["Status", "When"], &["Report of 23/11/2026"], &[]] {
            assert_eq!(header(names), None, "{names:?}");
        }
    }

    #[test]
    fn a_doubled_column_is_refused_where_it_is_read_and_passed_over_where_not() {
        assert_eq!(header(&["Job", "Status", " Status"]), Some(Err("two columns Status".to_owned())));
        assert_eq!(header(&["job", "JOB", "Status"]), Some(Err("two columns Job".to_owned())));
        is(&["Job", "Tel", "Status", "Tel"], &["Job", "Tel", "Status", ""]);
    }

    #[test]
    fn where_no_name_can_be_told_any_header_may_be_meant() {
        let open = columns("{job: $..Job, status: $..Status}");
        assert!(open.header(&["Anything", "Else"]).is_some_and(|header| header.is_ok()));
        assert!(open.header(&["Tel", "Tel"]).is_some_and(|header| header.is_err()));
    }
}
