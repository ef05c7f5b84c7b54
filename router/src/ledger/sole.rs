//! A ledger in SQLite is for one router: whoever has it holds a lock on a file beside it, which ends with the process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why a ledger cannot be had alone.
#[derive(Debug, thiserror::Error)]
pub enum NotSole {
    /// Another router has it.
    #[error(
        "the ledger {} is in use by another router (process {process}): expected a ledger of its own, or PostgreSQL, which \
         several routers share",
        path.display()
    )]
    Taken {
        /// The ledger's file.
        path: PathBuf,
        /// The other's process id, as far as it said.
        process: String,
    },
    /// The file beside it cannot be made or locked.
    #[error("{} cannot be locked", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The right to be the only router on a ledger, until this is dropped.
#[derive(Debug)]
pub struct Sole {
    _lock: File,
}

impl Sole {
    /// Takes the ledger at an address; `None` where several routers may share it. A file that is not there yet is made, for
    /// its owner alone to read, since it will hold personal data.
    ///
    /// # Errors
    /// [`NotSole`] says who has it, or which file cannot be locked.
    pub fn take(address: &str) -> Result<Option<Self>, NotSole> {
        let Some(path) = address.strip_prefix("sqlite:") else { return Ok(None) };
        let path = Path::new(path.strip_prefix("//").unwrap_or(path));
        let beside = PathBuf::from(format!("{}.lock", path.display()));
        let failed = |source| NotSole::Lock { path: beside.clone(), source };
        let private = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            options
        };
        let mut lock = private().open(&beside).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                // What cannot be read is left away.
                let _ = lock.read_to_string(&mut process);
                return Err(NotSole::Taken { path: path.to_owned(), process: process.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let say = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        say(&mut lock).map_err(failed)?;
        // Only before SQLite has it open: closing a file gives up every lock that this process holds on it.
        if !path.exists() {
            private().open(path).map_err(|source| NotSole::Lock { path: path.to_owned(), source })?;
        }
        Ok(Some(Self { _lock: lock }))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_one_routers_until_it_is_given_up_and_its_owners_alone_to_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        let address = format!("sqlite:{}", path.display());
        let first = Sole::take(&address).expect("free").expect("one router");
        let refused = Sole::take(&address).expect_err("taken").to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(first);
        assert!(Sole::take(&address).expect("free again").is_some());
        let mode = std::fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_ledger_on_postgresql_is_shared() {
        assert!(Sole::take("postgres://dovetail@db/dovetail").expect("nothing to take").is_none());
    }
}
