use serde_json::{Value, json};

use super::super::check::tests::lower;
use super::super::fixture::request;
use super::super::place::Place;
use super::super::{lookup, yaml};
use super::*;

fn compile(text: &str, place: Place) -> (Option<Expression>, Vec<String>) {
    let mut check = Check::new("f.yaml", &lower);
    let tables = "ids: {refuse: \"77\", food: null, 3: three}\nkeep: {values: {}, missing: keep}";
    check.lookups = lookup::compile(&mut check, &yaml::parse(tables).expect("yaml"));
    check.steps = vec!["read".into()];
    let expression = Expression::compile(&mut check, &yaml::parse(text).expect("yaml"), place);
    (expression, check.findings.iter().map(ToString::to_string).collect())
}

fn run(text: &str) -> (Result<Option<Value>, String>, Vec<String>) {
    let (expression, findings) = compile(text, Place::REQUEST);
    assert!(findings.is_empty(), "{text}: {findings:?}");
    let document = request();
    let mut trail = Trail::default();
    let value = expression.expect(text).evaluate(Scope::over(&document), &mut trail);
    (value.map_err(|error| error.to_string()), trail.warnings)
}

fn value(text: &str) -> Option<Value> {
    run(text).0.unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    run(text).0.expect_err(text)
}

fn refused(text: &str) -> String {
    let (_, findings) = compile(text, Place::REQUEST);
    assert!(!findings.is_empty(), "{text} is accepted");
    findings.join("\n")
}

#[test]
fn scalars_are_paths_or_themselves() {
    assert_eq!(value("$.ticket"), Some(json!("CRM-1")));
    assert_eq!(value("$.location.easting"), Some(json!(535000)));
    assert_eq!(value("$.location.address.lines"), Some(json!(["16 Pitcairn House", "Hackney"])));
    assert_eq!(value("$.details.none"), None);
    assert_eq!(value("$.details.gone"), None);
    assert_eq!(value("text"), Some(json!("text")));
    assert_eq!(value("\"@handle\""), Some(json!("@handle")));
    assert_eq!(value("12"), Some(json!(12)));
    assert_eq!(value("null"), Some(json!(null)));
    assert_eq!(value("\"${KEY} x\""), Some(json!("key x")));
    assert_eq!(value("{literal: \"$5\"}"), Some(json!("$5")));
    assert_eq!(value("{literal: {from: $.x}}"), Some(json!({"from": "$.x"})));
}

#[test]
fn the_first_that_is_not_empty_is_taken() {
    assert_eq!(
        value("{first: [$.customer.forename, $.customer.needs, $.customer.surname]}"),
        Some(json!("Lamb"))
    );
    assert_eq!(value("{first: [$.details.gone, fallback]}"), Some(json!("fallback")));
    assert_eq!(value("{first: [$.details.gone]}"), None);
}

#[test]
fn what_is_there_is_joined() {
    let lines =
        "{join: [$.location.address.lines, $.details.gone, $.customer.forename, $.ticket], with: \", \"}";
    assert_eq!(value(lines), Some(json!("16 Pitcairn House, Hackney, CRM-1")));
    assert_eq!(value("{join: [\"$.details.items[*].name\"], with: +}"), Some(json!("sofa+bed")));
    assert_eq!(value("{join: [$.details.count, $.details.out_before_7am]}"), Some(json!("3true")));
    assert_eq!(value("{join: [$.details.gone]}"), None);
    assert!(error("{join: [$.customer]}").contains("an object was found"));
}

#[test]
fn a_choice_takes_one_branch() {
    let choice = "{when: {path: $.details.out_before_7am, is: true}, then: Y, else: N}";
    assert_eq!(value(choice), Some(json!("Y")));
    assert_eq!(value("{when: {path: $.ticket, exists: false}, then: Y}"), None);
    assert_eq!(
        value("{when: {path: $.ticket, exists: true}, then: {a: $.ticket}}"),
        Some(json!({"a": "CRM-1"}))
    );
    assert_eq!(
        value("{when: {path: $.ticket, is: x}, then: y, else: refuse, lookup: ids}"),
        Some(json!("77"))
    );
}

#[test]
fn a_template_fills_paths_and_keeps_other_braces() {
    let text = "{template: \"{$.ticket} {x} ${KEY} {$.details['container']}{$.details.gone} $5\"}";
    assert_eq!(value(text), Some(json!("CRM-1 {x} key refuse $5")));
    assert_eq!(
        value("{template: \"{$.location.address.lines}\"}"),
        Some(json!("16 Pitcairn House, Hackney"))
    );
    assert_eq!(value("{template: \"{$.details.items[?@.name=='bed'].name}\"}"), Some(json!("bed")));
    assert_eq!(value("{template: \"{$.details.gone}\"}"), None);
    assert!(error("{template: \"{$.customer}\"}").contains("$.customer is an object"));
}

#[test]
fn each_repeats_over_a_list_and_lists_within() {
    let items =
        "{each: $.details.items, as: {n: \"@.name\", of: $.ticket, p: {each: \"@.parts\", as: \"@.n\"}}}";
    let expected = json!([{"n": "sofa", "of": "CRM-1", "p": [1, 2]}, {"n": "bed", "of": "CRM-1"}]);
    assert_eq!(value(items), Some(expected.clone()));
    assert_eq!(
        value(&items.replace("items,", "items[*],").replace("$.d", "\"$.d").replace("],", "]\",")),
        Some(expected)
    );
    assert_eq!(value("{each: $.ticket, as: \"@\"}"), Some(json!(["CRM-1"])));
    assert_eq!(value("{each: $.details.gone, as: \"@\"}"), None);
    assert_eq!(value("{each: $.details.items, as: {x: \"@.gone\"}}"), None);
}

#[test]
fn a_target_leaves_out_what_came_to_nothing() {
    let target =
        "{a: $.ticket, b: {c: $.details.gone}, d: {}, e: [$.details.gone], f: [], g: {object: {from: 1}}}";
    let expected = json!({"a": "CRM-1", "d": {}, "f": [], "g": {"from": 1}});
    assert_eq!(value(target), Some(expected));
}

#[test]
fn modifiers_change_the_value_in_their_order() {
    let cases = [
        ("{from: $.details.gone, default: $.details.container, lookup: ids}", json!("77")),
        ("{from: $.customer.forename, default: none}", json!("none")),
        ("{from: $.details.count, lookup: ids}", json!("three")),
        ("{from: $.ticket, lookup: keep}", json!("CRM-1")),
        ("{from: $.ticket, replace: {pattern: \"^([A-Z]+)-\", with: \"$1/\"}}", json!("CRM/1")),
        ("{from: $.ticket, replace: [{pattern: C, with: c}, {pattern: R, with: r}]}", json!("crM-1")),
        ("{from: $.ticket, case: lower}", json!("crm-1")),
        ("{from: $.details.container, case: upper, pad: {to: 8, with: x}}", json!("xxREFUSE")),
        ("{from: $.location.uprn, pad: {to: 12, with: \"0\"}}", json!("010008049175")),
        (
            "{from: $.raised_at, date: {pattern: \"%d/%m/%Y %H:%M\", zone: Europe/London}}",
            json!("01/07/2026 10:15"),
        ),
        ("{from: $.location.uprn, as: integer}", json!(10008049175u64)),
        ("{from: $.details.count, as: string}", json!("3")),
        ("{from: $.details.count, as: number}", json!(3)),
        ("{template: \"2.50\", as: number}", serde_json::from_str("2.50").expect("a number")),
        ("{template: \"2.00\", as: integer}", json!(2)),
        ("{template: \"No\", as: boolean}", json!(false)),
        ("{from: $.location.address.lines, case: upper}", json!(["16 PITCAIRN HOUSE", "HACKNEY"])),
    ];
    for (text, expected) in &cases {
        assert_eq!(value(text), Some(expected.clone()), "{text}");
    }
    assert_eq!(value("{template: food, lookup: ids}"), None);
}

#[test]
fn truncation_counts_characters_and_is_recorded() {
    let (value, warnings) = run("{a: {b: {from: $.summary, max: 4}, c: {template: \"ééé\", max: 3}}}");
    assert_eq!(value, Ok(Some(json!({"a": {"b": "Grey", "c": "ééé"}}))));
    assert_eq!(warnings, ["a.b: shortened from 17 to 4 characters"]);
}

#[test]
fn what_the_request_lacks_is_named_with_field_and_path() {
    assert_eq!(error("{a: {from: $.details.gone, required: true}}"), "a: $.details.gone is absent or empty");
    let several = error("{a: {first: [$.details.gone, $.customer.forename], required: true}}");
    assert_eq!(several, "a: $.details.gone and $.customer.forename are all absent or empty");
    let table = error("{a: {b: {from: $.ticket, lookup: ids}}}");
    assert_eq!(table, "a.b: the table ids has no entry for \"CRM-1\"; it knows 3, food, refuse");
    let personal = "this value; it knows 3, food, refuse";
    for (text, field) in [
        ("{a: {from: $.customer.surname, lookup: ids}}", "a"),
        ("{a: {from: \"$..surname\", lookup: ids}}", "a"),
        ("{a: {template: \"x{$['customer'].surname}\", lookup: ids}}", "a"),
        ("{a: {first: [$.details.gone, $.summary], lookup: ids}}", "a"),
        ("{a: {when: {path: $.summary, exists: true}, then: $.customer.surname, lookup: ids}}", "a"),
        ("{a: {each: $.location.address.lines, as: {from: \"@\", lookup: ids}}}", "a.1"),
        ("{a: {from: $.details.gone, default: $.customer.surname, lookup: ids}}", "a"),
        ("{customer: {title: {from: $.ticket, lookup: ids}}}", "customer.title"),
    ] {
        assert_eq!(error(text), format!("{field}: the table ids has no entry for {personal}"), "{text}");
    }
    assert_eq!(
        error("{from: $.summary, as: integer}").split_once(": ").map(|(_, why)| why),
        Some("this value is not a whole number")
    );
    assert!(error("{from: $.ticket, as: integer}").contains("\"CRM-1\" is not a whole number"));
    let date = error("{from: $.summary, date: {pattern: \"%F\"}}");
    assert!(date.ends_with("not a date: expected a date or RFC 3339"), "{date}");
    assert!(error("{from: $.summary, as: integer}").contains("is not a whole number"));
    assert!(error("{from: $.summary, as: number}").contains("is not a number"));
    assert!(error("{from: $.summary, as: boolean}").contains("neither true nor false"));
    assert!(error("{from: $.customer, case: upper}").contains("one value is needed"));
    assert!(
        error("{list: {each: $.details.items, as: {from: \"@.gone\", required: true}}}")
            .starts_with("list.1: @.gone")
    );
}

#[test]
fn mistakes_are_found_when_the_mapping_is_compiled() {
    let cases = [
        ("{from: $.a, form: x}", "unknown key form in an expression with from"),
        ("{from: $.ticket, first: [x]}", "for an object with members of these names write object"),
        ("{first: Jo, last: Lamb}", "for an object with a member first write object: {…}"),
        ("{first: $.a}", "first: a list of expressions"),
        ("{each: $.details.items}", "each without as"),
        ("{when: {path: $.ticket, exists: true}}", "when without then"),
        ("{from: 5}", "a path that starts with $"),
        ("{from: $.ticket, lookup: idz}", "did you mean ids?"),
        ("{from: $.ticket, case: title}", "one of upper, lower"),
        ("{from: $.ticket, as: int}", "one of string, integer, number, boolean"),
        ("{from: $.ticket, max: 0}", "max: a whole number from 1"),
        ("{from: $.ticket, pad: {to: 3, with: ab}}", "with: one character"),
        ("{from: $.ticket, replace: {pattern: \"[\", with: x}}", "a regular expression"),
        ("{from: $.ticket, replace: {pattern: x}}", "replace without with"),
        ("{from: $.ticket, required: maybe}", "required: true or false"),
        ("{template: \"{$.ticket\"}", "a brace that is not closed"),
        ("{template: 5}", "a text with paths in braces"),
        ("{object: 5}", "object: a mapping"),
        ("$5", "write {literal: \"$5\"}"),
        ("$.details.missed-bin", "['like-this']"),
        ("\"@.name\"", "@ is the item of each"),
        ("$.sumary", "did you mean $.summary?"),
        ("$.container", "under $.details.container"),
        ("$.location.uprm", "did you mean uprn?"),
        ("$.steps.raed.body", "did you mean read?"),
        ("$.steps.read.id", "one of status, headers, body"),
        ("\"${UNSET}\"", "set the environment variable UNSET"),
    ];
    for (text, expected) in cases {
        let found = refused(text);
        assert!(found.contains(expected), "{text}: {found}");
        assert!(found.starts_with("f.yaml:1: found "), "{found}");
    }
}

#[test]
fn headers_are_read_only_where_there_is_an_answer() {
    let answer = crate::mapping::Answer {
        status: 201,
        headers: vec![("Location".into(), "/jobs/7".into())],
        body: String::new(),
    };
    let (expression, findings) =
        compile("{header: location, replace: {pattern: \".*/\", with: \"\"}}", Place::ANSWER);
    assert!(findings.is_empty(), "{findings:?}");
    let text = expression.expect("compiled").text(Scope::of(&answer, &Value::Null), &mut Trail::default());
    assert_eq!(text, Ok(Some("7".into())));
    assert_eq!(value("{header: x}"), Some(json!({"header": "x"})));
}

#[test]
fn what_a_customer_writes_adds_nothing_to_a_document_in_a_template() {
    let document = json!({"summary": "x</Text><Priority>1</Priority> & \"y\"", "count": 3, "none": null});
    let fill = |text: &str| {
        let (expression, findings) = compile(text, Place::MESSAGE);
        let value = expression.expect(text).evaluate(Scope::over(&document), &mut Trail::default());
        let text = value.expect("made").and_then(|value| value.as_str().map(str::to_owned));
        (text.expect("a text"), findings)
    };
    let escaped = "<Text>x&lt;/Text&gt;&lt;Priority&gt;1&lt;/Priority&gt; &amp; \"y\"</Text>";
    let (xml, findings) = fill("{template: \"<Text>{$.summary}</Text>\"}");
    assert_eq!(xml, escaped);
    assert!(findings[0].contains("looks like XML and does not say so"), "{findings:?}");
    assert_eq!(fill("{template: \"<Text>{$.summary}</Text>\", escape: xml}"), (escaped.to_owned(), vec![]));
    let (attribute, _) = fill("{template: \"<Job text='{$.summary}'/>\", escape: xml}");
    assert!(attribute.contains("&quot;y&quot;") && !attribute.contains("<Priority>"), "{attribute}");
    let (raw, findings) = fill("{template: \"<Text>{$.summary}</Text>\", escape: none}");
    assert!(raw.contains("<Priority>") && findings.is_empty(), "{raw}");
    let (json, findings) =
        fill(r#"{template: '{"text": "{$.summary}", "n": {$.count}, "s": {$.summary}, "x": {$.none}}'}"#);
    assert!(findings[0].contains("looks like JSON"), "{findings:?}");
    let read: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(read, json!({"text": document["summary"], "n": 3, "s": document["summary"], "x": null}));
    let (words, findings) = fill("{template: \"{$.count} < {$.summary}\"}");
    assert!(words.starts_with("3 < x</Text>") && findings.is_empty(), "{words}");
    assert!(refused("{template: \"<a>{$.ticket}</a>\", escape: html}").contains("escape"));
}

#[test]
fn a_document_that_is_joined_out_of_pieces_is_warned_of() {
    let (_, findings) = compile("{join: [\"<Text>\", $.summary, \"</Text>\"]}", Place::REQUEST);
    assert!(findings[0].contains("a join that makes a document"), "{findings:?}");
    for sound in ["{join: [$.summary, $.ticket], with: \" - \"}", "{join: [\"a < \", $.ticket, \"${KEY}\"]}"]
    {
        assert!(compile(sound, Place::REQUEST).1.is_empty(), "{sound}");
    }
}
