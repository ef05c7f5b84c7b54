//! Our words as a person outside the project says them.

use mappings::domain::{Disposition, ParkClass, Progress, RequestState, Revision};

use crate::ledger::Line;

/// How the work ended.
pub fn ended(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Completed => "the work was done",
        Disposition::FollowOn => "they came, and more work is needed",
        Disposition::NoAccess => "they came, but could not get in",
        Disposition::Declined => "they will not do this work",
        Disposition::NotOurs => "it is not theirs to do",
        Disposition::Duplicate => "it had been reported already",
        Disposition::Cancelled => "the work was called off",
    }
}

/// How far the work has come.
pub fn progress(progress: Progress) -> &'static str {
    match progress {
        Progress::Received => "they have it, and nothing has happened yet",
        Progress::Scheduled => "a time has been set",
        Progress::InProgress => "it is being worked on",
        Progress::Waiting => "it waits for something, such as material or an approval",
        Progress::WaitingForCustomer => "it waits for the customer",
        Progress::Review => "a person there is reviewing it",
    }
}

/// Where a ticket stands, for lists.
pub fn state(state: RequestState) -> &'static str {
    match state {
        RequestState::Open => "Open",
        RequestState::Held => "Waiting for a decision",
        RequestState::Closing => "Being closed",
        RequestState::Closed => "Closed",
    }
}

/// Where a ticket stands, in a list: its state, and how it closed.
pub fn standing(line: &Line) -> String {
    match (line.state, line.disposition) {
        (RequestState::Closed, Some(disposition)) => format!("Closed: {}", ended(disposition)),
        (state_of, _) if line.parked => format!("{}, stuck: a person is needed", state(state_of)),
        (state_of, _) => state(state_of).to_owned(),
    }
}

/// Who can help with work that is stuck, where it is not the system's own team.
pub fn class(class: ParkClass) -> &'static str {
    match class {
        ParkClass::Data => "The request lacks something: the contact centre can help",
        ParkClass::Refused => "Refused in words we do not know: the team that owns the system can help",
        ParkClass::Technical => "It could not be sent, or the system does not work: IT can help",
        ParkClass::Uncertain => {
            "It may have been carried out already: the team that owns the system must look"
        }
    }
}

/// What the contact centre told us of a request that we have.
pub fn change(revision: Revision) -> &'static str {
    match revision {
        Revision::Amended => "the request was changed",
        Revision::Withdrawn => "the request was withdrawn",
        Revision::Reopened => "the ticket was opened again",
    }
}

/// Whether a reason is a word of a mapping, such as `not_presented`, which is for programs.
pub fn is_code(reason: &str) -> bool {
    reason.contains('_') && reason.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A text as one sentence: first letter large, one full stop. An address or a name of a field that it begins with stays
/// as it is written.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let word = text.split_whitespace().next().unwrap_or_default();
    let inner = word.trim_end_matches(['.', '!', '?', ',', ';', ':']);
    let is_code = inner.contains(['/', '_', '@', '.', ':', '$', '=']);
    let mut letters = text.chars();
    let first: String = match letters.next() {
        Some(letter) if is_code => letter.to_string(),
        Some(letter) => letter.to_uppercase().collect(),
        None => String::new(),
    };
    let stop = if text.ends_with(['.', '!', '?', '”']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// What it is that could not be understood, by where it came from.
pub fn refused(source: &str) -> &'static str {
    let file = source.starts_with("/systems/") && source.ends_with("/files");
    if file { "A file that could not be taken whole" } else { "A message that could not be taken" }
}

/// Which key over HTTP a message was sent with.
pub fn sent_with(name: &str) -> String {
    format!("sent with the key “{name}”")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_one_large_letter_and_one_full_stop() {
        assert_eq!(sentence("no answer"), "No answer.");
        assert_eq!(sentence("Done. "), "Done.");
        assert_eq!(sentence("élan"), "Élan.");
        for code in
            ["http://crm.test answered 500", "location.uprn: absent", "bus.url is empty", "a@b.uk is no"]
        {
            assert_eq!(sentence(code), format!("{code}."), "what is written so stays so");
        }
        assert_eq!(sentence("no: it is not."), "No: it is not.");
    }

    #[test]
    fn a_word_of_a_mapping_is_told_from_the_words_of_a_system() {
        assert!(is_code("not_presented"));
        assert!(!is_code("Not Out") && !is_code("closed"));
    }
}
