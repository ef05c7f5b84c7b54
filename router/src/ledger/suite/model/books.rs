//! What the model knows of the ledger: leases, attempts, and how things stood a moment ago.

use std::collections::{HashMap, HashSet};

use mappings::domain::{CallId, Disposition, HandoverId, HandoverState, RequestId, RequestState, SystemName};

use crate::event::Kind;
use crate::ledger::{Handover, History, Lease, Work};

/// The books that are kept beside a ledger.
#[derive(Default)]
pub(super) struct Books {
    /// Deliveries that were accepted.
    pub(super) deliveries: HashSet<u8>,
    /// Completions that were heard.
    pub(super) words: HashSet<(SystemName, u8)>,
    calls: HashMap<CallId, Call>,
    requests: HashMap<RequestId, RequestState>,
    handovers: HashMap<HandoverId, (HandoverState, Option<Disposition>)>,
}

struct Call {
    work: Work,
    lease: Lease,
    held: bool,
    /// Leases that were given back unused.
    unused: i64,
    settled: bool,
    recorded: u32,
}

impl Books {
    /// A call was leased: never while another holds it, never once it is settled, each time under the next number.
    pub(super) fn lease(&mut self, work: &Work) {
        let call = self.calls.entry(work.call).or_insert_with(|| Call {
            work: work.clone(),
            lease: Lease(0),
            held: false,
            unused: 0,
            settled: false,
            recorded: 0,
        });
        assert!(!call.held, "a call was leased twice at once");
        assert!(!call.settled, "a call was leased after it was settled");
        assert_eq!(work.lease, Lease(call.lease.0 + 1));
        assert_eq!(i64::from(work.attempt), work.lease.0 - call.unused, "attempts are miscounted");
        call.lease = work.lease;
        call.held = true;
    }

    /// A call is given back; whether the lease allows it.
    pub(super) fn defer(&mut self, work: &Work) -> bool {
        let Some(call) = self.calls.get_mut(&work.call).filter(|call| call.held && call.lease == work.lease)
        else {
            return false;
        };
        call.held = false;
        call.unused += 1;
        true
    }

    /// A call is settled; whether the lease allows it.
    pub(super) fn settle(&mut self, work: &Work, ends: bool) -> bool {
        let Some(call) = self.calls.get_mut(&work.call) else { return false };
        if !call.held || call.lease != work.lease {
            return false;
        }
        call.held = false;
        call.settled = ends;
        call.recorded += 1;
        true
    }

    /// Whether a call is held under the lease it was given out with.
    pub(super) fn holds(&self, work: &Work) -> bool {
        self.calls.get(&work.call).is_some_and(|call| call.held && call.lease == work.lease)
    }

    /// No lease is held any more.
    pub(super) fn all_free(&mut self) {
        self.calls.values_mut().for_each(|call| call.held = false);
    }

    /// The latest call to a system for a ticket.
    pub(super) fn call_for(&self, ticket: &str, system: &SystemName) -> Option<&Work> {
        let works = self.calls.values().map(|call| &call.work);
        works
            .filter(|work| work.ticket.as_str() == ticket && work.system == *system)
            .max_by_key(|work| work.handover)
    }

    /// A ticket as the ledger has it, against how it stood before and against the leases.
    pub(super) fn compare(&mut self, history: &History) {
        let state = history.line.state;
        let before = self.requests.insert(history.line.request, state).unwrap_or(RequestState::Open);
        assert!(is_legal(before, state), "the ticket went from {before} to {state}");
        let closures = history.events.iter().filter(|event| event.kind == Kind::Closed).count();
        assert!(closures <= 1, "{closures} closures of one opening");
        if matches!(state, RequestState::Closing | RequestState::Closed) {
            assert_eq!(closures, 1, "{state} without a closure");
        }
        if state == RequestState::Held {
            assert!(history.line.reason.is_some(), "held without a reason");
        }
        let closing = history.handovers.iter().filter(|handover| handover.closure).count();
        assert_eq!(closing, closures, "a closure and its call belong together");
        for handover in &history.handovers {
            self.compare_handover(handover);
        }
        let mut work = history.handovers.iter().filter(|handover| !handover.closure);
        if state == RequestState::Open {
            assert!(work.any(|handover| handover.state != HandoverState::Ended), "all ended, yet open");
        }
    }

    fn compare_handover(&mut self, handover: &Handover) {
        let now = (handover.state, handover.disposition);
        let before = self.handovers.insert(handover.id, now).unwrap_or((HandoverState::Due, None));
        let legal = match before.0 {
            HandoverState::Due => true,
            HandoverState::Awaiting => matches!(now.0, HandoverState::Awaiting | HandoverState::Ended),
            HandoverState::Parked => now.0 != HandoverState::Due,
            HandoverState::Ended => now == before,
        };
        assert!(legal, "the handover went from {before:?} to {now:?}");
        assert_eq!(handover.due_at.is_some(), handover.state == HandoverState::Due, "{handover:?}");
        assert_eq!(handover.disposition.is_some(), handover.state == HandoverState::Ended, "{handover:?}");
        assert_eq!(handover.class.is_some(), handover.state == HandoverState::Parked, "{handover:?}");
        let calls = self.calls.values().filter(|call| call.work.handover == handover.id);
        let recorded: u32 = calls.map(|call| call.recorded).sum();
        assert_eq!(handover.attempts, recorded, "every attempt is on record, and no other");
    }

    /// Every call was settled.
    pub(super) fn nothing_is_due(&self) {
        let open = self.calls.values().filter(|call| !call.settled).count();
        assert_eq!(open, 0, "{open} calls are left");
        let due = self.handovers.values().filter(|(state, _)| *state == HandoverState::Due).count();
        assert_eq!(due, 0, "{due} handovers are still due");
    }
}

fn is_legal(before: RequestState, now: RequestState) -> bool {
    match before {
        RequestState::Open => true,
        RequestState::Held => now == RequestState::Held,
        RequestState::Closing => now != RequestState::Open,
        RequestState::Closed => matches!(now, RequestState::Closed | RequestState::Held),
    }
}
