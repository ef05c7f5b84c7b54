//! What can go wrong with the broker; all of it is infrastructure, so all of it is tried again.

use std::time::Duration;

use super::Queue;

/// Why the broker could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one of a broker. It is not shown, since it holds a password.
    #[error(
        "the address of the broker cannot be read; expected amqp://user:password@host:5672/%2f or amqps://…"
    )]
    Address,
    /// A name is longer than AMQP allows.
    #[error("{found:?}… is longer than the 255 bytes that AMQP allows for a name")]
    Name {
        /// Its first 40 characters.
        found: String,
    },
    /// The broker refused, or the connection broke.
    #[error("{doing}: {source}")]
    Broker {
        /// What was being done.
        doing: &'static str,
        /// The client's or the broker's words.
        source: lapin::Error,
    },
    /// No answer came.
    #[error("{doing}: no answer within {after:?}")]
    TimedOut {
        /// What was being done.
        doing: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended without a word.
    #[error("the connection is gone")]
    Gone,
    /// The broker cancelled the consumer, as it does when the queue is deleted.
    #[error("the consumer of the {queue} queue is gone")]
    ConsumerGone {
        /// Which.
        queue: Queue,
    },
    /// No queue is bound for the message.
    #[error("the broker returned the message: {code} {text}")]
    Returned {
        /// The AMQP reply code, for example 312.
        code: u16,
        /// The broker's words, for example `NO_ROUTE`.
        text: String,
    },
    /// The broker would not take the message.
    #[error("the broker refused to store the message")]
    Nacked,
}

impl Error {
    /// Whether the client could not read what the broker sent.
    ///
    /// One message whose properties or header names are not UTF-8 is enough, and it ends the connection.
    pub(super) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Broker { source, .. } if matches!(source.kind(), lapin::ErrorKind::ParsingError(_)))
    }
}

/// Waits for an answer of the broker, but not for ever: the client alone would.
pub(super) async fn within<T>(
    timeout: Duration,
    doing: &'static str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(Error::Broker { doing, source }),
        Err(_) => Err(Error::TimedOut { doing, after: timeout }),
    }
}
