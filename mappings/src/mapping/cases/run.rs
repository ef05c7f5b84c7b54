use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::domain::{Job, Operation};
use crate::mapping::{
    Call, Intake, Meaning, Poll, ReadError, RenderError, Rendered, Report, Row, Step, Steps, System, Verdict,
    add_step,
};

use super::compare::{call, documents, same};
use super::expected::{ExpectedReport, Then};
use super::file::{Case, Subject, merge};

/// Runs one case; an error is what differed.
pub(super) fn run(case: &Case, system: &System) -> Result<(), String> {
    match &case.subject {
        Subject::Operation(service, operation) => match system.operation(service, *operation) {
            Some(steps) => made(case, system, steps, operation.as_str()),
            None => Err(format!("{} has no {operation} for {service}", system.name)),
        },
        Subject::Call(name) => match system.call(name) {
            Some(steps) => made(case, system, steps, name),
            None => Err(format!("{} has no call {name}", system.name)),
        },
        Subject::Webhook => {
            let webhook = system.webhook.as_ref().ok_or_else(|| format!("{} has no webhook", system.name))?;
            let event = case.event.as_ref().ok_or("the case has no event")?;
            read(case, system, webhook.reports(event).map(|reading| reading.reports))
        }
        Subject::Files => {
            let files = system.files.as_ref().ok_or_else(|| format!("{} tells by no files", system.name))?;
            let rows = case.rows.iter().map(|row| files.row(row)).collect::<Result<Vec<_>, _>>();
            let said = |row| match row {
                Row::Says(reports) => reports,
                Row::PassedOver => Vec::new(),
            };
            read(case, system, rows.map(|rows| rows.into_iter().flat_map(said).collect()))
        }
        Subject::Intake => translated(case, system),
    }
}

/// What came of an operation.
struct Made {
    calls: Vec<Call>,
    items: Vec<Value>,
    warnings: Vec<String>,
    reports: Vec<Report>,
    end: End,
    unused: usize,
}

enum End {
    Verdict(Verdict, Vec<String>),
    /// The system has it, and a step that only reads is made again later.
    Pending {
        job: Option<String>,
        reason: String,
    },
    NoAnswer,
    NotRendered(RenderError),
    NotRead(ReadError),
}

fn made(case: &Case, system: &System, steps: &Steps, operation: &str) -> Result<(), String> {
    let made = perform(case, system, steps, operation);
    if let End::NotRendered(error) = &made.end {
        return failed(case, &error.to_string());
    }
    if let End::NotRead(error) = &made.end {
        return failed(case, &error.to_string());
    }
    if let Some(error) = &case.error {
        return Err(format!("expected an error with {error:?}, got none"));
    }
    calls(case, &made.calls)?;
    for expected in &case.warnings {
        if !made.warnings.iter().any(|warning| warning.contains(expected)) {
            return Err(format!("expected a warning with {expected:?}, got {:?}", made.warnings));
        }
    }
    if let Some(expected) = &case.reports {
        reports(case, system, expected, &made.reports)?;
    }
    if let Some(expected) = &case.items {
        documents(expected, &Value::Array(made.items))?;
    }
    if made.unused > 0 {
        return Err(format!("{} answers were never asked for", made.unused));
    }
    match (&case.then, &made.end) {
        (None, _) => Ok(()),
        (Some(then), End::Verdict(verdict, notes)) => ended(then, verdict, notes),
        (Some(then), End::Pending { job, reason }) => pending(then, job.as_deref(), reason),
        (Some(_), _) => Err("the case ends without an answer to every call".into()),
    }
}

fn pending(then: &Then, job: Option<&str>, reason: &str) -> Result<(), String> {
    let (expected_job, expected) = match then {
        Then::Pending { job, reason } => (job.as_deref(), reason.as_deref().unwrap_or_default()),
        Then::Retry(reason) => (None, reason.as_str()),
        Then::Delivered { .. }
        | Then::Rejected { .. }
        | Then::Unknown(_)
        | Then::Absent
        | Then::Request { .. } => return Err(format!("another end: got pending, {reason:?}")),
    };
    if let Some(expected) = expected_job {
        same("job", expected, job.unwrap_or("none"))?;
    }
    if reason.contains(expected) {
        Ok(())
    } else {
        Err(format!("pending: expected a reason with {expected:?}, got {reason:?}"))
    }
}

fn failed(case: &Case, error: &str) -> Result<(), String> {
    match &case.error {
        Some(expected) if error.contains(expected.as_str()) => Ok(()),
        Some(expected) => Err(format!("expected an error with {expected:?}, got {error:?}")),
        None => Err(format!("expected no error, got {error:?}")),
    }
}

fn calls(case: &Case, calls: &[Call]) -> Result<(), String> {
    if let Some(expected) = &case.call {
        call(expected, calls.first().ok_or("expected a call, got none")?)?;
    }
    let Some(expected) = &case.calls else { return Ok(()) };
    for (at, (expected, made)) in expected.iter().zip(calls).enumerate() {
        call(expected, made).map_err(|difference| format!("call {}: {difference}", at + 1))?;
    }
    if expected.len() != calls.len() {
        return Err(format!("expected {} calls, got {}", expected.len(), calls.len()));
    }
    Ok(())
}

fn perform(case: &Case, system: &System, steps: &Steps, operation: &str) -> Made {
    let mut context = context(case, system, operation);
    let mut answers = case.answers.iter();
    let (mut notes, mut job, mut changed) = (Vec::new(), None, false);
    let about = about(system, operation, &context);
    let mut made = Made {
        calls: vec![],
        items: vec![],
        warnings: vec![],
        reports: vec![],
        end: End::NoAnswer,
        unused: 0,
    };
    let harvest = system.intake().and_then(Intake::harvest);
    let mut queue: VecDeque<(&Step, Option<Call>)> = steps.steps.iter().map(|step| (step, None)).collect();
    while let Some((step, page)) = queue.pop_front() {
        if page.is_none() && !step.applies(&context) {
            continue;
        }
        let rendered = match page {
            Some(call) => Ok(Rendered { call, warnings: Vec::new() }),
            None => step.render(&context),
        };
        match rendered {
            Ok(mut rendered) => {
                made.calls.push(rendered.call);
                made.warnings.append(&mut rendered.warnings);
            }
            Err(error) if step.optional => {
                notes.push(error.to_string());
                continue;
            }
            Err(error) => {
                made.end = End::NotRendered(error);
                return made;
            }
        }
        let Some(answer) = answers.next() else {
            made.end = End::NoAnswer;
            return made;
        };
        let mut answer = answer.clone();
        let list = match step.separate(&mut answer) {
            Ok(list) => list,
            Err(error) => {
                made.end = End::NotRead(error);
                return made;
            }
        };
        let answer = &answer;
        let verdict = step.read(answer);
        if matches!(verdict, Verdict::Accepted { .. }) {
            match step.reports(answer, list.as_ref(), about.as_ref()) {
                Ok(mut reading) => made.reports.append(&mut reading.reports),
                Err(error) => {
                    made.end = End::NotRead(error);
                    return made;
                }
            }
            let page = step.document(answer).unwrap_or_default();
            made.items.extend(harvest.map(|harvest| harvest.items(&page)).unwrap_or_default());
            if let (Some(path), Some(call)) = (step.next(answer), made.calls.last()) {
                queue.push_front((step, Some(Call { path, ..call.clone() })));
            }
        }
        add_step(&mut context, &step.name, step.seen(answer));
        match verdict {
            Verdict::Accepted { job: found } => {
                job = found.or(job);
                changed |= step.would_double();
                made.end = End::Verdict(Verdict::Accepted { job: job.clone() }, notes.clone());
            }
            Verdict::Retry { reason, .. } | Verdict::NotAccepted { reason } if step.optional => {
                notes.push(reason)
            }
            Verdict::Rejected { reason, .. } if step.optional => notes.push(reason),
            Verdict::Absent if step.optional => notes.push("absent".into()),
            Verdict::Retry { reason, .. } if changed && step.is_get() => {
                made.end = End::Pending { job: job.map(|job| job.to_string()), reason };
                made.unused = answers.count();
                return made;
            }
            stop @ (Verdict::Done { .. }
            | Verdict::Absent
            | Verdict::Rejected { .. }
            | Verdict::Retry { .. }
            | Verdict::NotAccepted { .. }) => {
                made.end = End::Verdict(stop, notes);
                made.unused = answers.count();
                return made;
            }
        }
    }
    if let End::Verdict(_, said) = &mut made.end {
        *said = notes;
    }
    made.unused = answers.count();
    made
}

/// The job that a call is about, where each call is about one.
fn about(system: &System, call: &str, context: &Value) -> Option<Job> {
    let polls = matches!(&system.poll, Some(Poll::EachJob { call: each, .. }) if each == call);
    let asks = system.status.as_ref().is_some_and(|status| status.batch.is_none() && status.call == call);
    let reads = system.webhook.as_ref().and_then(|webhook| webhook.read_back.as_deref()) == Some(call);
    let job = context.pointer("/dovetail/job").and_then(Value::as_str).filter(|_| polls || asks || reads);
    job.and_then(|job| Job::parse(job).ok())
}

fn context(case: &Case, system: &System, operation: &str) -> Value {
    let mut context = json!({"dovetail": {
        "key": "00000000-0000-7000-8000-00000000000a",
        "request": "00000000-0000-7000-8000-00000000000b",
        "handover": "00000000-0000-7000-8000-00000000000c",
        "operation": operation,
        "now": "2026-11-22T09:15:00Z",
    }});
    let by_name = matches!(case.subject, Subject::Call(_));
    if by_name || matches!(case.subject, Subject::Operation(_, Operation::Amend | Operation::Cancel)) {
        merge(&mut context, json!({"dovetail": {"job": "JOB-1"}}));
    }
    if by_name {
        merge(
            &mut context,
            json!({"dovetail": {"since": "2026-11-22T09:00:00Z", "until": "2026-11-22T09:15:00Z", "jobs": ["JOB-1", "JOB-2"]}}),
        );
    }
    if let Some(event) = &case.event {
        let document = system.webhook.as_ref().map(|webhook| webhook.document(event));
        if let Some(Ok(document)) = document {
            merge(&mut context, json!({"event": document}));
        }
    }
    merge(&mut context, case.given.clone());
    context
}

fn ended(then: &Then, verdict: &Verdict, notes: &[String]) -> Result<(), String> {
    let held = |what: &str, expected: &str, got: &str| {
        let differs = || format!("{what}: expected one with {expected:?}, got {got:?}");
        if got.contains(expected) { Ok(()) } else { Err(differs()) }
    };
    match (then, verdict) {
        (Then::Delivered { job, note }, Verdict::Accepted { job: found }) => {
            if let Some(job) = job {
                same("job", job, found.as_ref().map_or("none", |job| job.as_str()))?;
            }
            note.as_ref().map_or(Ok(()), |note| held("note", note, &notes.join("; ")))
        }
        (Then::Delivered { job: None, note }, Verdict::Done { note: found }) => {
            note.as_ref().map_or(Ok(()), |note| held("note", note, found))
        }
        (
            Then::Rejected { disposition, reason, say },
            Verdict::Rejected { disposition: found, reason: why, say: told },
        ) => {
            if disposition != found {
                return Err(format!("disposition: expected {disposition:?}, got {found:?}"));
            }
            if let Some(reason) = reason {
                held("reason", reason, why)?;
            }
            say.as_ref().map_or(Ok(()), |say| same("say", say, told.as_deref().unwrap_or("nothing")))
        }
        (Then::Retry(reason), Verdict::Retry { reason: found, .. }) => held("retry", reason, found),
        (Then::Unknown(reason), Verdict::NotAccepted { reason: found }) => held("unknown", reason, found),
        (Then::Absent, Verdict::Absent) => Ok(()),
        (
            Then::Delivered { .. }
            | Then::Rejected { .. }
            | Then::Pending { .. }
            | Then::Retry(_)
            | Then::Unknown(_)
            | Then::Absent
            | Then::Request { .. },
            other,
        ) => Err(format!("another end: got {other:?}")),
    }
}

fn read(
    case: &Case,
    system: &System,
    found: Result<Vec<Report>, impl std::fmt::Display>,
) -> Result<(), String> {
    match found {
        Err(error) => failed(case, &error.to_string()),
        Ok(_) if case.error.is_some() => Err("expected an error, got none".into()),
        Ok(found) => match &case.reports {
            Some(expected) => reports(case, system, expected, &found),
            None => Ok(()),
        },
    }
}

fn reports(
    case: &Case,
    system: &System,
    expected: &[ExpectedReport],
    found: &[Report],
) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("expected {} reports, got {}", expected.len(), found.len()));
    }
    for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
        report(case, system, expected, found)
            .map_err(|difference| format!("report {}: {difference}", at + 1))?;
    }
    Ok(())
}

fn report(case: &Case, system: &System, expected: &ExpectedReport, found: &Report) -> Result<(), String> {
    let meaning = system.meaning(case.service.as_ref(), &found.said, found.note.as_deref());
    let (reason, say) = match &meaning {
        Meaning::Ended { reason, say, .. } => (reason.clone(), say.clone()),
        Meaning::Progress { say, .. } => (None, say.clone()),
        Meaning::Unrecognised => (None, None),
    };
    for (name, value) in &expected.fields {
        let got = match *name {
            "key" => found.key.clone(),
            "job" => found.job.as_ref().map(ToString::to_string),
            "reference" => found.reference.as_ref().map(ToString::to_string),
            "at" => found.at.map(|at| at.to_string()),
            "note" => found.note.clone(),
            "reason" => reason.clone(),
            _ => say.clone(),
        };
        let expected = match *name {
            "at" => value.parse::<Timestamp>().map_or_else(|_| value.clone(), |at| at.to_string()),
            _ => value.clone(),
        };
        same(name, &expected, got.as_deref().unwrap_or("nothing"))?;
    }
    if let Some(said) = &expected.said {
        same("status", said, &found.said)?;
    }
    match &meaning {
        Meaning::Ended { disposition, .. } => {
            if expected.disposition.is_some_and(|wanted| wanted != *disposition) {
                return Err(format!("expected {:?}, got {disposition}", expected.disposition));
            }
        }
        Meaning::Progress { .. } | Meaning::Unrecognised if expected.disposition.is_some() => {
            return Err(format!("expected {:?}, got {meaning:?}", expected.disposition));
        }
        Meaning::Progress { progress, .. } => {
            if expected.progress.is_some_and(|wanted| wanted != *progress) {
                return Err(format!("expected {:?}, got {progress}", expected.progress));
            }
        }
        Meaning::Unrecognised => {}
    }
    if expected.progress.is_some() && !matches!(meaning, Meaning::Progress { .. }) {
        return Err(format!("expected {:?}, got {meaning:?}", expected.progress));
    }
    if expected.unrecognised && meaning != Meaning::Unrecognised {
        return Err(format!("expected a word nobody knows, got {meaning:?}"));
    }
    Ok(())
}

fn translated(case: &Case, system: &System) -> Result<(), String> {
    let intake = system.intake().ok_or_else(|| format!("{} has no intake", system.name))?;
    let event = case.event.as_ref().ok_or("the case has no event")?;
    let now = Timestamp::from_second(1_795_338_900).unwrap_or(Timestamp::UNIX_EPOCH);
    let (id, document) = match intake.translate(&event.body, now) {
        Ok(translated) => translated,
        Err(error) => return failed(case, &error.to_string()),
    };
    if let Some(error) = &case.error {
        return Err(format!("expected an error with {error:?}, got none"));
    }
    let Some(Then::Request { request, event }) = &case.then else {
        return Err("a case of an intake expects then: {request: …, event: …} or an error".into());
    };
    if let Some(event) = event {
        same("event", event, id.as_deref().unwrap_or("none"))?;
    }
    match request {
        Some(request) => documents(request, &document),
        None => Ok(()),
    }
}
