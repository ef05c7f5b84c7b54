//! Calls that are due: who takes them, and when an attempt begins.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use mappings::domain::{
    CallId, Council, HandoverId, Job, Operation, Phase, RequestId, Service, SystemName, Ticket,
};
use serde_json::Value;
use tokio::time::Instant;

use super::SqlLedger;
use super::record::held_of;
use super::store::{Row, Statement, Tx};
use crate::ledger::{Error, Lease, Recorded, Work, WorkerId};

/// A row of the due table as it was leased.
struct Leased {
    council: Council,
    call: CallId,
    handover: HandoverId,
    request: RequestId,
    operation: Operation,
    phase: Phase,
    lease: Lease,
    attempt: u32,
    spent: u32,
    begun: bool,
    rescued: bool,
    payload: Option<Value>,
    due_at: Timestamp,
    /// The request as it was when the call may have been sent for the first time, where it has changed since.
    document: Option<Value>,
}

/// What a call needs to know of its request and its handover.
struct About {
    job: Option<Job>,
    /// How far a call of the handover was carried out, beside that call.
    carried: Option<Value>,
    ticket: Ticket,
    service: Service,
    traceparent: Option<String>,
    document: Arc<Value>,
}

impl SqlLedger {
    pub(super) async fn lease_due(
        &self,
        system: &SystemName,
        most: usize,
        now: Timestamp,
        worker: WorkerId,
    ) -> Result<Vec<Work>, Error> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let asked_at = Instant::now();
        let mut tx = self.store.begin().await?;
        let statement = Statement::new(
            "with picked as (select council, id from due where system = $1 and worker is null and due_at <= $2 \
             order by due_at limit $3 {skip locked}) \
             update due set worker = $4, lease = due.lease + $5, attempts = due.attempts + 1 from picked \
             where due.council = picked.council and due.id = picked.id \
             returning due.council, due.id, due.handover, due.request, due.operation, due.phase, due.lease, \
             due.attempts, due.spent, due.begun, due.rescued, due.payload, due.due_at, due.document",
        )
        .text(system.as_str())
        .int(now.as_millisecond())
        .int(i64::try_from(most).unwrap_or(i64::MAX))
        .text(worker.0.to_string())
        .int(self.doubts.step());
        let rows = tx.run(statement).await?;
        if rows.is_empty() {
            tx.close().await?;
            return Ok(Vec::new());
        }
        let mut leased =
            rows.into_iter().map(|mut row| self::leased(&mut row)).collect::<Result<Vec<_>, _>>()?;
        leased.sort_by_key(|leased| (leased.due_at, leased.call));
        let mut about = about(&mut tx, &leased).await?;
        let mut work = Vec::with_capacity(leased.len());
        for leased in leased {
            let about = about.remove(&leased.handover).ok_or_else(|| Error::Stored {
                column: "due.handover",
                found: leased.handover.to_string(),
            })?;
            work.push(leased.with(about, system.clone(), asked_at));
        }
        match tx.commit().await {
            Ok(()) => Ok(work),
            Err(error) => {
                self.doubts.add_calls(worker, &work);
                Err(error)
            }
        }
    }

    pub(super) async fn mark_begun(
        &self,
        batch: &[(CallId, Council, Lease)],
    ) -> Result<Vec<Recorded>, Error> {
        let statement = Statement::new(
            "with v as ({rows}) update due set begun = 1 from v where due.council = v.council and due.id = v.id \
             and due.lease = v.lease and due.worker is not null returning due.id, due.lease",
        )
        .texts("council", batch, |(_, council, _)| council.as_str())
        .texts("id", batch, |(call, ..)| call.to_string())
        .ints("lease", batch, |(.., lease)| lease.0);
        let held = held_of(self.alone(statement).await?)?;
        let reply = |(call, _, lease): &(CallId, Council, Lease)| {
            if held.contains(&(*call, *lease)) { Recorded::Written } else { Recorded::LeaseLost }
        };
        Ok(batch.iter().map(reply).collect())
    }
}

fn leased(row: &mut Row) -> Result<Leased, Error> {
    Ok(Leased {
        council: row.get("due.council", Council::parse)?,
        call: row.get("due.id", CallId::parse)?,
        handover: row.get("due.handover", HandoverId::parse)?,
        request: row.get("due.request", RequestId::parse)?,
        operation: row.get("due.operation", str::parse)?,
        phase: row.get("due.phase", str::parse)?,
        lease: Lease(row.int("due.lease")?),
        attempt: row.number("due.attempts")?,
        spent: row.number("due.spent")?,
        begun: row.flag("due.begun")?,
        rescued: row.flag("due.rescued")?,
        payload: row.maybe("due.payload", mappings::digits::from_str)?,
        due_at: row.time("due.due_at")?,
        document: row.maybe("due.document", mappings::digits::from_str)?,
    })
}

async fn about(tx: &mut Tx, leased: &[Leased]) -> Result<HashMap<HandoverId, About>, Error> {
    let statement = Statement::new(
        "with v as ({rows}) select h.id, h.job, h.carried, r.ticket, r.service, r.traceparent, d.document from v \
         join handovers h on h.council = v.council and h.request = v.request and h.id = v.id \
         join requests r on r.council = v.council and r.id = v.request \
         join documents d on d.council = v.council and d.request = v.request",
    )
    .texts("council", leased, |leased| leased.council.as_str())
    .texts("request", leased, |leased| leased.request.to_string())
    .texts("id", leased, |leased| leased.handover.to_string());
    let rows = tx.run(statement).await?;
    rows.into_iter()
        .map(|mut row| {
            let handover = row.get("handovers.id", HandoverId::parse)?;
            let about = About {
                job: row.maybe("handovers.job", Job::parse)?,
                carried: row.maybe("handovers.carried", mappings::digits::from_str)?,
                ticket: row.get("requests.ticket", Ticket::parse)?,
                service: row.get("requests.service", Service::parse)?,
                traceparent: row.maybe_text("requests.traceparent")?,
                document: Arc::new(row.get("documents.document", mappings::digits::from_str)?),
            };
            Ok((handover, about))
        })
        .collect()
}

impl Leased {
    fn with(self, about: About, system: SystemName, asked_at: Instant) -> Work {
        let call = self.call.to_string();
        let is_of_this_call = |kept: &Value| kept["call"] == call.as_str();
        Work {
            call: self.call,
            handover: self.handover,
            request: self.request,
            council: self.council,
            ticket: about.ticket,
            service: about.service,
            system,
            operation: self.operation,
            phase: self.phase,
            lease: self.lease,
            attempt: self.attempt,
            spent: self.spent,
            rescued: self.rescued,
            begun: self.begun,
            job: about.job,
            carried: about.carried.filter(is_of_this_call).map(|mut kept| kept["walk"].take()),
            document: self.document.map_or(about.document, Arc::new),
            payload: self.payload,
            traceparent: about.traceparent,
            asked_at,
        }
    }
}
