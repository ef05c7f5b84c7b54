//! Which systems of a folder are in use. Routes may lead to the others: nothing is handed to them, and lint finds no
//! mistake in that.

use std::collections::BTreeSet;

use crate::domain::{Service, SystemName};

use super::{Source, yaml};

/// Why a request goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrouted<'c> {
    /// No route takes its service.
    NoRoute,
    /// Its route leads to a system that is not in use here. The others of the route are not asked either: work that
    /// is done in part must not close a ticket.
    NotInUse(&'c SystemName),
}

/// Whether a source belongs to a system that is not named. None named means all.
pub(super) fn is_unused(source: &Source, names: &[String]) -> bool {
    !names.is_empty() && source.system().is_some_and(|system| !names.iter().any(|name| name == system))
}

/// The services that systems which are not in use would have.
pub(super) fn services_of(unused: &[&Source]) -> BTreeSet<Service> {
    let named = unused.iter().filter(|source| source.is_yaml() && !source.is_cases()).filter_map(|source| {
        let node = yaml::parse(&source.text).ok()?;
        Service::parse(node.get("service")?.to_json().as_str()?).ok()
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::check::tests::lower;
    use super::super::fixture::{ROUTES, SYSTEM, sources};
    use super::super::{Catalogue, Finding};
    use super::*;
    use crate::domain::{Council, Request};

    const BIN: &str = "service: waste.missed-bin\nname: Missed bin\ncreate: {post: /, json: {a: $.ticket}}\n";

    fn request(service: &str) -> Request {
        let document: Value = json!({"ticket": "1", "council": "harlow", "service": service, "summary": "s",
                                     "raised_at": "2026-11-22T09:15:00Z", "details": {}});
        Request::parse(document).expect("valid")
    }

    fn compile(names: &[&str], housing: &str) -> Result<Catalogue, Vec<Finding>> {
        let system = SYSTEM.replace("system: waste", "system: housing");
        let repair = BIN.replace("waste.missed-bin", "housing.repair");
        let routes = format!(
            "{ROUTES}  - {{service: housing.repair, to: [housing]}}\n  - {{service: housing.clearance, to: [waste, housing]}}\n\
             closures: [{{council: \"*\", crm: crm}}]\n"
        );
        let files = [
            ("systems/waste/system.yaml", SYSTEM),
            ("systems/waste/bin.yaml", BIN),
            ("systems/waste/clearance.yaml", &BIN.replace("waste.missed-bin", "housing.clearance")),
            ("systems/housing/system.yaml", &format!("{system}{housing}")),
            ("systems/housing/repair.yaml", &repair),
            ("systems/crm/system.yaml", "a system that nobody finished"),
            ("targets.yaml", "targets:\n  - {service: housing.repair, target: {within: 5 days}}\n"),
            ("routes.yaml", &routes),
        ];
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Catalogue::compile_only(&sources(&files), &names, &lower)
    }

    #[test]
    fn routes_to_systems_that_are_not_in_use_stay_valid_and_lead_nowhere() {
        let catalogue = compile(&["waste"], "${UNSET}: nonsense\n").expect("valid");
        let housing = SystemName::parse("housing").expect("a name");
        let to = |service| catalogue.route(&request(service)).map(<[_]>::len);
        assert_eq!(to("waste.missed-bin"), Ok(1));
        assert_eq!(to("housing.repair"), Err(Unrouted::NotInUse(&housing)));
        assert_eq!(
            to("housing.clearance"),
            Err(Unrouted::NotInUse(&housing)),
            "half of it is not enough to close"
        );
        assert_eq!(to("parks.tree"), Err(Unrouted::NoRoute));
        assert_eq!(catalogue.crm_of(&Council::parse("harlow").expect("a name")), None);
        let crms: Vec<&str> = catalogue.unused_crms().into_iter().map(SystemName::as_str).collect();
        assert_eq!(crms, ["crm"]);
    }

    #[test]
    fn nothing_is_said_against_what_only_systems_that_are_not_in_use_have() {
        let files = [
            ("systems/waste/system.yaml", SYSTEM),
            ("systems/waste/bin.yaml", BIN),
            ("systems/housing/repair.yaml", &BIN.replace("waste.missed-bin", "housing.repair")),
            ("targets.yaml", "targets:\n  - {service: housing.repair, target: {within: 5 days}}\n"),
            ("routes.yaml", ROUTES),
        ];
        let (_, findings) = Catalogue::examine_only(&sources(&files), &["waste".to_owned()], &lower);
        let found: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(!found.iter().any(|finding| finding.contains("housing")), "{found:#?}");
    }

    #[test]
    fn a_route_to_a_system_that_has_no_folder_is_still_a_mistake() {
        let files = [
            ("systems/waste/system.yaml", SYSTEM),
            ("systems/waste/bin.yaml", BIN),
            ("routes.yaml", "routes:\n  - {service: waste.missed-bin, to: [wast]}\n"),
        ];
        let findings = Catalogue::compile_only(&sources(&files), &["waste".to_owned()], &lower).map(|_| ());
        let found = findings.expect_err("refused");
        assert!(found.iter().any(|finding| finding.found == "system wast"), "{found:#?}");
    }
}
