//! What is left beside a file that was taken: its receipt, and the file itself in another folder.

use std::io;

use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::BadRow;
use serde_json::{Value, json};

use super::visit::{Stand, Visit};

/// Where files go of which at least one row was taken.
const DONE: &str = "done";
/// Where files go of which nothing, or not all, could be read.
const REFUSED: &str = "refused";
/// Where receipts go.
const RECEIPTS: &str = "receipts";
/// The folders that we make.
pub(super) const FOLDERS: [&str; 3] = [DONE, REFUSED, RECEIPTS];
/// How many bad rows a receipt names.
const MOST_NAMED: usize = 1_000;

/// Where a row stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// Which of the rows it is.
    pub(super) row: u64,
    /// The line that it begins in.
    pub(super) line: u64,
}

/// What became of a file and its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) system: SystemName,
    pub(super) file: String,
    pub(super) size: u64,
    pub(super) digest: String,
    /// When it was read.
    pub(super) at: Timestamp,
    /// Rows that are news.
    pub(super) taken: u64,
    /// Rows that the ledger had already.
    pub(super) known: u64,
    /// Rows that are others' work.
    pub(super) passed_over: u64,
    /// Rows that could not be taken.
    pub(super) bad: u64,
    /// The first of those.
    pub(super) bad_rows: Vec<(Spot, BadRow)>,
    /// From where on it could not be read.
    pub(super) broken: Option<(u64, BadRow)>,
}

impl Account {
    /// Counts a row that could not be taken.
    pub(super) fn add_bad(&mut self, spot: Spot, bad: BadRow) {
        self.bad += 1;
        if self.bad_rows.len() < MOST_NAMED {
            self.bad_rows.push((spot, bad));
        }
    }

    /// How many of its rows were news.
    pub(super) fn news(&self) -> usize {
        usize::try_from(self.taken).unwrap_or(usize::MAX)
    }

    /// Whether it is set aside: broken off, or without any row that could be taken.
    pub(super) fn is_refused(&self) -> bool {
        self.broken.is_some() || (self.bad > 0 && self.taken + self.known + self.passed_over == 0)
    }

    /// What a person is told of it, with the line of the first trouble; `None` where there is none.
    pub(super) fn trouble(&self) -> Option<(String, String)> {
        let Self { file, taken, known, passed_over, bad, .. } = self;
        if let Some((line, BadRow { found, expected })) = &self.broken {
            let read = taken + known;
            let reason = format!(
                "{file} could not be read from line {line} on: found {found}; expected {expected}; {read} rows before \
                 it were taken, and the file is in {REFUSED}"
            );
            return Some((format!("line {line}"), reason));
        }
        let (Spot { line, .. }, BadRow { found, expected }) = self.bad_rows.first()?;
        let rows = taken + known + passed_over + bad;
        let aside = if self.is_refused() { format!(", and the file is in {REFUSED}") } else { String::new() };
        let reason = format!(
            "{bad} of {rows} rows of {file} could not be taken{aside}; the first: found {found}; expected {expected}; \
             its receipt names each"
        );
        Some((format!("line {line}"), reason))
    }

    fn receipt(&self, moved_to: &str) -> Value {
        let place =
            |(line, bad): &(u64, BadRow)| json!({"line": line, "found": bad.found, "expected": bad.expected});
        let row = |(Spot { row, line }, bad): &(Spot, BadRow)| json!({"row": row, "line": line, "found": bad.found, "expected": bad.expected});
        json!({
            "file": self.file, "system": self.system.as_str(), "read_at": self.at.to_string(), "size": self.size,
            "sha256": self.digest, "rows": self.taken + self.known + self.passed_over + self.bad, "taken": self.taken,
            "known_already": self.known, "passed_over": self.passed_over, "bad": self.bad, "bad_rows": self.bad_rows.iter().map(row).collect::<Vec<_>>(),
            "broken_off": self.broken.as_ref().map(place), "moved_to": moved_to,
        })
    }
}

/// Where a file is after [`settle`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// In this folder, under this name.
    Moved(String),
    /// Another router, where files cannot be locked, was quicker.
    Gone,
    /// It was written again in the last moment, and is where it was.
    Changed,
}

/// Writes the receipt of a file whose rows the ledger has all, and moves the file. A name that is used already gets a
/// number, whatever has it; the receipt of the same file, written before a router died, is left as it is.
///
/// # Errors
/// Nothing can be written or moved there. What was done so far is done again without harm.
pub(super) async fn settle(
    visit: &Visit,
    account: &Account,
    stand: Stand,
    marker: Option<&str>,
) -> io::Result<Settled> {
    for name in FOLDERS {
        visit.make_folder(name).await?;
    }
    for number in 1_u32.. {
        let name = if number == 1 { account.file.clone() } else { format!("{}.{number}", account.file) };
        let receipt = format!("{RECEIPTS}/{name}.receipt.json");
        if visit.has(&format!("{DONE}/{name}")).await? || visit.has(&format!("{REFUSED}/{name}")).await? {
            continue;
        }
        let place = if account.is_refused() { REFUSED } else { DONE };
        let moved_to = format!("{place}/{name}");
        let mut before = visit.read(&receipt).await?;
        if before.is_none() {
            match visit.stand(&account.file).await? {
                None => return Ok(Settled::Gone),
                Some(now) if now != stand => return Ok(Settled::Changed),
                Some(_) => {}
            }
            let content = format!("{:#}\n", account.receipt(&moved_to)).into_bytes();
            match visit.write(&receipt, content).await {
                // Another router wrote one just now, perhaps of the same file.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    before = visit.read(&receipt).await?;
                }
                written => written?,
            }
        }
        if before.is_some_and(|before| !is_of(&before, &account.digest)) {
            continue;
        }
        match visit.rename(&account.file, &moved_to).await {
            Ok(true) => {}
            Ok(false) => return Ok(Settled::Gone),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        if visit.stand(&moved_to).await? != Some(stand) {
            // Something else had its name in the last moment: nobody has read that.
            visit.rename(&moved_to, &account.file).await?;
            return Ok(Settled::Changed);
        }
        if let Some(marker) = marker {
            visit.remove(&format!("{}{marker}", account.file)).await?;
        }
        return Ok(Settled::Moved(moved_to));
    }
    Ok(Settled::Gone)
}

fn is_of(receipt: &[u8], digest: &str) -> bool {
    let receipt: Value = serde_json::from_slice(receipt).unwrap_or_default();
    receipt["sha256"].as_str() == Some(digest)
}
