//! What waits for a person, a page at a time.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use mappings::domain::SystemName;
use serde::Deserialize;

use super::Desk;
use super::page::{Alike, Contradiction, Early, Halted, Held, Message, More, Orphan, Page, Parked};
use super::page::{Problems, Refused};
use super::view::{Row, encoded};
use crate::ledger::{Problem, ProblemKind, ProblemPage, ProblemSearch, ProblemTally};
use crate::timeline::{self, argument, words};

/// Problems of each kind that are listed on a page.
const MOST: usize = 50;

/// Which problems are asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    kind: Option<String>,
    system: Option<String>,
    cause: Option<String>,
    after: Option<String>,
}

/// What is asked for, as it was understood.
#[derive(Default)]
struct Part {
    kind: Option<ProblemKind>,
    system: Option<SystemName>,
    cause: Option<String>,
    after: Option<String>,
}

impl Part {
    fn parse(asked: Asked) -> Option<Self> {
        let Asked { kind, system, cause, after } = asked;
        let kind = kind.map(|kind| kind.parse().ok());
        let system = system.map(|system| SystemName::parse(&system).ok());
        if kind == Some(None) || system == Some(None) || (after.is_some() && kind.is_none()) {
            return None;
        }
        Some(Self { kind: kind.flatten(), system: system.flatten(), cause, after })
    }

    fn is_all(&self) -> bool {
        self.kind.is_none() && self.system.is_none() && self.cause.is_none()
    }

    /// The command that lists the same.
    fn command(&self) -> String {
        let system = self.system.as_ref().map(ToString::to_string);
        let kind = self.kind.map(|kind| kind.as_str().to_owned());
        let options = [
            ("kind", kind),
            ("system", system),
            ("cause", self.cause.clone()),
            ("after", self.after.clone()),
        ];
        let mut command = "dovetail problems".to_owned();
        for (name, value) in options {
            if let Some(value) = value {
                command.push_str(&format!(" --{name} {}", argument(&value)));
            }
        }
        command
    }

    /// The page that follows this one in the list of one kind.
    fn next(&self, tally: &ProblemTally) -> Option<More> {
        let after = tally.next.as_deref()?;
        let mut href = format!("/problems?kind={}", tally.kind.as_str());
        if let Some(system) = &self.system {
            href.push_str(&format!("&system={system}"));
        }
        if let Some(cause) = &self.cause {
            href.push_str(&format!("&cause={}", encoded(cause)));
        }
        href.push_str(&format!("&after={}", encoded(after)));
        Some(More { text: format!("{} more {}", tally.left, tally.kind.as_str()), href })
    }
}

/// Lists what waits for a person, by kind.
pub(super) async fn list(
    State(desk): State<Desk>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Page<Problems>, Message> {
    let unknown = || {
        Message::not_found(
            "There is no such list",
            ["The address may be mistyped. All that waits for a person stands on /problems.".to_owned()],
        )
    };
    let part = Part::parse(asked.map_err(|_| unknown())?.0).ok_or_else(unknown)?;
    let search = ProblemSearch {
        kind: part.kind,
        singly: false,
        system: part.system.clone(),
        cause: part.cause.clone(),
        of_others: timeline::of_others(&desk.catalogue),
        after: part.after.clone(),
        most: MOST,
    };
    let ProblemPage { problems, tallies } =
        desk.ledger.find_problems(&search).await.map_err(Message::ledger_failed)?;
    let mut page = empty(&desk, &part);
    if part.is_all() {
        add_systems(&desk, &mut page).await?;
    }
    let total: u64 = tallies.iter().map(|tally| tally.total).sum();
    if total > 0 {
        let counts: Vec<String> =
            tallies.iter().map(|tally| format!("{} {}", tally.total, tally.kind.as_str())).collect();
        page.total = Some(format!(
            "{}: {}.",
            if total == 1 { "1 waits".to_owned() } else { format!("{total} wait") },
            counts.join(", ")
        ));
    }
    page.more = tallies.iter().filter_map(|tally| part.next(tally)).collect();
    page.nothing = total == 0 && page.attention.is_empty() && page.dead_letters == 0;
    for problem in problems {
        add(&desk, &mut page, problem);
    }
    Ok(Page(page))
}

fn empty(desk: &Desk, part: &Part) -> Problems {
    Problems {
        dead_letters: 0,
        halted: Vec::new(),
        attention: Vec::new(),
        held: Vec::new(),
        parked: Vec::new(),
        orphans: Vec::new(),
        contradictions: Vec::new(),
        early: Vec::new(),
        refused: Vec::new(),
        alike: Vec::new(),
        total: None,
        more: Vec::new(),
        is_part: !part.is_all(),
        nothing: true,
        read_at: desk.clock.now().into(),
        command: part.command(),
    }
}

/// What waits for a person of systems as a whole, and of the broker.
async fn add_systems(desk: &Desk, page: &mut Problems) -> Result<(), Message> {
    let now = desk.clock.now();
    let asked = desk.ledger.asked().await.map_err(Message::ledger_failed)?;
    let asked = timeline::inquired(&asked, &desk.catalogue, now);
    page.attention = asked.into_iter().flat_map(|one| one.attention).collect();
    let halts = desk.ledger.halts().await.map_err(Message::ledger_failed)?;
    let halted = timeline::halted(&halts, &desk.catalogue, now);
    page.halted =
        halted.into_iter().map(|halted| Halted { system: halted.title, text: halted.text }).collect();
    page.dead_letters = desk.readiness.borrow().dead_letters;
    Ok(())
}

fn add(desk: &Desk, page: &mut Problems, problem: Problem) {
    let title = |name: &SystemName| {
        desk.catalogue.system(name).map_or_else(|| name.to_string(), |system| system.title.clone())
    };
    let remedies = timeline::remedies(&problem, &desk.catalogue);
    match problem {
        Problem::Held { line, reason, .. } => {
            page.held.push(Held {
                row: Row::new(&line, &desk.catalogue),
                reason: timeline::reason(&reason, &desk.catalogue),
                remedies,
            });
        }
        Problem::Parked { line, system, class, reason, closure: _ } => page.parked.push(Parked {
            row: Row::new(&line, &desk.catalogue),
            system: title(&system),
            class: words::class(class),
            reason: timeline::reason(&reason, &desk.catalogue),
            remedies,
        }),
        Problem::ParkedAlike { system, class, reason, count } => page.alike.push(Alike {
            what: format!("{count} pieces of work that could not be passed on to {}", title(&system)),
            reason: format!("{}. {}", words::class(class), timeline::reason(&reason, &desk.catalogue)),
            at: None,
            href: format!("/problems?kind=parked&system={system}"),
            remedies,
        }),
        Problem::Orphan(completion) => page.orphans.push(Orphan {
            system: title(&completion.system),
            job: completion.job.as_ref().map(ToString::to_string),
            reference: completion.reference.as_ref().map(ToString::to_string),
            said: timeline::quoted(&completion.said, completion.note.as_deref()),
            at: completion.received_at.into(),
            remedies,
        }),
        Problem::Orphans { system, count, latest_at } => page.alike.push(Alike {
            what: format!("News from {} of {count} pieces of work that Dovetail did not order", title(&system)),
            reason: "Where its lists hold others' work too, its mapping says so: completion.orphans: others, or when \
                     beside its reports."
                .to_owned(),
            at: Some(latest_at.into()),
            href: format!("/problems?kind=orphan&system={system}"),
            remedies,
        }),
        Problem::Contradiction { line, completion } => page.contradictions.push(Contradiction {
            row: Row::new(&line, &desk.catalogue),
            system: title(&completion.system),
            said: timeline::quoted(&completion.said, completion.note.as_deref()),
            at: completion.received_at.into(),
            remedies,
        }),
        Problem::Early { received_at, council, ticket, revision } => page.early.push(Early {
            ticket: ticket.to_string(),
            council: council.to_string(),
            what: words::change(revision),
            at: received_at.into(),
        }),
        Problem::Refused { received_at, key, council, ticket, path, reason, sent_with, text, .. } => {
            page.refused.push(Refused {
                ticket: ticket.as_ref().map(ToString::to_string),
                council: council.as_ref().map(ToString::to_string),
                path,
                reason: words::sentence(&reason),
                text: (!text.is_empty()).then_some(text),
                source: key.source,
                sent_with: sent_with.as_deref().map(words::sent_with),
                id: key.id,
                at: received_at.into(),
                remedies,
            });
        }
        Problem::RefusedAlike { cause, source, reason, count, latest_at } => page.alike.push(Alike {
            what: format!("{count} messages from {source} that could not be taken"),
            reason: format!("For example: {}", words::sentence(&reason)),
            at: Some(latest_at.into()),
            href: format!("/problems?cause={}", encoded(&cause)),
            remedies,
        }),
    }
}
