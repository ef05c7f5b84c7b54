//! Scenarios: what Dovetail does in a story, told in plain words and played on a clock that the story sets.
//!
//! A scenario goes through the real code: intake, ledger, dispatch with its connectors over HTTP to the shipped
//! simulators, completion, closing and the CRM. Steps are driven until nothing is left to do; nothing sleeps.

mod act;
mod bench;
mod decide;
mod document;
mod drive;
mod expectations;
mod folder;
mod judge;
mod overlay;
mod owners;
mod read;
mod steps;
#[cfg(test)]
mod tests;
mod world;

use std::sync::Arc;

use futures::{Stream, StreamExt};
use mappings::mapping::Source;

use bench::{Bench, Benches};
pub use document::Scenario;
pub use folder::{Error, read};
use world::World;

/// How many are played at once.
const AT_ONCE: usize = 4;

/// Where the ledger of a scenario is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A temporary file.
    Sqlite,
    /// A schema of its own in the PostgreSQL database of this address.
    Postgres(String),
}

impl Database {
    /// Its name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// What one scenario came to on one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// The file it stands in.
    pub file: String,
    /// Its line there.
    pub line: usize,
    /// What it tells.
    pub scenario: String,
    /// The database.
    pub database: &'static str,
    /// What was expected and found, with file and line; `None` when all was as expected.
    pub failure: Option<String>,
}

/// Plays scenarios on every database, in their order, some at once.
pub fn play<'a>(
    scenarios: &'a [Scenario],
    databases: &'a [Database],
    mappings: &'a [Source],
) -> impl Stream<Item = Played> + 'a {
    let benches = Arc::new(Benches::default());
    futures::stream::iter(scenarios.iter().map(move |scenario| {
        let benches = Arc::clone(&benches);
        async move { futures::stream::iter(one(scenario, databases, mappings, &benches).await) }
    }))
    .buffered(AT_ONCE)
    .flatten()
}

async fn one(
    scenario: &Scenario,
    databases: &[Database],
    mappings: &[Source],
    benches: &Benches,
) -> Vec<Played> {
    let played = |database: &Database, failure: Option<String>| Played {
        file: scenario.file.clone(),
        line: scenario.line,
        scenario: scenario.name.clone(),
        database: database.name(),
        failure,
    };
    let unplayed = |error: anyhow::Error| Some(format!("it could not be played: {error:#}"));
    let bench = match benches.take(scenario, mappings).await {
        Ok(bench) => bench,
        Err(error) => {
            let failure = unplayed(error);
            return databases.iter().map(|database| played(database, failure.clone())).collect();
        }
    };
    let mut all = Vec::with_capacity(databases.len());
    for database in databases {
        let failure = match tell(scenario, database, &bench).await {
            Ok(failures) => (!failures.is_empty()).then(|| failures.join("\n")),
            Err(error) => unplayed(error),
        };
        all.push(played(database, failure));
    }
    benches.put(bench);
    all
}

async fn tell(scenario: &Scenario, database: &Database, bench: &Bench) -> anyhow::Result<Vec<String>> {
    let mut world = World::build(scenario, database, bench).await?;
    let told = world.tell(scenario).await;
    world.end().await?;
    told
}
