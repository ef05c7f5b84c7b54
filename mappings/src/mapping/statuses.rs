//! What a system's words mean.

use std::collections::BTreeMap;

use crate::domain::{Disposition, Progress};

use super::check::Check;
use super::yaml::{Node, Yaml};

/// What a status word of a system means to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The job ended.
    Ended {
        /// How.
        disposition: Disposition,
        /// Why, as a short word of the mapping.
        reason: Option<String>,
        /// What the customer may be told.
        say: Option<String>,
    },
    /// The job goes on.
    Progress {
        /// How far.
        progress: Progress,
        /// What the customer may be told.
        say: Option<String>,
    },
    /// The mapping does not know the word: held, never guessed.
    Unrecognised,
}

/// A table of status words.
#[derive(Debug, Default)]
pub(super) struct Statuses(BTreeMap<String, (Meaning, String)>);

impl Statuses {
    /// Reads `statuses:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Self {
        let Yaml::Map(entries) = &node.value else {
            check.error(node.line, node.shown(), "statuses: a mapping of the system's words");
            return Self::default();
        };
        let mut table = BTreeMap::new();
        for entry in entries {
            if let Some(meaning) = meaning(check, &entry.key, &entry.value) {
                table.insert(entry.key.trim().to_owned(), (meaning, check.place(entry.line)));
            }
        }
        Self(table)
    }

    /// The words it knows.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// File and line of a word.
    pub(super) fn place(&self, said: &str) -> Option<&str> {
        self.0.get(said.trim()).map(|(_, place)| place.as_str())
    }

    /// What a word means, with `{note}` in what is said filled in; `None` when the table does not have it.
    pub(super) fn find(&self, said: &str, note: Option<&str>) -> Option<Meaning> {
        let fill =
            |say: &Option<String>| say.as_ref().map(|say| fill(say, note)).filter(|say| !say.is_empty());
        let (meaning, _) = self.0.get(said.trim())?;
        Some(match meaning {
            Meaning::Ended { disposition, reason, say } => {
                Meaning::Ended { disposition: *disposition, reason: reason.clone(), say: fill(say) }
            }
            Meaning::Progress { progress, say } => Meaning::Progress { progress: *progress, say: fill(say) },
            Meaning::Unrecognised => Meaning::Unrecognised,
        })
    }
}

fn meaning(check: &mut Check<'_>, said: &str, node: &Node) -> Option<Meaning> {
    let what = format!("the status {said:?}");
    let fields = check.fields(node, &what, &["disposition", "progress", "reason", "say"])?;
    let say = check.text_of(fields, "say");
    let reason = check.text_of(fields, "reason");
    let kind = check.one_of(fields, &what, &["disposition", "progress"])?;
    let value = fields.get(kind)?;
    if kind == "progress" {
        if reason.is_some() {
            check.error(
                node.line,
                format!("{what} with progress and reason"),
                "a reason only with a disposition",
            );
        }
        return Some(Meaning::Progress { progress: progress(check, value)?, say });
    }
    let disposition = disposition(check, value)?;
    if say.is_none() {
        let hint = Some("the customer is told nothing but that the ticket is closed".to_owned());
        check.warn(node.line, format!("{what} without say"), "say: words for the customer", hint);
    }
    Some(Meaning::Ended { disposition, reason, say })
}

/// Reads a disposition.
pub(super) fn disposition(check: &mut Check<'_>, node: &Node) -> Option<Disposition> {
    let words: Vec<_> = Disposition::ALL.iter().map(|word| (word.as_str(), *word)).collect();
    check.word(node, "disposition", &words)
}

fn progress(check: &mut Check<'_>, node: &Node) -> Option<Progress> {
    let words: Vec<_> = Progress::ALL.iter().map(|word| (word.as_str(), *word)).collect();
    check.word(node, "progress", &words)
}

fn fill(say: &str, note: Option<&str>) -> String {
    if !say.contains("{note}") {
        return say.to_owned();
    }
    let filled = say.replace("{note}", note.unwrap_or_default().trim());
    filled.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn table(text: &str) -> (Statuses, Vec<String>) {
        let mut check = Check::new("f.yaml", &lower);
        let table = Statuses::compile(&mut check, &yaml::parse(text).expect("yaml"));
        (table, check.findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_word_means_what_the_table_says_and_nothing_is_guessed() {
        let (table, findings) = table(
            "Not Out: {disposition: declined, reason: not_presented, say: \"Not out. {note}\"}\n\
             In Progress: {progress: in_progress}\n404: {disposition: cancelled, say: Gone}\n",
        );
        assert!(findings.is_empty(), "{findings:?}");
        let ended = |say: &str| Meaning::Ended {
            disposition: Disposition::Declined,
            reason: Some("not_presented".into()),
            say: Some(say.into()),
        };
        assert_eq!(table.find(" Not Out", Some("Side  gate shut.")), Some(ended("Not out. Side gate shut.")));
        assert_eq!(table.find("Not Out", None), Some(ended("Not out.")));
        let going = Meaning::Progress { progress: Progress::InProgress, say: None };
        assert_eq!(table.find("In Progress", Some("x")), Some(going));
        assert!(table.find("404", None).is_some());
        assert_eq!(table.find("not out", None), None);
        assert_eq!(table.find("", None), None);
    }

    #[test]
    fn a_wrong_status_is_refused() {
        let (_, findings) = table(
            "A: {disposition: complete, say: x}\nB: {say: x}\nC: {progress: review, reason: y}\nD: completed\nE: {disposition: completed}\n",
        );
        assert_eq!(findings.len(), 5, "{findings:#?}");
        assert!(findings[0].contains("did you mean completed?"));
        assert!(findings[1].contains("none of disposition, progress"));
        assert!(findings[2].contains("a reason only with a disposition"));
        assert!(findings[3].contains("a mapping with disposition"));
        assert!(findings[4].contains("without say"));
    }
}
