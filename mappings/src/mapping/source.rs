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
        self.path.ends_with(".yaml")
    }

    /// Whether it holds the cases of a system.
    pub(super) fn is_cases(&self) -> bool {
        self.parts().is_some_and(|parts| matches!(parts.as_slice(), [_, "cases", _]))
    }

    /// Whether it stands where a mapping file may stand.
    pub(super) fn is_known(&self) -> bool {
        ["routes.yaml", "targets.yaml"].contains(&self.path.as_str())
            || self.calendar().is_some()
            || self.parts().is_some_and(|parts| parts.len() == 2)
            || self.is_cases()
    }

    /// The calendar that it holds.
    pub(super) fn calendar(&self) -> Option<&str> {
        let file = self.path.strip_prefix("calendars/")?.strip_suffix(".yaml")?;
        (!file.contains('/')).then_some(file)
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

/// The text of one shipped file.
pub(super) fn shipped_text(path: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(own, _)| *own == path).map(|(_, text)| *text)
}

/// The mappings shipped in the binary, with their cases.
pub fn shipped() -> Vec<Source> {
    SHIPPED.iter().map(|(path, text)| Source { path: (*path).into(), text: (*text).into() }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::{lint, run_cases};
    use super::*;

    fn files(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let path = path.strip_prefix(root).expect("below the root").to_string_lossy();
                found.insert(path.replace('\\', "/"));
            }
        }
    }

    #[test]
    fn the_binary_ships_every_file_of_the_folder_and_no_other() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folder = BTreeSet::from(["routes.yaml".to_owned(), "targets.yaml".to_owned()]);
        files(&root.join("systems"), root, &mut folder);
        files(&root.join("calendars"), root, &mut folder);
        let shipped: BTreeSet<String> = shipped().into_iter().map(|source| source.path).collect();
        assert_eq!(shipped, folder);
    }

    #[test]
    fn the_shipped_mappings_lint_clean() {
        let findings = lint(&shipped(), &|name| Some(format!("http://{}.test", name.to_lowercase())));
        let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn every_shipped_case_passes() {
        let results = run_cases(&shipped(), &|_| None);
        let failed: Vec<String> = results
            .iter()
            .filter_map(|result| {
                let failure = result.failure.as_ref()?;
                Some(format!("{}:{} {}: {failure}", result.file, result.line, result.case))
            })
            .collect();
        assert!(!results.is_empty() && failed.is_empty(), "{}", failed.join("\n"));
    }
}
