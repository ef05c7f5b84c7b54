//! How a system tells that a job changed: by calling us, or by being asked.

use std::time::Duration;

use super::{Answer, ReadError, Report, Secret};

/// How a system calls us.
#[derive(Debug)]
pub struct Webhook {
    /// The path it calls, for example `/callbacks/waste`.
    pub path: String,
    /// How a caller proves who it is.
    pub verify: Verify,
    /// For thin events: the call that reads the job back, with the event as `$.event`.
    pub read_back: Option<String>,
    /// Status and text of our answer.
    pub reply: (u16, String),
}

impl Webhook {
    /// What the event says. The answer's status is not looked at.
    ///
    /// # Errors
    /// [`ReadError`] when the body cannot be read, or holds no report.
    pub fn reports(&self, event: &Answer) -> Result<Vec<Report>, ReadError> {
        let _ = event;
        unimplemented!()
    }
}

/// How a caller of a webhook proves who it is.
#[derive(Debug)]
pub enum Verify {
    /// Not at all: only for a closed network.
    None,
    /// A secret known to both, somewhere in the event.
    SharedSecret {
        /// Where it stands.
        place: SecretPlace,
        /// What must stand there.
        value: Secret,
    },
    /// HTTP basic authentication.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// An HMAC-SHA256 of the body in a header.
    HmacSha256 {
        /// The header.
        header: String,
        /// The key.
        secret: Secret,
        /// How the signature is written.
        encoding: Encoding,
        /// What stands before the signature, for example `sha256=`; often empty.
        prefix: String,
    },
    /// Standard Webhooks, version 1.
    StandardWebhooks {
        /// The key, with or without `whsec_`.
        secret: Secret,
    },
}

/// Where a shared secret stands.
#[derive(Debug)]
pub enum SecretPlace {
    /// In a header.
    Header(String),
    /// In the body, at a path.
    Path(SecretPath),
}

/// A path into the event's body.
#[derive(Debug)]
pub struct SecretPath(());

impl SecretPlace {
    /// What stands there; `None` when nothing does, or when the body cannot be read.
    pub fn find(&self, event: &Answer) -> Option<String> {
        let _ = event;
        unimplemented!()
    }
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal; upper case is accepted.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// How a system is asked for changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll {
    /// One call for everything changed since the last poll; `$.dovetail.since` is that time less the overlap.
    Changed {
        /// Pause between polls.
        every: Duration,
        /// How far each poll looks back before the last one, since a vendor's clock and list lag.
        overlap: Duration,
        /// The call.
        call: String,
    },
    /// One call for each open job, with `$.dovetail.job`.
    EachJob {
        /// Pause between polls of one job.
        every: Duration,
        /// The call.
        call: String,
    },
}
