//! The command line of the long runs.

use std::ops::RangeInclusive;

use tests::matrix::{Row, rows};

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
tests/faults [--seeds N] [--seed S] [--only ROW]… [--at-once N] [--output json] [--logs DIR] [--list]

  --seeds N      play every row with the seeds 1 to N (default 1)
  --seed S       play every row with this seed alone
  --only ROW     only the rows whose names contain this; may be given several times
  --at-once N    how many runs go side by side (default 2)
  --output json  one JSON object instead of the table
  --logs DIR     where the routers' logs of failed runs are kept
  --list         name the rows, and play none";

/// What is to be played.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) rows: Vec<Row>,
    pub(crate) seeds: RangeInclusive<u64>,
    pub(crate) at_once: usize,
    pub(crate) json: bool,
    pub(crate) logs: Option<String>,
}

impl Arguments {
    /// Reads the command line; `None` when nothing is to be played.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut read = Self { rows: rows(), seeds: 1..=1, at_once: 2, json: false, logs: None };
        let mut only = Vec::new();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word}: expected a value"));
            match word.as_str() {
                "--seeds" => read.seeds = 1..=number(&word, &value()?)?,
                "--seed" => {
                    let seed = number(&word, &value()?)?;
                    read.seeds = seed..=seed;
                }
                "--only" => only.push(value()?),
                "--at-once" => read.at_once = usize::try_from(number(&word, &value()?)?.max(1)).unwrap_or(1),
                "--output" => match value()?.as_str() {
                    "json" => read.json = true,
                    "text" => read.json = false,
                    other => return Err(format!("--output: found {other}, expected text or json")),
                },
                "--logs" => read.logs = Some(value()?),
                "--list" => {
                    for row in rows() {
                        super::say(&row.name);
                    }
                    return Ok(None);
                }
                "--help" | "-h" => {
                    super::say(USAGE);
                    return Ok(None);
                }
                other => return Err(format!("found {other}\n\n{USAGE}")),
            }
        }
        if !only.is_empty() {
            // A whole name means that row alone, even where others begin with it.
            let fits = |row: &Row, word: &String| {
                row.name == *word
                    || (row.name.contains(word.as_str()) && read.rows.iter().all(|row| row.name != *word))
            };
            read.rows = rows().into_iter().filter(|row| only.iter().any(|word| fits(row, word))).collect();
        }
        if read.rows.is_empty() {
            return Err(format!("--only: no row is called {}; --list names them", only.join(" or ")));
        }
        Ok(Some(read))
    }
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{name}: found {text}, expected a number"))
}
