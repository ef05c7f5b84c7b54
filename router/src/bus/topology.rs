//! The exchanges and queues that Dovetail declares, and the same as importable definitions.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use serde_json::{Map, Value, json};

use super::error::{Error, within};
use super::link::short;

/// The names of the exchanges and queues.
///
/// Declaring is idempotent; a queue that exists with other arguments is refused by the broker, and the
/// readiness says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The topic exchange that CRMs publish requests to.
    pub requests: String,
    /// The queue Dovetail takes requests from.
    pub intake: String,
    /// The topic exchange that back offices publish completions to.
    pub back_office: String,
    /// The queue Dovetail takes completions from.
    pub completions: String,
    /// The topic exchange that Dovetail publishes to; who wants to hear binds a queue of their own.
    pub events: String,
    /// The exchange, and the queue of the same name, for what the broker itself rejects.
    pub dead: String,
    /// How often a message is given out again before the broker sets it aside as dead.
    pub delivery_limit: u16,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            requests: "crm.requests".to_owned(),
            intake: "dovetail.intake".to_owned(),
            back_office: "backoffice.events".to_owned(),
            completions: "dovetail.completions".to_owned(),
            events: "crm.events".to_owned(),
            dead: "dovetail.dead".to_owned(),
            delivery_limit: 20,
        }
    }
}

/// An argument of a queue.
enum Argument {
    Text(String),
    Number(u16),
}

/// One queue with its only binding.
struct Bound<'a> {
    queue: &'a str,
    exchange: &'a str,
    arguments: Vec<(&'static str, Argument)>,
}

impl Topology {
    /// Declares all of it; what exists as described is left as it is.
    ///
    /// # Errors
    /// The broker's own words, for example that a queue of the name exists with other arguments.
    pub async fn declare(&self, channel: &Channel, timeout: Duration) -> Result<(), Error> {
        for (name, kind) in self.exchanges() {
            let kind = ExchangeKind::Custom(kind.to_owned());
            let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            let declared = channel.exchange_declare(short(name)?, kind, options, FieldTable::default());
            within(timeout, "declaring an exchange", declared).await?;
        }
        for Bound { queue, exchange, arguments } in self.queues() {
            let mut table = FieldTable::default();
            for (name, argument) in arguments {
                let value = match argument {
                    Argument::Text(text) => AMQPValue::LongString(text.into()),
                    Argument::Number(number) => AMQPValue::LongInt(i32::from(number)),
                };
                table.insert(name.into(), value);
            }
            let declared = channel.queue_declare(short(queue)?, QueueDeclareOptions::durable(), table);
            within(timeout, "declaring a queue", declared).await?;
            let bound = channel.queue_bind(
                short(queue)?,
                short(exchange)?,
                BIND_ALL.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            within(timeout, "binding a queue", bound).await?;
        }
        Ok(())
    }

    /// The same as RabbitMQ definitions for the virtual host `/`, as `rabbitmqctl import_definitions` takes them.
    pub fn definitions(&self) -> Value {
        let exchanges: Vec<Value> = self
            .exchanges()
            .into_iter()
            .map(|(name, kind)| {
                json!({"name": name, "vhost": "/", "type": kind, "durable": true, "auto_delete": false,
                       "internal": false, "arguments": {}})
            })
            .collect();
        let (mut queues, mut bindings) = (Vec::new(), Vec::new());
        for Bound { queue, exchange, arguments } in self.queues() {
            let mut table = Map::new();
            for (name, argument) in arguments {
                table.insert(
                    name.to_owned(),
                    match argument {
                        Argument::Text(text) => json!(text),
                        Argument::Number(number) => json!(number),
                    },
                );
            }
            queues.push(json!({"name": queue, "vhost": "/", "durable": true, "auto_delete": false,
                               "arguments": table}));
            bindings.push(json!({"source": exchange, "vhost": "/", "destination": queue,
                                 "destination_type": "queue", "routing_key": BIND_ALL, "arguments": {}}));
        }
        json!({"vhosts": [{"name": "/"}], "exchanges": exchanges, "queues": queues, "bindings": bindings})
    }

    /// Their names and types.
    fn exchanges(&self) -> [(&str, &'static str); 4] {
        [
            (&self.requests, "topic"),
            (&self.back_office, "topic"),
            (&self.events, "topic"),
            (&self.dead, "fanout"),
        ]
    }

    /// The queue for the dead first, so that it is there when the others need it.
    fn queues(&self) -> [Bound<'_>; 3] {
        let quorum = || ("x-queue-type", Argument::Text("quorum".to_owned()));
        let watched = || {
            vec![
                quorum(),
                ("x-delivery-limit", Argument::Number(self.delivery_limit)),
                ("x-dead-letter-exchange", Argument::Text(self.dead.clone())),
                ("x-dead-letter-strategy", Argument::Text("at-least-once".to_owned())),
                ("x-overflow", Argument::Text("reject-publish".to_owned())),
            ]
        };
        [
            Bound { queue: &self.dead, exchange: &self.dead, arguments: vec![quorum()] },
            Bound { queue: &self.intake, exchange: &self.requests, arguments: watched() },
            Bound { queue: &self.completions, exchange: &self.back_office, arguments: watched() },
        ]
    }
}

/// The binding key that takes everything; a fanout exchange does not look at it.
const BIND_ALL: &str = "#";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_bind_every_queue_to_an_exchange_that_they_declare() {
        let definitions = Topology::default().definitions();
        let names = |part: &str| -> Vec<String> {
            let items = definitions[part].as_array().unwrap();
            items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("exchanges"), ["crm.requests", "backoffice.events", "crm.events", "dovetail.dead"]);
        assert_eq!(names("queues"), ["dovetail.dead", "dovetail.intake", "dovetail.completions"]);
        let bindings = definitions["bindings"].as_array().unwrap();
        assert_eq!(bindings.len(), 3);
        for binding in bindings {
            assert!(names("exchanges").contains(&binding["source"].as_str().unwrap().to_owned()));
            assert!(names("queues").contains(&binding["destination"].as_str().unwrap().to_owned()));
        }
    }

    #[test]
    fn the_queues_dovetail_takes_from_are_quorum_queues_with_a_limit_and_a_place_for_the_dead() {
        let definitions = Topology { dead: "morgue".to_owned(), ..Topology::default() }.definitions();
        for index in [1, 2] {
            assert_eq!(
                definitions["queues"][index]["arguments"],
                json!({"x-queue-type": "quorum", "x-delivery-limit": 20, "x-dead-letter-exchange": "morgue",
                       "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"})
            );
        }
    }
}
