//! How a system tells by files: which files are its, and what a row of them says.

mod columns;
mod format;
mod neighbours;
mod pattern;

use std::fmt;
use std::time::Duration;

use encoding_rs::Encoding;
use serde_json::Value;

pub use self::columns::Columns;
pub use self::format::Format;
pub(super) use self::neighbours::{Clash, clash};
use self::pattern::{Pattern, is_unfinished};
use super::Row;
use super::check::Check;
use super::report::{BadRow, Reports};
use super::secret::Secret;
use super::yaml::Node;

/// Pause between two looks into the folder, where the mapping says none.
const EVERY: Duration = Duration::from_secs(60);

/// The files that a system puts into a folder: `files:` of its completion.
pub struct Files {
    /// The folder; `None` where its variable is not set, and then no file is taken.
    pub folder: Option<String>,
    /// The server that the folder is on; `None` where it is one of this machine, and where the variable of the server's
    /// name is not set.
    pub sftp: Option<Sftp>,
    /// How a file is read.
    pub format: Format,
    /// The character set by its name in the WHATWG Encoding Standard, where the file does not say it itself.
    pub encoding: Option<String>,
    /// What is added to a file's name for the empty file beside it that says that it is whole.
    pub marker: Option<String>,
    /// Pause between two looks.
    pub every: Duration,
    /// Elements of its XML that are always lists.
    pub xml_lists: Vec<String>,
    /// What its rows must have.
    pub columns: Columns,
    pattern: Pattern,
    reports: Reports,
}

/// An SFTP server, and who we are there: `sftp:` of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sftp {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Our name there.
    pub user: String,
    /// What we prove it by.
    pub login: Login,
    /// How the server is known.
    pub host_key: HostKey,
}

/// What a user proves its name by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// A private key, as OpenSSH writes it.
    Key(Secret),
    /// A password.
    Password(Secret),
}

/// The public key by which a server is known (RFC 4251, section 4.1). Another one is never trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKey {
    /// The digest of the key, as `ssh-keygen -l` prints it: `SHA256:` and 43 letters of base 64.
    Fingerprint(String),
    /// The key itself, as it stands in a file of known hosts.
    Key {
        /// Such as `ssh-ed25519`.
        algorithm: String,
        /// The key in base 64.
        base64: String,
    },
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("folder", &self.folder)
            .field("sftp", &self.sftp)
            .field("pattern", &self.pattern.text())
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// The port of SSH (RFC 4253, section 4.1).
const SSH: u16 = 22;

const KEYS: &[&str] = &[
    "folder",
    "sftp",
    "pattern",
    "format",
    "delimiter",
    "columns",
    "row",
    "encoding",
    "marker",
    "every",
    "reports",
];
const SFTP_KEYS: &[&str] = &["host", "user", "key", "password", "host_key"];

impl Files {
    /// Reads `files:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "files", KEYS)?;
        let folder = check.required(fields, "folder", "files")?;
        let folder = check.text_if_set(folder, "folder");
        let sftp = fields.get("sftp").and_then(|node| Sftp::compile(check, node));
        let pattern = check.required_text(fields, "pattern", "files");
        let pattern = pattern.map(|pattern| Pattern::new(&pattern));
        let format = format::format(check, fields, node.line);
        let encoding = check.text_of(fields, "encoding");
        if let Some(name) = encoding.as_deref().filter(|name| Encoding::for_label(name.as_bytes()).is_none())
        {
            let expected = "a character set such as utf-8, windows-1252 or utf-16le";
            check.error(node.line, format!("encoding: {name:?}"), expected);
        }
        let marker = check.text_of(fields, "marker");
        if let Some(pattern) = &pattern {
            check_pattern(
                check,
                fields.get("pattern").map_or(node.line, |node| node.line),
                pattern,
                marker.as_deref(),
            );
        }
        let every = match fields.get("every") {
            Some(node) => check.duration(node, "every"),
            None => Some(EVERY),
        };
        let reports = check.required(fields, "reports", "files")?;
        if reports.get("each").is_some() {
            check.error(reports.line, "each in the reports of files", "none: a row is one report");
        }
        let (line, columns) = (reports.line, Columns::of(reports));
        let reports = Reports::compile(check, reports);
        if reports.as_ref().is_some_and(|reports| !reports.has_status()) {
            check.error(line, "reports without status", "status: …");
        }
        Some(Self {
            folder,
            sftp,
            columns,
            pattern: pattern?,
            format: format?,
            encoding,
            marker,
            every: every?,
            xml_lists: check.xml_lists.to_vec(),
            reports: reports?,
        })
    }

    /// Whether a file of this name is one of the system's, in any case of its letters, and finished.
    pub fn takes(&self, name: &str) -> bool {
        self.pattern.fits(name) && !is_unfinished(name, self.marker.as_deref())
    }

    /// Where its folder is, as a person finds it, where that is said.
    pub fn place(&self) -> Option<String> {
        let folder = self.folder.as_ref()?;
        Some(match &self.sftp {
            None => folder.clone(),
            Some(Sftp { host, port, user, .. }) => {
                format!("sftp://{user}@{host}:{port}/{}", folder.trim_start_matches('/'))
            }
        })
    }

    /// Where its files are, where that is said.
    pub(super) fn files(&self) -> Option<String> {
        Some(format!("{}/{}", self.place()?, self.pattern.text()))
    }

    /// What a row says. CSV is an object of texts by the names of the columns; XML is what the row's element holds.
    ///
    /// # Errors
    /// [`BadRow`] where it does not say whose word it is or what the word is, or where its time cannot be read.
    pub fn row(&self, row: &Value) -> Result<Row, BadRow> {
        self.reports.of_row(row)
    }
}

fn check_pattern(check: &mut Check<'_>, line: usize, pattern: &Pattern, marker: Option<&str>) {
    let found = format!("pattern: {:?}", pattern.text());
    if let Some(hindrance) = pattern.hindrance(marker) {
        let expected = "the name of a file, with * for any letters and ? for one";
        check.error(line, format!("{found}, by which no file is taken: {hindrance}"), expected);
    } else if pattern.fits_receipts() {
        let found = format!("{found}, which receipts such as x{} fit, too", pattern::RECEIPT);
        check.warn(line, found, "a pattern that takes the system's files alone", None);
    }
}

impl Sftp {
    /// Reads `sftp:`. Where the variable of the host is not set, the folder is one of this machine, and the others need
    /// not be set either.
    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "sftp", SFTP_KEYS)?;
        let at = check.required(fields, "host", "sftp")?;
        let host = check.text_if_set(at, "host")?;
        let user = check.required_text(fields, "user", "sftp");
        let login = check.one_of(fields, "sftp", &["key", "password"]).and_then(|kind| {
            let secret = check.secret(fields, kind, "sftp")?;
            Some(if kind == "key" { Login::Key(secret) } else { Login::Password(secret) })
        });
        let host_key = check.required(fields, "host_key", "sftp").and_then(|node| {
            let text = check.text(node, "host_key")?;
            let key = HostKey::parse(&text);
            if key.is_none() && is_variable(node) {
                // No server has it: connecting says so, with the key that the server has.
                return Some(HostKey::Fingerprint(text));
            }
            if key.is_none() {
                let hint = "the supplier tells it; `ssh-keyscan HOST` shows what the server says of itself";
                let expected = "SHA256:… or a public key such as ssh-ed25519 AAAA…";
                check.hinted(node.line, format!("host_key: {text:?}"), expected, hint);
            }
            key
        });
        let unread = is_variable(at).then_some((host.trim(), SSH));
        let Some((host, port)) = host_and_port(host.trim()).or(unread) else {
            check.error(
                at.line,
                format!("host: {host:?}"),
                "a name such as sftp.example.org, or with a port, as in …:2222",
            );
            return None;
        };
        Some(Self { host: host.to_owned(), port, user: user?, login: login?, host_key: host_key? })
    }
}

impl HostKey {
    /// A fingerprint, or a key with or without a comment.
    fn parse(text: &str) -> Option<Self> {
        let is_base64 =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        if let Some(digest) = text.trim().strip_prefix("SHA256:") {
            return (digest.len() == 43 && is_base64(digest))
                .then(|| Self::Fingerprint(text.trim().to_owned()));
        }
        let mut words = text.split_whitespace();
        let (algorithm, base64) = (words.next()?, words.next()?);
        // The key begins with the length of its algorithm's name, of which the upper bytes are zero.
        (base64.starts_with("AAAA") && is_base64(base64))
            .then(|| Self::Key { algorithm: algorithm.to_owned(), base64: base64.to_owned() })
    }
}

/// Whether a text comes from a variable: where nothing is sent, something else may stand for its value.
fn is_variable(node: &Node) -> bool {
    node.as_text().is_some_and(|text| text.contains("${"))
}

/// A name with or without a port; an address of IP version 6 stands in brackets before a port.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
        Some(_) | None => (text, SSH),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty() && !host.contains(['/', '@', ' ']) && port > 0).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::tests::lower;
    use super::super::fixture::{SYSTEM, found};
    use super::super::yaml;
    use super::*;

    const REPORTS: &str = "{job: $.Job, reference: $.Ours, status: $.Status, at: {from: $.When, date: {input: \"%d/%m/%Y\", zone: Europe/London}}}";

    fn files(more: &str) -> Files {
        let text = format!("{{folder: /inbox, pattern: \"Receipts*.csv\", {more}, reports: {REPORTS}}}");
        let mut check = Check::new("f.yaml", &lower);
        let files = Files::compile(&mut check, &yaml::parse(&text).expect("yaml"));
        assert!(check.findings.is_empty(), "{:?}", check.findings);
        files.expect("compiled")
    }

    #[test]
    fn the_files_of_a_system_are_known_by_their_names() {
        let files = files("format: csv");
        for (name, taken) in [
            ("receipts.csv", true),
            ("RECEIPTS-2026-11-23.CSV", true),
            ("receipts.csv.part", false),
            (".receipts.csv", false),
            ("old-receipts.csv", false),
            ("receiptscsv", false),
        ] {
            assert_eq!(files.takes(name), taken, "{name}");
        }
    }

    #[test]
    fn a_row_is_one_report_or_says_what_it_lacks() {
        let files = files("format: csv, delimiter: tab, encoding: windows-1252, marker: .done, every: 5m");
        assert_eq!(files.format, Format::Csv { delimiter: b'\t', columns: None });
        assert_eq!((files.marker.as_deref(), files.every), (Some(".done"), Duration::from_secs(300)));
        let row = json!({"Job": "CT-1", "Ours": "", "Status": " Done ", "When": "23/11/2026"});
        let Row::Says(reports) = files.row(&row).expect("a report") else { panic!("passed over") };
        let report = reports[0].clone();
        assert_eq!((report.said.as_str(), report.reference), ("Done", None));
        assert_eq!(report.at, "2026-11-23T00:00:00Z".parse().ok());
        for (row, found) in [
            (json!({"Status": "Done"}), "neither a job nor our reference"),
            (json!({"Job": "CT-1", "Status": " "}), "no status"),
            (json!({"Job": "CT-1", "Status": "Done", "When": "soon"}), "a time that cannot be read"),
            (json!({"Job": "x".repeat(300), "Status": "Done"}), "a job that cannot be one"),
        ] {
            let bad = files.row(&row).expect_err("a bad row");
            assert!(bad.found.starts_with(found), "{bad:?}");
        }
    }

    #[test]
    fn a_folder_whose_variable_is_not_set_has_no_files() {
        let text = format!("{{folder: \"${{UNSET}}\", pattern: x, format: json-lines, reports: {REPORTS}}}");
        let mut check = Check::new("f.yaml", &lower);
        let files = Files::compile(&mut check, &yaml::parse(&text).expect("yaml")).expect("compiled");
        assert_eq!((files.folder, check.findings.len()), (None, 0));
    }

    const FINGERPRINT: &str = "SHA256:uNiVztksCsDhcc0u9e8BrrQXVUpKn2mTVo8KWcJMVvE";

    #[test]
    fn a_folder_may_be_on_a_server_that_is_known_by_its_key() {
        let sftp = |of: &str| {
            let files = files(&format!("format: csv, sftp: {{{of}}}"));
            (files.place().expect("a folder"), files.sftp)
        };
        let (place, known) = sftp(&format!(
            "host: \"files.example.org:2222\", user: council, key: K, host_key: \"{FINGERPRINT}\""
        ));
        let known = known.expect("a server");
        assert_eq!(place, "sftp://council@files.example.org:2222/inbox");
        assert_eq!(known.host_key, HostKey::Fingerprint(FINGERPRINT.to_owned()));
        assert!(matches!(&known.login, Login::Key(key) if key.expose() == "K"));
        let (place, known) = sftp(
            "host: files.example.org, user: council, password: P, host_key: ssh-ed25519 AAAAC3Nz dovetail",
        );
        let known = known.expect("a server");
        let key = HostKey::Key { algorithm: "ssh-ed25519".to_owned(), base64: "AAAAC3Nz".to_owned() };
        assert_eq!(
            (place.as_str(), known.port, &known.host_key),
            ("sftp://council@files.example.org:22/inbox", 22, &key)
        );
        assert!(!format!("{known:?}").contains("\"P\""), "{known:?}");
        for (text, host) in [
            ("[::1]:2022", Some(("::1", 2022))),
            ("::1", Some(("::1", 22))),
            ("a:0", None),
            ("a:ssh", None),
            ("me@a", None),
            ("sftp://a", None),
        ] {
            assert_eq!(host_and_port(text), host, "{text}");
        }
    }

    #[test]
    fn a_server_whose_variable_is_not_set_leaves_a_folder_of_this_machine() {
        let (place, sftp) = {
            let files = files(
                "format: csv, sftp: {host: \"${UNSET}\", user: \"${UNSET}\", key: \"${UNSET}\", host_key: \"${UNSET}\"}",
            );
            (files.place(), files.sftp)
        };
        assert_eq!((place.as_deref(), sftp), (Some("/inbox"), None));
    }

    #[test]
    fn wrong_files_are_refused_with_their_reason() {
        for (files, expected) in [
            ("{pattern: x, format: csv}", "files without folder"),
            ("{folder: f, format: csv}", "files without pattern"),
            ("{folder: f, pattern: a/x, format: csv}", "the name of a file"),
            ("{folder: f, pattern: x, format: cvs}", "did you mean csv?"),
            ("{folder: f, pattern: x, format: csv, delimiter: ab}", "one sign such as"),
            ("{folder: f, pattern: x, format: csv, row: R}", "row beside format: csv"),
            ("{folder: f, pattern: x, format: xml}", "files of XML without row"),
            ("{folder: f, pattern: x, format: csv, encoding: klingon}", "a character set such as"),
            ("{folder: f, pattern: x, format: csv, sftp: {user: u}}", "sftp without host"),
            ("{folder: f, pattern: x, format: csv, sftp: {host: h}}", "sftp without user"),
            ("{folder: f, pattern: x, format: csv, sftp: {host: h}}", "with none of key, password"),
            ("{folder: f, pattern: x, format: csv, sftp: {host: h}}", "sftp without host_key"),
            ("{folder: f, pattern: x, format: csv, sftp: {host: h, host_key: MD5}}", "ssh-ed25519 AAAA"),
            ("{folder: f, pattern: x, format: csv, sftp: {host: \"h:x\"}}", "or with a port"),
        ] {
            let files =
                files.strip_suffix('}').map(|files| format!("{files}, reports: {{job: $.a, status: $.b}}}}"));
            let files = files.expect("a mapping");
            let system = format!("{SYSTEM}completion: {{files: {files}}}\n");
            let all = found(&[("systems/waste/system.yaml", &*system)]).join("\n");
            assert!(all.contains(expected), "{files}: {all}");
        }
        for (reports, expected) in [
            ("{each: $.a, job: $.a, status: $.b}", "a row is one report"),
            ("{job: $.a}", "reports without status"),
        ] {
            let files = format!("{{folder: f, pattern: x, format: csv, reports: {reports}}}");
            let system = format!("{SYSTEM}completion: {{files: {files}}}\n");
            let all = found(&[("systems/waste/system.yaml", &*system)]).join("\n");
            assert!(all.contains(expected), "{reports}: {all}");
        }
    }
}
