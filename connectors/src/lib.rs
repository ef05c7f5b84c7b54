//! Carries calls to back offices over HTTP and says what came of them; reads and moves files on SFTP servers.
//!
//! A [`Connector`] makes the calls that a mapping describes: one attempt each, never a second. What a
//! system answers, and every failure on the way to an answer, is a value, the [`Outcome`]; when to try
//! again is for others to decide. [`callback`] reads what systems send to us of their own accord, and [`sftp`] visits
//! the folder into which they put files.

pub mod callback;
mod carried;
mod classify;
mod connector;
mod draft;
mod exchange;
mod handshake;
mod mask;
mod outcome;
mod retry_after;
pub mod sftp;
pub mod simulator;
mod soap;
mod stored;
mod token;
mod walk;

pub use carried::Carried;
pub use connector::Connector;
pub use draft::preview;
pub use mask::hide;
pub use outcome::{Error, Gathered, Outcome, Performed, ReadFailure};

#[cfg(test)]
mod scripted;
