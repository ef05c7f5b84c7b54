//! How a system tells that a job changed: by calling us, or by being asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use super::path::Path;
use super::place::{self, Place};
use super::report::{Reports, secret_at};
use super::webhook_path::check_path;
use super::yaml::Node;
use super::{Answer, ReadError, Reading, Secrets};

/// How a system calls us.
pub struct Webhook {
    /// The path it calls, for example `/callbacks/waste`.
    pub path: String,
    /// How a caller proves who it is.
    pub verify: Verify,
    /// For thin events: the call that reads the job back, with the event as `$.event`.
    pub read_back: Option<String>,
    /// Status and text of our answer; 200 and `OK` unless the mapping says otherwise.
    pub reply: (u16, String),
    reports: Reports,
    xml_lists: Arc<[String]>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("path", &self.path)
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Reads `webhook:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "webhook", &["path", "verify", "reports", "read_back", "reply"])?;
        let path = check.required_text(fields, "path", "webhook");
        if let (Some(path), Some(node)) = (&path, fields.get("path")) {
            check_path(check, node, path);
        }
        let xml_lists = Arc::clone(&check.xml_lists);
        let verify = check.required(fields, "verify", "webhook");
        let verify = verify.and_then(|node| Verify::compile(check, node));
        let reports = check.required(fields, "reports", "webhook");
        let reports = reports.and_then(|node| Reports::compile(check, node));
        let read_back = check.text_of(fields, "read_back");
        if read_back.is_none() && reports.as_ref().is_some_and(|reports| !reports.has_status()) {
            let expected = "status: …, or read_back: the call that reads it";
            check.error(node.line, "reports without status and a webhook without read_back", expected);
        }
        let reply = match fields.get("reply") {
            Some(node) => reply(check, node),
            None => Some((200, "OK".to_owned())),
        };
        Some(Self { path: path?, verify: verify?, read_back, reply: reply?, reports: reports?, xml_lists })
    }

    /// What the event says. The answer's status is not looked at.
    ///
    /// # Errors
    /// [`ReadError`] when the body cannot be read, holds no place for a list, or should be one report and names no job.
    pub fn reports(&self, event: &Answer) -> Result<Reading, ReadError> {
        if self.reports.is_list() && event.body.trim().is_empty() {
            // A call without a body only finds out whether we listen.
            return Ok(Reading::default());
        }
        let mut event = event.clone();
        let list = self.reports.separate(&mut event, &self.xml_lists)?;
        self.reports.read(&event, list.as_ref(), None, &self.xml_lists)
    }

    /// The event's body as a document, for `$.event` of the read-back.
    ///
    /// # Errors
    /// [`ReadError`] when it cannot be read.
    pub fn document(&self, event: &Answer) -> Result<serde_json::Value, ReadError> {
        event.document(&self.xml_lists)
    }
}

/// How a caller of a webhook proves who it is.
#[derive(Debug)]
pub enum Verify {
    /// Not at all: only for a closed network.
    None,
    /// A secret known to both, somewhere in the event.
    SharedSecret {
        /// Where it stands.
        place: SecretPlace,
        /// What must stand there.
        value: Secrets,
    },
    /// HTTP basic authentication.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: Secrets,
    },
    /// An HMAC-SHA256 of the body in a header.
    HmacSha256 {
        /// The header.
        header: String,
        /// The key.
        secret: Secrets,
        /// How the signature is written.
        encoding: Encoding,
        /// What stands before the signature, for example `sha256=`; often empty.
        prefix: String,
    },
    /// Standard Webhooks, version 1.
    StandardWebhooks {
        /// The key, with or without `whsec_`.
        secret: Secrets,
    },
}

/// Where a shared secret stands.
#[derive(Debug)]
pub enum SecretPlace {
    /// In a header.
    Header(String),
    /// In the body, at a path.
    Path(SecretPath),
}

/// A path into the event's body.
#[derive(Debug)]
pub struct SecretPath {
    path: Path,
    xml_lists: Arc<[String]>,
}

impl Verify {
    /// The secrets that it goes by; none where nothing is verified.
    pub fn secrets(&self) -> Option<&Secrets> {
        match self {
            Self::None => None,
            Self::SharedSecret { value, .. } => Some(value),
            Self::Basic { password, .. } => Some(password),
            Self::HmacSha256 { secret, .. } | Self::StandardWebhooks { secret } => Some(secret),
        }
    }
}

impl SecretPlace {
    /// What stands there; `None` when nothing does, or when the body cannot be read.
    pub fn find(&self, event: &Answer) -> Option<String> {
        match self {
            Self::Header(name) => event.header(name).map(str::to_owned),
            Self::Path(place) => secret_at(&place.path, event, &place.xml_lists),
        }
    }
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal; upper case is accepted.
    Hex,
    /// Base64 with padding.
    Base64,
}

const VERIFIES: &[&str] = &["shared_secret", "basic", "hmac_sha256", "standard_webhooks"];

impl Verify {
    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        if node.as_text() == Some("none") {
            let hint = Some("anybody who reaches the address can then report a job as done".to_owned());
            check.warn(node.line, "verify: none", format!("one of {}", VERIFIES.join(", ")), hint);
            return Some(Self::None);
        }
        let fields = check.fields(node, "verify", VERIFIES)?;
        let kind = check.one_of(fields, "verify", VERIFIES)?;
        let node = fields.get(kind)?;
        match kind {
            "shared_secret" => {
                let fields = check.fields(node, kind, &["path", "header", "value", "old_value"])?;
                let value = check.secrets(fields, "value", kind);
                let place = check.one_of(fields, kind, &["path", "header"])?;
                let text = check.required_text(fields, place, kind)?;
                let place = if place == "header" {
                    SecretPlace::Header(text)
                } else {
                    let path = place::path(check, node.line, &text, Place::ANSWER)?;
                    SecretPlace::Path(SecretPath { path, xml_lists: Arc::clone(&check.xml_lists) })
                };
                Some(Self::SharedSecret { place, value: value? })
            }
            "basic" => {
                let fields = check.fields(node, kind, &["username", "password", "old_password"])?;
                let username = check.required_text(fields, "username", kind);
                let password = check.secrets(fields, "password", kind);
                Some(Self::Basic { username: username?, password: password? })
            }
            "hmac_sha256" => {
                let fields =
                    check.fields(node, kind, &["header", "secret", "old_secret", "encoding", "prefix"])?;
                let header = check.required_text(fields, "header", kind);
                let secret = check.secrets(fields, "secret", kind);
                let words = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
                let encoding = match fields.get("encoding") {
                    Some(node) => check.word(node, "encoding", &words),
                    None => Some(Encoding::Hex),
                };
                let prefix = check.text_of(fields, "prefix").unwrap_or_default();
                Some(Self::HmacSha256 { header: header?, secret: secret?, encoding: encoding?, prefix })
            }
            _ => {
                let fields = check.fields(node, kind, &["secret", "old_secret"])?;
                let secret = check.secrets(fields, "secret", kind)?;
                if secret.each().any(|(_, one)| one.expose().trim() == "whsec_") {
                    check.error(node.line, format!("{kind} with an empty secret"), "whsec_ and Base64");
                }
                Some(Self::StandardWebhooks { secret })
            }
        }
    }
}

/// How a system is asked for changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll {
    /// One call for everything changed since the last poll; `$.dovetail.since` is that time less the overlap.
    Changed {
        /// Pause between polls.
        every: Duration,
        /// How far each poll looks back before the last one, since a vendor's clock and list lag; as long as
        /// the pause unless the mapping says otherwise.
        overlap: Duration,
        /// The call.
        call: String,
        /// The list is always whole: it is not asked for since when.
        whole: bool,
    },
    /// One call for each open job, with `$.dovetail.job`.
    EachJob {
        /// Pause between polls of one job.
        every: Duration,
        /// The call.
        call: String,
    },
}

impl Poll {
    /// The pause between two turns.
    pub fn every(&self) -> Duration {
        match self {
            Self::Changed { every, .. } | Self::EachJob { every, .. } => *every,
        }
    }

    /// Reads `poll:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "poll", &["every", "overlap", "call", "whole", "each_job"])?;
        let every = check.required(fields, "every", "poll").and_then(|node| check.duration(node, "every"));
        let overlap = fields.get("overlap").and_then(|node| check.duration(node, "overlap"));
        let kind = check.one_of(fields, "poll", &["call", "each_job"])?;
        let call = check.text_of(fields, kind)?;
        let every = every?;
        if kind == "call" {
            let whole = fields.get("whole").is_some_and(|node| check.flag(node, "whole"));
            return Some(Self::Changed { every, overlap: overlap.unwrap_or(every), call, whole });
        }
        if fields.get("whole").is_some() {
            check.error(node.line, "whole beside each_job", "whole only beside call");
        }
        if overlap.is_some() {
            check.error(node.line, "overlap beside each_job", "an overlap only beside call");
        }
        Some(Self::EachJob { every, call })
    }

    /// The call it makes.
    pub fn call(&self) -> &str {
        match self {
            Self::Changed { call, .. } | Self::EachJob { call, .. } => call,
        }
    }
}

fn reply(check: &mut Check<'_>, node: &Node) -> Option<(u16, String)> {
    let fields = check.fields(node, "reply", &["status", "text"])?;
    let status = match fields.get("status") {
        Some(node) => check.number(node, "status", 200, 299)?,
        None => 200,
    };
    let text = check.text_of(fields, "text").unwrap_or_default();
    Some((u16::try_from(status).ok()?, text))
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn webhook(verify: &str) -> Webhook {
        let text = format!("{{path: /c, verify: {verify}, reports: {{job: $..id, status: $..s}}}}");
        let mut check = Check::new("f.yaml", &lower);
        let webhook = Webhook::compile(&mut check, &yaml::parse(&text).expect("yaml"));
        webhook.unwrap_or_else(|| panic!("{:?}", check.findings))
    }

    fn event(body: &str) -> Answer {
        Answer { status: 200, headers: vec![("X-Key".into(), "k".into())], body: body.into() }
    }

    #[test]
    fn a_shared_secret_is_found_in_header_or_body() {
        let find = |verify: &str, body: &str| {
            let verify = webhook(verify).verify;
            let Verify::SharedSecret { place, value } = verify else { panic!("{verify:?}") };
            (place.find(&event(body)), value.current.expose().to_owned())
        };
        let header = "{shared_secret: {header: x-key, value: \"${SECRET}\"}}";
        assert_eq!(find(header, ""), (Some("k".into()), "secret".into()));
        let path = "{shared_secret: {path: $..Poke.secret, value: \"${SECRET}\"}}";
        assert_eq!(find(path, "<a><Poke><secret>s</secret></Poke></a>").0, Some("s".into()));
        assert_eq!(find(path, r#"{"Poke": {"secret": 5}}"#).0, Some("5".into()));
        assert_eq!(find(path, "<!DOCTYPE a><a/>").0, None);
    }

    #[test]
    fn every_way_to_verify_is_read_and_no_secret_is_shown() {
        let ways = [
            "none",
            "{basic: {username: u, password: \"${PASSWORD}\"}}",
            "{hmac_sha256: {header: X-Signature, secret: \"${PASSWORD}\", encoding: hex, prefix: sha256=}}",
            "{standard_webhooks: {secret: \"${PASSWORD}\"}}",
        ];
        for way in ways {
            let shown = format!("{:?}", webhook(way));
            assert!(!shown.contains("password\""), "{shown}");
            assert_eq!(shown.contains("***"), way != "none", "{shown}");
        }
    }

    fn findings(verify: &str) -> Vec<String> {
        let text = format!("path: /c\nverify: {verify}\nreports: {{job: $..id, status: $..s}}\n");
        let resolve = |name: &str| match name {
            "EMPTY" => Some(String::new()),
            "BLANK" => Some(" ".to_owned()),
            "KEY" => Some("d2ViaG9vaw==".to_owned()),
            "OLD_KEY" => Some("b2xk".to_owned()),
            _ => None,
        };
        let mut check = Check::new("f.yaml", &resolve);
        Webhook::compile(&mut check, &yaml::parse(&text).expect("yaml"));
        check.findings.iter().map(ToString::to_string).collect()
    }

    /// Each way to verify, with the name of its secret, as a function of what stands at the secret.
    const WAYS: [(&str, &str); 5] = [
        ("value", "{shared_secret: {header: X-Key, "),
        ("value", "{shared_secret: {path: $..key, "),
        ("password", "{basic: {username: u, "),
        ("secret", "{hmac_sha256: {header: X-Signature, "),
        ("secret", "{standard_webhooks: {"),
    ];

    #[test]
    fn an_empty_secret_is_refused_in_every_way_to_verify_and_the_old_one_beside_it_too() {
        for (key, way) in WAYS {
            for (text, hint) in [
                ("\"${EMPTY}\"", "hint: ${EMPTY} is set, but empty"),
                ("\"${BLANK}\"", "hint: ${BLANK} is set, but empty"),
                ("\"\"", "and set NAME in the environment"),
                ("\"${UNSET}\"", "${UNSET}, which is not set"),
            ] {
                for (place, field) in [
                    (format!("{way}{key}: {text}}}}}"), key.to_owned()),
                    (format!("{way}{key}: \"${{KEY}}\", old_{key}: {text}}}}}"), format!("old_{key}")),
                ] {
                    let found = findings(&place);
                    assert_eq!(found.len(), 1, "{place}: {found:?}");
                    assert!(
                        found[0].starts_with("f.yaml:2: ") && found[0].contains(hint),
                        "{place}: {found:?}"
                    );
                    let named = found[0].contains(&format!("with an empty {field};"));
                    assert_eq!(named, !text.contains("UNSET"), "{place}: {found:?}");
                }
            }
        }
        let found = findings("{standard_webhooks: {secret: whsec_}}");
        assert!(found[0].contains("expected whsec_ and Base64"), "{found:?}");
    }

    #[test]
    fn two_secrets_at_once_are_read_in_every_way_to_verify_and_must_differ() {
        for (key, way) in WAYS {
            let both = format!("{way}{key}: \"${{KEY}}\", old_{key}: \"${{OLD_KEY}}\"}}}}");
            assert_eq!(findings(&both), Vec::<String>::new(), "{both}");
            let same = findings(&format!("{way}{key}: \"${{KEY}}\", old_{key}: \"${{KEY}}\"}}}}"));
            assert!(same[0].contains(&format!("with old_{key} that is {key}")), "{same:?}");
        }
    }

    #[test]
    fn an_event_is_read_as_reports() {
        let webhook = webhook("none");
        assert_eq!(webhook.reply, (200, "OK".to_owned()));
        let reports = webhook.reports(&event(r#"{"data": {"id": 7, "s": "done"}}"#)).expect("readable");
        assert_eq!((reports.reports[0].said.as_str(), reports.reports.len()), ("done", 1));
        assert!(webhook.reports(&event("{}")).is_err());
        assert!(webhook.reports(&event("{")).is_err());
    }
}
