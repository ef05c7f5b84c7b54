//! The fail points of a release build: none. Every function is empty and leaves no trace in the program.

use super::{Injected, Point, Write};

/// Does nothing: there is nothing to arm.
///
/// # Errors
/// Never.
#[inline(always)]
pub fn arm() -> Result<(), String> {
    Ok(())
}

/// Does nothing.
#[inline(always)]
pub async fn hit(_point: Point) {}

/// Gives the write back as it is.
#[inline(always)]
pub fn during<F: Future>(_write: Write, future: F) -> F {
    future
}

/// Gives the writes back as they are.
#[inline(always)]
pub fn during_all<F: Future>(_writes: &[Write], future: F) -> F {
    future
}

/// Does nothing.
///
/// # Errors
/// Never.
#[inline(always)]
pub async fn before_commit() -> Result<(), Injected> {
    Ok(())
}

/// Does nothing.
///
/// # Errors
/// Never.
#[inline(always)]
pub async fn after_commit() -> Result<(), Injected> {
    Ok(())
}

/// Gives the call back as it is.
#[inline(always)]
pub fn sent<F: Future>(call: F) -> F {
    call
}

/// Never: a delivery is acknowledged after the ledger has it.
#[inline(always)]
pub fn acknowledges_first() -> bool {
    false
}

/// Does nothing.
#[inline(always)]
pub fn reading(_body: &[u8]) {}
