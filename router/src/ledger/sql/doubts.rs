//! What may have been leased to a worker that never heard of it: a commit whose answer was lost.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use mappings::domain::{CallId, Council, EventId};

use super::store::{Statement, Tx};
use crate::ledger::{Error, Lease, Lessee, Outbox, Work, WorkerId, Written};

/// Leases that are void though their worker lives; its next heartbeat frees them.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    all: Mutex<Vec<Doubt>>,
    /// How many writes have left some.
    writes: AtomicI64,
}

#[derive(Debug, Clone)]
enum Doubt {
    Call { worker: WorkerId, council: Council, call: CallId, lease: Lease },
    Event { worker: WorkerId, event: EventId },
}

impl Doubts {
    /// How much higher the next lease of a call is than the one before it. A lease in doubt may never have been
    /// written: were its number given again, to the same worker, the lease would be voided that it holds.
    pub(super) fn step(&self) -> i64 {
        1 + self.writes.load(Ordering::Acquire)
    }

    /// Voids what a write leased, and gives the places back that it took.
    pub(super) fn add<R>(&self, lessee: &Lessee, written: &Written<R>) {
        for work in &written.work {
            lessee.room.of(&work.system).give_back();
        }
        if let Outbox::On(places) = &lessee.outbox {
            written.events.iter().for_each(|_| places.give_back());
        }
        self.add_calls(lessee.worker, &written.work);
        self.add_events(lessee.worker, written.events.iter().map(|event| event.id));
    }

    /// Voids the leases of some calls.
    pub(super) fn add_calls(&self, worker: WorkerId, calls: &[Work]) {
        self.add_leases(worker, calls.iter().map(|work| (&work.council, work.call, work.lease)));
    }

    /// The same, for calls that are known by their leases.
    pub(super) fn add_leases<'a>(
        &self,
        worker: WorkerId,
        leases: impl Iterator<Item = (&'a Council, CallId, Lease)>,
    ) {
        let doubt = |(council, call, lease): (&Council, _, _)| Doubt::Call {
            worker,
            council: council.clone(),
            call,
            lease,
        };
        self.extend(leases.map(doubt));
    }

    /// Voids the leases of some events.
    pub(super) fn add_events(&self, worker: WorkerId, events: impl Iterator<Item = EventId>) {
        self.extend(events.map(|event| Doubt::Event { worker, event }));
    }

    fn extend(&self, doubts: impl Iterator<Item = Doubt>) {
        self.writes.fetch_add(1, Ordering::AcqRel);
        self.all.lock().unwrap_or_else(PoisonError::into_inner).extend(doubts);
    }

    /// Takes all doubts; they are put back where they could not be settled.
    pub(super) fn take(&self) -> Taken<'_> {
        let doubts = std::mem::take(&mut *self.all.lock().unwrap_or_else(PoisonError::into_inner));
        Taken { from: self, doubts }
    }
}

/// Doubts that are being settled; put back when dropped before they [are](Taken::settled).
pub(super) struct Taken<'a> {
    from: &'a Doubts,
    doubts: Vec<Doubt>,
}

impl Taken<'_> {
    /// Frees the rows, where they are held under the lease in doubt. Nothing was tried under it.
    pub(super) async fn free(&self, tx: &mut Tx) -> Result<(), Error> {
        let mut calls = Vec::new();
        let mut events = Vec::new();
        for doubt in &self.doubts {
            match doubt {
                Doubt::Call { worker, council, call, lease } => calls.push((worker, council, call, lease)),
                Doubt::Event { worker, event } => events.push((worker, event)),
            }
        }
        if !calls.is_empty() {
            let statement = Statement::new(
                "with v as ({rows}) update due set worker = null, attempts = due.attempts - 1 from v where due.council = v.council \
                 and due.id = v.id and due.worker = v.worker and due.lease = v.lease",
            )
            .texts("worker", &calls, |(worker, ..)| worker.0.to_string())
            .texts("council", &calls, |(_, council, ..)| council.as_str())
            .texts("id", &calls, |(_, _, call, _)| call.to_string())
            .ints("lease", &calls, |(.., lease)| lease.0);
            tx.run(statement).await?;
        }
        if !events.is_empty() {
            let statement = Statement::new(
                "with v as ({rows}) update outbox set worker = null from v \
                 where outbox.id = v.id and outbox.worker = v.worker",
            )
            .texts("worker", &events, |(worker, _)| worker.0.to_string())
            .texts("id", &events, |(_, event)| event.to_string());
            tx.run(statement).await?;
        }
        Ok(())
    }

    /// The rows are free, and that is committed.
    pub(super) fn settled(mut self) {
        self.doubts.clear();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let doubts = self.doubts.drain(..);
        self.from.all.lock().unwrap_or_else(PoisonError::into_inner).extend(doubts);
    }
}
