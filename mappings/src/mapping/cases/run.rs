use jiff::Timestamp;
use serde_json::Value;

use crate::mapping::{ByStatus, Call, Meaning, ReadError, Report, Row, Steps, System, Verdict};

use super::compare::{call, documents, same};
use super::context::{NOW, about, context};
use super::expected::{ExpectedReport, Then};
use super::file::{Case, Subject};
use super::perform::{End, perform};

/// Runs one case; an error is what differed.
pub(super) fn run(case: &Case, system: &System) -> Result<(), String> {
    match &case.subject {
        Subject::Operation(service, operation) => match system.operation(service, *operation) {
            Some(steps) => made(case, system, steps),
            None => Err(format!("{} has no {operation} for {service}", system.name)),
        },
        Subject::Call(name) => match system.call(name) {
            Some(steps) => made(case, system, steps),
            None => Err(format!("{} has no call {name}", system.name)),
        },
        Subject::Webhook => {
            let webhook = system.webhook.as_ref().ok_or_else(|| format!("{} has no webhook", system.name))?;
            let event = case.event.as_ref().ok_or("the case has no event")?;
            let reports = match &event.unreadable {
                Some(reason) => Err(ReadError { reason: reason.clone() }),
                None => webhook.reports(&event.answer).map(|reading| reading.reports),
            };
            read(case, system, reports)
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

fn made(case: &Case, system: &System, steps: &Steps) -> Result<(), String> {
    let context = context(case, system)?;
    let about = about(case, system, &context);
    let made = perform(&case.answers, system, steps, context, about);
    let error = match (&made.end, &made.reports, &made.items) {
        (End::NotRendered(error), _, _) => Some(error.to_string()),
        (_, Err(error), _) | (_, _, Err(error)) => Some(error.to_string()),
        (End::Verdict { .. } | End::Pending { .. } | End::NoAnswer, Ok(_), Ok(_)) => None,
    };
    let (reported, items) = match (error, made.reports, made.items) {
        (None, Ok(reports), Ok(items)) => (reports, items),
        (error, _, _) => return failed(case, &error.unwrap_or_default()),
    };
    if let Some(error) = &case.error {
        return Err(format!("expected an error with {error:?}, got none"));
    }
    calls(case, system, &made.calls)?;
    for expected in &case.warnings {
        if !made.warnings.iter().any(|warning| warning.contains(expected)) {
            return Err(format!("expected a warning with {expected:?}, got {:?}", made.warnings));
        }
    }
    if let Some(expected) = &case.reports {
        reports(case, system, expected, &reported)?;
    }
    if let Some(expected) = &case.items {
        documents(expected, &Value::Array(items))?;
    }
    if made.unused > 0 {
        return Err(format!("{} answers were never asked for", made.unused));
    }
    match (&case.then, &made.end) {
        (None, _) => Ok(()),
        (Some(then), End::Verdict { verdict, status, notes }) => ended(then, verdict, *status, notes),
        (Some(then), End::Pending { job, reason }) => pending(then, job.as_deref(), reason),
        (Some(_), End::NoAnswer | End::NotRendered(_)) => {
            Err("the case ends without an answer to every call".into())
        }
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

fn calls(case: &Case, system: &System, calls: &[Call]) -> Result<(), String> {
    let connection = &system.connection;
    if let Some(expected) = &case.call {
        call(expected, calls.first().ok_or("expected a call, got none")?, connection)?;
    }
    let Some(expected) = &case.calls else { return Ok(()) };
    for (at, (expected, made)) in expected.iter().zip(calls).enumerate() {
        call(expected, made, connection).map_err(|difference| format!("call {}: {difference}", at + 1))?;
    }
    if expected.len() != calls.len() {
        return Err(format!("expected {} calls, got {}", expected.len(), calls.len()));
    }
    Ok(())
}

fn ended(then: &Then, verdict: &Verdict, status: u16, notes: &[String]) -> Result<(), String> {
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
        (
            Then::Retry(reason),
            Verdict::Retry { reason: found, .. }
            | Verdict::Unmatched { reason: found, by_status: ByStatus::Retry },
        ) => held("retry", reason, found),
        (
            Then::Rejected { disposition: None, reason, say: None },
            Verdict::Unmatched { reason: found, by_status: ByStatus::Rejected },
        ) => reason.as_ref().map_or(Ok(()), |reason| held("reason", reason, found)),
        // No rule of the mapping fits, whatever the status makes of it.
        (Then::Unknown(reason), Verdict::Unmatched { reason: found, .. }) => {
            held("unknown", reason, &format!("HTTP {status}: {found}"))
        }
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
    let now = Timestamp::from_second(NOW).unwrap_or(Timestamp::UNIX_EPOCH);
    let translated = match &event.unreadable {
        Some(reason) => Err(ReadError { reason: reason.clone() }),
        None => intake.translate(&event.answer.body, now),
    };
    let (id, document) = match translated {
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
