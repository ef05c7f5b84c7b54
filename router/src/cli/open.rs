//! The ledger and the mappings, opened for reading.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use mappings::mapping::{self, Catalogue};

use super::{LedgerArgs, Mistake};
use crate::ledger::{self, Closer, Ledger, Meaning, Reader};
use crate::{closing, library};

/// Connections that a command that only reads needs.
const CONNECTIONS: u32 = 2;

/// The ledger, and the mappings that its tickets are told with.
pub(super) struct Books {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) catalogue: Arc<Catalogue>,
}

/// Opens the ledger that is named. Its database must exist: a command that reads makes none.
///
/// # Errors
/// When there is no such database, it does not answer, or the mappings cannot be used.
pub(super) async fn open(args: &LedgerArgs) -> anyhow::Result<Books> {
    let address = args.database.clone().ok_or_else(|| {
        Mistake::new("no ledger is named", "name it with --database, for example sqlite:dovetail.db")
    })?;
    let catalogue = Arc::new(library::compile(&library::read(None)?, &library::placeholder)?);
    Ok(Books { ledger: at(&address, &catalogue).await?, catalogue })
}

async fn at(address: &str, catalogue: &Arc<Catalogue>) -> anyhow::Result<Arc<dyn Ledger>> {
    if let Some(path) = address.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.split('?').next().unwrap_or(path);
        if !Path::new(path).is_file() {
            let what = format!("there is no ledger at {path}");
            return Err(
                Mistake::new(what, "start one with dovetail serve, or name another with --database").into()
            );
        }
    }
    let (closer, reader) = rules(catalogue);
    ledger::open(address, closer, reader, CONNECTIONS).await.context("the ledger cannot be opened")
}

/// The closing rules and the status vocabulary of these mappings, as a ledger asks for them.
pub(crate) fn rules(catalogue: &Arc<Catalogue>) -> (Closer, Reader) {
    let (rules, words) = (Arc::clone(catalogue), Arc::clone(catalogue));
    let closer: Closer = Arc::new(move |standing| closing::decide(standing, &rules));
    let reader: Reader = Arc::new(move |system, service, completion| {
        let system = words.system(system);
        let note = completion.note.as_deref();
        match system.map(|system| system.meaning(Some(service), &completion.said, note)) {
            Some(mapping::Meaning::Ended { disposition, reason, say }) => {
                Meaning::Ended { disposition, reason, say }
            }
            Some(mapping::Meaning::Progress { progress, say }) => Meaning::Progress { progress, say },
            Some(mapping::Meaning::Unrecognised) | None => Meaning::Unrecognised,
        }
    });
    (closer, reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_is_not_there_is_named_and_not_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("none.db");
        let args = LedgerArgs { database: Some(format!("sqlite:{}", path.display())) };
        let error = open(&args).await.map(|_| ()).expect_err("refused");
        assert!(error.to_string().starts_with("there is no ledger at"), "{error}");
        assert!(!path.exists());
    }
}
