//! What comes in: deliveries that were understood, and those that were not.

use jiff::Timestamp;
use mappings::domain::{Council, OneLine, Request, RequestId, Revised, Revision, SystemName, Ticket};

use sha2::{Digest as _, Sha256};

use super::ClockSetting;

/// Where a delivery came from: CloudEvents `source` and `id`. A second delivery with the same key is a duplicate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InboxKey {
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
}

/// A delivery that was understood and routed.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its inbox key; the ledger puts the council before it.
    pub key: InboxKey,
    /// What it asks.
    pub change: Change,
    /// The W3C trace it came with.
    pub traceparent: Option<String>,
    /// The name of the HTTP key it was sent with; none at other doors.
    pub sent_with: Option<String>,
    /// When it was received, on the ledger's clock.
    pub received_at: Timestamp,
}

/// What an arrival does to its ticket.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new request, with the systems its route names. A ticket that is open already makes it a duplicate.
    Submitted {
        /// The request.
        request: Request,
        /// The systems that get a handover each.
        systems: Vec<SystemName>,
        /// How its clock is set.
        clock: ClockSetting,
    },
    /// The customer changed their mind about a ticket.
    Revised(Revised),
}

impl Arrival {
    /// The ticket it is about.
    pub fn subject(&self) -> (&Council, &Ticket) {
        match &self.change {
            Change::Submitted { request, .. } => (&request.council, &request.ticket),
            Change::Revised(revised) => (&revised.council, &revised.ticket),
        }
    }

    /// What it asks, and of which ticket: what two deliveries of one event have in common beside their key. A revision is known
    /// by its data, too: what another one says would be lost if it counted as a second delivery of this.
    pub fn about(&self) -> String {
        match &self.change {
            Change::Submitted { request, .. } => format!("submitted {}", request.ticket),
            Change::Revised(revised) => {
                let mut data = revised.data.clone();
                data.sort_all_objects();
                let digest = Sha256::digest(data.to_string());
                let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                format!("{} {} {digest}", revised.revision, revised.ticket)
            }
        }
    }
}

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the ledger.
    New(RequestId),
    /// The same delivery was accepted before.
    DuplicateDelivery,
    /// A delivery about something else was accepted under its key before: nothing was done.
    IdInUse,
    /// Another delivery has opened this ticket already, and it is not closed.
    DuplicateTicket(RequestId),
    /// A revision of a ticket that the ledger does not know yet: it is kept, and applied when its request comes.
    Early,
}

/// A delivery that could not be understood or routed. It is kept, answered where its ticket is known, and done with.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Its inbox key; for what carries none, `source` names the door and `id` is a digest of the body.
    pub key: InboxKey,
    /// The council, where it could be read.
    pub council: Option<Council>,
    /// The ticket, where it could be read.
    pub ticket: Option<Ticket>,
    /// Where in the document, as a dotted path.
    pub path: Option<OneLine>,
    /// Why, with what was found and what was expected: it goes to logs, events and pages.
    pub reason: OneLine,
    /// What it asked to be changed; `None` for a request, and where that could not be read.
    pub revision: Option<Revision>,
    /// The body, cut to 64 KiB, not necessarily text.
    pub body: Vec<u8>,
    /// How the body can be read again.
    pub kept_as: KeptAs,
    /// When it was received.
    pub received_at: Timestamp,
    /// The W3C trace it came with.
    pub traceparent: Option<String>,
    /// The name of the HTTP key it was sent with; none at other doors.
    pub sent_with: Option<String>,
}

/// How the body of a refused delivery can be read again, after its cause was mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptAs {
    /// A CloudEvent in structured mode.
    Event,
    /// A message of a CRM in its own form; the inbox key's source names the CRM.
    Native,
    /// A ticket that was read out of a CRM; the inbox key's source names the CRM.
    Polled,
    /// The item of a CRM's list whose ticket could not be read.
    Listed,
    /// What a system said of its work, or a part of a body: it is not read again.
    Nothing,
}

impl KeptAs {
    const ALL: [Self; 5] = [Self::Event, Self::Native, Self::Polled, Self::Listed, Self::Nothing];

    /// The word in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Native => "native",
            Self::Polled => "polled",
            Self::Listed => "listed",
            Self::Nothing => "nothing",
        }
    }

    /// Reads the word in the ledger.
    pub(super) fn parse(word: &str) -> Result<Self, &'static str> {
        Self::ALL.into_iter().find(|kept| kept.as_str() == word).ok_or("how a body is kept")
    }
}
