//! Whether all is as it must be, and whether the report agrees with what the CRM saw.

use std::collections::BTreeMap;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use router::ledger::Ledger;
use router::report::{By, Count, Figures, Group, RELATIVE_ERROR, Scope, Time, day};

use super::Outcome;
use super::crm::{Crm, Ticket};

/// A ticket that is open for longer is told to be overdue.
const OVERDUE_DAYS: i64 = 60;
/// The clocks are looked at once an hour.
const A_LOOK: SignedDuration = SignedDuration::from_hours(1);

/// What is counted of some tickets.
#[derive(Default)]
struct Counted {
    counts: BTreeMap<Count, u64>,
    times: BTreeMap<Time, Vec<i64>>,
}

type Groups<T> = BTreeMap<(By, String), T>;

/// Judges a year that ended then.
pub(super) async fn of(
    ledger: &dyn Ledger,
    crm: &Crm,
    start: Timestamp,
    end: Timestamp,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome { requests: crm.tickets.len(), ..Outcome::default() };
    for (name, ticket) in &crm.tickets {
        outcome
            .findings
            .extend(findings(ticket, end).into_iter().map(|finding| format!("{name}: {finding}")));
        outcome.closed.0 += usize::from(ticket.is_closed());
        outcome.closed.1 += usize::from(ticket.is_automatic());
        let (open, held) = (!ticket.is_closed(), ticket.held > 0);
        outcome.open.0 += usize::from(open && held);
        outcome.open.1 += usize::from(open && !held);
        outcome.overdue += usize::from(ticket.overdue > 0);
    }
    let scope = Scope { from: day(start), to: day(end), council: None };
    let begun = Instant::now();
    let groups = ledger.figures(&scope, end).await?;
    outcome.took.1 = begun.elapsed();
    outcome.rows = groups.len();
    compare(&groups, crm, end, &mut outcome);
    outcome.findings.sort();
    Ok(outcome)
}

/// What the rules do not allow.
fn findings(ticket: &Ticket, end: Timestamp) -> Vec<String> {
    let mut findings = Vec::new();
    let mut must = |is_so: bool, what: &str| {
        if !is_so {
            findings.push(what.to_owned());
        }
    };
    let escalated = ticket.escalated.0 + ticket.escalated.1 > 0;
    must(ticket.accepted_at.is_some(), "it was never accepted");
    must(ticket.closures <= 1, "it was closed more than once");
    must(ticket.is_closed() || ticket.held > 0 || escalated, "it is neither closed nor held nor escalated");
    must(
        ticket.is_closed() == ticket.closed.is_some(),
        "the event and the call do not agree whether it closed",
    );
    must(ticket.overdue <= 1, "overdue was told more than once");
    let until = ticket.closed.as_ref().map_or(end, |(at, _)| *at);
    let limit = SignedDuration::from_hours(24 * OVERDUE_DAYS);
    let age = until.duration_since(ticket.raised_at);
    // A change to summer time makes sixty days an hour shorter or longer.
    if age > limit + A_LOOK + A_LOOK {
        must(ticket.overdue == 1, "it was open for more than 60 days, and overdue was not told");
        must(escalated, "it was open for more than 60 days, and was not escalated");
    }
    if age < limit - A_LOOK {
        must(ticket.overdue == 0, "overdue was told before 60 days were over");
    }
    findings
}

fn compare(groups: &[Group], crm: &Crm, end: Timestamp, outcome: &mut Outcome) {
    let mut reported: Groups<Figures> = BTreeMap::new();
    for group in groups {
        let mut add = |by: By, key: &str| {
            reported.entry((by, key.to_owned())).or_default().merge(&group.figures);
        };
        add(group.by, &group.key);
        if group.by == By::All {
            add(By::All, group.council.as_str());
        }
    }
    let counted = count(crm, end);
    let none = Figures::default();
    for ((by, key), counted) in &counted {
        let figures = reported.get(&(*by, key.clone())).unwrap_or(&none);
        let place = format!("{} {key}", by.as_str());
        for (count, expected) in &counted.counts {
            outcome.compared += 1;
            let found = figures.of(*count);
            if found != *expected {
                let what = count.as_str();
                outcome.findings.push(format!("{place}: {what}: reported {found}, counted {expected}"));
            }
        }
        for (time, times) in &counted.times {
            let mut times = times.clone();
            times.sort_unstable();
            for percent in [50, 90, 95] {
                outcome.compared += 1;
                let rank = (times.len() * percent).div_ceil(100).max(1);
                let expected = seconds(times[rank - 1]);
                let found = figures.times(*time).and_then(|times| times.percentile(percent as u64));
                if !found.is_some_and(|found| (found - expected).abs() <= expected * RELATIVE_ERROR + 1.0) {
                    let what = time.as_str();
                    outcome
                        .findings
                        .push(format!("{place}: {what} p{percent}: reported {found:?}, counted {expected}"));
                }
            }
        }
    }
    let unknown = reported.keys().filter(|key| !counted.contains_key(*key));
    outcome
        .findings
        .extend(unknown.map(|(by, key)| format!("{} {key}: reported, and not there", by.as_str())));
}

/// Counts what the CRM saw, by service, channel, council and system, and of all.
fn count(crm: &Crm, end: Timestamp) -> Groups<Counted> {
    let mut groups: Groups<Counted> = BTreeMap::new();
    for ticket in crm.tickets.values() {
        let keys = [
            (By::All, String::new()),
            (By::All, ticket.council.to_owned()),
            (By::Service, ticket.service.to_owned()),
            (By::Channel, ticket.channel.to_owned()),
        ];
        for key in keys {
            let counted = groups.entry(key).or_default();
            counted.add(ticket, end);
            counted.add_time(ticket, Time::HandOver, ticket.handed_over.values().min().copied());
            counted.add_time(ticket, Time::FirstNews, ticket.first_said.values().min().copied());
            let closed_at = ticket.closed.as_ref().filter(|_| ticket.is_closed()).map(|(at, _)| *at);
            counted.add_time(ticket, Time::Close, closed_at);
        }
        // When its own part ended, the CRM is not told.
        for system in &ticket.systems {
            let counted = groups.entry((By::System, system.clone())).or_default();
            counted.add(ticket, end);
            counted.add_time(ticket, Time::HandOver, ticket.handed_over.get(system).copied());
            counted.add_time(ticket, Time::FirstNews, ticket.first_said.get(system).copied());
        }
    }
    groups
}

impl Counted {
    fn add(&mut self, ticket: &Ticket, end: Timestamp) {
        let closed = ticket.closed.as_ref().filter(|_| ticket.is_closed());
        let declined = closed.is_some_and(|(_, disposition)| disposition == "declined");
        let open_days = end.duration_since(ticket.raised_at).as_hours() / 24;
        for (count, is_so) in [
            (Count::CameIn, true),
            (Count::Closed, ticket.is_closed()),
            (Count::Automatically, ticket.is_automatic()),
            (Count::Held, ticket.held > 0),
            (Count::Declined, declined),
            (Count::Escalated, ticket.escalated.0 + ticket.escalated.1 > 0),
            (Count::Overdue, ticket.overdue > 0),
            (Count::Late, ticket.escalated.0 > 0),
            (Count::OpenLonger, !ticket.is_closed() && open_days > OVERDUE_DAYS),
        ] {
            *self.counts.entry(count).or_default() += u64::from(is_so);
        }
        self.add_time(ticket, Time::Accept, ticket.accepted_at);
    }

    fn add_time(&mut self, ticket: &Ticket, time: Time, at: Option<Timestamp>) {
        if let Some(at) = at {
            let ms = at.as_millisecond() - ticket.raised_at.as_millisecond();
            self.times.entry(time).or_default().push(ms);
        }
    }
}

#[expect(clippy::cast_precision_loss)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}
