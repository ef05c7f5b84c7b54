//! Fail points: named places where a test makes the router die, fail or pause. Release builds have none.
//!
//! A debug build reads from `DOVETAIL_FAIL` what happens where, for example
//! `accepted=kill@7;sent=pause:15s@3;written=error:5%:42`, or `deadly:CRM-7`, a text that it does not survive reading.
//! In a release build every function here is empty.

#[cfg(not(debug_assertions))]
mod absent;
#[cfg(debug_assertions)]
mod armed;
#[cfg(debug_assertions)]
mod plan;

#[cfg(not(debug_assertions))]
pub use absent::{
    acknowledges_first, after_commit, arm, before_commit, during, during_all, hit, reading, sent,
};
#[cfg(debug_assertions)]
pub use armed::{
    acknowledges_first, after_commit, arm, before_commit, during, during_all, hit, reading, sent,
};

/// A place on the way of a request, in the order in which a request comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// A delivery was read from its queue; nothing is written.
    Received,
    /// All of a write but its commit is done.
    Before(Write),
    /// A write is committed, and nobody has heard of it yet. An error here is a commit whose answer was lost.
    After(Write),
    /// The ledger has a delivery; it is not acknowledged.
    Acknowledging,
    /// The acknowledgement of a delivery is written to the connection.
    Acknowledged,
    /// A call is leased, and nothing of it is sent.
    Sending,
    /// A call has been under way for a moment, and its answer has not come.
    Sent,
    /// The answer of a system is there; nothing of it is written.
    Answered,
    /// A completion came; nothing of it is written.
    Heard,
    /// An event is about to be given to the broker.
    Publishing,
    /// An event was given to the broker, whose confirm has not come.
    Published,
    /// The broker has confirmed an event that is still in the outbox.
    Confirmed,
}

/// A write of the ledger, with a fail point before and after its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// Deliveries that were understood.
    Accept,
    /// Deliveries that were not.
    Refuse,
    /// Leases of calls; only where there are any.
    Claim,
    /// Attempts that begin.
    Begin,
    /// Outcomes of attempts.
    Record,
    /// Completions.
    Complete,
    /// Leases of events; only where there are any.
    Take,
    /// Events that are out of the outbox.
    Mark,
    /// Turns to poll.
    Turn,
    /// Positions of polls.
    Advance,
    /// Jobs that are asked about.
    Ask,
    /// Turns to ask about all open jobs, and what that came to.
    Reconcile,
    /// What clocks of tickets tell, and when they are looked at next.
    Look,
    /// Heartbeats.
    Beat,
    /// What was left behind by a worker that is silent; only where there is any.
    Rescue,
    /// What a worker gives up at its end.
    Release,
    /// Closed requests that are folded into the figures of reports; only where there are any.
    Fold,
}

impl Write {
    /// Every write.
    pub const ALL: [Self; 17] = [
        Self::Accept,
        Self::Refuse,
        Self::Claim,
        Self::Begin,
        Self::Record,
        Self::Complete,
        Self::Take,
        Self::Mark,
        Self::Turn,
        Self::Advance,
        Self::Ask,
        Self::Reconcile,
        Self::Look,
        Self::Beat,
        Self::Rescue,
        Self::Release,
        Self::Fold,
    ];

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Accept => ("accepting", "accepted"),
            Self::Refuse => ("refusing", "refused"),
            Self::Claim => ("claiming", "claimed"),
            Self::Begin => ("beginning", "begun"),
            Self::Record => ("recording", "recorded"),
            Self::Complete => ("completing", "completed"),
            Self::Take => ("taking", "taken"),
            Self::Mark => ("marking", "marked"),
            Self::Turn => ("turning", "turned"),
            Self::Advance => ("advancing", "advanced"),
            Self::Ask => ("asking", "asked"),
            Self::Reconcile => ("reconciling", "reconciled"),
            Self::Look => ("looking", "looked"),
            Self::Beat => ("beating", "beaten"),
            Self::Rescue => ("rescuing", "rescued"),
            Self::Release => ("releasing", "released"),
            Self::Fold => ("folding", "folded"),
        }
    }
}

impl Point {
    const BESIDE_WRITES: [Self; 10] = [
        Self::Received,
        Self::Acknowledging,
        Self::Acknowledged,
        Self::Sending,
        Self::Sent,
        Self::Answered,
        Self::Heard,
        Self::Publishing,
        Self::Published,
        Self::Confirmed,
    ];

    /// Every point.
    pub fn all() -> Vec<Self> {
        let of_write = |write| [Self::Before(write), Self::After(write)];
        Self::BESIDE_WRITES.into_iter().chain(Write::ALL.into_iter().flat_map(of_write)).collect()
    }

    /// Its name in `DOVETAIL_FAIL`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Before(write) => write.names().0,
            Self::After(write) => write.names().1,
            Self::Acknowledging => "acknowledging",
            Self::Acknowledged => "acknowledged",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Answered => "answered",
            Self::Heard => "heard",
            Self::Publishing => "publishing",
            Self::Published => "published",
            Self::Confirmed => "confirmed",
        }
    }
}

/// The fault that a fail point was told to make of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fault that was asked for at the point {}", .0.as_str())]
pub struct Injected(pub Point);
