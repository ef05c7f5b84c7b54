//! What an answer means: `done`, `absent`, `rejected`, `retry`, `accepted`, in this order.

use serde_json::Value;

use crate::domain::{Disposition, Job};

use super::check::{Check, Fields};
use super::expression::Expression;
use super::failure::{Failure, Kind, without_fault};
use super::place::Place;
use super::scope::{Scope, Trail};
use super::statuses::disposition;
use super::test::Test;
use super::yaml::Node;
use super::{Answer, Received, Verdict, unmatched};

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
    ///
    /// A SOAP fault is never an acceptance, and only a rule that is about the fault itself reads it otherwise. A page
    /// for a browser is none either, nor is an error object unless a rule that looks into the body takes it for one.
    pub(super) fn read(&self, received: &Received, step: Asking<'_>) -> Verdict {
        let answer = &received.answer;
        let (document, unreadable) = match received.document(step.xml_lists) {
            Ok(document) => (document, None),
            Err(error) => (Value::Null, Some(error.reason)),
        };
        let scope = Scope::of(answer, &document);
        let holds = |test: &Test| (unreadable.is_none() || !test.reads_body()) && test.holds(scope);
        let say = |expression: &Expression| text(expression, scope);
        let failure = Failure::of(answer, &document);
        let rest = failure.as_ref().filter(|failure| failure.is_fault()).map(|_| without_fault(&document));
        // A rule that fits without the fault as well was written for another answer.
        let is_about_it = |test: &Test| {
            rest.as_ref().is_none_or(|rest| test.reads_body() && !test.holds(Scope::of(answer, rest)))
        };
        let ends = |test: &Test| holds(test) && is_about_it(test);
        let fits = |test: &Test| holds(test) && (!test.reads_body() || is_about_it(test));

        if let Some((_, note)) = self.done.iter().find(|(when, _)| ends(when)) {
            return Verdict::Done { note: say(note).unwrap_or_default() };
        }
        if self.absent.iter().any(ends) {
            return Verdict::Absent;
        }
        if let Some(refusal) = self.rejected.iter().find(|refusal| fits(&refusal.when)) {
            let reason = refusal.reason.as_ref().and_then(say);
            return Verdict::Rejected {
                disposition: refusal.disposition,
                reason: reason.unwrap_or_else(|| format!("refused with HTTP {}", answer.status)),
                say: refusal.say.as_ref().and_then(say),
            };
        }
        if let Some(retry) = self.retry.iter().find(|retry| fits(&retry.when)) {
            let reason = retry.reason.as_ref().and_then(say);
            let reason = reason.unwrap_or_else(|| format!("HTTP {}", answer.status));
            return Verdict::Retry { reason, renew: retry.renew };
        }
        let success = (200..300).contains(&answer.status);
        let unmatched = |why: &str| unmatched::by_status(step.method, answer, why);
        match &failure {
            Some(Failure { kind: Kind::Refusal, words }) if !unmatched::is_a_promise(answer.status) => {
                return Verdict::Rejected { disposition: None, reason: words.clone(), say: None };
            }
            Some(Failure { kind: Kind::Refusal | Kind::Fault, words }) => {
                return unmatched::failed(step.method, answer, words);
            }
            // A rule may name the status of an error that does no harm; a success that is an error it must look at.
            Some(Failure { kind: Kind::ErrorObject, words })
                if !self
                    .accepted
                    .as_ref()
                    .is_some_and(|when| holds(when) && (!success || when.reads_body())) =>
            {
                return unmatched::stated(step.method, answer, words);
            }
            Some(Failure { kind: Kind::ErrorObject, .. }) | None => {}
        }
        if answer.is_page() && success {
            return unmatched(&match unreadable {
                Some(reason) => format!("the answer cannot be read: {reason}, a web page"),
                None => "a web page came where an answer should be".to_owned(),
            });
        }
        let accepted = match (&self.accepted, &unreadable) {
            (Some(when), None) => holds(when),
            // A word that is no data says no more than the status does, and a status of an error that the mapping names
            // says enough; half a document under a success is half an answer.
            (Some(when), Some(_)) => {
                received.unreadable.is_none() && (!success || !answer.is_structured()) && holds(when)
            }
            (None, unreadable) => success && unreadable.is_none(),
        };
        if !accepted {
            return unmatched(&match (&received.unreadable, unreadable) {
                (Some(reason), _) => reason.clone(),
                (None, Some(reason)) => format!("the answer cannot be read: {reason}"),
                (None, None) => "no rule of the mapping matches".to_owned(),
            });
        }
        if received.may_be_cut() && (step.reads_reports || self.reads_job_of_the_body(answer, scope)) {
            return unmatched(
                "the answer gives no length and may be cut short: what it says is not believed",
            );
        }
        match &self.job {
            None => Verdict::Accepted { job: None },
            Some(job) => match text(job, scope).map(|text| Job::parse(text.trim())) {
                Some(Ok(job)) => Verdict::Accepted { job: Some(job) },
                Some(Err(error)) => unmatched(&error.to_string()),
                None => unmatched("the answer holds no job reference"),
            },
        }
    }

    /// Whether the job reference comes out of the body: a header is always whole.
    fn reads_job_of_the_body(&self, answer: &Answer, scope: Scope<'_>) -> bool {
        let Some(job) = &self.job else { return false };
        text(job, scope) != text(job, Scope::of(answer, &Value::Null))
    }

    /// Whether an answer is accepted only where something in it shows that the system did what was asked.
    pub(super) fn prove(&self) -> bool {
        self.job.is_some() || self.accepted.as_ref().is_some_and(Test::proves)
    }
}

/// What is known of the step whose answer is read.
#[derive(Clone, Copy)]
pub(super) struct Asking<'s> {
    /// The method of its call.
    pub(super) method: &'static str,
    /// Reports are read out of the answer.
    pub(super) reads_reports: bool,
    /// Elements that are always lists.
    pub(super) xml_lists: &'s [String],
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
    use super::super::ByStatus;
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
        create(&system).steps[0].read(&Answer { status, headers: vec![], body: body.into() }.into())
    }

    fn not_accepted(step: &str, status: u16, body: &str) -> String {
        let verdict = read(step, status, body);
        let Verdict::Unmatched { reason, .. } = verdict else { panic!("{verdict:?}") };
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
        assert!(not_accepted(plain, 302, "").contains("answered 302 Found"));
        let by_status = "create: {post: /, json: {}, accepted: {when: {status: 200}}}\n";
        assert_eq!(read(by_status, 200, "OK"), Verdict::Accepted { job: None });
        for body in ["<html/>", "<!doctype html><p>Log in", "{\"id\": 7", "<a><b>", "[1,"] {
            assert!(not_accepted(by_status, 200, body).contains("cannot be read"), "{body}");
        }
    }

    const FAULT: &str = "<e:Envelope xmlns:e='x'><e:Body><e:Fault><faultcode>e:CODE</faultcode>\
                         <faultstring>Out of order</faultstring></e:Fault></e:Body></e:Envelope>";

    fn fault(step: &str, status: u16, code: &str) -> Verdict {
        read(step, status, &FAULT.replace("CODE", code))
    }

    #[test]
    fn a_soap_fault_is_no_acceptance_whatever_the_status_and_the_rules_say() {
        for rules in [
            "",
            ", accepted: {when: {status: [200, 400, 500]}}",
            ", accepted: {when: {not: {path: $..Error, exists: true}}}",
            ", accepted: {when: {path: \"$..*\", exists: true}, job: $..faultcode}",
            ", done: {when: {not: {path: $..State, is: open}}, note: closed}",
            ", done: {when: {status: [200, 400, 500]}, note: closed}",
            ", absent: {when: {path: $..Job, exists: false}}",
            ", rejected: {when: {path: $..Job, exists: false}, disposition: duplicate}",
            ", retry: {when: {path: $..Job, exists: false}}",
        ] {
            let step = format!("create: {{post: /, soap: {{A: }}{rules}}}\n");
            for status in [200, 400, 500] {
                let refusal =
                    Verdict::Rejected { disposition: None, reason: "Out of order".into(), say: None };
                assert_eq!(fault(&step, status, "Client"), refusal, "{rules}");
                let failed = fault(&step, status, "Server");
                let Verdict::Unmatched { reason, by_status: ByStatus::Unknown } = failed else {
                    panic!("{rules}: {failed:?}")
                };
                assert!(reason.ends_with(": Out of order"), "{reason}");
            }
        }
        let read_only = "create: {get: /}\n";
        let again = fault(read_only, 200, "Server");
        assert!(matches!(again, Verdict::Unmatched { by_status: ByStatus::Retry, .. }), "{again:?}");
    }

    #[test]
    fn a_rule_that_is_about_the_fault_goes_first() {
        let step = |rule: &str| format!("create: {{post: /, soap: {{A: }}, {rule}}}\n");
        let about = "{path: $..faultstring, matches: order}";
        let done = step(&format!("done: {{when: {about}, note: it was done}}"));
        assert_eq!(fault(&done, 500, "Server"), Verdict::Done { note: "it was done".into() });
        assert_eq!(fault(&step(&format!("absent: {{when: {about}}}")), 500, "Server"), Verdict::Absent);
        let retry = step(&format!("retry: {{when: {about}, reason: $..faultstring}}"));
        assert_eq!(
            fault(&retry, 200, "Client"),
            Verdict::Retry { reason: "Out of order".into(), renew: false }
        );
        let by_status = step("retry: {when: {status: 500}, reason: busy}");
        assert_eq!(fault(&by_status, 500, "Server"), Verdict::Retry { reason: "busy".into(), renew: false });
        let refused =
            fault(&step(&format!("rejected: {{when: {about}, disposition: declined}}")), 200, "Server");
        assert!(matches!(refused, Verdict::Rejected { disposition: Some(Disposition::Declined), .. }));
    }

    #[test]
    fn an_error_object_is_accepted_only_by_a_rule_that_looks_into_it() {
        let error = r#"{"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "Out of order"}}"#;
        for rules in ["", ", accepted: {when: {status: 200}}"] {
            let step = format!("create: {{post: /, json: {{}}{rules}}}\n");
            assert!(not_accepted(&step, 200, error).ends_with("-32000: Out of order"), "{rules}");
        }
        let looks = "create: {post: /, json: {}, accepted: {when: {path: $.error.code, is: -32000}}}\n";
        assert_eq!(read(looks, 200, error), Verdict::Accepted { job: None });
        assert!(not_accepted("create: {post: /, json: {}}\n", 400, error).contains("Out of order"));
        let there = "create: {post: /, json: {}, accepted: {when: {status: [201, 412]}}}\n";
        assert_eq!(read(there, 412, error), Verdict::Accepted { job: None });
    }

    #[test]
    fn a_bare_word_without_an_end_is_not_believed_where_it_may_be_cut() {
        let verdict = |step: &str, body: &str, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let answer = Answer { status: 200, headers, body: body.into() };
            let system = system("", step);
            create(&system).steps[0].read(&Received { is_open_ended: true, ..answer.into() })
        };
        let bare = "create: {post: /, json: {}, accepted: {job: $}}\n";
        let cut = verdict(bare, "1234", &[]);
        assert!(matches!(&cut, Verdict::Unmatched { reason, .. } if reason.contains("cut short")), "{cut:?}");
        assert!(matches!(verdict(bare, "1234\r\n", &[]), Verdict::Accepted { job: Some(_) }));
        let form = "create: {post: /, json: {}, accepted: {job: $.id}}\n";
        let kind = ("content-type", "application/x-www-form-urlencoded");
        assert!(matches!(verdict(form, "id=12", &[kind]), Verdict::Unmatched { .. }));
        assert!(matches!(verdict(form, "{\"id\": 12}", &[]), Verdict::Accepted { job: Some(_) }));
        assert!(matches!(verdict(form, "{\"id\": 12", &[]), Verdict::Unmatched { .. }));
        let header = "create: {post: /, json: {}, accepted: {job: {header: Location}}}\n";
        assert!(matches!(verdict(header, "mad", &[("location", "7")]), Verdict::Accepted { job: Some(_) }));
        assert!(matches!(
            verdict("create: {post: /, json: {}}\n", "O", &[]),
            Verdict::Accepted { job: None }
        ));
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
