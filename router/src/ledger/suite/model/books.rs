//! What the model knows of the ledger: leases, attempts, and how things stood a moment ago.

use std::collections::{HashMap, HashSet};

use mappings::domain::{
    CallId, Disposition, HandoverId, HandoverState, Operation, RequestId, RequestState, SystemName,
};

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
    /// What each handover's system heard last.
    order: HashMap<HandoverId, (Operation, String, CallId)>,
    /// Openings that a person decided about since they were last compared.
    decided: HashSet<RequestId>,
    /// Openings that a person decided about at any time.
    touched: HashSet<RequestId>,
    /// How many closures of an opening a person asked for, or made possible by keeping it open after one.
    closed: HashMap<RequestId, usize>,
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
    /// No two calls of one handover are live, and a system hears of a ticket in order.
    pub(super) fn lease(&mut self, work: &Work) {
        self.compare_order(work);
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

    fn compare_order(&mut self, work: &Work) {
        let others = self.calls.values().filter(|call| call.work.handover == work.handover);
        for other in others.filter(|call| call.work.call != work.call) {
            assert!(other.settled, "two calls of one handover are live");
        }
        let said = work.payload.as_ref().and_then(|payload| payload["reason"].as_str()).unwrap_or_default();
        let now = (work.operation, said.to_owned(), work.call);
        if let Some((operation, before, call)) = self.order.insert(work.handover, now)
            && call != work.call
        {
            let follows = match (operation, work.operation) {
                (Operation::Create, Operation::Amend | Operation::Cancel) => true,
                (Operation::Amend, Operation::Amend | Operation::Cancel) => *before < *said,
                (Operation::Create | Operation::Amend | Operation::Cancel | Operation::Close, _) => false,
            };
            assert!(follows, "{} {said} after {operation} {before}", work.operation);
        }
    }

    /// A ticket was opened again: what was asked for the opening before is asked no more.
    pub(super) fn leave(&mut self, history: &History) {
        assert!(matches!(history.line.state, RequestState::Closing | RequestState::Closed));
        for handover in &history.handovers {
            self.void(handover.id);
            self.handovers.remove(&handover.id);
        }
    }

    fn void(&mut self, handover: HandoverId) {
        for call in self.calls.values_mut().filter(|call| call.work.handover == handover) {
            call.settled = true;
            call.held = false;
        }
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

    /// A person decided: a call goes on, or a ticket closes or stays open. `closes` when it may be closed once more.
    pub(super) fn decided(&mut self, request: RequestId, released: Option<HandoverId>, closes: bool) {
        self.decided.insert(request);
        self.touched.insert(request);
        *self.closed.entry(request).or_default() += usize::from(closes);
        for call in self.calls.values_mut().filter(|call| Some(call.work.handover) == released) {
            call.settled = false;
        }
        if let Some(handover) = released {
            self.handovers.insert(handover, (HandoverState::Due, None));
        }
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
        let decided = self.decided.remove(&history.line.request);
        assert!(decided || is_legal(before, state), "the ticket went from {before} to {state}");
        let by_persons = self.closed.get(&history.line.request).copied().unwrap_or(0);
        let closures = history.events.iter().filter(|event| event.kind == Kind::Closed).count();
        assert!(closures <= 1 + by_persons, "{closures} closures of one opening");
        if matches!(state, RequestState::Closing | RequestState::Closed) {
            assert!(closures >= 1, "{state} without a closure");
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
        if state == RequestState::Open && !self.touched.contains(&history.line.request) {
            let goes_on =
                |handover: &Handover| handover.state != HandoverState::Ended || handover.operation.is_some();
            assert!(work.any(goes_on), "all ended, yet open");
        }
    }

    fn compare_handover(&mut self, handover: &Handover) {
        let now = (handover.state, handover.disposition);
        let before = self.handovers.insert(handover.id, now).unwrap_or((HandoverState::Due, None));
        let legal = match before.0 {
            HandoverState::Due => true,
            HandoverState::Awaiting => now.0 != HandoverState::Due,
            HandoverState::Parked => now.0 != HandoverState::Due,
            HandoverState::Ended => now == before,
        };
        assert!(legal, "the handover went from {before:?} to {now:?}");
        let live = handover.operation.is_some() && handover.state != HandoverState::Parked;
        assert_eq!(handover.due_at.is_some(), live, "{handover:?}");
        assert!(handover.operation.is_some() || handover.waiting == 0, "nothing goes on: {handover:?}");
        assert!(handover.state != HandoverState::Due || live, "{handover:?}");
        assert_eq!(handover.disposition.is_some(), handover.state == HandoverState::Ended, "{handover:?}");
        assert_eq!(handover.class.is_some(), handover.state == HandoverState::Parked, "{handover:?}");
        if !live {
            self.void(handover.id);
        }
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
