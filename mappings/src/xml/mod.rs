//! Reading XML as a document, and writing a document as XML.
//!
//! The rules, in both directions: an attribute is a member `@name`; the text beside children or attributes is
//! the member `#text`; an element with only text is a string; a repeated element is a list. In reading,
//! namespace prefixes and declarations are dropped, and the text is trimmed.

mod read;
mod write;

pub use read::{canonical, read};
pub(crate) use write::is_char;
pub use write::{Unwritable, Written, is_name, write};
