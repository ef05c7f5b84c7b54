//! Crashes at fail points: when, and what must be so that the point is come by.

use rand::RngExt;
use rand::rngs::StdRng;
use router::failpoint::{Point, Write};

/// A router that stands still with a call and an event in hand: killed then, it leaves both behind.
pub(super) const LEAVES_SOMETHING: &str = "answered=pause:60s@4;confirmed=pause:60s@4";

/// The plan of the first router.
pub(super) fn plan(point: Point, dice: &mut StdRng) -> String {
    if super::needs_prelude(point) {
        return LEAVES_SOMETHING.to_owned();
    }
    format!("{}=kill@{}", point.as_str(), dice.random_range(1..=latest(point)))
}

/// The latest time at which each point is sure to have come by before the load is over.
fn latest(point: Point) -> u64 {
    match point {
        Point::Before(write) | Point::After(write) => match write {
            // What comes at the same time is written together, and a slow host writes less often.
            Write::Accept | Write::Record | Write::Complete | Write::Mark => 4,
            Write::Turn | Write::Advance | Write::Ask | Write::Look | Write::Beat | Write::Begin => 3,
            Write::Refuse => 2,
            Write::Claim | Write::Take | Write::Rescue | Write::Release | Write::Fold | Write::Reconcile => 1,
        },
        Point::Received
        | Point::Acknowledging
        | Point::Acknowledged
        | Point::Sending
        | Point::Sent
        | Point::Answered
        | Point::Heard
        | Point::Publishing
        | Point::Published
        | Point::Confirmed => 12,
    }
}
