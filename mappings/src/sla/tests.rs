//! Tables and properties of the clock.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

use super::*;
use crate::domain::{Council, Disposition, Progress, Ticket};
use crate::mapping::{Asked, Catalogue};

fn calendar(name: &str) -> Arc<Calendar> {
    static READ: LazyLock<BTreeMap<&str, Arc<Calendar>>> = LazyLock::new(|| {
        let names = ["england-and-wales", "scotland", "northern-ireland"];
        names.into_iter().map(|name| (name, read(name))).collect()
    });
    Arc::clone(&READ[name])
}

fn read(name: &str) -> Arc<Calendar> {
    let targets = format!("councils: [{{council: \"*\", calendar: {name}}}]\n");
    let source = crate::mapping::Source { path: "targets.yaml".into(), text: targets };
    let catalogue = Catalogue::compile(&[source], &|_| None).expect("sound");
    let asked = Asked {
        council: &Council::parse("harlow").expect("a council"),
        service: &crate::domain::Service::parse("a.b").expect("a service"),
        priority: crate::domain::Priority::Routine,
        systems: &[],
        document: &serde_json::Value::Null,
    };
    catalogue.terms(&asked).calendar
}

/// A time as a clock on a wall in London shows it.
fn london(text: &str) -> Timestamp {
    let civil: jiff::civil::DateTime = text.parse().expect("a date and time");
    calendar("england-and-wales").zone.to_timestamp(civil).expect("a time")
}

fn within(span: Span) -> Target {
    Target {
        limit: Limit::Within(span),
        words: "it".into(),
        paused_while: vec![Progress::WaitingForCustomer],
    }
}

fn pause(from: &str, to: &str) -> Pause {
    Pause { from: london(from), to: london(to) }
}

#[test]
fn promises_end_when_a_person_would_say_they_do() {
    use Span::{Days, Hours, WorkingDays, WorkingHours};
    let (england, scotland, ireland) = ("england-and-wales", "scotland", "northern-ireland");
    let table = [
        // The day of the call does not count, whatever the hour.
        (england, WorkingDays(2), "2026-11-17 09:00", "2026-11-19 17:00"),
        (england, WorkingDays(2), "2026-11-17 22:30", "2026-11-19 17:00"),
        (england, WorkingDays(1), "2026-11-20 16:59", "2026-11-23 17:00"),
        (england, WorkingDays(2), "2026-11-22 09:15", "2026-11-24 17:00"),
        (england, WorkingDays(1), "2026-11-21 23:59", "2026-11-23 17:00"),
        // Easter: Friday and Monday in England, Friday alone in Scotland.
        (england, WorkingDays(1), "2026-04-02 12:00", "2026-04-07 17:00"),
        (scotland, WorkingDays(1), "2026-04-02 12:00", "2026-04-06 17:00"),
        (ireland, WorkingDays(1), "2026-04-02 12:00", "2026-04-07 17:00"),
        // Christmas with substitute days: Boxing Day 2026 is a Saturday, Christmas Day 2027 as well.
        (england, WorkingDays(1), "2026-12-24 10:00", "2026-12-29 17:00"),
        (england, WorkingDays(1), "2027-12-24 10:00", "2027-12-29 17:00"),
        (england, WorkingDays(2), "2027-12-30 10:00", "2028-01-04 17:00"),
        (scotland, WorkingDays(2), "2027-12-30 10:00", "2028-01-05 17:00"),
        (england, WorkingDays(1), "2022-12-23 10:00", "2022-12-28 17:00"),
        // Holidays of one division alone.
        (scotland, WorkingDays(1), "2026-11-27 10:00", "2026-12-01 17:00"),
        (ireland, WorkingDays(1), "2026-07-10 10:00", "2026-07-14 17:00"),
        (england, WorkingDays(1), "2026-07-10 10:00", "2026-07-13 17:00"),
        // Hours of the clock pass while the clocks change; the wall shows the change.
        (england, Hours(24), "2026-03-28 12:00", "2026-03-29 13:00"),
        (england, Hours(24), "2026-10-24 12:00", "2026-10-25 11:00"),
        (england, Hours(24), "2026-12-24 23:00", "2026-12-25 23:00"),
        // Days and working days do not shift with the clocks.
        (england, WorkingDays(1), "2026-03-27 12:00", "2026-03-30 17:00"),
        (england, Days(2), "2026-03-28 12:00", "2026-03-30 23:59"),
        (england, Days(84), "2026-10-01 08:00", "2026-12-24 23:59"),
        // Working hours.
        (england, WorkingHours(4), "2026-11-20 16:00", "2026-11-23 12:00"),
        (england, WorkingHours(4), "2026-11-21 11:00", "2026-11-23 13:00"),
        (england, WorkingHours(8), "2026-11-19 18:00", "2026-11-20 17:00"),
        (england, WorkingHours(1), "2026-12-24 16:30", "2026-12-29 09:30"),
    ];
    for (name, span, raised, expected) in table {
        let found = due(&within(span), london(raised), &[], &calendar(name)).expect("known years");
        assert_eq!(found, london(expected), "{name}: {span:?} from {raised}");
    }
}

#[test]
fn a_date_that_the_request_names_ends_the_promise() {
    let calendar = calendar("england-and-wales");
    let target = |limit| Target { limit, words: "it".into(), paused_while: Vec::new() };
    let raised = london("2026-11-16 09:00");
    let day = target(Limit::ByDay("2026-11-20".parse().expect("a date")));
    assert_eq!(due(&day, raised, &[], &calendar), Ok(london("2026-11-20 17:00")));
    assert_eq!(milestones(&day, raised, &[], &calendar).expect("known")[0].1, london("2026-11-18 13:00"));
    // Nobody works before it: the hours of the clock are counted.
    let sunday = target(Limit::By(london("2026-11-22 12:00")));
    let saturday = london("2026-11-21 12:00");
    assert_eq!(
        milestones(&sunday, saturday, &[], &calendar).expect("known")[0].1,
        london("2026-11-22 00:00")
    );
    // It was over before the customer called.
    let past = target(Limit::By(london("2026-11-10 12:00")));
    assert_eq!(due(&past, raised, &[], &calendar), Ok(london("2026-11-10 12:00")));
    assert_eq!(used(&past, raised, &[], &calendar, raised), Ok(100));
}

#[test]
fn milestones_are_shares_of_the_working_time() {
    let calendar = calendar("england-and-wales");
    let two_days = within(Span::WorkingDays(2));
    let found = milestones(&two_days, london("2026-11-22 09:15"), &[], &calendar).expect("known");
    let expected = [
        (50, london("2026-11-23 17:00")),
        (75, london("2026-11-24 13:00")),
        (90, london("2026-11-24 15:24")),
        (100, london("2026-11-24 17:00")),
    ];
    assert_eq!(found, expected);
    let share =
        |at: &str| used(&two_days, london("2026-11-22 09:15"), &[], &calendar, london(at)).expect("known");
    assert_eq!(share("2026-11-23 08:00"), 0);
    assert_eq!(share("2026-11-23 20:00"), 50);
    assert_eq!(share("2026-11-24 13:00"), 75);
    assert_eq!(share("2026-11-25 17:00"), 150);
}

#[test]
fn the_clock_stands_still_while_it_is_paused() {
    let calendar = calendar("england-and-wales");
    let target = within(Span::WorkingDays(2));
    let raised = london("2026-11-16 09:00");
    let due = |pauses: &[Pause]| due(&target, raised, pauses, &calendar).expect("known");
    assert_eq!(due(&[]), london("2026-11-18 17:00"));
    assert_eq!(due(&[pause("2026-11-17 10:00", "2026-11-18 10:00")]), london("2026-11-19 17:00"));
    assert_eq!(due(&[pause("2026-11-17 10:00", "2026-11-17 12:00")]), london("2026-11-19 11:00"));
    // A night and a weekend are no working time, paused or not.
    assert_eq!(due(&[pause("2026-11-17 18:00", "2026-11-18 08:00")]), london("2026-11-18 17:00"));
    // A pause after the end changes nothing; one that began in time that a pause gave does.
    assert_eq!(due(&[pause("2026-11-19 10:00", "2026-11-19 12:00")]), london("2026-11-18 17:00"));
    let twice =
        [pause("2026-11-17 10:00", "2026-11-18 10:00"), pause("2026-11-19 10:00", "2026-11-19 12:00")];
    assert_eq!(due(&twice), london("2026-11-20 11:00"));
    let used = used(&target, raised, &twice[..1], &calendar, london("2026-11-18 10:00")).expect("known");
    assert_eq!(used, 100 * 9 / 24);
}

#[test]
fn a_date_beyond_the_calendar_is_said_and_not_guessed() {
    let calendar = calendar("scotland");
    let raised = london("2028-12-28 10:00");
    let beyond = due(&within(Span::WorkingDays(5)), raised, &[], &calendar).expect_err("beyond");
    assert_eq!(
        beyond.to_string(),
        "the calendar scotland knows the bank holidays of 2019 to 2028, and 2029-01-01 is beyond them"
    );
    // What needs no holidays goes on.
    assert_eq!(due(&within(Span::Hours(24)), raised, &[], &calendar), Ok(london("2028-12-29 10:00")));
    let terms = Terms { target: Some(within(Span::WorkingDays(5))), ..terms(&calendar) };
    let turn = turn(&terms, &case(raised), raised);
    assert_eq!((turn.due, turn.beyond.is_some()), (None, true));
    assert_eq!(turn.next, Some(london("2029-01-27 10:00")));
}

fn terms(calendar: &Arc<Calendar>) -> Terms {
    Terms {
        target: Some(within(Span::WorkingDays(2))),
        calendar: Arc::clone(calendar),
        escalate: Span::Days(30),
        overdue: Span::Days(60),
        chase: None,
        feedback: None,
    }
}

fn case(raised_at: Timestamp) -> Case {
    Case {
        raised_at,
        standing: Standing::Open,
        pauses: Vec::new(),
        news_at: raised_at,
        awaited: true,
        drawn: true,
        told: Vec::new(),
    }
}

/// Looks whenever the clock asks to be looked at; returns what was told, and when.
fn run(terms: &Terms, mut case: Case, until: Timestamp) -> Vec<(Timestamp, Milestone)> {
    let (mut now, mut told) = (case.raised_at, Vec::new());
    loop {
        let turn = turn(terms, &case, now);
        for milestone in turn.tell {
            told.push((now, milestone));
            case.told.push((milestone, now));
        }
        match turn.next {
            Some(next) if next <= until => {
                assert!(next > now, "the clock asks to be looked at again at once");
                now = next;
            }
            Some(_) | None => return told,
        }
    }
}

#[test]
fn an_open_ticket_is_warned_of_escalated_and_overdue_each_once() {
    use Milestone::{Aged, Overdue, Reached, Used};
    let calendar = calendar("england-and-wales");
    let told = run(&terms(&calendar), case(london("2026-09-21 10:00")), london("2027-03-01 00:00"));
    let expected = [
        (london("2026-09-22 13:30"), Used(50)),
        (london("2026-09-23 11:15"), Used(75)),
        (london("2026-09-23 14:42"), Used(90)),
        (london("2026-09-23 17:00"), Reached),
        (london("2026-10-21 10:00"), Aged),
        (london("2026-11-20 10:00"), Overdue),
    ];
    assert_eq!(told, expected);
}

#[test]
fn of_several_warnings_missed_only_the_highest_is_told() {
    let calendar = calendar("england-and-wales");
    let raised = london("2026-11-16 09:00");
    let late = |at: &str| turn(&terms(&calendar), &case(raised), london(at)).tell;
    assert_eq!(late("2026-11-18 12:00"), [Milestone::Used(75)]);
    assert_eq!(late("2026-11-19 12:00"), [Milestone::Reached]);
    assert_eq!(late("2027-02-01 12:00"), [Milestone::Reached, Milestone::Aged, Milestone::Overdue]);
    // None below what was told before, though the rule has changed.
    let told = Case { told: vec![(Milestone::Used(90), raised)], ..case(raised) };
    let changed = Terms { target: Some(within(Span::WorkingDays(20))), ..terms(&calendar) };
    let turn = turn(&changed, &told, london("2026-12-07 12:00"));
    assert_eq!((turn.tell, turn.next), (vec![], Some(london("2026-12-14 17:00"))));
}

#[test]
fn an_owner_is_chased_until_there_is_news() {
    let calendar = calendar("england-and-wales");
    let terms = Terms { target: None, chase: Some(Span::WorkingDays(5)), ..terms(&calendar) };
    let told = run(&terms, case(london("2026-11-02 10:00")), london("2026-11-20 12:00"));
    let expected =
        [(london("2026-11-09 17:00"), Milestone::Chased), (london("2026-11-16 17:00"), Milestone::Chased)];
    assert_eq!(told, expected);
    let news = Case { news_at: london("2026-11-09 09:00"), ..case(london("2026-11-02 10:00")) };
    assert_eq!(turn(&terms, &news, london("2026-11-09 17:00")).next, Some(london("2026-11-16 17:00")));
    let nobody = Case { awaited: false, ..case(london("2026-11-02 10:00")) };
    let looked = turn(&terms, &nobody, london("2026-11-09 17:00"));
    assert_eq!((looked.tell, looked.next), (vec![], Some(london("2026-11-16 17:00"))));
}

#[test]
fn feedback_is_due_once_after_a_closure_that_it_is_asked_about() {
    let calendar = calendar("england-and-wales");
    let feedback =
        Feedback { after: Some(Span::Days(42)), percent: 10, dispositions: vec![Disposition::Completed] };
    let terms = Terms { feedback: Some(feedback), ..terms(&calendar) };
    let at = london("2026-11-16 09:00");
    let closed = |disposition| Case {
        standing: Standing::Closed { at, disposition: Some(disposition) },
        ..case(london("2026-11-01 09:00"))
    };
    let done = closed(Disposition::Completed);
    assert_eq!(turn(&terms, &done, at).next, Some(london("2026-12-28 23:59")));
    assert_eq!(turn(&terms, &done, london("2026-12-28 23:59")).tell, [Milestone::Feedback]);
    let told = Case { told: vec![(Milestone::Feedback, at)], ..done.clone() };
    assert_eq!(turn(&terms, &told, london("2027-12-28 23:59")).tell, []);
    assert_eq!(turn(&terms, &Case { drawn: false, ..done }, at).next, None);
    assert_eq!(turn(&terms, &closed(Disposition::Declined), at).next, None);
}

#[test]
fn tickets_are_drawn_evenly_and_always_alike() {
    let council = Council::parse("harlow").expect("a council");
    let tickets: Vec<Ticket> =
        (0..10_000).map(|n| Ticket::parse(&format!("CRM-2026-{n:06}")).expect("a ticket")).collect();
    for percent in [1, 10, 50, 99] {
        let count = tickets.iter().filter(|ticket| drawn(&council, ticket, percent)).count();
        let expected = usize::from(percent) * 100;
        assert!(count.abs_diff(expected) < 200, "{percent} %: {count}");
    }
    assert!(tickets.iter().all(|ticket| drawn(&council, ticket, 100) && !drawn(&council, ticket, 0)));
}

fn spans() -> impl Strategy<Value = Span> {
    prop_oneof![
        (1..200_u32).prop_map(Span::Hours),
        (1..100_u32).prop_map(Span::WorkingHours),
        (1..90_u32).prop_map(Span::Days),
        (1..60_u32).prop_map(Span::WorkingDays),
    ]
}

fn names() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("england-and-wales"), Just("scotland"), Just("northern-ireland")]
}

/// Any millisecond of 2025 and 2026.
fn moments() -> impl Strategy<Value = Timestamp> {
    (1_735_689_600_000_i64..1_798_761_600_000).prop_map(|ms| Timestamp::from_millisecond(ms).expect("a time"))
}

fn pauses(raised: Timestamp, parts: &[(u32, u32)]) -> Vec<Pause> {
    let mut at = raised;
    parts
        .iter()
        .map(|(wait, length)| {
            let from = at + SignedDuration::from_mins(i64::from(*wait));
            at = from + SignedDuration::from_mins(i64::from(*length));
            Pause { from, to: at }
        })
        .collect()
}

proptest! {
    #[test]
    fn working_time_adds_up(name in names(), from in moments(), first in 0..20_000_i64, then in 0..20_000_i64) {
        let calendar = calendar(name);
        let (middle, end) = (from + first.minutes(), from + (first + then).minutes());
        let worked = |from, to| calendar.working_between(from, to).expect("known");
        prop_assert_eq!(worked(from, middle) + worked(middle, end), worked(from, end));
        prop_assert!(worked(from, end) <= end.duration_since(from));
    }

    #[test]
    fn working_forward_and_measuring_back_agree(name in names(), from in moments(), minutes in 1..20_000_i64) {
        let calendar = calendar(name);
        let span = SignedDuration::from_mins(minutes);
        let end = calendar.working_after(from, span).expect("known");
        prop_assert_eq!(calendar.working_between(from, end).expect("known"), span);
        let before = end - 1.milliseconds();
        prop_assert!(calendar.working_between(from, before).expect("known") < span);
    }

    #[test]
    fn milestones_rise_and_end_with_the_promise(
        name in names(), raised in moments(), span in spans(),
        parts in prop::collection::vec((0..5_000_u32, 1..5_000_u32), 0..4),
    ) {
        let (calendar, target) = (calendar(name), within(span));
        let pauses = pauses(raised, &parts);
        let found = milestones(&target, raised, &pauses, &calendar).expect("known");
        prop_assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        prop_assert!(found[0].1 > raised);
        let end = due(&target, raised, &pauses, &calendar).expect("known");
        prop_assert_eq!(found[3].1, end);
        prop_assert!(end >= due(&target, raised, &[], &calendar).expect("known"));
        for (share, at) in found {
            let seen = used(&target, raised, &pauses, &calendar, at).expect("known");
            prop_assert!(seen == u32::from(share) || seen + 1 == u32::from(share), "{seen} of {share}");
        }
    }

    #[test]
    fn a_pause_delays_the_end_by_its_own_time(raised in moments(), hours in 10..100_u32, length in 1..5_000_u32) {
        let calendar = calendar("england-and-wales");
        let target = within(Span::Hours(hours));
        let paused = pauses(raised, &[(60, length)]);
        let later = due(&target, raised, &paused, &calendar).expect("known");
        let usual = due(&target, raised, &[], &calendar).expect("known");
        prop_assert_eq!(later.duration_since(usual), SignedDuration::from_mins(i64::from(length)));
    }

    #[test]
    fn whenever_a_clock_is_looked_at_each_milestone_is_told_once(
        raised in moments(), span in spans(), looks in prop::collection::vec(1..20_000_i64, 1..30),
    ) {
        let calendar = calendar("england-and-wales");
        let terms = Terms { target: Some(within(span)), ..terms(&calendar) };
        let (mut case, mut now) = (case(raised), raised);
        for minutes in looks {
            let turn = turn(&terms, &case, now);
            for milestone in turn.tell {
                prop_assert!(case.told.iter().all(|(told, _)| *told != milestone));
                case.told.push((milestone, now));
            }
            if let Some(next) = turn.next {
                prop_assert!(next > now);
            }
            now += minutes.minutes();
        }
        let reached = due(terms.target.as_ref().expect("set"), raised, &[], &calendar).expect("known");
        let last = turn(&terms, &case, now);
        let told = case.told.iter().map(|(told, _)| *told).chain(last.tell).collect::<Vec<_>>();
        prop_assert_eq!(told.contains(&Milestone::Reached), reached <= now);
    }
}
