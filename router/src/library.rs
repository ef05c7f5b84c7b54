//! Reads mappings from a folder; without one, those shipped in the binary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use mappings::mapping::{Catalogue, Finding, Severity, Source, nearest, shipped};

/// Why a folder cannot be read as mappings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds no mappings.
    #[error(
        "{0} holds no mappings: expected a folder with systems/ and routes.yaml, a folder of systems, or the \
         folder of one system with its system.yaml"
    )]
    NoMappings(PathBuf),
    /// A file's name ends in `.yml`, which would be passed over.
    #[error("{0} would be passed over: the names of mapping files end in .yaml")]
    Yml(PathBuf),
    /// A system is named that has no folder.
    #[error("mappings.systems: found {name:?}; expected {}", expected(.known, .name))]
    NoSuchSystem {
        /// Which.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The mappings have mistakes; every one is listed.
    #[error("the mappings cannot be used:{}", listed(.0))]
    Broken(Vec<Finding>),
}

impl Error {
    /// Whether nothing is wrong but that `${…}` have no value.
    pub fn is_unset(&self) -> bool {
        match self {
            Self::Broken(findings) => {
                findings.iter().all(|it| it.unset.is_some() || it.severity == Severity::Warning)
            }
            Self::Read { .. } | Self::NoMappings(_) | Self::Yml(_) | Self::NoSuchSystem { .. } => false,
        }
    }
}

/// Mistakes one by one; what has no value, a system in a line.
fn listed(findings: &[Finding]) -> String {
    let mistakes = findings.iter().filter(|finding| finding.unset.is_none());
    let mut text: String =
        mistakes.map(|finding| format!("\n  {}: {finding}", word(finding.severity))).collect();
    let mut unset: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for finding in findings {
        let Some(name) = &finding.unset else { continue };
        let system = finding.file.rsplit_once('/').map_or(&*finding.file, |(folder, _)| folder);
        let names = unset.entry(system).or_default();
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    for (system, names) in &unset {
        text.push_str(&format!("\n  error: {system}: not set: {}", names.join(", ")));
    }
    if !unset.is_empty() {
        text.push_str(
            "\n  hint: set them in the environment, or write ${file:/path}; systems that are not in use are left out by \
             mappings.systems in the configuration",
        );
    }
    text
}

fn expected(known: &[String], name: &str) -> String {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = nearest(name, &known).map(|near| format!("; hint: did you mean {near}?"));
    format!("one of {}{}", known.join(", "), hint.unwrap_or_default())
}

/// How bad a finding is, in a word.
pub fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The mappings of a folder, each file under its path relative to the mappings folder.
///
/// The folder may be the mappings folder itself, its `systems` folder (its `routes.yaml` is then taken from
/// beside it, where there is one), or the folder of one system, which is then read alone.
///
/// # Errors
/// [`Error`] names the file or folder.
pub fn read(folder: Option<&Path>) -> Result<Vec<Source>, Error> {
    let Some(folder) = folder else { return Ok(shipped()) };
    let folder = fs::canonicalize(folder).map_err(|source| unreadable(folder, source))?;
    let mut sources = Vec::new();
    if folder.join("systems").is_dir() {
        add_rules(&folder, &mut sources)?;
        add_folder(&folder.join("systems"), "systems", &mut sources)?;
    } else if folder.join("system.yaml").is_file() {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        add_folder(&folder, &format!("systems/{name}"), &mut sources)?;
    } else if holds_systems(&folder)? {
        if let Some(parent) = folder.parent() {
            add_rules(parent, &mut sources)?;
        }
        add_folder(&folder, "systems", &mut sources)?;
    }
    if sources.is_empty() { Err(Error::NoMappings(folder)) } else { Ok(sources) }
}

/// Compiles mappings; `resolve` gives what stands for `${NAME}`.
///
/// # Errors
/// [`Error::Broken`] lists every finding, with file and line.
pub fn compile(sources: &[Source], resolve: &dyn Fn(&str) -> Option<String>) -> Result<Catalogue, Error> {
    compile_only(sources, &[], resolve)
}

/// Compiles the mappings of these systems alone; of all where none is named.
///
/// # Errors
/// [`Error::NoSuchSystem`] for a name without a folder, and [`Error::Broken`] with every finding.
pub fn compile_only(
    sources: &[Source],
    names: &[String],
    resolve: &dyn Fn(&str) -> Option<String>,
) -> Result<Catalogue, Error> {
    let folder = |source: &Source| {
        let (system, _) = source.path.strip_prefix("systems/")?.split_once('/')?;
        Some(system.to_owned())
    };
    let known: BTreeSet<String> = sources.iter().filter_map(folder).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(*name)) {
        return Err(Error::NoSuchSystem { name: name.clone(), known: known.into_iter().collect() });
    }
    Catalogue::compile_only(sources, names, resolve).map_err(Error::Broken)
}

/// Whether one of the folder's folders is a system's.
fn holds_systems(folder: &Path) -> Result<bool, Error> {
    Ok(entries(folder)?.iter().any(|path| path.join("system.yaml").is_file()))
}

/// What holds for all systems: routes, targets and calendars.
fn add_rules(folder: &Path, sources: &mut Vec<Source>) -> Result<(), Error> {
    for name in ["routes.yaml", "targets.yaml"] {
        let path = folder.join(name);
        if path.is_file() {
            add_file(&path, name.to_owned(), sources)?;
        }
    }
    let calendars = folder.join("calendars");
    if calendars.is_dir() { add_folder(&calendars, "calendars", sources) } else { Ok(()) }
}

/// Adds every mapping file of a folder and its folders, in the order of their names.
fn add_folder(folder: &Path, name: &str, sources: &mut Vec<Source>) -> Result<(), Error> {
    for path in entries(folder)? {
        let Some(file) = path.file_name().map(|file| file.to_string_lossy().into_owned()) else { continue };
        if file.starts_with('.') {
            continue;
        }
        let name = format!("{name}/{file}");
        if path.is_dir() {
            add_folder(&path, &name, sources)?;
        } else if file.ends_with(".yaml") {
            add_file(&path, name, sources)?;
        } else if file.ends_with(".yml") {
            return Err(Error::Yml(path));
        }
    }
    Ok(())
}

fn add_file(path: &Path, name: String, sources: &mut Vec<Source>) -> Result<(), Error> {
    let text = fs::read_to_string(path).map_err(|source| unreadable(path, source))?;
    sources.push(Source { path: name, text });
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed: io::Result<Vec<PathBuf>> =
        fs::read_dir(folder).and_then(|listing| listing.map(|entry| entry.map(|e| e.path())).collect());
    let mut paths = listed.map_err(|source| unreadable(folder, source))?;
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Read { path: path.to_owned(), source }
}

/// What stands for a `${…}` where nothing is sent: its name in angle brackets; for an address, a host that
/// never exists (RFC 2606).
pub fn placeholder(name: &str) -> Option<String> {
    Some(if name.ends_with("URL") {
        format!("http://{}.invalid", name.to_lowercase().replace('_', "-"))
    } else {
        format!("<{name}>")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in [
            ("routes.yaml", "routes: []"),
            ("systems/waste/system.yaml", "system: waste"),
            ("systems/waste/cases/create.yaml", "[]"),
            ("systems/waste/notes.txt", "no mapping"),
            ("systems/.hidden/system.yaml", "system: hidden"),
            ("systems/housing/system.yaml", "system: housing"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        folder
    }

    fn paths(folder: &Path) -> Vec<String> {
        read(Some(folder)).expect("mappings").into_iter().map(|source| source.path).collect()
    }

    #[test]
    fn a_mappings_folder_and_its_systems_folder_read_alike() {
        let folder = folder();
        let whole = [
            "routes.yaml",
            "systems/housing/system.yaml",
            "systems/waste/cases/create.yaml",
            "systems/waste/system.yaml",
        ];
        assert_eq!(paths(folder.path()), whole);
        assert_eq!(paths(&folder.path().join("systems")), whole);
    }

    #[test]
    fn the_folder_of_one_system_is_read_alone() {
        let folder = folder();
        assert_eq!(
            paths(&folder.path().join("systems/waste")),
            ["systems/waste/cases/create.yaml", "systems/waste/system.yaml"]
        );
    }

    #[test]
    fn a_folder_without_mappings_is_refused_with_what_was_expected() {
        let folder = folder();
        let error = read(Some(&folder.path().join("systems/waste/cases"))).expect_err("refused");
        assert!(error.to_string().contains("expected a folder with systems/ and routes.yaml"), "{error}");
        let error = read(Some(Path::new("/nowhere"))).expect_err("refused");
        assert_eq!(error.to_string(), "/nowhere cannot be read");
    }

    #[test]
    fn a_mapping_file_that_would_be_passed_over_is_named() {
        let folder = folder();
        fs::write(folder.path().join("systems/waste/bulky.yml"), "").expect("written");
        assert!(read(Some(folder.path())).expect_err("refused").to_string().contains("bulky.yml"));
    }

    #[test]
    fn a_system_that_is_named_and_has_no_folder_is_a_mistake_with_the_nearest() {
        let sources = read(Some(folder().path())).expect("mappings");
        let error = compile_only(&sources, &["wsate".to_owned()], &placeholder).expect_err("refused");
        let said =
            "mappings.systems: found \"wsate\"; expected one of housing, waste; hint: did you mean waste?";
        assert_eq!(error.to_string(), said);
        assert!(!error.is_unset());
    }

    #[test]
    fn what_has_no_value_is_told_a_system_in_a_line_and_not_a_use_in_a_line() {
        let named = ["waste", "housing"].map(str::to_owned);
        let error = compile_only(&shipped(), &named, &|_| None).expect_err("refused");
        let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        assert!(error.is_unset(), "{error}");
        assert!(
            lines.iter().any(|line| line == "  error: systems/housing: not set: HOUSING_URL, HOUSING_KEY"),
            "{error}"
        );
        assert!(lines.iter().all(|line| !line.contains("partner")), "{error}");
        assert!(lines.len() < 8, "{error}");
    }

    #[test]
    fn a_placeholder_shows_what_it_stands_for() {
        assert_eq!(placeholder("WASTE_URL").as_deref(), Some("http://waste-url.invalid"));
        assert_eq!(placeholder("file:/run/key").as_deref(), Some("<file:/run/key>"));
    }
}
