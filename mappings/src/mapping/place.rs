//! Where in a mapping an expression stands, and which documents its paths can select from.

use super::check::Check;
use super::path::{Origin, Path};

/// The place of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// What `$` is.
    pub(super) over: Over,
    /// Whether `@` has a meaning.
    pub(super) item: bool,
    /// Whether what is made is an address.
    pub(super) link: bool,
}

/// What `$` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The rendering context: the request with Dovetail's keys beside it.
    Request,
    /// The body of an answer or event.
    Answer,
    /// A CRM's native message.
    Message,
}

impl Place {
    /// Where calls are rendered.
    pub(super) const REQUEST: Self = Self { over: Over::Request, item: false, link: false };
    /// Where answers and events are read.
    pub(super) const ANSWER: Self = Self { over: Over::Answer, item: false, link: false };
    /// Where an answer says that its next page is.
    pub(super) const NEXT: Self = Self { link: true, ..Self::ANSWER };
    /// Where native messages are translated.
    pub(super) const MESSAGE: Self = Self { over: Over::Message, item: false, link: false };

    /// The same within a list.
    pub(super) fn in_list(self) -> Self {
        Self { item: true, ..self }
    }
}

const REQUEST: &[&str] = &[
    "ticket",
    "council",
    "service",
    "lgsl",
    "channel",
    "priority",
    "raised_at",
    "raised_by",
    "summary",
    "customer",
    "location",
    "details",
    "attachments",
    "dovetail",
    "closure",
    "change",
    "steps",
    "event",
];

/// The members of a request whose values may be personal, wherever they stand in a path or a target.
const PERSONAL: [&str; 4] = ["customer", "location", "summary", "raised_by"];

/// Whether what stands under this name may be personal.
pub(super) fn is_personal_name(name: &str) -> bool {
    PERSONAL.contains(&name)
}

/// Whether a path may select something personal: by a name, or by whatever stands anywhere.
pub(super) fn is_personal(path: &str) -> bool {
    let mut names = path.split(|c: char| !c.is_alphanumeric() && c != '_');
    path.contains("..") || path.starts_with("$.*") || path.starts_with("$[*") || names.any(is_personal_name)
}

const MEMBERS: &[(&[&str], &[&str])] = &[
    (&["customer"], &["reference", "title", "forename", "surname", "email", "phone", "needs", "sharing"]),
    (&["customer", "sharing"], &["basis"]),
    (
        &["location"],
        &["uprn", "usrn", "address", "easting", "northing", "latitude", "longitude", "description"],
    ),
    (&["location", "address"], &["lines", "postcode"]),
    (
        &["dovetail"],
        &[
            "key",
            "request",
            "handover",
            "operation",
            "job",
            "jobs",
            "now",
            "traceparent",
            "callback_url",
            "since",
            "until",
        ],
    ),
    (
        &["closure"],
        &["disposition", "reason", "say", "evidence", "rule", "decided_at", "outstanding", "needs", "linked"],
    ),
];

/// Parses a path and checks that it can select something where it stands.
pub(super) fn path(check: &mut Check<'_>, line: usize, text: &str, place: Place) -> Option<Path> {
    let path = match Path::parse(text) {
        Ok(path) => path,
        Err(hint) => {
            let hint = match text.chars().nth(1) {
                Some('.' | '[') => hint,
                Some(_) | None => format!("for a text that starts so, write {{literal: {text:?}}}"),
            };
            check.hinted(line, format!("the path {text}"), "a JSONPath (RFC 9535)", hint);
            return None;
        }
    };
    if path.origin() == Origin::Item {
        if !place.item {
            check.hinted(
                line,
                format!("the path {text}"),
                "a path from $",
                "@ is the item of each, and only there",
            );
            return None;
        }
        return Some(path);
    }
    match place.over {
        Over::Request => {
            check.sent.insert(path.names().join("."));
            known(check, line, &path);
        }
        Over::Answer => ours(check, line, &path),
        Over::Message => {}
    }
    Some(path)
}

/// Refuses what is empty in an answer, whose `$` is its own body.
fn ours(check: &mut Check<'_>, line: usize, path: &Path) {
    if path.names().first() == Some(&"dovetail") {
        check.hinted(
            line,
            format!("the path {}", path.text()),
            "a path into the answer",
            "$ is the answer here, which has nothing of Dovetail's: $.dovetail stands in calls only",
        );
    }
}

fn known(check: &mut Check<'_>, line: usize, path: &Path) {
    let names = path.names();
    let Some(root) = names.first() else { return };
    let text = path.text().to_owned();
    if !REQUEST.contains(root) {
        let near = super::finding::nearest(root, REQUEST).map(|near| format!("did you mean $.{near}?"));
        let hint = near.or_else(|| Some(format!("what a service needs besides is under $.details.{root}")));
        check.warn(line, format!("the path {text}"), format!("one of {}", REQUEST.join(", ")), hint);
        return;
    }
    check.names_jobs |= names.starts_with(&["dovetail", "jobs"]);
    if *root == "steps" {
        step(check, line, &names, &text);
        return;
    }
    for (parent, members) in MEMBERS {
        if let Some(rest) = names.strip_prefix(*parent)
            && let Some(name) = rest.first()
            && !members.contains(name)
        {
            let hint = super::finding::nearest(name, members).map(|near| format!("did you mean {near}?"));
            check.warn(line, format!("the path {text}"), format!("one of {}", members.join(", ")), hint);
        }
    }
}

fn step(check: &mut Check<'_>, line: usize, names: &[&str], text: &str) {
    let steps = check.steps.clone();
    match names.get(1) {
        Some(step) if !steps.iter().any(|known| known == step) => {
            let found = format!("the path {text}, before which there is no step {step}");
            check.unknown(line, found, step, steps.iter().map(String::as_str));
        }
        Some(_) | None => {}
    }
    if let Some(part) = names.get(2)
        && !["status", "headers", "body"].contains(part)
    {
        let hint = Some(format!("what the answer said is under $.steps['{}'].body", names[1]));
        check.warn(line, format!("the path {text}"), "one of status, headers, body", hint);
    }
}
