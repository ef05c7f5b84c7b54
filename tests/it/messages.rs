//! The CRM's end of the broker: publishes requests, and hears what happened to them.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::Value;

/// The exchanges and queues of one test on a broker.
pub(crate) struct Broker {
    url: String,
    name: String,
}

impl Broker {
    /// Names that no other test uses.
    pub(crate) fn own(url: &str, name: &str) -> Self {
        Self { url: url.to_owned(), name: name.to_owned() }
    }

    /// The name of one of the router's queues.
    pub(crate) fn queue_name(&self, queue: &str) -> String {
        format!("{}.{queue}", self.name)
    }

    /// The `[bus]` section of the router's settings.
    pub(crate) fn settings(&self) -> String {
        let Self { url, name } = self;
        format!(
            r#"
[bus]
url = "{url}"
requests_exchange = "{name}.requests"
requests_queue = "{name}.intake"
completions_exchange = "{name}.backoffice"
completions_queue = "{name}.completions"
events_exchange = "{name}.events"
dead_exchange = "{name}.dead"
"#
        )
    }

    /// Connects as the CRM does. The router has declared the exchanges.
    pub(crate) async fn connect(&self) -> Client {
        let connection = Connection::connect(&self.url, ConnectionProperties::default())
            .await
            .expect("the broker answers");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(Default::default()).await.expect("confirms");
        let queue = format!("{}.heard", self.name);
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await.expect("a queue");
        let exchange = format!("{}.events", self.name);
        channel
            .queue_bind(
                queue.as_str().into(),
                exchange.as_str().into(),
                "#".into(),
                Default::default(),
                FieldTable::default(),
            )
            .await
            .expect("a binding");
        let consumer = channel
            .basic_consume(queue.as_str().into(), "crm".into(), Default::default(), FieldTable::default())
            .await
            .expect("a consumer");
        Client { _connection: connection, channel, name: self.name.clone(), consumer, heard: HashMap::new() }
    }
}

/// The CRM's connection.
pub(crate) struct Client {
    _connection: Connection,
    channel: Channel,
    name: String,
    consumer: lapin::Consumer,
    heard: HashMap<String, Value>,
}

impl Client {
    /// Publishes a request and waits for the broker's confirm.
    pub(crate) async fn publish(&self, event: &Value) {
        self.publish_bytes(event.to_string().as_bytes(), "application/cloudevents+json").await;
    }

    /// The same, with a W3C trace in the headers of the message.
    pub(crate) async fn publish_traced(&self, event: &Value, traceparent: &str) {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.into()));
        let to = ("requests", "harlow.request.submitted");
        self.send(to, event.to_string().as_bytes(), "application/cloudevents+json", headers).await;
    }

    /// Publishes anything to the exchange of requests.
    pub(crate) async fn publish_bytes(&self, body: &[u8], content_type: &str) {
        self.send(("requests", "harlow.request.submitted"), body, content_type, FieldTable::default()).await;
    }

    /// Publishes something in the native form of a CRM.
    pub(crate) async fn publish_native(&self, crm: &str, body: &[u8]) {
        let key = format!("native.{crm}");
        self.send(("requests", &key), body, "application/xml", FieldTable::default()).await;
    }

    /// Publishes what a system says of a job, and waits for the broker's confirm.
    pub(crate) async fn report(&self, event: &Value) {
        let to = ("backoffice", "waste.job.reported");
        let body = event.to_string();
        self.send(to, body.as_bytes(), "application/cloudevents+json", FieldTable::default()).await;
    }

    /// Binds a queue to the events that takes no more than one, so that the broker refuses all others.
    pub(crate) async fn bind_a_full_queue(&self) {
        let (queue, exchange) = (format!("{}.full", self.name), format!("{}.events", self.name));
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.as_str().into(), options, arguments).await.expect("a queue");
        let (queue, exchange) = (queue.as_str().into(), exchange.as_str().into());
        let bound =
            self.channel.queue_bind(queue, exchange, "#".into(), Default::default(), FieldTable::default());
        bound.await.expect("a binding");
    }

    /// Deletes the full queue.
    pub(crate) async fn delete_the_full_queue(&self) {
        let queue = format!("{}.full", self.name);
        self.channel.queue_delete(queue.as_str().into(), Default::default()).await.expect("deleted");
    }

    /// How many messages wait in a queue of the router, and how many consume from it.
    pub(crate) async fn queue(&self, queue: &str) -> (u32, u32) {
        let name = format!("{}.{queue}", self.name);
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let seen = self.channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await;
        let seen = seen.expect("the queue is there");
        (seen.message_count(), seen.consumer_count())
    }

    async fn send(
        &self,
        (exchange, key): (&str, &str),
        body: &[u8],
        content_type: &str,
        headers: FieldTable,
    ) {
        let exchange = format!("{}.{exchange}", self.name);
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type(content_type.into())
            .with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = self
            .channel
            .basic_publish(exchange.as_str().into(), key.into(), options, body, properties)
            .await
            .expect("published")
            .await
            .expect("confirmed");
        assert!(confirm.is_ack() && confirm.take_message().is_none(), "the request is in a queue");
    }

    /// The events of a kind heard so far, by id: doubles of one id are one event.
    pub(crate) fn heard(&self, kind: &str) -> Vec<&Value> {
        let kind = format!("uk.dovetail.{kind}.v1");
        self.heard.values().filter(|event| event["type"] == kind.as_str()).collect()
    }

    /// Listens until `enough` says so.
    ///
    /// # Panics
    /// When nothing is heard for a minute before it is enough.
    pub(crate) async fn listen(&mut self, what: &str, mut enough: impl FnMut(&Self) -> bool) {
        while !enough(self) {
            let next = tokio::time::timeout(Duration::from_secs(60), self.consumer.next()).await;
            let delivery = next
                .unwrap_or_else(|_| panic!("nothing more is heard, waiting for {what}: {}", self.summary()))
                .expect("the consumer lives")
                .expect("a delivery");
            let event: Value = serde_json::from_slice(&delivery.data).expect("an event is JSON");
            let id = event["id"].as_str().expect("an event has an id").to_owned();
            self.heard.insert(id, event);
            delivery.ack(BasicAckOptions::default()).await.expect("acknowledged");
        }
    }

    fn summary(&self) -> String {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for event in self.heard.values() {
            *counts.entry(event["type"].as_str().unwrap_or("?")).or_default() += 1;
        }
        format!("{counts:?}")
    }
}
