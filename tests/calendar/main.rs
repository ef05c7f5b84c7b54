//! A year of requests on a clock that goes as fast as it can. `tests/year` builds and runs this.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tests::year::{Plan, play};

/// Plays a year of requests through the real ledger, and compares the report with an independent count.
#[derive(Debug, Parser)]
#[command(name = "tests/year")]
struct Arguments {
    /// Weeks in which requests come in
    #[arg(long, value_name = "N", default_value_t = 52)]
    weeks: u32,
    /// Requests a week
    #[arg(long, value_name = "N", default_value_t = 11_000)]
    a_week: u32,
    /// The same seed plays the same year
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The ledger, for example postgres://…; without it, a temporary file of SQLite. It must be empty
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

fn main() -> ExitCode {
    let Arguments { weeks, a_week, seed, database } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let run = || -> anyhow::Result<ExitCode> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let file = || format!("sqlite:{}", folder.path().join("ledger.db").display());
        let address = database.unwrap_or_else(file);
        say(&format!("{weeks} weeks of {a_week} requests, seed {seed}\n"));
        let outcome = runtime?.block_on(play(Plan { weeks, a_week, seed }, &address))?;
        say(&outcome.to_string());
        if outcome.findings.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        say(&format!("again: tests/year --weeks {weeks} --a-week {a_week} --seed {seed}\n"));
        Ok(ExitCode::FAILURE)
    };
    run().unwrap_or_else(|error| {
        say(&format!("error: {error:#}\n"));
        ExitCode::from(2)
    })
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
