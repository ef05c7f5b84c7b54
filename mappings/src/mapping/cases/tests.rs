use super::super::fixture::{ROUTES, SYSTEM, sources};
use super::super::lint;
use super::*;

const MORE: &str = "\
statuses:
  Done: {disposition: completed, say: \"Done. {note}\"}
  Going: {progress: in_progress}
calls:
  look:
    get: /jobs/{$.dovetail.job}
    absent: {when: {status: 404}}
    reports: {job: $.id, status: $.s, at: $.at, note: $.n}
completion:
  webhook: {path: /c, verify: {basic: {username: u, password: \"${P}\"}}, reports: {each: $.e, job: \"@.id\", status: \"@.s\"}}
";
const BIN: &str = "\
service: waste.missed-bin
name: Missed bin
create:
  steps:
    - {name: token, post: /token, form: {key: \"${KEY}\"}, store: {seconds: 60}}
    - name: create
      post: /jobs
      query: {q: $.summary}
      headers: {X-Ticket: $.ticket}
      xml: {job: {\"@n\": 1, s: {from: $.summary, max: 6, required: true}}}
      rejected: [{when: {status: 400}, disposition: duplicate, reason: twice, say: We know.}]
      retry: [{when: {status: 409}, reason: locked}]
      accepted: {job: $.id}
";
const GIVEN: &str = "\
base: {ticket: CRM-1, summary: Missed}
service: waste.missed-bin
cases:
- case: c
  answers: [{json: {t: 1}}, {status: 201, json: {id: 7}}]
";

fn failures(cases: &str) -> Vec<String> {
    let system = format!("{SYSTEM}{MORE}");
    let files = [
        ("systems/waste/system.yaml", &*system),
        ("systems/waste/bin.yaml", BIN),
        ("systems/waste/cases/bin.yaml", cases),
        ("routes.yaml", ROUTES),
    ];
    let results = run_cases(&sources(&files), &|_| None);
    assert!(!results.is_empty());
    results.into_iter().filter_map(|result| result.failure).collect()
}

fn passes(rest: &str) {
    let failures = failures(&format!("{GIVEN}{rest}"));
    assert!(failures.is_empty(), "{rest}: {failures:?}");
}

fn fails(rest: &str, expected: &str) {
    let failures = failures(&format!("{GIVEN}{rest}"));
    assert!(failures.len() == 1 && failures[0].contains(expected), "{rest}: {failures:?}");
}

#[test]
fn calls_are_compared_by_structure() {
    passes(
        "  calls:\n  - {post: /token, form: {key: \"${KEY}\"}}\n  - post: /jobs\n    query: {q: Missed}\n    \
         headers: {x-ticket: CRM-1}\n    body: |\n      <job n='1'>\n        <s>Missed</s>\n      </job>\n  then: {delivered: {job: \"7\"}}\n",
    );
    passes("  calls: [{post: /token, body: key=unset-KEY}, {post: \"/jobs?q=Missed\"}]\n");
    passes("  call: {post: /token}\n");
    fails("  call: {get: /token}\n", "method: expected \"GET\", got \"POST\"");
    fails("  call: {post: /t}\n", "path: expected \"/t\", got \"/token\"");
    fails("  call: {post: /token, form: {key: x}}\n", "form key: expected [\"x\"], got [\"unset-KEY\"]");
    fails("  call: {post: /token, form: {}}\n", "form key: expected none");
    fails("  call: {post: /token, json: {}}\n", "expected another kind, got a form");
    fails("  call: {post: /token, headers: {A: b}}\n", "header A: expected \"b\", got none");
    fails("  calls: [{post: /token}]\n", "expected 1 calls, got 2");
    fails("  calls: [{post: /token}, {post: /jobs, query: {q: x}}]\n", "call 2: query q: expected [\"x\"]");
    fails(
        "  calls: [{post: /token}, {post: /jobs, query: {q: Missed}, body: \"<job n='1'><s>Other</s></job>\"}]\n",
        "call 2: body: expected <s>Other, got <s>Missed",
    );
}

#[test]
fn ends_are_compared_with_what_the_rules_say() {
    passes("  then: {delivered: {}}\n");
    fails("  then: {delivered: {job: \"8\"}}\n", "job: expected \"8\", got \"7\"");
    fails("  then: absent\n", "another end: got Accepted");
    let other = |answer: &str, then: &str| {
        let text = format!("{GIVEN}  then: {then}\n").replace("{status: 201, json: {id: 7}}", answer);
        failures(&text)
    };
    assert!(
        other("{status: 400}", "{rejected: {disposition: duplicate, reason: twi, say: We know.}}").is_empty()
    );
    assert!(other("{status: 400}", "{rejected: {}}")[0].contains("disposition: expected None"));
    assert!(other("{status: 409}", "{retry: locked}").is_empty());
    assert!(other("{status: 500}", "{unknown: HTTP 500}").is_empty());
    assert!(other("{status: 500}", "{retry: x}")[0].contains("another end"));
    assert!(other("{status: 503}", "{retry: answered 503}").is_empty());
    assert!(other("{status: 404}", "{rejected: {reason: answered 404}}").is_empty());
    fails("  then: {}\n", "none of delivered");
    assert!(
        other("{status: 201, json: {id: 7}}, {status: 200}", "{delivered: {}}")[0]
            .contains("never asked for")
    );
    let cut = failures(
        &format!("{GIVEN}  then: {{delivered: {{}}}}\n").replace(", {status: 201, json: {id: 7}}", ""),
    );
    assert!(cut[0].contains("without an answer to every call"), "{cut:?}");
}

#[test]
fn errors_and_warnings_are_expected_by_a_part_of_them() {
    passes("  given: {summary: null}\n  error: job.s\n");
    passes("  given: {summary: Much too long}\n  warnings: [shortened from 13 to 6]\n");
    fails("  given: {summary: null}\n", "a case that expects nothing");
    fails("  given: {summary: null}\n  then: {delivered: {}}\n", "expected no error, got \"job.s");
    fails("  error: job.s\n", "expected an error with \"job.s\", got none");
    fails("  warnings: [cut]\n", "expected a warning with \"cut\", got []");
}

#[test]
fn reports_are_compared_with_their_meaning() {
    let look = |answer: &str, reports: &str| {
        failures(&format!(
            "- case: c\n  call_name: look\n  call: {{get: /jobs/JOB-1}}\n  answer: {answer}\n  reports: {reports}\n"
        ))
    };
    let done = "{json: {id: 7, s: Done, n: Well., at: \"2026-01-02T03:04:05+01:00\"}}";
    let all = "[{job: \"7\", status: Done, disposition: completed, note: Well., say: Done. Well., at: \"2026-01-02T02:04:05Z\"}]";
    assert_eq!(look(done, all), Vec::<String>::new());
    assert!(look(done, "[{job: \"8\"}]")[0].contains("report 1: job: expected \"8\", got \"7\""));
    assert!(look(done, "[{progress: review}]")[0].contains("got Ended"));
    assert!(look(done, "[{unrecognised: true}]")[0].contains("a word nobody knows"));
    assert!(look(done, "[]")[0].contains("expected 0 reports, got 1"));
    assert!(look("{json: {id: 7, s: Going}}", "[{progress: in_progress}]").is_empty());
    assert!(look("{json: {id: 7, s: Going}}", "[{disposition: completed}]")[0].contains("Progress"));
    assert!(look("{json: {id: 7, s: Odd}}", "[{unrecognised: true}]").is_empty());
    assert!(look("{status: 404, body: gone}", "[]").is_empty());
    let event = "- case: c\n  event: {json: {e: [{id: 1, s: Done}, {id: 2, s: Odd}]}}\n";
    assert!(
        failures(&format!(
            "{event}  reports: [{{job: \"1\", disposition: completed}}, {{unrecognised: true}}]\n"
        ))
        .is_empty()
    );
    assert!(
        failures("- case: c\n  webhook: true\n  event: {body: \"<a>\"}\n  error: cut short\n").is_empty()
    );
}

#[test]
fn a_wrong_case_is_a_failed_case_with_its_place() {
    let wrong = [
        ("- case: c\n  call_name: gone\n  then: absent\n", "waste has no call gone"),
        ("- case: c\n  service: waste.other\n  then: absent\n", "waste has no create for waste.other"),
        ("- case: c\n  then: absent\n", "does not say what it tests"),
        (
            "- case: c\n  service: waste.missed-bin\n  operation: crate\n  then: absent\n",
            "did you mean create?",
        ),
        ("- case: c\n  service: waste.missed-bin\n  thn: absent\n  then: absent\n", "did you mean then?"),
        ("- case: c\n  intake: true\n  event: {body: x}\n  then: {request: {}}\n", "waste has no intake"),
        ("- {case: c", "YAML"),
        ("{cases: [], more: 1}\n", "unknown key more in a file of cases"),
    ];
    for (text, expected) in wrong {
        let failures = failures(text);
        assert!(failures.iter().any(|failure| failure.contains(expected)), "{text}: {failures:?}");
    }
}

#[test]
fn a_mapping_that_does_not_compile_is_a_failed_case() {
    let broken = SYSTEM.replace("role: back_office", "role: x");
    let files = [
        ("systems/waste/system.yaml", &*broken),
        ("systems/waste/cases/a.yaml", "- {case: c, call_name: x, then: absent}\n"),
    ];
    let results = run_cases(&sources(&files), &|_| None);
    let failures: Vec<&str> = results.iter().filter_map(|result| result.failure.as_deref()).collect();
    assert_eq!(results[0].file, "systems/waste/cases/a.yaml");
    assert!(failures[0].contains("the mapping of waste does not compile"), "{failures:?}");
    assert!(failures[1].contains("systems/waste/system.yaml:3"), "{failures:?}");
}

#[test]
fn lint_names_what_has_no_case() {
    let system = format!("{SYSTEM}{MORE}");
    let files = [
        ("systems/waste/system.yaml", &*system),
        ("systems/waste/bin.yaml", BIN),
        (
            "systems/waste/cases/a.yaml",
            "- case: c\n  call_name: look\n  answer: {}\n  reports: [{status: Done}]\n",
        ),
        ("routes.yaml", ROUTES),
    ];
    let all: Vec<String> =
        lint(&sources(&files), &|name| Some(name.into())).iter().map(ToString::to_string).collect();
    let missing = ["create of waste.missed-bin", "the webhook", "the status \"Going\""];
    for what in missing {
        assert!(
            all.iter().any(|found| found.contains(&format!("{what} without a case"))),
            "{what}: {all:#?}"
        );
    }
    assert_eq!(all.len(), missing.len(), "{all:#?}");
}

/// What a case of an operation with these steps lacks.
fn of_steps(create: &str, rest: &str) -> Vec<String> {
    let service = format!("service: waste.missed-bin\nname: N\ncreate: {create}\n");
    let case = format!("- {{case: c, service: waste.missed-bin, given: {{ticket: CRM-1}}, {rest}}}\n");
    let files = [
        ("systems/waste/system.yaml", SYSTEM),
        ("systems/waste/bin.yaml", &*service),
        ("systems/waste/cases/bin.yaml", &*case),
        ("routes.yaml", ROUTES),
    ];
    run_cases(&sources(&files), &|_| None).into_iter().filter_map(|result| result.failure).collect()
}

#[test]
fn an_operation_ends_as_it_does_when_the_calls_are_made() {
    let two =
        "{steps: [{name: a, post: /a}, {name: b, post: /b, retry: {when: {status: 409}, reason: locked}}]}";
    let after =
        "answers: [{status: 201}, {status: 409}], then: {unknown: locked; step a had been carried out}";
    assert_eq!(of_steps(two, after), Vec::<String>::new());
    let none = "{steps: [{name: a, when: {path: $.priority, is: urgent}, post: /a}]}";
    assert_eq!(of_steps(none, "then: {note: there was nothing to tell}"), Vec::<String>::new());
    let optional =
        "{steps: [{name: a, post: /a}, {name: b, optional: true, post: \"/b/{$.steps.a.body.id}\"}]}";
    let noted = "answer: {status: 201, json: {}}, then: {delivered: {note: \"step b failed: path: \"}}";
    assert_eq!(of_steps(optional, noted), Vec::<String>::new());
}

#[test]
fn a_call_is_compared_as_it_goes_over_the_wire() {
    let call = "{post: \"/a/é\", headers: {X-A: $.ticket}, query: {q: $.ticket}, text: $.ticket}";
    let sent = "call: {post: /a/%C3%A9, query: {q: CRM-1}, headers: {content-type: text/plain; charset=utf-8, x-a: CRM-1}}";
    assert_eq!(of_steps(call, sent), Vec::<String>::new());
    let climbs = "{get: \"/a/./b\"}";
    assert_eq!(of_steps(climbs, "error: only dots"), Vec::<String>::new());
    let plus = "{get: \"/a?cursor=b64/+=\"}";
    assert!(of_steps(plus, "call: {get: /a, query: {cursor: b64/+=}}")[0].contains("b64/ ="));
}

#[test]
fn bytes_of_an_answer_are_read_as_they_are_read_over_the_wire() {
    let create = "{post: /a, accepted: {job: $..No}}";
    let utf16: Vec<u8> = "<R><No>7</No></R>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bytes = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, utf16);
    let of = |answer: &str, then: &str| of_steps(create, &format!("answer: {{{answer}}}, then: {then}"));
    assert_eq!(of(&format!("body_base64: {bytes}"), "{delivered: {job: \"7\"}}"), Vec::<String>::new());
    let latin = "headers: {Content-Type: text/xml; charset=iso-8859-1}";
    assert_eq!(
        of(&format!("{latin}, body: \"<R><No>Zoë</No></R>\""), "{delivered: {job: Zoë}}"),
        Vec::<String>::new()
    );
    // `<R><No>\xe9</No></R>`
    let one_byte = "body_base64: PFI+PE5vPuk8L05vPjwvUj4=";
    assert_eq!(of(&format!("{latin}, {one_byte}"), "{delivered: {job: é}}"), Vec::<String>::new());
    assert_eq!(of(one_byte, "{unknown: not valid UTF-8}"), Vec::<String>::new());
    assert!(of("body_base64: \"?\"", "{unknown: x}")[0].contains("Base64"));
}

#[test]
fn a_call_by_name_is_made_with_what_the_router_knows_when_it_makes_it() {
    let polled = format!(
        "{SYSTEM}completion: {{poll: {{every: 1m, call: news}}}}\ncalls: {{news: {{get: /news, \
         query: {{since: $.dovetail.since, key: $.dovetail.key, ticket: $.ticket, job: $.dovetail.job}}, \
         reports: {{job: $.id, status: $.s}}}}}}\n"
    );
    let case = "base: {ticket: CRM-1}\ncases:\n- {case: c, call_name: news, call: {get: /news, query: {since: \"2026-11-22T09:00:00Z\"}}}\n";
    let files = [("systems/waste/system.yaml", &*polled), ("systems/waste/cases/a.yaml", case)];
    let failed: Vec<_> =
        run_cases(&sources(&files), &|_| None).into_iter().filter_map(|result| result.failure).collect();
    assert_eq!(failed, Vec::<String>::new());
}
