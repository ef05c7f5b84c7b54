//! The CRM's end of the broker: declares what a measurement needs, publishes the requests, takes it all away.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use router::bus::Topology;

use crate::request::Batch;

/// How many requests may wait for their confirm.
const WINDOW: usize = 1000;
/// How long the broker may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The exchanges and queues of one measurement.
pub(crate) struct Broker {
    _connection: Connection,
    channel: Channel,
    /// The broker's address.
    pub(crate) url: String,
    /// The names, as Dovetail declares them.
    pub(crate) topology: Topology,
    /// The queue in which the CRM hears what happened.
    pub(crate) heard: String,
}

impl Broker {
    /// Declares the topology under names that begin with `name`.
    pub(crate) async fn declare(url: &str, name: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .context("RabbitMQ does not answer")?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let topology = Topology {
            requests: format!("{name}.requests"),
            intake: format!("{name}.intake"),
            back_office: format!("{name}.backoffice"),
            completions: format!("{name}.completions"),
            events: format!("{name}.events"),
            dead: format!("{name}.dead"),
            ..Topology::default()
        };
        topology.declare(&channel, PATIENCE).await?;
        let heard = format!("{name}.heard");
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        channel.queue_declare(heard.as_str().into(), QueueDeclareOptions::durable(), arguments).await?;
        channel
            .queue_bind(
                heard.as_str().into(),
                topology.events.as_str().into(),
                "#".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(Self { _connection: connection, channel, url: url.to_owned(), topology, heard })
    }

    /// Publishes all requests of a batch, as fast as the broker confirms them.
    pub(crate) async fn fill(&self, batch: &Batch) -> anyhow::Result<()> {
        let mut confirms = FuturesUnordered::new();
        for number in 0..batch.count {
            confirms.push(self.publish(batch.event(number)).await?);
            if confirms.len() >= WINDOW {
                confirmed(confirms.next().await)?;
            }
        }
        while let Some(confirm) = confirms.next().await {
            confirmed(Some(confirm))?;
        }
        Ok(())
    }

    /// Publishes the requests of a batch at a steady rate; returns when each was given to the broker.
    pub(crate) async fn pace(&self, batch: &Batch, rate: f64) -> anyhow::Result<Vec<Instant>> {
        let began = Instant::now();
        let mut published = Vec::with_capacity(batch.count);
        let mut confirms = FuturesUnordered::new();
        for number in 0..batch.count {
            let body = batch.event(number);
            let due = began + Duration::from_secs_f64(number as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
            published.push(Instant::now());
            confirms.push(self.publish(body).await?);
            while let Some(Some(confirm)) = futures::FutureExt::now_or_never(confirms.next()) {
                confirmed(Some(confirm))?;
            }
        }
        while let Some(confirm) = confirms.next().await {
            confirmed(Some(confirm))?;
        }
        Ok(published)
    }

    async fn publish(
        &self,
        body: Vec<u8>,
    ) -> anyhow::Result<impl Future<Output = lapin::Result<Confirmation>> + use<>> {
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/cloudevents+json".into());
        let exchange = self.topology.requests.as_str().into();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let key = "load.request.submitted".into();
        Ok(self.channel.basic_publish(exchange, key, options, &body, properties).await?)
    }

    /// How many requests wait in the queue, and how many consumers it has.
    pub(crate) async fn intake(&self) -> anyhow::Result<(u32, u32)> {
        let name = self.topology.intake.as_str().into();
        let options = QueueDeclareOptions::durable().passive();
        let seen = self.channel.queue_declare(name, options, FieldTable::default()).await?;
        Ok((seen.message_count(), seen.consumer_count()))
    }

    /// Takes away what was declared.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        let Topology { requests, intake, back_office, completions, events, dead, delivery_limit: _ } =
            &self.topology;
        for queue in [intake, completions, dead, &self.heard] {
            self.channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        for exchange in [requests, back_office, events, dead] {
            self.channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await?;
        }
        Ok(())
    }
}

fn confirmed(confirm: Option<lapin::Result<Confirmation>>) -> anyhow::Result<()> {
    let Some(confirm) = confirm else { return Ok(()) };
    let confirm = confirm?;
    if !confirm.is_ack() || confirm.take_message().is_some() {
        bail!("the broker did not take a request over");
    }
    Ok(())
}
