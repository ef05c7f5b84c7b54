//! The ledger and the mappings, opened for a command.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use mappings::mapping::Catalogue;
use uuid::Uuid;

use super::{LedgerArgs, Mistake};
use crate::config::{self, Config};
use crate::ledger::{self, Ledger, Lessee, Outbox, Places, WorkerId};
use crate::{closing, library};

/// Connections that a command that only reads needs.
const CONNECTIONS: u32 = 2;

/// The ledger, and the mappings that its tickets are told with.
pub(super) struct Books {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) catalogue: Arc<Catalogue>,
}

/// Opens the ledger that is named, or else configured, for a command that writes. Its database must exist, and is brought
/// up to date.
///
/// # Errors
/// When there is no such database, it does not answer, or the mappings cannot be used.
pub(super) async fn open(args: &LedgerArgs, config: &Config) -> anyhow::Result<Books> {
    let address = args.database.as_deref().unwrap_or(&config.ledger.url);
    exists(address)?;
    let catalogue = catalogue(config)?;
    let (closer, reader) = closing::rules(&catalogue);
    let ledger = ledger::open(address, closer, reader, CONNECTIONS).await.with_context(|| cannot(address))?;
    Ok(Books { ledger, catalogue })
}

/// The same for a command that only reads: nothing is made or brought up to date, and a database that takes no writes will
/// do.
///
/// # Errors
/// As [`open`]; besides, when the database holds no ledger that this release can read.
pub(super) async fn to_read(args: &LedgerArgs, config: &Config) -> anyhow::Result<Books> {
    let address = args.database.as_deref().unwrap_or(&config.ledger.url);
    exists(address)?;
    let catalogue = catalogue(config)?;
    let (closer, reader) = closing::rules(&catalogue);
    let ledger =
        ledger::open_to_read(address, closer, reader, CONNECTIONS).await.with_context(|| cannot(address))?;
    Ok(Books { ledger, catalogue })
}

fn catalogue(config: &Config) -> anyhow::Result<Arc<Catalogue>> {
    let sources = library::read(config.mappings.folder())?;
    Ok(Arc::new(library::compile_only(&sources, &config.mappings.systems, &library::placeholder)?))
}

fn cannot(address: &str) -> String {
    format!("the ledger at {} cannot be opened", config::without_password(address))
}

/// A command that writes: it takes no calls and publishes nothing itself, but leaves both to the routers.
pub(super) fn lessee(has_bus: bool) -> Lessee {
    let outbox = if has_bus { Outbox::On(Places::new(0)) } else { Outbox::Off };
    Lessee::without_room(WorkerId(Uuid::now_v7()), &outbox)
}

/// Whether events must be left for a relay: where the settings name a broker, and where they are not known to be
/// those of the ledger's routers.
pub(super) fn has_bus(args: &LedgerArgs, config: &Config) -> bool {
    config.has_bus() || args.database.as_ref().is_some_and(|address| *address != config.ledger.url)
}

/// Opening a SQLite file that is not there would make it.
fn exists(address: &str) -> Result<(), Mistake> {
    let Some(path) = address.strip_prefix("sqlite:") else { return Ok(()) };
    let path = path.strip_prefix("//").unwrap_or(path);
    if Path::new(path).is_file() {
        return Ok(());
    }
    Err(Mistake::new(
        format!("there is no ledger at {path}"),
        "start one with dovetail serve, or name another with --database or --config",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_is_not_there_is_named_and_not_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("none.db");
        let args = LedgerArgs { database: Some(format!("sqlite:{}", path.display())) };
        let error =
            open(&args, &Config::defaults().expect("defaults")).await.map(|_| ()).expect_err("refused");
        assert!(error.to_string().starts_with("there is no ledger at"), "{error}");
        assert!(!path.exists());
    }

    /// What stands in a folder: each file's name and bytes.
    fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let entries =
            std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut all: Vec<_> =
            entries.map(|path| (path.display().to_string(), std::fs::read(&path).expect("a file"))).collect();
        all.sort();
        all
    }

    async fn reading(path: &Path) -> Result<Books, String> {
        let args = LedgerArgs { database: Some(format!("sqlite:{}", path.display())) };
        let opened = to_read(&args, &Config::defaults().expect("defaults")).await;
        opened.map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn a_command_that_reads_makes_no_tables_and_says_what_it_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("empty.db");
        std::fs::write(&path, "").expect("a file");
        let before = contents(folder.path());
        let error = reading(&path).await.map(|_| ()).expect_err("refused");
        assert!(error.contains("holds no ledger yet: dovetail serve makes its tables"), "{error}");
        assert_eq!(contents(folder.path()), before, "nothing was made");
    }

    #[tokio::test]
    async fn a_ledger_that_is_up_to_date_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        let args = LedgerArgs { database: Some(format!("sqlite:{}", path.display())) };
        std::fs::write(&path, "").expect("a file");
        open(&args, &Config::defaults().expect("defaults")).await.map(|_| ()).expect("made");
        let books = reading(&path).await.expect("read");
        assert!(books.ledger.problems(10).await.expect("a read").is_empty());
        assert!(books.ledger.halts().await.expect("a read").is_empty());
    }
}
