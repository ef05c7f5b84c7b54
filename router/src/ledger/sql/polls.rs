//! Whose turn it is to poll, and which jobs to ask about.

use std::time::Duration;

use jiff::Timestamp;
use mappings::domain::{Council, HandoverId, Job, Service, SystemName, Ticket};

use super::SqlLedger;
use super::store::Statement;
use crate::ledger::{Check, Error};

impl SqlLedger {
    pub(super) async fn take_turn(
        &self,
        system: &SystemName,
        now: Timestamp,
        every: Duration,
    ) -> Result<Option<Timestamp>, Error> {
        let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        // The last turn is kept, not the next: a pause that is made shorter or longer holds from now on.
        let statement = Statement::new(
            "insert into polls (system, position, turn_at) values ($1, $2, $2) on conflict (system) \
             do update set turn_at = excluded.turn_at where polls.turn_at <= $3 returning position",
        )
        .text(system.as_str())
        .int(now.as_millisecond())
        .int(now.as_millisecond().saturating_sub(every));
        let rows = self.alone(statement).await?;
        rows.into_iter().next().map(|mut row| row.time("polls.position")).transpose()
    }

    pub(super) async fn move_position(&self, system: &SystemName, position: Timestamp) -> Result<(), Error> {
        let statement = Statement::new(
            "update polls set position = case when position < $2 then $2 else position end, succeeded = 1 \
             where system = $1",
        )
        .text(system.as_str())
        .int(position.as_millisecond());
        self.alone(statement).await.map(drop)
    }

    pub(super) async fn take_checks(
        &self,
        system: &SystemName,
        before: Timestamp,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Check>, Error> {
        let statement = Statement::new(
            "with picked as (select council, request, id from handovers where system = $1 and state = 'awaiting' \
             and closure = 0 and job is not null and asked_at < $2 order by asked_at limit $3 {skip locked}) \
             update handovers set asked_at = $4 from picked where handovers.council = picked.council \
             and handovers.request = picked.request and handovers.id = picked.id \
             returning handovers.id, handovers.council, handovers.ticket, handovers.service, handovers.job",
        )
        .text(system.as_str())
        .int(before.as_millisecond())
        .int(i64::try_from(most).unwrap_or(i64::MAX))
        .int(now.as_millisecond());
        let rows = self.alone(statement).await?;
        rows.into_iter()
            .map(|mut row| {
                Ok(Check {
                    handover: row.get("handovers.id", HandoverId::parse)?,
                    council: row.get("handovers.council", Council::parse)?,
                    ticket: row.get("handovers.ticket", Ticket::parse)?,
                    service: row.get("handovers.service", Service::parse)?,
                    job: row.get("handovers.job", Job::parse)?,
                })
            })
            .collect()
    }
}
