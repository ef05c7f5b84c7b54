//! All systems and routes, compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::domain::{Council, Operation, Request, Service, SystemName};

use super::check::{Check, Resolve};
use super::files::{self, Clash};
use super::folder::Folder;
use super::in_use::{Unrouted, is_unused, services_of};
use super::routes::Routes;
use super::targets::{self, Asked, Presets, Targets};
use super::yaml::{self, Node};
use super::{Finding, Owner, Role, Severity, Source, System, Together, calendars};
use crate::sla::Terms;

/// Every mapping, compiled and checked against the others.
pub struct Catalogue {
    pub(super) systems: BTreeMap<SystemName, Arc<System>>,
    routes: Routes,
    targets: Targets,
    clock_rule: String,
    /// Systems that have a folder and are not in use.
    unused_systems: BTreeSet<String>,
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalogue").field("systems", &self.systems.keys()).finish_non_exhaustive()
    }
}

impl Catalogue {
    /// Compiles all sources. `resolve` answers `${NAME}` and `${file:/path}`: it is given `NAME` or `file:/path`.
    /// Cases are not looked at.
    ///
    /// # Errors
    /// Every finding in every file, when at least one of them is an error.
    pub fn compile(
        sources: &[Source],
        resolve: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Finding>> {
        Self::compile_only(sources, &[], resolve)
    }

    /// As [`compile`](Self::compile), with the systems of these names alone; all of them where none is named. Routes may
    /// lead to the others: what would go there is told by [`route`](Self::route).
    ///
    /// # Errors
    /// Every finding in every file that is used, when at least one of them is an error.
    pub fn compile_only(
        sources: &[Source],
        names: &[String],
        resolve: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Finding>> {
        let (catalogue, findings) = Self::examine_only(sources, names, resolve);
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(findings);
        }
        Ok(catalogue)
    }

    /// Compiles what can be compiled, and tells everything that was found, by file and line.
    pub(super) fn examine(sources: &[Source], resolve: Resolve<'_>) -> (Self, Vec<Finding>) {
        Self::examine_only(sources, &[], resolve)
    }

    pub(super) fn examine_only(
        sources: &[Source],
        names: &[String],
        resolve: Resolve<'_>,
    ) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut parsed: Vec<(&str, Node)> = Vec::new();
        let (unused, sources): (Vec<&Source>, Vec<&Source>) =
            sources.iter().partition(|source| is_unused(source, names));
        for source in sources.iter().filter(|source| source.is_yaml() && !source.is_cases()) {
            let mut check = Check::new(&source.path, resolve);
            if !source.is_known() {
                let hint = "a system's files are systems/<system>/*.yaml and systems/<system>/cases/*.yaml, a calendar is calendars/*.yaml";
                check.hinted(
                    1,
                    "a file in an unknown place",
                    "routes.yaml, targets.yaml, a calendar or a file of a system",
                    hint,
                );
            }
            match yaml::parse(&source.text) {
                Ok(node) => parsed.push((&source.path, node)),
                Err(error) => check.unparsable(error),
            }
            findings.append(&mut check.findings);
        }
        let calendars = calendars::all(&parsed, resolve, &mut findings);
        let mut check = Check::new(targets::FILE, resolve);
        let promised = parsed.iter().find(|(path, _)| *path == targets::FILE).map(|(_, node)| node);
        let targets = Targets::compile(&mut check, promised, calendars);
        findings.append(&mut check.findings);
        let mut systems = BTreeMap::new();
        for folder in folders(&parsed, &targets.presets) {
            let (system, mut found) = folder.compile(resolve);
            findings.append(&mut found);
            if let Some(system) = system {
                systems.insert(system.name.clone(), Arc::new(system));
            }
        }
        let mut check = Check::new(targets::FILE, resolve);
        let elsewhere = services_of(&unused);
        let services = systems.values().flat_map(|system| system.services()).chain(&elsewhere);
        targets.cross_check(&mut check, &services.collect());
        findings.append(&mut check.findings);
        same_path(&systems, &parsed, resolve, &mut findings);
        let broken: BTreeSet<String> =
            folders(&parsed, &targets.presets).iter().map(|folder| folder.name.to_owned()).collect();
        let unused_systems: BTreeSet<String> =
            unused.iter().filter_map(|source| source.system()).map(str::to_owned).collect();
        let mut check = Check::new("routes.yaml", resolve);
        let routes = match parsed.iter().find(|(path, _)| *path == "routes.yaml") {
            Some((_, node)) => {
                let routes = Routes::compile(&mut check, node);
                cross_check(&mut check, &routes, &systems, &(&broken | &unused_systems));
                routes
            }
            None => {
                if !sources.iter().any(|source| source.path == "routes.yaml") {
                    check.warn(
                        1,
                        "no routes.yaml",
                        "a routing table",
                        Some("no request can go anywhere".into()),
                    );
                }
                Routes::default()
            }
        };
        findings.append(&mut check.findings);
        findings.sort_by(|one, two| (&one.file, one.line).cmp(&(&two.file, two.line)));
        let clock_rule = clock_rule(&parsed);
        (Self { systems, routes, targets, clock_rule, unused_systems }, findings)
    }

    /// The system of that name.
    pub fn system(&self, name: &SystemName) -> Option<&Arc<System>> {
        self.systems.get(name)
    }

    /// All systems, by name.
    pub fn systems(&self) -> impl Iterator<Item = &Arc<System>> {
        self.systems.values()
    }

    /// The systems a request goes to.
    ///
    /// # Errors
    /// [`Unrouted`] says why it goes nowhere.
    pub fn route(&self, request: &Request) -> Result<&[SystemName], Unrouted<'_>> {
        let systems = self.routes.find(request).ok_or(Unrouted::NoRoute)?;
        match systems.iter().find(|name| self.unused_systems.contains(name.as_str())) {
            Some(unused) => Err(Unrouted::NotInUse(unused)),
            None => Ok(systems),
        }
    }

    /// When a ticket closes that these systems work on: when all have ended, where no route says otherwise.
    pub fn together(&self, service: &Service, systems: &[&SystemName]) -> Together {
        self.routes.together(service, systems).cloned().unwrap_or_default()
    }

    /// The CRM that is told by a call when a ticket of that council closes; `None` where no rule names one, or one that is
    /// not in use.
    pub fn crm_of(&self, council: &Council) -> Option<&SystemName> {
        self.routes.crm_of(council).filter(|crm| !self.unused_systems.contains(crm.as_str()))
    }

    /// CRMs that closures would be told to, and that are not in use.
    pub fn unused_crms(&self) -> BTreeSet<&SystemName> {
        let crms = self.routes.closures.iter().map(|rule| &rule.crm);
        crms.filter(|crm| self.unused_systems.contains(crm.as_str())).collect()
    }

    /// What is promised for a request, and what is said while the promise runs.
    pub fn terms(&self, asked: &Asked<'_>) -> Terms {
        let systems: Vec<&Arc<System>> = asked.systems.iter().filter_map(|name| self.system(name)).collect();
        self.targets.terms(asked, &systems)
    }

    /// Who answers for the tickets of a council that no system has in hand.
    pub fn contact_centre(&self, council: &Council) -> Option<&Owner> {
        self.targets.contact_centre(council)
    }

    /// A digest of everything that [`terms`](Self::terms) goes by: where it differs from the one that a clock was
    /// set by, the clock is set anew.
    pub fn clock_rule(&self) -> &str {
        &self.clock_rule
    }

    /// Every service that has a route.
    pub fn services(&self) -> BTreeSet<&Service> {
        self.routes.routes.iter().map(|route| &route.service).collect()
    }
}

/// What targets, calendars and services say of promises, in a few characters.
fn clock_rule(parsed: &[(&str, Node)]) -> String {
    let mut said = env!("CARGO_PKG_VERSION").to_owned();
    let mut parsed: Vec<&(&str, Node)> = parsed.iter().collect();
    parsed.sort_by_key(|(path, _)| *path);
    for (path, node) in parsed {
        let whole = *path == targets::FILE || path.starts_with("calendars/");
        let parts = ["target", "feedback"].map(|key| node.get(key).map(Node::to_json));
        if whole {
            said.push_str(&format!("{path}{}", node.to_json()));
        } else if parts.iter().any(Option::is_some) {
            said.push_str(&format!("{path}{parts:?}"));
        }
    }
    format!("{:016x}", crate::sla::digest(said.bytes()))
}

fn folders<'n>(parsed: &'n [(&'n str, Node)], presets: &Arc<Presets>) -> Vec<Folder<'n>> {
    let mut folders: BTreeMap<&str, Folder<'_>> = BTreeMap::new();
    for (path, node) in parsed {
        let Some((name, file)) = path.strip_prefix("systems/").and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        let folder = folders.entry(name).or_insert_with(|| Folder {
            name,
            system: None,
            others: Vec::new(),
            presets: Arc::clone(presets),
        });
        if file == "system.yaml" {
            folder.system = Some((path, node));
        } else if !file.contains('/') {
            folder.others.push((path, node));
        }
    }
    folders.into_values().collect()
}

/// Two webhooks at one address would take each other's events, and two systems with the same files each other's.
fn same_path(
    systems: &BTreeMap<SystemName, Arc<System>>,
    parsed: &[(&str, Node)],
    resolve: Resolve<'_>,
    findings: &mut Vec<Finding>,
) {
    let mut seen: BTreeMap<String, &SystemName> = BTreeMap::new();
    let mut check_of = |system: &System, keep: &dyn Fn(&mut Check<'_>, usize)| {
        let path = format!("systems/{}/system.yaml", system.name);
        let node = parsed.iter().find(|(found, _)| *found == path);
        let line = node.and_then(|(_, node)| node.get("completion")).map_or(1, |node| node.line);
        let mut check = Check::new(&path, resolve);
        keep(&mut check, line);
        findings.append(&mut check.findings);
    };
    let places = systems.values().flat_map(|system| {
        let webhook = system.webhook.as_ref().map(|webhook| format!("the webhook path {}", webhook.path));
        let files = system.files.as_ref().and_then(|files| files.files());
        webhook.into_iter().chain(files.map(|place| format!("the files {place}"))).map(move |at| (system, at))
    });
    for (system, place) in places {
        if let Some(first) = seen.insert(place.clone(), &system.name) {
            check_of(system, &|check, line| {
                check.error(line, format!("{place} of {first}"), "a place of its own");
            });
        }
    }
    let files = |system: &Arc<System>| system.files.as_ref().map(|_| Arc::clone(system));
    for system in systems.values().filter_map(files) {
        for other in systems.values().filter(|other| other.name != system.name) {
            let (Some(own), Some(others)) = (&system.files, &other.files) else { continue };
            let Some(clash) = files::clash(own, others) else { continue };
            let name = &other.name;
            check_of(&system, &|check, line| match &clash {
                Clash::Shared(place) => {
                    let found = format!("files in {place} that are {name}'s, too");
                    check.error(
                        line,
                        found,
                        "a folder of its own, or a pattern that fits none of the other's",
                    );
                }
                Clash::Ours(place) => {
                    let found =
                        format!("the folder {place}, into which files and receipts of {name} are put");
                    check.error(line, found, "a folder of its own");
                }
                Clash::Inside(place) => {
                    check.warn(
                        line,
                        format!("the folder {place} inside that of {name}"),
                        "a folder of its own",
                        None,
                    );
                }
            });
        }
    }
}

/// Routes name systems that exist and have what is asked of them. `folders` are those that exist at all, so
/// that a broken system is not said to be missing as well.
fn cross_check(
    check: &mut Check<'_>,
    routes: &Routes,
    systems: &BTreeMap<SystemName, Arc<System>>,
    folders: &BTreeSet<String>,
) {
    let known: Vec<&str> = folders.iter().map(String::as_str).collect();
    for route in &routes.routes {
        for name in &route.to {
            match systems.get(name) {
                None if folders.contains(name.as_str()) => {}
                None => {
                    check.unknown(route.line, format!("system {name}"), name.as_str(), known.iter().copied())
                }
                Some(system) if system.operation(&route.service, Operation::Create).is_none() => {
                    let found = format!("{} to {name}, which has no create for it", route.service);
                    let files: Vec<&str> = system.services().map(Service::as_str).collect();
                    check.unknown(route.line, found, route.service.as_str(), files);
                }
                Some(_) => {}
            }
        }
    }
    for rule in &routes.closures {
        match systems.get(&rule.crm) {
            None if folders.contains(rule.crm.as_str()) => {}
            None => check.unknown(
                rule.line,
                format!("crm {}", rule.crm),
                rule.crm.as_str(),
                known.iter().copied(),
            ),
            Some(system) if system.role != Role::Crm => {
                check.error(rule.line, format!("{}, which is no CRM", rule.crm), "a system with role: crm");
            }
            Some(system) => {
                let closure = Service::parse("crm.closure").ok();
                if closure.is_none_or(|closure| system.operation(&closure, Operation::Close).is_none()) {
                    let found = format!("{}, which cannot close a ticket", rule.crm);
                    check.error(rule.line, found, "a file of it with service: crm.closure and close");
                }
            }
        }
    }
    let routed: BTreeSet<&Service> = routes.routes.iter().map(|route| &route.service).collect();
    for system in systems.values().filter(|system| system.role == Role::BackOffice) {
        for service in system.services().filter(|service| !routed.contains(service)) {
            let found = format!("no route for {service}, which {} could do", system.name);
            check.warn(1, found, format!("a route for {service}"), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ROUTES, SYSTEM, compile, found};
    use super::*;

    const BIN: &str = "service: waste.missed-bin\nname: Missed bin\ncreate: {post: /, json: {a: $.ticket}}\n";

    #[test]
    fn a_catalogue_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Catalogue>();
    }

    #[test]
    fn a_sound_set_compiles_and_routes() {
        let crm = SYSTEM.replace("waste", "crm").replace("back_office", "crm");
        let close = "service: crm.closure\nname: Close\nclose: {post: /, json: {}}\n";
        let routes = format!("{ROUTES}closures:\n  - {{council: \"*\", crm: crm}}\n");
        let catalogue = compile(&[
            ("systems/waste/system.yaml", SYSTEM),
            ("systems/waste/bin.yaml", BIN),
            ("systems/waste/README.md", "not YAML: {"),
            ("systems/waste/cases/broken.yaml", "cases: {"),
            ("systems/crm/system.yaml", &crm),
            ("systems/crm/close.yaml", close),
            ("routes.yaml", &routes),
        ])
        .expect("sound");
        assert_eq!(
            catalogue.systems().map(|system| system.name.as_str()).collect::<Vec<_>>(),
            ["crm", "waste"]
        );
        let service = Service::parse("waste.missed-bin").expect("valid");
        assert_eq!(catalogue.services(), BTreeSet::from([&service]));
        let council = Council::parse("harlow").expect("valid");
        let crm = catalogue.crm_of(&council).and_then(|name| catalogue.system(name)).expect("a crm");
        assert!(crm.operation(&service, Operation::Close).is_some());
        assert!(crm.operation(&service, Operation::Create).is_none());
    }

    #[test]
    fn every_mistake_in_every_file_is_told_at_once() {
        let system = SYSTEM.replace("timeout", "").replace("auth: none", "auth: none, timout: 3s");
        let all = found(&[
            ("systems/waste/system.yaml", &system),
            ("systems/waste/bin.yaml", "service: waste.missed-bin\nname: N\ncrete: {post: /}\n"),
            ("systems/waste/tab.yaml", "service: x.y\nname: [\n"),
            ("routes.yaml", "routes:\n  - {service: waste.missed-bin, to: [wast]}\n"),
        ]);
        let expected = [
            "routes.yaml:2: found system wast; expected waste; hint: did you mean waste?",
            "systems/waste/bin.yaml:1: found a service file without an operation",
            "systems/waste/bin.yaml:3: found unknown key crete in a service file",
            "systems/waste/system.yaml:5: found unknown key timout in connection",
            "systems/waste/tab.yaml:",
        ];
        for expected in expected {
            assert!(all.iter().any(|finding| finding.starts_with(expected)), "{expected} is not in {all:#?}");
        }
        assert!(all.iter().any(|finding| finding.contains("did you mean create?")), "{all:#?}");
    }

    #[test]
    fn folders_of_files_that_stand_in_each_others_way_are_named() {
        let system = |name: &str, folder: &str, pattern: &str| {
            let files = format!(
                "completion: {{files: {{folder: {folder}, pattern: \"{pattern}\", format: csv, \
                 reports: {{job: $.id, status: $.s}}}}}}\n"
            );
            format!("{SYSTEM}{files}").replace("system: waste", &format!("system: {name}"))
        };
        let between = |folder: &str, pattern: &str| {
            let (waste, other) = (system("waste", "/in", "*.csv"), system("other", folder, pattern));
            let all = found(&[("systems/waste/system.yaml", &waste), ("systems/other/system.yaml", &other)]);
            all.into_iter().find(|finding| finding.starts_with("systems/other/system.yaml:7: found"))
        };
        for (folder, pattern, expected) in [
            ("/in/", "receipts*.csv", "files in /in/ that are waste's, too"),
            ("/in/receipts", "x*.csv", "into which files and receipts of waste are put"),
            ("/in/./done/old", "x*.csv", "into which files and receipts of waste are put"),
            ("/in/other", "*.csv", "the folder /in/other inside that of waste"),
        ] {
            let finding = between(folder, pattern).unwrap_or_default();
            assert!(finding.contains(expected), "{folder} {pattern}: {finding}");
        }
        for (folder, pattern) in [("/in", "*.xml"), ("/input", "*.csv"), ("/", "*.xml")] {
            assert_eq!(between(folder, pattern), None, "{folder} {pattern}");
        }
        let own = found(&[("systems/waste/system.yaml", &*system("waste", "/in", "*"))]).join("\n");
        assert!(own.contains("pattern: \"*\", which receipts such as x.receipt.json fit, too"), "{own}");
    }

    #[test]
    fn files_are_checked_against_each_other() {
        let crm = "routes:\n  - {service: waste.other, to: [waste]}\nclosures:\n  - {council: \"*\", crm: waste}\n  - {council: a, crm: gone}\n";
        let hook = "completion: {webhook: {path: /callbacks/w, verify: {basic: {username: u, password: \"${P}\"}}, \
                    reports: {job: $.id, status: $.s}}, \
                    files: {folder: /in, pattern: \"*.csv\", format: csv, reports: {job: $.id, status: $.s}}}\n";
        let waste = format!("{SYSTEM}{hook}");
        let other = waste.replace("system: waste", "system: other");
        let all = found(&[
            ("systems/waste/system.yaml", &waste),
            ("systems/waste/bin.yaml", BIN),
            ("systems/waste/again.yaml", BIN),
            ("systems/other/system.yaml", &other),
            ("systems/lost/bin.yaml", BIN),
            ("systems/renamed/system.yaml", SYSTEM),
            ("elsewhere.yaml", "a: 1"),
            ("routes.yaml", crm),
        ]);
        let expected = [
            "routes.yaml:2: found waste.other to waste, which has no create for it; expected waste.missed-bin",
            "routes.yaml:4: found waste, which is no CRM",
            "routes.yaml:5: found crm gone",
            "routes.yaml:1: found no route for waste.missed-bin, which waste could do",
            "systems/waste/again.yaml:1: found a second file for waste.missed-bin",
            "systems/waste/system.yaml:7: found the webhook path /callbacks/w of other",
            "systems/waste/system.yaml:7: found the files /in/*.csv of other",
            "systems/lost/bin.yaml:1: found no system.yaml in systems/lost",
            "systems/renamed/system.yaml:1: found system waste; expected renamed, as its folder is called",
            "elsewhere.yaml:1: found a file in an unknown place",
        ];
        for expected in expected {
            assert!(all.iter().any(|finding| finding.starts_with(expected)), "{expected} is not in {all:#?}");
        }
    }

    #[test]
    fn warnings_alone_do_not_stop_the_start() {
        let unused = format!("{BIN}lookups: {{ids: {{a: b}}}}\n");
        let files = [("systems/waste/system.yaml", SYSTEM), ("systems/waste/bin.yaml", &*unused)];
        let all = found(&files).join("\n");
        assert!(all.contains("the table ids, which nothing uses") && all.contains("no routes.yaml"), "{all}");
        assert!(compile(&files).is_ok());
    }
}
