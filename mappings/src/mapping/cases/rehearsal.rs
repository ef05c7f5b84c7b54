//! What cases come to, for whoever makes the same calls for good: both must see the same.

use serde_json::Value;

use crate::mapping::{Call, Catalogue, Report, Source, Steps, System, Verdict};

use super::context::{about, context};
use super::file::{Message, Subject, read};
use super::perform::{End, perform};

/// A case whose calls are all answered, and what came of it.
pub struct Rehearsal<'c> {
    /// File, line and words of the case.
    pub case: String,
    /// The system.
    pub system: &'c System,
    /// The operation.
    pub steps: &'c Steps,
    /// What the calls are rendered of.
    pub context: Value,
    /// What the system answers, in order.
    pub answers: Vec<Message>,
    /// The calls that were made.
    pub calls: Vec<Call>,
    /// How it ended.
    pub verdict: Verdict,
    /// What the operation reads out of the answers.
    pub reports: Vec<Report>,
}

/// Plays the cases of operations and calls. Those that end before they are answered, or that cannot be made, are left
/// out: nobody could make them otherwise.
pub fn rehearse<'c>(
    sources: &[Source],
    catalogue: &'c Catalogue,
    resolve: &dyn Fn(&str) -> Option<String>,
) -> Vec<Rehearsal<'c>> {
    let (cases, _) = read(sources, resolve);
    let mut played = Vec::with_capacity(cases.len());
    for case in cases {
        let Some(system) = catalogue.systems().find(|system| system.name.as_str() == case.system) else {
            continue;
        };
        let steps = match &case.subject {
            Subject::Operation(service, operation) => system.operation(service, *operation),
            Subject::Call(name) => system.call(name),
            Subject::Webhook | Subject::Intake | Subject::Files => None,
        };
        let (Some(steps), Ok(context)) = (steps, context(&case, system)) else { continue };
        let about = about(&case, system, &context);
        let made = perform(&case.answers, system, steps, context.clone(), about);
        let (End::Verdict { verdict, .. }, Ok(reports)) = (made.end, made.reports) else { continue };
        played.push(Rehearsal {
            case: format!("{}:{} {}", case.file, case.line, case.name),
            system,
            steps,
            context,
            answers: case.answers,
            calls: made.calls,
            verdict,
            reports,
        });
    }
    played
}
