//! How much of files is read, and where copies go.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[files]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The largest file that is read.
    pub max_bytes: u64,
    /// The folder for copies; empty for that of temporary files.
    pub copies: String,
}

/// How much is read, and where files of servers are copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The most bytes of a file.
    pub largest: u64,
    /// The folder for copies of files that are on servers.
    pub copies: PathBuf,
}

impl Settings {
    /// The same for those who read files.
    pub fn bounds(&self) -> Bounds {
        let copies = Some(&self.copies).filter(|copies| !copies.is_empty()).map(PathBuf::from);
        Bounds { largest: self.max_bytes, copies: copies.unwrap_or_else(std::env::temp_dir) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_go_where_it_is_said_or_where_temporary_files_are() {
        let bounds = |copies: &str| Settings { max_bytes: 7, copies: copies.to_owned() }.bounds();
        assert_eq!(bounds("/srv/copies"), Bounds { largest: 7, copies: PathBuf::from("/srv/copies") });
        assert_eq!(bounds("").copies, std::env::temp_dir());
    }
}
