//! What may be read at once: bodies under way and the trees that are built of them take a bounded memory.

use std::borrow::Cow;
use std::sync::Arc;

use mappings::bounds::Bounds;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::unpack;

/// `[reading]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// The most levels of a document.
    pub max_depth: usize,
    /// The most values of a document.
    pub max_values: usize,
    /// The memory for documents that are read at once, in bytes.
    pub memory_bytes: usize,
}

impl Reading {
    /// The parser of JSON goes no deeper.
    const DEEPEST: usize = 127;

    /// The bounds of a body of fewer than `bytes`.
    pub fn bounds(&self, bytes: usize) -> Bounds {
        Bounds { bytes, depth: self.max_depth.min(Self::DEEPEST), nodes: self.max_values }
    }
}

/// A bounded memory. Who wants some of it waits for its turn, or is told that there is none now. What is small has a quarter
/// as much again for itself, so that it never waits for what is large.
#[derive(Debug, Clone)]
pub struct Memory {
    free: Arc<Semaphore>,
    whole: u32,
    for_small: Arc<Semaphore>,
    /// The turns of large texts to be read.
    turns: Arc<Semaphore>,
}

/// A part of a [`Memory`] that is taken until this is dropped.
#[derive(Debug)]
pub struct Part(Vec<OwnedSemaphorePermit>);

/// The memory is counted in these, since a semaphore cannot count every byte of a large one.
const UNIT: usize = 1024;
/// Small is what takes this part of the whole at most: of the default 256 KiB, where a usual request takes 20.
const SMALL: u32 = 512;
/// A text of so many bytes takes longer to read than others can wait for.
const LONG: usize = 64 * 1024;

impl Memory {
    /// A memory of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let whole = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).clamp(1, u32::MAX / 8);
        let semaphore = |count: u32| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(1)));
        // One core is left to what goes on beside.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let turns = Arc::new(Semaphore::new(cores.saturating_sub(1).max(1)));
        Self { free: semaphore(whole), whole, for_small: semaphore(whole / 4), turns }
    }

    /// Takes so many bytes when they are free, in the order of asking. What is larger than the whole takes the whole.
    pub async fn enter(&self, bytes: usize) -> Option<Part> {
        let units = self.units(bytes);
        let from = if units <= self.whole / SMALL { &self.for_small } else { &self.free };
        Arc::clone(from).acquire_many_owned(units).await.ok().map(|permit| Part(vec![permit]))
    }

    /// Takes so many bytes if they are free now and nobody waits.
    pub fn enter_now(&self, bytes: usize) -> Option<Part> {
        self.more_now(0, bytes)
    }

    /// Takes so many bytes likewise, for what has taken `so_far` already.
    pub fn more_now(&self, so_far: usize, bytes: usize) -> Option<Part> {
        let units = self.units(bytes);
        let small = (self.units(so_far + bytes) <= self.whole / SMALL)
            .then(|| Arc::clone(&self.for_small).try_acquire_many_owned(units).ok());
        let taken = small.flatten().or_else(|| Arc::clone(&self.free).try_acquire_many_owned(units).ok());
        taken.map(|permit| Part(vec![permit]))
    }

    /// Reads a text of so many bytes. What is long to read is read apart, in turn with others of its kind: meanwhile all
    /// else goes on.
    pub async fn read<T: Send + 'static>(
        &self,
        bytes: usize,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if bytes < LONG {
            return read();
        }
        // The turns are never closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read()
        });
        match reading.await {
            Ok(read) => read,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Nobody breaks it off but the end of the process.
                Err(_ended) => std::future::pending().await,
            },
        }
    }

    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.whole)
    }
}

impl Part {
    /// Adds another part of the same memory.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// About how much memory the document of a body takes beside the body: nothing where it exceeds the bounds, since it is
/// not built then.
pub fn memory_of(body: &[u8], bounds: &Bounds) -> usize {
    let (text, copied) = match std::str::from_utf8(body) {
        Ok(text) => (Cow::Borrowed(text), 0),
        Err(_) => {
            let decoded = mappings::charset::decode(body, None);
            // In a character set that only a label names, brackets and quotes are where they are in ASCII.
            let text = decoded.map_or_else(|_| String::from_utf8_lossy(body), Cow::Owned);
            let copied = text.len();
            (text, copied)
        }
    };
    bounds.measure(&text).map_or(0, |extent| extent.memory() + copied)
}

/// The same of a body that came packed as `said`, and of what comes out of it.
pub fn memory_of_packed(body: &[u8], said: Option<&str>, bounds: &Bounds) -> usize {
    match unpack::unpack(body, said, bounds) {
        Ok(Cow::Borrowed(body)) => memory_of(body, bounds),
        Ok(Cow::Owned(whole)) => whole.len() + memory_of(&whole, bounds),
        // It is given up at the bound, and nothing of it is kept but its beginning.
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_is_in_the_room_than_it_holds_and_those_who_wait_come_in_in_their_order() {
        let memory = Memory::new(10 * UNIT);
        let first = memory.enter(8 * UNIT).await.expect("memory");
        assert!(memory.enter_now(4 * UNIT).is_none());
        let mut second = std::pin::pin!(memory.enter(100 * UNIT));
        assert!(
            futures::poll!(second.as_mut()).is_pending(),
            "larger than the whole, it waits for the whole"
        );
        assert!(memory.enter_now(UNIT).is_none(), "nobody passes who waits");
        drop(first);
        let second = second.await.expect("memory");
        assert!(memory.enter_now(1).is_none());
        drop(second);
        let mut part = memory.enter_now(UNIT).expect("memory");
        part.join(memory.enter_now(9 * UNIT).expect("memory"));
        assert!(memory.enter_now(1).is_none());
    }

    #[tokio::test]
    async fn what_is_small_waits_for_nothing_large() {
        let memory = Memory::new(1024 * UNIT);
        let _large = memory.enter(2000 * UNIT).await.expect("memory");
        assert!(memory.enter_now(3 * UNIT).is_none());
        let mut small = Vec::new();
        for _ in 0..128 {
            small.push(memory.enter(2 * UNIT).await.expect("memory"));
        }
        assert!(memory.enter_now(2 * UNIT).is_none(), "it has an end, too");
        drop(small);
        let _first = memory.more_now(0, 2 * UNIT).expect("small so far");
        assert!(memory.more_now(2 * UNIT, UNIT).is_none(), "with more it is large");
    }

    #[tokio::test]
    async fn what_is_long_to_read_is_read_apart_in_turn_and_what_is_short_beside_it() {
        let memory = Memory::new(1024 * UNIT);
        let (begun, wait) = std::sync::mpsc::channel::<()>();
        let cores = std::thread::available_parallelism().expect("cores").get();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        let mut long = Vec::new();
        for _ in 0..cores.saturating_sub(1).max(1) {
            let (begun, ended) = (begun.clone(), Arc::clone(&ended));
            let mut reading = Box::pin(memory.read(LONG, move || {
                begun.send(()).expect("sent");
                ended.lock().expect("the end").recv().expect("the end");
            }));
            assert!(futures::poll!(reading.as_mut()).is_pending());
            long.push(reading);
        }
        for _ in &long {
            wait.recv().expect("it is being read");
        }
        let mut next = Box::pin(memory.read(LONG, || 7));
        assert!(futures::poll!(next.as_mut()).is_pending(), "every turn is taken");
        assert_eq!(memory.read(LONG - 1, || 7).await, 7);
        for _ in &long {
            end.send(()).expect("sent");
        }
        for reading in long {
            reading.await;
        }
        assert_eq!(next.await, 7);
    }

    #[test]
    fn the_memory_of_a_document_is_told_by_its_values_and_of_one_that_is_not_built_is_none() {
        let bounds = Bounds::default();
        let lists = |count: usize| format!("[{}0]", "[],".repeat(count)).into_bytes();
        assert!(memory_of(&lists(50_000), &bounds) > 10_000_000);
        assert_eq!(memory_of(&lists(200_000), &bounds), 0);
        assert_eq!(memory_of(b"\xff", &bounds), 300 + "\u{fffd}".len());
        assert!(memory_of(&[b"[\"caf\xe9\",".as_slice(), &lists(50_000)].concat(), &bounds) > 10_000_000);
    }
}
