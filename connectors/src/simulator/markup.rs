//! Just enough XML for a simulator: a reader of its own, so that a slip in the router's is noticed here.

use std::fmt::Write;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

/// One element; prefixes are dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

/// Nesting beyond this is refused.
const DEEPEST: usize = 64;

impl Element {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) if open.len() < DEEPEST => open.push(Self::named(&start)),
                Event::Start(_) => return Err(format!("nested more than {DEEPEST} deep")),
                Event::Empty(start) => close(Self::named(&start), &mut open, &mut root),
                Event::End(_) => {
                    if let Some(element) = open.pop() {
                        close(element, &mut open, &mut root);
                    }
                }
                Event::Text(text) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text.xml10_content());
                    }
                }
                Event::CData(data) => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&data);
                    }
                }
                Event::GeneralRef(reference) => {
                    let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
                    let Some(element) = open.last_mut() else { continue };
                    match character {
                        Some(character) => element.text.push(character),
                        None => match resolve_xml_entity(&reference) {
                            Some(text) => element.text.push_str(text),
                            None => return Err("an entity that is not one of XML's five".to_owned()),
                        },
                    }
                }
                Event::DocType(_) => return Err("a document type declaration is not allowed".to_owned()),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        if let Some(element) = open.last() {
            return Err(format!("element {} is not closed", element.name));
        }
        root.ok_or_else(|| "no element".to_owned())
    }

    /// The first element at this path below this one.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |at, name| at.children.iter().find(|child| child.name == *name))
    }

    /// The trimmed text of the first element at this path, where it is not empty.
    pub(super) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.find(path).map(|element| element.text.trim()).filter(|text| !text.is_empty())
    }

    fn named(start: &BytesStart<'_>) -> Self {
        Self { name: start.local_name().as_ref().to_owned(), ..Self::default() }
    }
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

/// Appends `<name>text</name>` with the text escaped.
pub(super) fn put(out: &mut String, name: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = write!(out, "<{name}>{}</{name}>", escape(text));
}

/// Text with XML's reserved characters escaped.
pub(super) fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_without_its_prefixes() {
        let root = Element::read("<a:r xmlns:a='u'><a:b>1 &lt; &#50;</a:b><b>x</b><c/></a:r>").unwrap();
        assert_eq!(root.name, "r");
        assert_eq!(root.text_at(&["b"]), Some("1 < 2"));
        assert_eq!(root.text_at(&["c"]), None);
        assert_eq!(root.children.len(), 3);
    }

    #[test]
    fn what_is_not_a_plain_document_is_refused() {
        assert!(Element::read("<!DOCTYPE r><r/>").is_err());
        assert!(Element::read("<r>&other;</r>").is_err());
        assert!(Element::read("<r><b></r>").is_err());
        assert!(Element::read("<r>").is_err());
        assert!(Element::read("text").is_err());
        assert!(Element::read(&"<a>".repeat(100)).is_err());
    }

    #[test]
    fn text_is_written_escaped() {
        let mut out = String::new();
        put(&mut out, "a", "<&>");
        assert_eq!(out, "<a>&lt;&amp;&gt;</a>");
    }
}
