//! Values that a mapping builds: from paths, literals and the forms around them.

use serde_json::{Map, Value};

use super::RenderError;
use super::check::Check;
use super::escape::{Form, form};
use super::modifier::{self, Modifiers};
use super::path::Path;
use super::place::{self, Over, Place};
use super::scope::{Scope, Trail, is_empty, text_of};
use super::template::Template;
use super::test::Test;
use super::yaml::{Entry, Node, Yaml};

/// One expression, or a target built of expressions.
pub(super) struct Expression {
    kind: Kind,
    modifiers: Option<Box<Modifiers>>,
}

enum Kind {
    Literal(Value),
    Path(Path),
    Header(String),
    First(Vec<Expression>),
    Join { parts: Vec<Expression>, with: String },
    When { test: Box<Test>, then: Box<Expression>, otherwise: Option<Box<Expression>> },
    Template(Template),
    Each { path: Path, item: Box<Expression> },
    Object(Vec<(String, Expression)>),
    List(Vec<Expression>),
}

const HEADS: &[&str] = &["from", "first", "join", "each", "when", "literal", "object", "template"];

impl Expression {
    /// Compiles an expression or a target. A mapping with one of the head keys is an expression, any other is
    /// an object of the target.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node, place: Place) -> Option<Self> {
        match &node.value {
            Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) => Some(Self::plain(Kind::Literal(node.to_json()))),
            Yaml::Text(text) => Self::scalar(check, node.line, text, place),
            Yaml::List(items) => {
                let items: Vec<_> = items.iter().map(|item| Self::compile(check, item, place)).collect();
                Some(Self::plain(Kind::List(items.into_iter().collect::<Option<_>>()?)))
            }
            Yaml::Map(entries) => {
                let mut heads: Vec<&str> =
                    HEADS.iter().copied().filter(|head| node.get(head).is_some()).collect();
                if place.over == Over::Answer && node.get("header").is_some() {
                    heads.push("header");
                }
                match heads.as_slice() {
                    [] => Self::object(check, entries, place),
                    [head] => Self::headed(check, node, head, place),
                    more => {
                        let found = format!("{} in one expression", more.join(" and "));
                        let hint = "for an object with members of these names write object: {…}";
                        check.hinted(node.line, found, "one of them", hint);
                        None
                    }
                }
            }
        }
    }

    /// A member of the object that it is; `None` where it is none, or has no such member.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        let Kind::Object(members) = &self.kind else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, member)| member)
    }

    fn plain(kind: Kind) -> Self {
        Self { kind, modifiers: None }
    }

    fn scalar(check: &mut Check<'_>, line: usize, text: &str, place: Place) -> Option<Self> {
        let item = text == "@" || text.starts_with("@.") || text.starts_with("@[");
        if item || text.starts_with('$') && !text.starts_with("${") {
            return place::path(check, line, text, place).map(|path| Self::plain(Kind::Path(path)));
        }
        Some(Self::plain(Kind::Literal(Value::String(check.fill(line, text)))))
    }

    fn object(check: &mut Check<'_>, entries: &[Entry], place: Place) -> Option<Self> {
        let members: Vec<_> = entries
            .iter()
            .map(|entry| Some((entry.key.clone(), Self::compile(check, &entry.value, place)?)))
            .collect();
        Some(Self::plain(Kind::Object(members.into_iter().collect::<Option<_>>()?)))
    }

    fn headed(check: &mut Check<'_>, node: &Node, head: &str, place: Place) -> Option<Self> {
        let (companions, modified): (&[&str], bool) = match head {
            "join" => (&["with"], true),
            "each" => (&["as"], false),
            "when" => (&["then", "else"], true),
            "template" => (&["escape"], true),
            "literal" | "object" => (&[], false),
            _ => (&[], true),
        };
        let mut known = vec![head];
        known.extend(companions);
        if modified {
            known.extend(modifier::KEYS);
        }
        let before = check.findings.len();
        let what = format!("an expression with {head}");
        let fields = check.fields(node, &what, &known)?;
        for finding in &mut check.findings[before..] {
            let object = format!("for an object with a member {head} write object: {{…}}");
            finding.hint.get_or_insert(object);
        }
        let kind = Self::kind(check, node, head, place);
        let modifiers = if modified { Modifiers::compile(check, fields, place) } else { None };
        let mut expression = Self { kind: kind?, modifiers };
        let mut sources = Vec::new();
        expression.sources(&mut sources);
        let personal = sources.into_iter().any(place::is_personal);
        if let Some(modifiers) = &mut expression.modifiers {
            modifiers.mark(personal);
        }
        Some(expression)
    }

    fn kind(check: &mut Check<'_>, node: &Node, head: &str, place: Place) -> Option<Kind> {
        let value = node.get(head)?;
        match head {
            "from" => {
                let text = check_path_text(check, value)?;
                place::path(check, value.line, &text, place).map(Kind::Path)
            }
            "header" => check.text(value, "header").map(Kind::Header),
            "first" => Self::list(check, value, "first", place).map(Kind::First),
            "join" => {
                let parts = Self::list(check, value, "join", place)?;
                if let Yaml::List(items) = &value.value {
                    marked(check, value.line, items);
                }
                let with = node.get("with").and_then(|with| check.text(with, "with")).unwrap_or_default();
                Some(Kind::Join { parts, with })
            }
            "each" => {
                let text = check_path_text(check, value)?;
                let path = place::path(check, value.line, &text, place);
                let Some(item) = node.get("as") else {
                    check.error(node.line, "each without as", "as: what each item becomes");
                    return None;
                };
                let item = Self::compile(check, item, place.in_list())?;
                Some(Kind::Each { path: path?, item: Box::new(item) })
            }
            "when" => {
                let test = Test::compile(check, value, place);
                let Some(then) = node.get("then") else {
                    check.error(node.line, "when without then", "then: a value");
                    return None;
                };
                let then = Self::compile(check, then, place);
                let otherwise = node.get("else").map(|node| Self::compile(check, node, place));
                let otherwise = match otherwise {
                    Some(compiled) => Some(Box::new(compiled?)),
                    None => None,
                };
                Some(Kind::When { test: Box::new(test?), then: Box::new(then?), otherwise })
            }
            "template" => {
                let Some(text) = value.as_text() else {
                    check.error(value.line, value.shown(), "template: a text with paths in braces");
                    return None;
                };
                let template = Template::compile(check, value.line, text, place)?;
                if place.link {
                    return Some(Kind::Template(template.address()));
                }
                let form = escape(check, node, value.line, &template)?;
                Some(Kind::Template(template.escaped(form)))
            }
            "object" => match &value.value {
                Yaml::Map(entries) => Self::object(check, entries, place).map(|object| object.kind),
                Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::List(_) => {
                    check.error(value.line, value.shown(), "object: a mapping");
                    None
                }
            },
            _ => Some(Kind::Literal(literal(check, value))),
        }
    }

    fn list(check: &mut Check<'_>, node: &Node, what: &str, place: Place) -> Option<Vec<Self>> {
        let Yaml::List(items) = &node.value else {
            check.error(node.line, node.shown(), format!("{what}: a list of expressions"));
            return None;
        };
        let items: Vec<_> = items.iter().map(|item| Self::compile(check, item, place)).collect();
        items.into_iter().collect()
    }

    /// The members, when it is an object of the target.
    pub(super) fn members(&self) -> Option<&[(String, Expression)]> {
        match &self.kind {
            Kind::Object(members) => Some(members),
            Kind::Literal(_)
            | Kind::Path(_)
            | Kind::Header(_)
            | Kind::First(_)
            | Kind::Join { .. }
            | Kind::When { .. }
            | Kind::Template(_)
            | Kind::Each { .. }
            | Kind::List(_) => None,
        }
    }

    /// The expressions directly below it that stand where it stands in the target.
    pub(super) fn targets(&self) -> Vec<&Expression> {
        match &self.kind {
            Kind::When { then, otherwise, .. } => {
                std::iter::once(then.as_ref()).chain(otherwise.as_deref()).collect()
            }
            Kind::Each { item, .. } => vec![item],
            Kind::List(items) => items.iter().collect(),
            Kind::Literal(_)
            | Kind::Path(_)
            | Kind::Header(_)
            | Kind::First(_)
            | Kind::Join { .. }
            | Kind::Template(_)
            | Kind::Object(_) => Vec::new(),
        }
    }

    /// The value; `None` when it selects nothing, so that its member is left out.
    ///
    /// A null that a path selects counts as nothing. An object whose members all came to nothing is left out
    /// too, unless it was written without members; so is a list that came to nothing.
    pub(super) fn evaluate(&self, scope: Scope<'_>, trail: &mut Trail) -> Result<Option<Value>, RenderError> {
        let value = self.raw(scope, trail)?;
        let Some(modifiers) = &self.modifiers else { return Ok(value) };
        let value = modifiers.apply(value, scope, trail)?;
        if modifiers.required() && value.as_ref().is_none_or(is_empty) {
            return Err(trail.wrong(self.lack()));
        }
        Ok(value)
    }

    /// The value as text; lists and objects have none.
    pub(super) fn text(&self, scope: Scope<'_>, trail: &mut Trail) -> Result<Option<String>, RenderError> {
        let value = self.evaluate(scope, trail)?;
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match text_of(&value) {
                Some(text) => Ok(Some(text.into_owned())),
                None => Err(trail.wrong("a list or an object was found where one value is needed")),
            },
        }
    }

    /// Whether the value must be there.
    pub(super) fn is_required(&self) -> bool {
        self.modifiers.as_ref().is_some_and(|modifiers| modifiers.required())
    }

    /// The value as one text or several: every hit of a path, every item of a list, and what stands in one text between
    /// separators. Where the mapping names none, they are a comma and a semicolon.
    pub(super) fn texts(&self, scope: Scope<'_>, trail: &mut Trail) -> Result<Vec<String>, RenderError> {
        // A descent finds what stands anywhere: its first hit is meant.
        let value = if let Kind::Path(path) = &self.kind
            && !path.text().contains("..")
        {
            Some(Value::Array(scope.each(path).into_iter().cloned().collect()))
        } else {
            self.raw(scope, trail)?
        };
        let splits = self.modifiers.as_ref().is_some_and(|modifiers| modifiers.splits());
        let value = if splits { value } else { value.map(modifier::separated) };
        let value = match &self.modifiers {
            Some(modifiers) => modifiers.apply(value, scope, trail)?,
            None => value,
        };
        if self.is_required() && value.as_ref().is_none_or(is_empty) {
            return Err(trail.wrong(self.lack()));
        }
        let mut texts = Vec::new();
        let items = match value {
            Some(Value::Array(items)) => items,
            one => one.into_iter().collect(),
        };
        for item in items {
            match text_of(&item) {
                Some(text) => texts.push(text.trim().to_owned()),
                None if is_empty(&item) => {}
                None => return Err(trail.wrong("a list or an object was found where a text is needed")),
            }
        }
        texts.retain(|text| !text.is_empty());
        Ok(texts)
    }

    fn raw(&self, scope: Scope<'_>, trail: &mut Trail) -> Result<Option<Value>, RenderError> {
        match &self.kind {
            Kind::Literal(value) => Ok(Some(value.clone())),
            Kind::Path(path) => Ok(scope.first(path).cloned()),
            Kind::Header(name) => Ok(scope
                .answer
                .and_then(|answer| answer.header(name))
                .map(|value| Value::String(value.into()))),
            Kind::First(options) => {
                for option in options {
                    if let Some(value) = option.evaluate(scope, trail)?
                        && !is_empty(&value)
                    {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
            Kind::Join { parts, with } => join(parts, with, scope, trail),
            Kind::When { test, then, otherwise } => match otherwise {
                _ if test.holds(scope) => then.evaluate(scope, trail),
                Some(otherwise) => otherwise.evaluate(scope, trail),
                None => Ok(None),
            },
            Kind::Template(template) => {
                let text = template.fill(scope, trail)?;
                Ok(Some(Value::String(text)).filter(|text| !is_empty(text)))
            }
            Kind::Each { path, item } => {
                let mut items = Vec::new();
                let is_within_personal = trail.personal;
                trail.personal |= place::is_personal(path.text());
                for (index, hit) in scope.each(path).into_iter().enumerate() {
                    let place = (index + 1).to_string();
                    items.extend(trail.within(&place, |trail| item.evaluate(scope.at(hit), trail))?);
                }
                trail.personal = is_within_personal;
                Ok(Some(Value::Array(items)).filter(|list| !is_empty(list)))
            }
            Kind::Object(members) => {
                let mut object = Map::new();
                for (name, member) in members {
                    if let Some(value) = trail.within(name, |trail| member.evaluate(scope, trail))? {
                        object.insert(name.clone(), value);
                    }
                }
                Ok((members.is_empty() || !object.is_empty()).then_some(Value::Object(object)))
            }
            Kind::List(items) => {
                let mut list = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let place = (index + 1).to_string();
                    list.extend(trail.within(&place, |trail| item.evaluate(scope, trail))?);
                }
                Ok((items.is_empty() || !list.is_empty()).then_some(Value::Array(list)))
            }
        }
    }

    /// What a required value lacks.
    fn lack(&self) -> String {
        let mut sources = Vec::new();
        self.sources(&mut sources);
        match sources.as_slice() {
            [] => "absent or empty".into(),
            [one] => format!("{one} is absent or empty"),
            more => format!("{} are all absent or empty", more.join(" and ")),
        }
    }

    pub(super) fn sources<'e>(&'e self, sources: &mut Vec<&'e str>) {
        match &self.kind {
            Kind::Path(path) => sources.push(path.text()),
            Kind::Header(name) => sources.push(name),
            Kind::First(parts) | Kind::Join { parts, .. } | Kind::List(parts) => {
                parts.iter().for_each(|part| part.sources(sources));
            }
            Kind::When { then, otherwise, .. } => {
                then.sources(sources);
                if let Some(otherwise) = otherwise {
                    otherwise.sources(sources);
                }
            }
            Kind::Template(template) => sources.extend(template.paths()),
            Kind::Each { path, .. } => sources.push(path.text()),
            Kind::Literal(_) | Kind::Object(_) => {}
        }
    }
}

/// Joins what is there. A bare path gives all its hits, and a list all its items.
fn join(
    parts: &[Expression],
    with: &str,
    scope: Scope<'_>,
    trail: &mut Trail,
) -> Result<Option<Value>, RenderError> {
    let mut texts: Vec<String> = Vec::new();
    for part in parts {
        let value = match (&part.kind, &part.modifiers) {
            (Kind::Path(path), None) => Some(Value::Array(scope.each(path).into_iter().cloned().collect())),
            _ => part.evaluate(scope, trail)?,
        };
        let Some(value) = value else { continue };
        let items = if let Value::Array(items) = value { items } else { vec![value] };
        for item in items.iter().filter(|item| !is_empty(item)) {
            match text_of(item) {
                Some(text) => texts.push(text.into_owned()),
                None => return Err(trail.wrong("an object was found where a text is joined")),
            }
        }
    }
    Ok((!texts.is_empty()).then(|| Value::String(texts.join(with))))
}

/// Warns of a document that is joined out of its marks and of what is put between them as it is.
fn marked(check: &mut Check<'_>, line: usize, parts: &[Node]) {
    let literal = |part: &Node| {
        part.as_text().filter(|text| !text.starts_with(['$', '@']) && !text.contains("${")).map(str::to_owned)
    };
    let shown: String =
        parts.iter().map(|part| literal(part).unwrap_or_else(|| "\u{1}".to_owned())).collect();
    if form(&shown) != Form::Plain && shown.contains('\u{1}') {
        let expected = "a template, which escapes what is filled in";
        check.warn(line, "a join that makes a document out of pieces", expected, None);
    }
}

/// What the text of a template is: as `escape` says, else as it looks.
fn escape(check: &mut Check<'_>, node: &Node, line: usize, template: &Template) -> Option<Form> {
    if let Some(said) = node.get("escape") {
        let words = [("xml", Form::Xml), ("json", Form::Json), ("none", Form::Plain)];
        return check.word(said, "escape", &words);
    }
    let form = template.look();
    let word = match form {
        Form::Plain => return Some(form),
        Form::Xml => "xml",
        Form::Json => "json",
    };
    if template.paths().next().is_some() {
        let found = format!("a template that looks like {} and does not say so", word.to_uppercase());
        let expected = format!("escape: {word} beside it, or escape: none");
        let hint = format!(
            "it is taken for {word}: what is filled in is escaped, so that it adds nothing to the document"
        );
        check.warn(line, found, expected, Some(hint));
    }
    Some(form)
}

fn check_path_text(check: &mut Check<'_>, node: &Node) -> Option<String> {
    let text = node.as_text().map(str::to_owned);
    if text.is_none() {
        check.error(node.line, node.shown(), "a path that starts with $ or, within a list, with @");
    }
    text
}

fn literal(check: &mut Check<'_>, node: &Node) -> Value {
    match &node.value {
        Yaml::Text(text) => Value::String(check.fill(node.line, text)),
        Yaml::List(items) => items.iter().map(|item| literal(check, item)).collect(),
        Yaml::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), literal(check, &entry.value))).collect()
        }
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) => node.to_json(),
    }
}

#[cfg(test)]
mod tests;
