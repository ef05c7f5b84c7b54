//! When systems were asked for news and about their open jobs, as a person reads it.

use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{Catalogue, Poll, System};
use serde_json::Value;

use super::{Names, when, words};
use crate::ledger::{Activity, Asked, ClosuresAgain, Failing};
use crate::{news, reconcile};

/// What there is to say of how a system was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquired {
    /// The system.
    pub system: SystemName,
    /// When its open jobs were last compared, with what result, and when they are next.
    pub text: String,
    /// What somebody should look at, a sentence each.
    pub attention: Vec<String>,
    /// Whether its mapping says how its open jobs are compared.
    pub can_be_compared: bool,
}

/// How the systems were asked, in the order of the mappings; those of which there is nothing to say are left out.
pub fn inquired(asked: &[Asked], catalogue: &Catalogue, now: Timestamp) -> Vec<Inquired> {
    let names = Names { catalogue };
    let of = |system: &System| {
        let asked = asked.iter().find(|asked| asked.system == system.name)?;
        let name = names.spoken(&system.name);
        let mut attention = Vec::new();
        let silent = silent(system, &name, asked, now);
        let told = asked.failing.iter().filter(|one| {
            let is_poll = matches!(one.activity, Activity::News | Activity::Tickets);
            one.is_for_a_person() && !(is_poll && silent.is_some())
        });
        attention.extend(told.map(|one| words::sentence(&failing(&name, one))));
        attention.extend(silent);
        attention.extend(asked.closures.as_ref().map(|again| closures_again(&name, again)));
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
            can_be_compared: system.status.is_some(),
        })
    };
    catalogue.systems().filter_map(|system| of(system)).collect()
}

/// A poll that is later than its overlap allows for.
fn silent(system: &System, name: &str, asked: &Asked, now: Timestamp) -> Option<String> {
    let harvest = system.intake().and_then(|intake| intake.harvest());
    let (call, every, overlap) = match (&system.poll, harvest) {
        (Some(Poll::Changed { every, overlap, call, .. }), _) => (call, *every, *overlap),
        (_, Some(harvest)) => (&harvest.call, harvest.every, harvest.overlap),
        (Some(Poll::EachJob { .. }) | None, None) => return None,
    };
    let position = asked.polled_to?;
    reconcile::gap(position, every, overlap, now)?;
    let polls = [Activity::News, Activity::Tickets];
    let why = asked
        .failing
        .iter()
        .find(|one| polls.contains(&one.activity))
        .map(|one| format!(". The last answer: {}", one.failure.reason))
        .unwrap_or_default();
    let since = when::stamp(position);
    let ever = if asked.succeeded {
        format!("could not be asked for news since {since}")
    } else {
        format!("has never been asked for news with success, since {since}")
    };
    // A call that says since when it wants news hears all of it in the end.
    let lost = if system.call(call).is_some_and(|steps| news::is_all_heard(system, steps)) {
        "; what changed meanwhile is heard when it can be asked again"
    } else {
        ", which is longer than a poll looks back: news may be missed"
    };
    Some(words::sentence(&format!("{name} {ever}{lost}{why}")))
}

/// What is asked of a system again and again, and fails, as a sentence without its full stop.
pub(super) fn failing(name: &str, failing: &Failing) -> String {
    let Failing { activity, since, times, failure, .. } = failing;
    let since = when::stamp(*since);
    let times = if *times == 1 { "once".to_owned() } else { format!("{times} times") };
    let what = match (activity, failure.lasting) {
        (Activity::News, false) => format!("{name} has not answered its poll since {since}"),
        (Activity::News, true) => {
            format!("{name} answers when it is asked for news, and its answer cannot be read, since {since}")
        }
        (Activity::Tickets, _) => format!("{name} could not be asked for new tickets since {since}"),
        (Activity::Files, _) => format!("the files of {name} could not all be taken since {since}"),
        (Activity::OpenJobs, _) => format!("{name} could not be asked about its open jobs since {since}"),
    };
    format!("{what} ({times}). The last answer: {}", failure.reason)
}

/// Closures that a CRM did not take, and that are tried again.
fn closures_again(name: &str, again: &ClosuresAgain) -> String {
    let tickets = if again.count == 1 { "1 ticket".to_owned() } else { format!("{} tickets", again.count) };
    let reason = if again.reason.is_empty() { "none was kept" } else { &again.reason };
    words::sentence(&format!(
        "{name} has not taken the closure of {tickets}, though it was asked more than once; it is asked again by itself. \
         The last answer: {reason}"
    ))
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
    use crate::ledger::PollFailure;
    use crate::timeline::tests::fixture::{at, catalogue};

    fn asked(system: &str) -> Asked {
        Asked::nothing(SystemName::parse(system).expect("a name"))
    }

    fn failed(times: u32, reason: &str, lasting: bool) -> Failing {
        Failing {
            system: SystemName::parse("waste").expect("a name"),
            activity: Activity::News,
            since: at(0),
            last_at: at(5),
            times,
            failure: PollFailure { reason: reason.into(), lasting },
        }
    }

    #[test]
    fn a_poll_that_is_later_than_its_overlap_is_told_while_it_lasts() {
        let polled = |minutes: u64| {
            let asked = Asked { polled_to: Some(at(0)), succeeded: true, ..asked("waste") };
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
        let failing = vec![failed(1, "answered 500 Internal Server Error", false)];
        let asked = Asked { polled_to: Some(at(0)), failing, ..asked("waste") };
        assert!(inquired(std::slice::from_ref(&asked), &catalogue(), at(60)).is_empty());
        let told = inquired(&[asked], &catalogue(), at(15 + 121));
        let text = &told[0].attention[0];
        assert!(text.contains("has never been asked for news with success"), "{text}");
        assert!(text.contains("answered 500"), "{text}");
    }

    #[test]
    fn an_answer_that_asking_again_does_not_mend_is_told_at_once() {
        let failing = vec![failed(1, "the answer is larger than 64 MiB", true)];
        let asked = Asked { polled_to: Some(at(0)), failing, ..asked("waste") };
        let told = inquired(&[asked], &catalogue(), at(5));
        assert!(told[0].attention[0].contains("larger than 64 MiB"), "{told:?}");
    }

    #[test]
    fn what_fails_for_the_second_time_is_told_whatever_it_is() {
        let told = |one: Failing| {
            let asked = Asked { polled_to: Some(at(0)), failing: vec![one], ..asked("waste") };
            inquired(&[asked], &catalogue(), at(5))
                .into_iter()
                .flat_map(|one| one.attention)
                .collect::<Vec<_>>()
        };
        assert!(
            told(failed(1, "answered 503", false)).is_empty(),
            "the first time it may come right by itself"
        );
        for (activity, words) in [
            (Activity::News, "Environmental services has not answered its poll since"),
            (Activity::Tickets, "Environmental services could not be asked for new tickets since"),
            (Activity::Files, "The files of Environmental services could not all be taken since"),
            (Activity::OpenJobs, "Environmental services could not be asked about its open jobs since"),
        ] {
            let told = told(Failing { activity, ..failed(2, "answered 503", false) });
            assert!(
                told[0].starts_with(words) && told[0].ends_with("(2 times). The last answer: answered 503."),
                "{told:?}"
            );
        }
    }

    #[test]
    fn closures_that_a_crm_does_not_take_are_told_while_they_are_tried_again() {
        let system = SystemName::parse("waste").expect("a name");
        let closures = Some(ClosuresAgain { system, count: 2, reason: "answered 403".into() });
        let told = inquired(&[Asked { closures, ..asked("waste") }], &catalogue(), at(5));
        assert!(told[0].attention[0].contains("has not taken the closure of 2 tickets"), "{told:?}");
    }
}
