//! Publishes the outbox: straight from memory what this router wrote, from the ledger what others left.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture};
use mappings::domain::EventId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::Readiness;
use crate::bus::{Confirmed, Fate, Outgoing, Publisher};
use crate::envelope::STRUCTURED;
use crate::event::Event;
use crate::failpoint::{self, Point};
use crate::ledger::{Ledger, Lessee, Outbox, Places, Writer};

/// How long an event waits that the broker could not route, at first and at most: a person must bind a queue.
const UNROUTED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// How long an event waits that the broker would not take, at first and at most: its queue may be full.
const UNTAKEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a stop waits for confirms.
const LAST_CONFIRMS: Duration = Duration::from_secs(5);

/// Carries events from the ledger to the broker.
pub struct Relay {
    /// For what others left.
    pub ledger: Arc<dyn Ledger>,
    /// For what was confirmed.
    pub writer: Writer,
    /// Who holds the events.
    pub lessee: Lessee,
    /// Where they are published.
    pub exchange: String,
    /// Where it is told that events find no queue.
    pub readiness: watch::Sender<Readiness>,
    /// How often the ledger is asked for what others left.
    pub claim_every: Duration,
}

/// The events in hand: given to the publisher, waiting to be given again, or confirmed but still in the outbox.
#[derive(Default)]
struct InHand {
    given: HashMap<EventId, Event>,
    paused: Vec<Paused>,
    /// The events in hand that were turned away.
    turned_away: HashMap<EventId, TurnedAway>,
    /// Confirmed, to be taken out of the outbox.
    confirmed: Vec<EventId>,
    /// Confirmed, and could not be taken out.
    unmarked: Vec<EventId>,
}

/// An event that waits to be given again.
struct Paused {
    until: Instant,
    event: Event,
}

/// How often an event was turned away, and why the last time.
struct TurnedAway {
    times: u32,
    unrouted: bool,
}

impl InHand {
    /// Sets an event aside, each time for longer.
    fn pause(&mut self, event: Event, (first, most): (Duration, Duration), unrouted: bool) {
        let away = self.turned_away.entry(event.id).or_insert(TurnedAway { times: 0, unrouted });
        let pause = first.saturating_mul(1 << away.times.min(10)).min(most);
        *away = TurnedAway { times: away.times + 1, unrouted };
        self.paused.push(Paused { until: Instant::now() + pause, event });
    }
}

impl Relay {
    /// Publishes until shutdown; then waits a little for the last confirms. What is not confirmed stays in the
    /// outbox and is published by the next router, under the same id.
    pub async fn run(
        self,
        memory: UnboundedReceiver<Event>,
        give: Publisher,
        confirmed: UnboundedReceiver<Confirmed>,
        shutdown: CancellationToken,
    ) {
        let patience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LAST_CONFIRMS).await;
        };
        // The broker may be away: then giving waits for it, and a stop must not wait with it.
        tokio::select! {
            () = self.carry(memory, give, confirmed, &shutdown) => {}
            () = patience => {}
        }
    }

    async fn carry(
        &self,
        mut memory: UnboundedReceiver<Event>,
        give: Publisher,
        mut confirmed: UnboundedReceiver<Confirmed>,
        shutdown: &CancellationToken,
    ) {
        let Outbox::On(places) = self.lessee.outbox.clone() else { return };
        let mut hand = InHand::default();
        // One at a time; events go on being given meanwhile.
        let mut marking: Option<BoxFuture<'_, Result<(), Vec<EventId>>>> = None;
        let mut tick = tokio::time::interval(self.claim_every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !(shutdown.is_cancelled() && hand.given.is_empty() && memory.is_empty()) {
            if marking.is_none() {
                marking = self.mark(&mut hand.confirmed);
            }
            tokio::select! {
                Some(marked) = OptionFuture::from(marking.as_mut()) => {
                    marking = None;
                    // With the next tick.
                    hand.unmarked.extend(marked.err().unwrap_or_default());
                }
                Some(event) = memory.recv() => self.give(&mut hand, event, &give).await,
                Some(result) = confirmed.recv() => {
                    let mut results = vec![result];
                    while let Ok(more) = confirmed.try_recv() {
                        results.push(more);
                    }
                    self.settle(&mut hand, results, &places, &give).await;
                }
                _ = tick.tick() => {
                    let again = std::mem::take(&mut hand.unmarked);
                    hand.confirmed.extend(again);
                    self.tell(&hand);
                    self.resume(&mut hand, &give).await;
                    if !shutdown.is_cancelled() {
                        self.claim(&mut hand, &places, &give).await;
                    }
                }
                () = shutdown.cancelled(), if !shutdown.is_cancelled() => {}
            }
        }
        // What cannot be marked now is published again by the next router, under the same id.
        if let Some(marking) = marking {
            let _unmarked = marking.await;
        }
        if let Some(marking) = self.mark(&mut hand.confirmed) {
            let _unmarked = marking.await;
        }
    }

    async fn give(&self, hand: &mut InHand, event: Event, give: &Publisher) {
        let trace = event.traceparent.clone().map(|value| ("traceparent".to_owned(), value));
        let outgoing = Outgoing {
            id: event.id,
            exchange: self.exchange.clone(),
            routing_key: event.routing_key(),
            kind: event.type_name(),
            content_type: STRUCTURED.to_owned(),
            headers: trace.into_iter().collect(),
            body: event.to_cloudevent(),
        };
        hand.given.insert(event.id, event);
        // The bus ends only after the relay; what it no longer takes stays in the outbox.
        failpoint::hit(Point::Publishing).await;
        let _given = give.publish(outgoing).await;
        failpoint::hit(Point::Published).await;
    }

    async fn settle(&self, hand: &mut InHand, results: Vec<Confirmed>, places: &Places, give: &Publisher) {
        let mut published = Vec::with_capacity(results.len());
        for Confirmed { id, fate } in results {
            let Some(event) = hand.given.remove(&id) else { continue };
            metrics::counter!("dovetail_events_total", "fate" => word(&fate)).increment(1);
            match fate {
                Fate::Published => {
                    failpoint::hit(Point::Confirmed).await;
                    hand.turned_away.remove(&event.id);
                    published.push(event.id);
                }
                Fate::Lost => self.give(hand, event, give).await,
                Fate::Nacked => hand.pause(event, UNTAKEN, false),
                Fate::Returned { code, text } => {
                    tracing::debug!(exchange = %self.exchange, routing_key = %event.routing_key(), code, text = %text, "an event waits for a queue to be bound");
                    hand.pause(event, UNROUTED, true);
                }
            }
        }
        for _ in 0..published.len() {
            places.give_back();
        }
        hand.confirmed.extend(published);
    }

    /// Tells how many events find no queue: a fault of configuration, which only a person can mend.
    fn tell(&self, hand: &InHand) {
        let is_unrouted = |id: &EventId| hand.turned_away.get(id).is_some_and(|away| away.unrouted);
        let unrouted = hand.turned_away.values().filter(|away| away.unrouted).count();
        let example = hand.paused.iter().rfind(|paused| is_unrouted(&paused.event.id));
        let told = match example {
            None if unrouted == 0 => None,
            // All are on their way once more.
            None => return,
            Some(Paused { event, .. }) => Some(format!(
                "{unrouted} wait: no queue is bound to the exchange {} for {}; bind one, for example with #",
                self.exchange,
                event.routing_key()
            )),
        };
        let counted = f64::from(u32::try_from(unrouted).unwrap_or(u32::MAX));
        metrics::gauge!("dovetail_events_unrouted").set(counted);
        self.readiness.send_if_modified(|readiness| {
            let changed = readiness.events != told;
            readiness.events = told;
            changed
        });
    }

    /// Takes confirmed events out of the outbox, where there are any; what could not be taken out is given back.
    fn mark(&self, confirmed: &mut Vec<EventId>) -> Option<BoxFuture<'_, Result<(), Vec<EventId>>>> {
        if confirmed.is_empty() {
            return None;
        }
        let marked = std::mem::take(confirmed);
        Some(Box::pin(async move {
            self.writer.mark_published(marked.clone()).await.map_err(|error| {
                tracing::error!(error = %error, "confirmed events could not be taken out of the outbox yet");
                marked
            })
        }))
    }

    async fn resume(&self, hand: &mut InHand, give: &Publisher) {
        let now = Instant::now();
        let (due, paused): (Vec<Paused>, _) =
            std::mem::take(&mut hand.paused).into_iter().partition(|paused| paused.until <= now);
        hand.paused = paused;
        for Paused { event, .. } in due {
            self.give(hand, event, give).await;
        }
    }

    async fn claim(&self, hand: &mut InHand, places: &Places, give: &Publisher) {
        let mut taken = 0;
        while taken < 500 && places.take() {
            taken += 1;
        }
        let claimed = self.ledger.claim_outbox(taken, self.lessee.worker).await.unwrap_or_else(|error| {
            tracing::error!(error = %error, "unpublished events could not be claimed");
            Vec::new()
        });
        for _ in claimed.len()..taken {
            places.give_back();
        }
        for event in claimed {
            self.give(hand, event, give).await;
        }
    }
}

fn word(fate: &Fate) -> &'static str {
    match fate {
        Fate::Published => "published",
        Fate::Returned { .. } => "returned",
        Fate::Nacked => "nacked",
        Fate::Lost => "lost",
    }
}
