use std::collections::HashSet;

use quick_xml::events::attributes::AttrError;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

use crate::mapping::ReadError;

/// Elements nested deeper are refused.
const DEEPEST: usize = 200;

/// Reads a whole XML document: an object whose one member is the root element.
///
/// Elements whose local name is in `lists` are lists even when there is one. An element without content that says
/// `nil` of itself is null: `true` or `1`, under any prefix of the namespace of XML Schema instances, or, beside a
/// `type` at most, under none that is known.
///
/// # Errors
/// [`ReadError`] when the text is not well formed, is cut short, is nested deeper than 200 elements, or has a
/// doctype or an entity other than the five of XML.
pub fn read(text: &str, lists: &[String]) -> Result<Value, ReadError> {
    let root = parse(text, Naming::Local)?;
    let mut document = Map::new();
    let name = root.name.clone();
    attach(&mut document, name, root.into_value(lists), lists);
    Ok(Value::Object(document))
}

/// The document written one way only, so that two texts can be compared: no white space around text, attributes
/// by name, no comments. Prefixes stay as written. A SOAP envelope stands for the one element in its body.
///
/// # Errors
/// As [`read`].
pub fn canonical(text: &str) -> Result<String, ReadError> {
    let mut root = parse(text, Naming::Written)?;
    if root.local() == "Envelope" {
        let body = root.children.into_iter().find(|child| child.local() == "Body");
        let inner = body.and_then(|body| body.children.into_iter().next());
        root = inner.ok_or_else(|| ReadError { reason: "a SOAP envelope without a body element".into() })?;
    }
    let mut out = String::new();
    root.write(&mut out, 0);
    Ok(out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// Names without prefix, namespace declarations left out.
    Local,
    /// Names as they stand.
    Written,
}

/// Every version of the namespace in which `nil` says that an element has no value.
const INSTANCE: &[&str] = &[
    "http://www.w3.org/2001/XMLSchema-instance",
    "http://www.w3.org/2000/10/XMLSchema-instance",
    "http://www.w3.org/1999/XMLSchema-instance",
];

struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
    /// The prefixes that it declares, each with whether it stands for [`INSTANCE`].
    prefixes: Vec<(String, bool)>,
    /// It says that it has no value.
    is_nil: bool,
}

impl Element {
    fn local(&self) -> &str {
        local(&self.name)
    }

    fn into_value(self, lists: &[String]) -> Value {
        let text = self.text.trim();
        if self.is_nil && self.children.is_empty() && text.is_empty() {
            return Value::Null;
        }
        if self.attributes.is_empty() && self.children.is_empty() {
            return Value::String(text.to_owned());
        }
        let mut members = Map::new();
        for (name, value) in self.attributes {
            members.entry(format!("@{name}")).or_insert(Value::String(value));
        }
        if !text.is_empty() {
            members.insert("#text".into(), Value::String(text.to_owned()));
        }
        for child in self.children {
            let name = child.name.clone();
            attach(&mut members, name, child.into_value(lists), lists);
        }
        Value::Object(members)
    }

    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        let mut attributes: Vec<_> = self.attributes.iter().collect();
        attributes.sort();
        out.push_str(&indent);
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in attributes {
            out.push_str(&format!(" {name}={value:?}"));
        }
        out.push('>');
        out.push_str(self.text.trim());
        out.push('\n');
        for child in &self.children {
            child.write(out, depth + 1);
        }
    }
}

fn attach(members: &mut Map<String, Value>, name: String, value: Value, lists: &[String]) {
    match members.get_mut(&name) {
        None => {
            let value = if lists.contains(&name) { Value::Array(vec![value]) } else { value };
            members.insert(name, value);
        }
        Some(Value::Array(list)) => list.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

fn local(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

fn parse(text: &str, naming: Naming) -> Result<Element, ReadError> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|error| malformed(&error, text, at))?;
        match event {
            Event::Start(start) => {
                refuse_second_root(&open, root.as_ref())?;
                if open.len() == DEEPEST {
                    return Err(ReadError { reason: format!("XML nested deeper than {DEEPEST} elements") });
                }
                let begun = element(&start, naming, &open);
                open.push(begun.map_err(|error| malformed(&error, text, at))?);
            }
            Event::Empty(start) => {
                refuse_second_root(&open, root.as_ref())?;
                let done = element(&start, naming, &open).map_err(|error| malformed(&error, text, at))?;
                close(done, &mut open, &mut root);
            }
            Event::End(_) => {
                if let Some(done) = open.pop() {
                    close(done, &mut open, &mut root);
                }
            }
            Event::Text(piece) => append(&mut open, &piece.xml10_content())?,
            Event::CData(piece) => append(&mut open, &piece.xml10_content())?,
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| malformed(&error, text, at))?;
                if let Some(character) = character {
                    append(&mut open, character.encode_utf8(&mut [0; 4]))?;
                } else if let Some(known) = quick_xml::escape::resolve_xml_entity(&reference) {
                    append(&mut open, known)?;
                } else {
                    return Err(ReadError {
                        reason: "XML with an entity of its own, which is refused".into(),
                    });
                }
            }
            Event::DocType(_) => {
                return Err(ReadError { reason: "XML with a doctype, which is refused".into() });
            }
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    if !open.is_empty() {
        return Err(ReadError { reason: format!("XML that is cut short: {} elements are open", open.len()) });
    }
    root.ok_or_else(|| ReadError { reason: "not XML: expected an element".into() })
}

fn refuse_second_root(open: &[Element], root: Option<&Element>) -> Result<(), ReadError> {
    if open.is_empty() && root.is_some() {
        return Err(ReadError { reason: "XML with more than one root element".into() });
    }
    Ok(())
}

fn close(done: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(done),
        None => *root = Some(done),
    }
}

fn append(open: &mut [Element], text: &str) -> Result<(), ReadError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(ReadError { reason: "not XML: text outside the root element".into() }),
    }
    Ok(())
}

fn element(start: &BytesStart<'_>, naming: Naming, open: &[Element]) -> Result<Element, quick_xml::Error> {
    let written = start.name();
    let name = match naming {
        Naming::Local => local(written.as_ref()),
        Naming::Written => written.as_ref(),
    };
    let mut attributes: Vec<(String, String)> = Vec::new();
    let mut prefixes: Vec<(String, bool)> = Vec::new();
    let mut nil = None;
    // The reader's own check compares each with every one before it.
    let mut names = HashSet::new();
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute?;
        if !names.insert(attribute.key) {
            return Err(AttrError::Duplicated(0, 0).into());
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0)?.into_owned();
        let key = attribute.key.as_ref();
        if let Some(prefix) = key.strip_prefix("xmlns:") {
            prefixes.push((prefix.to_owned(), INSTANCE.contains(&value.trim())));
        }
        if local(key) == "nil" && matches!(value.trim(), "true" | "1") {
            nil = Some(key.to_owned());
        }
        match naming {
            Naming::Written => attributes.push((key.to_owned(), value)),
            Naming::Local if key == "xmlns" || key.starts_with("xmlns:") => {}
            Naming::Local => attributes.push((local(key).to_owned(), value)),
        }
    }
    let is_instance = |key: &str| {
        let prefix = key.split_once(':').map(|(prefix, _)| prefix)?;
        let mut declared = open.iter().flat_map(|element| &element.prefixes).chain(&prefixes);
        declared.rfind(|(name, _)| name == prefix).map(|(_, is_instance)| *is_instance)
    };
    // Without its namespace, as Rails writes it and as a part cut out of a document has it, it stands nearly alone.
    let is_bare = || attributes.iter().all(|(name, _)| name == "nil" || name == "type");
    let is_nil = nil.is_some_and(|key| match is_instance(&key) {
        // A prefix that nobody declared was declared by what this part was cut out of.
        None if key.contains(':') => true,
        known => known == Some(true) || is_bare(),
    });
    let (name, children, text) = (name.to_owned(), Vec::new(), String::new());
    Ok(Element { name, attributes, children, text, prefixes, is_nil })
}

fn malformed(error: &dyn std::fmt::Display, text: &str, at: u64) -> ReadError {
    let at = usize::try_from(at).unwrap_or(text.len()).min(text.len());
    let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    ReadError { reason: format!("XML that is not well formed at line {line}: {error}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(text: &str) -> String {
        read(text, &[]).expect_err("refused").reason
    }

    #[test]
    fn attributes_text_and_repetition_have_their_places() {
        let text = r#"<?xml version="1.0"?><!-- c -->
            <s:Envelope xmlns:s="urn:s" xmlns="urn:x"><s:Body s:mode="m">
              <job id="7" s:id="8">Closed</job><line> one </line><line>two</line>
              <empty/><gone s:nil="true"/><mixed>before<b/>after</mixed>
            </s:Body></s:Envelope>"#;
        assert_eq!(
            read(text, &[]),
            Ok(json!({"Envelope": {"Body": {
                "@mode": "m", "job": {"@id": "7", "#text": "Closed"}, "line": ["one", "two"],
                "empty": "", "gone": null, "mixed": {"#text": "beforeafter", "b": ""}}}}))
        );
    }

    #[test]
    fn nil_is_nothing_in_every_spelling() {
        let xsi = "http://www.w3.org/2001/XMLSchema-instance";
        for nil in [
            "<d xsi:nil='true'/>",
            "<d xsi:nil=\"1\"></d>",
            "<d xsi:nil=' true '> <!-- none --> </d>",
            "<d xsi:nil='true' xsi:type='dateTime' format='iso'/>",
            "<d xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:nil='true'/>",
            "<d xmlns:q='http://www.w3.org/1999/XMLSchema-instance' q:nil='1' id='7'/>",
            "<d nil='true' type='datetime'/>",
            "<d p:nil='true'/>",
        ] {
            let text = format!("<R xmlns:xsi='{xsi}'>{nil}</R>");
            assert_eq!(read(&text, &[]), Ok(json!({"R": {"d": null}})), "{nil}");
        }
        let other = read("<R xmlns:s='urn:s'><d s:nil='true' id='7'/></R>", &[]);
        assert_eq!(other, Ok(json!({"R": {"d": {"@nil": "true", "@id": "7"}}})));
        for (value, read_as) in [("false", json!({"@nil": "false"})), ("0", json!({"@nil": "0"}))] {
            let text = format!("<R xmlns:xsi='{xsi}'><d xsi:nil='{value}'/></R>");
            assert_eq!(read(&text, &[]), Ok(json!({"R": {"d": read_as}})));
        }
        let inner = format!(
            "<R xmlns:p='{xsi}'><a xmlns:p='urn:other'><d p:nil='1' id='7'/></a><d p:nil='1' id='7'/></R>"
        );
        let document = read(&inner, &[]).expect("readable");
        assert_eq!(document["R"], json!({"a": {"d": {"@nil": "1", "@id": "7"}}, "d": null}));
        let full = format!("<R xmlns:xsi='{xsi}'><d xsi:nil='true'>7</d></R>");
        assert_eq!(read(&full, &[]), Ok(json!({"R": {"d": {"@nil": "true", "#text": "7"}}})));
    }

    #[test]
    fn an_element_named_a_list_is_one_even_when_alone() {
        let lists = ["a".to_owned()];
        assert_eq!(read("<r><a>1</a></r>", &lists), Ok(json!({"r": {"a": ["1"]}})));
        assert_eq!(read("<r><a>1</a><b/><a>2</a></r>", &lists), Ok(json!({"r": {"a": ["1", "2"], "b": ""}})));
        assert_eq!(read("<a/>", &lists), Ok(json!({"a": [""]})));
    }

    #[test]
    fn references_and_cdata_are_text() {
        let text = "\u{feff}<a x='&lt;&#65;'>&amp;&#xe9;<![CDATA[<b>&amp;]]></a>";
        assert_eq!(read(text, &[]), Ok(json!({"a": {"@x": "<A", "#text": "&é<b>&amp;"}})));
    }

    #[test]
    fn doctypes_and_entities_are_refused() {
        assert!(reason("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>").contains("doctype"));
        assert!(reason("<a>&x;</a>").contains("entity"));
        assert!(reason("<a b='&x;'/>").contains("not well formed"));
        assert!(reason("<!DOCTYPE html><html/>").contains("doctype"));
    }

    #[test]
    fn broken_xml_is_refused_with_its_reason() {
        assert!(reason("").contains("expected an element"));
        assert!(reason("<a><b></a>").contains("not well formed at line 1"));
        assert!(reason("<a><b>text").contains("cut short"));
        assert!(reason("<a").contains("not well formed"));
        assert!(reason("<a/><b/>").contains("more than one root"));
        assert!(reason("text").contains("outside the root"));
        assert!(reason("<a>&#0;</a>").contains("not well formed"));
        assert!(reason("<a x='1' x='2'/>").contains("not well formed"));
    }

    #[test]
    fn nesting_of_a_thousand_elements_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(1000), "</a>".repeat(1000));
        assert!(reason(&deep).contains("deeper than 200"));
        let fine = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
        assert!(read(&fine, &[]).is_ok());
    }

    #[test]
    fn canonical_texts_are_equal_whatever_the_white_space() {
        let one = "<w:a xmlns:w='u' b='1' a='2'><c> x </c></w:a>";
        let two = "<?xml version='1.0'?>\n<w:a a=\"2\" xmlns:w=\"u\" b=\"1\">\n  <c>x</c>\n</w:a>\n";
        assert_eq!(canonical(one), canonical(two));
        let wrapped = format!("<s:Envelope xmlns:s='e'><s:Header/><s:Body>{one}</s:Body></s:Envelope>");
        assert_eq!(canonical(&wrapped), canonical(one));
        assert_ne!(canonical("<a><b/><c/></a>"), canonical("<a><c/><b/></a>"));
    }
}
