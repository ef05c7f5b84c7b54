//! When a ticket closes, and what the customer is told then.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{Council, Disposition, SystemName};

use super::check::Check;
use super::statuses::disposition;
use super::yaml::{Node, Yaml};

/// Which dispositions close a ticket without a person; all others hold it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloseRules {
    /// In the mapping's order.
    pub automatically: Vec<Disposition>,
    /// How long a closure can still be stopped.
    pub undo: Duration,
    /// What becomes of a ticket whose job ended with more work to follow.
    pub follow_on: FollowOn,
    /// What becomes of a ticket whose job ended at a time that does not fit what was said before.
    pub in_doubt: InDoubt,
    /// What the customer is told, with placeholders; the status's own words where nothing stands here.
    pub say: BTreeMap<Disposition, String>,
    /// File and line of the rules.
    pub place: Option<String>,
    councils: BTreeMap<Council, Override>,
}

/// What becomes of a ticket whose job ended with more work to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FollowOn {
    /// As with every disposition: it closes by itself, or a person decides.
    #[default]
    Decide,
    /// The ticket stays open, and the work that follows is shown.
    KeepOpen,
    /// The ticket closes, and a request that is linked to it is asked for.
    OpenLinked,
}

/// What becomes of a ticket whose job ended at a time before its last progress: one of the two dates is wrong, or the
/// job goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InDoubt {
    /// It closes as if there were no doubt, which the closure names.
    #[default]
    Close,
    /// A person decides.
    Hold,
}

/// What one council has otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Override {
    automatically: Option<Vec<Disposition>>,
    undo: Option<Duration>,
    follow_on: Option<FollowOn>,
    in_doubt: Option<InDoubt>,
    say: BTreeMap<Disposition, String>,
    place: String,
}

/// When a ticket closes that several systems work on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Together {
    /// How many of them must have ended.
    pub when: When,
    /// They do the same work: what they say of its end must agree.
    pub same_work: bool,
}

/// How many of several systems must have ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum When {
    /// All.
    #[default]
    All,
    /// One that completed its part.
    Any,
    /// This one.
    Lead(SystemName),
}

const RULES: &[&str] = &["automatically", "otherwise", "undo", "follow_on", "in_doubt", "say", "councils"];

/// What a template of `say` may hold.
pub(super) const PLACEHOLDERS: &[&str] = &["say", "words", "date", "job", "team", "ticket", "system"];

impl CloseRules {
    /// Whether the node holds rules, and not an operation that closes.
    pub(super) fn is_here(node: &Node) -> bool {
        RULES.iter().any(|key| node.get(key).is_some())
    }

    /// Reads `close:` of a service file.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "close", RULES)?;
        if let Some(otherwise) = fields.get("otherwise")
            && otherwise.as_text() != Some("hold")
        {
            check.error(otherwise.line, otherwise.shown(), "otherwise: hold");
        }
        let list = check.required(fields, "automatically", "close")?;
        let automatically = dispositions(check, list);
        let councils = fields.get("councils").map(|node| councils(check, node)).unwrap_or_default();
        Some(Self {
            automatically,
            undo: fields.get("undo").and_then(|node| check.duration(node, "undo")).unwrap_or_default(),
            follow_on: fields.get("follow_on").and_then(|node| follow_on(check, node)).unwrap_or_default(),
            in_doubt: fields.get("in_doubt").and_then(|node| in_doubt(check, node)).unwrap_or_default(),
            say: fields.get("say").map(|node| say(check, node)).unwrap_or_default(),
            place: Some(check.place(node.line)),
            councils,
        })
    }

    /// The rules as they hold for a council.
    #[must_use]
    pub fn of(mut self, council: &Council) -> Self {
        let Some(own) = self.councils.remove(council) else { return self };
        self.place = Some(own.place);
        self.automatically = own.automatically.unwrap_or(self.automatically);
        self.undo = own.undo.unwrap_or(self.undo);
        self.follow_on = own.follow_on.unwrap_or(self.follow_on);
        self.in_doubt = own.in_doubt.unwrap_or(self.in_doubt);
        self.say.extend(own.say);
        self
    }
}

impl Together {
    /// Reads `close:` of a route.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node, to: &[SystemName]) -> Option<Self> {
        let fields = check.fields(node, "close", &["when", "lead", "same_work"])?;
        let when = check.required(fields, "when", "close")?;
        let kind = check.word(when, "when", &[("all", 0), ("any", 1), ("lead", 2)])?;
        let lead = check.text_of(fields, "lead");
        let when = match (kind, lead) {
            (2, Some(lead)) => match to.iter().find(|system| system.as_str() == lead) {
                Some(system) => When::Lead(system.clone()),
                None => {
                    let found = format!("lead: {lead}");
                    check.unknown(node.line, found, &lead, to.iter().map(SystemName::as_str));
                    return None;
                }
            },
            (2, None) => {
                check.error(node.line, "when: lead without lead", "lead: one of the route's systems");
                return None;
            }
            (_, Some(lead)) => {
                check.error(node.line, format!("lead: {lead} without when: lead"), "when: lead");
                return None;
            }
            (1, None) => When::Any,
            (_, None) => When::All,
        };
        let same_work = fields.get("same_work").is_some_and(|node| check.flag(node, "same_work"));
        Some(Self { when, same_work })
    }
}

fn councils(check: &mut Check<'_>, node: &Node) -> BTreeMap<Council, Override> {
    let Yaml::Map(entries) = &node.value else {
        check.error(node.line, node.shown(), "councils: a mapping of councils");
        return BTreeMap::new();
    };
    let mut councils = BTreeMap::new();
    for entry in entries {
        let council = match Council::parse(&entry.key) {
            Ok(council) => council,
            Err(error) => {
                check.error(entry.line, format!("council {:?}", entry.key), error.expected);
                continue;
            }
        };
        let keys = ["automatically", "undo", "follow_on", "in_doubt", "say"];
        let Some(fields) = check.fields(&entry.value, "a council's closing rules", &keys) else { continue };
        let own = Override {
            automatically: fields.get("automatically").map(|node| dispositions(check, node)),
            undo: fields.get("undo").and_then(|node| check.duration(node, "undo")),
            follow_on: fields.get("follow_on").and_then(|node| follow_on(check, node)),
            in_doubt: fields.get("in_doubt").and_then(|node| in_doubt(check, node)),
            say: fields.get("say").map(|node| say(check, node)).unwrap_or_default(),
            place: check.place(entry.line),
        };
        councils.insert(council, own);
    }
    councils
}

fn dispositions(check: &mut Check<'_>, node: &Node) -> Vec<Disposition> {
    let items = check.items(node).to_vec();
    items.iter().filter_map(|item| disposition(check, item)).collect()
}

fn follow_on(check: &mut Check<'_>, node: &Node) -> Option<FollowOn> {
    check.word(node, "follow_on", &[("keep_open", FollowOn::KeepOpen), ("open_linked", FollowOn::OpenLinked)])
}

fn in_doubt(check: &mut Check<'_>, node: &Node) -> Option<InDoubt> {
    check.word(node, "in_doubt", &[("close", InDoubt::Close), ("hold", InDoubt::Hold)])
}

fn say(check: &mut Check<'_>, node: &Node) -> BTreeMap<Disposition, String> {
    let Yaml::Map(entries) = &node.value else {
        check.error(node.line, node.shown(), "say: a mapping of dispositions");
        return BTreeMap::new();
    };
    let known: Vec<&str> = Disposition::ALL.iter().map(|word| word.as_str()).collect();
    let mut say = BTreeMap::new();
    for entry in entries {
        let Ok(disposition) = entry.key.parse::<Disposition>() else {
            check.unknown(
                entry.line,
                format!("disposition {}", entry.key),
                &entry.key,
                known.iter().copied(),
            );
            continue;
        };
        let Some(template) = check.text(&entry.value, "say") else { continue };
        for name in placeholders(&template) {
            if !PLACEHOLDERS.contains(&name) {
                let found = format!("the placeholder {{{name}}}");
                check.unknown(entry.line, found, name, PLACEHOLDERS.iter().copied());
            }
        }
        say.insert(disposition, template);
    }
    say
}

/// The names in braces of a template.
fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn rules(text: &str) -> (Option<CloseRules>, String) {
        let mut check = Check::new("systems/waste/bin.yaml", &lower);
        let rules = CloseRules::compile(&mut check, &yaml::parse(text).expect("yaml"));
        (rules, check.findings.iter().map(|finding| format!("{finding}\n")).collect())
    }

    fn together(text: &str) -> (Option<Together>, String) {
        let mut check = Check::new("routes.yaml", &lower);
        let to = ["housing", "waste"].map(|name| SystemName::parse(name).expect("valid"));
        let together = Together::compile(&mut check, &yaml::parse(text).expect("yaml"), &to);
        (together, check.findings.iter().map(|finding| format!("{finding}\n")).collect())
    }

    #[test]
    fn a_council_has_its_own_rules_where_it_says_so_and_the_services_else() {
        let (rules, found) = rules(
            "automatically: [completed, declined]\nundo: 30m\nfollow_on: keep_open\n\
             say: {completed: \"{say} Done on {date}.\", declined: No.}\n\
             councils:\n  epping: {automatically: [completed], undo: 2h, say: {declined: \"Sorry. {words}\"}}\n",
        );
        assert_eq!(found, "");
        let rules = rules.expect("rules");
        assert_eq!((rules.undo, rules.follow_on), (Duration::from_secs(1800), FollowOn::KeepOpen));
        assert_eq!(rules.place.as_deref(), Some("systems/waste/bin.yaml:1"));
        let own = rules.clone().of(&Council::parse("epping").expect("valid"));
        assert_eq!((own.automatically.as_slice(), own.undo.as_secs()), (&[Disposition::Completed][..], 7200));
        assert_eq!(own.say[&Disposition::Declined], "Sorry. {words}");
        assert_eq!(own.say[&Disposition::Completed], "{say} Done on {date}.");
        assert_eq!(own.place.as_deref(), Some("systems/waste/bin.yaml:6"));
        assert_eq!(rules.clone().of(&Council::parse("harlow").expect("valid")), rules);
    }

    #[test]
    fn a_wrong_rule_is_refused_with_its_line() {
        let cases = [
            ("automatically: [complete]", "did you mean completed?"),
            ("otherwise: hold", "close without automatically"),
            ("automatically: []\notherwise: close", "otherwise: hold"),
            ("automatically: []\nundo: soon", "bin.yaml:2: found \"soon\""),
            ("automatically: []\nfollow_on: maybe", "one of keep_open, open_linked"),
            ("automatically: []\nin_doubt: ask", "one of close, hold"),
            ("automatically: []\nsay: {completed: \"by {tem}\"}", "did you mean team?"),
            ("automatically: []\nsay: {done: x}", "disposition done"),
            ("automatically: []\ncouncils: {Epping: {}}", "council \"Epping\""),
        ];
        for (text, expected) in cases {
            let (_, found) = rules(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn a_route_says_how_many_of_its_systems_must_have_ended() {
        let housing = SystemName::parse("housing").expect("valid");
        let (lead, _) = together("{when: lead, lead: housing, same_work: true}");
        assert_eq!(lead, Some(Together { when: When::Lead(housing), same_work: true }));
        assert_eq!(together("{when: any}").0.map(|together| together.when), Some(When::Any));
        let cases = [
            ("{when: lead}", "when: lead without lead"),
            ("{when: lead, lead: house}", "one of housing, waste"),
            ("{when: all, lead: housing}", "without when: lead"),
            ("{when: some}", "one of all, any, lead"),
        ];
        for (text, expected) in cases {
            let (_, found) = together(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
