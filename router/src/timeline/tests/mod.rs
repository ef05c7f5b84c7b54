pub(crate) mod fixture;
mod truth;

use mappings::domain::{Disposition, HandoverState, ParkClass, Progress, RequestState};
use serde_json::json;

use super::*;
use crate::event::Kind;
use crate::ledger::{Activity, Breaker, Failing, Halt, Handover, Line, Pause, PollFailure};
use fixture::*;

fn told(history: &History, minute: u64) -> Story {
    tell(history, &catalogue(), at(minute))
}

fn texts(story: &Story) -> Vec<&str> {
    story.entries.iter().map(|entry| entry.text.as_str()).collect()
}

#[test]
fn a_new_request_is_on_its_way() {
    let story = told(&history(vec![handover(2, "waste")]), 1);
    assert_eq!(story.title, "Missed bin");
    assert_eq!(story.headline, "On its way to Environmental services");
    assert_eq!(story.next, ["It is being sent to Environmental services now."]);
    assert_eq!(story.last_word, None);
    assert_eq!(story.target.as_deref(), Some("2 working days, due Wed 25 Nov 17:00, 0 % used"));
    assert_eq!(
        texts(&story),
        ["The customer asked for this.", "Dovetail took the request and will see it through."]
    );
}

#[test]
fn whoever_has_it_is_named_with_team_contact_system_and_reference() {
    let story = told(&history(vec![with_waste()]), 5);
    assert_eq!(
        story.with_whom,
        [Holder {
            team: Some("Waste operations".to_owned()),
            contact: Some("waste@example.gov.uk".to_owned()),
            senior: None,
            system: "Environmental services (Whitespace)".to_owned(),
            job: Some("242259".to_owned()),
            standing: "With Environmental services.".to_owned(),
        }]
    );
}

#[test]
fn tries_that_fail_alike_are_told_as_one_with_the_next_one_in_london_time() {
    let mut history = history(vec![Handover { due_at: Some(at(30)), attempts: 2, ..handover(2, "waste") }]);
    history.attempts = vec![
        tried(2, 1, 2, "retry", Some("the connection was refused")),
        tried(2, 2, 4, "retry", Some("the connection was refused")),
    ];
    let story = told(&history, 5);
    assert_eq!(story.headline, "Not with Environmental services yet: it did not get through");
    assert_eq!(story.next, ["The next try is today at 09:30. If that fails too, a person is asked to help."]);
    let last = story.entries.last().expect("an entry");
    assert_eq!(
        last.text,
        "We sent it to Environmental services, but did not get through. It is tried again by itself."
    );
    assert_eq!(
        last.detail.as_deref(),
        Some("Tried 2 times since Monday 23 November 2026, 09:02. The connection was refused.")
    );
}

#[test]
fn a_lost_answer_is_looked_up_before_anything_is_sent_again() {
    let mut history = history(vec![Handover { due_at: Some(at(30)), attempts: 1, ..handover(2, "waste") }]);
    history.attempts = vec![tried(2, 1, 2, "unknown", Some("no answer within 30 s"))];
    let story = told(&history, 5);
    assert_eq!(story.headline, "Finding out whether Environmental services has it");
    assert_eq!(
        story.next,
        [
            "Environmental services is asked today at 09:30 whether it has this already; only if not is it sent again."
        ]
    );
}

#[test]
fn a_lost_answer_of_a_system_that_honours_keys_is_sent_again_under_its_key() {
    let mut history = history(vec![Handover { attempts: 1, ..handover(2, "waste") }]);
    history.attempts = vec![tried(2, 1, 2, "unknown", Some("no answer within 30 s"))];
    let story = tell(&history, &fixture::catalogue_by_key(), at(5));
    assert_eq!(story.headline, "Being sent to Environmental services once more, since the answer was lost");
    assert_eq!(
        story.next,
        [
            "It is sent to Environmental services again now, under the same key, so that nothing is done twice."
        ]
    );
}

#[test]
fn a_ticket_that_waits_for_news_tells_that_none_can_be_heard() {
    let failing = |times| Failing {
        system: SystemName::parse("waste").expect("a name"),
        activity: Activity::News,
        since: at(4),
        last_at: at(20),
        times,
        failure: PollFailure { reason: "answered 503".into(), lasting: false },
    };
    let story = |times| {
        let mut history = history(vec![with_waste()]);
        history.attempts = vec![tried(2, 1, 2, "delivered", None)];
        history.failing = vec![failing(times)];
        told(&history, 30).next.remove(0)
    };
    assert!(!story(1).contains("503"), "{}", story(1));
    let told = "Environmental services has not answered its poll since Monday 23 November 2026, 09:04 (2 times). \
                The last answer: answered 503.";
    assert!(story(2).ends_with(told), "{}", story(2));
}

#[test]
fn work_in_progress_tells_the_systems_last_word_as_evidence() {
    let mut history = history(vec![Handover { progress: Some(Progress::InProgress), ..with_waste() }]);
    history.attempts = vec![tried(2, 1, 2, "delivered", None)];
    history.completions = vec![
        heard("In Progress", Some("Crew 4"), 20, Correlated::Applied),
        heard("In Progress", None, 25, Correlated::Duplicate),
    ];
    let story = told(&history, 30);
    assert_eq!(story.headline, "With Environmental services: it is being worked on");
    let word = story.last_word.clone().expect("a word");
    assert_eq!((word.said.as_deref(), word.at), (Some("In Progress – Crew 4"), at(20)));
    assert_eq!(word.meaning.as_deref(), Some("A crew is on its way."));
    assert_eq!(
        story.next,
        ["Environmental services tells us when something changes, and is also asked every 15 minutes."]
    );
    assert_eq!(
        texts(&story)[2..],
        [
            "Environmental services has it. Their reference is 242259.",
            "Environmental services told us: it is being worked on."
        ]
    );
}

#[test]
fn a_job_taken_without_a_word_since_says_that_they_have_it() {
    let mut history = history(vec![with_waste()]);
    history.attempts = vec![tried(2, 1, 2, "delivered", None)];
    let word = told(&history, 30).last_word.expect("a word");
    assert_eq!(
        (word.said, word.meaning.as_deref()),
        (None, Some("They have it. Their reference is 242259."))
    );
}

#[test]
fn a_held_ticket_says_what_must_be_decided() {
    let say = Some("The crew could not get in.".to_owned());
    let mut history = history(vec![Handover { say, ..ended(Disposition::NoAccess) }]);
    history.line = Line {
        state: RequestState::Held,
        reason: Some("waste ended it as no_access: Not Out".to_owned()),
        ..line()
    };
    history.completions = vec![heard("Not Out", None, 20, Correlated::Applied)];
    let story = told(&history, 30);
    assert_eq!(story.headline, "A person must decide how this ends");
    assert_eq!(story.with_whom[0].team.as_deref(), Some("Waste operations"));
    assert_eq!(
        story.next,
        [
            "A person must decide: Environmental services says they came, but could not get in, and that does not \
             close a ticket by itself.",
            "Where that is right, the customer can be told: The crew could not get in."
        ]
    );
}

#[test]
fn a_word_that_nobody_knows_is_quoted_for_the_person_who_decides() {
    let mut history = history(vec![with_waste()]);
    history.line.state = RequestState::Held;
    history.events.push(event(
        Kind::Held,
        20,
        json!({"system": "waste", "said": "Gone fishing", "reason": "…"}),
    ));
    history.completions = vec![heard("Gone fishing", None, 20, Correlated::Held)];
    let story = told(&history, 30);
    assert_eq!(
        story.next,
        [
            "A person must decide: Environmental services said “Gone fishing”, and Dovetail does not know what to do \
          with that."
        ]
    );
    assert_eq!(
        texts(&story).last(),
        Some(&"Environmental services told us something that Dovetail does not know. A person must decide.")
    );
    assert_eq!(story.last_word.and_then(|word| word.meaning), None);
}

#[test]
fn a_request_that_was_withdrawn_is_held_and_says_who_has_work_of_it() {
    let mut history = history(vec![with_waste()]);
    history.line.state = RequestState::Held;
    history.events.push(event(
        Kind::Held,
        20,
        json!({"reason": "the CRM sent withdrawn", "change": "withdrawn"}),
    ));
    let story = told(&history, 30);
    assert_eq!(
        story.next,
        [
            "A person must decide: the request was withdrawn, and Environmental services has work of it. Call them, \
          then settle the ticket by hand."
        ]
    );
    assert_eq!(
        texts(&story).last(),
        Some(&"We were told that the request was withdrawn. A person must decide.")
    );
}

#[test]
fn a_closure_that_the_crm_refused_is_left_to_a_person() {
    let refused = Handover { reason: Some("no such ticket".to_owned()), ..closure(HandoverState::Ended) };
    let mut history = history(vec![ended(Disposition::Completed), refused]);
    history.line.state = RequestState::Held;
    history.events.push(event(Kind::Held, 31, json!({"system": "crm", "reason": "crm refused the closure"})));
    history.attempts = vec![tried(9, 1, 31, "rejected", Some("no such ticket"))];
    assert_eq!(
        told(&history, 60).next,
        ["A person must close the ticket by hand: Council CRM refused to. No such ticket."]
    );
}

#[test]
fn a_word_after_the_end_that_contradicts_it_is_told_on_the_closed_ticket() {
    let mut history = history(vec![ended(Disposition::Completed)]);
    history.line = Line { state: RequestState::Closed, disposition: Some(Disposition::Completed), ..line() };
    history.completions = vec![heard("Not Out", None, 50, Correlated::Held)];
    assert_eq!(
        told(&history, 60).next,
        [
            "Nothing: it is finished.",
            "A person should look: Environmental services said “Not Out” after their part had ended."
        ]
    );
}

#[test]
fn parked_work_says_who_can_help_and_why() {
    let cases = [
        (
            ParkClass::Data,
            "the request lacks something",
            "A person in the contact centre must put the request right",
        ),
        (ParkClass::Refused, "refused it in words we do not know", "A person at Waste operations must say"),
        (ParkClass::Technical, "cannot be reached or does not work", "A person in IT must look"),
        (ParkClass::Uncertain, "may have it", "It is not sent again before that"),
    ];
    for (class, headline, help) in cases {
        let story = told(&history(vec![parked(class, "Uprn: nothing at $.location.uprn")]), 30);
        assert!(story.headline.contains(headline), "{}", story.headline);
        assert!(story.next[0].contains(help), "{}", story.next[0]);
        assert!(story.next[0].ends_with("Uprn: nothing at $.location.uprn."), "{}", story.next[0]);
    }
}

#[test]
fn a_ticket_whose_work_has_ended_waits_for_the_crm() {
    let mut history = history(vec![
        ended(Disposition::Completed),
        Handover { due_at: Some(at(40)), ..closure(HandoverState::Due) },
    ]);
    history.line = Line { state: RequestState::Closing, disposition: Some(Disposition::Completed), ..line() };
    history.attempts = vec![tried(9, 1, 31, "retry", Some("503 Service Unavailable"))];
    let story = told(&history, 32);
    assert_eq!(story.headline, "The work has ended. Council CRM could not be told yet to close the ticket");
    assert_eq!(
        story.next,
        ["The next try is today at 09:40. It is try 2 of 12; after the last one a person is asked to help."]
    );
    assert_eq!(story.with_whom.len(), 1);
    assert_eq!(story.target, None);
}

#[test]
fn a_closed_ticket_says_how_it_ended_and_what_the_customer_is_told() {
    for (disposition, headline) in [
        (Disposition::Completed, "Closed: the work was done"),
        (Disposition::Declined, "Closed: they will not do this work"),
        (Disposition::Duplicate, "Closed: it had been reported already"),
    ] {
        let mut history = history(vec![ended(disposition), closure(HandoverState::Ended)]);
        history.line = Line { state: RequestState::Closed, disposition: Some(disposition), ..line() };
        history.say = Some("The bin has been emptied.".to_owned());
        history.attempts = vec![tried(9, 1, 31, "delivered", None)];
        let story = told(&history, 60);
        assert_eq!(story.headline, headline);
        assert_eq!(story.next, ["Nothing: it is finished."]);
        assert_eq!(story.told.as_deref(), Some("The bin has been emptied."));
        assert!(story.with_whom.is_empty());
        assert_eq!(texts(&story).last(), Some(&"The ticket was closed in Council CRM."));
    }
}

#[test]
fn a_ticket_that_a_person_had_closed_already_says_so() {
    let note = "was closed by a person already";
    let taken = Handover { reason: Some(note.to_owned()), ..closure(HandoverState::Ended) };
    let mut history = history(vec![ended(Disposition::Completed), taken]);
    history.line = Line { state: RequestState::Closed, disposition: Some(Disposition::Completed), ..line() };
    history.attempts = vec![tried(9, 1, 31, "delivered", Some(note))];
    let story = told(&history, 60);
    assert_eq!(story.next, ["Nothing: it is finished. Was closed by a person already."]);
    assert_eq!(
        story.entries.last().and_then(|entry| entry.detail.as_deref()),
        Some("Was closed by a person already.")
    );
}

#[test]
fn of_two_systems_the_one_that_has_not_ended_is_told() {
    let other = Handover {
        state: HandoverState::Awaiting,
        progress: Some(Progress::Scheduled),
        due_at: None,
        ..handover(3, "housing")
    };
    let story = told(&history(vec![ended(Disposition::Completed), other]), 60);
    assert_eq!(
        story.headline,
        "Environmental services has finished its part: the work was done. With Housing repairs: a time has been set"
    );
    assert_eq!(story.next, ["Housing repairs is asked for news every hour."]);
    assert_eq!(story.with_whom.len(), 1);
}

#[test]
fn no_identifier_or_personal_data_of_a_call_stands_in_a_story() {
    let mut history = history(vec![Handover { attempts: 1, ..handover(2, "waste") }]);
    history.attempts = vec![tried(2, 1, 2, "retry", Some("no connection"))];
    let story = format!("{:?}", told(&history, 5));
    assert!(!story.contains("Lamb") && !story.contains("00000000-"), "{story}");
}

#[test]
fn of_words_that_came_at_once_the_ending_is_the_last() {
    let mut history = history(vec![ended(Disposition::Completed)]);
    history.completions = vec![
        heard("Completed", None, 20, Correlated::Applied),
        heard("In Progress", None, 20, Correlated::Applied),
    ];
    let story = told(&history, 30);
    assert_eq!(story.last_word.and_then(|word| word.said).as_deref(), Some("Completed"));
    assert_eq!(story.entries.last().and_then(|entry| entry.said.as_deref()), Some("Completed"));
}

#[test]
fn a_reason_names_the_system_as_people_do() {
    let catalogue = catalogue();
    assert_eq!(
        reason("waste said \"Zzz\", which Dovetail does not know", &catalogue),
        "Environmental services said \"Zzz\", which Dovetail does not know."
    );
    assert_eq!(reason("no answer", &catalogue), "No answer.");
}

fn halt(pause: Option<Pause>, breaker: Option<Breaker>) -> Halt {
    Halt { system: SystemName::parse("waste").expect("a system"), pause, breaker }
}

#[test]
fn a_ticket_whose_system_is_paused_says_by_whom_and_why() {
    let pause = Pause { by: "jo".to_owned(), at: at(5), reason: Some("moving to a new server".to_owned()) };
    let history = History { halts: vec![halt(Some(pause), None)], ..history(vec![handover(2, "waste")]) };
    let story = told(&history, 10);
    assert_eq!(story.headline, "Waiting: Environmental services takes no calls for now");
    assert_eq!(
        story.next,
        [
            "Waiting: Environmental services is paused by jo since Monday 23 November 2026, 09:05: moving to a new server."
        ]
    );
}

#[test]
fn a_ticket_whose_system_does_not_answer_says_when_it_is_tried_again() {
    let breaker = Breaker {
        since: at(5),
        openings: 2,
        probe_at: at(30),
        reason: "cannot connect".to_owned(),
        prober: None,
    };
    let history = History { halts: vec![halt(None, Some(breaker))], ..history(vec![handover(2, "waste")]) };
    assert_eq!(
        told(&history, 10).next,
        [
            "Waiting: Environmental services is not answering since Monday 23 November 2026, 09:05; tried again today at 09:30. The last failure: cannot connect."
        ]
    );
    assert!(told(&history, 40).next[0].contains("tried again now"));
    // What is with the system already does not wait for it to take calls.
    let with_them = History { handovers: vec![with_waste()], ..history };
    assert_eq!(told(&with_them, 10).headline, "With Environmental services");
}

#[test]
fn what_clocks_tell_and_who_passes_work_on_stands_in_the_story() {
    let owners = json!([{"team": "Waste operations"}]);
    let mut history = history(vec![with_waste()]);
    let owner = json!({"team": "Parks", "contact": "parks@example.org", "senior": "head@example.org"});
    history.events.extend([
        event(Kind::Warned, 2, json!({"used": 75, "target": "2 working days", "owners": owners})),
        event(
            Kind::Escalated,
            3,
            json!({"because": "target", "target": "2 working days", "seniors": ["a@example.org"]}),
        ),
        event(Kind::Escalated, 4, json!({"because": "age", "reason": "open for 30 days", "seniors": []})),
        event(Kind::Overdue, 5, json!({"reason": "open for 60 days"})),
        event(
            Kind::HandedOver,
            6,
            json!({"system": "waste", "owner": owner, "by": "Ann", "reason": "a park"}),
        ),
        event(Kind::Chased, 7, json!({"system": "waste", "owner": owner})),
        event(Kind::FeedbackDue, 8, json!({})),
    ]);
    let story = told(&history, 9);
    assert_eq!(
        texts(&story)[2..],
        [
            "75 % of the time promised, 2 working days, is used up.",
            "What was promised, 2 working days, was not kept. It was escalated.",
            "Open for 30 days. It was escalated.",
            "Open for 60 days. It is overdue.",
            "Ann handed it over to Parks.",
            "Parks was asked for news.",
            "The customer can be asked what they think of it.",
        ]
    );
    assert_eq!(story.entries[2].detail.as_deref(), Some("Told to Waste operations."));
    assert_eq!(story.entries[3].detail.as_deref(), Some("Told to a@example.org."));
    let holder = &story.with_whom[0];
    assert_eq!((holder.team.as_deref(), holder.senior.as_deref()), (Some("Parks"), Some("head@example.org")));
}
