//! The states of a request and of a handover. `docs/STATES.md` draws them.

use super::disposition::words;

words!(
    /// Where one opening of a ticket stands.
    RequestState, "request state", {
        /// At least one handover has not ended. Moved on by the last completion.
        Open = "open",
        /// A person must decide how it ends. Moved on by a person.
        Held = "held",
        /// The closure is written and the CRM has yet to take it. Moved on by dispatch.
        Closing = "closing",
        /// The closure is written and, where the CRM takes calls, taken. Final for this opening.
        Closed = "closed",
    }
);

words!(
    /// Where one request's piece of work for one system stands.
    HandoverState, "handover state", {
        /// A call is due or under way. Moved on by dispatch.
        Due = "due",
        /// The system has the job. Moved on by a completion.
        Awaiting = "awaiting",
        /// The job ended with a disposition. Final, but for a correction by a person.
        Ended = "ended",
        /// Set aside for a person, with a reason. Moved on by a replay or a decision.
        Parked = "parked",
    }
);

words!(
    /// What a call asks of a system.
    Operation, "operation", {
        /// Order the job.
        Create = "create",
        /// Tell the system what changed.
        Amend = "amend",
        /// Call the job off.
        Cancel = "cancel",
        /// Close the ticket in the CRM.
        Close = "close",
    }
);

words!(
    /// What the next attempt of a call does.
    Phase, "phase", {
        /// Make the call.
        Send = "send",
        /// The outcome of an earlier attempt is unknown: ask the system by our reference first.
        LookUp = "look_up",
    }
);

words!(
    /// Why a handover was parked, which decides who can help.
    ParkClass, "park class", {
        /// The request lacks or misstates something the system needs: the contact centre can help.
        Data = "data",
        /// The system refused in words that its mapping does not know: its owner can help.
        Refused = "refused",
        /// The system or the way to it does not work: IT can help.
        Technical = "technical",
        /// The call may have been carried out, and the system offers no way to find out.
        Uncertain = "uncertain",
    }
);
