//! The CRM's end of the broker: publishes requests, and hears what happened to them.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::Value;

use crate::schemas;
use crate::wait::until;

/// The exchanges and queues of one test on a broker.
#[derive(Debug, Clone)]
pub struct Broker {
    url: String,
    name: String,
}

impl Broker {
    /// Names that no other test uses.
    pub fn own(url: &str, name: &str) -> Self {
        Self { url: url.to_owned(), name: name.to_owned() }
    }

    /// The name of one of the router's queues.
    pub fn queue_name(&self, queue: &str) -> String {
        format!("{}.{queue}", self.name)
    }

    /// The `[bus]` section of the router's settings.
    pub fn settings(&self) -> String {
        self.settings_through(&self.url)
    }

    /// The same, with another way to the broker.
    pub fn settings_through(&self, url: &str) -> String {
        let Self { name, .. } = self;
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
        Client {
            end: until("the broker answers", Duration::from_secs(60), async || self.open().await.ok()).await,
            broker: self.clone(),
            heard: HashMap::new(),
        }
    }

    async fn open(&self) -> lapin::Result<End> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(Default::default()).await?;
        let queue = format!("{}.heard", self.name);
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await?;
        let exchange = format!("{}.events", self.name);
        channel
            .queue_bind(
                queue.as_str().into(),
                exchange.as_str().into(),
                "#".into(),
                Default::default(),
                FieldTable::default(),
            )
            .await?;
        let consumer = channel
            .basic_consume(queue.as_str().into(), "crm".into(), Default::default(), FieldTable::default())
            .await?;
        Ok(End { connection, channel, consumer })
    }

    /// How many messages wait in each queue of the router. What it holds unacknowledged is not among them.
    pub async fn depths(&self) -> Vec<(String, u64)> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default());
        let connection = connection.await.expect("the broker answers");
        let mut depths = Vec::new();
        for queue in ["intake", "completions", "dead"] {
            let name = format!("{}.{queue}", self.name);
            let channel = connection.create_channel().await.expect("a channel");
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await;
            depths.push((name, u64::from(declared.expect("the queue is there").message_count())));
        }
        depths
    }
}

/// The properties and headers of a message as some other client sets them.
#[derive(Debug, Clone, Default)]
pub struct Dress<'a> {
    /// The property of that name.
    pub content_type: Option<&'a str>,
    /// The property of that name.
    pub content_encoding: Option<&'a str>,
    /// The headers: a text, a number, or `{"timestamp": <seconds>}`.
    pub headers: Vec<(&'a str, Value)>,
}

/// The CRM's connection.
pub struct Client {
    broker: Broker,
    end: End,
    heard: HashMap<String, Value>,
}

struct End {
    connection: Connection,
    channel: Channel,
    consumer: lapin::Consumer,
}

impl Client {
    /// Publishes a request and waits for the broker's confirm.
    pub async fn publish(&self, event: &Value) {
        self.publish_bytes(event.to_string().as_bytes(), "application/cloudevents+json").await;
    }

    /// The same over broken connections: published again, on a new one, until the broker has confirmed it.
    pub async fn publish_surely(&mut self, event: &Value) {
        self.publish_bytes_surely(event.to_string().as_bytes()).await;
    }

    /// The same of a body.
    pub async fn publish_bytes_surely(&mut self, body: &[u8]) {
        until("the broker has the request", Duration::from_secs(120), async || {
            let sent = self.try_send(
                ("requests", "harlow.request.submitted"),
                body,
                "application/cloudevents+json",
                FieldTable::default(),
            );
            // A lost connection may keep a confirm waiting for ever.
            let sent = tokio::time::timeout(Duration::from_secs(5), sent).await;
            if let Ok(Ok(true)) = sent {
                return Some(());
            }
            self.reconnect().await;
            None
        })
        .await;
    }

    /// A new connection in place of one that may be lost, once the broker takes it.
    pub async fn reconnect(&mut self) {
        let broker = self.broker.clone();
        // What the old one has not acknowledged goes back to the queue before anything else is heard.
        let closing = self.end.connection.close(200, "goodbye".into());
        drop(tokio::time::timeout(Duration::from_secs(5), closing).await);
        self.end = until("the broker takes connections", Duration::from_secs(120), async || {
            tokio::time::timeout(Duration::from_secs(10), broker.open()).await.ok()?.ok()
        })
        .await;
    }

    /// Hears everything that has been published so far, over a new connection.
    pub async fn catch_up(&mut self) {
        self.reconnect().await;
        let last = format!("last-{}", uuid::Uuid::new_v4());
        let body = serde_json::json!({"id": last, "type": "last"}).to_string();
        let exchange = format!("{}.events", self.broker.name);
        let confirm = self
            .end
            .channel
            .basic_publish(
                exchange.as_str().into(),
                "last".into(),
                BasicPublishOptions::default(),
                body.as_bytes(),
                BasicProperties::default().with_delivery_mode(2),
            )
            .await;
        confirm.expect("published").await.expect("confirmed");
        self.listen("all events", |client| client.heard.contains_key(&last)).await;
        self.heard.remove(&last);
    }

    /// The same, with a W3C trace in the headers of the message.
    pub async fn publish_traced(&self, event: &Value, traceparent: &str) {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.into()));
        let to = ("requests", "harlow.request.submitted");
        self.send(to, event.to_string().as_bytes(), "application/cloudevents+json", headers).await;
    }

    /// Has the broker set a request aside. No router may run, which would take it first.
    pub async fn die(&self, event: &Value) {
        self.publish(event).await;
        let queue = self.broker.queue_name("intake");
        let got = self.end.channel.basic_get(queue.as_str().into(), Default::default()).await.expect("got");
        got.expect("it is there").delivery.acker.reject(Default::default()).await.expect("rejected");
    }

    /// Publishes anything to the exchange of requests.
    pub async fn publish_bytes(&self, body: &[u8], content_type: &str) {
        self.send(("requests", "harlow.request.submitted"), body, content_type, FieldTable::default()).await;
    }

    /// Publishes something in the native form of a CRM.
    pub async fn publish_native(&self, crm: &str, body: &[u8]) {
        let key = format!("native.{crm}");
        self.send(("requests", &key), body, "application/xml", FieldTable::default()).await;
    }

    /// Publishes a body with the properties and headers that some other client sets.
    pub async fn publish_dressed(&self, key: &str, body: &[u8], dress: &Dress<'_>) {
        let mut headers = FieldTable::default();
        for (name, value) in &dress.headers {
            let value = match (value.as_str(), value.as_i64(), value["timestamp"].as_u64()) {
                (Some(text), _, _) => AMQPValue::LongString(text.into()),
                (None, Some(number), _) => AMQPValue::LongLongInt(number),
                (None, None, Some(seconds)) => AMQPValue::Timestamp(seconds),
                (None, None, None) => panic!("a header that is dressed up is no text or number: {value}"),
            };
            headers.insert((*name).into(), value);
        }
        let mut properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
        if let Some(content_type) = dress.content_type {
            properties = properties.with_content_type(content_type.into());
        }
        if let Some(content_encoding) = dress.content_encoding {
            properties = properties.with_content_encoding(content_encoding.into());
        }
        let sent = self.try_publish(("requests", key), body, properties).await;
        assert!(sent.expect("published and confirmed"), "the message is in a queue");
    }

    /// Publishes what a system says of a job, and waits for the broker's confirm.
    pub async fn report(&self, event: &Value) {
        let to = ("backoffice", "waste.job.reported");
        let body = event.to_string();
        self.send(to, body.as_bytes(), "application/cloudevents+json", FieldTable::default()).await;
    }

    /// Binds a queue to the events that takes no more than one, so that the broker refuses all others.
    pub async fn bind_a_full_queue(&self) {
        let (queue, exchange) =
            (format!("{}.full", self.broker.name), format!("{}.events", self.broker.name));
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let channel = &self.end.channel;
        channel.queue_declare(queue.as_str().into(), options, arguments).await.expect("a queue");
        let (queue, exchange) = (queue.as_str().into(), exchange.as_str().into());
        let bound =
            channel.queue_bind(queue, exchange, "#".into(), Default::default(), FieldTable::default());
        bound.await.expect("a binding");
    }

    /// Deletes the full queue.
    pub async fn delete_the_full_queue(&self) {
        let queue = format!("{}.full", self.broker.name);
        let deleted = self.end.channel.queue_delete(queue.as_str().into(), Default::default()).await;
        deleted.expect("deleted");
    }

    /// How many messages wait in a queue of the router, and how many consume from it.
    pub async fn queue(&self, queue: &str) -> (u32, u32) {
        let name = self.broker.queue_name(queue);
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declaring = self.end.channel.queue_declare(name.as_str().into(), options, FieldTable::default());
        let seen = declaring.await.expect("the queue is there");
        (seen.message_count(), seen.consumer_count())
    }

    async fn send(&self, to: (&str, &str), body: &[u8], content_type: &str, headers: FieldTable) {
        let sent = self.try_send(to, body, content_type, headers).await.expect("published and confirmed");
        assert!(sent, "the message is in a queue");
    }

    /// Whether the broker has put it into a queue.
    async fn try_send(
        &self,
        (exchange, key): (&str, &str),
        body: &[u8],
        content_type: &str,
        headers: FieldTable,
    ) -> lapin::Result<bool> {
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type(content_type.into())
            .with_headers(headers);
        self.try_publish((exchange, key), body, properties).await
    }

    async fn try_publish(
        &self,
        (exchange, key): (&str, &str),
        body: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<bool> {
        let exchange = format!("{}.{exchange}", self.broker.name);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = self
            .end
            .channel
            .basic_publish(exchange.as_str().into(), key.into(), options, body, properties)
            .await?
            .await?;
        Ok(confirm.is_ack() && confirm.take_message().is_none())
    }

    /// Every event heard so far, by id.
    pub fn all_heard(&self) -> &HashMap<String, Value> {
        &self.heard
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
            let next = tokio::time::timeout(Duration::from_secs(60), self.end.consumer.next()).await;
            let delivery = next
                .unwrap_or_else(|_| panic!("nothing more is heard, waiting for {what}: {}", self.summary()))
                .expect("the consumer lives")
                .expect("a delivery");
            let event: Value = serde_json::from_slice(&delivery.data).expect("an event is JSON");
            let id = event["id"].as_str().expect("an event has an id").to_owned();
            if event["type"] != "last" {
                schemas::check(&event, delivery.routing_key.as_str());
            }
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
