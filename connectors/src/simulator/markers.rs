//! Marker words in the text of a request that decide what becomes of its job.
//!
//! The text of a request may hold `[no access]`, `[refused]` and the like, so that a demonstration or a
//! test decides at the CRM how the story ends. Each system says the same thing in its own words.

/// How a job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    #[default]
    Completed,
    FollowOn,
    NoAccess,
    Declined,
    NotOurs,
    Duplicate,
    Cancelled,
    /// It stops with a person, and does not end by itself.
    Review,
    /// It ends in words that nobody has heard of.
    Unknown,
    /// It is worked on for ever.
    Never,
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Duplicate,
    Declined,
    NotOurs,
    /// In words that no mapping knows.
    Other,
}

/// What the markers of one request say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Markers {
    pub(super) end: End,
    pub(super) refusal: Option<Refusal>,
    /// The first call is answered "try again later".
    pub(super) busy: bool,
    /// The system gives its shorter form of answer: a bare number, a token.
    pub(super) short: bool,
}

impl Markers {
    /// Reads every marker of a text; of two that contradict each other the later one counts.
    pub(super) fn read(text: &str) -> Self {
        let mut markers = Self::default();
        let mut rest = text;
        while let Some(start) = rest.find('[') {
            rest = &rest[start + 1..];
            let Some(end) = rest.find([']', '[']) else { break };
            markers.note(&rest[..end]);
            rest = &rest[end..];
        }
        markers
    }

    fn note(&mut self, word: &str) {
        match word.trim().to_ascii_lowercase().as_str() {
            "completed" => self.end = End::Completed,
            "follow on" => self.end = End::FollowOn,
            "no access" => self.end = End::NoAccess,
            "declined" | "not out" | "fail" => self.end = End::Declined,
            "not ours" => self.end = End::NotOurs,
            "duplicate" => self.end = End::Duplicate,
            "cancelled" => self.end = End::Cancelled,
            "review" => self.end = End::Review,
            "unknown" => self.end = End::Unknown,
            "never" => self.end = End::Never,
            "refused" => self.refusal = Some(Refusal::Other),
            "refused duplicate" => self.refusal = Some(Refusal::Duplicate),
            "refused declined" => self.refusal = Some(Refusal::Declined),
            "refused not ours" => self.refusal = Some(Refusal::NotOurs),
            "busy" => self.busy = true,
            "short answer" => self.short = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_markers_is_completed() {
        assert_eq!(Markers::read("Grey bin missed [by the gate"), Markers::default());
        assert_eq!(Markers::read("see [1]"), Markers::default());
    }

    #[test]
    fn markers_are_read_wherever_they_stand_and_in_any_case() {
        let markers = Markers::read("Bin missed [Not Out] again [busy]");
        assert_eq!(markers, Markers { end: End::Declined, busy: true, ..Markers::default() });
        assert_eq!(Markers::read("[refused duplicate]").refusal, Some(Refusal::Duplicate));
        assert_eq!(Markers::read("a [[follow on]]").end, End::FollowOn);
    }
}
