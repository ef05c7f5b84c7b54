//! What a scenario asks of a simulator: the next job's name, a refusal, a word about a job, and what it was asked.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::Value;

use super::book::{Phase, Text};
use super::call::Call;
use super::markers::{Markers, Refusal};
use super::tickets::Tickets;
use super::{Kind, Shared, Simulator, pusher, revenues};

/// How long a port is closed that is opened again by a word.
const LONG: Duration = Duration::from_secs(3600);

/// Why the next order is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuse {
    /// It was ordered before.
    Duplicate,
    /// The system will not do it.
    Declined,
    /// It is somebody else's.
    NotOurs,
    /// In words that no mapping knows.
    Unheard,
}

/// A message that the system sends about a job.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

/// A file that the system puts into a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// What stands in it.
    pub content: String,
}

/// A CRM's ticket, as the people there see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its status.
    pub status: &'static str,
    /// How often a call closed it.
    pub closures: u32,
    /// What the customer was sent, oldest first.
    pub messages: Vec<String>,
    /// How many tickets refer to it.
    pub linked: usize,
}

/// What is scripted, and what was asked.
#[derive(Debug, Default)]
pub(super) struct Script {
    refusals: VecDeque<Refusal>,
    calls: Vec<&'static str>,
    plain: bool,
}

impl Simulator {
    /// Forgets everything, as if it had just started.
    pub fn reset(&self) {
        self.open();
        let shared = &self.shared;
        shared.live.replace(shared.settings.faults.clone());
        *shared.book() = Shared::empty_book(shared.kind, &shared.settings);
        *shared.tickets() = Tickets::new(shared.settings.time.clone());
        *shared.script() = Script::default();
    }

    /// A partner that speaks GeoReport v2 and no more, until it forgets everything.
    pub fn speak_plainly(&self) {
        self.shared.script().plain = true;
    }

    /// The next job is called so.
    pub fn name_next(&self, job: &str) {
        self.shared.book().next_names.push_back(job.to_owned());
    }

    /// The next order is refused.
    pub fn refuse_next(&self, why: Refuse) {
        let refusal = match why {
            Refuse::Duplicate => Refusal::Duplicate,
            Refuse::Declined => Refusal::Declined,
            Refuse::NotOurs => Refusal::NotOurs,
            Refuse::Unheard => Refusal::Other,
        };
        self.shared.script().refusals.push_back(refusal);
    }

    /// Closes the port until it is [opened](Self::open).
    pub fn close(&self) {
        self.shared.refuse_for(LONG);
    }

    /// Opens the port again.
    pub fn open(&self) {
        self.shared.refuse_for(Duration::ZERO);
    }

    /// The latest job of a ticket.
    pub fn job_of(&self, ticket: &str) -> Option<String> {
        let book = self.shared.book();
        let of_ticket = |index: &usize| {
            let reference = &book.job(*index).order.reference;
            reference == ticket || reference.split('/').next() == Some(ticket)
        };
        (0..book.len()).rev().find(of_ticket).map(|index| book.id(index))
    }

    /// A person says a word about a job that goes on; `false` where there is no such job.
    pub fn say(&self, job: &str, word: &str, note: Option<&str>) -> bool {
        self.shared.say(job, word, note, Phase::Waiting)
    }

    /// A person ends a job with a word; `false` where there is no such job.
    pub fn end(&self, job: &str, word: &str, note: Option<&str>) -> bool {
        self.shared.say(job, word, note, Phase::Ended)
    }

    /// No list of changes has any of those before this moment, and none of them is sent.
    pub fn forget_changes(&self) {
        self.shared.book().forget_changes();
    }

    /// The system no longer knows a job; `false` where it never did.
    pub fn lose(&self, job: &str) -> bool {
        let mut book = self.shared.book();
        let Some(index) = book.find(job) else { return false };
        book.lose(index);
        true
    }

    /// Work that follows on a job, in words.
    pub fn follow_on(&self, job: &str, work: &str) {
        let mut book = self.shared.book();
        if let Some(index) = book.find(job) {
            book.job_mut(index).follow_on = Some(Text::Owned(work.to_owned()));
        }
    }

    /// What the system sends about the last change of a job, where it sends anything.
    pub fn callback(&self, job: &str) -> Option<Callback> {
        let book = self.shared.book();
        let index = book.find(job)?;
        let change = (0..book.changes()).rev().find(|change| book.change(*change).job == index)?;
        if self.shared.is_plain() {
            return None;
        }
        let message = pusher::message(&self.shared, &book, change)?;
        Some(Callback { headers: message.headers, body: message.body })
    }

    /// The file that tells of the last change of a job, where the system writes files.
    pub fn file(&self, job: &str) -> Option<Written> {
        let book = self.shared.book();
        let index = book.find(job)?;
        let change = (0..book.changes()).rev().find(|change| book.change(*change).job == index)?;
        match self.shared.kind {
            Kind::Revenues => Some(Written {
                name: format!("receipts-{change}.csv"),
                content: revenues::receipt_file(&book, book.change(change)),
            }),
            Kind::Housing | Kind::Waste | Kind::Partner | Kind::Crm | Kind::CrmDynamics => None,
        }
    }

    /// How many jobs were made.
    pub fn jobs(&self) -> usize {
        self.shared.book().len()
    }

    /// What callers added to a job, oldest first.
    pub fn remarks(&self, job: &str) -> Vec<String> {
        let book = self.shared.book();
        book.find(job).map(|index| book.job(index).remarks.clone()).unwrap_or_default()
    }

    /// What it was asked so far, oldest first: create, amend, cancel, look up, read, poll, compare,
    /// sign in or close.
    /// Calls that a fault struck count.
    pub fn calls(&self) -> Vec<&'static str> {
        self.shared.script().calls.clone()
    }

    /// A ticket of a CRM.
    pub fn ticket(&self, id: &str) -> Option<Told> {
        let tickets = self.shared.tickets();
        let ticket = tickets.get(id)?;
        let (status, closures) = (ticket.status, ticket.closures);
        let linked = tickets.iter().filter(|other| other.refers_to == id).count();
        Some(Told { status, closures, messages: ticket.messages.clone(), linked })
    }

    /// A person opens a ticket of this name at the screen of a CRM; `fields` as the CRM takes them by call.
    pub fn open_ticket(&self, id: &str, fields: &Value) {
        self.shared.tickets().open(id.to_owned(), fields, "adviser");
    }

    /// A person puts a ticket of a CRM into a status at its screen.
    pub fn by_hand(&self, id: &str, status: &str) {
        // What RT says to that is on the person's screen.
        let _said = self.shared.tickets().by_hand(id, status, None);
    }
}

impl Shared {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, job: &str, word: &str, note: Option<&str>, phase: Phase) -> bool {
        let mut book = self.book();
        let Some(index) = book.find(job) else { return false };
        let note = note.map(|note| Text::Owned(note.to_owned()));
        book.say(index, Text::Owned(word.to_owned()), note, phase, self.now());
        true
    }

    /// The markers of a text, and the refusal that was scripted.
    pub(super) fn markers(&self, text: &str) -> Markers {
        let markers = Markers::read(text);
        let scripted = self.script().refusals.pop_front();
        Markers { refusal: scripted.or(markers.refusal), ..markers }
    }

    /// Whether a partner speaks GeoReport v2 and no more.
    pub(super) fn is_plain(&self) -> bool {
        self.settings.plain || self.script().plain
    }

    /// Notes what a call asks.
    pub(super) fn note(&self, call: &Call) {
        let word = match self.kind {
            Kind::Waste => waste(call),
            Kind::Housing => housing(call),
            Kind::Revenues => notified(call),
            Kind::Partner => partner(call),
            Kind::Crm => crm(call),
            Kind::CrmDynamics => crm_dynamics(call),
        };
        self.script().calls.push(word);
    }
}

fn waste(call: &Call) -> &'static str {
    match call.header("soapaction").trim_matches('"').rsplit('/').next().unwrap_or_default() {
        "CreateWorksheet" => "create",
        "AddWorksheetNotes" => "amend",
        "CancelWorksheet" => "cancel",
        "GetWorksheetDetails" if call.body.contains("WorksheetReference>") => "look up",
        "GetWorksheetDetails" => "read",
        _ => "poll",
    }
}

fn housing(call: &Call) -> &'static str {
    match call.path.rsplit('/').next().unwrap_or_default() {
        "schedule" => "create",
        "jobStatusUpdate" => "amend",
        "workOrderComplete" => "cancel",
        _ => "poll",
    }
}

fn notified(call: &Call) -> &'static str {
    match (call.method.as_str(), call.path.rsplit('/').next().unwrap_or_default()) {
        ("DELETE", _) => "cancel",
        ("POST", "remarks") => "amend",
        ("POST", _) => "create",
        _ => "poll",
    }
}

fn partner(call: &Call) -> &'static str {
    match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/v2/requests.xml") => "create",
        ("POST", _) if call.form().get("status") == "CLOSED" => "cancel",
        ("POST", _) => "amend",
        (_, path) if path.starts_with("/v2/tokens/") => "look up",
        _ => "poll",
    }
}

fn crm(call: &Call) -> &'static str {
    match call.method.as_str() {
        "PUT" => "compare",
        "POST" if call.path.ends_with("/correspond") => "close",
        "POST" => "create",
        _ => "read",
    }
}

fn crm_dynamics(call: &Call) -> &'static str {
    let only_new = call.header("if-none-match") == "*";
    match (call.method.as_str(), call.path.rsplit('/').next().unwrap_or_default()) {
        ("PATCH", entity) if only_new && entity.starts_with("incidents") => "create",
        ("PATCH", _) => "compare",
        ("POST", "token") => "sign in",
        ("POST", "CloseIncident") => "close",
        ("POST", _) => "create",
        _ => "read",
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::json;

    use super::*;
    use crate::simulator::rig::{Rig, send, still};

    async fn order(rig: &Rig, key: &str) -> u16 {
        let body = json!({
            "reference": [{"id": key}], "descriptionOfWork": "Tap leaking",
            "priority": {"priorityCode": 3, "requiredCompletionDateTime": "2026-11-27T18:30:00Z"},
            "site": {"property": [{"propertyReference": "00012345"}]},
        });
        let call = rig.call(Method::POST, "/api/v2/workOrders/schedule").header("x-api-key", "dovetail");
        send(call.body(body.to_string())).await.expect("an answer").status
    }

    #[tokio::test]
    async fn a_scripted_simulator_names_refuses_says_and_remembers() {
        let rig = Rig::start(Kind::Housing, still()).await;
        rig.sim.name_next("H-1");
        assert_eq!(order(&rig, "k-1").await, 200);
        assert_eq!(rig.sim.job_of("k-1").as_deref(), Some("H-1"));
        rig.sim.refuse_next(Refuse::Declined);
        assert_eq!((order(&rig, "k-2").await, order(&rig, "k-3").await), (400, 200));
        assert!(rig.sim.end("H-1", "Completed", None) && !rig.sim.say("H-2", "Completed", None));
        assert_eq!(rig.get("/_sim/jobs/H-1").await["status"], "Completed");
        assert_eq!(rig.sim.calls(), ["create", "create", "create"]);
        rig.sim.reset();
        assert_eq!((rig.sim.jobs(), rig.sim.calls().len()), (0, 0));
    }
}
