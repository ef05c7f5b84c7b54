//! What a person says that a word of a system means, and the line of the mapping that says the same.

use std::str::FromStr;

use mappings::domain::{Disposition, InvalidId, Progress};
use mappings::mapping::Meaning;

/// One of our own words for what a system said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// The job ended so.
    Ended(Disposition),
    /// It goes on, and is so far.
    Progress(Progress),
}

impl FromStr for Means {
    type Err = InvalidId;

    fn from_str(word: &str) -> Result<Self, InvalidId> {
        word.parse().map(Self::Ended).or_else(|_| word.parse().map(Self::Progress))
    }
}

impl Means {
    /// Every word that can be said.
    pub(super) fn words() -> impl Iterator<Item = &'static str> {
        let dispositions = Disposition::ALL.iter().map(|word| word.as_str());
        dispositions.chain(Progress::ALL.iter().map(|word| word.as_str()))
    }

    /// The word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ended(disposition) => disposition.as_str(),
            Self::Progress(progress) => progress.as_str(),
        }
    }

    /// As a mapping has it.
    pub(super) fn meaning(self, reason: Option<String>, say: Option<String>) -> Meaning {
        match self {
            Self::Ended(disposition) => Meaning::Ended { disposition, reason, say },
            Self::Progress(progress) => Meaning::Progress { progress, say },
        }
    }

    /// The line below `statuses:` that says so.
    pub(super) fn line(self, said: &str, reason: Option<&str>, say: Option<&str>) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let kind = match self {
            Self::Ended(_) => "disposition",
            Self::Progress(_) => "progress",
        };
        let mut members = format!("{kind}: {}", self.as_str());
        if let (Self::Ended(_), Some(reason)) = (self, reason) {
            members += &format!(", reason: {}", quoted(reason));
        }
        match (self, say) {
            (_, Some(say)) => members += &format!(", say: {}", quoted(say)),
            (Self::Ended(_), None) => members += ", say: WORDS FOR THE CUSTOMER",
            (Self::Progress(_), None) => {}
        }
        format!("  {}: {{{members}}}", quoted(said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_for_the_mapping_is_yaml_that_says_the_same() {
        let ended = Means::Ended(Disposition::Declined);
        let line = ended.line("Un-\"done\": late", Some("late"), Some("It is late."));
        assert_eq!(
            line,
            "  \"Un-\\\"done\\\": late\": {disposition: declined, reason: \"late\", say: \"It is late.\"}"
        );
        let read = mappings::mapping::yaml::parse(&format!("statuses:\n{line}\n")).expect("yaml");
        let statuses = read.get("statuses").expect("statuses");
        assert_eq!(statuses.entries()[0].key, "Un-\"done\": late");
        assert_eq!("review".parse(), Ok(Means::Progress(Progress::Review)));
        assert_eq!(Means::Progress(Progress::Review).line("R", None, None), "  \"R\": {progress: review}");
        assert!("done".parse::<Means>().is_err());
    }
}
