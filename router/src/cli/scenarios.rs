//! `dovetail test --scenarios`: stories played on a clock of their own.

use std::io::{self, Write as _};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;

use futures::StreamExt;
use serde_json::json;

use super::{Exit, Mistake, Output};
use crate::library;
use crate::scenario::{self, Database, Played};

/// Plays the scenarios of a folder on SQLite, and on PostgreSQL where a database is named; a line each as it ends.
///
/// # Errors
/// When the scenarios or the mappings cannot be read.
pub(super) async fn run(
    path: &Path,
    database: Option<String>,
    mappings: Option<&Path>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let mut databases = vec![Database::Sqlite];
    if let Some(address) = database {
        if !address.starts_with("postgres://") && !address.starts_with("postgresql://") {
            let what = format!("{address:?} is not a PostgreSQL database");
            return Err(
                Mistake::new(what, "SQLite is always played on; name postgres://… to play on both").into()
            );
        }
        databases.push(Database::Postgres(address));
    }
    let scenarios = scenario::read(path)?;
    let mappings = library::read(mappings)?;
    let mut failed = std::collections::BTreeSet::new();
    let mut all = pin!(scenario::play(&scenarios, &databases, &mappings));
    while let Some(played) = all.next().await {
        say(&match output {
            Output::Text => text(&played),
            Output::Json => json(&played),
        })?;
        if played.failure.is_some() {
            failed.insert((played.file, played.line));
        }
    }
    let (count, failures) = (scenarios.len(), failed.len());
    say(&match output {
        Output::Text => {
            let on: Vec<&str> = databases.iter().map(Database::name).collect();
            format!(
                "{count} scenarios on {}: {} passed, {failures} failed\n",
                on.join(" and "),
                count - failures
            )
        }
        Output::Json => format!("{{\"scenarios\": {count}, \"failed\": {failures}}}\n"),
    })?;
    Ok(if failures == 0 { Exit::Ok } else { Exit::NotOk }.into())
}

fn text(played: &Played) -> String {
    let Played { file, line, scenario, database, failure } = played;
    let word = if failure.is_some() { "FAILED" } else { "ok    " };
    let mut text = format!("{word} {database:8} {file}:{line} {scenario}\n");
    for line in failure.iter().flat_map(|failure| failure.lines()) {
        text += &format!("       {line}\n");
    }
    text
}

fn json(played: &Played) -> String {
    let Played { file, line, scenario, database, failure } = played;
    let passed = failure.is_none();
    let one = json!({
        "file": file, "line": line, "scenario": scenario, "database": database, "passed": passed, "failure": failure,
    });
    format!("{one}\n")
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(failure: Option<&str>) -> Played {
        Played {
            file: "bins.yaml".into(),
            line: 3,
            scenario: "A bin".into(),
            database: "sqlite",
            failure: failure.map(str::to_owned),
        }
    }

    #[test]
    fn a_line_says_what_was_played_where_and_why_it_failed() {
        assert_eq!(text(&played(None)), "ok     sqlite   bins.yaml:3 A bin\n");
        let failed = text(&played(Some("bins.yaml:7: ticket: expected closed\nmore")));
        assert_eq!(
            failed,
            "FAILED sqlite   bins.yaml:3 A bin\n       bins.yaml:7: ticket: expected closed\n       more\n"
        );
        assert!(json(&played(None)).contains("\"passed\":true"));
    }
}
