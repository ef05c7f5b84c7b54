//! The folder of a system's files, on this machine or on an SFTP server, for the time of one look.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use connectors::sftp::{self, Entry};
use mappings::mapping::Files;
use uuid::Uuid;

use super::folder::Folder;
use super::settings::Bounds;

/// How a file stood: while it is written, one of these changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) size: u64,
    pub(super) changed: Option<SystemTime>,
}

impl From<&Entry> for Stand {
    fn from(entry: &Entry) -> Self {
        Self { size: entry.size, changed: entry.changed }
    }
}

/// What stands in the folder under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) stand: Stand,
    /// What it is, where it is no file that can be read.
    pub(super) odd: Option<&'static str>,
}

/// A folder that can be read and written. Names may lead into the folders inside it.
pub(super) enum Visit {
    Folder(Arc<Folder>),
    Server(Box<sftp::Visit>),
}

impl Visit {
    /// Enters the folder.
    ///
    /// # Errors
    /// It is not there, or the server cannot be reached, or is not the one that is known.
    pub(super) async fn start(files: &Files, folder: &str) -> io::Result<Self> {
        Ok(match &files.sftp {
            None => {
                let folder = folder.to_owned();
                Self::Folder(Arc::new(waiting(move || Folder::open(&folder)).await?))
            }
            Some(server) => Self::Server(Box::new(sftp::Visit::start(server, folder).await?)),
        })
    }

    /// What stands in it, but for folders.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) async fn files(&self) -> io::Result<Vec<Found>> {
        match self {
            Self::Folder(folder) => there(folder, Folder::list).await,
            Self::Server(visit) => {
                let found =
                    |entry: Entry| Found { stand: Stand::from(&entry), odd: entry.odd, name: entry.name };
                Ok(visit.files().await?.into_iter().map(found).collect())
            }
        }
    }

    /// How a file stands; `None` where there is none of this name.
    ///
    /// # Errors
    /// That cannot be found out.
    pub(super) async fn stand(&self, name: &str) -> io::Result<Option<Stand>> {
        match self {
            Self::Folder(folder) => at(folder, name, Folder::stand).await,
            Self::Server(visit) => Ok(visit.file(name).await?.as_ref().map(Stand::from)),
        }
    }

    /// Opens a file of this size for this router alone; `None` where another has it, or it is gone or another one. A file
    /// of a server is a copy, and not locked: SFTP has no locks.
    ///
    /// # Errors
    /// It cannot be read, or there is no room for the copy.
    pub(super) async fn open(&self, name: &str, size: u64, bounds: &Bounds) -> io::Result<Option<File>> {
        match self {
            Self::Folder(folder) => at(folder, name, Folder::lock).await,
            Self::Server(visit) => {
                let place = bounds.copies.clone();
                let mut copy =
                    tokio::fs::File::from_std(waiting(move || place_for_a_copy(&place, size)).await?);
                let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
                let whole = visit.fetch(name, size, &mut copy).await.map_err(|error| {
                    if full.contains(&error.kind()) { no_room(&bounds.copies, size, &error) } else { error }
                });
                if !whole? {
                    return Ok(None);
                }
                let mut copy = copy.into_std().await;
                copy.rewind()?;
                Ok(Some(copy))
            }
        }
    }

    /// Reads a small file; `None` where there is none, and nothing where it is no file, or a large one.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => at(folder, name, Folder::read).await,
            Self::Server(visit) => visit.read(name).await,
        }
    }

    /// Whether there is anything of that name.
    ///
    /// # Errors
    /// That cannot be found out.
    pub(super) async fn has(&self, name: &str) -> io::Result<bool> {
        match self {
            Self::Folder(folder) => at(folder, name, Folder::has).await,
            Self::Server(visit) => visit.has(name).await,
        }
    }

    /// Makes a folder inside this one, if it is not there.
    ///
    /// # Errors
    /// It is not there and cannot be made, or something else, such as a link, has its name.
    pub(super) async fn make_folder(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Folder(folder) => at(folder, name, Folder::make_folder).await,
            Self::Server(visit) => visit.make_folder(name).await,
        }
    }

    /// Whether there is a folder of this name inside this one.
    ///
    /// # Errors
    /// Something else, such as a link, has its name.
    pub(super) async fn is_folder(&self, name: &str) -> io::Result<bool> {
        match self {
            Self::Folder(folder) => at(folder, name, Folder::is_folder).await,
            Self::Server(visit) => visit.is_folder(name).await,
        }
    }

    /// Writes a new file, whole or not at all: whoever waits for it never sees half of it.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is used, or it cannot be written.
    pub(super) async fn write(&self, name: &str, content: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Folder(folder) => at(folder, name, move |folder, name| folder.write(name, &content)).await,
            Self::Server(visit) => {
                // Two routers that write the same one must not write into each other's.
                let unfinished = format!("{name}.{}.tmp", Uuid::now_v7().simple());
                visit.write(&unfinished, &content).await?;
                let renamed = self.rename(&unfinished, name).await;
                if renamed.is_err() {
                    visit.remove(&unfinished).await?;
                }
                renamed.map(drop)
            }
        }
    }

    /// Gives a file a name that is not used; `false` where it is gone.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is used, or it cannot be renamed.
    pub(super) async fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        let renamed = match self {
            Self::Folder(folder) => {
                let to = to.to_owned();
                at(folder, from, move |folder, from| folder.rename(from, &to)).await
            }
            Self::Server(visit) => match visit.rename(from, to).await {
                // Servers say no more than that they failed.
                Err(error) if error.kind() == io::ErrorKind::Other && visit.has(to).await? => {
                    Err(io::Error::new(io::ErrorKind::AlreadyExists, error))
                }
                renamed => renamed,
            },
        };
        Ok(if_there(renamed)?.is_some())
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub(super) async fn remove(&self, name: &str) -> io::Result<()> {
        let removed = match self {
            Self::Folder(folder) => at(folder, name, Folder::remove).await,
            Self::Server(visit) => visit.remove(name).await,
        };
        if_there(removed).map(|_| ())
    }
}

async fn waiting<T: Send + 'static>(what: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(what).await.map_err(io::Error::other)?
}

async fn there<T: Send + 'static>(
    folder: &Arc<Folder>,
    what: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let folder = Arc::clone(folder);
    waiting(move || what(&folder)).await
}

async fn at<T: Send + 'static>(
    folder: &Arc<Folder>,
    name: &str,
    what: impl FnOnce(&Folder, &str) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let name = name.to_owned();
    there(folder, move |folder| what(folder, &name)).await
}

/// A file without a name in the folder for copies, where there is room for so many bytes.
fn place_for_a_copy(folder: &Path, size: u64) -> io::Result<File> {
    let room = rustix::fs::statvfs(folder).map(|system| system.f_bavail.saturating_mul(system.f_frsize));
    match room {
        Ok(room) if room < size => Err(no_room(folder, size, &format!("{room} are free"))),
        Ok(_) => tempfile::tempfile_in(folder).map_err(|error| no_room(folder, size, &error)),
        Err(error) => Err(no_room(folder, size, &error)),
    }
}

fn no_room(folder: &Path, size: u64, why: &dyn std::fmt::Display) -> io::Error {
    let folder = folder.display();
    let reason = format!(
        "no copy of it can be written to {folder}, where {size} bytes are needed: {why}; make room there, or name \
         another folder in [files] copies"
    );
    io::Error::new(io::ErrorKind::StorageFull, reason)
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_for_which_there_is_no_room_says_where_and_how_much_is_needed() {
        let folder = tempfile::tempdir().expect("a folder");
        let needed = u64::MAX / 2;
        let error = place_for_a_copy(folder.path(), needed).expect_err("no disk is as large").to_string();
        for part in [&*folder.path().display().to_string(), &*needed.to_string(), "[files] copies"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        let gone = folder.path().join("gone");
        let error = place_for_a_copy(&gone, 1).expect_err("no folder").to_string();
        assert!(error.contains("gone"), "{error}");
        place_for_a_copy(folder.path(), 1).expect("a byte");
    }
}
