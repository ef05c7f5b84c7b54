//! What a mapping promises and its calls do not keep.
//!
//! A key that is never sent, and a look-up that asks for nothing, would have work ordered twice after an unknown outcome:
//! such a mapping is refused. A poll that does not say since when, or does not name the job, is found by lint.

use super::check::Check;
use super::service::ServiceRules;
use super::steps::Step;
use super::{Idempotency, Poll, Steps, System};
use crate::domain::Operation;

/// What tells one handover from all others, and stays the same for every attempt.
const OURS: &[&str] = &["dovetail.key", "dovetail.handover", "dovetail.request"];
/// What a look-up may find a job by.
const FINDS: &[&str] = &["ticket", "dovetail.key", "dovetail.handover", "dovetail.request", "dovetail.job"];
/// What names the job that an operation is about.
const NAMES_JOB: &[&str] =
    &["ticket", "dovetail.job", "dovetail.key", "dovetail.handover", "dovetail.request", "steps"];

/// Whether the operations of a service send the key that the system is said to honour.
pub(super) fn of_service(check: &mut Check<'_>, rules: &ServiceRules, idempotency: &Idempotency) {
    if *idempotency != Idempotency::Key {
        return;
    }
    for operation in Operation::ALL {
        let Some(steps) = rules.operation(*operation).filter(|steps| !steps.repeatable) else { continue };
        // A change has a key of its own, which no other stands in for.
        let keys = if *operation == Operation::Create { OURS } else { &OURS[..1] };
        for step in steps.steps.iter().filter(|step| step.would_double() && !step.sends_any(keys)) {
            check.hinted(
                step.line,
                format!("a call of {operation} that sends no key, though idempotency promises one"),
                "$.dovetail.key in the header or field that the system honours",
                "it would be sent again after an unknown outcome, and be carried out twice; with \
                 idempotency: none a person looks",
            );
        }
    }
}

/// Whether a look-up asks for something by which a job can be found.
pub(super) fn of_look_up(check: &mut Check<'_>, line: usize, call: &str, steps: &Steps) {
    if !sends_any(steps, FINDS) {
        check.hinted(
            line,
            format!("look_up {call}, which sends nothing that tells one order from another"),
            "$.ticket or $.dovetail.key in the call",
            "what it finds would be taken for our order, or the order be sent again",
        );
    }
}

/// What else a system's calls do not keep.
pub(super) fn of_system(check: &mut Check<'_>, system: &System) {
    let mut ask = |call: &str, what: &str, needed: &[&str], expected: &str| {
        let Some(steps) = system.call(call).filter(|steps| !sends_any(steps, needed)) else { return };
        let line = steps.steps.first().map_or(1, |step| step.line);
        check.error(line, format!("the call {call}, {what}"), expected.to_owned());
    };
    match &system.poll {
        Some(Poll::Changed { call, whole: false, .. }) => ask(
            call,
            "which polls for changes and does not say since when",
            &["dovetail.since"],
            "$.dovetail.since in the call, or poll: {whole: true} where its list is always whole",
        ),
        Some(Poll::EachJob { call, .. }) => {
            ask(call, "which polls one job and does not name it", NAMES_JOB, "$.dovetail.job in the call");
        }
        Some(Poll::Changed { .. }) | None => {}
    }
    if let Some(status) = &system.status {
        let (needed, expected) = match status.batch {
            Some(_) => (&["dovetail.jobs"][..], "$.dovetail.jobs in the call"),
            None => (NAMES_JOB, "$.dovetail.job in the call"),
        };
        ask(&status.call, "which asks about open jobs and does not name them", needed, expected);
    }
    if let Some(call) = system.webhook.as_ref().and_then(|webhook| webhook.read_back.as_ref()) {
        let needed = ["event", "dovetail.job", "ticket"];
        let expected = "$.event or $.dovetail.job in the call";
        ask(call, "which reads back what an event means and uses nothing of it", &needed, expected);
    }
    if let Some(harvest) = system.intake().and_then(|intake| intake.harvest()) {
        let expected = "$.dovetail.since in the call";
        ask(&harvest.call, "which lists tickets and does not say since when", &["dovetail.since"], expected);
        if let Some(then) = &harvest.then {
            ask(then, "which reads one ticket and does not name it", &["event"], "$.event in the call");
        }
    }
}

/// Whether the operations of a service on a job that stands say which job.
pub(super) fn of_changes(check: &mut Check<'_>, rules: &ServiceRules) {
    for operation in [Operation::Amend, Operation::Cancel, Operation::Close] {
        let Some(steps) = rules.operation(operation).filter(|steps| !sends_any(steps, NAMES_JOB)) else {
            continue;
        };
        let line = steps.steps.first().map_or(1, |step| step.line);
        let found = format!("{operation}, which does not name the job");
        check.warn(line, found, "$.dovetail.job or $.ticket in it", None);
    }
}

fn sends_any(steps: &Steps, paths: &[&str]) -> bool {
    steps.steps.iter().any(|step: &Step| step.sends_any(paths))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{SYSTEM, found};
    use super::super::{Source, lint};

    const KEYED: &str = "idempotency: {key: X-Key}";

    fn compiled(system: &str, service: &str) -> String {
        let service = format!("service: waste.missed-bin\nname: Missed bin\n{service}");
        let routes = "routes: [{service: waste.missed-bin, to: [waste]}]\n";
        let files = [
            ("routes.yaml", routes),
            ("systems/waste/system.yaml", system),
            ("systems/waste/bin.yaml", &service),
        ];
        found(&files).join("\n")
    }

    #[test]
    fn a_key_that_is_promised_must_be_sent() {
        let keyed = SYSTEM.replace("idempotency: none", KEYED);
        let good = [
            "create: {post: /, json: {}, headers: {X-Key: $.dovetail.key}}",
            "create: {post: /, json: {id: {template: \"d-{$.dovetail.handover}\"}}}",
            "create: {put: \"/jobs/{$.ticket}\", json: {}}",
            "create:\n  steps:\n    - {name: token, post: /t, form: {a: b}, store: {seconds: 60}}\n    \
             - {name: order, post: /, json: {id: $.dovetail.key}}\n    - {name: more, post: /more, optional: true}",
            "create: {post: /, json: {id: $.dovetail.key}}\n\
             cancel: {post: \"/jobs/{$.dovetail.job}/cancel\", json: {}, repeatable: true}",
        ];
        for service in good {
            assert_eq!(compiled(&keyed, service), "", "{service}");
        }
        let bad = [
            (
                "create: {post: /, json: {id: $.ticket}}",
                "waste/bin.yaml:3: found a call of create that sends no key",
            ),
            ("create: {patch: /, json: {id: $.summary}}", "a call of create that sends no key"),
            (
                "create: {post: /, json: {id: $.dovetail.key}}\namend: {post: \"/jobs/{$.dovetail.job}\", json: {}}",
                "waste/bin.yaml:4: found a call of amend that sends no key",
            ),
        ];
        for (service, expected) in bad {
            let all = compiled(&keyed, service);
            assert!(all.contains(expected), "{service}: {all}");
        }
        assert_eq!(compiled(SYSTEM, "create: {post: /, json: {id: $.ticket}}"), "", "nothing is promised");
    }

    #[test]
    fn a_look_up_must_ask_for_something() {
        let system = |find: &str| {
            format!(
                "{}calls: {{find: {find}}}\n",
                SYSTEM.replace("idempotency: none", "idempotency: {look_up: find}")
            )
        };
        let create = "create: {post: /, json: {}}";
        assert_eq!(compiled(&system("{get: /jobs, query: {ref: $.ticket}}"), create), "");
        let all = compiled(&system("{get: /jobs, query: {when: $.raised_at}}"), create);
        assert!(all.contains("look_up find, which sends nothing that tells one order from another"), "{all}");
    }

    #[test]
    fn lint_finds_polls_and_changes_that_do_not_say_what_they_are_about() {
        let cases = [
            ("call: list", "get: /jobs", "does not say since when"),
            ("call: list", "get: /jobs, query: {since: $.dovetail.since}", ""),
            ("call: list, whole: true", "get: /jobs", ""),
            ("each_job: list", "get: /jobs", "does not name it"),
            ("each_job: list", "get: \"/jobs/{$.dovetail.job}\"", ""),
        ];
        for (poll, call, expected) in cases {
            let reports = "reports: {job: $.id, status: $.s}";
            let system = format!(
                "{SYSTEM}calls: {{list: {{{call}, {reports}}}}}\ncompletion: {{poll: {{every: 1m, {poll}}}}}\n"
            );
            let service = "service: waste.missed-bin\nname: N\ncreate: {post: /, json: {}}\n\
                           cancel: {delete: \"/jobs/{$.dovetail.job}\"}\namend: {post: /jobs, json: {a: $.change.reason}}\n";
            let sources =
                [("systems/waste/system.yaml", system.as_str()), ("systems/waste/bin.yaml", service)]
                    .map(|(path, text)| Source { path: path.into(), text: text.into() });
            let all: Vec<String> =
                lint(&sources, &|_| Some("x".into())).iter().map(ToString::to_string).collect();
            let all = all.join("\n");
            assert_eq!(
                all.contains("the call list, which polls"),
                !expected.is_empty(),
                "{poll} {call}: {all}"
            );
            assert!(all.contains(expected), "{all}");
            assert!(all.contains("found amend, which does not name the job"), "{all}");
            assert!(!all.contains("found cancel, which"), "{all}");
        }
    }

    #[test]
    fn the_address_of_a_next_page_uses_nothing_that_is_empty_there() {
        for next in ["$.dovetail.since", "{template: \"/jobs?since={$.dovetail.since}&page={$.page}\"}"] {
            let system = format!("{SYSTEM}calls: {{list: {{get: /jobs, next: {next}}}}}\n");
            let all = compiled(&system, "create: {post: /, json: {}}");
            assert!(
                all.contains("found the path $.dovetail.since; expected a path into the answer"),
                "{all}"
            );
        }
    }
}
