//! Deliveries come, come again when they must, and stop when they are asked to.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use mappings::bounds::Bounds;
use tokio::time::timeout;

use super::proxy::Carry;
use super::rig::{Rig, SOON};
use crate::bus::{Client, Queue, Receipt, State};
use crate::envelope::Delivery;

#[tokio::test]
async fn a_delivery_is_read_and_once_acknowledged_does_not_come_again() {
    let mut rig = Rig::start().await;
    rig.submit("r-1").await;
    let message = rig.next().await;
    assert_eq!((message.queue, message.redelivered, message.delivery_count), (Queue::Intake, false, 0));
    let Ok(Delivery::Event(envelope)) = message.read(&Bounds::default()) else { panic!("not one event") };
    assert_eq!(envelope.id, "r-1");
    assert!(rig.bus.last_delivery(Queue::Intake).is_some());
    assert!(message.ack().await);
    assert!(!message.ack().await, "a receipt is good for once");
    drop(message);
    rig.shutdown.cancel();
    rig.ended_without_publishers().await;
    rig.queue_has(&rig.topology.intake, 0, 0).await;
}

#[tokio::test]
async fn completions_have_a_queue_of_their_own() {
    let mut rig = Rig::start().await;
    rig.submit("r-1").await;
    let exchange = rig.topology.back_office.clone();
    let headers = vec![("cloudEvents:id".to_owned(), "c-1".to_owned())];
    rig.client.publish(&exchange, "waste.completed", "application/json", headers, b"{}").await.unwrap();
    let completion = timeout(SOON, rig.completions.recv()).await.unwrap().unwrap();
    assert_eq!((completion.queue, completion.routing_key.as_str()), (Queue::Completions, "waste.completed"));
    assert!(completion.headers.contains(&("cloudEvents:id".to_owned(), "c-1".to_owned())));
    let request = rig.next().await;
    let receipts = [request.receipt, completion.receipt];
    assert_eq!(Receipt::ack_all(&receipts).await, [true, true]);
    drop(receipts);
    rig.finish().await;
}

#[tokio::test]
async fn a_delivery_whose_connection_was_cut_cannot_be_acknowledged_and_comes_again() {
    let mut rig = Rig::start().await;
    rig.submit("r-1").await;
    let first = rig.next().await;
    rig.proxy.cut();
    let again = rig.next().await;
    assert!(!first.receipt.is_live());
    assert!(!first.ack().await);
    assert!(again.redelivered);
    assert_eq!(again.delivery_count, 1);
    assert!(again.ack().await);
    drop((first, again));
    rig.queue_has(&rig.topology.intake, 0, 1).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_queue_deleted_under_the_consumer_is_declared_and_consumed_again() {
    let mut rig = Rig::start().await;
    for _ in 0..2 {
        rig.delete_queue(&rig.topology.intake).await;
        rig.queue_has(&rig.topology.intake, 0, 1).await;
        rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
        rig.submit("r-1").await;
        assert!(rig.next().await.ack().await);
    }
    rig.finish().await;
}

#[tokio::test]
async fn a_link_that_goes_silent_is_noticed_by_its_heartbeat_and_replaced() {
    let mut rig = Rig::start_with(|settings| settings.heartbeat = Duration::from_secs(1)).await;
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.proxy.carry(Carry::Nothing);
    let state = rig.wait_for(|state| matches!(state, State::Connecting { .. })).await;
    let State::Connecting { last_error: Some(_), attempts, .. } = state else { panic!("{state:?}") };
    assert!(attempts >= 1);
    rig.proxy.carry(Carry::Both);
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.submit("r-1").await;
    assert!(rig.next().await.ack().await);
    rig.finish().await;
}

#[tokio::test]
async fn a_broker_that_is_away_is_tried_again_until_it_comes() {
    let mut rig = Rig::start().await;
    rig.proxy.carry(Carry::Nobody);
    rig.proxy.cut();
    let state = rig.wait_for(|state| matches!(state, State::Connecting { attempts: 3.., .. })).await;
    assert!(matches!(state, State::Connecting { last_error: Some(_), .. }), "{state:?}");
    rig.submit("r-1").await;
    rig.proxy.carry(Carry::Both);
    assert!(rig.next().await.ack().await);
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_out_and_what_it_gave_can_still_be_acknowledged() {
    let mut rig = Rig::start().await;
    rig.submit("r-1").await;
    let mut given = vec![rig.next().await];
    rig.bus.pause(Queue::Intake);
    assert!(rig.bus.is_paused(Queue::Intake));
    // What is on its way when the broker hears of it still comes.
    rig.submit("r-2").await;
    while let Ok(late) = timeout(Duration::from_millis(500), rig.intake.recv()).await {
        given.push(late.unwrap());
        rig.submit("r-2").await;
    }
    let receipts: Vec<Receipt> = given.into_iter().map(|message| message.receipt).collect();
    assert!(Receipt::ack_all(&receipts).await.into_iter().all(|acknowledged| acknowledged));
    drop(receipts);
    rig.queue_has(&rig.topology.intake, 1, 0).await;

    // The pause outlives the connection.
    rig.proxy.cut();
    rig.wait_for(|state| matches!(state, State::Connecting { .. })).await;
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.queue_has(&rig.topology.intake, 1, 0).await;
    assert!(rig.intake.try_recv().is_err());

    rig.bus.resume(Queue::Intake);
    let second = rig.next().await;
    assert!(second.ack().await);
    drop(second);
    rig.finish().await;
}

#[tokio::test]
async fn no_more_is_given_out_than_may_wait_for_its_acknowledgement() {
    let mut rig = Rig::start_with(|settings| settings.prefetch = 3).await;
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    for number in 0..5 {
        rig.submit(&format!("r-{number}")).await;
    }
    rig.queue_has(&rig.topology.intake, 2, 1).await;
    for _ in 0..5 {
        assert!(rig.next().await.ack().await);
    }
    rig.queue_has(&rig.topology.intake, 0, 1).await;
    rig.finish().await;
}

#[tokio::test]
async fn no_more_bytes_are_given_out_than_may_wait_for_their_acknowledgement() {
    const EACH: usize = 2_000_000;
    const ALL: usize = 30;
    let mut rig = Rig::start_with(|settings| settings.unacknowledged_bytes = 3 * EACH).await;
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.bus.pause(Queue::Intake);
    rig.queue_has(&rig.topology.intake, 0, 0).await;
    for _ in 0..ALL {
        let (exchange, body) = (rig.topology.requests.as_str(), vec![b' '; EACH]);
        rig.client.publish(exchange, "key", "text/plain", Vec::new(), &body).await.unwrap();
    }
    rig.bus.resume(Queue::Intake);
    let mut given = VecDeque::new();
    while let Ok(next) = timeout(Duration::from_secs(1), rig.intake.recv()).await {
        given.push_back(next.unwrap());
    }
    // The client reads a little ahead of whoever counts.
    assert!((3..=ALL / 2).contains(&given.len()), "{} of {ALL}", given.len());
    let mut acknowledged = 0;
    while acknowledged < ALL {
        let next = match given.pop_front() {
            Some(next) => next,
            None => rig.next().await,
        };
        assert!(next.ack().await);
        acknowledged += 1;
    }
    rig.queue_has(&rig.topology.intake, 0, 1).await;
    rig.finish().await;
}

#[tokio::test]
async fn what_is_given_back_too_often_is_set_aside_by_the_broker() {
    let mut rig = Rig::start_with(|settings| settings.topology.delivery_limit = 2).await;
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.submit("r-1").await;
    for count in 0..3 {
        let message = rig.next().await;
        assert_eq!(message.delivery_count, count);
        assert!(message.receipt.requeue().await);
    }
    rig.queue_has(&rig.topology.dead, 1, 0).await;
    rig.queue_has(&rig.topology.intake, 0, 1).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_message_that_the_client_cannot_read_is_set_aside_and_its_neighbours_are_given_out() {
    let mut rig = Rig::start().await;
    rig.bus.pause(Queue::Intake);
    rig.submit("r-1").await;
    let client = Client::connect(&rig.address()).await.unwrap();
    let exchange = rig.topology.requests.clone();
    client.publish(&exchange, "key", "text/~spoilt", Vec::new(), b"{}").await.unwrap();
    for number in 0..50 {
        rig.submit(&format!("n-{number}")).await;
    }
    rig.bus.resume(Queue::Intake);
    let mut seen = BTreeSet::new();
    while seen.len() < 51 {
        let message = timeout(2 * SOON, rig.intake.recv()).await.expect("a neighbour did not come").unwrap();
        let Ok(Delivery::Event(envelope)) = message.read(&Bounds::default()) else { panic!("not one event") };
        if message.ack().await {
            seen.insert(envelope.id);
        }
    }
    rig.queue_has(&rig.topology.dead, 1, 0).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_queue_that_exists_with_other_arguments_is_named_by_the_readiness() {
    let mut rig = Rig::start().await;
    rig.delete_queue(&rig.topology.completions).await;
    let name = rig.topology.completions.as_str();
    // The supervisor may be first to declare it again; then it is deleted again.
    let classic = async {
        loop {
            let channel = rig.channel().await;
            let options = QueueDeclareOptions::durable();
            if channel.queue_declare(name.into(), options, FieldTable::default()).await.is_ok() {
                return;
            }
            rig.delete_queue(name).await;
        }
    };
    timeout(SOON, classic).await.unwrap();
    let state = rig
        .wait_for(|state| {
            matches!(state, State::Connecting { last_error: Some(error), .. } if error.contains("PRECONDITION_FAILED"))
        })
        .await;
    let State::Connecting { last_error: Some(error), .. } = state else { panic!("{state:?}") };
    assert!(error.contains("inequivalent arg"), "{error}");
    rig.delete_queue(&rig.topology.completions).await;
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_shutdown_gives_nothing_more_out_and_waits_for_what_it_gave() {
    let mut rig = Rig::start().await;
    rig.submit("r-1").await;
    let message = rig.next().await;
    rig.shutdown.cancel();
    assert!(timeout(SOON, rig.intake.recv()).await.unwrap().is_none());
    rig.submit("r-2").await;
    assert!(message.ack().await, "the connection must still be open");
    drop(message);
    let queue = rig.topology.intake.clone();
    rig.queue_has(&queue, 1, 0).await;
    rig.finish().await;
}
