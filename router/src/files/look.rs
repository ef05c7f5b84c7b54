//! A look into the folder: which files are there, and which of them are whole.

use std::collections::{HashMap, HashSet};
use std::io;

use jiff::{SignedDuration, Timestamp};
use mappings::mapping::Files;

use super::visit::{Found, Stand, Visit};

/// How long a file without content may be one that is about to be written.
const ABOUT_TO_BE_WRITTEN: SignedDuration = SignedDuration::from_hours(1);

/// How a file stood, and since when it was seen to stand so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) stand: Stand,
    since: Timestamp,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Every file of the system by its name.
    pub(super) all: HashMap<String, Seen>,
    /// Those that are whole, the oldest first.
    pub(super) whole: Vec<(String, Stand)>,
    /// What has the name of a file of the system and is none that can be read.
    pub(super) odd: Vec<Found>,
}

/// Looks for the system's files. One is whole when its marker stands beside it, or else when it stood the same at the
/// look before; without content, when it stood so for an hour.
///
/// # Errors
/// The folder cannot be read.
pub(super) async fn look(
    visit: &Visit,
    files: &Files,
    before: &HashMap<String, Seen>,
    now: Timestamp,
) -> io::Result<Looked> {
    let mut looked = Looked::default();
    let there = visit.files().await?;
    let names: HashSet<&str> = there.iter().map(|found| found.name.as_str()).collect();
    for found in &there {
        let Found { name, stand, odd } = found;
        if !files.takes(name) {
            continue;
        }
        if odd.is_some() {
            looked.odd.push(found.clone());
            continue;
        }
        let same = before.get(name).filter(|seen| seen.stand == *stand);
        let seen = same.copied().unwrap_or(Seen { stand: *stand, since: now });
        let whole = match &files.marker {
            Some(marker) => names.contains(format!("{name}{marker}").as_str()),
            None if stand.size == 0 => now.duration_since(seen.since) >= ABOUT_TO_BE_WRITTEN,
            None => same.is_some(),
        };
        if whole {
            looked.whole.push((name.clone(), *stand));
        }
        looked.all.insert(name.clone(), seen);
    }
    looked.whole.sort_by(|(one, a), (other, b)| (a.changed, one).cmp(&(b.changed, other)));
    Ok(looked)
}
