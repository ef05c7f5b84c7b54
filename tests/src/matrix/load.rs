//! What is published: requests to every system, some of them twice, some that must be refused.

use std::time::Duration;

use serde_json::json;

use super::Strike;
use crate::checker::Published;
use crate::council::{nested_lists, request, submitted, systems};
use crate::messages::Client;
use crate::wait::pass;

/// What no router survives reading, where it is told so.
pub(super) const DEADLY: &str = "the request that no router survives";
/// The number of the request that is the worst, with others before and after it.
const WORST: usize = 20;

/// How many requests a strike is played with.
pub(super) fn requests(strike: Strike) -> usize {
    match strike {
        Strike::Crash(_) | Strike::AcknowledgesFirst => 30,
        Strike::Freeze => 120,
        // Half of them before, as the control.
        Strike::OneInTwenty => 240,
        Strike::OnlyRouter => 120,
        Strike::Kill
        | Strike::Sessions
        | Strike::RestartDatabase
        | Strike::SilentDatabase
        | Strike::TooManyClients
        | Strike::RestartBroker
        | Strike::Link
        | Strike::FullDisk
        | Strike::AppliedThenSilent
        | Strike::Errors
        | Strike::LostAnswers
        | Strike::LateWrites
        | Strike::FailingWrites
        | Strike::Deadly
        | Strike::NestedLists
        | Strike::SlowClients
        | Strike::Descriptors
        | Strike::Tour => 60,
    }
}

/// The time between two requests: some strikes need many under way at once.
fn gap(strike: Strike) -> Duration {
    match strike {
        Strike::Freeze | Strike::OneInTwenty => Duration::from_millis(2),
        Strike::Crash(_) | Strike::AcknowledgesFirst => Duration::from_millis(20),
        Strike::Kill
        | Strike::Sessions
        | Strike::RestartDatabase
        | Strike::SilentDatabase
        | Strike::TooManyClients
        | Strike::OnlyRouter
        | Strike::RestartBroker
        | Strike::Link
        | Strike::FullDisk
        | Strike::AppliedThenSilent
        | Strike::Errors
        | Strike::LostAnswers
        | Strike::LateWrites
        | Strike::FailingWrites
        | Strike::Deadly
        | Strike::NestedLists
        | Strike::SlowClients
        | Strike::Descriptors
        | Strike::Tour => Duration::from_millis(50),
    }
}

/// Publishes a request for each ticket; returns when the broker has confirmed every one.
pub(super) async fn publish(
    client: &mut Client,
    tickets: &[String],
    strike: Strike,
    seed: u64,
) -> Vec<Published> {
    let mut published = Vec::with_capacity(tickets.len());
    for (number, ticket) in tickets.iter().enumerate() {
        let mut data = request(ticket, number);
        let is_wrong = number % 11 == 5;
        if is_wrong {
            data["service"] = json!("waste.no-such-thing");
        }
        if number == WORST && matches!(strike, Strike::Deadly | Strike::NestedLists) {
            data["summary"] = json!(DEADLY);
            let deadly = submitted(&format!("matrix-{seed}-{ticket}"), &data).to_string().into_bytes();
            let nested = strike == Strike::NestedLists;
            let body = if nested { nested_lists(ticket, 75_000) } else { deadly };
            client.publish_bytes_surely(&body).await;
            published.push(Published { ticket: ticket.clone(), systems: Vec::new() });
            continue;
        }
        let event = submitted(&format!("matrix-{seed}-{ticket}"), &data);
        client.publish_surely(&event).await;
        if number % 7 == 3 {
            client.publish_surely(&event).await;
        }
        let systems = if is_wrong { Vec::new() } else { systems(number) };
        published.push(Published { ticket: ticket.clone(), systems });
        pass(gap(strike)).await;
    }
    published
}
