//! The CRM's end of the broker: publishes requests, and hears what happened to them.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::Value;

/// The exchanges and queues of one test on a broker.
pub struct Broker {
    url: String,
    name: String,
}

impl Broker {
    /// Names that no other test uses.
    pub fn own(url: &str, name: &str) -> Self {
        Self { url: url.to_owned(), name: name.to_owned() }
    }

    /// The `[bus]` section of the router's settings.
    pub fn settings(&self) -> String {
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
    pub async fn connect(&self) -> Client {
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
pub struct Client {
    _connection: Connection,
    channel: Channel,
    name: String,
    consumer: lapin::Consumer,
    heard: HashMap<String, Value>,
}

impl Client {
    /// Publishes a request and waits for the broker's confirm.
    pub async fn publish(&self, event: &Value) {
        self.publish_bytes(event.to_string().as_bytes(), "application/cloudevents+json").await;
    }

    /// The same, with a W3C trace in the headers of the message.
    pub async fn publish_traced(&self, event: &Value, traceparent: &str) {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.into()));
        self.send(event.to_string().as_bytes(), "application/cloudevents+json", headers).await;
    }

    /// Publishes anything to the exchange of requests.
    pub async fn publish_bytes(&self, body: &[u8], content_type: &str) {
        self.send(body, content_type, FieldTable::default()).await;
    }

    async fn send(&self, body: &[u8], content_type: &str, headers: FieldTable) {
        let exchange = format!("{}.requests", self.name);
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type(content_type.into())
            .with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = self
            .channel
            .basic_publish(
                exchange.as_str().into(),
                "harlow.request.submitted".into(),
                options,
                body,
                properties,
            )
            .await
            .expect("published")
            .await
            .expect("confirmed");
        assert!(confirm.is_ack() && confirm.take_message().is_none(), "the request is in a queue");
    }

    /// The events of a kind heard so far, by id: doubles of one id are one event.
    pub fn heard(&self, kind: &str) -> Vec<&Value> {
        let kind = format!("uk.dovetail.{kind}.v1");
        self.heard.values().filter(|event| event["type"] == kind.as_str()).collect()
    }

    /// Listens until `enough` says so.
    ///
    /// # Panics
    /// When nothing is heard for a minute before it is enough.
    pub async fn listen(&mut self, what: &str, mut enough: impl FnMut(&Self) -> bool) {
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
