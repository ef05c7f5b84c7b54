//! A council for a journey: simulated back offices, a CRM, and the router between them as a program.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use connectors::simulator::{self, Credentials, Kind, Pace, Settings, Simulator};
use mappings::mapping::{Secret, shipped};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::messages::Broker;
use crate::program::Program;
use crate::proxy::Proxy;
use crate::services::{Tracker, http, own_name};
use crate::wait::until;

/// The key that the router's door expects.
pub const KEY: &str = "journey-key";

/// Submits the request of a ticket over HTTP, as the event of this id, and sees it taken.
///
/// # Panics
/// It is not taken.
pub async fn submit(program: &Program, id: &str, ticket: &str, number: usize) {
    let posted = http()
        .post(program.url("/v1/requests"))
        .bearer_auth(KEY)
        .header("content-type", "application/cloudevents+json")
        .body(submitted(id, &request(ticket, number)).to_string());
    assert_eq!(posted.send().await.expect("an answer").status(), 202, "{ticket}");
}

/// How long a simulated job stays in a state.
const STEP: Duration = Duration::from_millis(100);

/// A council whose router can be stopped and started again.
pub struct Council {
    simulators: HashMap<Kind, Simulator>,
    _stop: tokio_util::sync::DropGuard,
    proxy: Proxy,
    link: Option<Proxy>,
    mappings: TempDir,
    config: String,
    environment: Vec<(String, String)>,
    limits: Option<String>,
    /// The council's exchanges and queues on the broker.
    pub broker: Broker,
}

/// Which CRM the council has.
pub enum Crm {
    /// The simulated one.
    Simulated,
    /// The Request Tracker that `tests/run` started.
    Real,
    /// The same, which publishes nothing and is asked for the tickets of this queue.
    Polled(String),
    /// The simulated Dynamics 365; the mappings are in this folder.
    Dynamics(PathBuf),
}

impl Crm {
    /// Whether its place is taken by the real Request Tracker.
    fn is_real(&self) -> bool {
        match self {
            Self::Real | Self::Polled(_) => true,
            Self::Simulated | Self::Dynamics(_) => false,
        }
    }
}

impl Council {
    /// A council on this ledger and broker. The router is not running yet.
    pub async fn new(ledger: &str, amqp: &str, crm: Crm, seed: u64) -> Self {
        let broker = Broker::own(amqp, &own_name("journey"));
        let bus = broker.settings();
        Self::build(ledger, broker, &bus, crm, seed, STEP).await
    }

    /// A council with a simulated CRM, in whose systems nothing moves by itself.
    pub async fn unhurried(ledger: &str, amqp: &str, seed: u64) -> Self {
        let broker = Broker::own(amqp, &own_name("journey"));
        let bus = broker.settings();
        Self::build(ledger, broker, &bus, Crm::Simulated, seed, Duration::from_secs(3600)).await
    }

    /// A council with a simulated CRM, whose router reaches the broker over a link that can be made to fail.
    pub async fn linked(ledger: &str, amqp: &str, seed: u64) -> Self {
        let link = Proxy::start().await;
        let (user, rest) = amqp.split_once('@').expect("an address with a user");
        let (broker, host) = rest.split_once('/').expect("an address with a virtual host");
        link.point(broker.parse().expect("an address and a port"));
        let broker = Broker::own(amqp, &own_name("journey"));
        let bus = broker.settings_through(&format!("{user}@{}/{host}", link.address()));
        let council = Self::build(ledger, broker, &bus, Crm::Simulated, seed, STEP).await;
        Self { link: Some(link), ..council }
    }

    /// A council with a simulated CRM and no broker.
    pub async fn without_broker(ledger: &str, seed: u64) -> Self {
        Self::with_crm(ledger, Crm::Simulated, seed).await
    }

    /// A council with this CRM and no broker.
    pub async fn with_crm(ledger: &str, crm: Crm, seed: u64) -> Self {
        Self::build(ledger, Broker::own("", ""), "", crm, seed, STEP).await
    }

    async fn build(ledger: &str, broker: Broker, bus: &str, crm: Crm, seed: u64, step: Duration) -> Self {
        say_seed(seed);
        let proxy = Proxy::start().await;
        let stop = CancellationToken::new();
        let callback = format!("http://{}", proxy.address());
        let mut simulators = HashMap::new();
        let mut environment = Vec::new();
        for kind in Kind::ALL {
            if kind == Kind::Crm && crm.is_real() {
                continue;
            }
            let settings = Settings {
                callback: Some(callback.clone()),
                pace: Pace { step, ..Pace::default() },
                seed,
                ..Settings::default()
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let simulator = simulator::start(kind, listener, settings, stop.clone()).await;
            environment
                .extend(simulator.environment().into_iter().map(|(name, value)| (name.to_owned(), value)));
            simulators.insert(kind, simulator);
        }
        // A CRM that sends XML, which takes no closures here.
        let sap = [("CRM_SAP_URL", "http://127.0.0.1:9"), ("CRM_SAP_KEY", "sap-key")];
        environment.extend(sap.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if crm.is_real() {
            let tracker = Tracker::shared();
            let url = tracker.url.trim_end_matches("/REST/2.0").to_owned();
            let pairs = [("CRM_URL", url), ("CRM_USER", tracker.user), ("CRM_PASSWORD", tracker.password)];
            environment.extend(pairs.map(|(name, value)| (name.to_owned(), value)));
        }
        let (mut systems, mut folder) =
            (vec!["housing", "revenues", "waste", "partner", "crm", "crm-sap"], "");
        match &crm {
            Crm::Simulated | Crm::Real => {}
            Crm::Polled(queue) => {
                systems.push("crm-polled");
                environment.push(("CRM_QUEUE".to_owned(), queue.clone()));
            }
            Crm::Dynamics(mappings) => {
                systems.push("crm-dynamics");
                folder = mappings.to_str().expect("a path in UTF-8");
            }
        }
        let config = format!(
            r#"
[http]
keys = [{{name = "journey", key = "{KEY}", councils = ["*"]}}]
[ledger]
url = "{ledger}"
[mappings]
folder = "{folder}"
systems = {systems:?}
[worker]
heartbeat = "500ms"
dead_after = "2s"
stop_within = "15s"
claim_every = "100ms"
clocks_every = "500ms"
[pace]
poll_every = "500ms"
retry_first = "100ms"
retry_most = "1s"
{bus}"#
        );
        let mappings = TempDir::new().expect("a temporary folder");
        Self {
            simulators,
            _stop: stop.drop_guard(),
            proxy,
            link: None,
            mappings,
            config,
            environment,
            limits: None,
            broker,
        }
    }

    /// Gives a call another time than the shipped mappings do: a test waits for a time-out less long, or for none.
    pub fn time_out_after(&mut self, timeout: Duration) {
        for source in shipped() {
            let path = self.mappings.path().join(&source.path);
            let other = format!("timeout: {}ms", timeout.as_millis());
            let text = source.text.replace("timeout: 30s", &other).replace("timeout: 5s", &other);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder is made");
            std::fs::write(path, text).expect("a mapping is written");
        }
        let folder = self.mappings.path().display().to_string();
        self.environment.push(("DOVETAIL__MAPPINGS__FOLDER".to_owned(), folder));
    }

    /// A machine that stands still for a moment makes no router take itself for forgotten and its calls up anew.
    pub fn forget_nobody(&mut self) {
        self.environment.push(("DOVETAIL__WORKER__DEAD_AFTER".to_owned(), "1h".to_owned()));
    }

    /// The link to the broker, where the council has one of its own.
    pub fn link(&self) -> Option<&Proxy> {
        self.link.as_ref()
    }

    /// Adds a section to the router's settings, from its next start on.
    pub fn set(&mut self, section: &str) {
        self.config.push_str(section);
    }

    /// Sets a variable in the router's environment, from its next start on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Gives routers an address space of so many bytes, from their next start on.
    pub fn limit_memory(&mut self, bytes: u64) {
        self.limits = Some(format!("-v {}", bytes / 1024));
    }

    /// Gives routers so many file descriptors, as the shell's `ulimit` takes it: `-Sn 1024` is one that they may raise.
    pub fn limit_descriptors(&mut self, limit: &str) {
        self.limits = Some(limit.to_owned());
    }

    /// Starts the router, waits until it is ready, and points the callbacks of the systems to it.
    pub async fn start(&self) -> Program {
        let mut program = self.start_failing("").await.unwrap_or_else(|ended| panic!("{ended}"));
        self.proxy.point(program.address());
        until("the router is ready", Duration::from_secs(30), async || self.is_ready(&mut program).await)
            .await;
        program
    }

    /// Starts a router that fails on purpose, as `DOVETAIL_FAIL` says. It may have ended before it listens: then,
    /// what it said.
    pub async fn start_failing(&self, plan: &str) -> Result<Program, String> {
        let plan = (!plan.is_empty()).then(|| ("DOVETAIL_FAIL".to_owned(), plan.to_owned()));
        let environment: Vec<_> = self.environment.iter().cloned().chain(plan).collect();
        match &self.limits {
            Some(limits) => Program::try_serve_within(limits, &self.config, &environment).await,
            None => Program::try_serve(&self.config, &environment).await,
        }
    }

    /// `Some` once the router is ready, or has ended.
    pub async fn is_ready(&self, program: &mut Program) -> Option<()> {
        if program.ended().is_some() {
            return Some(());
        }
        let answer = http().get(program.url("/health/ready")).send().await.ok()?;
        (answer.status() == 200).then_some(())
    }

    /// Points the callbacks of the systems to the first of these routers that takes them.
    pub fn point_to_any(&self, routers: Vec<SocketAddr>) {
        self.proxy.point_to_any(routers);
    }

    /// The secret that the waste system's pokes hold.
    pub fn callback_secret(&self) -> String {
        Credentials::default().callback_secret
    }

    /// The headers by which the partner proves that a body is its own (Standard Webhooks).
    pub fn signed_by_partner(&self, body: &str) -> [(&'static str, String); 3] {
        let secret = Secret::new(self.callback_secret());
        let at = router::clock::host_time();
        let signature = connectors::callback::sign(&secret, "msg_1", at, body.as_bytes()).expect("signed");
        [
            ("webhook-id", "msg_1".into()),
            ("webhook-timestamp", at.as_second().to_string()),
            ("webhook-signature", signature),
        ]
    }

    /// Whether this system is simulated.
    pub fn simulates(&self, kind: Kind) -> bool {
        self.simulators.contains_key(&kind)
    }

    /// One of the simulators.
    pub fn simulator(&self, kind: Kind) -> &Simulator {
        &self.simulators[&kind]
    }

    /// Opens so many tickets in the simulated CRM.
    pub async fn open_simulated(&self, count: usize) -> Vec<String> {
        let url = format!("{}/_sim/tickets", self.simulator(Kind::Crm).url());
        let answer =
            http().post(url).body(json!({"count": count}).to_string()).send().await.expect("an answer");
        let opened: Value = answer.json().await.expect("JSON");
        let ids = opened["ids"].as_array().expect("ids").iter();
        ids.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)).collect()
    }

    /// Something that a simulator tells below `/_sim/`.
    pub async fn told(&self, kind: Kind, what: &str) -> Value {
        let url = format!("{}/_sim/{what}", self.simulator(kind).url());
        http().get(url).send().await.expect("an answer").json().await.expect("JSON")
    }
}

/// Tells what makes a failure repeatable.
#[expect(clippy::print_stdout, reason = "the harness shows it with a failure")]
pub fn say_seed(seed: u64) {
    println!("seed {seed}");
}

/// A request that every system's mapping takes, number by number over the services.
pub fn request(ticket: &str, number: usize) -> Value {
    let services = [
        ("waste.missed-bin", json!({"container": "refuse"})),
        (
            "housing.repair",
            json!({"property_reference": "00012345", "trade": "plumbing", "problem": "tap-leaking"}),
        ),
        ("revenues.single-person-discount", json!({"account_reference": "81234567", "date": "2026-11-01"})),
        ("highways.street-light", json!({"column": "LC12", "fault": "out"})),
        (
            "housing.clearance",
            json!({"property_reference": "00045678", "items": [{"item": "bed", "quantity": 1}]}),
        ),
    ];
    let (service, details) = &services[number % services.len()];
    json!({
        "ticket": ticket, "council": "harlow", "service": service, "channel": "phone",
        "raised_at": "2026-11-22T09:15:00Z", "summary": "Something is to be done",
        "customer": {"forename": "Jo", "surname": "Lamb", "email": "jo.lamb@example.org", "phone": "01632 960001"},
        "location": {"uprn": "10008049175", "address": {"lines": ["16 Pitcairn House"], "postcode": "CM20 1AA"},
                     "latitude": 51.77, "longitude": 0.09},
        "details": details,
    })
}

/// A valid request of 15 MB whose details hold so many lists, each nested a hundred deep: gigabytes as a tree.
pub fn nested_lists(ticket: &str, lists: usize) -> Vec<u8> {
    let mut data = request(ticket, 0);
    data["details"]["lists"] = json!("@");
    let list = format!("{}{},", "[".repeat(100), "]".repeat(100));
    let event = submitted(&format!("nested-{ticket}"), &data).to_string();
    event.replace("\"@\"", &format!("[{}0]", list.repeat(lists))).into_bytes()
}

/// The systems that the request of this number goes to.
pub fn systems(number: usize) -> Vec<&'static str> {
    match number % 5 {
        0 => vec!["waste"],
        1 => vec!["housing"],
        2 => vec!["revenues"],
        3 => vec!["partner"],
        _ => vec!["housing", "waste"],
    }
}

/// The same as a CloudEvent.
pub fn submitted(id: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/crm/journey", "type": "uk.dovetail.request.submitted.v1",
        "datacontenttype": "application/json", "data": data,
    })
}
