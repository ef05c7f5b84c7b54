//! Putting a request right: a JSON merge patch, and what it changed.

use mappings::domain::{Request, merge_patch};
use serde_json::{Value, json};

/// A request document that was put right.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// The whole document as it stands now.
    pub document: Value,
    /// What was changed, as `[{path, from, to}]`. What stands below `/customer` is named, not shown.
    pub changes: Vec<Value>,
}

/// Applies a merge patch (RFC 7396) to a request document.
///
/// # Errors
/// The result is not a valid request, or it would be another one: where, and why.
pub fn edit(document: &Value, patch: &Value) -> Result<Edited, String> {
    if !patch.is_object() {
        return Err("the edit is not a JSON object".to_owned());
    }
    let mut edited = document.clone();
    merge_patch(&mut edited, patch);
    let refused = |error: mappings::domain::InvalidRequest| format!("{}: {}", error.path, error.reason);
    let request = Request::parse(edited.clone()).map_err(refused)?;
    for (name, now) in [
        ("ticket", request.ticket.as_str()),
        ("council", request.council.as_str()),
        ("service", request.service.as_str()),
    ] {
        if document[name] != now {
            return Err(format!("{name}: it would be {now}: an edit cannot make it another request"));
        }
    }
    let mut changes = Vec::new();
    compare("", Some(document), Some(&edited), &mut changes);
    Ok(Edited { document: edited, changes })
}

fn compare(path: &str, from: Option<&Value>, to: Option<&Value>, changes: &mut Vec<Value>) {
    if from == to {
        return;
    }
    if let (Some(Value::Object(from)), Some(Value::Object(to))) = (from, to) {
        let added = to.keys().filter(|name| !from.contains_key(*name));
        for name in from.keys().chain(added) {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            compare(&format!("{path}/{escaped}"), from.get(name), to.get(name), changes);
        }
        return;
    }
    let personal = path == "/customer" || path.starts_with("/customer/");
    let shown = |value: Option<&Value>| match value {
        Some(_) if personal => json!("***"),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    changes.push(json!({"path": path, "from": shown(from), "to": shown(to)}));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        json!({"ticket": "CRM-1", "council": "harlow", "service": "waste.missed-bin",
               "raised_at": "2026-11-22T09:15:00Z", "summary": "Bin", "customer": {"surname": "Lam"},
               "location": {"description": "gate"}, "details": {"container": "refuse", "colour": "grey"}})
    }

    #[test]
    fn a_patch_adds_changes_and_takes_away_and_tells_what_it_did() {
        let patch = json!({"location": {"uprn": "10008049175"}, "details": {"colour": null, "container": "food"},
                           "customer": {"surname": "Lamb"}});
        let Edited { document: edited, changes } = edit(&document(), &patch).expect("edited");
        assert_eq!(edited["location"], json!({"description": "gate", "uprn": "10008049175"}));
        assert_eq!(edited["details"], json!({"container": "food"}));
        assert_eq!(edited["customer"]["surname"], "Lamb");
        let expected = json!([
            {"path": "/customer/surname", "from": "***", "to": "***"},
            {"path": "/location/uprn", "from": null, "to": "10008049175"},
            {"path": "/details/container", "from": "refuse", "to": "food"},
            {"path": "/details/colour", "from": "grey", "to": null},
        ]);
        assert_eq!(Value::from(changes), expected);
    }

    #[test]
    fn an_edit_that_makes_it_invalid_or_another_request_is_refused_with_its_place() {
        for (patch, part) in [
            (json!({"location": {"uprn": 7}}), "location.uprn"),
            (json!({"ticket": "CRM-2"}), "ticket: it would be CRM-2"),
            (json!({"service": "waste.bulky"}), "service: it would be waste.bulky"),
            (json!([]), "not a JSON object"),
        ] {
            let error = edit(&document(), &patch).expect_err("refused");
            assert!(error.contains(part), "{patch}: {error}");
        }
    }
}
