//! What waits for a person, kind after kind, each a page at a time.

use std::collections::HashMap;

use mappings::domain::{Council, RequestId, SystemName, Ticket};

use super::lists::{LINE, limit, line};
use super::query::{Query, Value};
use super::refuse::PUT_RIGHT;
use super::store::{Row, Statement, Tx};
use super::{SqlLedger, hear};
use crate::ledger::{
    Error, InboxKey, KeptAs, LISTED_SINGLY, Line, Problem, ProblemKind, ProblemPage, ProblemSearch,
    ProblemTally,
};

const COMPLETION: &str =
    "c.system, c.key, c.job, c.reference, c.said, c.note, c.said_at, c.received_at, c.way, c.state";

/// A later opening of the same ticket answers to what was said of an earlier one.
const NOT_OPENED_AGAIN: &str = "not exists (select 1 from requests n where n.ticket = r.ticket and n.council = r.council \
     and n.opening > r.opening)";

/// The problems of one kind.
struct Listed {
    /// Those that are told as a number.
    alike: Vec<Problem>,
    /// Those that are listed, each with its place.
    singly: Vec<(Problem, String)>,
    total: u64,
    left: u64,
}

/// Which rows are problems of a kind, and how they are listed.
struct Kind {
    /// All of them.
    all: Query,
    /// Those that are listed one by one.
    singly: Query,
    /// The place of a row: columns that are compared with those of a page's last row.
    place: &'static str,
    select: String,
}

impl SqlLedger {
    pub(super) async fn page_of_problems(&self, search: &ProblemSearch) -> Result<ProblemPage, Error> {
        let mut tx = self.store.snapshot().await?;
        let mut page = ProblemPage { problems: Vec::new(), tallies: Vec::new() };
        for kind in ProblemKind::ALL.into_iter().filter(|kind| is_asked_for(*kind, search)) {
            let Listed { alike, singly, total, left } = listed(&mut tx, kind, search).await?;
            if total > 0 {
                let next = singly.last().map(|(_, place)| place.clone()).filter(|_| left > 0);
                page.tallies.push(ProblemTally { kind, total, left, next });
            }
            page.problems.extend(alike);
            page.problems.extend(singly.into_iter().map(|(problem, _)| problem));
        }
        tx.commit().await?;
        Ok(page)
    }
}

fn is_asked_for(kind: ProblemKind, search: &ProblemSearch) -> bool {
    let of_cause = search.cause.is_none() || kind == ProblemKind::Refused;
    search.kind.is_none_or(|asked| asked == kind) && of_cause
}

async fn listed(tx: &mut Tx, kind: ProblemKind, search: &ProblemSearch) -> Result<Listed, Error> {
    let Kind { all, singly, place, select } = rows(kind, search);
    let after = search.after.as_deref().and_then(place_of);
    let singly = match after {
        Some(after) => singly.and(&format!("({place}) < (?, ?)"), after),
        None => singly,
    };
    let order = format!("order by {} desc limit ?", place.replace(", ", " desc, "));
    let most = [Value::Int(limit(search.most))];
    let mut found = Vec::new();
    for mut row in tx.run(singly.statement(&select, &order, most)).await? {
        found.push(read(kind, &mut row)?);
    }
    add_last_words(tx, &mut found).await?;
    let total = count(tx, &all).await?;
    let left = match found.len() < search.most {
        true => 0,
        false => count(tx, &singly).await?.saturating_sub(u64::try_from(found.len()).unwrap_or(u64::MAX)),
    };
    let alike = match search.after {
        None => alike(tx, kind, search, &all).await?,
        Some(_) => Vec::new(),
    };
    Ok(Listed { alike, singly: found, total, left })
}

fn place_of(text: &str) -> Option<[Value; 2]> {
    let (at, rest) = text.split_once('.')?;
    Some([Value::Int(at.parse().ok()?), Value::Text(rest.to_owned())])
}

async fn count(tx: &mut Tx, query: &Query) -> Result<u64, Error> {
    let rows = tx.run(query.statement("select count(*)", "", [])).await?;
    rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)?.number("count")
}

fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

fn many() -> [Value; 1] {
    [Value::Int(i64::from(LISTED_SINGLY))]
}

/// Which rows are problems of a kind.
fn rows(kind: ProblemKind, search: &ProblemSearch) -> Kind {
    let ProblemSearch { system, cause, of_others, .. } = search;
    let (all, place, select) = match kind {
        ProblemKind::Held => {
            let all = Query::of("requests r", "r.state = 'held' and r.state <> 'closed'");
            let works = "exists (select 1 from handovers h where h.council = r.council and h.request = r.id \
                         and h.system = ?)";
            (of(all, works, system.as_ref()), "r.accepted_at, r.id", format!("select {LINE}"))
        }
        ProblemKind::Parked => {
            let tables = "handovers p join requests r on r.council = p.council and r.id = p.request";
            let all = of(Query::of(tables, "p.state = 'parked'"), "p.system = ?", system.as_ref());
            let select = format!("select {LINE}, p.system, p.closure, p.class, p.reason, p.id");
            (all, "r.accepted_at, p.id", select)
        }
        ProblemKind::Orphan => {
            let all = Query::of(
                "completions c",
                "c.state = 'waiting' and c.request is null and c.dismissed_at is null",
            );
            let all = of_others.iter().fold(all, |all, other| all.and("c.system <> ?", [text(other)]));
            let all = of(all, "c.system = ?", system.as_ref());
            (all, "c.received_at, c.key", format!("select {COMPLETION}"))
        }
        ProblemKind::Contradiction => {
            let tables = "completions c join requests r on r.council = c.council and r.id = c.request";
            let after = "c.state = 'held' and c.dismissed_at is null and c.received_at >= r.closed_at";
            let all = Query::of(tables, after).and(NOT_OPENED_AGAIN, []);
            let all = of(all, "c.system = ?", system.as_ref());
            (all, "c.received_at, c.key", format!("select {LINE}, {COMPLETION}"))
        }
        ProblemKind::Early => {
            // Nothing is known yet of the systems that would have to hear of it.
            let all = of(Query::of("early_changes e", "true"), "? = ''", system.as_ref());
            let select = "select e.received_at, e.council, e.ticket, e.revision, e.id";
            (all, "e.received_at, e.id", select.to_owned())
        }
        ProblemKind::Refused => {
            let all = Query::of("refusals f", "f.settled_at is null").and(&format!("not ({PUT_RIGHT})"), []);
            let all = match system {
                Some(system) => all.and(
                    "f.source in (?, ?, ?)",
                    [
                        format!("/systems/{system}"),
                        format!("/systems/{system}/files"),
                        format!("/crm/{system}"),
                    ]
                    .map(text),
                ),
                None => all,
            };
            let all = match cause {
                Some(cause) => all.and("f.cause = ?", [text(cause)]),
                None => all,
            };
            let select = "select f.name, f.received_at, f.source, f.id, f.council, f.ticket, f.path, f.reason, f.sent_with, \
                          case when f.source like '/systems/%' then substr(f.body, 1, 200) else '' end, f.kept_as";
            (all, "f.received_at, f.name", select.to_owned())
        }
    };
    let singly = if search.is_singly() { all.clone() } else { but_alike(&all, kind) };
    Kind { all, singly, place, select }
}

fn of(query: Query, condition: &str, system: Option<&SystemName>) -> Query {
    match system {
        Some(system) => query.and(condition, [text(system)]),
        None => query,
    }
}

/// Without those of which there are so many alike that only their number is told.
fn but_alike(all: &Query, kind: ProblemKind) -> Query {
    let all = all.clone();
    match kind {
        ProblemKind::Held | ProblemKind::Contradiction | ProblemKind::Early => all,
        ProblemKind::Parked => all.and(
            "(p.system, coalesce(p.class, ''), coalesce(p.reason, '')) not in (select system, coalesce(class, ''), \
             coalesce(reason, '') from handovers where state = 'parked' group by 1, 2, 3 having count(*) > ?)",
            many(),
        ),
        ProblemKind::Orphan => all.and(
            "c.system not in (select system from completions where state = 'waiting' and request is null \
             and dismissed_at is null group by system having count(*) > ?)",
            many(),
        ),
        ProblemKind::Refused => all.and(
            "f.cause not in (select cause from refusals where settled_at is null group by cause \
             having count(*) > ?)",
            many(),
        ),
    }
}

/// Those of which only the number is told.
async fn alike(
    tx: &mut Tx,
    kind: ProblemKind,
    search: &ProblemSearch,
    all: &Query,
) -> Result<Vec<Problem>, Error> {
    if search.is_singly() {
        return Ok(Vec::new());
    }
    let mut problems = Vec::new();
    match kind {
        ProblemKind::Held | ProblemKind::Contradiction | ProblemKind::Early => {}
        ProblemKind::Parked => {
            let select = "select p.system, p.class, p.reason, count(*)";
            let then = "group by p.system, p.class, p.reason having count(*) > ? order by 4 desc";
            for mut row in tx.run(all.statement(select, then, many())).await? {
                problems.push(Problem::ParkedAlike {
                    system: row.get("handovers.system", SystemName::parse)?,
                    class: row.get("handovers.class", str::parse)?,
                    reason: row.maybe_text("handovers.reason")?.unwrap_or_default(),
                    count: row.number("count")?,
                });
            }
        }
        ProblemKind::Orphan => {
            let select = "select c.system, count(*), max(c.received_at)";
            let then = "group by c.system having count(*) > ? order by c.system";
            for mut row in tx.run(all.statement(select, then, many())).await? {
                problems.push(Problem::Orphans {
                    system: row.get("completions.system", SystemName::parse)?,
                    count: row.number("count")?,
                    latest_at: row.time("completions.received_at")?,
                });
            }
        }
        ProblemKind::Refused => {
            let select = "select f.cause, f.source, max(f.reason), count(*), max(f.received_at)";
            let then = "and f.cause in (select cause from refusals where settled_at is null group by cause \
                        having count(*) > ?) group by f.cause, f.source order by 4 desc";
            for mut row in tx.run(all.statement(select, then, many())).await? {
                problems.push(Problem::RefusedAlike {
                    cause: row.text("refusals.cause")?,
                    source: row.text("refusals.source")?,
                    reason: row.text("refusals.reason")?,
                    count: row.number("count")?,
                    latest_at: row.time("refusals.received_at")?,
                });
            }
        }
    }
    Ok(problems)
}

/// Reads one problem, with its place.
fn read(kind: ProblemKind, row: &mut Row) -> Result<(Problem, String), Error> {
    let (problem, at, rest) = match kind {
        ProblemKind::Held => {
            let line = line(row)?;
            let (at, id, reason) =
                (line.accepted_at, line.request.to_string(), line.reason.clone().unwrap_or_default());
            (Problem::Held { line, reason, said: Vec::new() }, at, id)
        }
        ProblemKind::Parked => {
            let line = line(row)?;
            let at = line.accepted_at;
            let problem = Problem::Parked {
                line,
                system: row.get("handovers.system", SystemName::parse)?,
                closure: row.flag("handovers.closure")?,
                class: row.get("handovers.class", str::parse)?,
                reason: row.maybe_text("handovers.reason")?.unwrap_or_default(),
            };
            (problem, at, row.text("handovers.id")?)
        }
        ProblemKind::Orphan => {
            let completion = hear::completion(row)?.completion;
            let (at, key) = (completion.received_at, completion.key.clone());
            (Problem::Orphan(completion), at, key)
        }
        ProblemKind::Contradiction => {
            let line = line(row)?;
            let completion = hear::completion(row)?.completion;
            let (at, key) = (completion.received_at, completion.key.clone());
            (Problem::Contradiction { line, completion }, at, key)
        }
        ProblemKind::Early => {
            let received_at = row.time("early_changes.received_at")?;
            let problem = Problem::Early {
                received_at,
                council: row.get("early_changes.council", Council::parse)?,
                ticket: row.get("early_changes.ticket", Ticket::parse)?,
                revision: row.get("early_changes.revision", str::parse)?,
            };
            (problem, received_at, row.text("early_changes.id")?)
        }
        ProblemKind::Refused => {
            let name = row.text("refusals.name")?;
            let received_at = row.time("refusals.received_at")?;
            let key = InboxKey { source: row.text("refusals.source")?, id: row.text("refusals.id")? };
            let council = row.text("refusals.council")?;
            let problem = Problem::Refused {
                name: name.clone(),
                received_at,
                key,
                council: Council::parse(&council).ok(),
                ticket: row.maybe("refusals.ticket", Ticket::parse)?,
                path: row.maybe_text("refusals.path")?,
                reason: row.text("refusals.reason")?,
                sent_with: row.maybe_text("refusals.sent_with")?,
                text: row.text("refusals.body")?,
                kept_as: row.get("refusals.kept_as", KeptAs::parse)?,
            };
            (problem, received_at, name)
        }
    };
    Ok((problem, format!("{}.{rest}", at.as_millisecond())))
}

/// Adds what systems said last of work that has not ended, to tickets that are held.
async fn add_last_words(tx: &mut Tx, found: &mut [(Problem, String)]) -> Result<(), Error> {
    let line_of = |problem: &Problem| match problem {
        Problem::Held { line, .. } => Some(line.clone()),
        Problem::Parked { .. }
        | Problem::ParkedAlike { .. }
        | Problem::Orphan(_)
        | Problem::Orphans { .. }
        | Problem::Contradiction { .. }
        | Problem::Early { .. }
        | Problem::Refused { .. }
        | Problem::RefusedAlike { .. } => None,
    };
    let lines: Vec<Line> = found.iter().filter_map(|(problem, _)| line_of(problem)).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) select h.request, h.system, h.said from v join handovers h on h.council = v.council \
         and h.request = v.request where h.closure = 0 and h.state <> 'ended' and h.said is not null order by h.system",
    )
    .texts("council", &lines, |line| line.council.as_str())
    .texts("request", &lines, |line| line.request.to_string());
    let mut words: HashMap<RequestId, Vec<_>> = HashMap::new();
    for mut row in tx.run(statement).await? {
        let request = row.get("handovers.request", RequestId::parse)?;
        let word = (row.get("handovers.system", SystemName::parse)?, row.text("handovers.said")?);
        words.entry(request).or_default().push(word);
    }
    for (problem, _) in found {
        if let Problem::Held { line, said, .. } = problem {
            *said = words.remove(&line.request).unwrap_or_default();
        }
    }
    Ok(())
}
