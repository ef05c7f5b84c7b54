//! `dovetail try`: the exact call a mapping makes of a request. Nothing is sent.

mod choice;
mod sample;

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use mappings::domain::{Operation, Request, Service};
use mappings::mapping::{Facts, RenderError, Step, Steps, System, context};
use serde_json::{Value, json};

use super::{Exit, Shown, TryArgs};
use choice::Chosen;

/// Renders the calls of an operation for a request.
///
/// # Errors
/// When the request or the mappings cannot be read, or do not fit together.
pub(super) fn run(args: &TryArgs, now: Timestamp) -> anyhow::Result<Shown> {
    let document = sample::read(&args.request)?;
    let request = match Request::parse(document) {
        Ok(request) => request,
        Err(error) => {
            let json = json!({"request": {"path": error.path, "reason": error.reason}});
            return Ok(Shown {
                text: format!("the request is not valid: {error}\n"),
                json,
                exit: Exit::NotOk,
            });
        }
    };
    let chosen = choice::choose(args, &request)?;
    let systems: Vec<Made> =
        chosen.iter().map(|chosen| rendered(args, &request, chosen, now)).collect::<Result<_, _>>()?;
    Ok(shown(&systems))
}

/// What an operation makes of a request for one system.
struct Made {
    system: Arc<System>,
    operation: Operation,
    service: Service,
    steps: Vec<Outcome>,
}

/// What became of one step.
struct Outcome {
    name: String,
    result: Result<Turn, RenderError>,
    /// An answer of an earlier step is needed, which only the system can give.
    waits: bool,
}

/// A step's turn.
enum Turn {
    /// This call is made.
    Call { text: String, warnings: Vec<String> },
    /// Its condition does not hold.
    Skipped,
}

/// The exact calls of an operation at one system, rendered from what the ledger has.
///
/// # Errors
/// When the system's mapping has no such operation for the service.
pub(super) fn exact(
    system: &Arc<System>,
    request: &Request,
    operation: Operation,
    facts: &Facts,
) -> anyhow::Result<Shown> {
    let steps = choice::operation(system, &request.service, operation)?;
    Ok(shown(&[made(system, steps, request, operation, facts)]))
}

fn rendered(args: &TryArgs, request: &Request, chosen: &Chosen, now: Timestamp) -> anyhow::Result<Made> {
    let system = &chosen.system;
    let steps = choice::steps(args, chosen)?;
    Ok(made(system, steps, request, args.operation, &sample::facts(args, request, system, now)))
}

fn made(system: &Arc<System>, steps: &Steps, request: &Request, operation: Operation, facts: &Facts) -> Made {
    let context = context(&request.document, facts);
    let render = |(index, step): (usize, &Step)| Outcome {
        name: step.name.clone(),
        result: if step.applies(&context) {
            step.render(&context).map(|rendered| Turn::Call {
                text: connectors::preview(system, &rendered.call),
                warnings: rendered.warnings,
            })
        } else {
            Ok(Turn::Skipped)
        },
        waits: index > 0,
    };
    Made {
        system: Arc::clone(system),
        operation,
        service: request.service.clone(),
        steps: steps.steps.iter().enumerate().map(render).collect(),
    }
}

fn shown(systems: &[Made]) -> Shown {
    let mut text = String::new();
    let mut exit = Exit::Ok;
    for Made { system, operation, service, steps } in systems {
        let most = steps.len();
        for (index, step) in steps.iter().enumerate() {
            let (title, name, number) = (&system.title, &step.name, index + 1);
            let _ = writeln!(text, "# {title}: {operation} {service}, call {number} of {most} ({name})");
            match &step.result {
                Ok(Turn::Call { text: call, warnings }) => {
                    let _ = writeln!(text, "{}\n", call.trim_end());
                    for warning in warnings {
                        let _ = writeln!(text, "# warning: {warning}\n");
                    }
                }
                Ok(Turn::Skipped) => text.push_str("# not made for this request\n\n"),
                Err(error) if step.waits && error.reason.contains("$.steps") => {
                    let _ = writeln!(text, "# needs the answer to an earlier call: {error}\n");
                }
                Err(error) => {
                    exit = Exit::NotOk;
                    let _ = writeln!(text, "# cannot be made: {error}\n");
                }
            }
        }
    }
    text.push_str("# Nothing was sent.\n");
    Shown { text, json: json!({"calls": systems.iter().map(as_json).collect::<Vec<_>>()}), exit }
}

fn as_json(made: &Made) -> Value {
    let steps = made.steps.iter().map(|step| match &step.result {
        Ok(Turn::Call { text, warnings }) => json!({"name": step.name, "call": text, "warnings": warnings}),
        Ok(Turn::Skipped) => json!({"name": step.name, "skipped": true}),
        Err(error) => json!({"name": step.name, "error": {"field": error.field, "reason": error.reason}}),
    });
    json!({
        "system": made.system.name.as_str(),
        "operation": made.operation.as_str(),
        "service": made.service.as_str(),
        "steps": steps.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
