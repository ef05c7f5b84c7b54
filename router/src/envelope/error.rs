//! Why a message is not an event.

use mappings::bounds::Excess;
use mappings::charset::Undecodable;

use crate::unpack;

/// Why a body or its headers cannot be read as CloudEvents 1.0: where, what was found, what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Larger than what is read, in bytes, levels or values.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// It came packed, and cannot be unpacked.
    #[error(transparent)]
    Packed(#[from] unpack::Error),
    /// The body is not in the character set that it says it is in.
    #[error("{0}; expected JSON in UTF-8")]
    Charset(#[from] Undecodable),
    /// The body is text in another encoding, or not text.
    #[error(
        "the body is not UTF-8: byte {at} (0x{byte:02x}) cannot be read; expected JSON in UTF-8, or its charset in the content type"
    )]
    NotUtf8 {
        /// The offset of the first byte that is wrong, from 0.
        at: usize,
        /// That byte.
        byte: u8,
    },
    /// The body, or the content of `data_base64`, is not JSON.
    #[error("{place} is not JSON: {reason} at line {line} column {column}")]
    NotJson {
        /// Which text.
        place: Place,
        /// The line, from 1.
        line: usize,
        /// The column, from 1; 0 where the text ends before its first character.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The JSON is of another kind than the mode asks for.
    #[error("the body is {found}; expected {expected}")]
    Shape {
        /// What it is.
        found: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A required attribute is not there.
    #[error("the CloudEvents attribute {attribute:?} is missing; expected {expected}")]
    Missing {
        /// Its name.
        attribute: &'static str,
        /// The form that is accepted.
        expected: &'static str,
    },
    /// An attribute has a value that is not accepted.
    #[error("the CloudEvents attribute {attribute:?} is {found}; expected {expected}")]
    Attribute {
        /// Its name.
        attribute: &'static str,
        /// What stood there, cut to 80 characters.
        found: String,
        /// The form that is accepted.
        expected: &'static str,
    },
    /// The content type names a CloudEvents format that is not spoken here.
    #[error("the content type {found:?} is not spoken here; expected {expected}")]
    Format {
        /// The content type.
        found: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// One event of a batch cannot be read, so none of the batch is taken.
    #[error("event {index} of the batch: {source}")]
    InBatch {
        /// Its place, from 0.
        index: usize,
        /// Why.
        source: Box<Error>,
    },
}

/// Which text of a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The body.
    Body,
    /// The decoded content of `data_base64`.
    DataBase64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Body => "the body",
            Self::DataBase64 => "the content of \"data_base64\"",
        })
    }
}

impl Error {
    /// The attribute it is about, as a dotted path; absent where it is about the body as a whole.
    pub fn path(&self) -> Option<String> {
        match self {
            Self::Missing { attribute, .. } | Self::Attribute { attribute, .. } => {
                Some((*attribute).to_owned())
            }
            Self::NotJson { place: Place::DataBase64, .. } => Some("data_base64".to_owned()),
            Self::Format { .. } => Some("content-type".to_owned()),
            Self::InBatch { index, source } => Some(match source.path() {
                Some(path) => format!("[{index}].{path}"),
                None => format!("[{index}]"),
            }),
            Self::Packed(_) => Some("content-encoding".to_owned()),
            Self::Excess(_)
            | Self::Charset(_)
            | Self::NotUtf8 { .. }
            | Self::NotJson { place: Place::Body, .. }
            | Self::Shape { .. } => None,
        }
    }
}
