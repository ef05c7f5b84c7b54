//! A look into the folder: which files are there, and which of them are whole.

use std::collections::{HashMap, HashSet};
use std::io;

use mappings::mapping::Files;

use super::visit::{Stand, Visit};

/// Endings of names that writers give to what they have not finished.
const UNFINISHED: &[&str] = &[".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", "~"];

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
pub(super) async fn look(
    visit: &Visit,
    files: &Files,
    before: &HashMap<String, Stand>,
) -> io::Result<Looked> {
    let mut looked = Looked::default();
    let there = visit.files().await?;
    let names: HashSet<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
    for (name, stand) in &there {
        if !files.takes(name) || is_unfinished(name, files.marker.as_deref()) || stand.size == 0 {
            continue;
        }
        let whole = match &files.marker {
            Some(marker) => names.contains(format!("{name}{marker}").as_str()),
            None => before.get(name) == Some(stand),
        };
        if whole {
            looked.whole.push((name.clone(), *stand));
        }
        looked.all.insert(name.clone(), *stand);
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
