//! The people who decide some of what waits for them.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use mappings::domain::{Disposition, RequestState};
use mappings::mapping::Catalogue;
use router::closing::{self, Closure, Grounds};
use router::ledger::{Choice, Error, Filter, Ledger, Person, Resolution, SeenTicket, Selection, Stuck};

use super::draw::Draw;

/// How many they look at in a day, of each kind.
const MOST: usize = 2_000;

/// The people.
pub(super) struct People {
    draw: Draw,
    /// What they never come round to.
    forgotten: HashSet<String>,
}

impl People {
    pub(super) fn new(seed: u64) -> Self {
        Self { draw: Draw::new(seed ^ 0x9e0_91e), forgotten: HashSet::new() }
    }

    /// What they decide today.
    pub(super) async fn decide(
        &mut self,
        ledger: &dyn Ledger,
        catalogue: &Catalogue,
        now: Timestamp,
    ) -> Result<Vec<Resolution>, Error> {
        let filter = Filter { state: Some(RequestState::Held), most: MOST, ..Filter::default() };
        let mut decisions = Vec::new();
        for line in ledger.tickets(&filter).await? {
            if !self.comes_round_to(line.ticket.as_str()) {
                continue;
            }
            let disposition =
                if self.draw.happens(700) { Disposition::Completed } else { Disposition::Declined };
            let closure = Closure {
                disposition,
                reason: None,
                say: closing::plain(disposition).to_owned(),
                crm: catalogue.crm_of(&line.council).cloned(),
                grounds: Grounds::default(),
            };
            let seen = SeenTicket { state: line.state, reason: line.reason.clone() };
            let choice = Choice::Close { seen, closure };
            decisions.push(resolution(line.council, line.request, choice, now));
        }
        for stuck in ledger.parked(&Selection::default(), MOST).await? {
            let is_new = stuck.parked_at + SignedDuration::from_hours(2) > now;
            if is_new || !self.comes_round_to(stuck.ticket.as_str()) {
                continue;
            }
            let Stuck { council, request, .. } = stuck.clone();
            decisions.push(resolution(
                council,
                request,
                Choice::Replay { seen: stuck.seen(), edit: None },
                now,
            ));
        }
        Ok(decisions)
    }

    fn comes_round_to(&mut self, ticket: &str) -> bool {
        if self.forgotten.contains(ticket) {
            return false;
        }
        if self.draw.happens(100) {
            self.forgotten.insert(ticket.to_owned());
            return false;
        }
        self.draw.happens(500)
    }
}

fn resolution(
    council: mappings::domain::Council,
    request: mappings::domain::RequestId,
    choice: Choice,
    at: Timestamp,
) -> Resolution {
    let person = Person { name: "adviser-17".to_owned(), because: "looked into it".to_owned() };
    Resolution { council, request, person, at, choice }
}
