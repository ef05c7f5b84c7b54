//! What is promised to the customer: `targets.yaml`, and the calendars it is counted by.

mod promise;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::domain::{Council, Priority, Service, SystemName};
use crate::sla::{Calendar, Span, Terms};

use super::check::Check;
use super::finding::nearest;
use super::folder::owner;
use super::yaml::{self, Node, Yaml};
use super::{Owner, System, calendars, source};
pub(super) use promise::{Presets, TargetRule, feedback};
use promise::{Promise, span};

/// The file's path.
pub(super) const FILE: &str = "targets.yaml";

const KEYS: &[&str] = &["councils", "ageing", "chase", "presets", "targets", "note"];

/// `targets.yaml` with the calendars it names.
#[derive(Debug)]
pub(super) struct Targets {
    councils: Vec<CouncilRule>,
    rules: Vec<Rule>,
    /// Promises that service files may name.
    pub(super) presets: Arc<Presets>,
    escalate: Span,
    overdue: Span,
    chase: Option<Span>,
}

/// What holds for one council, or for every one.
#[derive(Debug)]
struct CouncilRule {
    council: Option<Council>,
    calendar: Arc<Calendar>,
    contact_centre: Option<Owner>,
}

/// One promise of the file.
#[derive(Debug)]
struct Rule {
    council: Option<Council>,
    service: Option<Pattern>,
    priority: Option<Priority>,
    target: TargetRule,
    line: usize,
}

/// A service, or all that begin alike: `waste.*`.
#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    One(Service),
    Area(String),
}

/// A request, as far as what is promised for it depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Whose ticket it is.
    pub council: &'a Council,
    /// What is asked for.
    pub service: &'a Service,
    /// How soon.
    pub priority: Priority,
    /// The systems it goes to, the lead first.
    pub systems: &'a [SystemName],
    /// The request, for promises by a date that it names.
    pub document: &'a Value,
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix(".*") {
            Some(area) if Service::parse(&format!("{area}.x")).is_ok() => {
                Some(Self::Area(format!("{area}.")))
            }
            Some(_) => None,
            None => Service::parse(text).ok().map(Self::One),
        }
    }

    fn fits(&self, service: &Service) -> bool {
        match self {
            Self::One(own) => own == service,
            Self::Area(area) => service.as_str().starts_with(area),
        }
    }
}

impl Targets {
    /// Reads the file, or the shipped one where there is none. `calendars` are those of the folder; a calendar
    /// that it lacks is taken from those shipped.
    pub(super) fn compile(check: &mut Check<'_>, node: Option<&Node>, calendars: Vec<Arc<Calendar>>) -> Self {
        let shipped;
        let node = match node {
            Some(node) => Some(node),
            None => {
                shipped = source::shipped_text(FILE).and_then(|text| yaml::parse(text).ok());
                shipped.as_ref()
            }
        };
        let calendars = calendars.into_iter().map(|calendar| (calendar.name.clone(), calendar)).collect();
        let mut targets = Self {
            councils: Vec::new(),
            rules: Vec::new(),
            presets: Arc::default(),
            escalate: Span::Days(30),
            overdue: Span::Days(60),
            chase: None,
        };
        if let Some(node) = node {
            targets.read(check, node, calendars);
        }
        targets
    }

    fn read(&mut self, check: &mut Check<'_>, node: &Node, mut calendars: BTreeMap<String, Arc<Calendar>>) {
        let Some(fields) = check.fields(node, FILE, KEYS) else { return };
        check.text_of(fields, "note");
        for node in fields.get("councils").map(|node| list(check, node, "councils")).unwrap_or_default() {
            self.councils.extend(council_rule(check, node, &mut calendars));
        }
        if let Some(ageing) = fields.get("ageing")
            && let Some(fields) = check.fields(ageing, "ageing", &["escalate", "overdue"])
        {
            let mut given = |key: &str| fields.get(key).and_then(|node| span(check, node, key));
            self.escalate = given("escalate").unwrap_or(self.escalate);
            self.overdue = given("overdue").unwrap_or(self.overdue);
        }
        self.chase = fields.get("chase").and_then(|node| span(check, node, "chase"));
        if let Some(node) = fields.get("presets") {
            self.presets = Arc::new(presets(check, node));
        }
        check.presets = Arc::clone(&self.presets);
        for node in fields.get("targets").map(|node| list(check, node, "targets")).unwrap_or_default() {
            let Some(rule) = rule(check, node) else { continue };
            let same = |one: &&Rule| {
                (&one.council, &one.service, one.priority) == (&rule.council, &rule.service, rule.priority)
            };
            if let Some(earlier) = self.rules.iter().find(same) {
                let expected =
                    format!("a council, service or priority that the one of line {} lacks", earlier.line);
                check.error(rule.line, "a target that is never taken", expected);
            }
            self.rules.push(rule);
        }
    }

    /// Rules for a service that no system has promise nothing.
    pub(super) fn cross_check(&self, check: &mut Check<'_>, services: &BTreeSet<&Service>) {
        for rule in &self.rules {
            let Some(pattern) = &rule.service else { continue };
            if !services.iter().any(|service| pattern.fits(service)) {
                let names: Vec<&str> = services.iter().map(|service| service.as_str()).collect();
                let (found, text) = match pattern {
                    Pattern::One(service) => (service.to_string(), service.as_str()),
                    Pattern::Area(area) => (format!("{area}*"), area.as_str()),
                };
                let hint = nearest(text, &names).map(|near| format!("did you mean {near}?"));
                check.warn(
                    rule.line,
                    format!("a target for {found}, which no system has"),
                    "a service",
                    hint,
                );
            }
        }
    }

    /// What is promised. A rule that names the council goes before the target in the service's own file, and
    /// that before the other rules.
    pub(super) fn terms(&self, asked: &Asked<'_>, systems: &[&Arc<System>]) -> Terms {
        let calendar = self.calendar_of(asked.council);
        let rules = self.rules.iter().filter(|rule| rule.fits(asked));
        let (of_council, of_all): (Vec<&Rule>, Vec<&Rule>) = rules.partition(|rule| rule.council.is_some());
        let own = systems.iter().filter_map(|system| system.target_rule(asked.service));
        let of_council = of_council.into_iter().map(|rule| &rule.target);
        let in_order = of_council.chain(own).chain(of_all.into_iter().map(|rule| &rule.target));
        let found = in_order
            .filter_map(|target| target.of(asked.priority))
            .find_map(|promise: &Promise| Some((promise.resolve(asked.document, &calendar)?, promise.chase)));
        let (target, chase) = found.map_or((None, None), |(target, chase)| (Some(target), chase));
        Terms {
            target,
            calendar,
            escalate: self.escalate,
            overdue: self.overdue,
            chase: chase.or(self.chase),
            feedback: systems.iter().find_map(|system| system.feedback_rule(asked.service)).cloned(),
        }
    }

    /// Who answers for tickets that no system has in hand.
    pub(super) fn contact_centre(&self, council: &Council) -> Option<&Owner> {
        let fits = |rule: &&CouncilRule| rule.contact_centre.is_some();
        let own = self.councils.iter().filter(|rule| rule.council.as_ref() == Some(council)).find(fits);
        let any = || self.councils.iter().filter(|rule| rule.council.is_none()).find(fits);
        own.or_else(any).and_then(|rule| rule.contact_centre.as_ref())
    }

    fn calendar_of(&self, council: &Council) -> Arc<Calendar> {
        let own = self.councils.iter().find(|rule| rule.council.as_ref() == Some(council));
        let any = || self.councils.iter().find(|rule| rule.council.is_none());
        own.or_else(any).map_or_else(usual_calendar, |rule| Arc::clone(&rule.calendar))
    }
}

impl Rule {
    fn fits(&self, asked: &Asked<'_>) -> bool {
        self.council.as_ref().is_none_or(|council| council == asked.council)
            && self.service.as_ref().is_none_or(|pattern| pattern.fits(asked.service))
            && self.priority.is_none_or(|priority| priority == asked.priority)
    }
}

/// The calendar of a council for which none is named.
fn usual_calendar() -> Arc<Calendar> {
    shipped_calendar("england-and-wales").unwrap_or_else(|| {
        Arc::new(Calendar {
            name: "none".into(),
            title: "None".into(),
            zone: jiff::tz::TimeZone::UTC,
            week: Vec::new(),
            hours: crate::sla::Hours { from: 0, to: 1440 },
            covers: 0..=0,
            holidays: BTreeMap::new(),
            worked: Default::default(),
        })
    })
}

fn shipped_calendar(name: &str) -> Option<Arc<Calendar>> {
    let path = format!("calendars/{name}.yaml");
    let node = yaml::parse(source::shipped_text(&path)?).ok()?;
    let mut check = Check::new(&path, &|_| None);
    calendars::compile(&mut check, &node, name).map(Arc::new)
}

fn council_rule(
    check: &mut Check<'_>,
    node: &Node,
    calendars: &mut BTreeMap<String, Arc<Calendar>>,
) -> Option<CouncilRule> {
    let fields = check.fields(node, "a council", &["council", "calendar", "contact_centre"])?;
    let council =
        check.required_text(fields, "council", "a council").and_then(|text| council(check, node, &text));
    let contact_centre = fields.get("contact_centre").and_then(|node| owner(check, node));
    let calendar = check.required_text(fields, "calendar", "a council").and_then(|name| {
        if !calendars.contains_key(&name) {
            calendars.extend(shipped_calendar(&name).map(|calendar| (name.clone(), calendar)));
        }
        let found = calendars.get(&name).cloned();
        if found.is_none() {
            let shipped = ["england-and-wales", "scotland", "northern-ireland"];
            let known = calendars.keys().map(String::as_str).chain(shipped);
            let mut known: Vec<&str> = known.collect();
            known.sort_unstable();
            known.dedup();
            check.unknown(node.line, format!("calendar {name}"), &name, known);
        }
        found
    });
    Some(CouncilRule { council: council?, calendar: calendar?, contact_centre })
}

fn council(check: &mut Check<'_>, node: &Node, text: &str) -> Option<Option<Council>> {
    match (text, Council::parse(text)) {
        ("*", _) => Some(None),
        (_, Ok(council)) => Some(Some(council)),
        (_, Err(error)) => {
            check.error(node.line, format!("council {text:?}"), format!("\"*\" or {}", error.expected));
            None
        }
    }
}

fn presets(check: &mut Check<'_>, node: &Node) -> Presets {
    let mut presets = Presets::new();
    if !matches!(node.value, Yaml::Map(_)) {
        check.error(node.line, node.shown(), "presets: a mapping of names to targets");
    }
    for entry in node.entries() {
        let slug = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !entry.key.bytes().all(slug) {
            check.error(entry.line, format!("preset {:?}", entry.key), "a name of a-z, 0-9 and '-'");
        }
        if let Some(promise) = Promise::compile(check, &entry.value) {
            presets.insert(entry.key.clone(), Arc::new(promise));
        }
    }
    presets
}

fn rule(check: &mut Check<'_>, node: &Node) -> Option<Rule> {
    let fields = check.fields(node, "a target", &["council", "service", "priority", "target", "note"])?;
    check.text_of(fields, "note");
    let council = match check.text_of(fields, "council") {
        Some(text) => council(check, node, &text)?,
        None => None,
    };
    let service = match check.text_of(fields, "service") {
        Some(text) => {
            let pattern = Pattern::parse(&text);
            if pattern.is_none() {
                check.error(node.line, format!("service {text:?}"), "a service, or an area such as waste.*");
            }
            Some(pattern?)
        }
        None => None,
    };
    let words: Vec<(&str, Priority)> = Priority::ALL.iter().map(|word| (word.as_str(), *word)).collect();
    let priority = match fields.get("priority") {
        Some(node) => Some(check.word(node, "priority", &words)?),
        None => None,
    };
    let target = check.required(fields, "target", "a target")?;
    let target = TargetRule::compile(check, target)?;
    Some(Rule { council, service, priority, target, line: node.line })
}

fn list<'n>(check: &mut Check<'_>, node: &'n Node, what: &str) -> &'n [Node] {
    match &node.value {
        Yaml::List(items) => items,
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::Map(_) => {
            check.error(node.line, node.shown(), format!("{what}: a list"));
            &[]
        }
    }
}
