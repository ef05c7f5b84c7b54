//! Tables that turn one system's codes into another's.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::check::Check;
use super::yaml::{Node, Yaml};

/// One table.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Its name.
    name: String,
    /// The line it starts on.
    pub(super) line: usize,
    values: BTreeMap<String, Value>,
    missing: Missing,
}

#[derive(Debug)]
enum Missing {
    Refuse,
    Keep,
    Use(Value),
}

impl Lookup {
    /// The value for a key; a null in the table means nothing is sent.
    ///
    /// # Errors
    /// What is wrong, when the key is not in the table and the table refuses that. The key is named as `shown`.
    pub(super) fn find(&self, key: &str, shown: impl FnOnce(&str) -> String) -> Result<Value, String> {
        if let Some(value) = self.values.get(key.trim()) {
            return Ok(value.clone());
        }
        match &self.missing {
            Missing::Keep => Ok(Value::String(key.to_owned())),
            Missing::Use(value) => Ok(value.clone()),
            Missing::Refuse => {
                let known: Vec<&str> = self.values.keys().map(String::as_str).take(20).collect();
                Err(format!(
                    "the table {} has no entry for {}; it knows {}",
                    self.name,
                    shown(key),
                    known.join(", ")
                ))
            }
        }
    }
}

/// Reads `lookups:`. A table is short, `{key: value}`, or long, `{values: {…}, missing: refuse | keep | {use: X}}`.
pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> BTreeMap<String, Arc<Lookup>> {
    let Yaml::Map(entries) = &node.value else {
        check.error(node.line, node.shown(), "lookups: a mapping of tables");
        return BTreeMap::new();
    };
    entries
        .iter()
        .filter_map(|entry| {
            let table = table(check, &entry.key, &entry.value, entry.line)?;
            Some((entry.key.clone(), Arc::new(table)))
        })
        .collect()
}

fn table(check: &mut Check<'_>, name: &str, node: &Node, line: usize) -> Option<Lookup> {
    let long = node.get("values").is_some_and(|values| matches!(values.value, Yaml::Map(_)));
    let (values, missing) = if long {
        let fields = check.fields(node, &format!("the table {name}"), &["values", "missing"])?;
        let missing = fields.get("missing").map_or(Missing::Refuse, |node| policy(check, node));
        (check.required(fields, "values", name)?, missing)
    } else {
        (node, Missing::Refuse)
    };
    let Yaml::Map(entries) = &values.value else {
        check.error(node.line, node.shown(), format!("the table {name}: a mapping of keys to values"));
        return None;
    };
    let values = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect();
    Some(Lookup { name: name.to_owned(), line, values, missing })
}

fn policy(check: &mut Check<'_>, node: &Node) -> Missing {
    if let Some(value) = node.get("use") {
        check.fields(node, "missing", &["use"]);
        return Missing::Use(value.to_json());
    }
    match node.as_text() {
        Some("refuse") => Missing::Refuse,
        Some("keep") => Missing::Keep,
        Some(_) | None => {
            check.error(node.line, node.shown(), "missing: refuse, keep or {use: a value}");
            Missing::Refuse
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn quoted(key: &str) -> String {
        format!("{key:?}")
    }

    fn tables(text: &str) -> (BTreeMap<String, Arc<Lookup>>, Vec<String>) {
        let mut check = Check::new("f.yaml", &lower);
        let tables = compile(&mut check, &yaml::parse(text).expect("yaml"));
        (tables, check.findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_missing_key_is_refused_kept_or_replaced_as_the_table_says() {
        let (tables, findings) = tables(
            "short: {refuse: \"77\", 12: 5}\nkeep: {values: {a: b}, missing: keep}\nuse: {values: {}, missing: {use: X}}\n",
        );
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(tables["short"].find("refuse", quoted), Ok(json!("77")));
        assert_eq!(tables["short"].find(" 12 ", quoted), Ok(json!(5)));
        let refused = tables["short"].find("grey", quoted).expect_err("refused");
        assert_eq!(refused, "the table short has no entry for \"grey\"; it knows 12, refuse");
        assert_eq!(tables["keep"].find("z", quoted), Ok(json!("z")));
        assert_eq!(tables["use"].find("z", quoted), Ok(json!("X")));
    }

    #[test]
    fn a_table_of_another_form_is_refused() {
        let (_, findings) = tables("a: 5\nb: {values: {}, missing: drop}\nc: {values: {}, mising: keep}\n");
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[1].contains("refuse, keep or {use: a value}"));
        assert!(findings[2].contains("did you mean missing?"));
    }
}
