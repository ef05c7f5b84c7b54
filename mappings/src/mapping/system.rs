//! One system: who owns it, how it is reached, and its operations.

use std::time::Duration;

use crate::domain::{Disposition, Operation, Service, SystemName};

use super::{Intake, Meaning, Poll, Secret, Steps, Webhook};

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
    /// Elements of its XML that are always lists.
    pub xml_lists: Vec<String>,
}

impl System {
    /// The calls of an operation on a service. For `close` a CRM's `crm.closure` stands in for every service
    /// that has no close operation of its own.
    pub fn operation(&self, service: &Service, operation: Operation) -> Option<&Steps> {
        let _ = (service, operation);
        unimplemented!()
    }

    /// A call of the system by name.
    pub fn call(&self, name: &str) -> Option<&Steps> {
        let _ = name;
        unimplemented!()
    }

    /// The names of all calls.
    pub fn call_names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The services it works for, by name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        std::iter::empty()
    }

    /// What a status word means; the service's own table goes before the system's. `{note}` in what is said
    /// is filled with `note`.
    pub fn meaning(&self, service: Option<&Service>, said: &str, note: Option<&str>) -> Meaning {
        let _ = (service, said, note);
        unimplemented!()
    }

    /// Which dispositions close a ticket of the service without a person.
    pub fn close_rules(&self, service: &Service) -> CloseRules {
        let _ = service;
        unimplemented!()
    }

    /// The promise of the service, for example `2 working days`.
    pub fn target(&self, service: &Service) -> Option<&str> {
        let _ = service;
        unimplemented!()
    }

    /// The service's name for people.
    pub fn service_title(&self, service: &Service) -> Option<&str> {
        let _ = service;
        unimplemented!()
    }

    /// How its native messages become requests, for a CRM that has them.
    pub fn intake(&self) -> Option<&Intake> {
        unimplemented!()
    }
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

/// How a system is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// URL that every call's path is added to; without a slash at its end.
    pub base_url: String,
    /// How we prove who we are.
    pub auth: Auth,
    /// Time for a whole call.
    pub timeout: Duration,
    /// Time for connecting.
    pub connect_timeout: Duration,
    /// Headers of every call.
    pub headers: Vec<(String, String)>,
}

/// How we prove to a system who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all, or in the body.
    None,
    /// HTTP basic authentication.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// `Authorization: token …`, as Request Tracker wants it.
    Token(Secret),
    /// A key in a header of its own.
    ApiKey {
        /// The header.
        header: String,
        /// The key.
        key: Secret,
    },
    /// A WS-Security user name token in the SOAP header.
    WsSecurity {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
}

/// What a system can bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls under way at once.
    pub concurrency: usize,
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

/// Which dispositions close a ticket without a person; all others hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseRules {
    /// In the mapping's order.
    pub automatically: Vec<Disposition>,
}
