//! When systems are asked about the jobs that are still open, and what that came to.

use jiff::Timestamp;
use mappings::domain::{Council, HandoverId, Job, Progress, Service, SystemName, Ticket};
use serde_json::Value;

use super::store::{Row, Statement};
use super::{SqlLedger, backlog, failures};
use crate::ledger::{Asked, Check, Error, OpenJob, Reconciled, Turn, WorkerId};

impl SqlLedger {
    pub(super) async fn take_reconciliation(&self, system: &SystemName, turn: &Turn) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        // A pause that was made shorter holds from now on.
        let known = "insert into reconciliations (system, due_at) values ($1, $2) on conflict (system) do update \
                     set due_at = excluded.due_at where reconciliations.due_at > excluded.due_at";
        let known = Statement::new(known).text(system.as_str()).int(turn.first.as_millisecond());
        tx.run(known).await?;
        let statement = Statement::new(
            "update reconciliations set worker = $2, held_until = $4 where system = $1 and \
             (worker = $2 or ((due_at <= $3 or $5 = 1) and (held_until is null or held_until <= $3))) \
             returning system",
        )
        .text(system.as_str())
        .text(turn.worker.0.to_string())
        .int(turn.now.as_millisecond())
        .int(turn.until.as_millisecond())
        .int(i64::from(turn.at_once));
        let taken = !tx.run(statement).await?.is_empty();
        tx.commit().await?;
        Ok(taken)
    }

    pub(super) async fn page_of_open_jobs(
        &self,
        system: &SystemName,
        place: Option<(Timestamp, HandoverId)>,
        most: usize,
    ) -> Result<Vec<OpenJob>, Error> {
        let (at, id) =
            place.map_or((i64::MIN, String::new()), |(at, id)| (at.as_millisecond(), id.to_string()));
        let statement = Statement::new(
            "select id, council, ticket, service, job, progress, said, said_at, asked_at from handovers \
             where system = $1 and state = 'awaiting' and closure = 0 and job is not null \
             and (asked_at, id) > ($2, $3) order by asked_at, id limit $4",
        )
        .text(system.as_str())
        .int(at)
        .text(id)
        .int(i64::try_from(most).unwrap_or(i64::MAX));
        let mut tx = self.store.snapshot().await?;
        let rows = tx.run(statement).await?;
        tx.close().await?;
        rows.into_iter().map(open_job).collect()
    }

    pub(super) async fn keep_reconciled(
        &self,
        system: &SystemName,
        worker: WorkerId,
        reconciled: &Reconciled,
    ) -> Result<bool, Error> {
        let statement = Statement::new(
            "update reconciliations set due_at = $3, ended_at = $4, report = $5, worker = null, held_until = null, \
             why = case when $6 = 1 then null else why end where system = $1 and worker = $2 returning system",
        )
        .text(system.as_str())
        .text(worker.0.to_string())
        .int(reconciled.due_at.as_millisecond())
        .int(reconciled.ended_at.as_millisecond())
        .text(reconciled.report.to_string())
        .int(i64::from(reconciled.whole));
        Ok(!self.alone(statement).await?.is_empty())
    }

    pub(super) async fn keep_gap(
        &self,
        system: &SystemName,
        why: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        let due = Statement::new(
            "insert into reconciliations (system, due_at, why) values ($1, $2, $3) on conflict (system) do update \
             set due_at = case when reconciliations.due_at < excluded.due_at then reconciliations.due_at \
             else excluded.due_at end, why = coalesce(excluded.why, reconciliations.why)",
        )
        .text(system.as_str())
        .int(now.as_millisecond())
        .text(why);
        tx.run(due).await?;
        if why.is_none() {
            return tx.commit().await;
        }
        let change = Statement::new(
            "insert into system_changes (system, at, change, person, reason) values ($1, $2, 'gap', null, $3) \
             on conflict (system, at, change) do nothing",
        )
        .text(system.as_str())
        .int(now.as_millisecond())
        .text(why);
        tx.run(change).await?;
        tx.commit().await
    }

    pub(super) async fn all_asked(&self) -> Result<Vec<Asked>, Error> {
        let statement = Statement::new(
            "select s.system, p.position, p.succeeded, r.due_at, r.why, r.ended_at, r.report from (select system \
             from polls union select system from reconciliations union select system from failures) s \
             left join polls p on p.system = s.system left join reconciliations r on r.system = s.system \
             order by s.system",
        );
        let mut tx = self.store.snapshot().await?;
        let rows = tx.run(statement).await?;
        let failing = failures::all(&mut tx).await?;
        let closures = backlog::closures_again(&mut tx).await?;
        tx.close().await?;
        let mut all = rows.into_iter().map(asked).collect::<Result<Vec<_>, Error>>()?;
        for one in failing {
            if let Some(asked) = all.iter_mut().find(|asked| asked.system == one.system) {
                asked.failing.push(one);
            }
        }
        for one in closures {
            match all.iter_mut().find(|asked| asked.system == one.system) {
                Some(asked) => asked.closures = Some(one),
                None => all.push(Asked { closures: Some(one.clone()), ..Asked::nothing(one.system) }),
            }
        }
        Ok(all)
    }
}

fn open_job(mut row: Row) -> Result<OpenJob, Error> {
    let handover = row.get("handovers.id", HandoverId::parse)?;
    let check = Check {
        handover,
        council: row.get("handovers.council", Council::parse)?,
        ticket: row.get("handovers.ticket", Ticket::parse)?,
        service: row.get("handovers.service", Service::parse)?,
        job: row.get("handovers.job", Job::parse)?,
    };
    Ok(OpenJob {
        check,
        progress: row.maybe("handovers.progress", str::parse::<Progress>)?,
        said: row.maybe_text("handovers.said")?,
        said_at: row.maybe_time("handovers.said_at")?,
        place: (row.time("handovers.asked_at")?, handover),
    })
}

fn asked(mut row: Row) -> Result<Asked, Error> {
    let system = row.get("system", SystemName::parse)?;
    let polled_to = row.maybe_time("polls.position")?;
    let succeeded = row.maybe_int("polls.succeeded")? == Some(1);
    let (due_at, why) = (row.maybe_time("reconciliations.due_at")?, row.maybe_text("reconciliations.why")?);
    let ended_at = row.maybe_time("reconciliations.ended_at")?;
    let report = row.maybe("reconciliations.report", |text| text.parse::<Value>())?;
    Ok(Asked {
        system,
        polled_to,
        succeeded,
        failing: Vec::new(),
        closures: None,
        due_at,
        why,
        last: ended_at.zip(report),
    })
}
