//! Rules of promises.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::domain::{Council, Priority, Service, SystemName};
use crate::mapping::fixture::{ROUTES, SYSTEM, compile, found};
use crate::mapping::{Asked, Catalogue};
use crate::sla::{Limit, Span, Terms};

const FILE: &str = "\
councils:
  - {council: glasgow, calendar: scotland, contact_centre: {team: One call, contact: call@glasgow.test}}
  - {council: \"*\", calendar: england-and-wales}
ageing: {escalate: 20 days, overdue: 40 days}
chase: 5 working days
presets:
  quick: {within: 4 working hours, paused_while: [waiting_for_customer], chase: 1 working day}
targets:
  - {council: glasgow, service: waste.missed-bin, target: 1 working day}
  - {service: waste.*, priority: emergency, target: quick}
  - {service: waste.*, target: {by: $.details.wanted, within: 9 days}}
";

fn catalogue(file: &str, target: &str) -> Catalogue {
    let bin = format!("service: waste.missed-bin\nname: N\ncreate: {{post: /, json: {{}}}}\n{target}");
    let other = "service: waste.bulky\nname: B\ncreate: {post: /, json: {}}\n";
    let files = [
        ("systems/waste/system.yaml", SYSTEM),
        ("systems/waste/bin.yaml", &*bin),
        ("systems/waste/bulky.yaml", other),
        ("targets.yaml", file),
        ("routes.yaml", ROUTES),
    ];
    compile(&files).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

fn terms(catalogue: &Catalogue, council: &str, service: &str, priority: Priority, document: &Value) -> Terms {
    catalogue.terms(&Asked {
        council: &Council::parse(council).expect("a council"),
        service: &Service::parse(service).expect("a service"),
        priority,
        systems: &[SystemName::parse("waste").expect("a system")],
        document,
    })
}

fn limit(terms: Terms) -> Option<Limit> {
    terms.target.map(|target| target.limit)
}

#[test]
fn a_council_goes_before_the_service_and_the_service_before_the_rest() {
    let catalogue = catalogue(FILE, "target: {within: 2 working days}\n");
    let of = |council, service, priority| limit(terms(&catalogue, council, service, priority, &json!({})));
    let within = |span| Some(Limit::Within(span));
    assert_eq!(of("glasgow", "waste.missed-bin", Priority::Routine), within(Span::WorkingDays(1)));
    assert_eq!(of("harlow", "waste.missed-bin", Priority::Emergency), within(Span::WorkingDays(2)));
    assert_eq!(of("harlow", "waste.bulky", Priority::Emergency), within(Span::WorkingHours(4)));
    assert_eq!(of("harlow", "waste.bulky", Priority::Routine), within(Span::Days(9)));
    assert_eq!(of("harlow", "housing.repair", Priority::Routine), None);
}

#[test]
fn a_council_has_its_calendar_and_its_contact_centre() {
    let catalogue = catalogue(FILE, "");
    let terms = |council| terms(&catalogue, council, "waste.bulky", Priority::Emergency, &json!({}));
    assert_eq!(terms("glasgow").calendar.name, "scotland");
    assert_eq!(terms("harlow").calendar.name, "england-and-wales");
    assert_eq!((terms("harlow").escalate, terms("harlow").overdue), (Span::Days(20), Span::Days(40)));
    assert_eq!(terms("harlow").chase, Some(Span::WorkingDays(1)));
    let centre = |council| catalogue.contact_centre(&Council::parse(council).expect("a council"));
    assert_eq!(centre("glasgow").map(|owner| owner.team.as_str()), Some("One call"));
    assert_eq!(centre("harlow"), None);
}

#[test]
fn a_date_of_the_request_goes_before_the_time_since_the_call() {
    let catalogue = catalogue(FILE, "");
    let by = |wanted: Value| {
        let document = json!({"details": {"wanted": wanted}});
        limit(terms(&catalogue, "harlow", "waste.bulky", Priority::Routine, &document)).expect("a limit")
    };
    let at = |text: &str| Limit::By(text.parse::<Timestamp>().expect("a time"));
    assert_eq!(by(json!("2026-07-01T10:00:00Z")), at("2026-07-01T10:00:00Z"));
    assert_eq!(by(json!("2026-07-01T10:00")), at("2026-07-01T09:00:00Z"));
    assert_eq!(by(json!("2026-07-01")), Limit::ByDay("2026-07-01".parse().expect("a date")));
    assert_eq!(by(json!("soon")), Limit::Within(Span::Days(9)));
    assert_eq!(by(json!(null)), Limit::Within(Span::Days(9)));
}

#[test]
fn a_service_promises_by_priority_and_may_name_a_preset() {
    let target = "target: {priority: {emergency: quick, urgent: 24 clock hours}}\n";
    let catalogue = catalogue(FILE, target);
    let of = |priority| limit(terms(&catalogue, "harlow", "waste.missed-bin", priority, &json!({})));
    assert_eq!(of(Priority::Emergency), Some(Limit::Within(Span::WorkingHours(4))));
    assert_eq!(of(Priority::Urgent), Some(Limit::Within(Span::Hours(24))));
    assert_eq!(of(Priority::Routine), Some(Limit::Within(Span::Days(9))));
    let waste = SystemName::parse("waste").expect("a system");
    let bin = Service::parse("waste.missed-bin").expect("a service");
    let words =
        |priority| catalogue.system(&waste).and_then(|waste| waste.target(&bin, priority).map(str::to_owned));
    assert_eq!(words(Priority::Urgent).as_deref(), Some("24 clock hours"));
}

#[test]
fn without_a_file_the_shipped_one_holds() {
    let files = [
        ("systems/waste/system.yaml", SYSTEM),
        (
            "systems/waste/bin.yaml",
            "service: waste.missed-bin\nname: N\ncreate: {post: /, json: {}}\ntarget: awaab-further-work\n\
             feedback: {after: 6 weeks, percent: 20}\n",
        ),
        ("routes.yaml", ROUTES),
    ];
    let catalogue = compile(&files).expect("sound");
    let terms = terms(&catalogue, "harlow", "waste.missed-bin", Priority::Routine, &json!({}));
    assert_eq!(terms.calendar.name, "england-and-wales");
    assert_eq!((terms.escalate, terms.overdue), (Span::Days(30), Span::Days(60)));
    let feedback = terms.feedback.clone().expect("feedback");
    assert_eq!((feedback.after, feedback.percent), (Some(Span::Days(42)), 20));
    assert_eq!(limit(terms), Some(Limit::Within(Span::Days(84))));
}

#[test]
fn the_rule_of_the_clock_changes_with_what_is_promised_and_with_nothing_else() {
    let rule = |file: &str, service: &str| catalogue(file, service).clock_rule().to_owned();
    let usual = rule(FILE, "target: 2 working days\n");
    assert_eq!(usual, rule(FILE, "note: the same\ntarget: 2 working days\n"));
    assert_ne!(usual, rule(FILE, "target: 3 working days\n"));
    assert_ne!(usual, rule(FILE, "target: 2 working days\nfeedback: {percent: 5}\n"));
    assert_ne!(usual, rule(&FILE.replace("40 days", "50 days"), "target: 2 working days\n"));
}

#[test]
fn a_wrong_promise_is_refused_with_file_line_and_hint() {
    let cases = [
        (
            "calendar: scotland",
            "calendar: scotlnd",
            "targets.yaml:2: found calendar scotlnd; expected one of",
        ),
        ("calendar: scotland", "calendar: scotlnd", "did you mean scotland?"),
        ("20 days", "20 dys", "targets.yaml:4: found escalate \"20 dys\"; expected for example 4 hours"),
        ("[waiting_for_customer]", "[waiting_for_custmer]", "did you mean waiting_for_customer?"),
        ("target: quick", "target: quik", "targets.yaml:10: found \"quik\""),
        ("target: quick", "target: quik", "did you mean quick?"),
        ("service: waste.*,", "service: waste*,", "a service, or an area such as waste.*"),
        ("priority: emergency", "priority: emergncy", "did you mean emergency?"),
        ("priority: emergency, ", "", "targets.yaml:11: found a target that is never taken"),
        ("{by: $.details.wanted, within: 9 days}", "{note: x}", "a target with neither within nor by"),
        ("$.details.wanted", "details.wanted", "a JSONPath"),
        ("9 days", "9 working weeks", "found within \"9 working weeks\""),
        ("service: waste.missed-bin", "service: waste.misd-bin", "waste.misd-bin, which no system has"),
        ("chase: 5", "chse: 5", "did you mean chase?"),
    ];
    for (from, to, expected) in cases {
        let file = FILE.replacen(from, to, 1);
        let all = found(&[("targets.yaml", &file)]).join("\n");
        assert!(all.contains(expected), "{to}: {all}");
    }
    let services = [
        ("target: {priority: {soon: quick}}", "unknown key soon in priority"),
        ("target: [1]", "a preset, a time or a mapping"),
        ("feedback: {percent: 200}", "a whole number from 1 to 100"),
        ("feedback: {percent: 5, dispositions: [complete]}", "did you mean completed?"),
    ];
    for (line, expected) in services {
        let bin = format!("service: waste.missed-bin\nname: N\ncreate: {{post: /}}\n{line}\n");
        let all = found(&[("systems/waste/system.yaml", SYSTEM), ("systems/waste/a.yaml", &bin)]).join("\n");
        assert!(all.contains(expected) && all.contains("a.yaml:4"), "{line}: {all}");
    }
}
