//! The council's end of the demonstration: opens tickets in the simulated CRM, submits them, and looks at
//! which of them were closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use connectors::simulator::Credentials;
use serde_json::{Value, json};
use uuid::Uuid;

use super::scenario::{Twist, Wanted};
use crate::bus::{Client, Topology};
use crate::config::Config;
use crate::envelope::STRUCTURED;

/// The council's end.
pub(super) struct Crm {
    client: reqwest::Client,
    tickets: String,
    submit: Submit,
    run: Uuid,
    count: AtomicU64,
}

/// The way to the router.
enum Submit {
    Http { url: String, key: String },
    Amqp(Box<(Client, Topology)>),
}

/// What the router made of a request, as far as its sender can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receipt {
    /// A ticket that must be accounted for.
    Opened,
    /// One that the router must refuse.
    Refused,
}

/// One request that was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) ticket: String,
    pub(super) system: &'static str,
    pub(super) receipt: Receipt,
}

impl Sent {
    pub(super) fn opened(&self) -> bool {
        self.receipt == Receipt::Opened
    }
}

impl Crm {
    pub(super) async fn connect(
        config: &Config,
        router: &str,
        key: &str,
        tickets: &str,
    ) -> anyhow::Result<Self> {
        let submit = if config.has_bus() {
            let topology = config.bus.settings().topology;
            let address = crate::config::without_password(&config.bus.url);
            let client = Client::connect(&config.bus.url).await.with_context(|| {
                format!("RabbitMQ at {address} does not answer; start it, or leave --bus out: the demo needs no broker")
            })?;
            client.declare(&topology).await?;
            client.collect(&topology.events).await?;
            Submit::Amqp(Box::new((client, topology)))
        } else {
            Submit::Http { url: format!("{router}/v1/requests"), key: key.to_owned() }
        };
        let client =
            reqwest::Client::builder().timeout(Duration::from_secs(30)).build().context("no HTTP client")?;
        Ok(Self {
            client,
            tickets: tickets.to_owned(),
            submit,
            run: Uuid::now_v7(),
            count: AtomicU64::new(0),
        })
    }

    /// Opens a ticket and submits its request.
    pub(super) async fn send(&self, wanted: Wanted) -> anyhow::Result<Sent> {
        let ticket = self.open(&wanted.document).await?;
        let mut document = wanted.document;
        document["ticket"] = json!(ticket);
        let event = json!({
            "specversion": "1.0",
            "id": format!("{}-{}", self.run, self.count.fetch_add(1, Ordering::Relaxed)),
            "source": "/crm/demo",
            "type": "uk.dovetail.request.submitted.v1",
            "datacontenttype": "application/json",
            "data": document,
        });
        let receipt = if wanted.twist == Twist::Invalid { Receipt::Refused } else { Receipt::Opened };
        let times = if wanted.twist == Twist::Twice { 2 } else { 1 };
        for _ in 0..times {
            self.submit(&event, receipt).await?;
        }
        Ok(Sent { ticket, system: wanted.system, receipt })
    }

    async fn open(&self, document: &Value) -> anyhow::Result<String> {
        let body = json!({
            "Queue": "General",
            "Subject": document["summary"],
            "Requestor": document["customer"]["email"],
            "Content": document["summary"],
        });
        let Credentials { user, password, .. } = Credentials::default();
        let url = format!("{}/REST/2.0/ticket", self.tickets);
        let opened: Value = self
            .client
            .post(url)
            .basic_auth(user, Some(password))
            .json(&body)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let id = &opened["id"];
        Ok(id.as_str().map_or_else(|| id.to_string(), str::to_owned))
    }

    async fn submit(&self, event: &Value, receipt: Receipt) -> anyhow::Result<()> {
        match &self.submit {
            Submit::Amqp(broker) => {
                let (client, topology) = &**broker;
                let (key, body) = ("harlow.request.submitted", event.to_string());
                client.publish(&topology.requests, key, STRUCTURED, Vec::new(), body.as_bytes()).await?;
                Ok(())
            }
            Submit::Http { url, key } => {
                let request = self
                    .client
                    .post(url)
                    .bearer_auth(key)
                    .header("content-type", "application/cloudevents+json");
                let status = request.body(event.to_string()).send().await?.status();
                match (status.as_u16(), receipt) {
                    (200 | 202, Receipt::Opened) | (422, Receipt::Refused) => Ok(()),
                    (other, _) => bail!("the router answered {other} to a request"),
                }
            }
        }
    }

    /// How often each ticket was closed in the CRM.
    pub(super) async fn closures(&self) -> anyhow::Result<HashMap<String, u64>> {
        let url = format!("{}/_sim/tickets", self.tickets);
        let tickets: Value = self.client.get(url).send().await?.error_for_status()?.json().await?;
        let closures = |ticket: &Value| {
            let id = ticket["id"].as_str().map_or_else(|| ticket["id"].to_string(), str::to_owned);
            (id, ticket["closures"].as_u64().unwrap_or(0))
        };
        Ok(tickets.as_array().context("the CRM lists its tickets")?.iter().map(closures).collect())
    }

    pub(super) async fn disconnect(self) {
        if let Submit::Amqp(broker) = self.submit {
            broker.0.close().await;
        }
    }
}
