//! Folding closed requests into the figures of their day, and reading figures back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use mappings::domain::{Council, RequestId, Service, SystemName};
use serde_json::Value;

use super::store::{Fault, Row, Statement, Tx, fault};
use super::{SqlLedger, transition};
use crate::event::Kind;
use crate::ledger::{Error, Page};
use crate::report::{By, Course, Figures, Group, Happened, Part, Scope, day};

/// Where figures are added up, nobody else adds. No system has this name.
const GATE: &str = "=figures";

/// Requests whose courses are loaded at once.
const AT_ONCE: usize = 1_000;

/// The columns of a [`Course`], from `requests r`.
const COURSE: &str = "r.council, r.id, r.service, r.channel, r.state, r.disposition, r.raised_at, r.accepted_at, \
     r.closed_at, r.target_at, r.folded";

/// What reports read of the timeline.
const KINDS: [Kind; 7] = [
    Kind::HandedOver,
    Kind::Progressed,
    Kind::Held,
    Kind::Decided,
    Kind::Closed,
    Kind::Escalated,
    Kind::Overdue,
];

/// What a row of figures is about.
type Key = (String, Council, By, String);

impl SqlLedger {
    /// Folds up to `most` closed requests; says how many. What others fold at the moment is left to them.
    pub(super) async fn fold_some(&self, most: usize) -> Result<usize, Error> {
        let mut tries = 0;
        loop {
            let error = match self.fold_once(most).await {
                Ok(count) => return Ok(count),
                Err(error) => error,
            };
            tries += 1;
            if !matches!(fault(&error), Fault::Contention | Fault::Taken) || tries == transition::TRIES {
                return Err(error);
            }
        }
    }

    async fn fold_once(&self, most: usize) -> Result<usize, Error> {
        let mut tx = self.store.begin().await?;
        let sql = format!(
            "select {COURSE} from requests r where r.state = 'closed' and r.folded = 0 order by r.closed_at \
             limit $1 {{skip locked}}"
        );
        let rows = tx.run(Statement::new(sql).int(i64::try_from(most).unwrap_or(i64::MAX))).await?;
        let courses = courses(&mut tx, rows).await?;
        if courses.is_empty() {
            tx.close().await?;
            return Ok(0);
        }
        let mut more: BTreeMap<Key, Figures> = BTreeMap::new();
        for (_, course) in &courses {
            let day = day(course.accepted_at).to_string();
            // What has closed is the same at any time.
            for (by, key, figures) in course.figures(course.accepted_at) {
                more.entry((day.clone(), course.council.clone(), by, key)).or_default().merge(&figures);
            }
        }
        tx.close_gates(&[Arc::from(GATE)]).await?;
        add(&mut tx, more.into_iter().collect()).await?;
        let statement = Statement::new(
            "with v as ({rows}) update requests set folded = 1 from v where requests.council = v.council \
             and requests.id = v.id",
        )
        .texts("council", &courses, |(_, course)| course.council.as_str())
        .texts("id", &courses, |(id, _)| id.to_string());
        tx.run(statement).await?;
        tx.commit().await?;
        Ok(courses.len())
    }

    /// What was folded of these days, and what is to be added of requests that are open or not folded yet.
    pub(super) async fn read_figures(&self, scope: &Scope, now: Timestamp) -> Result<Vec<Group>, Error> {
        let mut tx = self.store.snapshot().await?;
        let mut groups: BTreeMap<(Council, By, String), Figures> = BTreeMap::new();
        let statement = Statement::new(
            "select f.council, f.grouped, f.key, f.figures from figures f where f.day >= $1 and f.day <= $2",
        )
        .text(scope.from.to_string())
        .text(scope.to.to_string());
        for mut row in tx.run(statement).await? {
            let council = row.get("figures.council", Council::parse)?;
            let by = row.get("figures.grouped", str::parse)?;
            let key = row.text("figures.key")?;
            let figures = row.get("figures.figures", str::parse)?;
            groups.entry((council, by, key)).or_default().merge(&figures);
        }
        for condition in ["r.state <> 'closed'", "r.state = 'closed' and r.folded = 0"] {
            let rows =
                tx.run(Statement::new(format!("select {COURSE} from requests r where {condition}"))).await?;
            for (_, course) in courses(&mut tx, rows).await? {
                if !scope.holds(course.accepted_at) {
                    continue;
                }
                for (by, key, figures) in course.figures(now) {
                    groups.entry((course.council.clone(), by, key)).or_default().merge(&figures);
                }
            }
        }
        tx.commit().await?;
        let meant = |council: &Council| scope.council.as_ref().is_none_or(|wanted| wanted == council);
        let groups = groups.into_iter().filter(|((council, ..), _)| meant(council));
        Ok(groups.map(|((council, by, key), figures)| Group { council, by, key, figures }).collect())
    }

    /// A page of the courses of requests, in the order of their ids.
    pub(super) async fn read_courses(
        &self,
        scope: &Scope,
        after: Option<RequestId>,
        most: usize,
    ) -> Result<Page, Error> {
        let mut tx = self.store.snapshot().await?;
        let sql = format!("select {COURSE} from requests r where r.id > $1 order by r.id limit $2");
        let statement = Statement::new(sql)
            .text(after.map_or_else(String::new, |id| id.to_string()))
            .int(i64::try_from(most).unwrap_or(i64::MAX));
        let rows = tx.run(statement).await?;
        let full = rows.len() == most;
        let courses = courses(&mut tx, rows).await?;
        tx.commit().await?;
        let next = courses.last().filter(|_| full).map(|(id, _)| *id);
        let meant = |course: &Course| {
            scope.holds(course.accepted_at)
                && scope.council.as_ref().is_none_or(|only| *only == course.council)
        };
        Ok(Page { courses: courses.into_iter().map(|(_, course)| course).filter(meant).collect(), next })
    }
}

/// Adds figures to those of their day.
async fn add(tx: &mut Tx, mut more: Vec<(Key, Figures)>) -> Result<(), Error> {
    let places: HashMap<Key, usize> =
        more.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
    let statement = Statement::new(
        "with v as ({rows}) select f.day, f.council, f.grouped, f.key, f.figures from v join figures f \
         on f.day = v.day and f.council = v.council and f.grouped = v.grouped and f.key = v.key",
    );
    for mut row in tx.run(of(statement, &more)).await? {
        let key: Key = (
            row.text("figures.day")?,
            row.get("figures.council", Council::parse)?,
            row.get("figures.grouped", str::parse)?,
            row.text("figures.key")?,
        );
        let figures = row.get("figures.figures", str::parse)?;
        if let Some(place) = places.get(&key) {
            more[*place].1.merge(&figures);
        }
    }
    let statement = Statement::new(
        "with v as ({rows}) insert into figures (day, council, grouped, key, figures) \
         select day, council, grouped, key, figures from v where true \
         on conflict (day, council, grouped, key) do update set figures = excluded.figures",
    );
    let statement =
        of(statement, &more).texts("figures", &more, |(_, figures)| figures.to_json().to_string());
    tx.run(statement).await.map(drop)
}

fn of(statement: Statement, rows: &[(Key, Figures)]) -> Statement {
    statement
        .texts("day", rows, |((day, ..), _)| day.as_str())
        .texts("council", rows, |((_, council, ..), _)| council.as_str())
        .texts("grouped", rows, |((_, _, by, _), _)| by.as_str())
        .texts("key", rows, |((.., key), _)| key.as_str())
}

/// Loads what belongs to rows of [`COURSE`], in their order.
async fn courses(tx: &mut Tx, rows: Vec<Row>) -> Result<Vec<(RequestId, Course)>, Error> {
    let mut all = rows.into_iter().map(|mut row| course(&mut row)).collect::<Result<Vec<_>, Error>>()?;
    for some in all.chunks_mut(AT_ONCE) {
        let places: HashMap<RequestId, usize> =
            some.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
        let wanted = |sql: String| {
            Statement::new(sql).texts("council", &*some, |(_, course)| course.council.as_str()).texts(
                "id",
                &*some,
                |(id, _)| id.to_string(),
            )
        };
        let parts = wanted(
            "with v as ({rows}) select h.request, h.system, h.state, h.disposition, h.ended_at from v \
             join handovers h on h.council = v.council and h.request = v.id where h.closure = 0 order by h.id"
                .to_owned(),
        );
        let kinds: Vec<String> = KINDS.iter().map(|kind| format!("'{}'", kind.word())).collect();
        let events = wanted(format!(
            "with v as ({{rows}}) select e.request, e.kind, e.at, e.data from v join events e \
             on e.council = v.council and e.request = v.id where e.kind in ({}) order by e.at, e.id",
            kinds.join(", ")
        ));
        for mut row in tx.run(parts).await? {
            let request = row.get("handovers.request", RequestId::parse)?;
            let part = Part {
                system: row.get("handovers.system", SystemName::parse)?,
                state: row.get("handovers.state", str::parse)?,
                disposition: row.maybe("handovers.disposition", str::parse)?,
                ended_at: row.maybe_time("handovers.ended_at")?,
            };
            if let Some(place) = places.get(&request) {
                some[*place].1.parts.push(part);
            }
        }
        for mut row in tx.run(events).await? {
            let request = row.get("events.request", RequestId::parse)?;
            let kind = row.get("events.kind", |word| Kind::from_word(word).ok_or("an event's word"))?;
            let at = row.time("events.at")?;
            let data: Value = row.get("events.data", mappings::digits::from_str)?;
            let system = data.get("system").and_then(Value::as_str).map(str::to_owned);
            let by_us = data.get("by").is_some() || data.get("told").is_some();
            if let Some(place) = places.get(&request) {
                some[*place].1.happened.push(Happened { kind, at, system, by_us });
            }
        }
    }
    Ok(all)
}

fn course(row: &mut Row) -> Result<(RequestId, Course), Error> {
    let council = row.get("requests.council", Council::parse)?;
    let id = row.get("requests.id", RequestId::parse)?;
    let course = Course {
        council,
        service: row.get("requests.service", Service::parse)?,
        channel: row.maybe_text("requests.channel")?,
        state: row.get("requests.state", str::parse)?,
        disposition: row.maybe("requests.disposition", str::parse)?,
        raised_at: row.time("requests.raised_at")?,
        accepted_at: row.time("requests.accepted_at")?,
        closed_at: row.maybe_time("requests.closed_at")?,
        target_at: row.maybe_time("requests.target_at")?,
        parts: Vec::new(),
        happened: Vec::new(),
        is_counted: row.flag("requests.folded")?,
    };
    Ok((id, course))
}
