//! The calls of one operation, made in order.

mod lists;
mod renewal;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use mappings::domain::Job;
use mappings::mapping::{
    Answer, Call, Reading, Received, RenderError, Rendered, Step, Steps, Verdict, add_step, address,
};
use serde_json::{Map, Value};

use crate::carried::Carried;
use crate::classify;
use crate::connector::Connector;
use crate::draft::Draft;
use crate::exchange::{self, Broken, Room};
use crate::mask::Mask;
use crate::outcome::{Gathered, Outcome, Performed, ReadFailure};
use crate::stored::Key;
use crate::token::{Failure, Token};
use renewal::{Renewal, Used};

/// More pages than any list has: a list that leads back into itself ends here.
const PAGES: usize = 1_000;

/// One attempt under way.
pub(crate) struct Walk<'a> {
    way: &'a Connector,
    context: Value,
    now: Timestamp,
    /// Secrets of this attempt beside those of the system.
    mask: Option<Mask>,
    /// The calls that were made, whose secrets the mask has yet to learn.
    made: Vec<Call>,
    /// The exchange that decides: the last one of a step that is not optional.
    said: Option<Said>,
    /// Somebody looks at the answers beside the rules of their own step.
    shown: bool,
    warnings: Vec<String>,
    notes: Vec<String>,
    job: Option<Job>,
    /// A step that did something a second time would do again, so that the operation cannot simply be repeated.
    changed: Option<&'a str>,
    /// What an attempt before this one carried out already.
    carried: Option<&'a Carried>,
    kept_used: Vec<Used<'a>>,
    /// The access token under which the last call was made.
    bearer: Option<Token>,
    /// The access token that the system does not honour.
    refused: Option<Token>,
    /// Refused credentials were fetched anew.
    renewed: bool,
    answers: Vec<(&'a Step, Answer)>,
    /// What is answered is gathered as it is.
    gathers: bool,
    /// What the lists say that are read; `None` where none are.
    reading: Option<Reading>,
    /// Why what was accepted cannot be read.
    unread: Option<String>,
    /// How much more of lists may be read.
    room: usize,
    /// An answer was larger than it may be.
    too_large: bool,
}

/// What went over the wire; it becomes text only where somebody wants to read it.
struct Said {
    draft: Draft,
    answer: Option<Answer>,
}

/// The same as text, with secrets hidden.
#[derive(Default)]
struct Wire {
    status: Option<u16>,
    call: String,
    answer: Option<String>,
}

/// Why a call has no answer.
enum Unsent {
    Broken(Broken),
    /// It was not sent.
    NoToken(Failure),
}

/// What one call came to.
struct Made {
    came: Came,
    /// Where the next page of its answer is.
    next: Option<String>,
    /// The system does not honour its credentials.
    refused: bool,
}

/// What one step came to.
enum Came {
    /// On with the next step.
    Accepted,
    /// The operation ends well, with a note.
    Done(String),
    /// The operation ends otherwise, or goes on from this step later.
    Failed(Outcome),
    /// Nothing was sent.
    NotRendered(RenderError),
}

impl<'a> Walk<'a> {
    pub(crate) fn new(way: &'a Connector, context: Value, now: Timestamp) -> Self {
        Self {
            way,
            context,
            now,
            mask: None,
            made: Vec::new(),
            said: None,
            shown: false,
            warnings: Vec::new(),
            notes: Vec::new(),
            job: None,
            changed: None,
            carried: None,
            kept_used: Vec::new(),
            bearer: None,
            refused: None,
            renewed: false,
            answers: Vec::new(),
            gathers: false,
            reading: None,
            unread: None,
            room: way.largest_list,
            too_large: false,
        }
    }

    /// Goes on where an attempt before this one stopped.
    pub(crate) fn after(mut self, carried: &'a Carried) -> Self {
        for (name, seen) in &carried.steps {
            add_step(&mut self.context, name, seen.clone());
        }
        self.job.clone_from(&carried.job);
        self.changed = Some(&carried.changed);
        self.carried = Some(carried);
        self
    }

    pub(crate) async fn perform(mut self, steps: &'a Steps) -> Performed {
        let (outcome, render_failed) = match self.run(steps).await {
            Ok(outcome) => (outcome, None),
            Err(error) => {
                let reason = match self.changed {
                    None => error.to_string(),
                    Some(step) => format!("{error}; step {step} had been carried out"),
                };
                (Outcome::Rejected { disposition: None, reason, say: None }, Some(error))
            }
        };
        if let (Outcome::Delivered { note: None, .. }, None) = (&outcome, &render_failed) {
            let status = self.said.and_then(|said| said.answer).map(|answer| answer.status);
            let (call, answer) = (String::new(), None);
            return Performed { outcome, status, call, answer, warnings: self.warnings, render_failed };
        }
        let outcome = self.masked(outcome);
        let mask = self.mask();
        let render_failed =
            render_failed.map(|error| RenderError { field: error.field, reason: mask.text(&error.reason) });
        let Wire { status, call, answer } = self.wire();
        Performed { outcome, status, call, answer, warnings: self.warnings, render_failed }
    }

    pub(crate) async fn read(mut self, steps: &'a Steps) -> Result<Reading, ReadFailure> {
        self.shown = true;
        self.reading = Some(Reading::default());
        let has_any = self.answered(steps).await?;
        if let Some(reason) = self.unread.take() {
            return Err(self.failure(reason, None));
        }
        Ok(self.reading.take().filter(|_| has_any).unwrap_or_default())
    }

    pub(crate) async fn gather(mut self, steps: &'a Steps) -> Result<Gathered, ReadFailure> {
        self.shown = true;
        self.gathers = true;
        if !self.answered(steps).await? {
            return Ok(Gathered::default());
        }
        let decides = self.answers.iter().rev().map(|(step, _)| *step).find(|step| !step.optional);
        let pages = self.answers.iter().filter(|(step, _)| decides.is_some_and(|one| one.name == step.name));
        let pages: Result<Vec<_>, _> = pages.map(|(step, answer)| step.document(answer)).collect();
        match pages {
            Ok(pages) => Ok(Gathered { pages, steps: self.context["steps"].take() }),
            Err(error) => Err(self.failure(error.reason, None)),
        }
    }

    /// Makes the calls; `false` where the system has nothing.
    async fn answered(&mut self, steps: &'a Steps) -> Result<bool, ReadFailure> {
        let (reason, after) = match self.run(steps).await {
            Ok(Outcome::Absent) => return Ok(false),
            Ok(Outcome::Delivered { .. }) => return Ok(true),
            Ok(Outcome::Retry { after, reason } | Outcome::Pending { after, reason, .. }) => (reason, after),
            Ok(Outcome::Rejected { reason, .. } | Outcome::Unknown { reason }) => (reason, None),
            Err(error) => {
                let failure = self.failure(error.to_string(), None);
                return Err(ReadFailure { is_unrenderable: true, ..failure });
            }
        };
        Err(self.failure(reason, after))
    }

    fn failure(&mut self, reason: String, after: Option<Duration>) -> ReadFailure {
        let Wire { status, call, answer } = self.wire();
        let too_large = self.too_large;
        let reason = self.mask().text(&reason);
        ReadFailure { reason, after, status, call, answer, too_large, is_unrenderable: false }
    }

    /// The exchange that decides, as text.
    fn wire(&mut self) -> Wire {
        let Some(Said { draft, answer }) = self.said.take() else { return Wire::default() };
        let mask = self.mask();
        Wire {
            status: answer.as_ref().map(|answer| answer.status),
            call: draft.text(mask),
            answer: answer.map(|answer| exchange::text(&answer, mask)),
        }
    }

    /// What is hidden: the system's secrets, and those of the calls that were made.
    fn mask(&mut self) -> &mut Mask {
        let mask = self.mask.get_or_insert_with(|| self.way.mask.clone());
        self.made.drain(..).for_each(|call| mask.learn(&call));
        mask
    }

    async fn run(&mut self, steps: &'a Steps) -> Result<Outcome, RenderError> {
        let mut taken = false;
        self.shown |= steps.steps.len() > 1;
        // A step that the mapping has no more has nothing to say.
        let is_next = |carried: &Carried| steps.steps.iter().position(|step| step.name == carried.next);
        let from = self.carried.map_or(0, |carried| is_next(carried).unwrap_or(steps.steps.len()));
        for (number, step) in steps.steps.iter().enumerate() {
            if number < from && step.store.is_none() || !step.applies(&self.context) {
                continue;
            }
            taken = true;
            match self.take(step).await {
                Came::Accepted => {}
                Came::Done(note) => {
                    self.notes.push(note);
                    break;
                }
                Came::Failed(outcome) if step.optional => self.note(step, &reason(&outcome)),
                Came::NotRendered(error) if step.optional => self.note(step, &error.to_string()),
                Came::Failed(outcome) => return Ok(self.whole(steps, step, outcome)),
                Came::NotRendered(error) => return Err(error),
            }
        }
        if !taken && self.carried.is_none() {
            self.notes.push("there was nothing to tell the system".to_owned());
        }
        let note = (!self.notes.is_empty()).then(|| self.notes.join("; "));
        Ok(Outcome::Delivered { job: self.job.clone(), note })
    }

    async fn take(&mut self, step: &'a Step) -> Came {
        let Rendered { call, warnings } = match step.render(&self.context) {
            Ok(rendered) => rendered,
            Err(error) => return Came::NotRendered(error),
        };
        self.warnings.extend(warnings);
        let key = step.store.map(|_| Key::new(&step.name, &call));
        if let Some(key) = &key
            && let Some(seen) = self.way.stored.get(key, self.now)
        {
            self.mask().learn_stored(&seen);
            add_step(&mut self.context, &step.name, seen);
            self.kept_used.push(Used { step, key: key.clone(), earlier: true });
            return Came::Accepted;
        }
        let mut call = call;
        let mut pages = HashSet::new();
        loop {
            let Made { came, next, refused } = self.make(step, &call, key.as_ref()).await;
            if refused {
                match self.renew().await {
                    Renewal::None => {}
                    Renewal::Failed(came) => return came,
                    Renewal::Done => {
                        self.made.push(call);
                        self.answers.retain(|(of, _)| of.name != step.name);
                        return Box::pin(self.take(step)).await;
                    }
                }
            }
            let next = next.map(|path| Call { path, ..call.clone() });
            pages.insert(call.path.clone());
            self.made.push(call);
            let (Came::Accepted, Some(next)) = (&came, next) else { return came };
            if pages.contains(&next.path) || pages.len() >= PAGES {
                let reason =
                    format!("the list of step {} did not end after {} pages", step.name, pages.len());
                return Came::Failed(Outcome::Retry { after: None, reason });
            }
            call = next;
        }
    }

    /// Makes one call.
    async fn make(&mut self, step: &'a Step, call: &Call, key: Option<&Key>) -> Made {
        let unmade = |came| Made { came, next: None, refused: false };
        let traceparent = self.context.pointer("/dovetail/traceparent").and_then(Value::as_str);
        let mut draft = match Draft::new(&self.way.base, &self.way.connection, call, traceparent) {
            Ok(draft) => draft,
            Err(error) => return unmade(Came::NotRendered(error)),
        };
        let room = self.room_for(step);
        match self.send(&mut draft, room).await {
            Err(Unsent::NoToken(failure)) => {
                let Failure { after, reason, draft, answer } = failure;
                self.record(step, *draft, answer);
                unmade(Came::Failed(Outcome::Retry { after, reason }))
            }
            Err(Unsent::Broken(broken)) => {
                self.record(step, draft, None);
                unmade(Came::Failed(classify::unanswered(call.method, broken)))
            }
            Ok(mut reply) => {
                let list = self.separate(step, &mut reply);
                let (came, renew) = self.judge(step, &reply);
                let refused = renew || renewal::is_refusal(&reply.answer, &came);
                if matches!(came, Came::Accepted) {
                    self.read_list(step, &reply.answer, list);
                }
                self.keep(step, key.cloned(), &came, &reply);
                let link = step.next(&reply.answer);
                let next = link.and_then(|link| address::beside(&draft.url, &self.way.base, &link));
                if matches!(came, Came::Accepted) && self.shown && self.reading.is_none() {
                    self.answers.push((step, reply.answer.clone()));
                }
                self.record(step, draft, Some(reply.answer));
                Made { came, next, refused }
            }
        }
    }

    /// Sends a call, under an access token where the system wants one.
    async fn send(&mut self, draft: &mut Draft, room: Room) -> Result<Received, Unsent> {
        let client = &self.way.client;
        let patience = self.way.connection.answer_timeout;
        let Some(tokens) = self.way.tokens.as_ref().filter(|_| !draft.is_authorized()) else {
            return exchange::send(client, draft, patience, room).await.map_err(Unsent::Broken);
        };
        let token = tokens.token(self.refused.as_ref(), self.now).await.map_err(Unsent::NoToken)?;
        self.mask().add(&token.text);
        draft.bear(token.header.clone());
        self.bearer = Some(token);
        exchange::send(client, draft, patience, room).await.map_err(Unsent::Broken)
    }

    /// What the mapping makes of an answer, and whether a rule says besides that the credentials are to be fetched anew.
    fn judge(&mut self, step: &'a Step, reply: &Received) -> (Came, bool) {
        let verdict = step.read(reply);
        let renew = matches!(verdict, Verdict::Retry { renew: true, .. });
        (self.came(step, &reply.answer, verdict), renew)
    }

    fn came(&mut self, step: &'a Step, answer: &Answer, verdict: Verdict) -> Came {
        match verdict {
            Verdict::Accepted { job } => {
                self.job = job.or(self.job.take());
                if step.would_double() {
                    self.changed = Some(&step.name);
                }
                Came::Accepted
            }
            Verdict::Done { note } => Came::Done(note),
            Verdict::Absent => Came::Failed(Outcome::Absent),
            Verdict::Rejected { disposition, reason, say } => {
                Came::Failed(Outcome::Rejected { disposition, reason, say })
            }
            Verdict::Retry { reason, .. } => {
                Came::Failed(Outcome::Retry { after: classify::pause(answer, self.now), reason })
            }
            Verdict::Unmatched { reason, by_status } => {
                Came::Failed(classify::unmatched(answer, by_status, reason, self.now))
            }
        }
    }

    /// Shows the answer to later steps, and to later operations where it is stored.
    fn keep(&mut self, step: &'a Step, key: Option<Key>, came: &Came, reply: &Received) {
        if self.shown || key.is_some() {
            let seen = step.seen(&reply.answer);
            if let (Came::Accepted, Some(key), Some(lasts)) = (came, key, step.store) {
                self.mask().learn_stored(&seen);
                self.way.stored.keep(key.clone(), seen.clone(), self.now, lasts);
                self.kept_used.push(Used { step, key, earlier: false });
            }
            add_step(&mut self.context, &step.name, seen);
        }
    }

    fn record(&mut self, step: &Step, draft: Draft, answer: Option<Answer>) {
        if !step.optional || self.said.is_none() {
            self.said = Some(Said { draft, answer });
        }
    }

    fn note(&mut self, step: &Step, reason: &str) {
        self.notes.push(format!("step {} failed: {reason}", step.name));
    }

    /// What the failure of one step means for the operation as a whole. Where others before it changed something, a step
    /// that only reads is asked again by itself.
    fn whole(&self, steps: &Steps, step: &Step, outcome: Outcome) -> Outcome {
        match (outcome, self.changed) {
            (Outcome::Retry { after, reason }, Some(changed)) if step.is_get() => {
                let earlier = steps.steps.iter().take_while(|earlier| earlier.name != step.name);
                let kept = earlier.filter(|earlier| earlier.store.is_none());
                let seen = |name: &str| Some((name.to_owned(), self.context["steps"].get(name)?.clone()));
                let carried = Carried {
                    next: step.name.clone(),
                    changed: changed.to_owned(),
                    job: self.job.clone(),
                    steps: kept.filter_map(|earlier| seen(&earlier.name)).collect::<Map<_, _>>(),
                };
                let reason = format!("{reason}; step {changed} was carried out and is not repeated");
                Outcome::Pending { after, reason, carried: Box::new(carried) }
            }
            (Outcome::Retry { reason, .. }, Some(step)) => {
                Outcome::Unknown { reason: format!("{reason}; step {step} had been carried out") }
            }
            (outcome, _) => outcome,
        }
    }

    fn masked(&mut self, outcome: Outcome) -> Outcome {
        let hidden = self.mask();
        let mask = |text: String| hidden.text(&text);
        match outcome {
            Outcome::Delivered { job, note } => Outcome::Delivered { job, note: note.map(mask) },
            Outcome::Retry { after, reason } => Outcome::Retry { after, reason: mask(reason) },
            Outcome::Pending { after, reason, carried } => {
                Outcome::Pending { after, reason: mask(reason), carried }
            }
            Outcome::Rejected { disposition, reason, say } => {
                Outcome::Rejected { disposition, reason: mask(reason), say: say.map(mask) }
            }
            Outcome::Unknown { reason } => Outcome::Unknown { reason: mask(reason) },
            Outcome::Absent => Outcome::Absent,
        }
    }
}

fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Retry { reason, .. }
        | Outcome::Pending { reason, .. }
        | Outcome::Rejected { reason, .. }
        | Outcome::Unknown { reason } => reason.clone(),
        Outcome::Absent => "the system has nothing of that kind".to_owned(),
        Outcome::Delivered { note, .. } => note.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod reading;
#[cfg(test)]
mod rehearsed;
#[cfg(test)]
mod resuming;
#[cfg(test)]
mod tests;
