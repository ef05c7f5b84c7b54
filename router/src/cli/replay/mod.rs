//! `dovetail replay`: parked work is sent again, one first, and when that arrived, the rest at a rate.

mod outlook;
mod release;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use mappings::domain::ParkClass;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::release::{Ended, Released, Releases};
use super::open::Books;
use super::{Exit, Mistake, Output, ReplayArgs, Shown, resolve};
use crate::ledger::{Lessee, Selection, Stuck};

/// The most handovers that one command lets go.
const MOST: usize = 100_000;

/// How many are let go in a time, as `5/s` or `30/m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    seconds: u32,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a rate: expected for example 5/s or 30/m");
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            _ => return Err(wrong()),
        };
        if count == 0 { Err(wrong()) } else { Ok(Self { count, seconds }) }
    }
}

impl Rate {
    /// How many are let go together, and the time until the next: a fifth of a second or more.
    fn batches(self) -> (usize, Duration) {
        let Self { count, seconds } = self;
        let size = count.div_ceil(5 * seconds);
        let pause = Duration::from_secs(seconds.into()) * size / count;
        (usize::try_from(size).unwrap_or(usize::MAX), pause)
    }
}

/// Replays, or shows what would be.
///
/// # Errors
/// When the conditions or the edit cannot be read, or the ledger fails.
pub(super) async fn run(
    args: &ReplayArgs,
    books: &Books,
    lessee: &Lessee,
    output: Output,
) -> anyhow::Result<Shown> {
    let selected = select(args, books).await?;
    let edit = args.edit.as_deref().map(read_edit).transpose()?;
    if args.preview {
        return outlook::preview(&selected, edit.as_ref(), books).await;
    }
    if selected.stuck.is_empty() {
        return Ok(nothing(&selected));
    }
    let person = resolve::person(args.by.as_deref(), args.because.as_deref().unwrap_or_default())?;
    let stop = CancellationToken::new();
    let bar = bar(output, selected.stuck.len());
    let releases = Releases {
        ledger: &*books.ledger,
        lessee,
        person,
        edit,
        rate: args.rate,
        canary: !args.no_canary,
        patience: args.patience.0,
        stop: stop.clone(),
        bar: bar.clone(),
    };
    let working = releases.run(&selected.stuck);
    tokio::pin!(working);
    let ended = tokio::select! {
        ended = &mut working => ended,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("Ctrl-C cannot be heard")?;
            stop.cancel();
            working.await
        }
    }?;
    bar.finish_and_clear();
    Ok(shown(&selected, &ended))
}

/// What the conditions mean, without what may have been done.
struct Selected {
    stuck: Vec<Stuck>,
    /// How many may have been done, and must be decided one by one.
    uncertain: usize,
}

async fn select(args: &ReplayArgs, books: &Books) -> anyhow::Result<Selected> {
    let now = books.ledger.now().await?;
    let selection = Selection::parse(&args.conditions, now).map_err(|error| {
        Mistake::new(format!("--where {:?}: {error}", args.conditions), "see dovetail help replay")
    })?;
    if selection.class == Some(ParkClass::Uncertain) {
        return Err(Mistake::new(
            "what may have been done is not replayed: it could be done twice",
            "find out, then say so for each: dovetail resolve TICKET --was-done JOB, or --send-again",
        )
        .into());
    }
    let found = books.ledger.parked(&selection, MOST).await?;
    let all = found.len();
    let stuck: Vec<Stuck> = found.into_iter().filter(|stuck| stuck.class != ParkClass::Uncertain).collect();
    Ok(Selected { uncertain: all - stuck.len(), stuck })
}

fn read_edit(path: &std::path::Path) -> anyhow::Result<Value> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    let patch: Value = serde_json::from_str(&text).map_err(|error| {
        Mistake::new(
            format!("{name}:{}:{}: this is not JSON: {error}", error.line(), error.column()),
            "expected a JSON merge patch, for example {\"location\": {\"uprn\": \"10008049175\"}}",
        )
    })?;
    if patch.is_object() {
        Ok(patch)
    } else {
        Err(Mistake::new(
            format!("{name} does not hold a JSON object"),
            "expected a JSON merge patch, for example {\"location\": {\"uprn\": \"10008049175\"}}",
        )
        .into())
    }
}

fn bar(output: Output, length: usize) -> ProgressBar {
    match output {
        Output::Json => ProgressBar::hidden(),
        Output::Text => {
            let bar = ProgressBar::new(length as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len}, {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar
        }
    }
}

/// How many there are of each system, class and reason, most first.
fn groups(stuck: &[Stuck]) -> Vec<(String, &'static str, String, usize)> {
    let mut counts: BTreeMap<(&str, &'static str, &str), usize> = BTreeMap::new();
    for stuck in stuck {
        *counts.entry((stuck.system.as_str(), stuck.class.as_str(), &stuck.reason)).or_default() += 1;
    }
    let mut groups: Vec<_> = counts
        .into_iter()
        .map(|((system, class, reason), count)| (system.to_owned(), class, reason.to_owned(), count))
        .collect();
    groups.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    groups
}

fn nothing(selected: &Selected) -> Shown {
    let text = match selected.uncertain {
        0 => "Nothing that is parked fits the conditions.\n".to_owned(),
        some => format!(
            "Nothing is replayed: {} that {} the conditions may have been done already. {DECIDE}\n",
            counted(some),
            if some == 1 { "fits" } else { "fit" }
        ),
    };
    Shown { text, json: json!({"selected": 0, "left_out": selected.uncertain}), exit: Exit::Ok }
}

/// What is done about work that may have been done.
const DECIDE: &str = "Find out for each, then: dovetail resolve TICKET --was-done JOB, or --send-again.";

fn counted(count: usize) -> String {
    if count == 1 { "1 piece of work".to_owned() } else { format!("{count} pieces of work") }
}

fn left_out(text: &mut String, selected: &Selected) {
    if selected.uncertain > 0 {
        let are = if selected.uncertain == 1 { "is" } else { "are" };
        let some = counted(selected.uncertain);
        let _ = writeln!(text, "{some} that may have been done already {are} left out. {DECIDE}");
    }
}

fn shown(selected: &Selected, released: &Released) -> Shown {
    let Released { written, refused, ended } = released;
    let all = selected.stuck.len();
    // What came back is parked, not on its way.
    let back = matches!(ended, Ended::Stopped(_));
    let on_the_way = if back { 0 } else { *written };
    let left = all - written - refused.len();
    let mut text = String::new();
    let (word, exit) = match ended {
        Ended::Finished => ("finished", if refused.is_empty() { Exit::Ok } else { Exit::NotOk }),
        Ended::Stopped(reason) => {
            let _ = writeln!(text, "The first did not arrive: {reason}.");
            ("stopped", Exit::NotOk)
        }
        Ended::Waiting(reason) => {
            let _ = writeln!(text, "The first has not arrived yet: {reason}. It is still tried.");
            ("waiting", Exit::NotOk)
        }
        Ended::Cancelled => {
            text.push_str("Cancelled.\n");
            ("cancelled", Exit::NotOk)
        }
    };
    match ended {
        Ended::Finished | Ended::Cancelled => {
            let _ = writeln!(text, "{}", sent(on_the_way, all));
        }
        Ended::Stopped(_) | Ended::Waiting(_) => {}
    }
    for (ticket, reason) in refused.iter().take(REFUSED) {
        let _ = writeln!(text, "  {ticket} was left alone: {reason}");
    }
    if refused.len() > REFUSED {
        let _ = writeln!(text, "  … and {} more were left alone", refused.len() - REFUSED);
    }
    match (left, ended) {
        (0, _) => {}
        (1, Ended::Finished | Ended::Cancelled) => text.push_str("1 stays parked.\n"),
        (1, Ended::Stopped(_) | Ended::Waiting(_)) => text.push_str("The other 1 stays parked.\n"),
        (left, Ended::Finished | Ended::Cancelled) => {
            let _ = writeln!(text, "{left} stay parked.");
        }
        (left, Ended::Stopped(_) | Ended::Waiting(_)) => {
            let _ = writeln!(text, "The other {left} stay parked.");
        }
    }
    left_out(&mut text, selected);
    let reason = match ended {
        Ended::Stopped(reason) | Ended::Waiting(reason) => Some(reason),
        Ended::Finished | Ended::Cancelled => None,
    };
    let refused: Vec<Value> =
        refused.iter().map(|(ticket, reason)| json!({"ticket": ticket.as_str(), "reason": reason})).collect();
    Shown {
        text,
        json: json!({"selected": all, "replayed": written, "on_the_way": on_the_way, "refused": refused,
                     "parked": left, "left_out": selected.uncertain, "ended": word, "reason": reason}),
        exit,
    }
}

/// Tickets that were left alone and are named.
const REFUSED: usize = 20;

/// How many of those that are meant were sent again.
fn sent(count: usize, all: usize) -> String {
    match (count, all) {
        (0, _) => "None was sent again.".to_owned(),
        (1, 1) => "It was sent again.".to_owned(),
        (1, all) => format!("1 of {all} was sent again."),
        (count, all) => format!("{count} of {all} were sent again."),
    }
}
