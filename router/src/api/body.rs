//! The body of a request, read within its limit and within the memory that all bodies under way share.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt as _;
use mappings::bounds::Bounds;

use super::Problem;
use crate::listen::TooSlow;
use crate::reading::{Memory, Part, memory_of};
use crate::unpack;

/// How long a body waits for the memory that its document takes.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what is still coming of a body that is too large is read.
const LINGER: Duration = Duration::from_secs(2);
/// What is reserved for a body before it is read.
const FIRST: usize = 64 * 1024;

/// A body, and its part of the memory, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    /// The bytes as they came, where they came packed: a signature may be over these.
    pub(super) packed: Option<Vec<u8>>,
    /// None for an empty body.
    pub(super) part: Option<Part>,
}

/// Reads a body of at most `most` bytes. Memory is taken as it comes, so that one that is only announced takes none.
///
/// # Errors
/// 413 when it is larger, 408 when it is too slow, 400 when it breaks off, 503 when too much is under way already.
pub(super) async fn read(
    body: Body,
    headers: &HeaderMap,
    most: usize,
    memory: &Memory,
) -> Result<Whole, Problem> {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = said.and_then(|said| said.parse::<usize>().ok());
    let mut chunks = body.into_data_stream();
    if announced.is_some_and(|announced| announced > most) {
        // Who asks before sending is told before sending.
        if !headers.contains_key(header::EXPECT) {
            discard(&mut chunks, most).await;
        }
        return Err(too_large(said, most));
    }
    let mut bytes = Vec::with_capacity(announced.unwrap_or_default().min(FIRST));
    let mut part: Option<Part> = None;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| broken_off(&error))?;
        if bytes.len() + chunk.len() > most {
            drop((bytes, part));
            discard(&mut chunks, most).await;
            return Err(too_large(said, most));
        }
        let Some(more) = memory.more_now(bytes.len(), chunk.len()) else {
            drop((bytes, part));
            discard(&mut chunks, most).await;
            return Err(busy());
        };
        match &mut part {
            Some(part) => part.join(more),
            None => part = Some(more),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Whole { bytes, packed: None, part })
}

/// Unpacks a body that came in gzip or deflate, and takes its content encoding out of the headers. While it is unpacked, it
/// holds the largest size that is read of `room`; then its own size of `memory`.
///
/// # Errors
/// 415 for another encoding, 413 when it swells beyond the bounds, 400 when it is damaged, 503 when too much is under way.
pub(super) async fn unpacked(
    whole: Whole,
    headers: &mut HeaderMap,
    bounds: &Bounds,
    memory: &Memory,
    room: &Memory,
) -> Result<Whole, Problem> {
    let said: Vec<String> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    if said.is_empty() && !unpack::is_packed(&whole.bytes) {
        return Ok(whole);
    }
    let entering = room.enter(bounds.bytes);
    let _room = tokio::time::timeout(PATIENCE, entering).await.ok().flatten().ok_or_else(busy)?;
    let bytes = match unpack::unpack(&whole.bytes, Some(&said.join(", ")), bounds).map_err(unreadable)? {
        Cow::Borrowed(_) => return Ok(whole),
        Cow::Owned(bytes) => bytes,
    };
    headers.remove(header::CONTENT_ENCODING);
    let mut part = memory.enter_now(bytes.len()).ok_or_else(busy)?;
    if let Some(own) = whole.part {
        part.join(own);
    }
    Ok(Whole { bytes, packed: Some(whole.bytes), part: Some(part) })
}

fn unreadable(error: unpack::Error) -> Problem {
    let detail = error.to_string();
    match error {
        unpack::Error::Unknown { .. } | unpack::Error::Often { .. } => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Packed in an unknown way", detail)
                .with(header::ACCEPT_ENCODING, unpack::ACCEPTED)
        }
        unpack::Error::Damaged { .. } => Problem::new(StatusCode::BAD_REQUEST, "Cannot be unpacked", detail),
        unpack::Error::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large", detail),
    }
}

/// Takes the memory for the document of a body, waits for it a while, and gives the body back.
///
/// # Errors
/// 503 when others hold it for too long.
pub(super) async fn admit(
    body: Vec<u8>,
    bounds: Bounds,
    memory: &Memory,
) -> Result<(Vec<u8>, Part), Problem> {
    let length = body.len();
    let measure = move || {
        let needed = memory_of(&body, &bounds);
        (body, needed)
    };
    let entering = async {
        let (body, needed) = memory.read(length, measure).await;
        Some((body, memory.enter(needed).await?))
    };
    tokio::time::timeout(PATIENCE, entering).await.ok().flatten().ok_or_else(busy)
}

fn broken_off(error: &axum::Error) -> Problem {
    match too_slow(error) {
        Some(slow) => Problem::new(StatusCode::REQUEST_TIMEOUT, "Too slow", slow.to_string()),
        None => Problem::new(StatusCode::BAD_REQUEST, "Broken off", "the body ended before it was whole"),
    }
}

fn too_slow<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TooSlow> {
    error.downcast_ref().or_else(|| too_slow(error.source()?))
}

/// Reads what is still coming of a body that is too large, and keeps nothing of it: a caller who is cut off while sending
/// does not see the answer. It goes on for a moment and for as much again as may be sent.
async fn discard(chunks: &mut BodyDataStream, most: usize) {
    let mut left = most;
    let rest = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // However it ends, the answer is the same.
    let _ended = tokio::time::timeout(LINGER, rest).await;
}

fn too_large(said: Option<&str>, most: usize) -> Problem {
    let said = said.unwrap_or("unknown");
    let detail = format!("the body of {said} bytes is too large: expected {most} at most");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large", detail)
}

fn busy() -> Problem {
    metrics::counter!("dovetail_http_busy_total").increment(1);
    let detail = "too much is being read already; nothing was taken. Hint: send it again as Retry-After says";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", detail)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn status(body: impl Into<Body>, most: usize, memory: &Memory) -> Result<usize, u16> {
        let read = read(body.into(), &HeaderMap::new(), most, memory).await;
        read.map(|whole| whole.bytes.len()).map_err(|problem| problem.status.as_u16())
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_while_there_is_memory_for_it() {
        let memory = Memory::new(64 * 1024);
        assert_eq!(status(vec![0; 1000], 1000, &memory).await, Ok(1000));
        assert_eq!(status(vec![0; 1001], 1000, &memory).await, Err(413));
        let others = memory.enter(60 * 1024).await.expect("memory");
        assert_eq!(status(vec![0; 10_000], 1 << 20, &memory).await, Err(503));
        drop(others);
        assert_eq!(status(vec![0; 10_000], 1 << 20, &memory).await, Ok(10_000));
    }

    #[tokio::test]
    async fn a_body_holds_its_memory_as_long_as_it_is_there_and_one_that_is_only_announced_holds_none() {
        let memory = Memory::new(64 * 1024);
        let whole = read(vec![0; 60_000].into(), &HeaderMap::new(), 1 << 20, &memory).await.expect("read");
        assert_eq!(status(vec![0; 10_000], 1 << 20, &memory).await, Err(503));
        drop(whole);
        let announced = HeaderMap::from_iter([(header::CONTENT_LENGTH, "60000".parse().expect("a value"))]);
        let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let mut waiting = std::pin::pin!(read(never, &announced, 1 << 20, &memory));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert_eq!(status(vec![0; 60_000], 1 << 20, &memory).await, Ok(60_000));
    }

    #[tokio::test]
    async fn a_body_that_says_it_is_too_large_is_not_read_where_its_caller_waits_for_leave() {
        let announced = HeaderMap::from_iter([
            (header::CONTENT_LENGTH, "2000".parse().expect("a value")),
            (header::EXPECT, "100-continue".parse().expect("a value")),
        ]);
        let never = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let problem = read(never, &announced, 1000, &Memory::new(1 << 20)).await.expect_err("refused");
        assert_eq!(problem.detail, "the body of 2000 bytes is too large: expected 1000 at most");
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_read_to_its_end_so_that_its_caller_sees_the_answer() {
        let announced = HeaderMap::from_iter([(header::CONTENT_LENGTH, "1500".parse().expect("a value"))]);
        for headers in [HeaderMap::new(), announced] {
            let given = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&given);
            let chunks = futures::stream::repeat_with(move || {
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(vec![0; 100])
            });
            let body = Body::from_stream(chunks.take(15));
            let problem = read(body, &headers, 1000, &Memory::new(1 << 20)).await.expect_err("refused");
            assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert!(given.load(Ordering::Relaxed) >= 10, "{given:?}");
        }
    }
}
