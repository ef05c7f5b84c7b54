//! A closed ticket that the CRM lists as open again.

use super::*;

#[tokio::test]
async fn a_closed_ticket_that_is_listed_as_open_is_opened_again_once() {
    let rig = Rig::start().await;
    rig.change(1, -1);
    rig.poll_at(0).await.expect("polled");
    rig.finish().await;
    rig.call("desk").await;
    rig.alter(1, |ticket| (ticket.status, ticket.changed) = ("resolved", at(0)));
    rig.poll_at(60).await.expect("polled");
    assert_eq!(rig.openings("1").await, [RequestState::Closed]);
    rig.alter(1, |ticket| (ticket.status, ticket.changed) = ("new", at(90)));
    rig.poll_at(120).await.expect("polled");
    assert_eq!(rig.openings("1").await, [RequestState::Open, RequestState::Closed]);
    rig.alter(1, |ticket| ticket.changed = at(130));
    rig.poll_at(180).await.expect("polled");
    assert_eq!(rig.openings("1").await.len(), 2, "it is open already");
    rig.finish().await;
    rig.call("desk").await;
    rig.alter(1, |ticket| ticket.changed = at(200));
    rig.poll_at(240).await.expect("polled");
    let states = rig.openings("1").await;
    assert_eq!(states.len(), 3, "opened again after it was closed again: {states:?}");
}

#[tokio::test]
async fn a_list_that_is_no_newer_than_the_closure_opens_nothing_and_is_looked_at_again() {
    let rig = Rig::start().await;
    rig.change(1, -1);
    rig.poll_at(0).await.expect("polled");
    rig.clock.advance(Duration::from_secs(60));
    rig.finish().await;
    rig.alter(1, |ticket| ticket.changed = at(50));
    rig.poll_at(60).await.expect("polled");
    assert_eq!(rig.openings("1").await, [RequestState::Closing], "it is being closed");
    rig.clock.advance(Duration::from_secs(60));
    rig.call("desk").await;
    rig.poll_at(120).await.expect("polled");
    assert_eq!(rig.openings("1").await, [RequestState::Closed], "the list may be as old as the closure");
    rig.poll_at(180).await.expect("polled");
    assert_eq!(rig.openings("1").await, [RequestState::Open, RequestState::Closed]);
}
