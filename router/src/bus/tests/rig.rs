//! A bus under test: names of its own on the broker, a link that can fail, and a hand on the broker's side.

use std::time::Duration;

use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use mappings::domain::EventId;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::proxy::Proxy;
use crate::bus::{
    Bus, Client, Confirmed, Ends, Fate, Inbound, Outgoing, Publisher, Settings, State, Topology, open,
};
use crate::clock::Clock;
use crate::envelope::{Data, Envelope};

/// Everything must be well again within this.
pub(super) const SOON: Duration = Duration::from_secs(10);

pub(super) struct Rig {
    pub(super) bus: Bus,
    pub(super) intake: tokio::sync::mpsc::Receiver<Inbound>,
    pub(super) completions: tokio::sync::mpsc::Receiver<Inbound>,
    pub(super) publisher: Publisher,
    pub(super) confirmed: tokio::sync::mpsc::UnboundedReceiver<Confirmed>,
    pub(super) proxy: Proxy,
    pub(super) topology: Topology,
    pub(super) shutdown: CancellationToken,
    pub(super) running: JoinSet<()>,
    pub(super) client: Client,
    broker: Connection,
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
fn url() -> String {
    std::env::var("AMQP_URL").expect("run tests/run, or set AMQP_URL")
}

/// Names that no other test uses.
pub(super) fn topology() -> Topology {
    let suffix = Uuid::new_v4().simple().to_string();
    let name = |name: String| format!("{name}.{suffix}");
    let Topology { requests, intake, back_office, completions, events, dead, delivery_limit } =
        Topology::default();
    Topology {
        requests: name(requests),
        intake: name(intake),
        back_office: name(back_office),
        completions: name(completions),
        events: name(events),
        dead: name(dead),
        delivery_limit,
    }
}

impl Rig {
    /// A bus that is connected.
    pub(super) async fn start() -> Self {
        let mut rig = Self::start_with(|_| {}).await;
        rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
        rig
    }

    /// A bus with settings of its own, not yet connected.
    pub(super) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let url = url();
        let uri: AMQPUri = url.parse().unwrap();
        let proxy = Proxy::start(format!("{}:{}", uri.authority.host, uri.authority.port)).await;
        let mut through = uri.clone();
        through.authority.host = proxy.address.ip().to_string();
        through.authority.port = proxy.address.port();
        let mut settings = Settings::new(through.to_string());
        settings.topology = topology();
        change(&mut settings);
        let topology = settings.topology.clone();
        let clock = Clock::started_at("2026-11-22T09:15:00Z".parse().unwrap());
        let Ends { bus, intake, completions, publisher, confirmed, supervisor } =
            open(settings, clock).unwrap();
        let shutdown = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(supervisor.run(shutdown.clone()));
        let broker = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let client = Client::connect(&url).await.unwrap();
        Self {
            bus,
            intake,
            completions,
            publisher,
            confirmed,
            proxy,
            topology,
            shutdown,
            running,
            client,
            broker,
        }
    }

    pub(super) async fn wait_for(&mut self, wanted: impl FnMut(&State) -> bool) -> State {
        let mut state = self.bus.state();
        let reached = timeout(SOON, state.wait_for(wanted)).await;
        match reached {
            Ok(reached) => reached.unwrap().clone(),
            Err(_) => panic!("still {:?}", *self.bus.state().borrow()),
        }
    }

    /// The broker's address through the link.
    pub(super) fn address(&self) -> String {
        let mut uri: AMQPUri = url().parse().unwrap();
        uri.authority.host = self.proxy.address.ip().to_string();
        uri.authority.port = self.proxy.address.port();
        uri.to_string()
    }

    /// Publishes a request as a CRM does.
    pub(super) async fn submit(&self, id: &str) {
        let envelope = Envelope {
            id: id.to_owned(),
            source: "/crm/test".to_owned(),
            kind: "uk.dovetail.request.submitted.v1".to_owned(),
            subject: None,
            time: None,
            traceparent: None,
            correlationid: None,
            data: Data::Json(json!({"ticket": id})),
        };
        self.client.publish_request(&self.topology, &envelope).await.unwrap();
    }

    /// The next delivery of the intake queue.
    pub(super) async fn next(&mut self) -> Inbound {
        timeout(SOON, self.intake.recv()).await.expect("no delivery came").expect("the bus has ended")
    }

    /// Publishes an event, with the bus as it is.
    pub(super) async fn publish(&self, number: u128, routing_key: &str) -> EventId {
        let outgoing = outgoing(&self.topology, number, routing_key);
        let id = outgoing.id;
        timeout(SOON, self.publisher.publish(outgoing)).await.expect("the window stayed full").unwrap();
        id
    }

    /// The fates of the next events, by number, in the order they came.
    pub(super) async fn fates(&mut self, count: usize) -> Vec<(u128, Fate)> {
        let mut fates = Vec::new();
        while fates.len() < count {
            let told = timeout(SOON, self.confirmed.recv()).await;
            let Confirmed { id, fate } = told.expect("no word came").expect("the bus has ended");
            fates.push((id.0.as_u128(), fate));
        }
        fates
    }

    /// A queue that hears events of the key, as a CRM binds one; deleted with the test's broker.
    pub(super) async fn listen(&self, key: &str) -> String {
        let channel = self.channel().await;
        let queue = format!("hears.{}", Uuid::new_v4().simple());
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
        channel
            .queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), arguments)
            .await
            .unwrap();
        channel
            .queue_bind(
                queue.as_str().into(),
                self.topology.events.as_str().into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        queue
    }

    /// Waits until a queue has so many messages ready and consumers.
    pub(super) async fn queue_has(&self, queue: &str, messages: u32, consumers: u32) {
        let mut seen = (u32::MAX, u32::MAX);
        let reached = timeout(SOON, async {
            while seen != (messages, consumers) {
                let options = QueueDeclareOptions::durable().passive();
                let declared =
                    self.channel().await.queue_declare(queue.into(), options, FieldTable::default()).await;
                if let Ok(declared) = declared {
                    seen = (declared.message_count(), declared.consumer_count());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let reached = reached.await.is_ok();
        assert!(reached, "expected {messages} messages and {consumers} consumers, found {seen:?}");
    }

    pub(super) async fn delete_queue(&self, queue: &str) {
        self.channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    pub(super) async fn channel(&self) -> Channel {
        self.broker.create_channel().await.unwrap()
    }

    /// Waits until the bus has shut down.
    pub(super) async fn ended(&mut self) {
        timeout(SOON, self.running.join_next()).await.expect("the bus did not end").unwrap().unwrap();
    }

    /// Waits until the bus has shut down, with nobody left to publish.
    pub(super) async fn ended_without_publishers(&mut self) {
        let (closed, _) = tokio::sync::mpsc::channel(1);
        self.publisher = Publisher(closed);
        self.ended().await;
    }

    /// Shuts the bus down and takes its queues off the broker.
    pub(super) async fn finish(mut self) {
        self.shutdown.cancel();
        self.ended_without_publishers().await;
        let channel = self.channel().await;
        for queue in [&self.topology.intake, &self.topology.completions, &self.topology.dead] {
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        }
    }
}

pub(super) fn outgoing(topology: &Topology, number: u128, routing_key: &str) -> Outgoing {
    Outgoing {
        id: EventId(Uuid::from_u128(number)),
        exchange: topology.events.clone(),
        routing_key: routing_key.to_owned(),
        kind: "uk.dovetail.ticket.closed.v1".to_owned(),
        content_type: "application/cloudevents+json".to_owned(),
        headers: Vec::new(),
        body: b"{}".to_vec(),
    }
}
