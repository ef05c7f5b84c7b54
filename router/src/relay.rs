//! Publishes the outbox: straight from memory what this router wrote, from the ledger what others left.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mappings::domain::EventId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::{Confirmed, Fate, Outgoing, Publisher};
use crate::envelope::STRUCTURED;
use crate::event::Event;
use crate::ledger::{Ledger, Lessee, Outbox, Places, Writer};

/// How long an event waits that the broker could not route or would not take.
const PAUSE: Duration = Duration::from_secs(5);
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
    /// How often the ledger is asked for what others left.
    pub claim_every: Duration,
}

/// The events in hand: given to the publisher, or waiting to be given again.
#[derive(Default)]
struct InHand {
    given: HashMap<EventId, Event>,
    paused: Vec<(Instant, Event)>,
}

impl Relay {
    /// Publishes until shutdown; then waits a little for the last confirms. What is not confirmed stays in the
    /// outbox and is published by the next router, under the same id.
    pub async fn run(
        self,
        mut memory: UnboundedReceiver<Event>,
        give: Publisher,
        mut confirmed: UnboundedReceiver<Confirmed>,
        shutdown: CancellationToken,
    ) {
        let Outbox::On(places) = self.lessee.outbox.clone() else { return };
        let mut hand = InHand::default();
        let mut tick = tokio::time::interval(self.claim_every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            if shutdown.is_cancelled() && last.is_none() {
                last = Some(Instant::now() + LAST_CONFIRMS);
            }
            if last.is_some_and(|last| hand.given.is_empty() && memory.is_empty() || Instant::now() >= last) {
                return;
            }
            tokio::select! {
                Some(event) = memory.recv() => self.give(&mut hand, event, &give).await,
                Some(result) = confirmed.recv() => {
                    let mut results = vec![result];
                    while let Ok(more) = confirmed.try_recv() {
                        results.push(more);
                    }
                    self.settle(&mut hand, results, &places, &give).await;
                }
                _ = tick.tick() => {
                    self.resume(&mut hand, &give).await;
                    if last.is_none() {
                        self.claim(&mut hand, &places, &give).await;
                    }
                }
                () = shutdown.cancelled(), if last.is_none() => {}
            }
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
            body: event.to_cloudevent().to_string().into_bytes(),
        };
        hand.given.insert(event.id, event);
        // The bus ends only after the relay; what it no longer takes stays in the outbox.
        let _given = give.publish(outgoing).await;
    }

    async fn settle(&self, hand: &mut InHand, results: Vec<Confirmed>, places: &Places, give: &Publisher) {
        let mut published = Vec::with_capacity(results.len());
        for Confirmed { id, fate } in results {
            let Some(event) = hand.given.remove(&id) else { continue };
            metrics::counter!("dovetail_events_total", "fate" => word(&fate)).increment(1);
            match fate {
                Fate::Published => published.push(event.id),
                Fate::Lost => self.give(hand, event, give).await,
                Fate::Nacked => hand.paused.push((Instant::now() + PAUSE, event)),
                Fate::Returned { code, text } => {
                    tracing::error!(exchange = %self.exchange, routing_key = %event.routing_key(), code, text = %text, "the broker has nowhere to put an event; bind a queue for it");
                    hand.paused.push((Instant::now() + PAUSE, event));
                }
            }
        }
        if published.is_empty() {
            return;
        }
        let count = published.len();
        let marked = published.into_iter().map(|id| self.writer.mark_published(id));
        if let Err(error) = futures::future::try_join_all(marked).await {
            tracing::error!(error = %error, "confirmed events could not be taken out of the outbox; they are published again later");
        }
        for _ in 0..count {
            places.give_back();
        }
    }

    async fn resume(&self, hand: &mut InHand, give: &Publisher) {
        let now = Instant::now();
        let (due, paused) = std::mem::take(&mut hand.paused).into_iter().partition(|(at, _)| *at <= now);
        hand.paused = paused;
        for (_, event) in due as Vec<(Instant, Event)> {
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
