//! Leased calls that were not begun, given back.

use super::SqlLedger;
use super::record::held_of;
use super::store::Statement;
use crate::ledger::{Deferral, Error, Recorded, WorkerId};

impl SqlLedger {
    pub(super) async fn give_back(
        &self,
        batch: &[Deferral],
        worker: WorkerId,
    ) -> Result<Vec<Recorded>, Error> {
        // What a dead worker may have done stays in doubt: `begun` and `rescued` are left as they are.
        let statement = Statement::new(
            "with v as ({rows}) update due set worker = null, attempts = due.attempts - 1, \
             due_at = case when v.not_before > due.due_at then v.not_before else due.due_at end from v \
             where due.council = v.council and due.id = v.id and due.lease = v.lease \
             and due.worker is not distinct from v.worker returning due.id, due.lease",
        )
        .texts("worker", batch, |_| worker.0.to_string())
        .texts("council", batch, |deferral| deferral.council.as_str())
        .texts("id", batch, |deferral| deferral.call.to_string())
        .ints("lease", batch, |deferral| deferral.lease.0)
        .ints("not_before", batch, |deferral| deferral.at.map(jiff::Timestamp::as_millisecond));
        let rows = self.alone(statement).await.inspect_err(|_| {
            let given = batch.iter().map(|deferral| (&deferral.council, deferral.call, deferral.lease));
            self.doubts.add_leases(worker, given);
        })?;
        let held = held_of(rows)?;
        let reply = |deferral: &Deferral| {
            if held.contains(&(deferral.call, deferral.lease)) {
                Recorded::Written
            } else {
                Recorded::LeaseLost
            }
        };
        Ok(batch.iter().map(reply).collect())
    }
}
