//! Whether what was published is as the schemas in `docs/schemas` promise, by a validator that is not ours.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

/// The schemas of `docs/schemas`, by the type of the event whose data they describe.
static SCHEMAS: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
    let files = std::fs::read_dir(folder).expect("the schemas are there");
    let schemas = files.map(|file| {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        let schema: Value = serde_json::from_str(&text).expect("JSON");
        let title = schema["title"].as_str().expect("a schema is titled with its type").to_owned();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema);
        (title, validator.expect("a schema"))
    });
    schemas.collect()
});

/// Checks an event as it was published.
///
/// # Panics
/// When it is no CloudEvent of Dovetail, does not say its council, or its data is not as its schema has it.
pub fn check(event: &Value, routing_key: &str) {
    let kind = event["type"].as_str().unwrap_or_default();
    let schema = SCHEMAS.get(kind).unwrap_or_else(|| panic!("docs/schemas has no schema of {kind:?}"));
    if let Err(wrong) = schema.validate(&event["data"]) {
        panic!("{kind} is not as its schema has it, at {}: {wrong}: {event}", wrong.instance_path());
    }
    assert_eq!(event["specversion"], "1.0", "{event}");
    let council = event["council"].as_str().unwrap_or("unknown");
    let word = kind.strip_prefix("uk.dovetail.").and_then(|rest| rest.strip_suffix(".v1"));
    assert_eq!(routing_key, format!("{council}.{}", word.unwrap_or_default()), "{event}");
}
