//! How systems stand as a whole: paused by a person, or left alone because they do not answer.

use jiff::Timestamp;
use mappings::domain::SystemName;
use uuid::Uuid;

use super::SqlLedger;
use super::store::{Row, Statement, Tx};
use crate::ledger::{Breaker, Error, Halt, Pause, Switch, Switched, SystemChange, WorkerId};

const COLUMNS: &str = "system, paused_at, paused_by, pause_reason, failing_since, openings, probe_at, failure, \
     prober, probe_until";

impl SqlLedger {
    pub(super) async fn all_halts(&self) -> Result<Vec<Halt>, Error> {
        let mut tx = self.store.snapshot().await?;
        let sql = format!("select {COLUMNS} from systems where paused_at is not null or openings > 0");
        let rows = tx.run(Statement::new(sql)).await?;
        tx.commit().await?;
        rows.into_iter().map(|mut row| halt(&mut row)).collect()
    }

    pub(super) async fn halt_or_go_on(
        &self,
        system: &SystemName,
        switch: &Switch,
        now: Timestamp,
    ) -> Result<Switched, Error> {
        let mut tx = self.store.begin().await?;
        let known = "insert into systems (system, openings) values ($1, 0) on conflict (system) do nothing";
        tx.run(Statement::new(known).text(system.as_str())).await?;
        let applied = !tx.run(update(system, switch, now)).await?.is_empty();
        if applied {
            add_change(&mut tx, system, switch, now).await?;
        }
        let halt = of_one(&mut tx, system).await?;
        tx.commit().await?;
        Ok(Switched { applied, halt })
    }

    pub(super) async fn changes(&self, most: usize) -> Result<Vec<SystemChange>, Error> {
        let mut tx = self.store.snapshot().await?;
        let sql = "select system, at, change, person, reason from system_changes \
                   order by at desc, system, change limit $1";
        let rows = tx.run(Statement::new(sql).int(i64::try_from(most).unwrap_or(i64::MAX))).await?;
        tx.commit().await?;
        let change = |mut row: Row| {
            Ok(SystemChange {
                system: row.get("system_changes.system", SystemName::parse)?,
                at: row.time("system_changes.at")?,
                change: row.text("system_changes.change")?,
                by: row.maybe_text("system_changes.person")?,
                reason: row.maybe_text("system_changes.reason")?,
            })
        };
        rows.into_iter().map(change).collect()
    }
}

/// The conditional update of a switch: it returns a row where it applies.
fn update(system: &SystemName, switch: &Switch, now: Timestamp) -> Statement {
    let now = now.as_millisecond();
    let of = |sql: &'static str| Statement::new(sql).text(system.as_str()).int(now);
    match switch {
        Switch::Pause { by, reason } => {
            of("update systems set paused_at = $2, paused_by = $3, pause_reason = $4 \
             where system = $1 and paused_at is null returning system")
            .text(by.as_str())
            .text(reason.as_deref())
        }
        Switch::Resume { .. } => {
            of("update systems set paused_at = null, paused_by = null, pause_reason = null, \
             probe_at = case when openings > 0 then $2 end, prober = null, probe_until = null \
             where system = $1 and (paused_at is not null or openings > 0) returning system")
        }
        Switch::Open { openings, probe_at, reason } => of("update systems set openings = openings + 1, \
             failing_since = coalesce(failing_since, $2), probe_at = $3, failure = $4, prober = null, \
             probe_until = null where system = $1 and openings = $5 returning system")
        .int(probe_at.as_millisecond())
        .text(reason.as_str())
        .int(i64::from(*openings)),
        Switch::Probe { worker, until } => {
            of("update systems set prober = $3, probe_until = $4 where system = $1 \
             and openings > 0 and paused_at is null and probe_at <= $2 \
             and (prober is null or probe_until <= $2) returning system")
            .text(worker.0.to_string())
            .int(until.as_millisecond())
        }
        // The time is not needed, but a statement must use what it binds.
        Switch::Close { worker } => {
            of("update systems set openings = 0, failing_since = null, probe_at = null, \
             failure = null, prober = null, probe_until = null where system = $1 and openings > 0 \
             and prober = $3 and $2 > 0 returning system")
            .text(worker.0.to_string())
        }
        Switch::Answered => of("update systems set openings = 0, failing_since = null, probe_at = null, \
             failure = null, prober = null, probe_until = null where system = $1 and openings > 0 \
             and $2 > 0 returning system"),
    }
}

async fn add_change(tx: &mut Tx, system: &SystemName, switch: &Switch, now: Timestamp) -> Result<(), Error> {
    let (change, by, reason) = match switch {
        Switch::Pause { by, reason } => ("paused", Some(by), reason.as_ref()),
        Switch::Resume { by } => ("resumed", Some(by), None),
        Switch::Open { reason, .. } => ("opened", None, Some(reason)),
        Switch::Close { .. } | Switch::Answered => ("closed", None, None),
        Switch::Probe { .. } => return Ok(()),
    };
    let statement = Statement::new(
        "insert into system_changes (system, at, change, person, reason) values ($1, $2, $3, $4, $5) \
         on conflict (system, at, change) do nothing",
    )
    .text(system.as_str())
    .int(now.as_millisecond())
    .text(change)
    .text(by.map(String::as_str))
    .text(reason.map(String::as_str));
    tx.run(statement).await.map(drop)
}

async fn of_one(tx: &mut Tx, system: &SystemName) -> Result<Halt, Error> {
    let statement = Statement::new(format!("select {COLUMNS} from systems where system = $1"));
    let rows = tx.run(statement.text(system.as_str())).await?;
    let mut row = rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)?;
    halt(&mut row)
}

/// The standings of the systems that have a part in a ticket.
pub(super) async fn of_request(tx: &mut Tx, council: &str, request: String) -> Result<Vec<Halt>, Error> {
    let statement = Statement::new(format!(
        "select {COLUMNS} from systems where (paused_at is not null or openings > 0) and system in \
         (select h.system from handovers h where h.council = $1 and h.request = $2)"
    ));
    let rows = tx.run(statement.text(council).text(request)).await?;
    rows.into_iter().map(|mut row| halt(&mut row)).collect()
}

fn halt(row: &mut Row) -> Result<Halt, Error> {
    let system = row.get("systems.system", SystemName::parse)?;
    let (paused_at, by) = (row.maybe_time("systems.paused_at")?, row.maybe_text("systems.paused_by")?);
    let reason = row.maybe_text("systems.pause_reason")?;
    let since = row.maybe_time("systems.failing_since")?;
    let openings: u32 = row.number("systems.openings")?;
    let probe_at = row.maybe_time("systems.probe_at")?;
    let failure = row.maybe_text("systems.failure")?;
    let prober = row.maybe("systems.prober", |id| Uuid::parse_str(id).map(WorkerId))?;
    let probe_until = row.maybe_time("systems.probe_until")?;
    Ok(Halt {
        system,
        pause: paused_at.map(|at| Pause { by: by.unwrap_or_default(), at, reason }),
        breaker: match (since, probe_at) {
            (Some(since), Some(probe_at)) if openings > 0 => Some(Breaker {
                since,
                openings,
                probe_at,
                reason: failure.unwrap_or_default(),
                prober: prober.zip(probe_until),
            }),
            (Some(_) | None, Some(_) | None) => None,
        },
    })
}
