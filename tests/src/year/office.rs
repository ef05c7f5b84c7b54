//! The back offices: how they take orders, and what they say of jobs when their time has come.

use std::collections::{BTreeMap, HashMap};

use connectors::Outcome;
use jiff::{SignedDuration, Timestamp};
use mappings::domain::{Disposition, Job, Operation, Phase, SystemName};
use router::ledger::{Completion, Way, Work};

use super::crm::Crm;
use super::draw::Draw;
use super::fate::{self, Answer, Word};

/// All back offices, and the CRM's door for closures.
pub(super) struct Offices {
    draw: Draw,
    /// How the order of a ticket is taken, by system and ticket.
    answers: HashMap<(String, String), Answer>,
    /// What is to be said, by the hour.
    to_say: BTreeMap<Timestamp, Vec<(SystemName, String, Word)>>,
    /// Orders that were carried out: none may be twice.
    carried_out: HashMap<(String, String), u32>,
}

impl Offices {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            draw: Draw::new(seed ^ 0x0ff1_ce00),
            answers: HashMap::new(),
            to_say: BTreeMap::new(),
            carried_out: HashMap::new(),
        }
    }

    /// Answers a call.
    pub(super) fn answer(&mut self, work: &Work, crm: &mut Crm, now: Timestamp) -> Outcome {
        if work.operation == Operation::Close {
            if self.draw.happens(10) {
                return Outcome::Retry { after: None, reason: "the CRM is busy".to_owned() };
            }
            crm.close(work.ticket.as_str());
            return Outcome::Delivered { job: None, note: None };
        }
        let key = (work.system.to_string(), work.ticket.to_string());
        let job = format!("{}-{}", work.system, work.ticket);
        let delivered = || Outcome::Delivered { job: Job::parse(&job).ok(), note: None };
        let answer = *self.answers.entry(key.clone()).or_insert_with(|| fate::answer(&mut self.draw));
        if work.phase == Phase::LookUp {
            return if self.carried_out.contains_key(&key) { delivered() } else { Outcome::Absent };
        }
        match answer {
            Answer::Busy(left) if left > 0 => {
                self.answers.insert(key, Answer::Busy(left - 1));
                Outcome::Retry { after: None, reason: "503 Service Unavailable".to_owned() }
            }
            Answer::Lost => {
                self.answers.insert(key, Answer::Takes);
                self.carry_out(work, now);
                Outcome::Unknown { reason: "no answer in 30 s".to_owned() }
            }
            Answer::Refuses => {
                crm.refused(work.ticket.as_str(), work.system.as_str(), now);
                Outcome::Rejected {
                    disposition: Some(Disposition::Duplicate),
                    reason: "already_open".to_owned(),
                    say: None,
                }
            }
            Answer::Mumbles => {
                self.answers.insert(key, Answer::Takes);
                Outcome::Rejected { disposition: None, reason: "E4711".to_owned(), say: None }
            }
            Answer::Takes | Answer::Busy(_) => {
                self.carry_out(work, now);
                delivered()
            }
        }
    }

    /// The job is there; the same order under the same key is the same job.
    fn carry_out(&mut self, work: &Work, now: Timestamp) {
        let key = (work.system.to_string(), work.ticket.to_string());
        let times = self.carried_out.entry(key).or_default();
        *times += 1;
        if *times > 1 {
            return;
        }
        for word in fate::words(work.system.as_str(), &mut self.draw) {
            let hours = i64::try_from(word.after).unwrap_or(0) + 1;
            let at = now + SignedDuration::from_hours(hours);
            let say = (work.system.clone(), work.ticket.to_string(), word);
            self.to_say.entry(at).or_default().push(say);
        }
    }

    /// What they say by now.
    pub(super) fn say(&mut self, crm: &mut Crm, now: Timestamp) -> Vec<Completion> {
        let later = self.to_say.split_off(&(now + SignedDuration::from_millis(1)));
        let due = std::mem::replace(&mut self.to_say, later);
        let mut said = Vec::new();
        for (system, ticket, word) in due.into_values().flatten() {
            if word.is_known && !crm.tickets.get(&ticket).is_some_and(super::crm::Ticket::is_closed) {
                crm.said(&ticket, system.as_str(), now);
            }
            let completion = Completion {
                key: format!("{ticket} {} {now}", word.said),
                job: Job::parse(&format!("{system}-{ticket}")).ok(),
                system,
                reference: None,
                said: word.said.to_owned(),
                note: None,
                said_at: Some(now),
                received_at: now,
                way: Way::Webhook,
            };
            if word.twice {
                said.push(completion.clone());
            }
            said.push(completion);
        }
        said
    }
}
