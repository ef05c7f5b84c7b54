//! Compiling one system from the files of its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Service, SystemName};

use super::check::{Check, Fields, Resolve};
use super::completion::{Poll, Webhook};
use super::connection::Connection;
use super::files::Files;
use super::harvest::Harvest;
use super::inquiry::StatusQuery;
use super::lookup::{self, Lookup};
use super::promises;
use super::service::ServiceRules;
use super::statuses::Statuses;
use super::targets::Presets;
use super::yaml::{Node, Yaml};
use super::{Finding, Idempotency, Intake, Limits, Orphans, Owner, RetryRule, Role, Secret, Steps, System};

/// The parsed files of one system: `system.yaml` and the others, each with its path.
pub(super) struct Folder<'n> {
    /// The folder's name.
    pub(super) name: &'n str,
    /// `system.yaml`
    pub(super) system: Option<(&'n str, &'n Node)>,
    /// Services and intake.
    pub(super) others: Vec<(&'n str, &'n Node)>,
    /// Promises that a service may name.
    pub(super) presets: Arc<Presets>,
}

const KEYS: &[&str] = &[
    "system",
    "name",
    "role",
    "note",
    "owner",
    "connection",
    "limits",
    "idempotency",
    "retry",
    "completion",
    "calls",
    "statuses",
    "lookups",
    "xml_lists",
];

impl Folder<'_> {
    /// Compiles the system; `None` when its `system.yaml` is not sound enough to go on with.
    pub(super) fn compile(&self, resolve: Resolve<'_>) -> (Option<System>, Vec<Finding>) {
        let Some((path, node)) = self.system else {
            let first = self.others.first().map_or(self.name, |(path, _)| path);
            let mut check = Check::new(first, resolve);
            check.error(
                1,
                format!("no system.yaml in systems/{}", self.name),
                "a system.yaml beside this file",
            );
            return (None, check.findings);
        };
        let mut check = Check::new(path, resolve);
        let system = self.system(&mut check, node);
        let mut used: BTreeSet<String> = std::mem::take(&mut check.used);
        let tables = check.lookups.clone();
        let xml_lists = Arc::clone(&check.xml_lists);
        let mut findings = std::mem::take(&mut check.findings);
        let mut secrets = std::mem::take(&mut check.secrets);
        let mut services: BTreeMap<Service, ServiceRules> = BTreeMap::new();
        let mut intake = None;
        for (path, node) in &self.others {
            let mut check = Check::new(path, resolve);
            check.xml_lists = Arc::clone(&xml_lists);
            check.presets = Arc::clone(&self.presets);
            check.lookups = tables.clone();
            let own = node.get("lookups").map(|node| lookup::compile(&mut check, node)).unwrap_or_default();
            check.lookups.extend(own.clone());
            if node.get("intake").is_some() {
                read_intake(&mut check, node, &mut intake, system.as_ref());
            } else if let Some(rules) = ServiceRules::compile(&mut check, node) {
                if services.contains_key(&rules.name) {
                    check.error(
                        rules.line,
                        format!("a second file for {}", rules.name),
                        "one file a service",
                    );
                } else {
                    if let Some(system) = &system {
                        promises::of_service(&mut check, &rules, &system.idempotency);
                        promises::of_changes(&mut check, &rules);
                    }
                    services.insert(rules.name.clone(), rules);
                }
            }
            unused(&mut check, &own);
            used.append(&mut check.used);
            findings.append(&mut check.findings);
            secrets.append(&mut check.secrets);
        }
        check.used = used;
        unused(&mut check, &tables);
        findings.append(&mut check.findings);
        let system = system.map(|mut system| {
            system.services = services;
            system.intake = intake;
            system.secrets = worth_masking(secrets);
            system
        });
        (system, findings)
    }

    fn system(&self, check: &mut Check<'_>, node: &Node) -> Option<System> {
        let fields = check.fields(node, "system.yaml", KEYS)?;
        if let Some(node) = fields.get("xml_lists") {
            check.xml_lists = check.texts(node, "xml_lists").into();
        }
        if let Some(node) = fields.get("lookups") {
            check.lookups = lookup::compile(check, node);
        }
        let name = self.name(check, fields);
        let title = check.required_text(fields, "name", "system.yaml");
        let role = check.required(fields, "role", "system.yaml");
        let roles = [("back_office", Role::BackOffice), ("crm", Role::Crm)];
        let role = role.and_then(|node| check.word(node, "role", &roles));
        let note = check.text_of(fields, "note");
        let owner = check.required(fields, "owner", "system.yaml").and_then(|node| owner(check, node));
        let connection = check.required(fields, "connection", "system.yaml");
        let connection = connection.and_then(|node| Connection::compile(check, node));
        let limits = fields.get("limits").map(|node| Limits::compile(check, node));
        if let Some(Some(limits)) = &limits {
            check.largest_item = limits.item;
        }
        let idempotency = check.required(fields, "idempotency", "system.yaml");
        let idempotency = idempotency.and_then(|node| idempotent(check, node));
        let retry = fields.get("retry").and_then(|node| retry(check, node));
        let calls = fields.get("calls").map(|node| calls(check, node)).unwrap_or_default();
        let statuses = fields.get("statuses").map(|node| Statuses::compile(check, node)).unwrap_or_default();
        let ways = fields.get("completion").map(|node| completion(check, node)).unwrap_or_default();
        let Ways { webhook, poll, files, status, orphans } = ways;
        let known: Vec<&str> = fields
            .get("calls")
            .map(|node| node.entries().iter().map(|entry| entry.key.as_str()).collect())
            .unwrap_or_default();
        if let Some(Idempotency::LookUp(call)) = &idempotency {
            named(check, fields.get("idempotency"), "look_up", call, &known);
            if let Some(steps) = calls.get(call) {
                let line = fields.get("idempotency").map_or(1, |node| node.line);
                promises::of_look_up(check, line, call, steps);
            }
        }
        if let Some(call) = webhook.as_ref().and_then(|webhook| webhook.read_back.as_ref()) {
            named(check, fields.get("completion"), "read_back", call, &known);
            reads(check, fields.get("completion"), call, &calls);
        }
        if let Some(poll) = &poll {
            named(check, fields.get("completion"), "poll", poll.call(), &known);
            reads(check, fields.get("completion"), poll.call(), &calls);
        }
        if let Some(status) = &status {
            named(check, fields.get("completion"), "status", &status.call, &known);
            reads(check, fields.get("completion"), &status.call, &calls);
        }
        Some(System {
            name: name?,
            title: title?,
            role: role?,
            note,
            owner: owner?,
            connection: connection?,
            limits: limits.unwrap_or_else(|| Some(Limits::default()))?,
            idempotency: idempotency?,
            retry: retry.unwrap_or_default(),
            webhook,
            poll,
            files,
            status,
            orphans,
            xml_lists: check.xml_lists.to_vec(),
            calls,
            statuses,
            services: BTreeMap::new(),
            intake: None,
            secrets: Vec::new(),
        })
    }

    fn name(&self, check: &mut Check<'_>, fields: Fields<'_>) -> Option<SystemName> {
        let text = check.required_text(fields, "system", "system.yaml")?;
        let line = fields.get("system").map_or(1, |node| node.line);
        if text != self.name {
            check.error(line, format!("system {text}"), format!("{}, as its folder is called", self.name));
        }
        let name = SystemName::parse(&text);
        if let Err(error) = &name {
            check.error(line, format!("system {text:?}"), error.expected);
        }
        name.ok()
    }
}

fn read_intake(check: &mut Check<'_>, node: &Node, intake: &mut Option<Intake>, system: Option<&System>) {
    let Some(fields) = check.fields(node, "an intake file", &["intake", "lookups"]) else { return };
    let Some(node) = fields.get("intake") else { return };
    if intake.is_some() {
        check.error(node.line, "a second intake", "one intake a system");
    }
    if let Some(compiled) = Intake::compile(check, node) {
        if let (Some(harvest), Some(system)) = (compiled.harvest(), system) {
            harvested(check, harvest, system);
        }
        *intake = Some(compiled);
    }
}

fn harvested(check: &mut Check<'_>, harvest: &Harvest, system: &System) {
    for (what, call) in [("poll", Some(&harvest.call)), ("then", harvest.then.as_ref())] {
        let Some(call) = call.filter(|call| system.call(call).is_none()) else { continue };
        let found = format!("{what} {call}, which is none of the calls");
        check.unknown(harvest.line, found, call, system.call_names());
    }
    if system.poll.is_some() {
        // Both would keep their place under the system's name.
        let expected = "one of them; the other in a folder of its own";
        check.error(harvest.line, "a poll for tickets beside a poll for jobs", expected);
    }
}

fn unused(check: &mut Check<'_>, tables: &BTreeMap<String, Arc<Lookup>>) {
    let left: Vec<(usize, String)> = tables
        .iter()
        .filter(|(name, _)| !check.used.contains(*name))
        .map(|(name, table)| (table.line, name.clone()))
        .collect();
    for (line, name) in left {
        check.warn(
            line,
            format!("the table {name}, which nothing uses"),
            format!("lookup: {name} somewhere"),
            None,
        );
    }
}

/// Short values are left out: masking them would make every call unreadable and hide nothing.
fn worth_masking(secrets: Vec<Secret>) -> Vec<Secret> {
    let mut kept: Vec<Secret> = Vec::new();
    for secret in secrets {
        if secret.expose().chars().count() >= 4 && !kept.contains(&secret) {
            kept.push(secret);
        }
    }
    kept
}

/// Reads `owner:`.
pub(super) fn owner(check: &mut Check<'_>, node: &Node) -> Option<Owner> {
    let fields = check.fields(node, "owner", &["team", "contact", "senior"])?;
    let team = check.required_text(fields, "team", "owner");
    let contact = check.required_text(fields, "contact", "owner");
    let senior = check.text_of(fields, "senior");
    Some(Owner { team: team?, contact: contact?, senior })
}

fn idempotent(check: &mut Check<'_>, node: &Node) -> Option<Idempotency> {
    if node.as_text() == Some("none") {
        return Some(Idempotency::None);
    }
    if !matches!(node.value, Yaml::Map(_)) {
        check.error(node.line, node.shown(), "idempotency: {key: a name}, {look_up: a call} or none");
        return None;
    }
    let fields = check.fields(node, "idempotency", &["key", "look_up"])?;
    let kind = check.one_of(fields, "idempotency", &["key", "look_up"])?;
    let text = check.text_of(fields, kind)?;
    Some(if kind == "key" { Idempotency::Key } else { Idempotency::LookUp(text) })
}

fn retry(check: &mut Check<'_>, node: &Node) -> Option<RetryRule> {
    let fields = check.fields(node, "retry", &["first", "most", "attempts"])?;
    let usual = RetryRule::default();
    let mut time = |key: &str, usual: Duration| match fields.get(key) {
        Some(node) => check.duration(node, key),
        None => Some(usual),
    };
    let (first, most) = (time("first", usual.first), time("most", usual.most));
    let attempts = match fields.get("attempts") {
        Some(node) => check.number(node, "attempts", 1, 1_000).and_then(|number| u32::try_from(number).ok()),
        None => Some(usual.attempts),
    };
    let rule = RetryRule { first: first?, most: most?, attempts: attempts? };
    if rule.first > rule.most {
        check.error(node.line, "first longer than most", "the first pause is the shortest");
    }
    Some(rule)
}

fn calls(check: &mut Check<'_>, node: &Node) -> BTreeMap<String, Steps> {
    let Yaml::Map(entries) = &node.value else {
        check.error(node.line, node.shown(), "calls: a mapping of names to operations");
        return BTreeMap::new();
    };
    entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), Steps::compile(check, &entry.value, &entry.key)?)))
        .collect()
}

/// How a system tells of its jobs, and is asked about them.
#[derive(Default)]
struct Ways {
    webhook: Option<Webhook>,
    poll: Option<Poll>,
    files: Option<Files>,
    status: Option<StatusQuery>,
    orphans: Orphans,
}

fn completion(check: &mut Check<'_>, node: &Node) -> Ways {
    let known = ["webhook", "poll", "files", "status", "orphans"];
    let Some(fields) = check.fields(node, "completion", &known) else { return Ways::default() };
    Ways {
        webhook: fields.get("webhook").and_then(|node| Webhook::compile(check, node)),
        poll: fields.get("poll").and_then(|node| Poll::compile(check, node)),
        files: fields.get("files").and_then(|node| Files::compile(check, node)),
        status: fields.get("status").and_then(|node| StatusQuery::compile(check, node)),
        orphans: fields
            .get("orphans")
            .and_then(|node| {
                check.word(node, "orphans", &[("tell", Orphans::Told), ("others", Orphans::OfOthers)])
            })
            .unwrap_or_default(),
    }
}

fn named(check: &mut Check<'_>, node: Option<&Node>, what: &str, call: &str, known: &[&str]) {
    if !known.contains(&call) {
        let line = node.map_or(1, |node| node.line);
        check.unknown(
            line,
            format!("{what} {call}, which is none of the calls"),
            call,
            known.iter().copied(),
        );
    }
}

fn reads(check: &mut Check<'_>, node: Option<&Node>, call: &str, calls: &BTreeMap<String, Steps>) {
    if calls.get(call).is_some_and(|steps| !steps.reads_reports()) {
        let line = node.map_or(1, |node| node.line);
        check.error(
            line,
            format!("the call {call}, which reads no status"),
            format!("reports with status in {call}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{SYSTEM, found};

    fn system(change: impl Fn(&str) -> String) -> String {
        found(&[("systems/waste/system.yaml", &change(SYSTEM))]).join("\n")
    }

    #[test]
    fn a_system_without_what_it_needs_is_refused() {
        for key in ["system", "name", "role", "owner", "connection", "idempotency"] {
            let all = system(|text| {
                text.lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n")
            });
            assert!(
                all.contains(&format!("found system.yaml without {key}; expected {key}: …")),
                "{key}: {all}"
            );
        }
        assert!(system(|_| String::new()).contains("found nothing; expected system.yaml: a mapping"));
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        let cases = [
            (
                "role: back_office",
                "role: backoffice",
                "waste/system.yaml:3: found role: \"backoffice\"; expected one of back_office, crm; hint: did you mean back_office?",
            ),
            ("https://waste.test/", "waste.test", "expected a URL that starts with https:// or http://"),
            ("https://waste.test/", "${UNSET}", "found ${UNSET}, which is not set"),
            ("auth: none", "auth: {bsic: {}}", "did you mean basic?"),
            ("auth: none", "auth: {basic: {username: a}}", "basic without password"),
            ("auth: none", "auth: {bearer: {token: a}, token: {token: b}}", "bearer and token at once"),
            ("auth: none", "auth: none, timeout: 30", "a duration such as 500ms"),
            (
                "auth: none",
                "auth: none, timeout: 10s, answer_timeout: 20s",
                "found 5 s to connect, 20 s until the answer begins, 10 s in all; expected connect_timeout no longer",
            ),
            ("auth: none", "auth: none, connect_timeout: 31s", "that no longer than timeout"),
            ("idempotency: none", "idempotency: {look_up: find}", "look_up find, which is none of the calls"),
            ("idempotency: none", "idempotency: maybe", "{key: a name}, {look_up: a call} or none"),
            ("idempotency: none", "idempotency: none\nlimits: {concurrency: 0}", "a whole number from 1"),
            (
                "idempotency: none",
                "idempotency: none\nretry: {first: 2h, most: 1m}",
                "first longer than most",
            ),
            ("idempotency: none", "idempotency: none\nstatusses: {}", "did you mean statuses?"),
            (
                "idempotency: none",
                "idempotency: none\ncompletion: {poll: {every: 1m, call: x}}",
                "poll x, which is none of the calls",
            ),
            (
                "idempotency: none",
                "idempotency: none\ncalls: {x: {get: /}}\ncompletion: {poll: {every: 1m, call: x}}",
                "the call x, which reads no status",
            ),
            (
                "idempotency: none",
                "idempotency: none\ncompletion: {poll: {every: 1m, overlap: 1m, each_job: x}}",
                "an overlap only beside call",
            ),
            ("idempotency: none", "idempotency: none\nlookups: {a: 1}", "the table a: a mapping"),
        ];
        for (from, to, expected) in cases {
            let all = system(|text| text.replace(from, to));
            assert!(all.contains(expected), "{to}: {all}");
        }
    }

    #[test]
    fn a_wrong_webhook_is_refused() {
        let cases = [
            ("{verify: none, reports: {job: $.id, status: $.s}}", "webhook without path"),
            (
                "{path: callbacks, verify: none, reports: {job: $.id, status: $.s}}",
                "a plain path such as /callbacks/waste",
            ),
            ("{path: /c, reports: {job: $.id, status: $.s}}", "webhook without verify"),
            ("{path: /c, verify: none, reports: {job: $.id}}", "a webhook without read_back"),
            ("{path: /c, verify: none, reports: {status: $.id}}", "reports without job and reference"),
            (
                "{path: /c, verify: none, reports: {job: $.id}, read_back: x}",
                "read_back x, which is none of the calls",
            ),
            (
                "{path: /c, verify: {shared_secret: {value: x}}, reports: {job: $.id, status: $.s}}",
                "none of path, header",
            ),
            (
                "{path: /c, verify: {hmac_sha256: {header: H, secret: s, encoding: bas64}}, reports: {job: $.id, status: $.s}}",
                "did you mean base64?",
            ),
            (
                "{path: /c, verify: none, reports: {job: $.id, status: $.s}, reply: {status: 404}}",
                "a whole number from 200 to 299",
            ),
            (
                "{path: /c, verify: none, reports: {job: $.id, status: $.s}}",
                "anybody who reaches the address",
            ),
        ];
        for (webhook, expected) in cases {
            let all = system(|text| format!("{text}completion: {{webhook: {webhook}}}\n"));
            assert!(all.contains(expected), "{webhook}: {all}");
        }
    }

    #[test]
    fn a_wrong_service_is_refused() {
        let cases = [
            ("name: N\ncreate: {post: /}", "a service file without service"),
            (
                "service: bins\nname: N\ncreate: {post: /}",
                "found service \"bins\"; expected two or more parts",
            ),
            ("service: a.b\ncreate: {post: /}", "a service file without name"),
            ("service: a.b\nname: N\ncreate: {post: /}\ntarget: {within: soon}", "for example 4 hours"),
            ("service: a.b\nname: N\ncreate: {post: /}\nclose: {automatically: [done]}", "one of completed"),
            (
                "service: a.b\nname: N\ncreate: {post: /}\nclose: {automatically: [], otherwise: close}",
                "otherwise: hold",
            ),
            ("service: a.b\nname: N\ncreate: {post: /}\nrequires: details", "requires: a list of texts"),
            ("intake: {format: csv, event: $.a, request: {}}", "one of json, xml"),
            ("intake: {format: json, request: {}}", "a message that is delivered twice"),
            ("intake: {format: json, event: $.a}", "intake without request"),
        ];
        for (service, expected) in cases {
            let files = [("systems/waste/system.yaml", SYSTEM), ("systems/waste/a.yaml", service)];
            let all = found(&files).join("\n");
            assert!(all.contains(expected), "{service}: {all}");
        }
    }
}
