//! Credentials that the system no longer honours: what was stored by an earlier operation, and access tokens.

use http::StatusCode;
use mappings::mapping::{Answer, Step};

use super::{Came, Walk};
use crate::outcome::Outcome;
use crate::stored::Key;

/// A stored answer that this attempt used.
pub(super) struct Used<'a> {
    pub(super) step: &'a Step,
    pub(super) key: Key,
    /// It came from an earlier operation: fetched anew, it may be another.
    pub(super) earlier: bool,
}

/// What became of refused credentials.
pub(super) enum Renewal {
    /// There are none that could be fetched anew.
    None,
    /// There are others: the refused call, which was not carried out, can be made again.
    Done,
    /// They could not be had.
    Failed(Came),
}

/// Whether an answer says that the credentials of its call are not honoured.
pub(super) fn is_refusal(answer: &Answer, came: &Came) -> bool {
    let by_status = StatusCode::from_u16(answer.status)
        .is_ok_and(|status| matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN));
    // Where the mapping reads the status as something else, it is that.
    let failed = matches!(came, Came::Failed(Outcome::Retry { .. } | Outcome::Rejected { .. }));
    by_status && failed
}

impl<'a> Walk<'a> {
    /// Throws away what the system does not honour, and fetches it anew, once an attempt.
    pub(super) async fn renew(&mut self) -> Renewal {
        let used = std::mem::take(&mut self.kept_used);
        used.iter().for_each(|used| self.way.stored.forget(&used.key));
        let stale: Vec<&'a Step> = used.iter().filter(|used| used.earlier).map(|used| used.step).collect();
        if self.renewed || stale.is_empty() && self.bearer.is_none() {
            return Renewal::None;
        }
        self.renewed = true;
        self.refused = self.bearer.take();
        for step in stale {
            match Box::pin(self.take(step)).await {
                Came::Accepted => {}
                other @ (Came::Done(_) | Came::Failed(_) | Came::NotRendered(_)) => {
                    return Renewal::Failed(other);
                }
            }
        }
        Renewal::Done
    }
}
