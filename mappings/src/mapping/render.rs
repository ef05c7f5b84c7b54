//! Building the HTTP request of a call.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{form, xml};

use super::check::{Check, Fields};
use super::expression::Expression;
use super::place::Place;
use super::scope::{Scope, Trail, text_of};
use super::template::Template;
use super::yaml::{Node, Yaml};
use super::{Body, Call, RenderError, Rendered};

/// The keys of a call in a step.
pub(super) const KEYS: &[&str] = &[
    "get", "post", "put", "patch", "delete", "query", "headers", "json", "xml", "soap", "action", "form",
    "text",
];

const METHODS: &[&str] = &["get", "post", "put", "patch", "delete"];
const BODIES: &[&str] = &["json", "xml", "soap", "form", "text"];

/// The unreserved characters of RFC 3986 stay as they are.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The request of one step, before a context fills it.
pub(super) struct Outgoing {
    method: &'static str,
    path: Template,
    query: Vec<(String, Expression)>,
    headers: Vec<(String, Expression)>,
    body: Content,
}

enum Content {
    None,
    Json(Expression),
    Xml { root: String, content: Expression },
    Soap { root: String, content: Expression, action: Option<String> },
    Form(Vec<(String, Expression)>),
    Text(Expression),
}

impl Outgoing {
    /// Compiles the call among a step's keys.
    pub(super) fn compile(check: &mut Check<'_>, step: Fields<'_>) -> Option<Self> {
        let method = check.one_of(step, "a step", METHODS);
        let path = method.and_then(|method| path(check, step.get(method)?));
        let query = named(check, step, "query");
        let headers = named(check, step, "headers");
        let body = content(check, step);
        let method = match method? {
            "get" => "GET",
            "post" => "POST",
            "put" => "PUT",
            "patch" => "PATCH",
            _ => "DELETE",
        };
        Some(Self { method, path: path?, query, headers, body: body? })
    }

    /// Whether the call only reads.
    pub(super) fn is_get(&self) -> bool {
        self.method == "GET"
    }

    /// The method of the call.
    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    /// Whether a second call would do something again: PUT and DELETE may be repeated (RFC 9110, section 9.2.2).
    pub(super) fn is_unsafe_to_repeat(&self) -> bool {
        matches!(self.method, "POST" | "PATCH")
    }

    /// Fills it.
    pub(super) fn render(&self, context: &Value) -> Result<Rendered, RenderError> {
        let scope = Scope::over(context);
        let mut warnings = Vec::new();
        let path = self.path(scope, &mut warnings)?;
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, expression) in &self.headers {
            let mut trail = Trail::at(&format!("header {name}"));
            if let Some(value) = expression.text(scope, &mut trail)? {
                let harmful = |c: char| c.is_control() && c != '\t';
                if value.contains(harmful) {
                    // As RFC 9110, section 5.5 has it: a text of two lines is no reason to do nothing.
                    trail.warn("a line end or another control character became a space, since a header cannot carry it");
                }
                headers.push((name.clone(), value.replace(harmful, " ")));
            }
            warnings.append(&mut trail.warnings);
        }
        let body = self.body.render(scope, &mut warnings)?;
        Ok(Rendered { call: Call { method: self.method, path, headers, body }, warnings })
    }

    fn path(&self, scope: Scope<'_>, warnings: &mut Vec<String>) -> Result<String, RenderError> {
        let trail = Trail::at("path");
        let mut path = self.path.fill_all(scope, &trail, |part| match part {
            "." | ".." => Err(format!("{part:?} cannot be a part of a path")),
            _ => Ok(utf8_percent_encode(part, SEGMENT).to_string()),
        })?;
        for (name, values) in fields(&self.query, "query", scope, warnings)? {
            for value in values {
                path.push(if path.contains('?') { '&' } else { '?' });
                path.push_str(&utf8_percent_encode(name, SEGMENT).to_string());
                path.push('=');
                path.push_str(&utf8_percent_encode(&value, SEGMENT).to_string());
            }
        }
        Ok(path)
    }
}

impl Content {
    fn render(&self, scope: Scope<'_>, warnings: &mut Vec<String>) -> Result<Body, RenderError> {
        match self {
            Self::None => Ok(Body::None),
            Self::Json(target) => {
                let mut trail = Trail::default();
                let value = target.evaluate(scope, &mut trail)?;
                warnings.append(&mut trail.warnings);
                let empty =
                    if target.members().is_some() { Value::Object(Default::default()) } else { Value::Null };
                Ok(Body::Json(value.unwrap_or(empty).to_string()))
            }
            Self::Xml { root, content } => Ok(Body::Xml(element(root, content, scope, warnings)?)),
            Self::Soap { root, content, action } => {
                let element = element(root, content, scope, warnings)?;
                Ok(Body::Soap { action: action.clone(), element })
            }
            Self::Form(members) => {
                let fields = fields(members, "form", scope, warnings)?;
                let pairs = fields
                    .iter()
                    .flat_map(|(name, values)| values.iter().map(|value| (*name, value.as_str())));
                Ok(Body::Form(form::write(pairs)))
            }
            Self::Text(expression) => {
                let mut trail = Trail::at("text");
                let text = expression.text(scope, &mut trail)?;
                warnings.append(&mut trail.warnings);
                Ok(Body::Text(text.unwrap_or_default()))
            }
        }
    }
}

fn element(
    root: &str,
    content: &Expression,
    scope: Scope<'_>,
    warnings: &mut Vec<String>,
) -> Result<String, RenderError> {
    let mut trail = Trail::at(root);
    let value = content.evaluate(scope, &mut trail)?.unwrap_or(Value::Null);
    let written =
        xml::write(root, &value).map_err(|error| RenderError { field: error.path, reason: error.reason })?;
    if written.left_out > 0 {
        trail.warn(&format!("{} characters left out that XML cannot carry", written.left_out));
    }
    warnings.append(&mut trail.warnings);
    Ok(written.text)
}

/// The fields that are there, each with its values: a list is one field several times.
fn fields<'m>(
    members: &'m [(String, Expression)],
    what: &str,
    scope: Scope<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<(&'m str, Vec<String>)>, RenderError> {
    let mut fields = Vec::with_capacity(members.len());
    for (name, expression) in members {
        let mut trail = Trail::at(&format!("{what} {name}"));
        let value = expression.evaluate(scope, &mut trail)?;
        let values = match value {
            None | Some(Value::Null) => continue,
            Some(Value::Array(items)) => items,
            Some(one) => vec![one],
        };
        let texts: Option<Vec<String>> =
            values.iter().map(|value| text_of(value).map(|text| text.into_owned())).collect();
        let Some(texts) = texts else {
            return Err(trail.wrong("an object was found where a text is needed"));
        };
        warnings.append(&mut trail.warnings);
        fields.push((name.as_str(), texts));
    }
    Ok(fields)
}

fn path(check: &mut Check<'_>, node: &Node) -> Option<Template> {
    let Some(text) = node.as_text() else {
        check.error(node.line, node.shown(), "a path such as /jobs/{$.dovetail.job}");
        return None;
    };
    let template = Template::compile(check, node.line, text, Place::REQUEST)?;
    if !template.start().starts_with('/') {
        check.error(
            node.line,
            node.shown(),
            "a path that starts with a slash; the base URL is in system.yaml",
        );
        return None;
    }
    if template.start().contains(char::is_whitespace) {
        check.error(node.line, node.shown(), "a path without white space");
        return None;
    }
    Some(template)
}

fn named(check: &mut Check<'_>, step: Fields<'_>, key: &str) -> Vec<(String, Expression)> {
    let Some(node) = step.get(key) else { return Vec::new() };
    let Yaml::Map(entries) = &node.value else {
        check.error(node.line, node.shown(), format!("{key}: a mapping of names to expressions"));
        return Vec::new();
    };
    let mut members = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Some(expression) = Expression::compile(check, &entry.value, Place::REQUEST) {
            if expression.members().is_some() {
                check.error(
                    entry.line,
                    entry.value.shown(),
                    format!("{key}: one value or a list for {}", entry.key),
                );
            }
            members.push((entry.key.clone(), expression));
        }
    }
    members
}

fn content(check: &mut Check<'_>, step: Fields<'_>) -> Option<Content> {
    if let Some(action) = step.get("action")
        && step.get("soap").is_none()
    {
        check.error(action.line, "action without soap", "action only beside soap");
    }
    if step.among(BODIES).is_empty() {
        return Some(Content::None);
    }
    let kind = check.one_of(step, "a step", BODIES)?;
    let node = step.get(kind)?;
    match kind {
        "json" => Expression::compile(check, node, Place::REQUEST).map(Content::Json),
        "xml" => root(check, node, "xml").map(|(root, content)| Content::Xml { root, content }),
        "soap" => {
            let action = check.text_of(step, "action");
            root(check, node, "soap").map(|(root, content)| Content::Soap { root, content, action })
        }
        "form" => Some(Content::Form(named(check, step, "form"))),
        _ => Expression::compile(check, node, Place::REQUEST).map(Content::Text),
    }
}

fn root(check: &mut Check<'_>, node: &Node, what: &str) -> Option<(String, Expression)> {
    let [entry] = node.entries() else {
        check.error(node.line, node.shown(), format!("{what}: one root element"));
        return None;
    };
    if !xml::is_name(&entry.key) {
        check.error(entry.line, format!("the element {}", entry.key), "a name of XML");
    }
    let content = Expression::compile(check, &entry.value, Place::REQUEST)?;
    element_names(check, entry.line, &content);
    Some((entry.key.clone(), content))
}

fn element_names(check: &mut Check<'_>, line: usize, expression: &Expression) {
    for (name, member) in expression.members().unwrap_or_default() {
        let bare = name.strip_prefix('@').unwrap_or(name);
        if name != "#text" && !xml::is_name(bare) {
            check.error(
                line,
                format!("the element {name} below this line"),
                "a name of XML, @attribute or #text",
            );
        }
        element_names(check, line, member);
    }
    for target in expression.targets() {
        element_names(check, line, target);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{create, request, system};
    use super::*;

    fn render(step: &str) -> Result<Rendered, String> {
        let system = system("", &format!("create:\n  {step}\n"));
        create(&system).steps[0].render(&request()).map_err(|error| error.to_string())
    }

    fn call(step: &str) -> Call {
        render(step).expect(step).call
    }

    fn refused(step: &str) -> String {
        let service = format!("service: waste.missed-bin\nname: N\ncreate:\n  {step}\n");
        let files = [
            ("systems/waste/system.yaml", super::super::fixture::SYSTEM),
            ("systems/waste/a.yaml", &*service),
        ];
        super::super::fixture::found(&files).join("\n")
    }

    #[test]
    fn paths_and_queries_are_percent_encoded() {
        let made = call(
            "{get: \"/a/{$.location.address.lines[0]}/x?y=1\", query: {q: $.summary, n: $.details.gone, \
                         l: $.location.address.lines, b: $.details.out_before_7am}}",
        );
        assert_eq!(made.method, "GET");
        assert_eq!(
            made.path,
            "/a/16%20Pitcairn%20House/x?y=1&q=Grey%20bin%20%3Cmissed%3E&l=16%20Pitcairn%20House&l=Hackney&b=true"
        );
        assert_eq!(made.body, Body::None);
        assert_eq!(call("{delete: \"/{$.ticket}\", query: {a: 1}}").path, "/CRM-1?a=1");
    }

    #[test]
    fn a_number_is_written_as_it_came_wherever_it_goes() {
        let step = "create:\n  post: /a/{$.n}\n  query: {n: $.n}\n  headers: {X-N: $.n}\n  json: {n: $.n, \
                    s: {from: $.n, as: string}, t: {template: \"no. {$.n}\"}, m: {from: $.text, as: number}, \
                    i: {from: $.text, as: integer}}\n";
        let system = system("", step);
        for number in ["1.10", "12345678901234567890", "1e3", "-0", "3.14159265358979323846264338327950288"] {
            let context: Value = crate::digits::from_str(&format!(
                "{{\"n\": {number}, \"text\": \"0012345678901234567890.0\"}}"
            ))
            .expect("JSON");
            let call = create(&system).steps[0].render(&context).expect(number).call;
            assert_eq!(call.path, format!("/a/{number}?n={number}"));
            assert_eq!(call.headers, [("X-N".to_owned(), number.to_owned())]);
            let (m, i) = ("12345678901234567890", "12345678901234567890");
            let json = format!(r#"{{"n":{number},"s":"{number}","t":"no. {number}","m":{m},"i":{i}}}"#);
            assert_eq!(call.body, Body::Json(json));
        }
    }

    #[test]
    fn a_path_with_a_hole_or_a_dot_is_not_sent() {
        assert_eq!(
            render("get: /a/{$.details.gone}").err().as_deref(),
            Some("path: $.details.gone is absent or empty")
        );
        let system = system("", "create:\n  get: /a/{$.ticket}\n");
        for dots in [".", ".."] {
            let context = serde_json::json!({"ticket": dots});
            assert!(create(&system).steps[0].render(&context).is_err());
        }
        let slash = create(&system).steps[0].render(&serde_json::json!({"ticket": "a/../b?c"}));
        assert_eq!(slash.expect("rendered").call.path, "/a/a%2F..%2Fb%3Fc");
    }

    #[test]
    fn every_kind_of_body_is_built() {
        let json = call("{post: /, json: {b: $.ticket, a: {c: $.details.count}, g: {h: $.details.gone}}}");
        assert_eq!(json.body, Body::Json(r#"{"b":"CRM-1","a":{"c":3}}"#.into()));
        assert_eq!(call("{post: /, json: {a: $.details.gone}}").body, Body::Json("{}".into()));
        assert_eq!(
            call("{post: /, json: $.location.address.lines}").body,
            Body::Json(r#"["16 Pitcairn House","Hackney"]"#.into())
        );
        let xml = call(
            "{put: /, xml: {w:r: {\"@xmlns:w\": \"urn:w\", z: $.summary, a: {\"@n\": 1, \"#text\": $.ticket}, \
                        line: {each: $.location.address.lines, as: {t: \"@\"}}, none: $.details.gone}}}",
        );
        let expected = "<w:r xmlns:w=\"urn:w\"><z>Grey bin &lt;missed&gt;</z><a n=\"1\">CRM-1</a>\
                        <line><t>16 Pitcairn House</t></line><line><t>Hackney</t></line></w:r>";
        assert_eq!(xml.body, Body::Xml(expected.into()));
        let soap = call("{post: /, action: \"urn:a\", soap: {Ping: }}");
        assert_eq!(soap.body, Body::Soap { action: Some("urn:a".into()), element: "<Ping/>".into() });
        let form = call(
            "{post: /, form: {\"attribute[x]\": $.summary, l: $.location.address.lines, n: $.details.gone, k: \"${KEY}\"}}",
        );
        let expected = "attribute%5Bx%5D=Grey+bin+%3Cmissed%3E&l=16+Pitcairn+House&l=Hackney&k=key";
        assert_eq!(form.body, Body::Form(expected.into()));
        assert_eq!(call("{patch: /, text: {template: \"T {$.ticket}\"}}").body, Body::Text("T CRM-1".into()));
    }

    #[test]
    fn headers_carry_no_control_characters_and_absent_ones_are_left_out() {
        let made = call("{get: /, headers: {X-Ticket: $.ticket, X-None: $.details.gone, Accept: text/xml}}");
        assert_eq!(made.headers, [("X-Ticket".into(), "CRM-1".into()), ("Accept".into(), "text/xml".into())]);
        let split = call("{get: /, headers: {X: {template: \"a\\r\\nEvil: {$.ticket}\"}}}");
        assert_eq!(split.headers, [("X".into(), "a  Evil: CRM-1".into())]);
    }

    #[test]
    fn losses_are_told_with_their_field() {
        let context = serde_json::json!({"summary": "abc\u{1}def"});
        let system = system(
            "",
            "create: {post: /, xml: {r: {s: {from: $.summary, max: 5}}}, query: {q: {from: $.summary, max: 3}}}\n",
        );
        let rendered = create(&system).steps[0].render(&context).expect("rendered");
        let expected = [
            "query q: shortened from 7 to 3 characters",
            "r.s: shortened from 7 to 5 characters",
            "r: 1 characters left out that XML cannot carry",
        ];
        assert_eq!(rendered.warnings, expected);
    }

    #[test]
    fn what_has_no_form_in_the_body_is_a_data_error() {
        assert!(
            render("{post: /, form: {a: $.customer}}").expect_err("refused").starts_with("form a: an object")
        );
        let names = "{post: /, xml: {r: $.customer, }}";
        assert!(render(names).is_ok());
        let system = system("", "create: {post: /, xml: {r: $.details}}\n");
        let context = serde_json::json!({"details": {"two words": 1}});
        let error = create(&system).steps[0].render(&context).expect_err("refused");
        assert_eq!(error.to_string(), "r.two words: not the name of an XML element");
    }

    #[test]
    fn a_wrong_call_is_refused_when_it_is_compiled() {
        let cases = [
            ("{json: {}}", "none of get, post, put, patch, delete"),
            ("{get: /, post: /}", "get and post at once"),
            ("{get: a}", "a path that starts with a slash"),
            ("{get: \"{$.ticket}\"}", "a path that starts with a slash"),
            ("{get: /a b}", "without white space"),
            ("{post: /, json: {}, form: {}}", "json and form at once"),
            ("{post: /, action: x}", "action only beside soap"),
            ("{post: /, xml: {a: 1, b: 2}}", "xml: one root element"),
            ("{post: /, xml: {\"a b\": 1}}", "a name of XML"),
            ("{post: /, soap: {a: {\"@b c\": 1}}}", "a name of XML, @attribute or #text"),
            (
                "{post: /, soap: {a: {each: $.details.items, as: {\"1\": x}}}}",
                "the element 1 below this line",
            ),
            ("{post: /, form: {a: {b: 1}}}", "form: one value or a list for a"),
            ("{post: /, query: [1]}", "query: a mapping of names"),
            ("{post: /, jsn: {}}", "did you mean json?"),
        ];
        for (step, expected) in cases {
            let found = refused(step);
            assert!(found.contains(expected), "{step}: {found}");
        }
    }

    /// Not a measurement, only a guard against doing per call what belongs to the start.
    #[test]
    fn rendering_takes_microseconds() {
        let system = system(
            "lookups: {ids: {refuse: \"77\"}}\n",
            "create:\n  post: /services.asmx\n  soap:\n    CreateWorksheet:\n      \"@xmlns\": urn:x\n      input:\n        \
             Uprn: {from: $.location.uprn, pad: {to: 12, with: \"0\"}}\n        Id: {from: $.details.container, lookup: ids}\n        \
             Ref: $.ticket\n        Message: {join: [$.summary, $.details.notes], with: \" - \", max: 500}\n        \
             When: {from: $.raised_at, date: {pattern: \"%d/%m/%Y\", zone: Europe/London}}\n",
        );
        let (step, context) = (&create(&system).steps[0], request());
        let start = std::time::Instant::now();
        for _ in 0..200 {
            step.render(&context).expect("rendered");
        }
        let each = start.elapsed() / 200;
        assert!(each < std::time::Duration::from_millis(5), "{each:?}");
    }
}
