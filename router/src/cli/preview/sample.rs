//! What a call is rendered from: the request, and stand-ins for what only a running router knows.

use std::io::Read as _;
use std::path::Path;
use std::{fs, io};

use anyhow::Context as _;
use jiff::Timestamp;
use mappings::domain::{CallId, HandoverId, Operation, Request, RequestId};
use mappings::mapping::{Facts, System};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::{Mistake, TryArgs};
use crate::timeline::words;

/// The largest request that is read.
const MOST: u64 = 16 * 1024 * 1024;

/// Reads the request: its document, or the CloudEvent it came in.
pub(super) fn read(path: &Path) -> anyhow::Result<Value> {
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let read = |reader: &mut dyn io::Read| {
        let mut text = String::new();
        reader.take(MOST).read_to_string(&mut text).map(|_| text)
    };
    let text = if path == Path::new("-") {
        read(&mut io::stdin().lock())
    } else {
        fs::File::open(path).and_then(|mut file| read(&mut file))
    };
    let text = text.with_context(|| format!("{name} cannot be read"))?;
    let document: Value = serde_json::from_str(&text).map_err(|error| {
        Mistake::new(
            format!("{name}:{}:{}: this is not JSON: {error}", error.line(), error.column()),
            "expected the data of uk.dovetail.request.submitted.v1, or the whole CloudEvent",
        )
    })?;
    Ok(match document {
        Value::Object(mut event) if event.contains_key("specversion") => {
            event.shift_remove("data").unwrap_or_default()
        }
        Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_) => document,
    })
}

/// What a running router would know beside the request. The identifiers are the same at every run.
pub(super) fn facts(args: &TryArgs, request: &Request, system: &System, now: Timestamp) -> Facts {
    let id = Uuid::from_u128;
    let knows_job = match args.operation {
        Operation::Amend | Operation::Cancel => true,
        Operation::Create | Operation::Close => false,
    };
    Facts {
        key: Some(CallId(id(0x0190_0000_0000_7000_8000_0000_0000_0003))),
        request: Some(RequestId(id(0x0190_0000_0000_7000_8000_0000_0000_0001))),
        handover: Some(HandoverId(id(0x0190_0000_0000_7000_8000_0000_0000_0002))),
        operation: Some(args.operation),
        job: knows_job.then(|| args.job.clone()),
        callback_url: system.webhook.as_ref().map(|hook| format!("https://dovetail.invalid{}", hook.path)),
        closure: (args.operation == Operation::Close).then(|| closure(args, now)),
        change: (args.operation == Operation::Amend).then(|| {
            json!({"reason": "The customer has told us more.", "summary": request.document["summary"],
                   "details": request.document["details"]})
        }),
        ..Facts::at(now)
    }
}

fn closure(args: &TryArgs, now: Timestamp) -> Value {
    let ended = words::ended(args.disposition);
    json!({
        "disposition": args.disposition.as_str(),
        "reason": null,
        "say": words::sentence(ended),
        "evidence": [{"system": "example", "said": ended, "at": now.to_string()}],
    })
}
