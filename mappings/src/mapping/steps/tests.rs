//! The steps of operations: in order, stored, refused.

use serde_json::json;

use super::super::add_step;
use super::super::fixture::{SYSTEM, create, found, request, system};
use super::*;

const STEPS: &str = r#"create:
  steps:
    - name: token
      post: /token
      form: {key: "${KEY}"}
      store: {seconds: 60}
    - name: create
      post: /jobs
      headers: {Authorization: {template: "Bearer {$.steps.token.body.access_token}"}}
      json: {a: $.ticket}
      accepted: {job: $.id}
    - name: attach
      when: {path: $.attachments, exists: true}
      optional: true
      post: /jobs/{$.steps.create.body.id}/files
"#;

#[test]
fn a_later_step_sees_the_answers_of_the_earlier_ones() {
    let system = system("", STEPS);
    let steps = &create(&system).steps;
    assert_eq!(
        steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(),
        ["token", "create", "attach"]
    );
    assert_eq!(steps[0].store, Some(Duration::from_secs(60)));
    let mut context = request();
    let token = Answer { status: 200, headers: vec![], body: r#"{"access_token": "t0"}"#.into() };
    add_step(&mut context, "token", steps[0].seen(&token));
    let call = steps[1].render(&context).expect("rendered").call;
    assert_eq!(call.headers, [("Authorization".to_owned(), "Bearer t0".to_owned())]);
    assert!(!steps[2].applies(&context));
    context["attachments"] = json!([{"href": "x"}]);
    assert!(steps[2].applies(&context) && steps[2].optional);
}

#[test]
fn what_is_left_of_an_operation_only_reads_or_does_not() {
    let system = system("", STEPS);
    let steps = create(&system);
    assert!(!steps.only_reads_from("token") && !steps.only_reads_from("create"));
    assert!(steps.only_reads_from("gone"), "nothing is left");
    let number = "create:\n  steps:\n    - {name: submit, post: /}\n    - {name: session, post: /t, store: {seconds: 9}}\n    \
                  - {name: number, get: /n}\n";
    let system = super::super::fixture::system("", number);
    let steps = create(&system);
    assert!(!steps.only_reads_from("submit") && steps.only_reads_from("session"));
    assert!(steps.only_reads_from("number"));
}

#[test]
fn only_a_call_that_wants_to_know_is_told_which_jobs_are_open() {
    let calls = "calls:\n  all: {get: /all}\n  some: {get: /some, query: {ids: {join: [\"$.dovetail.jobs[*]\"], with: \",\"}}}\n";
    let system = system(calls, STEPS);
    let names = |call: &str| system.call(call).expect("a call").names_jobs;
    assert!(names("some") && !names("all") && !create(&system).names_jobs);
}

#[test]
fn a_poll_may_say_at_which_time_it_ends() {
    let calls = "calls: {open: {get: /a, query: {since: $.dovetail.since, now: $.dovetail.now}}, \
                 ended: {get: /a, query: {since: $.dovetail.since, to: $.dovetail.until}}, latest: {get: /a}}\n";
    let system = system(calls, STEPS);
    let ends = |call: &str| system.call(call).expect("a call").ends_at_until();
    assert_eq!((ends("open"), ends("ended")), (false, true));
    let begins = |call: &str| system.call(call).expect("a call").begins_at_since();
    assert!(begins("open") && begins("ended"));
    assert!(!system.call("latest").expect("a call").begins_at_since());
}

#[test]
fn a_list_says_where_its_next_page_is() {
    let system = system("calls: {list: {get: /a, next: \"$['@odata.nextLink']\"}}\n", STEPS);
    let list = &system.call("list").expect("a call").steps[0];
    let answer = |body: &str| Answer { status: 200, headers: vec![], body: body.into() };
    let next = answer(r#"{"@odata.nextLink": "https://waste.test/a?page=2", "value": []}"#);
    assert_eq!(list.next(&next).as_deref(), Some("https://waste.test/a?page=2"));
    for last in ["{\"value\": []}", "{\"@odata.nextLink\": null}", "{\"@odata.nextLink\": \" \"}", "<html>"] {
        assert_eq!(list.next(&answer(last)), None, "{last}");
    }
}

#[test]
fn a_cursor_is_encoded_in_the_address_of_the_next_page() {
    let next = |expression: &str, body: &str| {
        let calls = format!("calls: {{list: {{get: /a, next: {expression}}}}}\n");
        let system = system(&calls, STEPS);
        let answer = Answer { status: 200, headers: vec![], body: body.into() };
        system.call("list").expect("a call").steps[0].next(&answer)
    };
    let cursor = r#"{"next": "b64/+=&page=9", "link": "/a?since=1%2B1"}"#;
    let template = "{template: \"/a?cursor={$.next}\"}";
    assert_eq!(next(template, cursor).as_deref(), Some("/a?cursor=b64%2F%2B%3D%26page%3D9"));
    assert_eq!(next(template, "{}"), None, "without a cursor there is no next page");
    let chosen = "{when: {path: $.next, exists: true}, then: {template: \"?cursor={$.next}\"}}";
    assert_eq!(next(chosen, cursor).as_deref(), Some("?cursor=b64%2F%2B%3D%26page%3D9"));
    let longer = "{template: \"{$.link}&limit=5\"}";
    assert_eq!(next(longer, cursor).as_deref(), Some("/a?since=1%2B1&limit=5"));
}

#[test]
fn what_the_service_requires_is_asked_of_every_step() {
    let system = system("", &format!("requires: [details.container, $.location.usrn]\n{STEPS}"));
    for step in &create(&system).steps {
        let error = step.render(&request()).expect_err("refused").to_string();
        assert_eq!(error, "location.usrn: is absent or empty, and the service requires it");
    }
    let service = crate::domain::Service::parse("waste.missed-bin").expect("valid");
    assert_eq!(system.requires(&service), ["details.container", "location.usrn"]);
}

#[test]
fn secrets_are_shown_neither_by_a_step_nor_by_a_system() {
    let system = system("calls: {token: {post: /t, form: {key: \"${KEY_OF_OURS}\"}}}\n", STEPS);
    let shown = format!("{system:?}");
    assert!(!shown.contains("key_of_ours"), "{shown}");
    assert!(system.secrets().iter().any(|secret| secret.expose() == "key_of_ours"));
}

#[test]
fn wrong_steps_are_refused() {
    let cases = [
        ("steps:\n    - {post: /}", "a step without name"),
        ("steps:\n    - {name: a, post: /, optional: true}", "no step but optional ones"),
        ("steps:\n    - {name: a, post: /}\n    - {name: a, post: /}", "a second step a"),
        (
            "steps:\n    - {name: a, get: \"/{$.steps.b.body.id}\"}\n    - {name: b, post: /}",
            "before which there is no step b",
        ),
        ("steps: {name: a}", "steps: a list of steps"),
        ("steps: []\n  post: /", "unknown key post in create"),
        ("post: /\n  store: {hours: 3}", "unknown key hours in store"),
        ("post: /\n  optional: true", "unknown key optional in a step"),
        ("post: /\n  repeatable: true", "repeatable in create"),
        ("post: /\n  next: $.next", "next in a step that is no get"),
    ];
    for (create, expected) in cases {
        let service = format!("service: waste.missed-bin\nname: N\ncreate:\n  {create}\n");
        let files = [("systems/waste/system.yaml", SYSTEM), ("systems/waste/a.yaml", &*service)];
        let all = found(&files).join("\n");
        assert!(all.contains(expected), "{create}: {all}");
    }
}
