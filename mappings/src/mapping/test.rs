//! Conditions.

use regex::Regex;

use super::check::Check;
use super::modifier::regex;
use super::path::Path;
use super::place::{self, Over, Place};
use super::scope::{Scope, text_of};
use super::yaml::{Node, Yaml};

/// A condition over a request, an answer or an event.
pub(super) enum Test {
    /// `all: […]`
    All(Vec<Test>),
    /// `any: […]`
    Any(Vec<Test>),
    /// `not: …`
    Not(Box<Test>),
    /// `{path: …, is: …}`: any hit suffices; lists among the hits are taken apart one level.
    Path(Path, Judge),
    /// `{header: …, is: …}`
    Header(String, Judge),
    /// `{status: 200}`
    Status(Vec<u16>),
}

/// What is asked of a value. Values are compared as text: the number 0 is `"0"`.
pub(super) enum Judge {
    /// `is: X` and `in: [X, Y]`
    OneOf(Vec<String>),
    /// `matches: REGEX`, anywhere in the text
    Matches(Regex),
    /// `exists: true`: there is a hit, and it is not null
    Exists(bool),
}

const KINDS: &[&str] = &["all", "any", "not", "path", "header", "status"];
const JUDGES: &[&str] = &["is", "in", "matches", "exists"];

impl Test {
    /// Compiles a condition.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node, place: Place) -> Option<Self> {
        let known: Vec<&str> = KINDS.iter().chain(JUDGES).copied().collect();
        let fields = check.fields(node, "a test", &known)?;
        let kind = check.one_of(fields, "a test", KINDS)?;
        let value = fields.get(kind)?;
        if !["path", "header"].contains(&kind) && !fields.among(JUDGES).is_empty() {
            check.error(
                node.line,
                format!("{kind} beside {}", fields.among(JUDGES).join(", ")),
                format!("{kind} alone"),
            );
        }
        if ["header", "status"].contains(&kind) && place.over != Over::Answer {
            let found = format!("{kind} in a test over the request");
            check.error(node.line, found, "path: only an answer has a status and headers");
            return None;
        }
        match kind {
            "all" => Some(Self::All(Self::list(check, value, place))),
            "any" => Some(Self::Any(Self::list(check, value, place))),
            "not" => Some(Self::Not(Box::new(Self::compile(check, value, place)?))),
            "status" => Some(Self::Status(statuses(check, value))),
            "header" => {
                let name = check.text(value, "header")?;
                Some(Self::Header(name, Judge::compile(check, node)?))
            }
            _ => {
                let text = check.text(value, "path")?;
                let path = place::path(check, value.line, &text, place);
                let judge = Judge::compile(check, node);
                Some(Self::Path(path?, judge?))
            }
        }
    }

    fn list(check: &mut Check<'_>, node: &Node, place: Place) -> Vec<Self> {
        let Yaml::List(items) = &node.value else {
            check.error(node.line, node.shown(), "a list of tests");
            return Vec::new();
        };
        items.iter().filter_map(|item| Self::compile(check, item, place)).collect()
    }

    /// Whether it holds.
    pub(super) fn holds(&self, scope: Scope<'_>) -> bool {
        match self {
            Self::All(tests) => tests.iter().all(|test| test.holds(scope)),
            Self::Any(tests) => tests.iter().any(|test| test.holds(scope)),
            Self::Not(test) => !test.holds(scope),
            Self::Status(statuses) => scope.answer.is_some_and(|answer| statuses.contains(&answer.status)),
            Self::Header(name, judge) => {
                judge.holds(scope.answer.and_then(|answer| answer.header(name)).as_slice())
            }
            Self::Path(path, judge) => {
                let hits = scope.each(path);
                match judge {
                    Judge::Exists(expected) => hits.is_empty() != *expected,
                    Judge::OneOf(_) | Judge::Matches(_) => {
                        let texts: Vec<_> = hits.into_iter().filter_map(text_of).collect();
                        judge.holds(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>())
                    }
                }
            }
        }
    }

    /// Whether it asks for something that must be there, so that an answer of another kind fails it.
    pub(super) fn proves(&self) -> bool {
        match self {
            Self::All(tests) => tests.iter().any(Self::proves),
            Self::Any(tests) => !tests.is_empty() && tests.iter().all(Self::proves),
            Self::Not(_) | Self::Status(_) => false,
            Self::Path(_, judge) | Self::Header(_, judge) => !matches!(judge, Judge::Exists(false)),
        }
    }

    /// Whether it looks into the body, so that a body that cannot be read makes it meaningless.
    pub(super) fn reads_body(&self) -> bool {
        match self {
            Self::All(tests) | Self::Any(tests) => tests.iter().any(Self::reads_body),
            Self::Not(test) => test.reads_body(),
            Self::Path(..) => true,
            Self::Header(..) | Self::Status(_) => false,
        }
    }
}

impl Judge {
    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let known: Vec<&str> = KINDS.iter().chain(JUDGES).copied().collect();
        let fields = check.fields(node, "a test", &known)?;
        let kind = check.one_of(fields, "a test", JUDGES)?;
        let value = fields.get(kind)?;
        match kind {
            "is" => Some(Self::OneOf(vec![check.text(value, "is")?])),
            "in" => Some(Self::OneOf(check.texts(value, "in"))),
            "matches" => Some(Self::Matches(regex(check, value)?)),
            _ => Some(Self::Exists(check.flag(value, "exists"))),
        }
    }

    fn holds(&self, texts: &[&str]) -> bool {
        match self {
            Self::OneOf(known) => texts.iter().any(|text| known.iter().any(|known| known == text)),
            Self::Matches(regex) => texts.iter().any(|text| regex.is_match(text)),
            Self::Exists(expected) => texts.is_empty() != *expected,
        }
    }
}

fn statuses(check: &mut Check<'_>, node: &Node) -> Vec<u16> {
    let items = check.items(node).to_vec();
    items
        .iter()
        .filter_map(|item| check.number(item, "status", 100, 599))
        .filter_map(|status| u16::try_from(status).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Answer;
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn compile(text: &str, place: Place) -> Result<Test, String> {
        let mut check = Check::new("f.yaml", &lower);
        let test = Test::compile(&mut check, &yaml::parse(text).expect("yaml"), place);
        let errors: String = check.findings.iter().map(|finding| format!("{finding}\n")).collect();
        match test {
            Some(test) if errors.is_empty() => Ok(test),
            Some(_) | None => Err(errors),
        }
    }

    fn holds(text: &str, document: &Value) -> bool {
        let answer =
            Answer { status: 201, headers: vec![("ETag".into(), "\"7\"".into())], body: String::new() };
        compile(text, Place::ANSWER).expect(text).holds(Scope::of(&answer, document))
    }

    #[test]
    fn every_test_holds_and_fails_as_it_says() {
        let document = json!({"code": 0, "ok": true, "text": "already open", "none": null, "empty": "",
            "list": ["a", "b"], "element": {"@x": 1, "#text": "t"}, "many": [{"v": 1}, {"v": 2}]});
        let hold = [
            "{path: $.code, is: 0}",
            "{path: $.code, is: \"0\"}",
            "{path: $.ok, is: true}",
            "{path: $.text, matches: \"(?i)ALREADY\"}",
            "{path: $.text, in: [closed, already open]}",
            "{path: $.empty, exists: true}",
            "{path: $.empty, is: \"\"}",
            "{path: $.none, exists: false}",
            "{path: $.gone, exists: false}",
            "{path: $.list, is: b}",
            "{path: $.element, is: t}",
            "{path: \"$.many[*].v\", is: 2}",
            "{status: 201}",
            "{status: [200, 201]}",
            "{header: etag, matches: 7}",
            "{header: Location, exists: false}",
            "{all: [{status: 201}, {path: $.code, is: 0}]}",
            "{any: [{status: 500}, {path: $.code, is: 0}]}",
            "{not: {path: $.code, is: 1}}",
        ];
        for test in hold {
            assert!(holds(test, &document), "{test}");
            assert!(!holds(&format!("{{not: {test}}}"), &document), "not {test}");
        }
        let fail =
            ["{path: $.gone, is: \"\"}", "{path: $.many, is: 1}", "{status: 200}", "{all: [{status: 500}]}"];
        for test in fail {
            assert!(!holds(test, &document), "{test}");
        }
    }

    #[test]
    fn a_wrong_test_is_refused_with_its_reason() {
        let refused = |text: &str, place| compile(text, place).err().unwrap_or_default();
        assert!(refused("{path: $.a}", Place::ANSWER).contains("none of is, in, matches, exists"));
        assert!(refused("{path: $.a, is: 1, in: [1]}", Place::ANSWER).contains("is and in at once"));
        assert!(refused("{path: $.a, equals: 1}", Place::ANSWER).contains("unknown key equals"));
        assert!(
            refused("{status: 200, path: $.a, is: 1}", Place::ANSWER).contains("path and status at once")
        );
        assert!(refused("{status: 200}", Place::REQUEST).contains("only an answer has a status"));
        assert!(
            refused("{path: $.summary, matches: \"(\"}", Place::REQUEST).contains("a regular expression")
        );
        assert!(refused("{path: summary, is: 1}", Place::REQUEST).contains("a JSONPath"));
        assert!(refused("{all: {status: 1}}", Place::ANSWER).contains("a list of tests"));
        assert!(refused("{status: 99}", Place::ANSWER).contains("from 100 to 599"));
        assert!(refused("always", Place::ANSWER).contains("a mapping with all, any"));
    }
}
