//! Takes completions from files that systems put into a folder, on this machine or on an SFTP server.
//!
//! A file is left alone until it is whole, read as a stream, and moved only after the ledger has all of its rows: a
//! router that dies before that leaves it where it is, and what is read again is recognised row by row. For the time of
//! reading, a file is locked, so that several routers may look into one folder; where there are no locks, as on a server,
//! they read the same rows, which count once.

mod folder;
mod kind;
mod look;
mod markup;
mod receipt;
mod records;
mod rows;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod trailer;
mod trouble;
mod visit;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{self, BadRow, Catalogue, Files, Orphans, Report, System};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::look::{Looked, Seen};
use self::receipt::{Account, Settled, Spot};
use self::rows::{End, Row};
pub use self::settings::{Bounds, Settings};
use self::trouble::Fault;
use self::visit::{Stand, Visit};
use crate::clock::Clock;
use crate::complete::{self, LOOK, Step};
use crate::ledger::{Activity, Correlated, Ledger, PollFailure, Way, Writer};
use crate::rounds::Rounds;

/// How many rows are given to the ledger at once.
const AT_ONCE: usize = 500;

/// Looks into the folder of one system.
pub struct Watcher {
    catalogue: Arc<Catalogue>,
    system: SystemName,
    writer: Writer,
    clock: Clock,
    bounds: Bounds,
    /// How the files stood at the last look.
    seen: HashMap<String, Seen>,
    /// What a person was told of at the last look; it is not told again while it lasts.
    told: HashSet<String>,
    /// Files that were taken and could not be moved: they are not read again as long as they stand so.
    stuck: HashMap<String, (Stand, Account)>,
    next_at: Option<Timestamp>,
    ledger: Arc<dyn Ledger>,
    /// The last look failed, as far as it is known to this router.
    is_failing: bool,
}

/// The source of what could not be taken from a system's files, in the list of what waits for a person.
pub fn source(system: &SystemName) -> String {
    format!("/systems/{system}/files")
}

/// Whether a folder can be read, and files moved into the folders within it.
///
/// # Errors
/// Why it cannot.
pub async fn reach(files: &Files) -> io::Result<()> {
    let Some(folder) = &files.folder else { return Ok(()) };
    let visit = Visit::start(files, folder).await?;
    visit.files().await?;
    for name in receipt::FOLDERS {
        visit.is_folder(name).await?;
    }
    Ok(())
}

impl Watcher {
    /// A watcher of a system that tells by files, and the pause between two looks; `None` where it does not, or where
    /// its folder is not named.
    pub fn new(
        catalogue: &Arc<Catalogue>,
        system: &System,
        (ledger, writer): (Arc<dyn Ledger>, Writer),
        clock: Clock,
        bounds: Bounds,
    ) -> Option<(Self, Duration)> {
        let files = system.files.as_ref().filter(|files| files.folder.is_some())?;
        let watcher = Self {
            catalogue: Arc::clone(catalogue),
            system: system.name.clone(),
            writer,
            clock,
            bounds,
            seen: HashMap::new(),
            told: HashSet::new(),
            stuck: HashMap::new(),
            next_at: None,
            ledger,
            is_failing: true,
        };
        Some((watcher, files.every))
    }

    /// Looks until shutdown, as often as `every` says.
    pub async fn run(mut self, every: Duration, shutdown: CancellationToken) {
        let mut rounds = Rounds::looking(every, LOOK, shutdown);
        while rounds.next().await {
            // Nothing is lost by breaking it off: the file stays, and what was taken of it is recognised.
            if let Some(Err(error)) = rounds.unless_ended(self.look(every)).await {
                metrics::counter!("dovetail_polls_failed_total", "system" => self.system.to_string())
                    .increment(1);
                tracing::warn!(system = %self.system, error = format!("{error:#}"), "the files of the system could not be taken");
            }
        }
    }

    /// Looks once, if it is time, and takes what is whole.
    ///
    /// # Errors
    /// The folder or the ledger failed; the files stay where they are.
    pub async fn look(&mut self, every: Duration) -> anyhow::Result<Step> {
        let now = self.clock.now();
        if self.next_at.is_some_and(|next_at| now < next_at) {
            return Ok(Step::Idle);
        }
        self.next_at = Some(now + every);
        let looked = self.look_now(now).await;
        match &looked {
            Err(error) => {
                let failure = PollFailure::new(&format!("{error:#}"), false);
                self.ledger.keep_failure(&self.system, Activity::Files, &failure, now).await?;
                self.is_failing = true;
            }
            // Each router has its own way to the folder: it ends what it told, and what was told before it started.
            Ok(_) if self.is_failing => {
                self.ledger.end_failure(&self.system, Activity::Files).await?;
                self.is_failing = false;
            }
            Ok(_) => {}
        }
        looked
    }

    async fn look_now(&mut self, now: Timestamp) -> anyhow::Result<Step> {
        let catalogue = Arc::clone(&self.catalogue);
        let files = catalogue.system(&self.system).and_then(|system| system.files.as_ref());
        let files = files.context("its mapping names no files")?;
        let folder = files.folder.as_deref().context("its mapping names no folder")?;
        let cannot = || format!("the folder {} cannot be read", files.place().unwrap_or_default());
        let visit = Visit::start(files, folder).await.with_context(cannot)?;
        let looked = look::look(&visit, files, &self.seen, now).await.with_context(cannot)?;
        let Looked { all, whole, odd } = looked;
        self.seen = all;
        self.stuck.retain(|name, (stand, _)| self.seen.get(name).is_some_and(|seen| seen.stand == *stand));
        let (mut taken, mut failure, mut troubles) = (0, None, Vec::new());
        for found in odd {
            let Some(what) = found.odd else { continue };
            troubles.push((found.name, found.stand, trouble::odd(what)));
        }
        for (name, stand) in whole {
            let fault = match self.take(&visit, files, &name, stand).await {
                Ok(rows) => {
                    taken += rows;
                    continue;
                }
                Err(Fault::Ours(error)) => error,
                Err(Fault::OfFile(trouble)) => {
                    let fault = anyhow::anyhow!("{trouble}");
                    troubles.push((name.clone(), stand, trouble));
                    fault
                }
            };
            failure = Some(fault.context(format!("{name} stays in the folder")));
        }
        self.tell_of_left(troubles).await?;
        failure.map_or(Ok(Step::Done(taken)), Err)
    }

    /// Takes one file, and says how many of its rows were news.
    async fn take(&mut self, visit: &Visit, files: &Files, name: &str, stand: Stand) -> Result<usize, Fault> {
        if let Some((_, account)) = self.stuck.remove(name) {
            return self.settle(visit, files, account, stand).await;
        }
        if stand.size > self.bounds.largest {
            return Err(trouble::too_large(stand.size, self.bounds.largest));
        }
        let file = match visit.open(name, stand.size, &self.bounds).await {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(0),
            Err(error) => {
                // Where the server is gone, nothing is the matter with the file.
                visit.stand(name).await?;
                return Err(trouble::unreadable(&error));
            }
        };
        // Another had it since it was looked at, or writes on.
        if visit.stand(name).await? != Some(stand) {
            return Ok(0);
        }
        let file = Arc::new(file);
        let (mut account, last) = self.read(name, stand, &file).await?;
        // It is written on after all; the rest of its rows is heard when it is read again, and the others are recognised.
        if visit.stand(name).await? != Some(stand) {
            return Ok(account.news());
        }
        self.take_rows(last, &mut account).await?;
        self.tell(&account, stand).await?;
        // The file stays locked until it is moved.
        self.settle(visit, files, account, stand).await
    }

    async fn settle(
        &mut self,
        visit: &Visit,
        files: &Files,
        account: Account,
        stand: Stand,
    ) -> Result<usize, Fault> {
        match receipt::settle(visit, &account, stand, files.marker.as_deref()).await {
            Ok(Settled::Gone | Settled::Changed) => Ok(account.news()),
            Ok(Settled::Moved(moved_to)) => {
                let end = if account.is_refused() { "refused" } else { "done" };
                metrics::counter!("dovetail_files_total", "system" => self.system.to_string(), "end" => end)
                    .increment(1);
                tracing::info!(
                    system = %self.system, file.name = account.file, file.moved_to = moved_to, rows.taken = account.taken,
                    rows.known = account.known, rows.passed_over = account.passed_over, rows.bad = account.bad, "a file was taken"
                );
                Ok(account.news())
            }
            Err(error) => {
                let name = account.file.clone();
                self.stuck.insert(name, (stand, account));
                Err(trouble::unmoved(&error))
            }
        }
    }

    /// Reads a file and has the ledger take its rows, some at a time, but for the last: they may be half written.
    async fn read(&self, name: &str, stand: Stand, file: &Arc<File>) -> Result<(Account, Vec<Row>), Fault> {
        let mut account = Account {
            system: self.system.clone(),
            file: name.to_owned(),
            size: stand.size,
            digest: String::new(),
            at: self.clock.now(),
            taken: 0,
            known: 0,
            passed_over: 0,
            bad: 0,
            bad_rows: Vec::new(),
            broken: None,
        };
        let (catalogue, system, file) = (Arc::clone(&self.catalogue), self.system.clone(), Arc::clone(file));
        let (rows, mut to_take) = mpsc::channel(2);
        let reading = tokio::task::spawn_blocking(move || give(&catalogue, &system, &file, &rows));
        while let Some(rows) = to_take.recv().await {
            self.take_rows(rows, &mut account).await?;
        }
        let read = reading.await.map_err(anyhow::Error::from)?;
        let (End { digest, broken }, last) = read.map_err(|error| trouble::unreadable(&error))?;
        account.digest = digest;
        account.broken = broken;
        Ok((account, last))
    }

    async fn take_rows(&self, rows: Vec<Row>, account: &mut Account) -> anyhow::Result<()> {
        let mut good: Vec<(Spot, Report)> = Vec::with_capacity(rows.len());
        for Row { line, number, said } in rows {
            let spot = Spot { row: number, line };
            match said {
                Ok(mapping::Row::Says(reports)) => {
                    good.extend(reports.into_iter().map(|report| (spot, report)));
                }
                Ok(mapping::Row::PassedOver) => account.passed_over += 1,
                Err(bad) => account.add_bad(spot, bad),
            }
        }
        let taking = good.into_iter().map(async |(spot, report)| {
            let completion = complete::completion(&self.system, report, Way::File, account.at);
            complete::take(&self.writer, completion).await.map(|correlated| (spot, correlated))
        });
        let system = self.catalogue.system(&self.system);
        let leaves_orphans = system.is_some_and(|system| system.orphans == Orphans::OfOthers);
        // A row that names several tickets counts once.
        let mut counted = None;
        for (spot, correlated) in futures::future::try_join_all(taking).await? {
            if correlated.is_some() && counted.replace(spot.row) == Some(spot.row) {
                continue;
            }
            match correlated {
                None => {
                    account.add_bad(spot, BadRow::new("what the ledger cannot hold", "plain text"));
                }
                Some(Correlated::Duplicate) => account.known += 1,
                Some(Correlated::Waiting) if leaves_orphans => account.passed_over += 1,
                Some(
                    Correlated::Applied | Correlated::Superseded | Correlated::Held | Correlated::Waiting,
                ) => account.taken += 1,
            }
        }
        Ok(())
    }
}

/// Reads the rows of a file and sends them on, until nobody takes them any more; returns the last of them.
fn give(
    catalogue: &Catalogue,
    system: &SystemName,
    file: &File,
    to: &mpsc::Sender<Vec<Row>>,
) -> io::Result<(End, Vec<Row>)> {
    let files = catalogue.system(system).and_then(|system| system.files.as_ref());
    let files = files.ok_or_else(|| io::Error::other("its mapping names no files"))?;
    let mut some = Vec::with_capacity(AT_ONCE);
    let end = rows::read(file, files, |row| {
        let full = some.len() == AT_ONCE;
        let wanted = !full || to.blocking_send(std::mem::take(&mut some)).is_ok();
        some.push(row);
        wanted
    })?;
    Ok((end, some))
}
