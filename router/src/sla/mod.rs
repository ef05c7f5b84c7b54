//! The clocks of tickets: started when the customer called, looked at when something is due to be said.
//!
//! What is said, and when to look again, is decided by `mappings::sla`, from what the ledger knows; the ledger
//! keeps no more than the time of the next look. What was told before stands in the timeline, so that nothing is
//! told twice, whichever router looks, and whatever became of the rules.

mod facts;
mod promise;
mod tell;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mappings::domain::{Request, SystemName};
use mappings::mapping::{Asked, Catalogue};
use mappings::sla::{self, Case, Milestone, Standing};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::ledger::{ClockSetting, Clocked, Error, Ledger, Lessee, Look, Looked};
use crate::rounds::Rounds;
pub use facts::{Facts, is_passed_on, owner_of};
pub use promise::{Promise, promise};

/// Clocks that are looked at in one transaction.
const ROUND: usize = 200;

/// How often it is asked whether clocks were set by other rules, beside the start.
const RULES_EVERY: Duration = Duration::from_secs(3_600);

/// How the clock of a request is set that was just accepted.
pub fn start(
    request: &Request,
    systems: &[SystemName],
    catalogue: &Catalogue,
    now: Timestamp,
) -> ClockSetting {
    let terms = catalogue.terms(&Asked {
        council: &request.council,
        service: &request.service,
        priority: request.priority,
        systems,
        document: &request.document,
    });
    let case = Case {
        raised_at: to_millisecond(request.raised_at),
        standing: Standing::Open,
        pauses: Vec::new(),
        news_at: to_millisecond(now),
        awaited: false,
        drawn: false,
        told: Vec::new(),
    };
    let turn = sla::turn(&terms, &case, now);
    ClockSetting {
        // What is late already is told by the first look.
        next_at: if turn.tell.is_empty() { turn.next } else { Some(now) },
        target_at: turn.due,
        rule: catalogue.clock_rule().to_owned(),
        feedback: asked(&terms, &request.council, &request.ticket),
    }
}

/// Looks at a clock: what it tells at `now`, and when to look again.
pub fn look(clocked: &Clocked, catalogue: &Catalogue, now: Timestamp) -> Looked {
    let line = &clocked.line;
    let rule = catalogue.clock_rule().to_owned();
    if clocked.superseded {
        return Looked { tell: Vec::new(), setting: ClockSetting { rule, ..ClockSetting::default() } };
    }
    let facts = Facts::of_clock(clocked);
    let terms = facts.terms(catalogue);
    let mut case = facts.case(&terms, now);
    let turn = sla::turn(&terms, &case, now);
    if let Some(beyond) = &turn.beyond {
        tracing::warn!(council = %line.council, service = %line.service, reason = %beyond, "what was promised has no date");
    }
    let told = tell::tell(&turn, &facts, &terms, catalogue, now);
    let mut next = turn.next;
    if !turn.tell.is_empty() {
        let once = turn.tell.iter().filter(|milestone| **milestone != Milestone::Chased);
        case.told.extend(once.map(|milestone| (*milestone, now)));
        if turn.tell.contains(&Milestone::Chased) {
            case.news_at = facts.news_after_chase(&terms, now);
        }
        next = sla::turn(&terms, &case, now).next;
    }
    let feedback = asked(&terms, &line.council, &line.ticket);
    Looked { tell: told, setting: ClockSetting { next_at: next, target_at: turn.due, rule, feedback } }
}

/// Whether the customer of a ticket may be asked what they think once it is closed.
fn asked(terms: &sla::Terms, council: &mappings::domain::Council, ticket: &mappings::domain::Ticket) -> bool {
    terms.feedback.as_ref().is_some_and(|feedback| sla::drawn(council, ticket, feedback.percent))
}

/// The ledger keeps milliseconds.
fn to_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// Looks at the clocks that are due, for ever.
pub struct Timekeeper {
    /// Where the clocks are.
    pub ledger: Arc<dyn Ledger>,
    /// Who looks.
    pub lessee: Lessee,
    /// What was promised.
    pub catalogue: Arc<Catalogue>,
    /// The time.
    pub clock: Clock,
    /// How often it looks.
    pub every: Duration,
}

impl Timekeeper {
    /// A timekeeper; what it tells is left for the relays to publish.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        lessee: &Lessee,
        catalogue: Arc<Catalogue>,
        clock: Clock,
        every: Duration,
    ) -> Self {
        let lessee = Lessee::without_room(lessee.worker, &lessee.outbox);
        Self { ledger, lessee, catalogue, clock, every }
    }

    /// Looks until shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut rounds = Rounds::every(self.every, shutdown.clone());
        let mut rules_at = None;
        while rounds.next().await {
            let now = self.clock.now();
            let round = async {
                if rules_at.is_none_or(|at| at <= now) {
                    self.apply_rules(now).await?;
                    rules_at = Some(now + RULES_EVERY);
                }
                self.look_at_all(now, &shutdown).await
            };
            if let Err(error) = round.await {
                tracing::warn!(error = %error, "the clocks of tickets could not be looked at");
            }
        }
    }

    /// Has every clock that was set by other rules than the present ones looked at again.
    ///
    /// # Errors
    /// The ledger failed; it can be tried again.
    pub async fn apply_rules(&self, now: Timestamp) -> Result<usize, Error> {
        let mut all = 0;
        loop {
            let count = self.ledger.unset_clocks(self.catalogue.clock_rule(), now, ROUND).await?;
            all += count;
            if count < ROUND {
                return Ok(all);
            }
        }
    }

    /// Looks at some clocks that are due; says how many.
    ///
    /// # Errors
    /// The ledger failed: nothing was told.
    pub async fn step(&self, now: Timestamp) -> Result<usize, Error> {
        let catalogue = Arc::clone(&self.catalogue);
        let look: Look = Arc::new(move |clocked| look(clocked, &catalogue, now));
        let count = self.ledger.claim_clocks(now, ROUND, &look, &self.lessee).await?;
        metrics::counter!("dovetail_clocks_looked_at_total").increment(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }

    async fn look_at_all(&self, now: Timestamp, shutdown: &CancellationToken) -> Result<(), Error> {
        while !shutdown.is_cancelled() && self.step(now).await? == ROUND {}
        Ok(())
    }
}
