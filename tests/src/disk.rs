//! A small disk that can be full.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of its own in memory, with room for a small ledger; it goes when this is dropped. Mounting it takes
/// root, as starting the services does.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// A disk with room for so many MiB.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn mount(size: usize) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}m"), "none"])
            .arg(folder.path()));
        Self { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filling(&self) -> PathBuf {
        self.path().join("filling")
    }

    /// Leaves no room on it.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.filling()).expect("a file");
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    /// Lets nobody write to it any more.
    pub fn take_no_writes(&self) {
        run(Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()));
    }

    /// Makes room on it again.
    pub fn clear(&self) {
        std::fs::remove_file(self.filling()).expect("it was full");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a program under test may still have the ledger open.
        run(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("it can be run");
    assert!(status.success() || std::thread::panicking(), "{command:?}: {status}");
}
