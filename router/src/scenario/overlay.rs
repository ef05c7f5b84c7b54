//! What a scenario changes in the mappings: whole top-level keys of their files.

use mappings::mapping::Source;
use mappings::mapping::yaml::{self, Node};
use serde_json::Value;

/// The keys of one file that a scenario gives values of its own.
#[derive(Debug, Clone)]
pub(super) struct Overlay {
    /// The file, relative to the mappings folder.
    pub(super) path: String,
    /// Key and value; a null takes the key away.
    pub(super) keys: Vec<(String, Value)>,
}

/// Lays overlays over mappings. All other lines keep their numbers.
pub(super) fn lay(overlays: &[Overlay], sources: &mut Vec<Source>) {
    for overlay in overlays {
        let place = sources.iter().position(|source| source.path == overlay.path);
        let place = place.unwrap_or_else(|| {
            sources.push(Source { path: overlay.path.clone(), text: String::new() });
            sources.len() - 1
        });
        for (key, value) in &overlay.keys {
            sources[place].text = with(&sources[place].text, key, value);
        }
    }
}

/// The text of a file with another value for one of its keys.
fn with(text: &str, key: &str, value: &Value) -> String {
    let line = if value.is_null() { String::new() } else { format!("{key}: {value}") };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match yaml::parse(text).ok().as_ref().and_then(|node| span(node, key, lines.len())) {
        Some((first, last)) => {
            for old in &mut lines[first..last] {
                old.clear();
            }
            lines[first] = line;
        }
        None => lines.push(line),
    }
    lines.join("\n") + "\n"
}

/// The lines of a key's entry, up to the next key.
fn span(node: &Node, key: &str, end: usize) -> Option<(usize, usize)> {
    let entries = node.entries();
    let at = entries.iter().position(|entry| entry.key == key)?;
    let last = entries.get(at + 1).map_or(end, |next| next.line - 1);
    Some((entries[at].line - 1, last))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_replaced_in_its_lines_or_added_at_the_end() {
        let text = "service: a.b\nclose:\n  automatically: [completed]\n\ncreate: {post: /}\n";
        let changed = with(text, "close", &json!({"automatically": []}));
        assert_eq!(changed, "service: a.b\nclose: {\"automatically\":[]}\n\n\ncreate: {post: /}\n");
        assert!(
            with(text, "target", &json!({"within": "2 days"}))
                .ends_with("\ntarget: {\"within\":\"2 days\"}\n")
        );
        assert_eq!(with(text, "close", &Value::Null), "service: a.b\n\n\n\ncreate: {post: /}\n");
    }

    #[test]
    fn a_file_that_is_not_there_is_made() {
        let mut sources = Vec::new();
        lay(&[Overlay { path: "x.yaml".into(), keys: vec![("a".into(), json!(1))] }], &mut sources);
        assert_eq!(sources[0].text, "a: 1\n");
    }
}
