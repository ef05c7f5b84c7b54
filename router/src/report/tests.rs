use jiff::{SignedDuration, Timestamp};
use mappings::domain::{Council, Disposition, HandoverState, RequestState, Service, SystemName};

use super::*;
use crate::event::Kind;

fn at(hours: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
}

fn system(name: &str) -> SystemName {
    SystemName::parse(name).expect("a system")
}

fn part(name: &str, ended_at: Option<i64>) -> Part {
    let state = if ended_at.is_some() { HandoverState::Ended } else { HandoverState::Awaiting };
    let disposition = ended_at.map(|_| Disposition::Completed);
    Part { system: system(name), state, disposition, ended_at: ended_at.map(at) }
}

fn happened(kind: Kind, hours: i64, system: Option<&str>) -> Happened {
    Happened { kind, at: at(hours), system: system.map(str::to_owned), by_us: false }
}

fn course(parts: Vec<Part>, happened: Vec<Happened>) -> Course {
    Course {
        council: Council::parse("harlow").expect("a council"),
        service: Service::parse("housing.repair").expect("a service"),
        channel: Some("Phone".into()),
        state: RequestState::Open,
        disposition: None,
        raised_at: at(0),
        accepted_at: at(1),
        closed_at: None,
        target_at: Some(at(24)),
        parts,
        happened,
        is_counted: false,
    }
}

fn figures(course: &Course, by: By, key: &str, now: i64) -> Figures {
    let all = course.figures(at(now));
    let found = all.into_iter().find(|(grouped, found, _)| *grouped == by && found == key);
    found.unwrap_or_else(|| panic!("no figures by {by:?} {key}")).2
}

/// All the time that was measured; a single one is told exactly.
fn hours(figures: &Figures, time: Time) -> Option<u64> {
    figures.times(time).map(|times| times.total_ms() / 3_600_000)
}

#[test]
fn the_first_system_that_has_the_job_and_tells_something_counts_for_the_whole() {
    let course = course(
        vec![part("housing", Some(20)), part("waste", None)],
        vec![
            happened(Kind::HandedOver, 2, Some("waste")),
            happened(Kind::HandedOver, 4, Some("housing")),
            happened(Kind::Progressed, 6, Some("waste")),
        ],
    );
    let all = figures(&course, By::All, "", 30);
    assert_eq!([Time::Accept, Time::HandOver, Time::FirstNews].map(|t| hours(&all, t)), [1, 2, 6].map(Some));
    let housing = figures(&course, By::System, "housing", 30);
    assert_eq!(
        [Time::HandOver, Time::FirstNews, Time::Close].map(|t| hours(&housing, t)),
        [4, 20, 20].map(Some)
    );
    assert_eq!([Time::WaitedToBeTaken, Time::WaitedForWork].map(|t| hours(&housing, t)), [3, 16].map(Some));
    let waste = figures(&course, By::System, "waste", 30);
    assert_eq!((hours(&waste, Time::WaitedForWork), hours(&waste, Time::Close)), (Some(28), None));
    assert_eq!((all.of(Count::Late), figures(&course, By::All, "", 20).of(Count::Late)), (1, 0));
}

#[test]
fn the_time_for_which_a_person_was_waited_for_ends_with_the_decision() {
    let mut one = course(
        vec![part("housing", Some(10))],
        vec![
            happened(Kind::Held, 10, None),
            happened(Kind::Decided, 15, None),
            happened(Kind::Held, 20, None),
        ],
    );
    let all = figures(&one, By::All, "", 24);
    assert_eq!(hours(&all, Time::WaitedForPerson), Some(9));
    assert_eq!((all.of(Count::Held), all.of(Count::OpenDays), all.of(Count::Automatically)), (1, 1, 0));
    one.state = RequestState::Closed;
    one.closed_at = Some(at(22));
    one.happened.push(happened(Kind::Closed, 22, None));
    let all = figures(&one, By::All, "", 24);
    assert_eq!((hours(&all, Time::WaitedForPerson), hours(&all, Time::Close)), (Some(7), Some(22)));
    assert_eq!((all.of(Count::Closed), all.of(Count::Automatically), all.of(Count::InTime)), (1, 0, 1));
}

#[test]
fn a_closure_that_is_not_taken_is_none_yet() {
    let mut one = course(vec![part("housing", Some(10))], vec![]);
    one.closed_at = Some(at(10));
    one.state = RequestState::Closing;
    let all = figures(&one, By::All, "", 40 * 24);
    assert_eq!((all.of(Count::Closed), all.of(Count::OpenMonths), all.of(Count::Late)), (0, 1, 1));
    assert_eq!(hours(&all, Time::Close), None);
}

#[test]
fn who_passes_work_on_gives_no_news_of_it() {
    let ours = |kind, hours| Happened { by_us: true, ..happened(kind, hours, Some("housing")) };
    let course =
        course(vec![part("housing", None)], vec![ours(Kind::HandedOver, 3), ours(Kind::Progressed, 4)]);
    let all = figures(&course, By::All, "", 24);
    assert_eq!((hours(&all, Time::HandOver), hours(&all, Time::FirstNews)), (None, None));
}

#[test]
fn a_channel_that_is_no_word_is_not_told() {
    let mut one = course(vec![], vec![]);
    assert_eq!(one.way(), "phone");
    one.channel = Some("jo.lamb@example.org".into());
    assert_eq!(one.way(), "other");
    one.channel = None;
    assert_eq!(one.way(), "");
}

#[test]
fn a_day_is_a_day_in_the_united_kingdom() {
    let late: Timestamp = "2026-06-30T23:30:00Z".parse().expect("a time");
    assert_eq!(day(late), jiff::civil::date(2026, 7, 1));
    let scope = Scope { from: day(late), to: day(late), council: None };
    assert!(scope.holds(late) && !scope.holds(late - SignedDuration::from_hours(1)));
}
