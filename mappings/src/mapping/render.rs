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
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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

    /// Fills it.
    pub(super) fn render(&self, context: &Value) -> Result<Rendered, RenderError> {
        let scope = Scope::over(context);
        let mut warnings = Vec::new();
        let path = self.path(scope, &mut warnings)?;
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, expression) in &self.headers {
            let mut trail = Trail::at(&format!("header {name}"));
            if let Some(value) = expression.text(scope, &mut trail)? {
                if value.chars().any(|c| c.is_control() && c != '\t') {
                    return Err(trail.wrong("a control character, which a header cannot carry"));
                }
                headers.push((name.clone(), value));
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
