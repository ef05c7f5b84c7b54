//! When systems are asked about the jobs that are still open, and what that came to.

use jiff::Timestamp;
use mappings::domain::SystemName;
use serde_json::Value;

use super::{Check, ClosuresAgain, WorkerId};
use mappings::domain::{HandoverId, Progress};

/// A worker wants to ask a system about its open jobs, or goes on doing so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The worker.
    pub worker: WorkerId,
    /// The time.
    pub now: Timestamp,
    /// When a system is due that was never asked.
    pub first: Timestamp,
    /// Until when nobody else asks, should the worker die.
    pub until: Timestamp,
    /// A person wants it now, due or not.
    pub at_once: bool,
}

/// An open job, and what is known of it.
#[derive(Debug, Clone)]
pub struct OpenJob {
    /// The job and its ticket.
    pub check: Check,
    /// How far it has come.
    pub progress: Option<Progress>,
    /// The system's last word.
    pub said: Option<String>,
    /// When that was said.
    pub said_at: Option<Timestamp>,
    /// Where the next page begins.
    pub place: (Timestamp, HandoverId),
}

/// What asking a system about its open jobs came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconciled {
    /// When it ended.
    pub ended_at: Timestamp,
    /// When the system is due next.
    pub due_at: Timestamp,
    /// Whether it was asked about all of them: then what made it due early is over.
    pub whole: bool,
    /// Numbers and differences, for people and programs.
    pub report: Value,
}

/// What is asked of a system again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// What changed of its work.
    News,
    /// New tickets.
    Tickets,
    /// The files that it writes.
    Files,
    /// How its open jobs stand.
    OpenJobs,
}

impl Activity {
    const ALL: [Self; 4] = [Self::News, Self::Tickets, Self::Files, Self::OpenJobs];

    /// The word in the ledger and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::News => "news",
            Self::Tickets => "tickets",
            Self::Files => "files",
            Self::OpenJobs => "open_jobs",
        }
    }

    /// Reads the word in the ledger.
    pub(super) fn parse(word: &str) -> Result<Self, &'static str> {
        Self::ALL.into_iter().find(|activity| activity.as_str() == word).ok_or("what is asked of a system")
    }
}

/// Why asking a system failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollFailure {
    /// Why, in plain words.
    pub reason: String,
    /// Asking again comes to the same: a person is told at once.
    pub lasting: bool,
}

/// Something that is asked of a system again and again, and fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The system.
    pub system: SystemName,
    /// What is asked.
    pub activity: Activity,
    /// When it failed first since it succeeded.
    pub since: Timestamp,
    /// When it failed last.
    pub last_at: Timestamp,
    /// How often it failed since.
    pub times: u32,
    /// Why it failed last.
    pub failure: PollFailure,
}

impl Failing {
    /// Whether a person is told: from the second time on, or at once where asking again comes to the same.
    pub fn is_for_a_person(&self) -> bool {
        self.times > 1 || self.failure.lasting
    }
}

/// When a system was asked for news, and about its open jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The system.
    pub system: SystemName,
    /// Up to when its news was asked for; `None` where it is not polled, or never was.
    pub polled_to: Option<Timestamp>,
    /// Whether a poll has ever succeeded.
    pub succeeded: bool,
    /// What is asked of it and failed the last time.
    pub failing: Vec<Failing>,
    /// Closures that it did not take when it was asked first.
    pub closures: Option<ClosuresAgain>,
    /// When it is asked about its open jobs next; `None` where it never is.
    pub due_at: Option<Timestamp>,
    /// Why it is due early.
    pub why: Option<String>,
    /// When it was last asked about them, and what that came to.
    pub last: Option<(Timestamp, Value)>,
}

impl Asked {
    /// A system that was not asked anything yet.
    pub fn nothing(system: SystemName) -> Self {
        Self {
            system,
            polled_to: None,
            succeeded: false,
            failing: Vec::new(),
            closures: None,
            due_at: None,
            why: None,
            last: None,
        }
    }
}
