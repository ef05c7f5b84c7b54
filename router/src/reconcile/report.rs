//! What asking a system about its open jobs came to.

use std::collections::BTreeMap;

use mappings::domain::{Council, Job, SystemName, Ticket};
use serde_json::{Map, Value, json};

use crate::ledger::OpenJob;

/// How many differences are told one by one.
const MOST: usize = 200;

/// How what a system says of a job compares with what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Both have it open.
    Agreed,
    /// It had ended, and we had not been told: now it has ended here, too.
    Repaired,
    /// It says what no mapping knows, or what contradicts: the ticket is held.
    Held,
    /// The system does not list it.
    Unknown,
    /// The answer cannot be understood.
    Unreadable,
    /// There was no answer.
    Unanswered,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 6] =
        [Self::Agreed, Self::Repaired, Self::Held, Self::Unknown, Self::Unreadable, Self::Unanswered];

    /// Its word, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Repaired => "repaired",
            Self::Held => "held",
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
            Self::Unanswered => "unanswered",
        }
    }
}

/// One job about which the system and the ledger differ, or could not be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The council.
    pub council: Council,
    /// The ticket.
    pub ticket: Ticket,
    /// The system's reference.
    pub job: Job,
    /// How they differ.
    pub verdict: Verdict,
    /// The system's word, or why it could not be read.
    pub detail: String,
}

/// What asking a system about its open jobs came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many jobs there are of each verdict.
    pub counts: BTreeMap<Verdict, usize>,
    /// The differences, the first of them one by one.
    pub differences: Vec<Difference>,
    /// Why not all open jobs were asked about.
    pub stopped: Option<String>,
    /// How many calls it took.
    pub calls: usize,
}

impl Report {
    pub(super) fn add(&mut self, job: &OpenJob, verdict: Verdict, detail: String) {
        *self.counts.entry(verdict).or_default() += 1;
        if verdict != Verdict::Agreed && self.differences.len() < MOST {
            self.differences.push(Difference {
                council: job.check.council.clone(),
                ticket: job.check.ticket.clone(),
                job: job.check.job.clone(),
                verdict,
                detail,
            });
        }
    }

    /// How many jobs were asked about.
    pub fn asked(&self) -> usize {
        self.counts.values().sum()
    }

    /// How many jobs have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.counts.get(&verdict).copied().unwrap_or_default()
    }

    /// As the ledger keeps it.
    pub fn json(&self) -> Value {
        let counts =
            Verdict::ALL.iter().map(|verdict| (verdict.as_str().to_owned(), self.count(*verdict).into()));
        let mut all: Map<String, Value> = counts.collect();
        all.insert("asked".into(), self.asked().into());
        all.insert("stopped".into(), self.stopped.clone().into());
        let difference = |one: &Difference| {
            json!({
                "council": one.council.as_str(), "ticket": one.ticket.as_str(), "job": one.job.as_str(),
                "verdict": one.verdict.as_str(), "detail": one.detail,
            })
        };
        all.insert("differences".into(), self.differences.iter().map(difference).collect());
        Value::Object(all)
    }

    pub(super) fn log(&self, system: &SystemName) {
        for (verdict, count) in &self.counts {
            let count = u64::try_from(*count).unwrap_or(u64::MAX);
            metrics::counter!("dovetail_reconciled_total", "system" => system.to_string(), "verdict" => verdict.as_str())
                .increment(count);
        }
        tracing::info!(
            system = %system,
            asked = self.asked(),
            repaired = self.count(Verdict::Repaired),
            held = self.count(Verdict::Held),
            unknown = self.count(Verdict::Unknown),
            unreadable = self.count(Verdict::Unreadable),
            unanswered = self.count(Verdict::Unanswered),
            stopped = self.stopped,
            "the open jobs were reconciled"
        );
    }
}
