//! What is asked of systems again and again, and fails.

use jiff::Timestamp;
use mappings::domain::SystemName;

use super::SqlLedger;
use super::store::{Row, Statement, Tx};
use crate::ledger::{Activity, Error, Failing, PollFailure};

const COLUMNS: &str = "system, activity, since, last_at, times, reason, lasting";

impl SqlLedger {
    pub(super) async fn add_failure(
        &self,
        (system, activity): (&SystemName, Activity),
        failure: &PollFailure,
        now: Timestamp,
    ) -> Result<(), Error> {
        let statement = Statement::new(
            "insert into failures (system, activity, since, last_at, times, reason, lasting) \
             values ($1, $2, $3, $3, 1, $4, $5) on conflict (system, activity) do update set \
             last_at = excluded.last_at, times = failures.times + 1, reason = excluded.reason, \
             lasting = excluded.lasting",
        )
        .text(system.as_str())
        .text(activity.as_str())
        .int(now.as_millisecond())
        .text(failure.reason.as_str())
        .int(i64::from(failure.lasting));
        self.alone(statement).await.map(drop)
    }

    pub(super) async fn remove_failure(&self, system: &SystemName, activity: Activity) -> Result<(), Error> {
        let statement = Statement::new("delete from failures where system = $1 and activity = $2")
            .text(system.as_str())
            .text(activity.as_str());
        self.alone(statement).await.map(drop)
    }

    pub(super) async fn all_failures(&self) -> Result<Vec<Failing>, Error> {
        let mut tx = self.store.snapshot().await?;
        let failing = all(&mut tx).await?;
        tx.close().await?;
        Ok(failing)
    }
}

pub(super) async fn all(tx: &mut Tx) -> Result<Vec<Failing>, Error> {
    let sql = format!("select {COLUMNS} from failures order by system, activity");
    tx.run(Statement::new(sql)).await?.into_iter().map(|mut row| failing(&mut row)).collect()
}

/// Those of the systems that have a part in a ticket.
pub(super) async fn of_request(tx: &mut Tx, council: &str, request: String) -> Result<Vec<Failing>, Error> {
    let statement = Statement::new(format!(
        "select {COLUMNS} from failures where system in (select h.system from handovers h where h.council = $1 \
         and h.request = $2) order by system, activity"
    ));
    let rows = tx.run(statement.text(council).text(request)).await?;
    rows.into_iter().map(|mut row| failing(&mut row)).collect()
}

fn failing(row: &mut Row) -> Result<Failing, Error> {
    Ok(Failing {
        system: row.get("failures.system", SystemName::parse)?,
        activity: row.get("failures.activity", Activity::parse)?,
        since: row.time("failures.since")?,
        last_at: row.time("failures.last_at")?,
        times: row.number("failures.times")?,
        failure: PollFailure { reason: row.text("failures.reason")?, lasting: row.flag("failures.lasting")? },
    })
}
