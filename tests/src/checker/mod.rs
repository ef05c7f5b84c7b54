//! The total-ticket checker: every request that was published is in exactly one class, and nothing was done twice.
//!
//! [`check`] is pure: it judges [`Evidence`], which [`gather`](gather::gather) takes from both ends: the ledger
//! and the broker on one side, the systems and the CRM on the other.

pub mod gather;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use table::{HEADER, line};

/// What was published and what can be seen of it once the work is over.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Every request that the broker confirmed, or an HTTP door answered.
    pub published: Vec<Published>,
    /// Every opening that the ledger lists.
    pub records: Vec<Record>,
    /// Every delivery that was refused and whose ticket could be read, with the reason.
    pub refused: Vec<(String, String)>,
    /// What the ledger still has to do.
    pub left: Left,
    /// Messages left in the router's queues, by queue.
    pub queues: Vec<(String, u64)>,
    /// The jobs of every back office.
    pub jobs: Vec<Job>,
    /// How often a call closed each ticket in the CRM.
    pub crm: HashMap<String, u64>,
    /// The events that were published, by their ids.
    pub heard: HashMap<String, Heard>,
}

/// One request as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its ticket; each request here opens a ticket of its own.
    pub ticket: String,
    /// The systems that it goes to; none for a request that must be refused.
    pub systems: Vec<&'static str>,
}

/// One opening of a ticket in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The ticket.
    pub ticket: String,
    /// Where it stands.
    pub state: State,
    /// Why it is held or how it closed.
    pub reason: Option<String>,
    /// Its handovers that are set aside.
    pub parks: Vec<Park>,
}

/// Where an opening stands, as the ledger lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Work goes on.
    Open,
    /// A person must decide.
    Held,
    /// The closure is written; the CRM has yet to take it.
    Closing,
    /// Closed at both ends.
    Closed,
}

/// A handover that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Park {
    /// Its system.
    pub system: String,
    /// Whether it says that the call may have been carried out.
    pub uncertain: bool,
    /// Why.
    pub reason: String,
}

/// What the ledger still has to do; after a drain, nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Calls that are due.
    pub due: u64,
    /// Calls that are leased.
    pub leased: u64,
    /// Events that are not published.
    pub outbox: u64,
}

/// How a system keeps the same order from being carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// It honours a key.
    Key,
    /// It can be asked.
    LookUp,
    /// Neither.
    None,
}

/// One job of a back office.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The system.
    pub system: &'static str,
    /// What it offers.
    pub idempotency: Idempotency,
    /// The key or the reference by which it knows the order.
    pub key: String,
    /// The ticket, where the order names it.
    pub ticket: Option<String>,
    /// How often the order came.
    pub delivered: u64,
    /// How many jobs were made of it.
    pub applied: u64,
}

/// One event that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its type without prefix and version, for example `ticket.closed`.
    pub kind: String,
    /// Its ticket.
    pub ticket: String,
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests.
    pub published: u64,
    /// Closed once, at both ends.
    pub closed: u64,
    /// Held with a reason.
    pub held: u64,
    /// With a handover parked with a reason.
    pub parked: u64,
    /// Open, and listed as such.
    pub open: u64,
    /// Refused with a reason.
    pub rejected: u64,
    /// In no class.
    pub lost: u64,
    /// Orders that came again, under the same key.
    pub delivered_twice: u64,
    /// Jobs made beyond the first of an order.
    pub applied_twice: u64,
    /// Closures beyond the first of an opening, as events or in the CRM.
    pub closed_twice: u64,
}

/// What the checker found.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// The figures.
    pub tally: Tally,
    /// Everything that must not be, in words; empty where every promise was kept.
    pub findings: Vec<String>,
}

/// Judges.
pub fn check(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    for published in &evidence.published {
        verdict.class(published, evidence);
    }
    let known: BTreeSet<&str> = evidence.published.iter().map(|one| one.ticket.as_str()).collect();
    for record in evidence.records.iter().filter(|record| !known.contains(record.ticket.as_str())) {
        verdict.find(format!("ticket {} is in the ledger and was never published", record.ticket));
    }
    verdict.parks(evidence);
    verdict.jobs(evidence);
    verdict.closures(evidence);
    verdict.left(evidence);
    verdict
}

/// Exactly one class for each request.
enum Class {
    Closed,
    Held,
    Parked,
    Open,
    Rejected,
}

impl Verdict {
    fn find(&mut self, finding: String) {
        self.findings.push(finding);
    }

    fn class(&mut self, published: &Published, evidence: &Evidence) {
        self.tally.published += 1;
        let ticket = &published.ticket;
        let records: Vec<&Record> =
            evidence.records.iter().filter(|record| record.ticket == *ticket).collect();
        let refusal = evidence.refused.iter().find(|(refused, _)| refused == ticket);
        let class = match (records.as_slice(), refusal) {
            ([], None) => Err("nobody has it: neither the ledger nor the list of refusals".to_owned()),
            ([], Some((_, reason))) if reason.is_empty() => Err("it was refused without a reason".to_owned()),
            ([], Some(_)) if !published.systems.is_empty() => {
                Err("it was refused although it is right".to_owned())
            }
            ([], Some(_)) => Ok(Class::Rejected),
            ([_, _, ..], _) => Err(format!("one request opened it {} times", records.len())),
            ([_], Some(_)) => Err("it is in the ledger and refused, too".to_owned()),
            ([record], None) => class_of(record, evidence.crm.get(ticket).copied().unwrap_or(0)),
        };
        match class {
            Ok(Class::Closed) => self.tally.closed += 1,
            Ok(Class::Held) => self.tally.held += 1,
            Ok(Class::Parked) => self.tally.parked += 1,
            Ok(Class::Open) => self.tally.open += 1,
            Ok(Class::Rejected) => self.tally.rejected += 1,
            Err(reason) => {
                self.tally.lost += 1;
                self.find(format!("ticket {ticket} is lost: {reason}"));
            }
        }
    }

    /// Only where a system offers nothing may a call be set aside as one that may have been done.
    fn parks(&mut self, evidence: &Evidence) {
        let offers: HashMap<&str, Idempotency> =
            evidence.jobs.iter().map(|job| (job.system, job.idempotency)).collect();
        for record in &evidence.records {
            for park in record.parks.iter().filter(|park| park.uncertain) {
                if matches!(offers.get(park.system.as_str()), Some(Idempotency::Key | Idempotency::LookUp)) {
                    self.find(format!(
                        "ticket {}: {} can tell whether it has the order, and the call was parked as uncertain",
                        record.ticket, park.system
                    ));
                }
            }
        }
    }

    fn jobs(&mut self, evidence: &Evidence) {
        let mut systems: BTreeMap<&str, Vec<&Job>> = BTreeMap::new();
        for job in &evidence.jobs {
            systems.entry(job.system).or_default().push(job);
        }
        for (system, jobs) in systems {
            let orders: BTreeMap<&str, &Job> = jobs.iter().map(|job| (job.key.as_str(), *job)).collect();
            self.tally.delivered_twice +=
                orders.values().map(|job| job.delivered.saturating_sub(1)).sum::<u64>();
            for job in orders.values().filter(|job| job.delivered > 1 && job.idempotency == Idempotency::None)
            {
                self.find(format!(
                    "{system} offers neither key nor look-up, and got order {} twice",
                    job.key
                ));
            }
            let doubled: u64 = orders.values().map(|job| job.applied.saturating_sub(1)).sum();
            let mut tickets: BTreeMap<&str, u64> = BTreeMap::new();
            for ticket in jobs.iter().filter_map(|job| job.ticket.as_deref()) {
                *tickets.entry(ticket).or_default() += 1;
            }
            let of_a_ticket: u64 = tickets.values().map(|count| count.saturating_sub(1)).sum();
            let expected = evidence.published.iter().filter(|one| one.systems.contains(&system)).count();
            let beyond = jobs.len().saturating_sub(expected) as u64;
            let twice = doubled.max(of_a_ticket).max(beyond);
            if twice > 0 {
                let of = tickets.iter().filter(|(_, count)| **count > 1).map(|(ticket, _)| *ticket);
                let of: Vec<&str> = of.collect();
                self.find(format!("{system} carried {twice} orders out twice {of:?}"));
            }
            self.tally.applied_twice += twice;
        }
    }

    fn closures(&mut self, evidence: &Evidence) {
        let mut events: BTreeMap<&str, u64> = BTreeMap::new();
        for heard in evidence.heard.values().filter(|heard| heard.kind == "ticket.closed") {
            *events.entry(heard.ticket.as_str()).or_default() += 1;
        }
        let mut openings: BTreeMap<&str, u64> = BTreeMap::new();
        for record in &evidence.records {
            let written = matches!(record.state, State::Closing | State::Closed);
            *openings.entry(record.ticket.as_str()).or_default() += u64::from(written);
        }
        let tickets: BTreeSet<&str> = openings
            .keys()
            .chain(events.keys())
            .copied()
            .chain(evidence.crm.iter().filter(|(_, times)| **times > 0).map(|(ticket, _)| ticket.as_str()))
            .collect();
        for ticket in tickets {
            let count = |of: &BTreeMap<&str, u64>| of.get(ticket).copied().unwrap_or(0);
            let (closures, told) = (count(&openings), count(&events));
            let in_crm = evidence.crm.get(ticket).copied().unwrap_or(0);
            self.tally.closed_twice += told.max(in_crm).saturating_sub(closures);
            if told != closures {
                self.find(format!("ticket {ticket}: {closures} closures, and {told} events of them"));
            }
            if in_crm > closures {
                self.find(format!("ticket {ticket}: {closures} closures, and the CRM was told of {in_crm}"));
            }
        }
    }

    fn left(&mut self, evidence: &Evidence) {
        let Left { due, leased, outbox } = evidence.left;
        for (count, what) in
            [(due, "calls are due"), (leased, "leases are held"), (outbox, "events wait in the outbox")]
        {
            if count > 0 {
                self.find(format!("after the drain {count} {what}"));
            }
        }
        for (queue, count) in evidence.queues.iter().filter(|(_, count)| *count > 0) {
            self.find(format!("after the drain {count} messages are in {queue}"));
        }
    }

    /// Adds a finding for each ticket that is still open: where all the work could end, it must have.
    #[must_use]
    pub fn with_all_work_ended(mut self, evidence: &Evidence) -> Self {
        for record in &evidence.records {
            if matches!(record.state, State::Open | State::Closing) && record.parks.is_empty() {
                self.find(format!("ticket {} is still {:?} after the drain", record.ticket, record.state));
            }
        }
        self
    }

    /// Whether every promise was kept.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// Fails a test with the table and every finding.
    ///
    /// # Panics
    /// When a promise was not kept.
    pub fn assert_holds(&self) {
        let findings = self.findings.join("\n  ");
        assert!(self.holds(), "\n{HEADER}\n{}\n  {findings}\n", line("", 0, &self.tally, 0.0));
    }
}

fn class_of(record: &Record, closures: u64) -> Result<Class, String> {
    if let Some(park) = record.parks.iter().find(|park| park.reason.is_empty()) {
        return Err(format!("a handover to {} is parked without a reason", park.system));
    }
    match record.state {
        State::Closed if closures == 0 => {
            Err("it is closed in the ledger, and the CRM was not told".to_owned())
        }
        State::Closed => Ok(Class::Closed),
        State::Held if record.reason.as_deref().unwrap_or_default().is_empty() => {
            Err("it is held without a reason".to_owned())
        }
        State::Held => Ok(Class::Held),
        State::Open | State::Closing if !record.parks.is_empty() => Ok(Class::Parked),
        State::Open | State::Closing => Ok(Class::Open),
    }
}
