use std::borrow::Cow;

use quick_xml::Writer;
use quick_xml::escape::partial_escape;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use serde_json::Value;

/// XML as text, without a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The root element.
    pub text: String,
    /// Characters left out because XML 1.0 cannot carry them, not even escaped.
    pub left_out: usize,
}

/// A value that has no form in XML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Unwritable {
    /// The element or attribute, as a dotted path from the root.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// Whether a text can name an element or attribute, with at most one prefix.
pub fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    match text.split_once(':') {
        Some((prefix, local)) => part(prefix) && part(local),
        None => part(text),
    }
}

/// Writes one root element. Members keep their order, names stand as they are written (with prefixes and
/// `@xmlns` declarations), a list repeats its element, null is an empty element.
///
/// # Errors
/// [`Unwritable`] for a name that is none in XML, an attribute that is not a scalar, or a root that is a list.
pub fn write(name: &str, value: &Value) -> Result<Written, Unwritable> {
    let mut out = Out { writer: Writer::new(Vec::with_capacity(512)), path: Vec::new(), left_out: 0 };
    if value.is_array() {
        return Err(out.wrong(name, "a list: expected one root element"));
    }
    out.element(name, value)?;
    let left_out = out.left_out;
    let text = String::from_utf8_lossy(&out.writer.into_inner()).into_owned();
    Ok(Written { text, left_out })
}

struct Out<'v> {
    writer: Writer<Vec<u8>>,
    path: Vec<&'v str>,
    left_out: usize,
}

impl<'v> Out<'v> {
    fn wrong(&self, name: &str, reason: &str) -> Unwritable {
        let path: Vec<&str> = self.path.iter().copied().chain([name]).collect();
        Unwritable { path: path.join("."), reason: reason.to_owned() }
    }

    fn put(&mut self, event: Event<'_>, name: &str) -> Result<(), Unwritable> {
        self.writer.write_event(event).map_err(|error| self.wrong(name, &error.to_string()))
    }

    fn element(&mut self, name: &'v str, value: &'v Value) -> Result<(), Unwritable> {
        if let Value::Array(items) = value {
            return items.iter().try_for_each(|item| self.element(name, item));
        }
        if !is_name(name) {
            return Err(self.wrong(name, "not the name of an XML element"));
        }
        let mut start = BytesStart::new(name);
        let Value::Object(members) = value else {
            let text = self.clean(scalar(value));
            if text.is_empty() {
                return self.put(Event::Empty(start), name);
            }
            self.put(Event::Start(start), name)?;
            self.text(&text, name)?;
            return self.put(Event::End(BytesEnd::new(name)), name);
        };
        self.path.push(name);
        for (key, value) in members {
            let Some(attribute) = key.strip_prefix('@') else { continue };
            if !is_name(attribute) {
                return Err(self.wrong(key, "not the name of an XML attribute"));
            }
            if value.is_array() || value.is_object() {
                return Err(self.wrong(key, "a list or an object: expected one value for an attribute"));
            }
            let text = self.clean(scalar(value));
            start.push_attribute((attribute, text.as_ref()));
        }
        if members.keys().all(|key| key.starts_with('@')) {
            self.path.pop();
            return self.put(Event::Empty(start), name);
        }
        self.put(Event::Start(start), name)?;
        for (key, value) in members {
            if key == "#text" {
                if value.is_array() || value.is_object() {
                    return Err(self.wrong(key, "a list or an object: expected text"));
                }
                let text = self.clean(scalar(value));
                self.text(&text, key)?;
            } else if !key.starts_with('@') {
                self.element(key, value)?;
            }
        }
        self.path.pop();
        self.put(Event::End(BytesEnd::new(name)), name)
    }

    fn text(&mut self, text: &str, name: &str) -> Result<(), Unwritable> {
        self.put(Event::Text(BytesText::from_escaped(partial_escape(text))), name)
    }

    fn clean<'t>(&mut self, text: Cow<'t, str>) -> Cow<'t, str> {
        let out = text.chars().filter(|c| !is_char(*c)).count();
        if out == 0 {
            return text;
        }
        self.left_out += out;
        Cow::Owned(text.chars().filter(|c| is_char(*c)).collect())
    }
}

/// `Char` of XML 1.0, section 2.2.
pub(crate) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn scalar(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_attributes_prefixes_and_lists_are_kept() {
        let value = json!({"@xmlns:w": "urn:w", "w:b": 1, "a": {"@id": "x\"<\n", "#text": "t & <u>"},
                           "line": ["one", {"@n": 2}], "none": null, "empty": "", "yes": true});
        let written = write("w:root", &value).expect("writable");
        assert_eq!(
            written.text,
            "<w:root xmlns:w=\"urn:w\"><w:b>1</w:b><a id=\"x&quot;&lt;&#10;\">t &amp; &lt;u&gt;</a>\
             <line>one</line><line n=\"2\"/><none/><empty/><yes>true</yes></w:root>"
        );
        assert_eq!(written.left_out, 0);
    }

    #[test]
    fn characters_that_xml_cannot_carry_are_left_out_and_counted() {
        let written = write("a", &json!({"@b": "x\u{1}", "c": "\u{0}y\tz\u{fffe}"})).expect("writable");
        assert_eq!(written.text, "<a b=\"x\"><c>y\tz</c></a>");
        assert_eq!(written.left_out, 3);
    }

    #[test]
    fn what_has_no_form_in_xml_is_named_by_its_path() {
        let wrong = |value| write("r", &value).expect_err("refused").to_string();
        assert_eq!(wrong(json!({"a": {"two words": 1}})), "r.a.two words: not the name of an XML element");
        assert!(wrong(json!({"a": {"@b": [1]}})).starts_with("r.a.@b: a list"));
        assert!(wrong(json!({"a": {"#text": {}}})).starts_with("r.a.#text: a list"));
        assert!(wrong(json!([1, 2])).starts_with("r: a list"));
    }

    #[test]
    fn names_are_told_from_other_texts() {
        assert!(["a", "w:a", "_a-1.b", "é"].iter().all(|name| is_name(name)));
        assert!(!["", "1a", "a b", "a:b:c", ":a", "a:", "<"].iter().any(|name| is_name(name)));
    }
}
