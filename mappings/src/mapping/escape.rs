//! Documents that are written as a text: what is put into them stays a text of theirs.

use std::borrow::Cow;

use percent_encoding::utf8_percent_encode;

use crate::xml;

use super::render::SEGMENT;
use super::scope::Trail;

/// What the text of a template is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Words.
    Plain,
    /// Markup: XML or HTML.
    Xml,
    /// A JSON object or list.
    Json,
}

/// Where in a template a path stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inset {
    /// Among words.
    Plain,
    /// Between the tags of markup.
    Content,
    /// Within a tag.
    Attribute,
    /// Within `<![CDATA[`.
    CData,
    /// Between the quotes of a JSON text.
    JsonText,
    /// In the place of a JSON value.
    JsonValue,
    /// A part of an address.
    Address,
    /// The link that an address starts with.
    Link,
}

/// What a text looks like, with a control character in the place of each path.
pub(super) fn form(text: &str) -> Form {
    let text = text.trim();
    let is_object = text.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('"'));
    let is_list = text.starts_with('[') && text.contains('"');
    if is_object && text.ends_with('}') && text.contains(':') || is_list && text.ends_with(']') {
        Form::Json
    } else if has_a_tag(text) {
        Form::Xml
    } else {
        Form::Plain
    }
}

/// `<name …>`, `</name`, `<!` or `<?`; not `a <b` and not `<someone@example.org>`.
fn has_a_tag(text: &str) -> bool {
    text.match_indices('<').any(|(at, _)| {
        let rest = &text[at + 1..];
        if rest.starts_with(['!', '?']) {
            return true;
        }
        let name_at = usize::from(rest.starts_with('/'));
        let name: String = rest[name_at..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
            .collect();
        let after = rest[name_at + name.len()..].chars().next();
        let ends = matches!(after, Some('>' | '/')) || after.is_some_and(char::is_whitespace);
        // An attribute, or the end of the tag, follows the name.
        let closes = rest.split_once('<').map_or(rest, |(tag, _)| tag);
        let closes =
            closes.contains('>') && (!after.is_some_and(char::is_whitespace) || closes.contains('='));
        xml::is_name(&name) && ends && closes
    })
}

impl Inset {
    /// The inset after this much of a document.
    pub(super) fn within(form: Form, before: &str) -> Self {
        match form {
            Form::Plain => Self::Plain,
            Form::Xml => {
                let is_open = |opens: &str, closes: &str| {
                    let opened = before.rfind(opens);
                    opened.is_some_and(|at| !before[at..].contains(closes))
                };
                if is_open("<![CDATA[", "]]>") {
                    Self::CData
                } else if is_open("<", ">") {
                    Self::Attribute
                } else {
                    Self::Content
                }
            }
            Form::Json => {
                let mut quoted = false;
                let mut chars = before.chars();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => quoted = !quoted,
                        '\\' if quoted => drop(chars.next()),
                        _ => {}
                    }
                }
                if quoted { Self::JsonText } else { Self::JsonValue }
            }
        }
    }

    /// A text as it is written there. What XML cannot carry is left out, with a warning.
    pub(super) fn write<'t>(self, text: &'t str, trail: &mut Trail) -> Cow<'t, str> {
        match self {
            Self::Plain | Self::Link | Self::JsonValue => Cow::Borrowed(text),
            Self::Content => Cow::Owned(markup(text, trail)),
            Self::Attribute => Cow::Owned(markup(text, trail).replace('"', "&quot;").replace('\'', "&apos;")),
            Self::CData => Cow::Owned(carried(text, trail).replace("]]>", "]]]]><![CDATA[>")),
            Self::JsonText => {
                let quoted = serde_json::Value::String(text.to_owned()).to_string();
                Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
            }
            Self::Address => Cow::Owned(utf8_percent_encode(text, SEGMENT).to_string()),
        }
    }
}

fn markup(text: &str, trail: &mut Trail) -> String {
    carried(text, trail).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn carried(text: &str, trail: &mut Trail) -> String {
    let carried: String = text.chars().filter(|c| xml::is_char(*c)).collect();
    let left_out = text.chars().count() - carried.chars().count();
    if left_out > 0 {
        trail.warn(&format!("{left_out} characters left out that XML cannot carry"));
    }
    carried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_looks_like_is_seen_in_its_marks() {
        for text in [
            "<Job>x</Job>",
            "<Job id=\"x\"/>",
            "<?xml version='1.0'?><a/>",
            "x</Text>",
            "<![CDATA[x]]>",
            "<p>x<br>",
        ] {
            assert_eq!(form(text), Form::Xml, "{text}");
        }
        for text in ["{\"a\": x}", " {\n \"a\": \"x\"}\n", "[\"x\", 1]", "[{\"a\": x}]"] {
            assert_eq!(form(text), Form::Json, "{text}");
        }
        for text in [
            "x <\u{1}>",
            "Missed x bin",
            "[x] x",
            "[x]",
            "a < b and c > d",
            "if a <b then c",
            "{x}",
            "<someone@example.org>",
            "x->y",
        ] {
            assert_eq!(form(text), Form::Plain, "{text}");
        }
    }

    #[test]
    fn a_text_is_written_by_where_it_stands() {
        let write = |form, before: &str, text: &str| {
            Inset::within(form, before).write(text, &mut Trail::default()).into_owned()
        };
        assert_eq!(write(Form::Xml, "<a b='x'>", "\"Bin\" & <lid>"), "\"Bin\" &amp; &lt;lid&gt;");
        assert_eq!(write(Form::Xml, "<a b='", "O'Brien \"<"), "O&apos;Brien &quot;&lt;");
        assert_eq!(write(Form::Xml, "<a><![CDATA[", "a]]>&"), "a]]]]><![CDATA[>&");
        assert_eq!(write(Form::Xml, "<a><![CDATA[x]]>", "&"), "&amp;");
        assert_eq!(write(Form::Json, "{\"a\": \"", "say \"hi\"\n\\"), "say \\\"hi\\\"\\n\\\\");
        assert_eq!(Inset::within(Form::Json, "{\"a\\\"b\": "), Inset::JsonValue);
        assert_eq!(write(Form::Plain, "<a>", "<"), "<");
        assert_eq!(Inset::Address.write("b64/+=", &mut Trail::default()), "b64%2F%2B%3D");
    }

    #[test]
    fn what_xml_cannot_carry_is_left_out_and_told() {
        let mut trail = Trail::at("document");
        assert_eq!(Inset::Content.write("a\u{1}b", &mut trail), "ab");
        assert_eq!(trail.warnings, ["document: 1 characters left out that XML cannot carry"]);
    }
}
