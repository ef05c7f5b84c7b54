//! The texts a catalogue is compiled from.

/// One file of the mappings folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path relative to the mappings folder, with forward slashes: `systems/waste/system.yaml`, `routes.yaml`.
    pub path: String,
    /// The file's text.
    pub text: String,
}

impl Source {
    /// Whether it is a YAML file.
    pub(super) fn is_yaml(&self) -> bool {
        self.path.ends_with(".yaml") || self.path.ends_with(".yml")
    }

    /// Whether it holds the cases of a system.
    pub(super) fn is_cases(&self) -> bool {
        self.parts().is_some_and(|parts| matches!(parts.as_slice(), [_, "cases", _]))
    }

    /// Whether it stands where a mapping file may stand.
    pub(super) fn is_known(&self) -> bool {
        self.path == "routes.yaml" || self.parts().is_some_and(|parts| parts.len() == 2) || self.is_cases()
    }

    /// The system whose folder it is in.
    pub(super) fn system(&self) -> Option<&str> {
        self.parts().and_then(|parts| parts.first().copied())
    }

    fn parts(&self) -> Option<Vec<&str>> {
        Some(self.path.strip_prefix("systems/")?.split('/').collect())
    }
}

/// Path and text of every shipped file, written by the build script.
const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The mappings shipped in the binary, with their cases.
pub fn shipped() -> Vec<Source> {
    SHIPPED.iter().map(|(path, text)| Source { path: (*path).into(), text: (*text).into() }).collect()
}
