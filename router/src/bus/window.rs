//! The events that were sent and not yet settled.
//!
//! The client hands a returned message to whichever confirm it handles next, and it takes the confirms of one
//! acknowledgement in no order. So a return is matched by its message id, never by the confirm that brought it,
//! and a confirm counts only once no return of the same event can still be on its way:
//!
//! - Returns come in the order of publishing, each before the confirm of its own message, and every confirm
//!   takes the oldest return that waits.
//! - A confirm that brought no return found none waiting: its own return, had there been one, is known.
//! - A confirm that brought the return of a later message likewise.
//! - A confirm that brought the return of an earlier message proves nothing, until all that was sent before it
//!   is confirmed too: by then each return up to it has been taken by one of those confirms.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use mappings::domain::EventId;
use tokio::time::Instant;

use super::publisher::{Confirmed, Fate};

/// The events in flight on one channel, by their number on it.
#[derive(Debug, Default)]
pub(super) struct Window {
    next: u64,
    flying: BTreeMap<u64, Flight>,
    /// Confirmed since the last settling.
    fresh: Vec<u64>,
    /// Confirmed, but a return may still be on its way.
    doubtful: BTreeSet<u64>,
    /// Returned, and their confirm not yet settled.
    returned: HashMap<EventId, VecDeque<Returned>>,
}

#[derive(Debug)]
struct Flight {
    id: EventId,
    exchange: String,
    sent: Instant,
    verdict: Option<Verdict>,
}

/// What the broker's confirm says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken over, or returned before.
    Ack,
    /// Not taken over.
    Nack,
}

/// A message that the broker returned.
#[derive(Debug, Clone)]
pub(super) struct Returned {
    pub(super) id: EventId,
    pub(super) code: u16,
    pub(super) text: String,
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.flying.len()
    }

    /// Notes an event that is now being sent, and gives it its number.
    pub(super) fn sent(&mut self, id: EventId, exchange: String, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.flying.insert(number, Flight { id, exchange, sent: now, verdict: None });
        number
    }

    /// Notes a confirm, and the return that the client hung on it.
    pub(super) fn confirmed(&mut self, number: u64, verdict: Verdict, returned: Option<Returned>) {
        let earlier = returned.as_ref().is_some_and(|returned| self.number_of(returned.id) < Some(number));
        if let Some(returned) = returned {
            self.returned.entry(returned.id).or_default().push_back(returned);
        }
        if let Some(flight) = self.flying.get_mut(&number) {
            flight.verdict = Some(verdict);
            if earlier {
                self.doubtful.insert(number);
            } else {
                self.fresh.push(number);
            }
        }
    }

    /// What is certain now; to be asked once all confirms that have come are noted.
    pub(super) fn settle(&mut self) -> Vec<Confirmed> {
        let mut certain = std::mem::take(&mut self.fresh);
        let waiting =
            self.flying.iter().find(|(_, flight)| flight.verdict.is_none()).map(|(number, _)| *number);
        let known: Vec<u64> = self
            .doubtful
            .iter()
            .copied()
            .filter(|number| {
                waiting.is_none_or(|waiting| *number < waiting)
                    || self.flying.get(number).is_some_and(|flight| self.returned.contains_key(&flight.id))
            })
            .collect();
        for number in &known {
            self.doubtful.remove(number);
        }
        certain.extend(known);
        certain.sort_unstable();
        certain.into_iter().filter_map(|number| self.land(number)).collect()
    }

    /// Gives up on everything: the channel is gone. Where the broker closed it for an exchange that does not
    /// exist, the events for that exchange count as returned.
    pub(super) fn lose(&mut self, closed: Option<(u16, String)>) -> Vec<Confirmed> {
        let Self { flying, mut returned, .. } = std::mem::take(self);
        let missing = |exchange: &str| match &closed {
            Some((404, text)) if text.contains(&format!("exchange '{exchange}'")) => {
                Some(Fate::Returned { code: 404, text: text.clone() })
            }
            Some(_) | None => None,
        };
        flying
            .into_values()
            .map(|Flight { id, exchange, .. }| {
                let known = returned.get_mut(&id).and_then(VecDeque::pop_front);
                let fate = match known {
                    Some(Returned { code, text, .. }) => Fate::Returned { code, text },
                    None => missing(&exchange).unwrap_or(Fate::Lost),
                };
                Confirmed { id, fate }
            })
            .collect()
    }

    /// When the oldest event that is not confirmed was sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.flying.values().find(|flight| flight.verdict.is_none()).map(|flight| flight.sent)
    }

    fn land(&mut self, number: u64) -> Option<Confirmed> {
        let Flight { id, verdict, .. } = self.flying.remove(&number)?;
        let returned = self.returned.get_mut(&id).and_then(VecDeque::pop_front);
        if self.returned.get(&id).is_some_and(VecDeque::is_empty) {
            self.returned.remove(&id);
        }
        let fate = match (returned, verdict) {
            (Some(Returned { code, text, .. }), _) => Fate::Returned { code, text },
            (None, Some(Verdict::Ack)) => Fate::Published,
            (None, Some(Verdict::Nack)) => Fate::Nacked,
            (None, None) => Fate::Lost,
        };
        Some(Confirmed { id, fate })
    }

    fn number_of(&self, id: EventId) -> Option<u64> {
        self.flying.iter().find(|(_, flight)| flight.id == id).map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> EventId {
        EventId(Uuid::from_u128(number))
    }

    fn returned(number: u128) -> Option<Returned> {
        Some(Returned { id: id(number), code: 312, text: "NO_ROUTE".to_owned() })
    }

    /// A window with the events 0 to `count` in flight.
    fn window(count: u64) -> Window {
        let mut window = Window::default();
        for number in 0..count {
            window.sent(id(number.into()), "crm.events".to_owned(), Instant::now());
        }
        window
    }

    fn published(confirmed: &[Confirmed]) -> Vec<EventId> {
        confirmed.iter().filter(|c| c.fate == Fate::Published).map(|c| c.id).collect()
    }

    #[test]
    fn a_confirm_settles_at_once_whatever_is_still_in_flight() {
        let mut window = window(3);
        window.confirmed(1, Verdict::Ack, None);
        window.confirmed(2, Verdict::Nack, None);
        let settled = window.settle();
        assert_eq!(published(&settled), [id(1)]);
        assert_eq!(settled[1], Confirmed { id: id(2), fate: Fate::Nacked });
        assert_eq!(window.len(), 1);
    }

    #[test]
    fn a_return_that_hangs_on_the_confirm_of_another_event_is_put_to_its_own() {
        let mut window = window(2);
        window.confirmed(0, Verdict::Ack, returned(1));
        window.confirmed(1, Verdict::Ack, None);
        let settled = window.settle();
        assert_eq!(published(&settled), [id(0)]);
        assert_eq!(settled[1].fate, Fate::Returned { code: 312, text: "NO_ROUTE".to_owned() });
    }

    #[test]
    fn a_confirm_that_brings_an_earlier_return_waits_until_its_own_can_no_longer_come() {
        let mut window = window(2);
        window.confirmed(1, Verdict::Ack, returned(0));
        assert!(window.settle().is_empty());
        window.confirmed(0, Verdict::Ack, returned(1));
        let settled = window.settle();
        assert_eq!(settled.len(), 2);
        assert!(published(&settled).is_empty());
    }

    #[test]
    fn what_is_in_flight_when_the_channel_goes_is_lost_but_for_an_exchange_that_does_not_exist() {
        let mut lost = window(1);
        lost.sent(id(7), "nowhere".to_owned(), Instant::now());
        let closed = (404, "NOT_FOUND - no exchange 'nowhere' in vhost '/'".to_owned());
        let fates = lost.lose(Some(closed));
        assert_eq!(fates[0].fate, Fate::Lost);
        assert!(matches!(fates[1].fate, Fate::Returned { code: 404, .. }));
        assert_eq!(lost.len(), 0);
    }

    /// The broker and the client in small: returns in the order of publishing, each before its own confirm;
    /// every confirm takes the oldest return that waits; confirms are handled in any order.
    fn play(unroutable: &[bool], order: &[usize], looks: &[bool]) -> Vec<Confirmed> {
        let mut window = window(unroutable.len() as u64);
        let (mut waiting, mut arrived, mut settled) = (VecDeque::new(), 0, Vec::new());
        for (number, look) in order.iter().zip(looks) {
            while arrived <= *number {
                if unroutable[arrived] {
                    waiting.push_back(arrived as u128);
                }
                arrived += 1;
            }
            window.confirmed(*number as u64, Verdict::Ack, waiting.pop_front().and_then(returned));
            if *look {
                settled.extend(window.settle());
            }
        }
        settled.extend(window.settle());
        settled
    }

    proptest::proptest! {
        #[test]
        fn no_returned_event_ever_counts_as_published(
            (unroutable, order, looks) in (1_usize..40).prop_flat_map(|count| (
                proptest::collection::vec(proptest::bool::ANY, count),
                Just((0..count).collect::<Vec<_>>()).prop_shuffle(),
                proptest::collection::vec(proptest::bool::ANY, count),
            ))
        ) {
            let settled = play(&unroutable, &order, &looks);
            proptest::prop_assert_eq!(settled.len(), unroutable.len());
            for Confirmed { id, fate } in settled {
                let unroutable = unroutable[id.0.as_u128() as usize];
                proptest::prop_assert_eq!(fate == Fate::Published, !unroutable);
            }
        }
    }
    use proptest::strategy::{Just, Strategy as _};
}
