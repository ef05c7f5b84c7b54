//! What a scenario file may say, and that a scenario can fail.

use futures::StreamExt;
use mappings::mapping::shipped;

use super::folder::parse;
use super::{Database, play};

const SOUND: &str = "- scenario: A bin\n  when:\n    - request: CRM-1\n    - after: 2 hours\n      waste says: Completed\n  then:\n    ticket: closed\n";

fn found(text: &str) -> String {
    let (_, findings) = parse("bins.yaml", text);
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

async fn failure(text: &str) -> Option<String> {
    let (scenarios, findings) = parse("bins.yaml", text);
    assert!(findings.is_empty(), "{findings:?}");
    let databases = [Database::Sqlite];
    let mappings = shipped();
    let played: Vec<_> = play(&scenarios, &databases, &mappings).collect().await;
    played.into_iter().next().expect("one was played").failure
}

#[test]
fn what_a_scenario_may_not_say_is_refused_with_its_line_and_what_may_stand_there() {
    assert_eq!(found(SOUND), "");
    let cases = [
        ("given: {}", "bins.yaml:1:", "a list of scenarios"),
        ("- scenario: A\n  when: []\n", "bins.yaml:1:", "a scenario without then"),
        ("- scenaro: A\n", "bins.yaml:1:", "did you mean scenario?"),
        (&SOUND.replace("waste says", "waste syas"), "bins.yaml:5:", "unknown key waste syas in a step"),
        (&SOUND.replace("after: 2 hours", "after: soon"), "bins.yaml:4:", "3 days or 2 hours 30 minutes"),
        (&SOUND.replace("- request: CRM-1", "- at: noon"), "bins.yaml:3:", "2026-11-23 09:00 in London"),
        (&SOUND.replace("- request: CRM-1", "- waste does nothing"), "bins.yaml:3:", "one of request"),
        (
            &SOUND.replace("ticket: closed", "ticket: done"),
            "bins.yaml:7:",
            "one of open, held, closing, closed",
        ),
        (&SOUND.replace("ticket:", "tiket:"), "bins.yaml:7:", "did you mean ticket?"),
        (
            &SOUND.replace("ticket: closed", "event warnt says: {}"),
            "bins.yaml:7:",
            "one of accepted, handed-over",
        ),
        (
            &SOUND.replace("- request: CRM-1", "- a person hands the work over: {system: waste}"),
            "bins.yaml:3:",
            "team: and contact:",
        ),
        (
            &SOUND.replace("Completed", "Completed\n      by: pigeon"),
            "bins.yaml:6:",
            "one of webhook, poll, queue",
        ),
        (
            &SOUND.replace("Completed", "Completed\n      waste accepts: W-1"),
            "bins.yaml:6:",
            "one deed a step",
        ),
    ];
    for (text, line, expected) in cases {
        let found = found(text);
        assert!(found.contains(line) && found.contains(expected), "{text}\n{found}");
    }
}

#[tokio::test]
async fn a_scenario_that_holds_has_no_failure() {
    assert_eq!(failure(SOUND).await, None);
}

#[tokio::test]
async fn a_scenario_that_does_not_hold_says_what_was_expected_and_found_with_its_line() {
    let failed = failure(&SOUND.replace("ticket: closed", "ticket: held")).await.expect("a failure");
    assert!(failed.starts_with("bins.yaml:7: ticket: expected \"held\"; found \"closed"), "{failed}");
    assert!(failed.contains("ticket.accepted"), "{failed}");
}

#[tokio::test]
async fn every_kind_of_expectation_can_fail() {
    let cases = [
        "disposition: declined",
        "reason contains: nobody said this",
        "customer was told: nobody said this",
        "customer was not told: The crew",
        "closures in the CRM: 2",
        "status in the CRM: stalled",
        "events in order: [accepted]",
        "events include: held",
        "events exclude: closed",
        "closure says: {disposition: declined}",
        "event handed-over says: {system: housing}",
        "event warned says: {}",
        "parked: data",
        "problems: [held]",
        "waits for: [waste]",
        "staff read: nobody said this",
        "calls that waste got: [create, cancel]",
        "jobs at waste: 2",
        "waste was told: nobody said this",
        "ticket: unknown",
    ];
    let each: String = cases.map(|case| SOUND.replace("ticket: closed", case)).concat();
    let (scenarios, findings) = parse("bins.yaml", &each);
    assert!(findings.is_empty(), "{findings:?}");
    let databases = [Database::Sqlite];
    let mappings = shipped();
    let played: Vec<_> = play(&scenarios, &databases, &mappings).collect().await;
    assert_eq!(played.len(), cases.len());
    for (played, case) in played.iter().zip(cases) {
        assert!(
            played.failure.as_ref().is_some_and(|failure| failure.contains("expected")),
            "{case}: {played:?}"
        );
    }
}
