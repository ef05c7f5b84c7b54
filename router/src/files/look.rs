//! A look into the folder: which files are there, and which of them are whole.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::SystemTime;

use mappings::mapping::Files;

/// Endings of names that writers give to what they have not finished.
const UNFINISHED: &[&str] = &[".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", "~"];

/// How a file stood: while it is written, one of these changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) size: u64,
    changed: Option<SystemTime>,
}

impl Stand {
    /// How a file stands.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), changed: metadata.modified().ok() }
    }
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Every file of the system by its name.
    pub(super) all: HashMap<String, Stand>,
    /// Those that are whole, the oldest first.
    pub(super) whole: Vec<(String, Stand)>,
}

/// Looks for the system's files. One is whole when its marker stands beside it, or else when it stood the same at the
/// look before. A file without content is not looked at: it may be about to be written.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn look(folder: &Path, files: &Files, before: &HashMap<String, Stand>) -> io::Result<Looked> {
    let mut looked = Looked::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !files.takes(&name) || is_unfinished(&name, files.marker.as_deref()) {
            continue;
        }
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Another router was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let stand = Stand::of(&metadata);
        if !metadata.is_file() || stand.size == 0 {
            continue;
        }
        let whole = match &files.marker {
            Some(marker) => folder.join(format!("{name}{marker}")).exists(),
            None => before.get(&name) == Some(&stand),
        };
        if whole {
            looked.whole.push((name.clone(), stand));
        }
        looked.all.insert(name, stand);
    }
    looked.whole.sort_by(|(one, a), (other, b)| (a.changed, one).cmp(&(b.changed, other)));
    Ok(looked)
}

fn is_unfinished(name: &str, marker: Option<&str>) -> bool {
    let lower = name.to_lowercase();
    name.starts_with('.')
        || UNFINISHED.iter().any(|ending| lower.ends_with(ending))
        || marker.is_some_and(|marker| name.ends_with(marker))
}
