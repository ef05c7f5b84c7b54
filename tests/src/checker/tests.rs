//! The checker finds each kind of fault, and nothing where there is none.

use super::*;

/// Three tickets: one closed, one parked as it may have been done, one refused.
fn good() -> Evidence {
    let published = |ticket: &str, systems: &[&'static str]| Published {
        ticket: ticket.to_owned(),
        systems: systems.to_vec(),
    };
    let heard = |kind: &str, ticket: &str| Heard { kind: kind.to_owned(), ticket: ticket.to_owned() };
    Evidence {
        published: vec![published("1", &["waste"]), published("2", &["partner"]), published("3", &[])],
        records: vec![
            Record { ticket: "1".into(), state: State::Closed, reason: None, parks: vec![] },
            Record { ticket: "2".into(), state: State::Open, reason: None, parks: vec![park("partner")] },
        ],
        refused: vec![("3".into(), "service: no route".into())],
        left: Left::default(),
        queues: vec![("intake".into(), 0)],
        jobs: vec![job("waste", Idempotency::LookUp, "1"), job("partner", Idempotency::None, "2")],
        crm: HashMap::from([("1".into(), 1)]),
        heard: HashMap::from([
            ("a".into(), heard("ticket.accepted", "1")),
            ("b".into(), heard("ticket.closed", "1")),
        ]),
    }
}

fn park(system: &str) -> Park {
    Park { system: system.to_owned(), uncertain: true, reason: "may have been done".to_owned() }
}

fn job(system: &'static str, idempotency: Idempotency, ticket: &str) -> Job {
    Job {
        system,
        idempotency,
        key: ticket.to_owned(),
        ticket: Some(ticket.to_owned()),
        delivered: 1,
        applied: 1,
    }
}

fn of(change: impl FnOnce(&mut Evidence)) -> Verdict {
    let mut evidence = good();
    change(&mut evidence);
    check(&evidence)
}

#[track_caller]
fn finds(verdict: &Verdict, part: &str) {
    assert!(verdict.findings.iter().any(|finding| finding.contains(part)), "{part}: {:?}", verdict.findings);
}

#[test]
fn every_request_has_one_class_and_nothing_is_found_where_all_is_well() {
    let verdict = check(&good());
    assert_eq!(verdict.findings, Vec::<String>::new());
    let Tally { published, closed, parked, rejected, lost, .. } = verdict.tally;
    assert_eq!((published, closed, parked, rejected, lost), (3, 1, 1, 1, 0));
}

#[test]
fn a_ticket_that_nobody_has_is_lost() {
    let verdict = of(|evidence| drop(evidence.records.remove(1)));
    assert_eq!(verdict.tally.lost, 1);
    finds(&verdict, "ticket 2 is lost");
}

#[test]
fn a_right_request_that_was_refused_is_lost() {
    let verdict = of(|evidence| {
        evidence.records.remove(1);
        evidence.refused.push(("2".into(), "no such service".into()));
    });
    assert_eq!(verdict.tally.lost, 1);
    finds(&verdict, "although it is right");
}

#[test]
fn a_closed_ticket_of_which_the_crm_was_not_told_is_lost() {
    let verdict = of(|evidence| evidence.crm.clear());
    assert_eq!(verdict.tally.lost, 1);
    finds(&verdict, "the CRM was not told");
}

#[test]
fn what_is_set_aside_without_a_reason_is_lost() {
    let verdict = of(|evidence| evidence.records[1].parks[0].reason.clear());
    assert_eq!(verdict.tally.lost, 1);
    finds(&verdict, "parked without a reason");
    let verdict = of(|evidence| {
        evidence.records[1] = Record { ticket: "2".into(), state: State::Held, reason: None, parks: vec![] }
    });
    finds(&verdict, "held without a reason");
    let verdict = of(|evidence| evidence.refused[0].1.clear());
    finds(&verdict, "refused without a reason");
}

#[test]
fn one_request_that_opened_its_ticket_twice_is_found() {
    let verdict = of(|evidence| evidence.records.push(evidence.records[0].clone()));
    finds(&verdict, "opened it 2 times");
}

#[test]
fn a_double_order_is_found_by_its_key_by_its_ticket_and_by_its_number() {
    let verdict = of(|evidence| evidence.jobs[0].applied = 2);
    assert_eq!(verdict.tally.applied_twice, 1);
    finds(&verdict, "waste carried 1 orders out twice");
    let under_another_key = Job { key: "1b".into(), ..job("waste", Idempotency::LookUp, "1") };
    let verdict = of(|evidence| evidence.jobs.push(under_another_key));
    assert_eq!(verdict.tally.applied_twice, 1);
    let of_no_ticket = Job { key: "x".into(), ticket: None, ..job("waste", Idempotency::LookUp, "1") };
    let verdict = of(|evidence| evidence.jobs.push(of_no_ticket));
    assert_eq!(verdict.tally.applied_twice, 1);
}

#[test]
fn an_order_may_come_twice_only_where_the_system_recognises_it() {
    let verdict = of(|evidence| evidence.jobs[0].delivered = 3);
    assert_eq!((verdict.tally.delivered_twice, verdict.holds()), (2, true));
    let verdict = of(|evidence| evidence.jobs[1].delivered = 2);
    assert_eq!(verdict.tally.delivered_twice, 1);
    finds(&verdict, "neither key nor look-up");
}

#[test]
fn a_system_that_can_tell_leaves_no_call_uncertain() {
    let verdict = of(|evidence| evidence.records[1].parks = vec![park("waste")]);
    finds(&verdict, "waste can tell");
}

#[test]
fn a_second_closure_is_found_in_the_crm_and_among_the_events() {
    let verdict = of(|evidence| evidence.crm.extend([("1".to_owned(), 2)]));
    assert_eq!(verdict.tally.closed_twice, 1);
    finds(&verdict, "the CRM was told of 2");
    let again = Heard { kind: "ticket.closed".into(), ticket: "1".into() };
    let verdict = of(|evidence| drop(evidence.heard.insert("c".into(), again)));
    assert_eq!(verdict.tally.closed_twice, 1);
    finds(&verdict, "2 events");
}

#[test]
fn a_closure_without_an_event_and_one_of_an_open_ticket_are_found() {
    finds(&of(|evidence| evidence.heard.clear()), "1 closures, and 0 events");
    let verdict = of(|evidence| evidence.crm.extend([("2".to_owned(), 1)]));
    finds(&verdict, "ticket 2: 0 closures, and the CRM was told of 1");
}

#[test]
fn what_is_left_after_the_drain_is_found() {
    finds(&of(|evidence| evidence.left.leased = 1), "1 leases are held");
    finds(&of(|evidence| evidence.left.due = 2), "2 calls are due");
    finds(&of(|evidence| evidence.left.outbox = 3), "3 events wait in the outbox");
    finds(&of(|evidence| evidence.queues[0].1 = 4), "4 messages are in intake");
}

#[test]
fn a_ticket_that_stays_open_is_found_where_all_work_could_end() {
    let mut evidence = good();
    evidence.records[1].parks.clear();
    let verdict = check(&evidence);
    assert_eq!((verdict.tally.open, verdict.holds()), (1, true), "open and listed is a class");
    finds(&verdict.with_all_work_ended(&evidence), "ticket 2 is still Open");
}

#[test]
fn a_ticket_that_nobody_published_is_found() {
    let verdict = of(|evidence| drop(evidence.published.remove(0)));
    finds(&verdict, "never published");
}
