//! Every message gets one word: published, returned, refused or lost.

use std::time::Duration;

use futures::stream::FuturesUnordered;
use tokio::time::timeout;

use super::proxy::Carry;
use super::rig::{Rig, SOON, outgoing};
use crate::bus::publisher::{Confirmed, enter, send};
use crate::bus::window::Window;
use crate::bus::{Fate, State};

fn is_published((_, fate): &(u128, Fate)) -> bool {
    *fate == Fate::Published
}

#[tokio::test]
async fn confirms_are_awaited_in_a_window_and_not_one_by_one() {
    let mut rig = Rig::start_with(|settings| settings.window = 200).await;
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    let queue = rig.listen("#").await;
    rig.proxy.carry(Carry::Up);
    for number in 0..300 {
        rig.publish(number, "harlow.ticket.closed").await;
    }
    // Not one confirm has come through, and the broker has the whole window, but no more.
    rig.queue_has(&queue, 200, 0).await;
    assert!(rig.confirmed.try_recv().is_err());
    rig.proxy.carry(Carry::Both);
    let fates = rig.fates(300).await;
    assert!(fates.iter().all(is_published));
    rig.queue_has(&queue, 300, 0).await;
    rig.finish().await;
}

#[tokio::test]
async fn thousands_of_messages_are_published_each_once() {
    let mut rig = Rig::start().await;
    let queue = rig.listen("#").await;
    let publisher = rig.publisher.clone();
    let topology = rig.topology.clone();
    let publishing = async move {
        for number in 0..5_000 {
            publisher.publish(outgoing(&topology, number, "harlow.ticket.closed")).await.unwrap();
        }
    };
    let (mut fates, ()) = tokio::join!(rig.fates(5_000), publishing);
    assert!(fates.iter().all(is_published));
    fates.sort_unstable_by_key(|(number, _)| *number);
    assert!(fates.iter().map(|(number, _)| *number).eq(0..5_000));
    rig.queue_has(&queue, 5_000, 0).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_message_without_a_queue_is_returned_and_its_neighbours_are_published() {
    let mut rig = Rig::start().await;
    let queue = rig.listen("harlow.#").await;
    let publisher = rig.publisher.clone();
    let topology = rig.topology.clone();
    // Runs of either kind, so that returns and confirms of both cross each other.
    let routable = |number: u128| (number / 7) % 3 != 1;
    let publishing = async move {
        for number in 0..2_000 {
            let key = if routable(number) { "harlow.ticket.closed" } else { "nobody.ticket.closed" };
            publisher.publish(outgoing(&topology, number, key)).await.unwrap();
        }
    };
    let (fates, ()) = tokio::join!(rig.fates(2_000), publishing);
    for (number, fate) in &fates {
        if routable(*number) {
            assert_eq!(*fate, Fate::Published, "message {number}");
        } else {
            assert_eq!(*fate, Fate::Returned { code: 312, text: "NO_ROUTE".to_owned() }, "message {number}");
        }
    }
    let published = u32::try_from(fates.iter().filter(|told| is_published(told)).count()).unwrap();
    rig.queue_has(&queue, published, 0).await;
    rig.finish().await;
}

#[tokio::test]
async fn an_exchange_that_does_not_exist_returns_its_messages_and_holds_up_no_others() {
    let mut rig = Rig::start().await;
    rig.listen("#").await;
    let mut astray = outgoing(&rig.topology, 1, "key");
    astray.exchange = "no.such.exchange".to_owned();
    rig.publisher.publish(astray).await.unwrap();
    let [(1, Fate::Returned { code: 404, text })] = &rig.fates(1).await[..] else { panic!("not returned") };
    assert!(text.contains("no.such.exchange"), "{text}");
    rig.publish(2, "key").await;
    assert_eq!(rig.fates(1).await, [(2, Fate::Published)]);
    rig.finish().await;
}

#[tokio::test]
async fn a_message_that_amqp_cannot_carry_is_returned_without_being_sent() {
    let mut rig = Rig::start().await;
    rig.listen("#").await;
    rig.publish(1, &"long".repeat(64)).await;
    rig.publish(2, "short").await;
    let fates = rig.fates(2).await;
    assert!(
        matches!(&fates[0], (1, Fate::Returned { code: 0, text }) if text.contains("255 bytes")),
        "{fates:?}"
    );
    assert_eq!(fates[1], (2, Fate::Published));
    rig.finish().await;
}

#[tokio::test]
async fn what_was_not_confirmed_when_the_link_was_cut_is_lost_and_can_be_sent_again() {
    let mut rig = Rig::start().await;
    let queue = rig.listen("#").await;
    rig.proxy.carry(Carry::Up);
    for number in 0..20 {
        rig.publish(number, "harlow.ticket.closed").await;
    }
    rig.queue_has(&queue, 20, 0).await;
    rig.proxy.cut();
    rig.proxy.carry(Carry::Both);
    let fates = rig.fates(20).await;
    assert!(fates.iter().all(|(_, fate)| *fate == Fate::Lost), "{fates:?}");
    for (number, _) in fates {
        rig.publish(number, "harlow.ticket.closed").await;
    }
    assert!(rig.fates(20).await.iter().all(is_published));
    rig.queue_has(&queue, 40, 0).await;
    rig.finish().await;
}

#[tokio::test]
async fn what_was_given_with_a_message_that_cannot_be_sent_is_lost_with_it() {
    let rig = Rig::start().await;
    let channel = rig.channel().await;
    channel.close(200, "OK".into()).await.unwrap();
    let mut window = Window::default();
    let given = (0..3).map(|number| outgoing(&rig.topology, number, "harlow.ticket.closed"));
    let (messages, unfit) = enter(&mut window, given);
    assert!(unfit.is_empty());
    let (number, first) = messages.into_iter().next().expect("three messages");
    send(&channel, number, first, &mut window, &mut FuturesUnordered::new())
        .await
        .expect_err("the channel is closed");
    let fates = window.lose(None);
    let lost = |Confirmed { id, fate }: Confirmed| (fate == Fate::Lost).then_some(id.0.as_u128());
    assert_eq!(fates.into_iter().filter_map(lost).collect::<Vec<_>>(), [0, 1, 2]);
    rig.finish().await;
}

#[tokio::test]
async fn a_stream_of_messages_survives_one_cut_after_the_other() {
    let mut rig = Rig::start().await;
    rig.listen("#").await;
    let mut open: Vec<u128> = (0..1_000).collect();
    let mut cuts = 0;
    while !open.is_empty() {
        let (publisher, topology) = (rig.publisher.clone(), rig.topology.clone());
        let sending = open.clone();
        let publishing = async move {
            for number in sending {
                publisher.publish(outgoing(&topology, number, "harlow.ticket.closed")).await.unwrap();
            }
        };
        let count = open.len();
        let cutting = async {
            if cuts < 4 {
                rig.proxy.cut();
                cuts += 1;
            }
        };
        let confirmed = &mut rig.confirmed;
        let fates = async {
            let mut lost = Vec::new();
            for _ in 0..count {
                let told = timeout(SOON, confirmed.recv()).await.expect("no word came").unwrap();
                match told.fate {
                    Fate::Published => {}
                    Fate::Lost => lost.push(told.id.0.as_u128()),
                    Fate::Returned { .. } | Fate::Nacked => panic!("{told:?}"),
                }
            }
            lost
        };
        let ((), (), lost) = tokio::join!(publishing, cutting, fates);
        open = lost;
    }
    assert!(cuts >= 1);
    rig.finish().await;
}

#[tokio::test]
async fn a_broker_that_confirms_nothing_is_given_up_and_its_messages_are_lost() {
    let mut rig = Rig::start_with(|settings| settings.timeout = Duration::from_secs(1)).await;
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.listen("#").await;
    rig.proxy.carry(Carry::Up);
    rig.publish(1, "key").await;
    assert_eq!(rig.fates(1).await, [(1, Fate::Lost)]);
    rig.proxy.carry(Carry::Both);
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.publish(1, "key").await;
    assert_eq!(rig.fates(1).await, [(1, Fate::Published)]);
    rig.finish().await;
}

#[tokio::test]
async fn a_blocked_connection_is_told_and_publishes_nothing_until_the_broker_lets_it() {
    let mut rig = Rig::start().await;
    let queue = rig.listen("#").await;
    let (blocked, unblocked) = ([&[0, 10, 0, 60, 13], b"low on memory".as_slice()].concat(), [0, 10, 0, 61]);
    rig.proxy.say_to_writer(&blocked);
    let state = rig.wait_for(|state| matches!(state, State::Blocked { .. })).await;
    assert!(matches!(state, State::Blocked { reason, .. } if reason == "low on memory"));
    rig.publish(1, "key").await;
    rig.submit("r-1").await;
    assert!(rig.next().await.ack().await, "deliveries are still acknowledged");
    rig.queue_has(&queue, 0, 0).await;
    assert!(rig.confirmed.try_recv().is_err());
    rig.proxy.say_to_writer(&unblocked);
    assert_eq!(rig.fates(1).await, [(1, Fate::Published)]);
    rig.wait_for(|state| matches!(state, State::Connected { .. })).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_shutdown_publishes_what_is_still_given_until_nobody_gives_more() {
    let mut rig = Rig::start().await;
    let queue = rig.listen("#").await;
    rig.shutdown.cancel();
    rig.publish(1, "key").await;
    assert_eq!(rig.fates(1).await, [(1, Fate::Published)]);
    rig.queue_has(&queue, 1, 0).await;
    rig.finish().await;
}

#[tokio::test]
async fn a_shutdown_without_a_broker_loses_what_waits_and_ends_at_once() {
    let mut rig = Rig::start().await;
    rig.proxy.carry(Carry::Nothing);
    rig.proxy.cut();
    rig.wait_for(|state| matches!(state, State::Connecting { .. })).await;
    rig.publish(1, "key").await;
    rig.shutdown.cancel();
    assert_eq!(rig.fates(1).await, [(1, Fate::Lost)]);
    rig.ended().await;
    assert!(rig.confirmed.recv().await.is_none());
    assert!(rig.publisher.publish(outgoing(&rig.topology, 2, "key")).await.is_err());
}
