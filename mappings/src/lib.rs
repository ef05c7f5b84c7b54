//! The words of the bus and the declarative mappings.
//!
//! Everything here is pure: documents in, values out. Nothing reads a file, a socket or a clock;
//! the time is always a parameter.

pub mod bounds;
pub mod domain;
pub mod mapping;
pub mod sla;

pub mod charset;
pub mod digits;
pub mod form;
pub mod json;
mod media_type;
pub mod multipart;
pub mod xml;

/// Stands in a text for what was no text in the character set that it came in: a noncharacter of Unicode, which no text
/// that is interchanged holds. Whatever it stands in cannot be read, and what stands beside it can.
pub const UNDECODABLE: char = '\u{fdd0}';
