//! The parts that `tests/run` started are there, and what a test breaks of its own comes back.

use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::services::{Broker, Tracker, amqp_url, fresh_postgres, http, own_name};

#[tokio::test]
async fn a_fresh_postgresql_database_is_empty_and_durable() {
    let mut connection = PgConnection::connect(&fresh_postgres().await).await.expect("connects");
    let (tables,): (i64,) = sqlx::query_as("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&mut connection)
        .await
        .expect("counts");
    assert_eq!(tables, 0);
    let (fsync,): (String,) = sqlx::query_as("show fsync").fetch_one(&mut connection).await.expect("shows");
    assert_eq!(fsync, "on", "faults are tested with the durability of production");
}

#[tokio::test]
async fn request_tracker_answers_over_rest_2() {
    let tracker = Tracker::shared();
    let request =
        http().get(format!("{}/rt", tracker.url)).basic_auth(&tracker.user, Some(&tracker.password));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let body: serde_json::Value = answer.json().await.expect("JSON");
    assert!(body["Version"].as_str().is_some_and(|version| version.starts_with("5.")), "{body}");
}

#[tokio::test]
async fn the_shared_broker_takes_and_gives_back_a_message() {
    let queue = own_name("echo");
    deliver(&amqp_url(), &queue, b"one").await;
    assert_eq!(fetch(&amqp_url(), &queue).await, Some(b"one".to_vec()));
}

#[tokio::test]
async fn a_brokers_durable_message_survives_its_sigkill() {
    let broker = Broker::start().await;
    deliver(broker.url(), "kept", b"one").await;
    broker.settle().await;
    deliver(broker.url(), "kept", b"two").await;
    broker.kill().await;
    assert!(lapin::Connection::connect(broker.url(), Default::default()).await.is_err(), "it is down");
    broker.restart().await;
    assert_eq!(fetch(broker.url(), "kept").await, Some(b"one".to_vec()));
    assert_eq!(fetch(broker.url(), "kept").await, Some(b"two".to_vec()));
}

async fn deliver(url: &str, queue: &str, body: &[u8]) {
    let connection = lapin::Connection::connect(url, Default::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(Default::default()).await.expect("confirms");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(queue.into(), options, arguments).await.expect("declares");
    let properties = lapin::BasicProperties::default().with_delivery_mode(2);
    let publish = channel.basic_publish("".into(), queue.into(), Default::default(), body, properties);
    let confirm = publish.await.expect("publishes").await.expect("confirms");
    assert!(confirm.is_ack());
}

async fn fetch(url: &str, queue: &str) -> Option<Vec<u8>> {
    let connection = lapin::Connection::connect(url, Default::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    let options = BasicGetOptions { no_ack: true };
    let message = channel.basic_get(queue.into(), options).await.expect("gets");
    message.map(|message| message.delivery.data.clone())
}
