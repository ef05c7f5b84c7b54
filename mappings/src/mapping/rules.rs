//! What an answer means: `done`, `absent`, `rejected`, `retry`, `accepted`, in this order.

use serde_json::Value;

use crate::domain::{Disposition, Job};

use super::check::{Check, Fields};
use super::expression::Expression;
use super::place::Place;
use super::scope::{Scope, Trail};
use super::statuses::disposition;
use super::test::Test;
use super::yaml::Node;
use super::{Answer, Verdict};

/// The keys of the rules in a step.
pub(super) const KEYS: &[&str] = &["done", "absent", "rejected", "retry", "accepted"];

/// The answer rules of one step.
#[derive(Default)]
pub(super) struct Rules {
    done: Vec<(Test, Expression)>,
    absent: Vec<Test>,
    rejected: Vec<Refusal>,
    retry: Vec<Retry>,
    accepted: Option<Test>,
    job: Option<Expression>,
}

struct Refusal {
    when: Test,
    disposition: Option<Disposition>,
    reason: Option<Expression>,
    say: Option<Expression>,
}

struct Retry {
    when: Test,
    reason: Option<Expression>,
    renew: bool,
}

impl Rules {
    /// Compiles the rules among a step's keys.
    pub(super) fn compile(check: &mut Check<'_>, step: Fields<'_>) -> Self {
        let mut rules = Self::default();
        for fields in each(check, step, "done", &["when", "note"]) {
            let when = when(check, fields, "done");
            let note = check.required(fields, "note", "done").and_then(|node| answer(check, node));
            rules.done.extend(when.zip(note));
        }
        for fields in each(check, step, "absent", &["when"]) {
            rules.absent.extend(when(check, fields, "absent"));
        }
        for fields in each(check, step, "rejected", &["when", "disposition", "reason", "say"]) {
            let when = when(check, fields, "rejected");
            let disposition = fields.get("disposition").and_then(|node| disposition(check, node));
            let reason = fields.get("reason").and_then(|node| answer(check, node));
            let say = fields.get("say").and_then(|node| answer(check, node));
            rules.rejected.extend(when.map(|when| Refusal { when, disposition, reason, say }));
        }
        for fields in each(check, step, "retry", &["when", "reason", "renew"]) {
            let reason = fields.get("reason").and_then(|node| answer(check, node));
            let renew = fields.get("renew").is_some_and(|node| check.flag(node, "renew"));
            rules.retry.extend(when(check, fields, "retry").map(|when| Retry { when, reason, renew }));
        }
        if let Some(node) = step.get("accepted")
            && let Some(fields) = check.fields(node, "accepted", &["when", "job"])
        {
            rules.accepted = fields.get("when").and_then(|node| Test::compile(check, node, Place::ANSWER));
            rules.job = fields.get("job").and_then(|node| answer(check, node));
        }
        rules
    }

    /// The first rule that matches. A rule that looks into the body never matches one that cannot be read.
    pub(super) fn read(&self, answer: &Answer, xml_lists: &[String]) -> Verdict {
        let (document, unreadable) = match answer.document(xml_lists) {
            Ok(document) => (document, None),
            Err(error) => (Value::Null, Some(error.reason)),
        };
        let scope = Scope::of(answer, &document);
        let holds = |test: &Test| (unreadable.is_none() || !test.reads_body()) && test.holds(scope);
        let say = |expression: &Expression| text(expression, scope);

        if let Some((_, note)) = self.done.iter().find(|(when, _)| holds(when)) {
            return Verdict::Done { note: say(note).unwrap_or_default() };
        }
        if self.absent.iter().any(holds) {
            return Verdict::Absent;
        }
        if let Some(refusal) = self.rejected.iter().find(|refusal| holds(&refusal.when)) {
            let reason = refusal.reason.as_ref().and_then(say);
            return Verdict::Rejected {
                disposition: refusal.disposition,
                reason: reason.unwrap_or_else(|| format!("refused with HTTP {}", answer.status)),
                say: refusal.say.as_ref().and_then(say),
            };
        }
        if let Some(retry) = self.retry.iter().find(|retry| holds(&retry.when)) {
            let reason = retry.reason.as_ref().and_then(say);
            let reason = reason.unwrap_or_else(|| format!("HTTP {}", answer.status));
            return Verdict::Retry { reason, renew: retry.renew };
        }
        let success = (200..300).contains(&answer.status);
        let accepted = match &self.accepted {
            Some(when) => holds(when),
            None => success && unreadable.is_none(),
        };
        if !accepted {
            let reason = match unreadable {
                Some(reason) => format!("HTTP {}, and the answer cannot be read: {reason}", answer.status),
                None => format!("HTTP {}, and no rule of the mapping matches", answer.status),
            };
            return Verdict::NotAccepted { reason };
        }
        match &self.job {
            None => Verdict::Accepted { job: None },
            Some(job) => match text(job, scope).map(|text| Job::parse(text.trim())) {
                Some(Ok(job)) => Verdict::Accepted { job: Some(job) },
                Some(Err(error)) => Verdict::NotAccepted { reason: error.to_string() },
                None => Verdict::NotAccepted {
                    reason: format!("HTTP {}, and the answer holds no job reference", answer.status),
                },
            },
        }
    }
}

fn text(expression: &Expression, scope: Scope<'_>) -> Option<String> {
    expression.text(scope, &mut Trail::default()).ok().flatten().filter(|text| !text.trim().is_empty())
}

/// Compiles an expression over an answer.
fn answer(check: &mut Check<'_>, node: &Node) -> Option<Expression> {
    Expression::compile(check, node, Place::ANSWER)
}

fn when(check: &mut Check<'_>, fields: Fields<'_>, what: &str) -> Option<Test> {
    let node = check.required(fields, "when", what)?;
    Test::compile(check, node, Place::ANSWER)
}

fn each<'n>(check: &mut Check<'_>, step: Fields<'n>, key: &str, known: &[&str]) -> Vec<Fields<'n>> {
    let Some(node) = step.get(key) else { return Vec::new() };
    let items = check.items(node);
    items.iter().filter_map(|item| check.fields(item, key, known)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{SYSTEM, create, found, system};
    use super::*;

    const STEP: &str = r#"create:
  post: /
  json: {}
  done: [{when: {path: $.state, is: closed}, note: {template: "closed by {$.by}"}}]
  absent: {when: {status: 404}}
  rejected:
    - {when: {path: $.error, matches: already open}, disposition: duplicate, reason: $.error, say: We know of it.}
    - {when: {path: $.error, is: "no"}, reason: $.nothing}
  retry: [{when: {path: $.error, is: busy}, reason: $.error}, {when: {header: X-Busy, exists: true}}]
  accepted: {when: {all: [{status: [200, 201]}, {not: {path: $.error, exists: true}}]}, job: $.id}
"#;

    fn read(step: &str, status: u16, body: &str) -> Verdict {
        let system = system("", step);
        create(&system).steps[0].read(&Answer { status, headers: vec![], body: body.into() })
    }

    fn not_accepted(step: &str, status: u16, body: &str) -> String {
        let verdict = read(step, status, body);
        let Verdict::NotAccepted { reason } = verdict else { panic!("{verdict:?}") };
        reason
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let done = Verdict::Done { note: "closed by Ann".into() };
        assert_eq!(read(STEP, 404, r#"{"state": "closed", "by": "Ann"}"#), done);
        assert_eq!(read(STEP, 404, ""), Verdict::Absent);
        assert_eq!(
            read(STEP, 200, r#"{"error": "Bin is already open"}"#),
            Verdict::Rejected {
                disposition: Some(Disposition::Duplicate),
                reason: "Bin is already open".into(),
                say: Some("We know of it.".into())
            }
        );
        let refused =
            Verdict::Rejected { disposition: None, reason: "refused with HTTP 400".into(), say: None };
        assert_eq!(read(STEP, 400, r#"{"error": "no"}"#), refused);
        assert_eq!(
            read(STEP, 200, r#"{"error": "busy"}"#),
            Verdict::Retry { reason: "busy".into(), renew: false }
        );
        assert_eq!(read(STEP, 201, r#"{"id": 7}"#), Verdict::Accepted { job: Job::parse("7").ok() });
        assert!(not_accepted(STEP, 500, r#"{"id": 7}"#).contains("no rule of the mapping matches"));
    }

    #[test]
    fn a_retry_says_whether_credentials_are_fetched_anew() {
        let step = "create:\n  post: /\n  retry:\n    - {when: {path: $.error, is: session over}, reason: over, renew: true}\n    \
                    - {when: {path: $.error, is: busy}}\n";
        let over = Verdict::Retry { reason: "over".into(), renew: true };
        assert_eq!(read(step, 200, r#"{"error": "session over"}"#), over);
        let busy = Verdict::Retry { reason: "HTTP 400".into(), renew: false };
        assert_eq!(read(step, 400, r#"{"error": "busy"}"#), busy);
    }

    #[test]
    fn an_answer_without_the_job_reference_is_not_accepted() {
        assert!(not_accepted(STEP, 200, "{}").contains("no job reference"));
        assert!(not_accepted(STEP, 200, r#"{"id": "  "}"#).contains("no job reference"));
        assert!(not_accepted(STEP, 200, r#"{"id": {"x": 1}}"#).contains("no job reference"));
        assert!(
            not_accepted(STEP, 200, &format!(r#"{{"id": "{}"}}"#, "x".repeat(300))).contains("is not a job")
        );
    }

    #[test]
    fn a_body_that_cannot_be_read_matches_no_rule_that_looks_into_it() {
        for body in ["<html>Log in</html>", "{\"id\": 7", "<a><b>", "<!DOCTYPE x><x/>"] {
            assert!(not_accepted(STEP, 200, body).contains("cannot be read"), "{body}");
        }
        assert_eq!(read(STEP, 404, "<html/>"), Verdict::Absent);
    }

    #[test]
    fn without_rules_a_readable_2xx_is_accepted() {
        let plain = "create: {post: /, json: {}}\n";
        assert_eq!(read(plain, 204, ""), Verdict::Accepted { job: None });
        assert_eq!(read(plain, 200, "OK"), Verdict::Accepted { job: None });
        assert!(not_accepted(plain, 200, "<html/>").contains("HTML"));
        assert!(not_accepted(plain, 302, "").contains("HTTP 302"));
        let by_status = "create: {post: /, json: {}, accepted: {when: {status: 200}}}\n";
        assert_eq!(read(by_status, 200, "<html/>"), Verdict::Accepted { job: None });
    }

    #[test]
    fn a_wrong_rule_is_refused() {
        let cases = [
            ("done: [{when: {status: 200}}]", "done without note"),
            ("rejected: [{disposition: declined}]", "rejected without when"),
            ("rejected: [{when: {status: 400}, disposition: refused}]", "one of completed, follow_on"),
            ("accepted: {when: {status: 200}, jobs: $.id}", "did you mean job?"),
            ("absent: {when: {path: id, is: 1}}", "a JSONPath"),
        ];
        for (rule, expected) in cases {
            let service = format!("service: waste.missed-bin\nname: N\ncreate:\n  post: /\n  {rule}\n");
            let all = found(&[("systems/waste/system.yaml", SYSTEM), ("systems/waste/a.yaml", &*service)])
                .join("\n");
            assert!(all.contains(expected) && all.contains("systems/waste/a.yaml:5"), "{rule}: {all}");
        }
    }
}
