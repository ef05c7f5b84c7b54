//! The calls of an operation, made against the answers of a case as the connector makes them against a system.

use serde_json::Value;
use url::Url;

use crate::domain::Job;
use crate::mapping::{
    Answer, ByStatus, Call, Harvest, Intake, List, ReadError, RenderError, Report, Step, Steps, System,
    Verdict, add_step, address,
};

use super::file::Message;

/// What came of an operation.
pub(super) struct Made {
    pub(super) calls: Vec<Call>,
    pub(super) warnings: Vec<String>,
    pub(super) reports: Result<Vec<Report>, ReadError>,
    pub(super) items: Result<Vec<Value>, ReadError>,
    pub(super) end: End,
    /// Answers that were never asked for.
    pub(super) unused: usize,
}

/// How it ended.
pub(super) enum End {
    /// With an answer that decides, of this status, or without a call.
    Verdict { verdict: Verdict, status: u16, notes: Vec<String> },
    /// The system has it, and a step that only reads is made again later.
    Pending { job: Option<String>, reason: String },
    /// A call was made for which the case has no answer.
    NoAnswer,
    /// A call cannot be made.
    NotRendered(RenderError),
}

/// One run through the steps.
struct Run<'c> {
    base: Result<Url, String>,
    answers: std::slice::Iter<'c, Message>,
    context: Value,
    calls: Vec<Call>,
    warnings: Vec<String>,
    notes: Vec<String>,
    /// A step that did something a second time would do again.
    changed: Option<&'c str>,
    accepted: Vec<(&'c Step, Answer, Option<List>)>,
    job: Option<Job>,
    last: Verdict,
    status: u16,
}

/// What one step came to.
enum Came {
    Accepted,
    Done(String),
    Failed(Verdict),
    NoAnswer,
    NotRendered(RenderError),
}

/// Makes the calls, each answered by the next answer of the case.
pub(super) fn perform<'c>(
    answers: &'c [Message],
    system: &'c System,
    steps: &'c Steps,
    context: Value,
    about: Option<Job>,
) -> Made {
    let mut run = Run {
        base: address::base(&system.connection.base_url),
        answers: answers.iter(),
        context,
        calls: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
        changed: None,
        accepted: Vec::new(),
        job: None,
        last: Verdict::Done { note: "there was nothing to tell the system".into() },
        status: 0,
    };
    let end = run.walk(steps);
    let ended_well = match &end {
        End::Verdict { verdict, .. } => matches!(verdict, Verdict::Accepted { .. } | Verdict::Done { .. }),
        // What is there so far; the case need not answer every call.
        End::NoAnswer => true,
        End::NotRendered(_) | End::Pending { .. } => false,
    };
    if !ended_well {
        run.accepted.clear();
    }
    let read = |(step, answer, list): &(&Step, Answer, Option<List>)| {
        Ok(step.reports(answer, list.as_ref(), about.as_ref())?.reports)
    };
    let reports: Result<Vec<_>, _> = run.accepted.iter().map(read).collect();
    // Only the call that lists tickets holds a list of them.
    let lists = |harvest: &&Harvest| system.call(&harvest.call).is_some_and(|own| std::ptr::eq(own, steps));
    let harvest = system.intake().and_then(Intake::harvest).filter(lists);
    Made {
        items: harvest.map_or(Ok(Vec::new()), |harvest| run.items(harvest)),
        reports: reports.map(|reports| reports.into_iter().flatten().collect()),
        unused: run.answers.count(),
        calls: run.calls,
        warnings: run.warnings,
        end,
    }
}

impl<'c> Run<'c> {
    fn walk(&mut self, steps: &'c Steps) -> End {
        for step in &steps.steps {
            if !step.applies(&self.context) {
                continue;
            }
            match self.take(step) {
                Came::Accepted => {}
                Came::Done(note) => {
                    self.notes.push(note);
                    self.last = Verdict::Done { note: self.notes.join("; ") };
                    break;
                }
                Came::NoAnswer => return End::NoAnswer,
                Came::Failed(verdict) if step.optional => self.note(step, &reason(&verdict)),
                Came::NotRendered(error) if step.optional => self.note(step, &error.to_string()),
                Came::NotRendered(error) => {
                    let reason = self.after_changes(error.reason);
                    return End::NotRendered(RenderError { reason, ..error });
                }
                Came::Failed(
                    Verdict::Retry { reason, .. } | Verdict::Unmatched { reason, by_status: ByStatus::Retry },
                ) if self.changed.is_some() && step.is_get() => {
                    let job = self.job.as_ref().map(ToString::to_string);
                    return End::Pending { job, reason };
                }
                Came::Failed(verdict) => {
                    self.last = self.whole(verdict);
                    break;
                }
            }
        }
        End::Verdict {
            verdict: self.last.clone(),
            status: self.status,
            notes: std::mem::take(&mut self.notes),
        }
    }

    fn take(&mut self, step: &'c Step) -> Came {
        let rendered = match step.render(&self.context) {
            Ok(rendered) => rendered,
            Err(error) => return Came::NotRendered(error),
        };
        self.warnings.extend(rendered.warnings);
        let mut next = Some(rendered.call);
        while let Some(call) = next.take() {
            let sent = self.base.as_ref().map(|base| address::url(base, &call.path));
            let url = match sent {
                Ok(Ok(url)) => Some(url),
                Ok(Err(error)) => return Came::NotRendered(error),
                // The address of the system is of no concern to a case.
                Err(_) => None,
            };
            self.calls.push(call.clone());
            let Some(message) = self.answers.next() else { return Came::NoAnswer };
            let mut received = if step.reads_reports() { message.marked() } else { message.received() };
            let list = step.separate(&mut received);
            let verdict = step.read(&received);
            let answer = received.answer;
            self.status = answer.status;
            add_step(&mut self.context, &step.name, step.seen(&answer));
            match verdict {
                Verdict::Accepted { job } => {
                    if step.would_double() {
                        self.changed = Some(&step.name);
                    }
                    self.job = job.or(self.job.take());
                    self.last = Verdict::Accepted { job: self.job.clone() };
                    let link = step.next(&answer);
                    self.accepted.push((step, answer, list));
                    let base = self.base.as_ref().ok();
                    let beside = url
                        .zip(base)
                        .zip(link)
                        .and_then(|((url, base), link)| address::beside(&url, base, &link));
                    next = beside.map(|path| Call { path, ..call });
                }
                Verdict::Done { note } => return Came::Done(note),
                failed @ (Verdict::Absent
                | Verdict::Rejected { .. }
                | Verdict::Retry { .. }
                | Verdict::Unmatched { .. }) => return Came::Failed(failed),
            }
        }
        Came::Accepted
    }

    fn note(&mut self, step: &Step, reason: &str) {
        self.notes.push(format!("step {} failed: {reason}", step.name));
    }

    /// What the failure of one step means for the operation as a whole.
    fn whole(&self, verdict: Verdict) -> Verdict {
        let (Verdict::Retry { reason, .. } | Verdict::Unmatched { reason, by_status: ByStatus::Retry }) =
            &verdict
        else {
            return verdict;
        };
        if self.changed.is_none() {
            return verdict;
        }
        Verdict::Unmatched { reason: self.after_changes(reason.clone()), by_status: ByStatus::Unknown }
    }

    fn after_changes(&self, reason: String) -> String {
        match self.changed {
            Some(step) => format!("{reason}; step {step} had been carried out"),
            None => reason,
        }
    }

    /// What an intake's poll finds: in the pages of the step that decides.
    fn items(&self, harvest: &Harvest) -> Result<Vec<Value>, ReadError> {
        let decides = self.accepted.iter().rev().map(|(step, ..)| *step).find(|step| !step.optional);
        let pages =
            self.accepted.iter().filter(|(step, ..)| decides.is_some_and(|one| one.name == step.name));
        let items: Result<Vec<_>, _> =
            pages.map(|(step, answer, _)| harvest.items(&step.document(answer)?)).collect();
        Ok(items?.into_iter().flatten().collect())
    }
}

fn reason(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Rejected { reason, .. }
        | Verdict::Retry { reason, .. }
        | Verdict::Unmatched { reason, .. } => reason.clone(),
        Verdict::Absent => "the system has nothing of that kind".to_owned(),
        Verdict::Done { note } => note.clone(),
        Verdict::Accepted { .. } => String::new(),
    }
}
