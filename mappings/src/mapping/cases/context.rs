//! The document that `$` selects from in a case: what the router knows when it makes such a call, made up.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::domain::{CallId, HandoverId, Job, Operation, RequestId};
use crate::mapping::{Facts, Idempotency, Intake, Poll, System, context_of};

use super::file::{CONTEXT, Case, Subject, merge};

/// 2026-11-22T09:15:00Z, when every case plays.
pub(super) const NOW: i64 = 1_795_338_900;

/// The context of a case.
///
/// # Errors
/// The event of the case cannot be read.
pub(super) fn context(case: &Case, system: &System) -> Result<Value, String> {
    let now = Timestamp::from_second(NOW).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut facts = Facts::at(now);
    let mut given = case.given.clone();
    match &case.subject {
        Subject::Operation(_, operation) => {
            work(&mut facts, *operation);
            let about_a_job = matches!(operation, Operation::Amend | Operation::Cancel);
            facts.job = about_a_job.then(|| job("JOB-1")).flatten();
        }
        Subject::Call(name) => by_name(system, name, &mut facts, &mut given),
        Subject::Webhook | Subject::Intake | Subject::Files => {}
    }
    if let (Some(event), Some(webhook)) = (&case.event, &system.webhook) {
        let unreadable = |reason: String| format!("the event cannot be read: {reason}");
        if let Some(reason) = &event.unreadable {
            return Err(unreadable(reason.clone()));
        }
        facts.event = Some(webhook.document(&event.answer).map_err(|error| unreadable(error.reason))?);
    }
    let mut context = context_of(Value::Object(Map::new()), &facts);
    merge(&mut context, given);
    Ok(context)
}

/// What is known of a piece of work.
fn work(facts: &mut Facts, operation: Operation) {
    facts.key = CallId::parse("00000000-0000-7000-8000-00000000000a").ok();
    facts.request = RequestId::parse("00000000-0000-7000-8000-00000000000b").ok();
    facts.handover = HandoverId::parse("00000000-0000-7000-8000-00000000000c").ok();
    facts.operation = Some(operation);
}

/// What is known where a call is made by its name: a look-up is about a request; whoever polls knows no more than the
/// time or the job.
fn by_name(system: &System, name: &str, facts: &mut Facts, given: &mut Value) {
    let since = Timestamp::from_second(NOW - 15 * 60).ok();
    let mut is_used = false;
    let mut is_about_a_request = false;
    if system.idempotency == Idempotency::LookUp(name.to_owned()) {
        work(facts, Operation::Create);
        (is_used, is_about_a_request) = (true, true);
    }
    match &system.poll {
        Some(Poll::Changed { call, .. }) if call == name => {
            facts.since = since;
            facts.until = Some(facts.now);
            if system.call(name).is_some_and(|steps| steps.names_jobs) {
                facts.jobs = ["JOB-1", "JOB-2"].into_iter().filter_map(job).collect();
            }
            is_used = true;
        }
        Some(Poll::EachJob { call, .. }) if call == name => {
            about_a_job(facts);
            is_used = true;
        }
        Some(Poll::Changed { .. } | Poll::EachJob { .. }) | None => {}
    }
    if let Some(status) = system.status.as_ref().filter(|status| status.call == name) {
        if status.batch.is_some() {
            facts.jobs = ["JOB-1", "JOB-2"].into_iter().filter_map(job).collect();
        } else {
            about_a_job(facts);
        }
        is_used = true;
    }
    if system.webhook.as_ref().is_some_and(|webhook| webhook.read_back.as_deref() == Some(name)) {
        facts.job = job("JOB-1");
        is_used = true;
    }
    if let Some(harvest) = system.intake().and_then(Intake::harvest) {
        if harvest.call == name {
            facts.since = since;
        }
        is_used |= harvest.call == name || harvest.then.as_deref() == Some(name);
    }
    if !is_used {
        // Nothing makes this call yet.
        work(facts, Operation::Create);
        facts.job = job("JOB-1");
        facts.since = since;
    } else if !is_about_a_request && let Value::Object(members) = given {
        members.retain(|name, _| name == "event" || CONTEXT.contains(&name.as_str()));
    }
}

/// The job that a call by name is about, whose answer need not name it.
pub(super) fn about(case: &Case, system: &System, context: &Value) -> Option<Job> {
    let Subject::Call(name) = &case.subject else { return None };
    let polls = matches!(&system.poll, Some(Poll::EachJob { call, .. }) if call == name);
    let asks = system.status.as_ref().is_some_and(|status| status.batch.is_none() && status.call == *name);
    let reads = system.webhook.as_ref().and_then(|webhook| webhook.read_back.as_ref()) == Some(name);
    let job = context.pointer("/dovetail/job").and_then(Value::as_str).filter(|_| polls || asks || reads);
    job.and_then(|job| Job::parse(job).ok())
}

fn about_a_job(facts: &mut Facts) {
    facts.job = job("JOB-1");
    facts.handover = HandoverId::parse("00000000-0000-7000-8000-00000000000c").ok();
}

fn job(text: &str) -> Option<Job> {
    Job::parse(text).ok()
}
