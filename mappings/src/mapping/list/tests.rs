//! A list that is cut and read item by item says what its whole tree says.

use serde_json::{Value, json};

use super::*;
use crate::mapping::scope::Scope;
use crate::{json as whole_json, xml as whole_xml};

fn cut(path: &str, body: &str) -> Option<Result<List, ReadError>> {
    List::cut(body, &Path::parse(path).expect(path), &[])
}

/// What each item is, or why it cannot be read.
fn items(path: &str, body: &str) -> Vec<Result<Vec<Value>, String>> {
    let list = cut(path, body).expect("followed").expect("whole");
    let read = |(place, reached): &(Range<usize>, Reached)| {
        list.read(&body[place.clone()], *reached, &[]).map_err(|error| error.reason)
    };
    list.items.iter().map(read).collect()
}

fn in_tree(path: &str, body: &str) -> Vec<Value> {
    let document = match body.starts_with('<') {
        true => whole_xml::read(body, &[]),
        false => whole_json::read(body),
    };
    let document = document.expect("readable");
    Scope::over(&document).each(&Path::parse(path).expect(path)).into_iter().cloned().collect()
}

#[test]
fn the_items_of_a_text_are_those_of_its_tree() {
    let json = r#" {"at": "[{", "jobs": [{"no": 1, "sub": [{"no": 5}]}, null, "x\"]", [7, {"no": 2}], -1e3],
        "by": {"a": {"no": 3}, "b": [{"no": 4}]}, "one": {"no": 6}, "none": null, "empty": []} "#
        .trim();
    let xml = "<?xml version='1.0'?><r:R xmlns:r='u'><At>1</At><Job><No>1</No><Job><No>5</No></Job></Job>\
               <G><Job a='b'>2 &amp; 3</Job></G><Job><![CDATA[<Job>]]></Job><Job/><One><No>6</No></One></r:R>";
    let cases = [
        (json, "$.jobs[*]"),
        (json, "$.jobs"),
        (json, "$.by.*"),
        (json, "$.by"),
        (json, "$.one"),
        (json, "$.none"),
        (json, "$.empty[*]"),
        (json, "$.absent[*]"),
        (json, "$..no"),
        (json, "$..jobs[*]"),
        (json, "$..sub"),
        (json, "$.jobs[0]"),
        (json, "$.jobs[3][*]"),
        (json, "$.jobs[?@.no == 1]"),
        (json, "$"),
        ("[{\"no\": 1}, {\"no\": 2}]", "$"),
        ("[{\"no\": 1}, {\"no\": 2}]", "$[*]"),
        ("[]", "$[*]"),
        (xml, "$.R.Job"),
        (xml, "$.R.Job[*]"),
        (xml, "$.R.G.Job"),
        (xml, "$..Job"),
        (xml, "$..G.Job"),
        (xml, "$.R.One"),
        (xml, "$.R.None"),
        (xml, "$.Other.Job"),
    ];
    for (body, path) in cases {
        let read = items(path, body).into_iter().flat_map(|item| item.expect("readable"));
        let mut read: Vec<Value> = read.collect();
        let mut expected = in_tree(path, body);
        read.sort_by_key(ToString::to_string);
        expected.sort_by_key(ToString::to_string);
        assert_eq!(read, expected, "{path} in {body}");
    }
}

#[test]
fn what_stands_around_the_items_keeps_one_of_them_and_the_rest_of_the_document() {
    let list = cut("$.jobs[*]", r#"{"total": 3, "jobs": [{"no": 1}, {"no": 2}, {"no": 3}], "next": "?2"}"#);
    let around = whole_json::read(&list.expect("followed").expect("whole").around);
    assert_eq!(around, Ok(json!({"total": 3, "jobs": [{"no": 1}], "next": "?2"})));
    let list = cut("$.by.*", r#"{"by": {"a": {"no": 1}, "b": {"no": 2}}}"#);
    let around = whole_json::read(&list.expect("followed").expect("whole").around);
    assert_eq!(around, Ok(json!({"by": {"a": {"no": 1}, "b": null}})));
    let list = cut("$..Job", "<R><Code>0</Code><Job>1</Job><Job>2</Job><Last/></R>");
    assert_eq!(list.expect("followed").expect("whole").around, "<R><Code>0</Code><Job>1</Job><Last/></R>");
}

#[test]
fn an_item_that_cannot_be_read_costs_only_itself() {
    let json = "{\"jobs\": [{\"no\": 1}, {\"no\": \"\\ud83d\"}, {\"no\": 2, }, {\"no\": \"a\u{fdd0}b\"}, {\"no\": \"a\nb\"}, \
                {\"no\": NaN}, {\"no\": 4}]}";
    let read = items("$.jobs[*]", json);
    let good: Vec<_> = read.iter().filter_map(|item| item.as_ref().ok()).flatten().collect();
    assert_eq!(good, [&json!({"no": 1}), &json!({"no": 4})]);
    assert_eq!(read[3], Err("bytes that are not text in its character set".to_owned()));
    let xml =
        "<R><Job>1</Job><Job>&nbsp;</Job><Job>a & b</Job><Job x='1' x='2'/><Job>&#0;</Job><Job>4</Job></R>";
    let read = items("$.R.Job", xml);
    let good: Vec<_> = read.iter().filter_map(|item| item.as_ref().ok()).flatten().collect();
    assert_eq!(good, [&json!("1"), &json!("4")], "{read:?}");
    assert!(read[1].as_ref().is_err_and(|reason| reason.contains("entity")));
    let around = cut("$.R.Job", xml).expect("followed").expect("whole").around;
    assert_eq!(around, "<R><Job>1</Job></R>");
}

#[test]
fn a_text_that_is_cut_short_or_no_document_is_no_list() {
    let reason = |path: &str, body: &str| match cut(path, body) {
        Some(Err(error)) => error.reason,
        Some(Ok(list)) => panic!("{:?}", list.around),
        None => "none".to_owned(),
    };
    for body in ["{\"jobs\": [{\"no\": 1}, {\"no\"", "{\"jobs\": [{\"no\": 1}]", "{\"jobs\": [{\"no\": 1},"] {
        assert!(reason("$.jobs[*]", body).contains("cut short"), "{body}");
    }
    assert!(reason("$.jobs[*]", "{\"jobs\": [{\"no\": 1}]} x").contains("the end of the document"));
    assert!(reason("$.jobs[*]", "{\"jobs\": [1 2]}").contains("a comma"));
    assert!(reason("$.R.Job", "<R><Job>1</Job><Job>").contains("cut short"));
    assert!(reason("$.R.Job", "<R><Job>1</Job></S>").contains("not well formed"));
    assert!(reason("$.R.Job", "<!DOCTYPE R [<!ENTITY a 'b'>]><R><Job>&a;</Job></R>").contains("doctype"));
    assert_eq!(reason("$.jobs[*]", "OK"), "none");
    assert_eq!(reason("$.jobs[*]", ""), "none");
    assert_eq!(reason("$.jobs[-1]", "{}"), "none");
    assert_eq!(reason("$.jobs[1:2]", "{}"), "none");
    assert_eq!(reason("$.R[0].Job", "<R/>"), "none");
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    assert!(reason("$..no", &deep).contains("deeper than 128"));
    let deep = format!("{}{}", "<a>".repeat(1_000), "</a>".repeat(1_000));
    assert!(reason("$..no", &deep).contains("deeper than 200"));
}

#[test]
fn what_stands_around_the_items_is_small() {
    let body = format!("{{\"padding\": \"{}\", \"jobs\": [1]}}", "x".repeat(AROUND));
    let error = cut("$.jobs[*]", &body).expect("followed").map(|list| list.around).expect_err("too much");
    assert!(error.reason.contains("around the items"), "{error}");
}

#[test]
fn an_item_of_more_values_than_a_tree_may_have_costs_itself_alone() {
    let nests = format!("{}{}", "[".repeat(50), "]".repeat(50));
    let deep = vec![nests.as_str(); 3_000].join(",");
    let body = format!(r#"{{"jobs": [{{"no": 1, "x": [{deep}]}}, {{"no": 2}}]}}"#);
    let items = items("$.jobs[*]", &body);
    assert!(
        items[0].as_ref().is_err_and(|reason| reason.contains("values")),
        "{:?}",
        items[0].as_ref().err()
    );
    assert_eq!(items[1], Ok(vec![json!({"no": 2})]));
}
