//! `dovetail report`: what came in, what became of it, how long that took, and where requests wait.

mod open_data;
mod sheet;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use clap::ValueEnum;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};

use super::{Exit, Form, Mistake, ReportArgs, Shown};
use crate::ledger::Ledger;
use crate::report::{By, Count, Figures, Group, RELATIVE_ERROR, Scope, Time, day};

/// Days that a report covers when nobody says which.
const DAYS: i64 = 30;

/// By what a report puts requests together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Grouped {
    /// What was asked for.
    Service,
    /// Each system that had a part in it.
    System,
    /// The council.
    Council,
    /// The way it came in.
    Channel,
}

impl Grouped {
    fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::System => "system",
            Self::Council => "council",
            Self::Channel => "channel",
        }
    }
}

/// A report with all its parts.
struct Report {
    scope: Scope,
    grouped: Grouped,
    all: Figures,
    rows: BTreeMap<String, Figures>,
    /// Where requests wait, longest together first.
    waits: Vec<Wait>,
}

/// One place where requests wait.
struct Wait {
    /// In words.
    place: String,
    /// Its system, where it is at one.
    system: Option<String>,
    time: Time,
    figures: Figures,
}

/// Makes the report.
///
/// # Errors
/// When the ledger fails, or the days make no sense.
pub(super) async fn run(
    args: &ReportArgs,
    ledger: &dyn Ledger,
    form: Form,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    let scope = scope(args, day(now))?;
    if form == Form::OpenData {
        return open_data::run(ledger, &scope, now).await;
    }
    let report = Report::of(scope, args.by, ledger, now).await?;
    Ok(Shown {
        text: if form == Form::Csv { sheet::csv(&report) } else { table::text(&report) },
        json: sheet::json(&report),
        exit: Exit::Ok,
    })
}

fn scope(args: &ReportArgs, today: Date) -> anyhow::Result<Scope> {
    let to = args.to.unwrap_or(today);
    let from = match args.from {
        Some(from) => from,
        None => to.checked_sub((DAYS - 1).days())?,
    };
    if from > to {
        let what = format!("the report would begin on {from} and end on {to}");
        return Err(Mistake::new(what, "--from is the first day and --to the last").into());
    }
    Ok(Scope { from, to, council: args.council.clone() })
}

impl Report {
    async fn of(scope: Scope, grouped: Grouped, ledger: &dyn Ledger, now: Timestamp) -> anyhow::Result<Self> {
        let groups = ledger.figures(&scope, now).await?;
        let (mut all, mut rows) = (Figures::default(), BTreeMap::<String, Figures>::new());
        let mut systems = BTreeMap::<String, Figures>::new();
        for Group { council, by, key, figures } in groups {
            if by == By::All {
                all.merge(&figures);
            }
            if by == By::System {
                systems.entry(key.clone()).or_default().merge(&figures);
            }
            let key = match (grouped, by) {
                (Grouped::Service, By::Service) | (Grouped::System, By::System) => key,
                (Grouped::Council, By::All) => council.to_string(),
                (Grouped::Channel, By::Channel) if key.is_empty() => "not said".to_owned(),
                (Grouped::Channel, By::Channel) => key,
                (_, By::All | By::Service | By::System | By::Channel) => continue,
            };
            rows.entry(key).or_default().merge(&figures);
        }
        let waits = waits(&all, &systems);
        Ok(Self { scope, grouped, all, rows, waits })
    }
}

fn waits(all: &Figures, systems: &BTreeMap<String, Figures>) -> Vec<Wait> {
    let mut waits = Vec::new();
    for (system, figures) in systems {
        for (time, place) in [
            (Time::WaitedToBeTaken, format!("to be taken by {system}")),
            (Time::WaitedForWork, format!("while {system} does the work")),
        ] {
            waits.push(Wait { place, system: Some(system.clone()), time, figures: figures.clone() });
        }
    }
    let place = "for a person to decide".to_owned();
    waits.push(Wait { place, system: None, time: Time::WaitedForPerson, figures: all.clone() });
    waits.retain(|wait| wait.figures.times(wait.time).is_some());
    let together = |wait: &Wait| wait.figures.times(wait.time).map_or(0, |times| times.total_ms());
    waits.sort_by_key(|wait| std::cmp::Reverse(together(wait)));
    waits
}

/// A share in per cent, to a tenth; `None` of nothing.
#[expect(clippy::cast_precision_loss)]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (1_000.0 * part as f64 / whole as f64).round() / 10.0)
}

/// How many of those whose promise is decided were done within it, in per cent.
fn in_time(figures: &Figures) -> Option<f64> {
    let kept = figures.of(Count::InTime);
    share(kept, kept + figures.of(Count::Late))
}
