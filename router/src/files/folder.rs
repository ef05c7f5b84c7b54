//! A folder of this machine. No link inside it is followed, and nothing that is there is written over: every name is
//! looked up from the folder that was opened, whatever stands in its place later.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, UNIX_EPOCH};

use connectors::sftp::LINK;
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use uuid::Uuid;

use super::visit::{Found, Stand};

/// The most bytes of a small file that is read whole.
const SMALL: u64 = 4 << 20;
/// Opening waits for nobody, not even at the end of a pipe.
const OPEN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// The folder, as it was when it was opened.
pub(super) struct Folder {
    own: OwnedFd,
}

impl Folder {
    /// Opens it. It may be a link itself: whoever named it chose that.
    ///
    /// # Errors
    /// It is not there, or is no folder.
    pub(super) fn open(path: &str) -> io::Result<Self> {
        Ok(Self { own: fs::open(path, FOLDER, Mode::empty())? })
    }

    /// What stands in it, but for folders.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn list(&self) -> io::Result<Vec<Found>> {
        let mut all = Vec::new();
        for entry in Dir::read_from(&self.own)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            // What is gone was taken by another router.
            let Some(stat) = if_there(fs::statat(&self.own, name, AtFlags::SYMLINK_NOFOLLOW))? else {
                continue;
            };
            if kind(&stat) == FileType::Directory {
                continue;
            }
            let odd = match name.to_str() {
                None => Some("a file whose name is not written in UTF-8"),
                Some(_) => odd(&stat),
            };
            all.push(Found { name: name.to_string_lossy().into_owned(), stand: stand(&stat), odd });
        }
        Ok(all)
    }

    /// How a file stands; `None` where there is none of this name. A link is none.
    ///
    /// # Errors
    /// That cannot be found out.
    pub(super) fn stand(&self, name: &str) -> io::Result<Option<Stand>> {
        let stat = self.stat(name)?;
        Ok(stat.filter(|stat| odd(stat).is_none()).map(|stat| stand(&stat)))
    }

    /// Opens a file for this router alone; `None` where another has it, or where it is no file any more.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn lock(&self, name: &str) -> io::Result<Option<File>> {
        let Some(file) = self.file(name)? else { return Ok(None) };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            // A file system without locks: the rows count once all the same.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
        }
    }

    /// Reads a small file; `None` where there is none of this name, and nothing where it is no file, or a large one.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        if self.stat(name)?.is_none() {
            return Ok(None);
        }
        let mut content = Vec::new();
        if let Some(file) = self.file(name)? {
            file.take(SMALL).read_to_end(&mut content)?;
        }
        Ok(Some(content))
    }

    /// Whether there is anything of that name, be it a link that leads nowhere.
    ///
    /// # Errors
    /// That cannot be found out.
    pub(super) fn has(&self, name: &str) -> io::Result<bool> {
        Ok(self.stat(name)?.is_some())
    }

    /// Makes a folder inside this one, if it is not there.
    ///
    /// # Errors
    /// It is not there and cannot be made, or something else has its name.
    pub(super) fn make_folder(&self, name: &str) -> io::Result<()> {
        match fs::mkdirat(&self.own, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
            Err(Errno::EXIST) => self.is_folder(name).map(drop),
            made => Ok(made?),
        }
    }

    /// Whether there is a folder of this name inside this one.
    ///
    /// # Errors
    /// Something else has its name.
    pub(super) fn is_folder(&self, name: &str) -> io::Result<bool> {
        let Some(stat) = if_there(fs::statat(&self.own, name, AtFlags::SYMLINK_NOFOLLOW))? else {
            return Ok(false);
        };
        if kind(&stat) == FileType::Directory {
            return Ok(true);
        }
        let is = odd(&stat).unwrap_or("a file");
        Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{name} is {is}; expected a folder")))
    }

    /// Writes a new file, whole or not at all: whoever waits for it never sees half of it.
    ///
    /// # Errors
    /// `AlreadyExists` where the name is used, or it cannot be written.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let (folder, name) = self.within(name)?;
        let folder = folder.as_ref().map_or(self.own.as_fd(), |folder| folder.as_fd());
        let unfinished = format!(".{}.tmp", Uuid::now_v7().simple());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OPEN;
        let mode = Mode::from_raw_mode(0o666);
        let mut file = File::from(fs::openat(folder, &*unfinished, flags, mode)?);
        let written = file.write_all(content).and_then(|()| file.sync_all());
        let named = written.and_then(|()| rename(folder, &unfinished, folder, name));
        if named.is_err() {
            if_there(fs::unlinkat(folder, &*unfinished, AtFlags::empty()))?;
        }
        named
    }

    /// Gives a file a name that is not used.
    ///
    /// # Errors
    /// `NotFound` where it is gone, `AlreadyExists` where the name is used, or it cannot be renamed.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let ((from_folder, from), (to_folder, to)) = (self.within(from)?, self.within(to)?);
        let from_folder = from_folder.as_ref().map_or(self.own.as_fd(), |folder| folder.as_fd());
        let to_folder = to_folder.as_ref().map_or(self.own.as_fd(), |folder| folder.as_fd());
        rename(from_folder, from, to_folder, to)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` where there is none, or it cannot be removed.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.own, name, AtFlags::empty())?)
    }

    /// A regular file; `None` where the name stands for nothing, or for something else.
    fn file(&self, name: &str) -> io::Result<Option<File>> {
        // A device may do something when it is opened.
        if self.stat(name)?.is_none_or(|stat| odd(&stat).is_some()) {
            return Ok(None);
        }
        let (folder, name) = self.within(name)?;
        let folder = folder.as_ref().map_or(self.own.as_fd(), |folder| folder.as_fd());
        let opened = match fs::openat(folder, name, OFlags::RDONLY | OPEN, Mode::empty()) {
            // It was replaced by a link since.
            Err(Errno::LOOP | Errno::NOENT | Errno::NXIO) => return Ok(None),
            opened => opened?,
        };
        let regular = kind(&fs::fstat(&opened)?) == FileType::RegularFile;
        Ok(regular.then(|| File::from(opened)))
    }

    fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        let (folder, name) = match self.within(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let folder = folder.as_ref().map_or(self.own.as_fd(), |folder| folder.as_fd());
        Ok(if_there(fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?)
    }

    /// The folder inside this one that a name leads into, and the rest of the name.
    fn within<'n>(&self, name: &'n str) -> io::Result<(Option<OwnedFd>, &'n str)> {
        let Some((folder, name)) = name.split_once('/') else { return Ok((None, name)) };
        match fs::openat(&self.own, folder, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(opened) => Ok((Some(opened), name)),
            Err(error) => {
                // Why it is none says more.
                self.is_folder(folder)?;
                Err(error.into())
            }
        }
    }
}

fn rename(from: BorrowedFd<'_>, name: &str, to: BorrowedFd<'_>, new: &str) -> io::Result<()> {
    match fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it, as of some shares.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            if if_there(fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW))?.is_some() {
                return Err(Errno::EXIST.into());
            }
            Ok(fs::renameat(from, name, to, new)?)
        }
        renamed => Ok(renamed?),
    }
}

fn if_there<T>(result: rustix::io::Result<T>) -> rustix::io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// What it is, where it is no file.
fn odd(stat: &Stat) -> Option<&'static str> {
    match kind(stat) {
        FileType::RegularFile => None,
        FileType::Symlink => Some(LINK),
        FileType::Directory => Some("a folder"),
        FileType::Fifo => Some("a pipe"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        FileType::Unknown => Some("no file of rows"),
    }
}

fn stand(stat: &Stat) -> Stand {
    let seconds = u64::try_from(stat.st_mtime).ok();
    let changed = seconds.and_then(|seconds| {
        let within = u32::try_from(stat.st_mtime_nsec).ok()?;
        UNIX_EPOCH.checked_add(Duration::new(seconds, within))
    });
    Stand { size: u64::try_from(stat.st_size).unwrap_or_default(), changed }
}
