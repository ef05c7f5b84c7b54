//! One system: who owns it, how it is reached, and its operations.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{Operation, Priority, Service, SystemName};
use crate::sla::Feedback;

use super::service::ServiceRules;
use super::statuses::Statuses;
use super::targets::TargetRule;
use super::{
    CloseRules, Connection, Files, Intake, Limits, Meaning, Poll, Secret, StatusQuery, Steps, Webhook,
};

/// One back office, partner or CRM, compiled from its folder.
#[derive(Debug)]
pub struct System {
    /// Its name, which is also its folder's.
    pub name: SystemName,
    /// Its name for people.
    pub title: String,
    /// On which side of the bus it stands.
    pub role: Role,
    /// Who answers for it.
    pub owner: Owner,
    /// How it is reached.
    pub connection: Connection,
    /// What it can bear.
    pub limits: Limits,
    /// How a call whose outcome is unknown is made safe.
    pub idempotency: Idempotency,
    /// When a failed call is tried again.
    pub retry: RetryRule,
    /// How it calls us.
    pub webhook: Option<Webhook>,
    /// How it is asked for changes.
    pub poll: Option<Poll>,
    /// The files in which it tells of changes.
    pub files: Option<Files>,
    /// How it is asked about the jobs that are still open.
    pub status: Option<StatusQuery>,
    /// Whose work it is that it tells of and nobody ordered.
    pub orphans: Orphans,
    /// Elements of its XML that are always lists.
    pub xml_lists: Vec<String>,
    /// What a reader of the mapping should know.
    pub note: Option<String>,
    pub(super) calls: BTreeMap<String, Steps>,
    pub(super) statuses: Statuses,
    pub(super) services: BTreeMap<Service, ServiceRules>,
    pub(super) intake: Option<Intake>,
    pub(super) secrets: Vec<Secret>,
}

impl System {
    /// The calls of an operation on a service. For `close` a CRM's `crm.closure` stands in for every service
    /// that has no close operation of its own.
    pub fn operation(&self, service: &Service, operation: Operation) -> Option<&Steps> {
        let own = self.services.get(service).and_then(|rules| rules.operation(operation));
        match operation {
            Operation::Close => own.or_else(|| {
                let closure = Service::parse("crm.closure").ok()?;
                self.services.get(&closure)?.operation(operation)
            }),
            Operation::Create | Operation::Amend | Operation::Cancel => own,
        }
    }

    /// A call of the system by name.
    pub fn call(&self, name: &str) -> Option<&Steps> {
        self.calls.get(name)
    }

    /// The names of all calls.
    pub fn call_names(&self) -> impl Iterator<Item = &str> {
        self.calls.keys().map(String::as_str)
    }

    /// The services it works for, by name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.keys()
    }

    /// What a status word means; the service's own table goes before the system's. `{note}` in what is said
    /// is filled with `note`.
    pub fn meaning(&self, service: Option<&Service>, said: &str, note: Option<&str>) -> Meaning {
        let own = service.and_then(|service| self.services.get(service));
        own.and_then(|rules| rules.statuses.find(said, note))
            .or_else(|| self.statuses.find(said, note))
            .unwrap_or(Meaning::Unrecognised)
    }

    /// Which dispositions close a ticket of the service without a person; none where the mapping does not say.
    pub fn close_rules(&self, service: &Service) -> CloseRules {
        self.services.get(service).and_then(|rules| rules.close_rules.clone()).unwrap_or_default()
    }

    /// File and line of what a status word means, as [`meaning`](Self::meaning) finds it.
    pub fn place_of(&self, service: &Service, said: &str) -> Option<&str> {
        let own = self.services.get(service).and_then(|rules| rules.statuses.place(said));
        own.or_else(|| self.statuses.place(said))
    }

    /// The promise of the service at a priority, for example `2 working days`.
    pub fn target(&self, service: &Service, priority: Priority) -> Option<&str> {
        self.target_rule(service)?.words(priority)
    }

    /// What the service's own file promises.
    pub(super) fn target_rule(&self, service: &Service) -> Option<&TargetRule> {
        self.services.get(service)?.target.as_ref()
    }

    /// Whether customers of the service are asked what they think.
    pub(super) fn feedback_rule(&self, service: &Service) -> Option<&Feedback> {
        self.services.get(service)?.feedback.as_ref()
    }

    /// The service's name for people.
    pub fn service_title(&self, service: &Service) -> Option<&str> {
        self.services.get(service).map(|rules| rules.title.as_str())
    }

    /// The paths a request for the service must have, such as `details.container`. No step of `create`
    /// renders without them.
    pub fn requires(&self, service: &Service) -> &[String] {
        self.services.get(service).map_or(&[], |rules| &rules.requires)
    }

    /// How its native messages become requests, for a CRM that has them.
    pub fn intake(&self) -> Option<&Intake> {
        self.intake.as_ref()
    }

    /// Every secret that may stand in a call or its answer, to be masked wherever a call is shown.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }
}

/// Whose work it is that a system tells of and that Dovetail did not order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orphans {
    /// A person is told.
    #[default]
    Told,
    /// Others': its lists hold their work too. It is kept, since its ticket may be on its way, and nobody is told.
    OfOthers,
}

/// On which side of the bus a system stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It does the work.
    BackOffice,
    /// It keeps the tickets.
    Crm,
}

/// Who answers for a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The team.
    pub team: String,
    /// How it is reached.
    pub contact: String,
    /// Who is told when work grows old.
    pub senior: Option<String>,
}

/// How a call whose outcome is unknown is made safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// The call carries a key the system honours: it may be sent again.
    Key,
    /// The job is looked up by our reference with this call before it is sent again.
    LookUp(String),
    /// Neither: a person must look.
    None,
}

/// When a failed call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRule {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
    /// Attempts before a person is asked.
    pub attempts: u32,
}

impl Default for RetryRule {
    /// Two seconds, growing to a quarter of an hour, twelve attempts.
    fn default() -> Self {
        Self { first: Duration::from_secs(2), most: Duration::from_secs(900), attempts: 12 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::system;
    use super::*;
    use crate::domain::Disposition;

    const MORE: &str = "note: Unverified.\nlimits: {concurrency: 3}\nretry: {first: 5s, attempts: 4}\n\
        statuses:\n  Done: {disposition: completed, say: Done.}\n  Odd: {progress: review}\n\
        calls: {look: {get: /look, reports: {each: $.jobs, job: \"@.id\", status: \"@.s\"}}}\n\
        completion:\n  poll: {every: 15m, call: look}\n";
    const BIN: &str = "create: {post: /, json: {}}\ncancel: {delete: /}\ntarget: {within: 2 working days}\n\
        close: {automatically: [completed, declined], otherwise: hold}\n\
        statuses: {Odd: {disposition: declined, reason: odd, say: \"Odd. {note}\"}}\n";

    fn service(text: &str) -> Service {
        Service::parse(text).expect("valid")
    }

    #[test]
    fn a_system_is_what_its_folder_says() {
        let system = system(MORE, BIN);
        assert_eq!((system.title.as_str(), system.note.as_deref()), ("Waste", Some("Unverified.")));
        assert_eq!(system.connection.base_url, "https://waste.test");
        assert_eq!(system.connection.timeout, Duration::from_secs(30));
        assert_eq!(system.limits, Limits { concurrency: 3, ..Limits::default() });
        let retry = RetryRule { first: Duration::from_secs(5), most: Duration::from_secs(900), attempts: 4 };
        assert_eq!(system.retry, retry);
        let quarter = Duration::from_secs(900);
        let poll = Poll::Changed { every: quarter, overlap: quarter, call: "look".into(), whole: false };
        assert_eq!(system.poll, Some(poll));
        assert_eq!(system.call_names().collect::<Vec<_>>(), ["look"]);
        assert!(system.call("look").is_some() && system.call("other").is_none());
        assert_eq!(system.services().map(Service::as_str).collect::<Vec<_>>(), ["waste.missed-bin"]);
    }

    #[test]
    fn a_service_says_how_it_closes_and_what_its_words_mean() {
        let system = system(MORE, BIN);
        let (bin, other) = (service("waste.missed-bin"), service("waste.other"));
        assert!(system.operation(&bin, Operation::Cancel).is_some());
        assert!(system.operation(&bin, Operation::Amend).is_none());
        assert!(system.operation(&bin, Operation::Close).is_none());
        assert!(system.operation(&other, Operation::Create).is_none());
        assert_eq!(system.close_rules(&bin).automatically, [Disposition::Completed, Disposition::Declined]);
        assert_eq!(system.close_rules(&other).automatically, []);
        assert_eq!(
            (system.target(&bin, Priority::Routine), system.service_title(&bin)),
            (Some("2 working days"), Some("Missed bin"))
        );
        let odd = Meaning::Ended {
            disposition: Disposition::Declined,
            reason: Some("odd".into()),
            say: Some("Odd. Very.".into()),
        };
        assert_eq!(system.meaning(Some(&bin), "Odd", Some("Very.")), odd);
        assert!(matches!(system.meaning(Some(&other), "Odd", None), Meaning::Progress { .. }));
        assert!(matches!(system.meaning(Some(&bin), "Done", None), Meaning::Ended { .. }));
        assert_eq!(system.meaning(None, "done", None), Meaning::Unrecognised);
    }
}
