//! `dovetail problems retry`: refused deliveries are read again, after their cause was mended.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use connectors::Connector;
use jiff::Timestamp;
use mappings::domain::SystemName;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::one::named;
use crate::cli::open::{self, Books};
use crate::cli::resolve::person;
use crate::cli::{Exit, RetryArgs, Shown};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::dispatch::Asker;
use crate::envelope::{self, STRUCTURED};
use crate::harvest::Harvester;
use crate::intake::{Intake, Message, Receipt, Understood};
use crate::ledger::{Accepted, KeptAs, KeptRefusal, Person, Problem, ProblemKind, ProblemSearch, Writer};
use crate::library;

/// The most deliveries of one cause that one command reads again.
const MOST: usize = 10_000;

/// Reads what is meant again.
///
/// # Errors
/// When the ledger cannot be read or written, or nobody is named.
pub(super) async fn run(args: &RetryArgs, config: &Config) -> anyhow::Result<Shown> {
    let person = person(args.about.by.as_deref(), &args.about.because)?;
    let books = open::open(&args.about.ledger, config).await?;
    with(args, &books, person, (config, open::has_bus(&args.about.ledger, config))).await
}

pub(super) async fn with(
    args: &RetryArgs,
    books: &Books,
    person: Person,
    (config, has_bus): (&Config, bool),
) -> anyhow::Result<Shown> {
    let mut meant = Vec::new();
    for name in &args.names {
        match named(name, &*books.ledger).await? {
            Ok(refusal) => meant.push(refusal),
            Err(shown) => return Ok(shown),
        }
    }
    if let Some(cause) = &args.cause {
        meant.extend(of_cause(cause, books).await?);
    }
    let (events, _) = mpsc::unbounded_channel();
    let (work, _) = mpsc::unbounded_channel();
    let lessee = open::lessee(has_bus);
    let (writer, writes) = Writer::new(Arc::clone(&books.ledger), lessee, events, work);
    let again = Again { books, intake: Intake::new(Arc::clone(&books.catalogue), writer), person, config };
    let reading = async {
        let mut ends = Vec::new();
        for refusal in &meant {
            ends.push((refusal, again.read(refusal).await?));
        }
        anyhow::Ok(ends)
    };
    tokio::select! {
        ends = reading => Ok(shown(&ends?)),
        () = writes.run(CancellationToken::new()) => anyhow::bail!("the ledger's writes ended"),
    }
}

async fn of_cause(cause: &str, books: &Books) -> anyhow::Result<Vec<KeptRefusal>> {
    let search = ProblemSearch {
        kind: Some(ProblemKind::Refused),
        cause: Some(cause.to_owned()),
        ..ProblemSearch::first(MOST)
    };
    let mut found = Vec::new();
    for problem in books.ledger.find_problems(&search).await?.problems {
        if let Problem::Refused { name, .. } = problem {
            found.extend(books.ledger.refusals(&name, 1).await?);
        }
    }
    Ok(found)
}

/// What reading a delivery again came to.
#[derive(Debug, PartialEq)]
enum End {
    /// It was taken, as this says.
    Taken(String),
    /// It is refused again, or cannot be read again, for this reason.
    Not(String),
}

struct Again<'a> {
    books: &'a Books,
    intake: Intake,
    person: Person,
    config: &'a Config,
}

impl Again<'_> {
    async fn read(&self, refusal: &KeptRefusal) -> anyhow::Result<End> {
        if let Some((_, how)) = &refusal.settled
            && how != "dismissed"
        {
            return Ok(End::Not("it was put right already".to_owned()));
        }
        let now = self.books.ledger.now().await?;
        let end = match refusal.kept_as {
            KeptAs::Nothing => {
                let reason = match refusal.key.source.strip_prefix("/systems/") {
                    Some(system) => {
                        let system = system.trim_end_matches("/files");
                        format!(
                            "what a system said is not read again: ask {system} about its open work with dovetail \
                             reconcile --system {system}, or have it sent again"
                        )
                    }
                    None => "its body was not kept whole: whoever sent it must send it again".to_owned(),
                };
                return Ok(End::Not(reason));
            }
            KeptAs::Event => self.accept(event(refusal, self.config), refusal, now).await?,
            KeptAs::Native => match crm(refusal) {
                Some(crm) => {
                    let bounds = self.config.reading.bounds(self.config.http.max_body_bytes);
                    let message =
                        Message::native("http", crm, None, refusal.body.clone().into_bytes(), &bounds);
                    self.accept(message, refusal, now).await?
                }
                None => End::Not(format!("{} names no CRM", refusal.key.source)),
            },
            KeptAs::Polled => match (crm(refusal), serde_json::from_str::<Value>(&refusal.body)) {
                (Some(crm), Ok(ticket)) => self.accept(Message::polled(crm, &ticket), refusal, now).await?,
                (None, _) | (_, Err(_)) => End::Not("what was kept of it is no ticket of a CRM".to_owned()),
            },
            KeptAs::Listed => self.listed(refusal, now).await?,
        };
        let taken = matches!(end, End::Taken(_));
        self.books.ledger.retried(&refusal.name, taken, &self.person, now).await?;
        Ok(end)
    }

    async fn accept(&self, message: Message, refusal: &KeptRefusal, now: Timestamp) -> anyhow::Result<End> {
        let read = self.intake.read(message, now);
        // Where it is refused under another key by now, that stands in the list instead.
        let is_other = |one: &Understood| one.as_ref().is_err_and(|error| error.key != refusal.key);
        let moved = read.iter().all(is_other);
        let receipts = self.intake.accept(read).await?;
        let refused = receipts.iter().find_map(|receipt| match receipt {
            Receipt::Refused { path, reason } => {
                Some(path.as_ref().map_or_else(|| reason.clone(), |path| format!("{path}: {reason}")))
            }
            Receipt::Accepted(..) => None,
        });
        Ok(match refused {
            Some(reason) if moved => End::Taken(format!("is listed under another name now: {reason}")),
            Some(reason) => End::Not(format!("is refused again: {reason}")),
            None => End::Taken(receipts.iter().map(told).collect::<Vec<_>>().join(", ")),
        })
    }

    /// Reads the ticket of a listed item anew from its CRM.
    async fn listed(&self, refusal: &KeptRefusal, now: Timestamp) -> anyhow::Result<End> {
        // Unlike all else that is read again, this asks the CRM: it needs the credentials.
        let sources = library::read(self.config.mappings.folder())?;
        let catalogue = library::compile_only(&sources, &self.config.mappings.systems, &config::resolve)?;
        let catalogue = Arc::new(catalogue);
        let system = crm(refusal).and_then(|name| catalogue.system(&name));
        let (Some(system), Ok(item)) = (system, serde_json::from_str::<Value>(&refusal.body)) else {
            return Ok(End::Not("what was kept of it is no item of a CRM's list".to_owned()));
        };
        let connector = Asker::alone(Arc::new(Connector::new(system)?));
        let ledger = Arc::clone(&self.books.ledger);
        let clock = Clock::started_at(now);
        let harvester = Harvester::new(&catalogue, system, connector, ledger, self.intake.clone(), clock);
        let Some((harvester, _)) = harvester else {
            return Ok(End::Not(format!("{} is not asked for tickets any more", system.name)));
        };
        Ok(match harvester.again(item).await {
            Ok(true) => End::Taken("the ticket was taken".to_owned()),
            Ok(false) => End::Not("is refused again: see dovetail problems".to_owned()),
            Err(error) => End::Not(format!("{} could not be asked: {error:#}", system.name)),
        })
    }
}

fn crm(refusal: &KeptRefusal) -> Option<SystemName> {
    SystemName::parse(refusal.key.source.strip_prefix("/crm/")?).ok()
}

fn event(refusal: &KeptRefusal, config: &Config) -> Message {
    let bounds = config.reading.bounds(config.http.max_body_bytes);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
    // What carries no id of its own is known by its door.
    let door = if refusal.key.source == "/amqp" { "amqp" } else { "http" };
    Message::read(door, refusal.body.as_bytes(), |body| envelope::from_http(&headers, body, &bounds))
}

fn told(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Accepted(ticket, Accepted::New(_)) => format!("{ticket} was taken"),
        Receipt::Accepted(ticket, Accepted::DuplicateDelivery | Accepted::DuplicateTicket(_)) => {
            format!("{ticket} had been taken already")
        }
        Receipt::Accepted(ticket, Accepted::IdInUse) => {
            format!("{ticket}: the id of its event was used before, for something else")
        }
        Receipt::Accepted(ticket, Accepted::Early) => format!("{ticket}: kept until its request comes"),
        Receipt::Refused { reason, .. } => reason.clone(),
    }
}

fn shown(ends: &[(&KeptRefusal, End)]) -> Shown {
    let (mut text, mut each) = (String::new(), Vec::new());
    for (refusal, end) in ends {
        let (taken, words) = match end {
            End::Taken(words) => (true, words),
            End::Not(words) => (false, words),
        };
        let _ = writeln!(text, "{}: {words}.", refusal.name);
        each.push(json!({"name": refusal.name, "taken": taken, "text": words}));
    }
    if ends.is_empty() {
        text.push_str("Nothing waits that is meant. See dovetail problems.\n");
    }
    let all = !ends.is_empty() && ends.iter().all(|(_, end)| matches!(end, End::Taken(_)));
    Shown { text, json: json!({"retried": each}), exit: if all { Exit::Ok } else { Exit::NotOk } }
}
