//! All systems and routes, compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::{Council, Request, Service, SystemName};

use super::{Finding, Source, System};

/// Every mapping, compiled and checked against the others.
#[derive(Debug)]
pub struct Catalogue {
    systems: BTreeMap<SystemName, Arc<System>>,
}

impl Catalogue {
    /// Compiles all sources. `resolve` answers `${NAME}` and `${file:/path}`: it is given `NAME` or `file:/path`.
    ///
    /// # Errors
    /// Every finding in every file, when at least one of them is an error.
    pub fn compile(
        sources: &[Source],
        resolve: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Finding>> {
        let _ = (sources, resolve);
        unimplemented!()
    }

    /// The system of that name.
    pub fn system(&self, name: &SystemName) -> Option<&Arc<System>> {
        self.systems.get(name)
    }

    /// All systems, by name.
    pub fn systems(&self) -> impl Iterator<Item = &Arc<System>> {
        self.systems.values()
    }

    /// The systems a request goes to; `None` when no route takes its service.
    pub fn route(&self, request: &Request) -> Option<&[SystemName]> {
        let _ = request;
        unimplemented!()
    }

    /// The CRM that is told when a ticket of that council closes.
    pub fn crm_of(&self, council: &Council) -> Option<&SystemName> {
        let _ = council;
        unimplemented!()
    }

    /// Every service that has a route.
    pub fn services(&self) -> BTreeSet<&Service> {
        unimplemented!()
    }
}
