//! What a person is told of files: rows that could not be taken, and files that stay where they are.

use std::collections::HashSet;
use std::io;

use super::receipt::Account;
use super::visit::Stand;
use super::{Watcher, source};
use crate::ledger::{InboxKey, KeptAs, Refusal};

/// Why a file stays in the folder.
#[derive(Debug)]
pub(super) enum Fault {
    /// Something is the matter with the file: a person must see to it.
    OfFile(Trouble),
    /// Something of ours failed, or the server cannot be reached.
    Ours(anyhow::Error),
}

/// What is the matter with a file, and what is to be done.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Trouble {
    /// What is the matter, in a word that stays while it lasts.
    kind: &'static str,
    reason: String,
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::Ours(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Ours(error.into())
    }
}

fn of_file(kind: &'static str, reason: String) -> Fault {
    Fault::OfFile(Trouble { kind, reason })
}

/// What has the name of a file and is none that can be read.
pub(super) fn odd(what: &str) -> Trouble {
    Trouble {
        kind: "no file",
        reason: format!("it is {what}; put the file itself there, under a name in UTF-8"),
    }
}

/// A file that is larger than files may be.
pub(super) fn too_large(size: u64, largest: u64) -> Fault {
    let reason = format!(
        "it has {size} bytes, and files may have {largest}; have it written in parts, or set [files] max_bytes"
    );
    of_file("too large", reason)
}

/// A file that could not be read now, though its folder can be.
pub(super) fn unreadable(error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::StorageFull {
        return of_file("no room", error.to_string());
    }
    let hint = if error.kind() == io::ErrorKind::PermissionDenied {
        "; let the user read it whom Dovetail is there"
    } else {
        "; it is tried again at each look"
    };
    of_file("unread", format!("it cannot be read: {error}{hint}"))
}

/// A file whose rows the ledger has, and which cannot leave the folder.
pub(super) fn unmoved(error: &io::Error) -> Fault {
    of_file("unmoved", format!("its rows are taken, but it cannot be moved: {error}"))
}

impl Watcher {
    /// Keeps for a person what could not be taken of a file.
    pub(super) async fn tell(&self, account: &Account, stand: Stand) -> anyhow::Result<()> {
        let Some((path, reason)) = account.trouble() else { return Ok(()) };
        let Account { file, digest, .. } = account;
        // A file of which nothing can be read is told each time that it is written.
        let id = match account.is_refused() {
            true => format!("{file} sha256:{digest} {}", written(stand)),
            false => format!("{file} sha256:{digest}"),
        };
        self.refuse(id, path, reason).await
    }

    /// Keeps for a person, once, which files stay where they are, and why.
    pub(super) async fn tell_of_left(
        &mut self,
        troubles: Vec<(String, Stand, Trouble)>,
    ) -> anyhow::Result<()> {
        let mut told = HashSet::new();
        for (name, stand, Trouble { kind, reason }) in troubles {
            let id = format!("{name} {} bytes {}: {kind}", stand.size, written(stand));
            if !self.told.contains(&id) {
                let reason = format!("{name} stays in the folder: {reason}");
                self.refuse(id.clone(), name, reason).await?;
            }
            told.insert(id);
        }
        self.told = told;
        Ok(())
    }

    async fn refuse(&self, id: String, path: String, reason: String) -> anyhow::Result<()> {
        let refusal = Refusal {
            key: InboxKey { source: source(&self.system), id },
            council: None,
            ticket: None,
            path: Some(path.into()),
            reason: reason.into(),
            revision: None,
            body: Vec::new(),
            kept_as: KeptAs::Nothing,
            received_at: self.clock.now(),
            traceparent: None,
            sent_with: None,
        };
        self.writer.refuse(refusal).await?;
        Ok(())
    }
}

/// When a file was written, as a part of a key.
fn written(stand: Stand) -> String {
    let since = stand.changed.and_then(|changed| changed.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or_else(|| "-".to_owned(), |since| since.as_nanos().to_string())
}
