//! What the demonstration came to: every ticket in exactly one class, checked at both ends.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::time::Duration;

use mappings::domain::RequestState;
use serde::Serialize;

use super::crm::{Crm, Receipt, Sent};
use crate::app::App;
use crate::cli::Output;
use crate::ledger::{Filter, Line};
use crate::timeline::argument;

/// What became of the tickets of one system, or of all.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Tally {
    /// Tickets whose request was accepted.
    opened: u64,
    /// Closed, and closed in the CRM too.
    closed: u64,
    /// Waiting for a person to decide.
    held: u64,
    /// Set aside with a reason.
    parked: u64,
    /// In no class: not in the ledger, or neither open with a reason nor closed at both ends.
    lost: u64,
    /// Half of the closed tickets took no longer than this from accepted to closed.
    median_ms: Option<i64>,
    /// 19 of 20 took no longer.
    p95_ms: Option<i64>,
    #[serde(skip)]
    times_ms: Vec<i64>,
}

/// The whole outcome.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    requests: usize,
    #[serde(flatten)]
    all: Tally,
    rejected: u64,
    duplicates: u64,
    by_system: BTreeMap<&'static str, Tally>,
    seconds: f64,
    seed: u64,
}

/// The class of one ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Closed(Option<i64>),
    Held,
    Parked,
    Lost,
}

impl Outcome {
    /// Looks every ticket up in the ledger and in the CRM.
    pub(super) async fn gather(
        app: &App,
        crm: &Crm,
        sent: &[Sent],
        took: Duration,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let filter = Filter { most: sent.len() + 1, ..Filter::default() };
        let lines: HashMap<String, Line> = app
            .ledger
            .tickets(&filter)
            .await?
            .into_iter()
            .map(|line| (line.ticket.to_string(), line))
            .collect();
        let closed = crm.closures().await?;
        let mut outcome = Self {
            requests: sent.len(),
            all: Tally::default(),
            rejected: 0,
            duplicates: 0,
            by_system: BTreeMap::new(),
            seconds: took.as_secs_f64(),
            seed,
        };
        let counts = app.ledger.counts().await?;
        outcome.duplicates = counts.duplicates;
        outcome.rejected = counts.refused;
        for sent in sent.iter().filter(|sent| sent.receipt == Receipt::Opened) {
            let class = class(lines.get(&sent.ticket), closed.get(&sent.ticket).copied().unwrap_or(0));
            outcome.all.count(class);
            outcome.by_system.entry(sent.system).or_default().count(class);
        }
        outcome.all.times();
        outcome.by_system.values_mut().for_each(Tally::times);
        Ok(outcome)
    }

    /// How many are in no class.
    pub(super) fn lost(&self) -> u64 {
        self.all.lost
    }

    /// Prints the table, or one JSON object.
    pub(super) fn print(&self, output: Output, console: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match output {
            Output::Json => {
                let mut value = serde_json::to_value(self)?;
                value["console"] = console.into();
                writeln!(out, "{value}")?;
            }
            Output::Text => write!(out, "{}", self.table())?,
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut text = format!(
            "\n{:<10} {:>7} {:>7} {:>5} {:>7} {:>5} {:>10} {:>10}\n",
            "system", "opened", "closed", "held", "parked", "lost", "median", "95 in 100"
        );
        let seconds = |ms: Option<i64>| {
            ms.map_or("-".to_owned(), |ms| format!("{}.{:02} s", ms / 1000, ms % 1000 / 10))
        };
        for (name, tally) in
            self.by_system.iter().map(|(name, tally)| (*name, tally)).chain([("all", &self.all)])
        {
            text += &format!(
                "{name:<10} {:>7} {:>7} {:>5} {:>7} {:>5} {:>10} {:>10}\n",
                tally.opened,
                tally.closed,
                tally.held,
                tally.parked,
                tally.lost,
                seconds(tally.median_ms),
                seconds(tally.p95_ms)
            );
        }
        text += &format!(
            "\n{} requests in {:.1} s: {} tickets opened, {} rejected, {} delivered twice and taken once. Seed {}.\n",
            self.requests, self.seconds, self.all.opened, self.rejected, self.duplicates, self.seed
        );
        text += match self.all.lost {
            0 => {
                "Nothing was lost: every ticket is closed at both ends, or waits for a person with a reason.\n"
            }
            _ => "TICKETS WERE LOST.\n",
        };
        text
    }
}

impl Tally {
    fn count(&mut self, class: Class) {
        self.opened += 1;
        match class {
            Class::Closed(took) => {
                self.closed += 1;
                self.times_ms.extend(took);
            }
            Class::Held => self.held += 1,
            Class::Parked => self.parked += 1,
            Class::Lost => self.lost += 1,
        }
    }

    fn times(&mut self) {
        self.times_ms.sort_unstable();
        let at = |share: usize| self.times_ms.get(self.times_ms.len() * share / 100).copied();
        (self.median_ms, self.p95_ms) = (at(50), at(95));
    }
}

fn class(line: Option<&Line>, closures: u64) -> Class {
    let Some(line) = line else { return Class::Lost };
    match line.state {
        RequestState::Closed if closures == 1 => {
            Class::Closed(line.closed_at.map(|at| at.as_millisecond() - line.accepted_at.as_millisecond()))
        }
        RequestState::Held if closures == 0 => Class::Held,
        RequestState::Open | RequestState::Closing if line.parked => Class::Parked,
        RequestState::Open | RequestState::Closing | RequestState::Closed | RequestState::Held => Class::Lost,
    }
}

/// Says where to look while the demonstration stays up, and with which commands: its ledger is not the one that is
/// configured.
pub(super) fn invite(console: &str, ledger: &str, ticket: Option<&str>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\nThe console is at {console}/ — look up a ticket, or see what waits for a person at {console}/problems."
    )?;
    writeln!(out, "The same on the command line, in another terminal:")?;
    let database = argument(ledger);
    let show = ticket.map(|ticket| format!("tickets show {}", argument(ticket)));
    for command in
        ["problems", "tickets list", "system list", "report"].into_iter().map(str::to_owned).chain(show)
    {
        writeln!(out, "  dovetail {command} --database {database}")?;
    }
    writeln!(out, "Ctrl-C ends the demonstration.")?;
    Ok(())
}
