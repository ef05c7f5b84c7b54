//! Which request goes where.

use crate::domain::{Council, Request, Service, SystemName};

use super::Together;
use super::check::Check;
use super::place::Place;
use super::scope::Scope;
use super::test::Test;
use super::yaml::{Node, Yaml};

/// `routes.yaml`
#[derive(Default)]
pub(super) struct Routes {
    /// In order: the first that fits is taken.
    pub(super) routes: Vec<Route>,
    /// Which CRM is told.
    pub(super) closures: Vec<ClosureRoute>,
}

/// One route.
pub(super) struct Route {
    /// The service it takes.
    pub(super) service: Service,
    when: Option<Test>,
    /// The systems it goes to.
    pub(super) to: Vec<SystemName>,
    /// When its ticket closes.
    pub(super) close: Together,
    /// Its line.
    pub(super) line: usize,
}

/// One rule of who is told.
pub(super) struct ClosureRoute {
    /// The council; `None` is every council.
    pub(super) council: Option<Council>,
    /// The CRM.
    pub(super) crm: SystemName,
    /// Its line.
    pub(super) line: usize,
}

impl Routes {
    /// Reads the file.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Self {
        let Some(fields) = check.fields(node, "routes.yaml", &["routes", "closures"]) else {
            return Self::default();
        };
        let routes = check.required(fields, "routes", "routes.yaml").map(|node| list(check, node, "routes"));
        let routes: Vec<Route> =
            routes.unwrap_or_default().iter().filter_map(|node| Route::compile(check, node)).collect();
        let closures = fields.get("closures").map(|node| list(check, node, "closures")).unwrap_or_default();
        let closures = closures.iter().filter_map(|node| ClosureRoute::compile(check, node)).collect();
        for (at, route) in routes.iter().enumerate() {
            let earlier = routes[..at].iter().find(|one| one.service == route.service && one.when.is_none());
            if let Some(earlier) = earlier {
                let found = format!("a route for {} that is never taken", route.service);
                check.error(route.line, found, format!("a when on the route of line {}", earlier.line));
            }
        }
        Self { routes, closures }
    }

    /// The systems of the first route that fits.
    pub(super) fn find(&self, request: &Request) -> Option<&[SystemName]> {
        let scope = Scope::over(&request.document);
        self.routes
            .iter()
            .filter(|route| route.service == request.service)
            .find(|route| route.when.as_ref().is_none_or(|when| when.holds(scope)))
            .map(|route| route.to.as_slice())
    }

    /// When a ticket closes that these systems work on: as the first route says that leads to them.
    pub(super) fn together(&self, service: &Service, systems: &[&SystemName]) -> Option<&Together> {
        let leads = |route: &&Route| {
            route.service == *service
                && route.to.len() == systems.len()
                && systems.iter().all(|system| route.to.contains(system))
        };
        self.routes.iter().find(leads).map(|route| &route.close)
    }

    /// The CRM of a council: its own rule goes before the one for all.
    pub(super) fn crm_of(&self, council: &Council) -> Option<&SystemName> {
        let own = self.closures.iter().find(|rule| rule.council.as_ref() == Some(council));
        let any = || self.closures.iter().find(|rule| rule.council.is_none());
        own.or_else(any).map(|rule| &rule.crm)
    }
}

impl Route {
    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "a route", &["service", "when", "to", "close"])?;
        let service = check.required_text(fields, "service", "a route");
        let service = service.and_then(|text| {
            let service = Service::parse(&text);
            if let Err(error) = &service {
                check.error(node.line, format!("service {text:?}"), error.expected);
            }
            service.ok()
        });
        let when = fields.get("when").map(|node| Test::compile(check, node, Place::REQUEST));
        let to = check.required(fields, "to", "a route");
        let to = to.map(|node| check.texts(node, "to")).unwrap_or_default();
        let to: Vec<SystemName> = to.iter().filter_map(|name| system(check, node.line, name)).collect();
        if to.is_empty() {
            check.error(node.line, "a route to no system", "to: [a system]");
        }
        let when = match when {
            Some(when) => Some(when?),
            None => None,
        };
        let close =
            fields.get("close").and_then(|node| Together::compile(check, node, &to)).unwrap_or_default();
        Some(Self { service: service?, when, to, close, line: node.line })
    }
}

impl ClosureRoute {
    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "a closure", &["council", "crm"])?;
        let council = check.required_text(fields, "council", "a closure");
        let crm = check.required_text(fields, "crm", "a closure");
        let council = match council?.as_str() {
            "*" => None,
            text => match Council::parse(text) {
                Ok(council) => Some(council),
                Err(error) => {
                    check.error(
                        node.line,
                        format!("council {text:?}"),
                        format!("\"*\" or {}", error.expected),
                    );
                    return None;
                }
            },
        };
        let crm = system(check, node.line, &crm?)?;
        Some(Self { council, crm, line: node.line })
    }
}

fn system(check: &mut Check<'_>, line: usize, name: &str) -> Option<SystemName> {
    let system = SystemName::parse(name);
    if let Err(error) = &system {
        check.error(line, format!("system {name:?}"), error.expected);
    }
    system.ok()
}

fn list<'n>(check: &mut Check<'_>, node: &'n Node, what: &str) -> &'n [Node] {
    match &node.value {
        Yaml::List(items) => items,
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::Text(_) | Yaml::Map(_) => {
            check.error(node.line, node.shown(), format!("{what}: a list"));
            &[]
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn routes(text: &str) -> (Routes, String) {
        let mut check = Check::new("routes.yaml", &lower);
        let routes = Routes::compile(&mut check, &yaml::parse(text).expect("yaml"));
        (routes, check.findings.iter().map(|finding| format!("{finding}\n")).collect())
    }

    fn request(service: &str, details: Value) -> Request {
        let document = json!({"ticket": "1", "council": "harlow", "service": service, "summary": "s",
                              "raised_at": "2026-11-22T09:15:00Z", "details": details});
        Request::parse(document).expect("valid")
    }

    #[test]
    fn the_first_route_that_fits_is_taken() {
        let (routes, found) = routes(
            "routes:\n  - {service: housing.repair, when: {path: $.details.trade, is: clearance}, to: [housing, waste]}\n  \
             - {service: housing.repair, to: [housing]}\n  - {service: waste.bulky, when: {path: $.details.x, exists: true}, to: [waste]}\n",
        );
        assert!(found.is_empty(), "{found}");
        let to = |service, details| {
            let systems = routes.find(&request(service, details))?;
            Some(systems.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"))
        };
        assert_eq!(to("housing.repair", json!({"trade": "clearance"})).as_deref(), Some("housing+waste"));
        assert_eq!(to("housing.repair", json!({})).as_deref(), Some("housing"));
        assert_eq!(to("waste.bulky", json!({})), None);
        assert_eq!(to("waste.other", json!({})), None);
    }

    #[test]
    fn a_councils_own_crm_goes_before_the_one_for_all() {
        let (routes, _) =
            routes("routes: []\nclosures: [{council: \"*\", crm: crm}, {council: harlow, crm: own}]\n");
        let crm = |council| routes.crm_of(&Council::parse(council).expect("valid")).map(ToString::to_string);
        assert_eq!(crm("harlow").as_deref(), Some("own"));
        assert_eq!(crm("epping").as_deref(), Some("crm"));
        assert_eq!(super::Routes::default().crm_of(&Council::parse("x").expect("valid")), None);
    }

    #[test]
    fn a_wrong_route_is_refused() {
        let cases = [
            ("routes:\n  - {service: Bins, to: [waste]}", "routes.yaml:2: found service \"Bins\""),
            ("routes:\n  - {service: a.b, to: []}", "a route to no system"),
            ("routes:\n  - {service: a.b, to: [Waste!]}", "system \"Waste!\""),
            ("routes:\n  - {service: a.b, too: [w], to: [w]}", "did you mean to?"),
            (
                "routes:\n  - {service: a.b, to: [w]}\n  - {service: a.b, to: [v]}",
                "routes.yaml:3: found a route for a.b that is never taken",
            ),
            ("routes: {}", "routes: a list"),
            ("closures: []", "routes.yaml without routes"),
            ("routes: []\nclosures:\n  - {council: Ha, crm: c}", "\"*\" or 1 to 40"),
        ];
        for (text, expected) in cases {
            let (_, found) = routes(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
