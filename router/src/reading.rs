//! What may be read at once: bodies under way and the trees that are built of them take a bounded memory.

use std::borrow::Cow;
use std::sync::Arc;

use mappings::bounds::Bounds;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// A bounded memory. Who wants some of it waits for its turn, or is told that there is none now.
#[derive(Debug, Clone)]
pub struct Memory {
    free: Arc<Semaphore>,
    whole: u32,
}

/// A part of a [`Memory`] that is taken until this is dropped.
#[derive(Debug)]
pub struct Part(OwnedSemaphorePermit);

/// The memory is counted in these, since a semaphore cannot count every byte of a large one.
const UNIT: usize = 1024;

impl Memory {
    /// A memory of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let whole = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).clamp(1, u32::MAX / 8);
        Self { free: Arc::new(Semaphore::new(usize::try_from(whole).unwrap_or(1))), whole }
    }

    /// Takes so many bytes when they are free, in the order of asking. What is larger than the whole takes the whole.
    pub async fn enter(&self, bytes: usize) -> Option<Part> {
        let free = Arc::clone(&self.free);
        free.acquire_many_owned(self.units(bytes)).await.ok().map(Part)
    }

    /// Takes so many bytes if they are free now and nobody waits.
    pub fn enter_now(&self, bytes: usize) -> Option<Part> {
        let free = Arc::clone(&self.free);
        free.try_acquire_many_owned(self.units(bytes)).ok().map(Part)
    }

    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.whole)
    }
}

impl Part {
    /// Adds another part of the same memory.
    pub fn join(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

/// About how much memory the document of a body takes beside the body: nothing where it exceeds the bounds, since it is
/// not built then.
pub fn memory_of(body: &[u8], bounds: &Bounds) -> usize {
    let text = match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(mappings::charset::decode(body, None).unwrap_or_default()),
    };
    bounds.measure(&text).map_or(0, |extent| extent.memory())
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

    #[test]
    fn the_memory_of_a_document_is_told_by_its_values_and_of_one_that_is_not_built_is_none() {
        let bounds = Bounds::default();
        let lists = |count: usize| format!("[{}0]", "[],".repeat(count)).into_bytes();
        assert!(memory_of(&lists(50_000), &bounds) > 10_000_000);
        assert_eq!(memory_of(&lists(200_000), &bounds), 0);
        assert_eq!(memory_of(b"\xff", &bounds), 0);
    }
}
