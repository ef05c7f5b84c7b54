//! The folder of a system's files, on this machine or on an SFTP server, for the time of one look.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use connectors::sftp::{self, Entry};
use mappings::mapping::Files;
use uuid::Uuid;

/// How a file stood: while it is written, one of these changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) size: u64,
    pub(super) changed: Option<SystemTime>,
}

impl From<&Metadata> for Stand {
    fn from(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), changed: metadata.modified().ok() }
    }
}

impl From<&Entry> for Stand {
    fn from(entry: &Entry) -> Self {
        Self { size: entry.size, changed: entry.changed }
    }
}

/// A folder that can be read and written. Names may lead into the folders inside it.
pub(super) enum Visit {
    Folder(PathBuf),
    Server(Box<sftp::Visit>),
}

impl Visit {
    /// Enters the folder.
    ///
    /// # Errors
    /// The server cannot be reached, or is not the one that is known.
    pub(super) async fn start(files: &Files, folder: &str) -> io::Result<Self> {
        Ok(match &files.sftp {
            None => Self::Folder(PathBuf::from(folder)),
            Some(server) => Self::Server(Box::new(sftp::Visit::start(server, folder).await?)),
        })
    }

    /// Its files, and how they stand.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) async fn files(&self) -> io::Result<Vec<(String, Stand)>> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                waiting(move || list(&folder)).await
            }
            Self::Server(visit) => {
                let files = visit.files().await?;
                Ok(files.into_iter().map(|entry| (entry.name.clone(), Stand::from(&entry))).collect())
            }
        }
    }

    /// How a file stands; `None` where it is gone.
    ///
    /// # Errors
    /// That cannot be found out.
    pub(super) async fn stand(&self, name: &str) -> io::Result<Option<Stand>> {
        match self {
            Self::Folder(folder) => {
                let metadata = if_there(tokio::fs::metadata(folder.join(name)).await)?;
                Ok(metadata.as_ref().map(Stand::from))
            }
            Self::Server(visit) => Ok(visit.file(name).await?.as_ref().map(Stand::from)),
        }
    }

    /// Opens a file for this router alone; `None` where another has it, or it is gone. A file of a server is a copy, and
    /// not locked: SFTP has no locks.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn open(&self, name: &str) -> io::Result<Option<File>> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                waiting(move || lock(&path)).await
            }
            Self::Server(visit) => {
                let mut copy = tokio::fs::File::from_std(waiting(place_for_a_copy).await?);
                if if_there(visit.fetch(name, &mut copy).await)?.is_none() {
                    return Ok(None);
                }
                let mut copy = copy.into_std().await;
                copy.rewind()?;
                Ok(Some(copy))
            }
        }
    }

    /// Reads a small file whole; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => if_there(tokio::fs::read(folder.join(name)).await),
            Self::Server(visit) => visit.read(name).await,
        }
    }

    /// Whether there is anything of that name.
    ///
    /// # Errors
    /// That cannot be found out.
    pub(super) async fn has(&self, name: &str) -> io::Result<bool> {
        match self {
            Self::Folder(folder) => tokio::fs::try_exists(folder.join(name)).await,
            Self::Server(visit) => visit.has(name).await,
        }
    }

    /// Makes a folder inside this one, if it is not there.
    ///
    /// # Errors
    /// It is not there and cannot be made.
    pub(super) async fn make_folder(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Folder(folder) => tokio::fs::create_dir_all(folder.join(name)).await,
            Self::Server(visit) => visit.make_folder(name).await,
        }
    }

    /// Writes a new file, whole or not at all: whoever waits for it never sees half of it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) async fn write(&self, name: &str, content: Vec<u8>) -> io::Result<()> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                waiting(move || write(&path, &content)).await
            }
            Self::Server(visit) => {
                // Two routers that write the same one must not write into each other's.
                let unfinished = format!("{name}.{}.tmp", Uuid::now_v7().simple());
                visit.write(&unfinished, &content).await?;
                let renamed = visit.rename(&unfinished, name).await;
                if renamed.is_err() {
                    visit.remove(&unfinished).await?;
                }
                renamed
            }
        }
    }

    /// Gives a file a name that is not taken; `false` where it is gone.
    ///
    /// # Errors
    /// It is there and cannot be renamed.
    pub(super) async fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        let renamed = match self {
            Self::Folder(folder) => tokio::fs::rename(folder.join(from), folder.join(to)).await,
            Self::Server(visit) => visit.rename(from, to).await,
        };
        Ok(if_there(renamed)?.is_some())
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub(super) async fn remove(&self, name: &str) -> io::Result<()> {
        let removed = match self {
            Self::Folder(folder) => tokio::fs::remove_file(folder.join(name)).await,
            Self::Server(visit) => visit.remove(name).await,
        };
        if_there(removed).map(|_| ())
    }
}

async fn waiting<T: Send + 'static>(what: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(what).await.map_err(io::Error::other)?
}

fn place_for_a_copy() -> io::Result<File> {
    tempfile::tempfile().map_err(|error| {
        let folder = std::env::temp_dir();
        io::Error::new(error.kind(), format!("no copy of it can be written to {}: {error}", folder.display()))
    })
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn list(folder: &Path) -> io::Result<Vec<(String, Stand)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A file that is gone was taken by another router.
        let (Ok(name), Some(metadata)) = (entry.file_name().into_string(), if_there(entry.metadata())?)
        else {
            continue;
        };
        if metadata.is_file() {
            files.push((name, Stand::from(&metadata)));
        }
    }
    Ok(files)
}

fn lock(path: &Path) -> io::Result<Option<File>> {
    let Some(file) = if_there(File::open(path))? else { return Ok(None) };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        // A file system without locks: the rows count once all the same.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("json.tmp");
    let mut file = File::create(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(unfinished, path)
}
