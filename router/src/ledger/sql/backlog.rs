//! How much there is of what waits or goes on: one statement over what is not done with.

use jiff::Timestamp;
use mappings::domain::{Council, HandoverState, SystemName};

use super::SqlLedger;
use super::store::{Statement, Tx};
use crate::ledger::{Backlog, ClosuresAgain, Error};

const COUNTS: &str = "select 'ticket', council, state, count(*) from requests where state <> 'closed' \
     group by council, state \
     union all select 'late', council, '', count(*) from requests where state <> 'closed' and target_at < $1 \
     group by council \
     union all select 'handover', system, 'due', count(*) from due group by system \
     union all select 'handover', system, 'awaiting', count(*) from handovers where state = 'awaiting' group by system \
     union all select 'handover', system, 'parked', count(*) from handovers where state = 'parked' group by system \
     union all select 'orphan', system, '', count(*) from completions where state = 'waiting' and request is null \
     and dismissed_at is null group by system";

impl SqlLedger {
    pub(super) async fn count_backlog(&self, now: Timestamp) -> Result<Backlog, Error> {
        let mut tx = self.store.snapshot().await?;
        let mut backlog = Backlog::default();
        for mut row in tx.run(Statement::new(COUNTS).int(now.as_millisecond())).await? {
            let what = row.text("what")?;
            let whose = row.text("whose")?;
            let state = row.text("state")?;
            let count = row.number("count")?;
            let stored =
                |error: mappings::domain::InvalidId| Error::Stored { column: "state", found: error.found };
            match what.as_str() {
                "ticket" => {
                    let council = Council::parse(&whose).map_err(stored)?;
                    backlog.tickets.push((council, state.parse().map_err(stored)?, count));
                }
                "late" => backlog.late.push((Council::parse(&whose).map_err(stored)?, count)),
                "handover" => {
                    let state: HandoverState = state.parse().map_err(stored)?;
                    backlog.handovers.push((SystemName::parse(&whose).map_err(stored)?, state, count));
                }
                _ => backlog.orphans.push((SystemName::parse(&whose).map_err(stored)?, count)),
            }
        }
        backlog.closures = closures_again(&mut tx).await?;
        tx.commit().await?;
        Ok(backlog)
    }
}

/// The closures that were tried before and are to be tried again, of each CRM, with the latest reason of one.
pub(super) async fn closures_again(tx: &mut Tx) -> Result<Vec<ClosuresAgain>, Error> {
    let sql = "select d.system, count(*), max(coalesce(a.reason, '')) from due d join attempts a \
               on a.council = d.council and a.request = d.request and a.call = d.id \
               and a.number = (select max(b.number) from attempts b where b.council = d.council \
               and b.request = d.request and b.call = d.id) \
               where d.operation = 'close' and d.attempts > 1 group by d.system order by d.system";
    let rows = tx.run(Statement::new(sql)).await?;
    rows.into_iter()
        .map(|mut row| {
            Ok(ClosuresAgain {
                system: row.get("due.system", SystemName::parse)?,
                count: row.number("count")?,
                reason: row.text("attempts.reason")?,
            })
        })
        .collect()
}
