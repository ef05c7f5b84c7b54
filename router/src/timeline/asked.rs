//! When systems were asked for news and about their open jobs, as a person reads it.

use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{Catalogue, Poll, System};
use serde_json::Value;

use super::{Names, when, words};
use crate::ledger::Asked;
use crate::reconcile;

/// What there is to say of how a system was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquired {
    /// The system.
    pub system: SystemName,
    /// When its open jobs were last compared, with what result, and when they are next.
    pub text: String,
    /// What somebody should look at, a sentence each.
    pub attention: Vec<String>,
}

/// How the systems were asked, in the order of the mappings; those of which there is nothing to say are left out.
pub fn inquired(asked: &[Asked], catalogue: &Catalogue, now: Timestamp) -> Vec<Inquired> {
    let names = Names { catalogue };
    let of = |system: &System| {
        let asked = asked.iter().find(|asked| asked.system == system.name)?;
        let name = names.spoken(&system.name);
        let mut attention = Vec::new();
        attention.extend(silent(system, &name, asked, now));
        attention.extend(asked.why.as_ref().map(|why| missed(system, &name, why)));
        let mut text = Vec::new();
        if let Some((at, report)) = &asked.last {
            text.push(format!("compared {}: {}", when::short(*at), numbers(report)));
            attention.extend(differences(&name, report, *at));
        }
        if let Some(due_at) = asked.due_at.filter(|_| system.status.is_some()) {
            let due =
                if due_at <= now { "as soon as it can be asked".to_owned() } else { when::short(due_at) };
            text.push(format!("next {due}"));
        }
        (!text.is_empty() || !attention.is_empty()).then(|| Inquired {
            system: system.name.clone(),
            text: text.join("; "),
            attention,
        })
    };
    catalogue.systems().filter_map(|system| of(system)).collect()
}

/// A poll that is later than its overlap allows for, or that fails in a way that asking again does not mend.
fn silent(system: &System, name: &str, asked: &Asked, now: Timestamp) -> Option<String> {
    let harvest = system.intake().and_then(|intake| intake.harvest());
    let (every, overlap) = match (&system.poll, harvest) {
        (Some(Poll::Changed { every, overlap, .. }), _) => (*every, *overlap),
        (_, Some(harvest)) => (harvest.every, harvest.overlap),
        (Some(Poll::EachJob { .. }) | None, None) => return None,
    };
    let position = asked.polled_to?;
    let failing = asked.polls.failing.as_ref();
    let why =
        failing.map(|(_, failure)| format!(". The last answer: {}", failure.reason)).unwrap_or_default();
    let since = when::stamp(position);
    if reconcile::gap(position, every, overlap, now).is_some() {
        let ever = if asked.polls.succeeded {
            format!("could not be asked for news since {since}")
        } else {
            format!("has never been asked for news with success, since {since}")
        };
        return Some(words::sentence(&format!(
            "{name} {ever}, which is longer than a poll looks back: news may be missed{why}"
        )));
    }
    let (failing_since, _) = failing.filter(|(_, failure)| failure.lasting)?;
    let failing_since = when::stamp(*failing_since);
    Some(words::sentence(&format!(
        "{name} answers when it is asked for news, and its answer cannot be read, since {failing_since}{why}"
    )))
}

fn missed(system: &System, name: &str, why: &str) -> String {
    let next = match &system.status {
        Some(_) => "It is asked about its open jobs as soon as it can be",
        None => "Its mapping has no completion.status, so its open work is to be looked at by hand",
    };
    words::sentence(&format!("news of {name} may have been missed: {why}. {next}"))
}

fn numbers(report: &Value) -> String {
    let count = |word: &str| report[word].as_u64().unwrap_or_default();
    let words = ["agreed", "repaired", "held", "unknown", "unreadable", "unanswered"];
    let mut parts = vec![format!("{} asked", count("asked"))];
    parts.extend(
        words.into_iter().filter(|word| count(word) > 0).map(|word| format!("{} {word}", count(word))),
    );
    if let Some(why) = report["stopped"].as_str() {
        parts.push(format!("stopped: {}", why.trim_end_matches('.')));
    }
    parts.join(", ")
}

/// What a person must look into: what the last comparison found and could not put right.
fn differences(name: &str, report: &Value, at: Timestamp) -> Vec<String> {
    let at = when::short(at);
    let differences = report["differences"].as_array().into_iter().flatten();
    let told = differences.filter_map(|one| {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        let whose = format!("job {} of {} ({})", text("job"), text("ticket"), text("council"));
        match text("verdict") {
            "unknown" => Some(format!("{name} did not know {whose} when it was asked on {at}")),
            _ => None,
        }
    });
    told.map(|text| words::sentence(&text)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::{PollFailure, Polls};
    use crate::timeline::tests::fixture::{at, catalogue};

    fn asked(system: &str) -> Asked {
        let system = SystemName::parse(system).expect("a name");
        Asked { system, polled_to: None, polls: Polls::default(), due_at: None, why: None, last: None }
    }

    #[test]
    fn a_poll_that_is_later_than_its_overlap_is_told_while_it_lasts() {
        let polled = |minutes: u64| {
            let polls = Polls { succeeded: true, failing: None };
            let asked = Asked { polled_to: Some(at(0)), polls, ..asked("waste") };
            inquired(&[asked], &catalogue(), at(minutes))
        };
        assert!(polled(15 + 120).is_empty(), "every 15 minutes, and each looks back by two hours");
        let told = polled(15 + 121);
        assert!(told[0].attention[0].contains("could not be asked for news since"), "{told:?}");
    }

    #[test]
    fn what_the_last_comparison_could_not_put_right_is_for_a_person() {
        let report = json!({
            "asked": 3, "agreed": 1, "repaired": 1, "unknown": 1, "stopped": null,
            "differences": [
                {"council": "harlow", "ticket": "CRM-1", "job": "W-1", "verdict": "repaired", "detail": "Completed"},
                {"council": "harlow", "ticket": "CRM-2", "job": "W-2", "verdict": "unknown", "detail": ""},
            ],
        });
        let asked = Asked { last: Some((at(0), report)), ..asked("waste") };
        let told = inquired(&[asked], &catalogue(), at(1)).remove(0);
        assert!(told.text.contains("3 asked, 1 agreed, 1 repaired, 1 unknown"), "{told:?}");
        assert_eq!(told.attention.len(), 1);
        assert!(told.attention[0].contains("did not know job W-2 of CRM-2 (harlow)"), "{told:?}");
    }

    #[test]
    fn a_poll_that_never_succeeded_is_told_like_one_that_fell_silent() {
        let failure = PollFailure { reason: "answered 500 Internal Server Error".into(), lasting: false };
        let polls = Polls { succeeded: false, failing: Some((at(0), failure)) };
        let asked = Asked { polled_to: Some(at(0)), polls, ..asked("waste") };
        assert!(inquired(std::slice::from_ref(&asked), &catalogue(), at(60)).is_empty());
        let told = inquired(&[asked], &catalogue(), at(15 + 121));
        let text = &told[0].attention[0];
        assert!(text.contains("has never been asked for news with success"), "{text}");
        assert!(text.contains("answered 500"), "{text}");
    }

    #[test]
    fn an_answer_that_asking_again_does_not_mend_is_told_at_once() {
        let failure = PollFailure { reason: "the answer is larger than 64 MiB".into(), lasting: true };
        let polls = Polls { succeeded: true, failing: Some((at(5), failure)) };
        let told =
            inquired(&[Asked { polled_to: Some(at(0)), polls, ..asked("waste") }], &catalogue(), at(5));
        assert!(told[0].attention[0].contains("larger than 64 MiB"), "{told:?}");
    }
}
