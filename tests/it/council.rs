//! A council for a journey: simulated back offices, a CRM, and the router between them as a program.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use connectors::simulator::{self, Credentials, Kind, Pace, Settings, Simulator};
use mappings::mapping::Secret;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::messages::Broker;
use crate::program::Program;
use crate::proxy::Proxy;
use crate::services::{Tracker, http, own_name};
use crate::wait::until;

/// The key that the router's door expects.
pub(crate) const KEY: &str = "journey-key";

/// A council whose router can be stopped and started again.
pub(crate) struct Council {
    simulators: HashMap<Kind, Simulator>,
    _stop: tokio_util::sync::DropGuard,
    proxy: Proxy,
    config: String,
    environment: Vec<(String, String)>,
    /// The council's exchanges and queues on the broker.
    pub(crate) broker: Broker,
}

/// Which CRM the council has.
pub(crate) enum Crm {
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
    pub(crate) async fn new(ledger: &str, amqp: &str, crm: Crm, seed: u64) -> Self {
        let broker = Broker::own(amqp, &own_name("journey"));
        let bus = broker.settings();
        Self::build(ledger, broker, &bus, crm, seed).await
    }

    /// A council with a simulated CRM and no broker.
    pub(crate) async fn without_broker(ledger: &str, seed: u64) -> Self {
        Self::with_crm(ledger, Crm::Simulated, seed).await
    }

    /// A council with this CRM and no broker.
    pub(crate) async fn with_crm(ledger: &str, crm: Crm, seed: u64) -> Self {
        Self::build(ledger, Broker::own("", ""), "", crm, seed).await
    }

    async fn build(ledger: &str, broker: Broker, bus: &str, crm: Crm, seed: u64) -> Self {
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
                pace: Pace { step: Duration::from_millis(100), ..Pace::default() },
                seed,
                ..Settings::default()
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let simulator = simulator::start(kind, listener, settings, stop.clone()).await;
            environment
                .extend(simulator.environment().into_iter().map(|(name, value)| (name.to_owned(), value)));
            simulators.insert(kind, simulator);
        }
        if crm.is_real() {
            let tracker = Tracker::shared();
            let url = tracker.url.trim_end_matches("/REST/2.0").to_owned();
            let pairs = [("CRM_URL", url), ("CRM_USER", tracker.user), ("CRM_PASSWORD", tracker.password)];
            environment.extend(pairs.map(|(name, value)| (name.to_owned(), value)));
        }
        let (mut systems, mut folder) = (vec!["housing", "revenues", "waste", "partner", "crm"], "");
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
claim_every = "100ms"
[pace]
poll_every = "500ms"
retry_first = "100ms"
retry_most = "1s"
{bus}"#
        );
        Self { simulators, _stop: stop.drop_guard(), proxy, config, environment, broker }
    }

    /// Adds a section to the router's settings, from its next start on.
    pub(crate) fn set(&mut self, section: &str) {
        self.config.push_str(section);
    }

    /// Starts the router, waits until it is ready, and points the callbacks of the systems to it.
    pub(crate) async fn start(&self) -> Program {
        let program = Program::serve_with(&self.config, &self.environment).await;
        self.proxy.point(program.address());
        until("the router is ready", Duration::from_secs(30), async || {
            let answer = http().get(program.url("/health/ready")).send().await.ok()?;
            (answer.status() == 200).then_some(())
        })
        .await;
        program
    }

    /// The secret that the waste system's pokes hold.
    pub(crate) fn callback_secret(&self) -> String {
        Credentials::default().callback_secret
    }

    /// The headers by which the partner proves that a body is its own (Standard Webhooks).
    pub(crate) fn signed_by_partner(&self, body: &str) -> [(&'static str, String); 3] {
        let secret = Secret::new(self.callback_secret());
        let at = router::clock::host_time();
        let signature = connectors::callback::sign(&secret, "msg_1", at, body.as_bytes()).expect("signed");
        [
            ("webhook-id", "msg_1".into()),
            ("webhook-timestamp", at.as_second().to_string()),
            ("webhook-signature", signature),
        ]
    }

    /// One of the simulators.
    pub(crate) fn simulator(&self, kind: Kind) -> &Simulator {
        &self.simulators[&kind]
    }

    /// Opens so many tickets in the simulated CRM.
    pub(crate) async fn open_simulated(&self, count: usize) -> Vec<String> {
        let url = format!("{}/_sim/tickets", self.simulator(Kind::Crm).url());
        let answer =
            http().post(url).body(json!({"count": count}).to_string()).send().await.expect("an answer");
        let opened: Value = answer.json().await.expect("JSON");
        let ids = opened["ids"].as_array().expect("ids").iter();
        ids.map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)).collect()
    }

    /// Something that a simulator tells below `/_sim/`.
    pub(crate) async fn told(&self, kind: Kind, what: &str) -> Value {
        let url = format!("{}/_sim/{what}", self.simulator(kind).url());
        http().get(url).send().await.expect("an answer").json().await.expect("JSON")
    }
}

/// Tells what makes a failure repeatable.
#[expect(clippy::print_stdout, reason = "the harness shows it with a failure")]
pub(crate) fn say_seed(seed: u64) {
    println!("seed {seed}");
}

/// A request that every system's mapping takes, number by number over the services.
pub(crate) fn request(ticket: &str, number: usize) -> Value {
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

/// The same as a CloudEvent.
pub(crate) fn submitted(id: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/crm/journey", "type": "uk.dovetail.request.submitted.v1",
        "datacontenttype": "application/json", "data": data,
    })
}
