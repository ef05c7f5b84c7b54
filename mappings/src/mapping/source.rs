//! The texts a catalogue is compiled from.

/// One file of the mappings folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path relative to the mappings folder, with forward slashes: `systems/waste/system.yaml`, `routes.yaml`.
    pub path: String,
    /// The file's text.
    pub text: String,
}

/// The mappings shipped in the binary, with their cases.
pub fn shipped() -> Vec<Source> {
    Vec::new()
}
