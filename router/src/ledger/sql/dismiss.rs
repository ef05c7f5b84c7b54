//! What people do about refused deliveries, orphans and contradictions: each is kept with who did it and why.

use jiff::Timestamp;
use mappings::domain::{Council, Ticket};

use super::SqlLedger;
use super::refuse::PUT_RIGHT;
use super::store::{Row, Statement, Tx};
use crate::ledger::{Dismissal, Error, InboxKey, KeptAs, KeptRefusal, Person, ProblemChange};

/// How many letters of a completion's key are its name.
const NAME: usize = 12;

/// The update that dismisses some rows: it returns their names.
fn dismissals(which: &Dismissal, now: i64) -> Vec<Statement> {
    let of = |sql: String, value: &str| Statement::new(sql).text(value).int(now);
    let refusals = |condition: &str| {
        format!(
            "update refusals set settled_at = $2, settled = 'dismissed' where settled_at is null and {condition} \
             returning name"
        )
    };
    let completions = |condition: &str| {
        format!(
            "update completions set dismissed_at = $2 where dismissed_at is null and {condition} \
             returning substr(key, 1, {NAME})"
        )
    };
    match which {
        Dismissal::One(name) => vec![
            of(refusals("substr(name, 1, length($1)) = $1"), name),
            of(
                completions(
                    "((state = 'waiting' and request is null) or state = 'held') and substr(key, 1, length($1)) = $1",
                ),
                name,
            ),
        ],
        Dismissal::Cause(cause) => vec![of(refusals("cause = $1"), cause)],
        Dismissal::Orphans(system) => {
            vec![of(completions("state = 'waiting' and request is null and system = $1"), system.as_str())]
        }
    }
}

impl SqlLedger {
    pub(super) async fn dismiss_problems(
        &self,
        which: &Dismissal,
        person: &Person,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let mut tx = self.store.begin().await?;
        let mut names = Vec::new();
        for statement in dismissals(which, now.as_millisecond()) {
            for mut row in tx.run(statement).await? {
                names.push(row.text("name")?);
            }
        }
        keep_changes(&mut tx, &names, "dismissed", person, now).await?;
        tx.commit().await?;
        Ok(u64::try_from(names.len()).unwrap_or(u64::MAX))
    }

    pub(super) async fn keep_retried(
        &self,
        name: &str,
        taken: bool,
        person: &Person,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        keep_changes(&mut tx, &[name.to_owned()], "retried", person, now).await?;
        if taken {
            let sql = "update refusals set settled_at = $2, settled = 'put right' where name = $1 and settled_at is null";
            tx.run(Statement::new(sql).text(name).int(now.as_millisecond())).await?;
        }
        tx.commit().await
    }

    pub(super) async fn note_put_right(&self, key: &InboxKey, now: Timestamp) -> Result<(), Error> {
        let statement = Statement::new(
            "update refusals set settled_at = $3, settled = 'put right' where settled_at is null \
             and source = $1 and id = $2",
        )
        .text(super::inbox::short(&key.source))
        .text(super::inbox::short(&key.id))
        .int(now.as_millisecond());
        self.alone(statement).await.map(drop)
    }

    pub(super) async fn settle_what_came_in(&self, now: Timestamp) -> Result<u64, Error> {
        let statement = Statement::new(format!(
            "update refusals set settled_at = $1, settled = 'put right' where (council, source, id) in \
             (select f.council, f.source, f.id from refusals f where f.settled_at is null and ({PUT_RIGHT})) \
             and settled_at is null returning name"
        ))
        .int(now.as_millisecond());
        Ok(u64::try_from(self.alone(statement).await?.len()).unwrap_or(u64::MAX))
    }

    pub(super) async fn read_refusals(&self, name: &str, most: usize) -> Result<Vec<KeptRefusal>, Error> {
        let mut tx = self.store.snapshot().await?;
        let sql = "select name, source, id, council, ticket, path, reason, body, kept_as, received_at, settled_at, \
                   settled from refusals where name >= $1 and substr(name, 1, length($1)) = $1 order by name limit $2";
        let statement = Statement::new(sql).text(name).int(i64::try_from(most).unwrap_or(i64::MAX));
        let rows = tx.run(statement).await?;
        let mut found = rows.into_iter().map(|mut row| refusal(&mut row)).collect::<Result<Vec<_>, _>>()?;
        for one in &mut found {
            let sql = "select at, change, person, reason from problem_changes where name = $1 order by at";
            let rows = tx.run(Statement::new(sql).text(one.name.as_str())).await?;
            one.changes = rows.into_iter().map(|mut row| change(&mut row)).collect::<Result<_, _>>()?;
        }
        tx.commit().await?;
        Ok(found)
    }
}

async fn keep_changes(
    tx: &mut Tx,
    names: &[String],
    change: &str,
    person: &Person,
    now: Timestamp,
) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let statement = Statement::new(
        "with v as ({rows}) insert into problem_changes (name, at, change, person, reason) \
         select name, at, change, person, reason from v where true on conflict (name, at, change) do nothing",
    )
    .texts("name", &names, |name| *name)
    .ints("at", &names, |_| now.as_millisecond())
    .texts("change", &names, |_| change)
    .texts("person", &names, |_| person.name.as_str())
    .texts("reason", &names, |_| person.because.as_str());
    tx.run(statement).await.map(drop)
}

fn refusal(row: &mut Row) -> Result<KeptRefusal, Error> {
    let name = row.text("refusals.name")?;
    let key = InboxKey { source: row.text("refusals.source")?, id: row.text("refusals.id")? };
    let council = row.text("refusals.council")?;
    Ok(KeptRefusal {
        name,
        key,
        council: Council::parse(&council).ok(),
        ticket: row.maybe("refusals.ticket", Ticket::parse)?,
        path: row.maybe_text("refusals.path")?,
        reason: row.text("refusals.reason")?,
        body: row.text("refusals.body")?,
        kept_as: row.get("refusals.kept_as", KeptAs::parse)?,
        received_at: row.time("refusals.received_at")?,
        settled: {
            let at = row.maybe_time("refusals.settled_at")?;
            at.zip(row.maybe_text("refusals.settled")?)
        },
        changes: Vec::new(),
    })
}

fn change(row: &mut Row) -> Result<ProblemChange, Error> {
    Ok(ProblemChange {
        at: row.time("problem_changes.at")?,
        change: row.text("problem_changes.change")?,
        by: row.text("problem_changes.person")?,
        because: row.text("problem_changes.reason")?,
    })
}
