//! Templates and the headers every page carries.

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};

use super::view::{Moment, Row};
use crate::ledger;
use crate::timeline::{Remedy, Story};

/// No scripts, nothing from elsewhere, and forms go nowhere else.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // References of tickets stand in addresses.
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// A template as an answer.
pub(super) struct Page<T>(pub(super) T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        rendered(StatusCode::OK, &self.0)
    }
}

fn rendered(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, HEADERS, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, HEADERS, "This page cannot be shown.").into_response()
        }
    }
}

/// The first page.
#[derive(Template)]
#[template(path = "home.html")]
pub(super) struct Home {
    pub(super) rows: Vec<Row>,
    pub(super) reference: String,
}

/// Several councils have a ticket of that reference.
#[derive(Template)]
#[template(path = "choose.html")]
pub(super) struct Choose {
    pub(super) rows: Vec<Row>,
    pub(super) reference: String,
}

/// The story of one ticket.
#[derive(Template)]
#[template(path = "ticket.html")]
pub(super) struct Told {
    pub(super) ticket: String,
    pub(super) council: String,
    /// The colour of the headline: `wait`, `done` or none.
    pub(super) tone: &'static str,
    pub(super) last_word: Option<Word>,
    pub(super) entries: Vec<Entry>,
    pub(super) story: Story,
    pub(super) read_at: Moment,
    pub(super) command: String,
}

/// What was last said.
pub(super) struct Word {
    pub(super) who: String,
    pub(super) said: Option<String>,
    pub(super) meaning: Option<String>,
    pub(super) at: Moment,
}

/// One thing that happened.
pub(super) struct Entry {
    pub(super) at: Moment,
    pub(super) text: String,
    pub(super) said: Option<String>,
    pub(super) detail: Option<String>,
}

/// What waits for a person.
#[derive(Template)]
#[template(path = "problems.html")]
pub(super) struct Problems {
    /// How many messages the broker has set aside.
    pub(super) dead_letters: u64,
    pub(super) halted: Vec<Halted>,
    pub(super) held: Vec<Held>,
    pub(super) parked: Vec<Parked>,
    /// What is amiss with how systems are asked, a sentence each.
    pub(super) attention: Vec<String>,
    pub(super) orphans: Vec<Orphan>,
    pub(super) contradictions: Vec<Contradiction>,
    pub(super) early: Vec<Early>,
    pub(super) refused: Vec<Refused>,
    /// What there is too much of to be listed one by one, a sentence each.
    pub(super) alike: Vec<Alike>,
    /// How many there are in all, of each kind.
    pub(super) total: Option<String>,
    /// Where the lists that are longer than a page go on.
    pub(super) more: Vec<More>,
    /// Only a part was asked for.
    pub(super) is_part: bool,
    pub(super) nothing: bool,
    pub(super) read_at: Moment,
    /// The command that says the same.
    pub(super) command: String,
}

/// Problems of one cause.
pub(super) struct Alike {
    pub(super) what: String,
    pub(super) reason: String,
    pub(super) at: Option<Moment>,
    /// The page that lists them one by one.
    pub(super) href: String,
    pub(super) remedies: Vec<Remedy>,
}

/// Where a list goes on.
pub(super) struct More {
    pub(super) text: String,
    pub(super) href: String,
}

/// Something else that was said after a ticket was closed.
pub(super) struct Contradiction {
    pub(super) row: Row,
    pub(super) system: String,
    pub(super) said: String,
    pub(super) at: Moment,
    pub(super) remedies: Vec<Remedy>,
}

/// A system that takes no calls for now.
pub(super) struct Halted {
    pub(super) system: String,
    pub(super) text: String,
}

/// A ticket that is held.
pub(super) struct Held {
    pub(super) row: Row,
    pub(super) reason: String,
    pub(super) remedies: Vec<Remedy>,
}

/// A handover that is parked.
pub(super) struct Parked {
    pub(super) row: Row,
    pub(super) system: String,
    pub(super) class: &'static str,
    pub(super) reason: String,
    pub(super) remedies: Vec<Remedy>,
}

/// A completion that no handover answers to.
pub(super) struct Orphan {
    pub(super) system: String,
    pub(super) job: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) said: String,
    pub(super) at: Moment,
    pub(super) remedies: Vec<Remedy>,
}

/// A revision whose request has not come yet.
pub(super) struct Early {
    pub(super) ticket: String,
    pub(super) council: String,
    pub(super) what: &'static str,
    pub(super) at: Moment,
}

/// A delivery that could not be understood.
pub(super) struct Refused {
    pub(super) ticket: Option<String>,
    pub(super) council: Option<String>,
    pub(super) path: Option<String>,
    pub(super) reason: String,
    pub(super) text: Option<String>,
    pub(super) source: String,
    pub(super) id: String,
    pub(super) sent_with: Option<String>,
    pub(super) at: Moment,
    pub(super) remedies: Vec<Remedy>,
}

/// A page that has only something to say.
#[derive(Debug, Template)]
#[template(path = "message.html")]
pub(super) struct Message {
    status: StatusCode,
    heading: String,
    sentences: Vec<String>,
    reference: String,
}

impl Message {
    /// 404: what was asked for is not there.
    pub(super) fn not_found(heading: impl Into<String>, sentences: impl IntoIterator<Item = String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            heading: heading.into(),
            sentences: sentences.into_iter().collect(),
            reference: String::new(),
        }
    }

    /// 503: the ledger cannot be read. Said in the log, where the failure is handled.
    pub(super) fn ledger_failed(error: ledger::Error) -> Self {
        tracing::error!(error = %anyhow::Error::from(error), "the console could not read the ledger");
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            heading: "The tickets cannot be read right now".to_owned(),
            sentences: vec![
                "Dovetail's database does not answer. Nothing is lost: what comes in meanwhile is taken as soon \
                 as the database is back."
                    .to_owned(),
                "Try again in a minute. If it lasts, tell IT.".to_owned(),
            ],
            reference: String::new(),
        }
    }

    /// The same page with the reference that was looked for still in the search box.
    pub(super) fn looking_for(self, reference: impl Into<String>) -> Self {
        Self { reference: reference.into(), ..self }
    }
}

impl IntoResponse for Message {
    fn into_response(self) -> Response {
        rendered(self.status, &self)
    }
}
