//! The year, hour by hour.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mappings::bounds::Bounds;
use mappings::domain::{EventId, SystemName};
use mappings::mapping::Catalogue;
use router::clock::Clock;
use router::envelope::{self, STRUCTURED};
use router::event::Event;
use router::intake::{Intake, Message};
use router::ledger::{
    self, Arrival, Attempt, Ledger, Lessee, Next, Outbox, Places, Room, Settlement, Work, WorkerId, Writer,
    Written,
};
use router::report::Bookkeeper;
use router::{closing, library, retry, sla};
use serde_json::json;
use uuid::Uuid;

use super::crm::{Crm, Ticket};
use super::draw::Draw;
use super::fate::{CHANNELS, COUNCILS, PRIORITIES, SERVICES};
use super::office::Offices;
use super::people::People;
use super::{DAYS_AFTER, Outcome, Plan, verdict};

/// The systems of a year.
const SYSTEMS: [&str; 5] = ["housing", "revenues", "waste", "partner", "crm"];
/// Written in one transaction.
const BATCH: usize = 500;
/// A room that never fills.
const AMPLE: usize = 1_000_000;
/// Clocks that the timekeeper looks at in a round.
const ROUND: usize = 200;
/// How the requests of a day spread over its hours, from midnight.
const HOURS: [u64; 24] = [1, 1, 0, 0, 0, 1, 2, 6, 12, 16, 15, 13, 11, 12, 12, 11, 10, 8, 6, 4, 3, 2, 2, 1];

struct Year {
    ledger: Arc<dyn Ledger>,
    catalogue: Arc<Catalogue>,
    lessee: Lessee,
    intake: Intake,
    timekeeper: sla::Timekeeper,
    clock: Clock,
    crm: Crm,
    offices: Offices,
    people: People,
    draw: Draw,
    published: Vec<EventId>,
    /// Calls that are to be tried again, by their systems and when.
    again: BTreeSet<(Timestamp, SystemName)>,
}

/// Plays a plan on a ledger at an address that nobody else uses.
///
/// # Errors
/// The ledger failed.
pub async fn play(plan: Plan, address: &str) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    // Not on the hour, so that nothing falls on the moment at which a promise ends.
    let start: Timestamp = "2025-01-06T00:07:00Z".parse()?;
    let mut year = Year::open(plan, address, start).await?;
    let days = i64::from(plan.weeks) * 7;
    let mut left = u64::from(plan.weeks) * u64::from(plan.a_week);
    let mut weight = u64::from(plan.weeks) * 7 * HOURS.iter().sum::<u64>();
    let mut number = 0;
    for hour in 0..(days + DAYS_AFTER) * 24 {
        let now = start + SignedDuration::from_hours(hour);
        let mut come = 0;
        if hour < days * 24 {
            let of_this_hour = HOURS[usize::try_from(hour % 24)?];
            come = (left * of_this_hour).checked_div(weight).unwrap_or(0).min(left);
            let rest = (left * of_this_hour).checked_rem(weight).unwrap_or(0);
            come += u64::from(rest > 0 && year.draw.below(weight) < rest);
            (left, weight) = (left - come, weight - of_this_hour);
        }
        year.hour(now, come, &mut number).await?;
    }
    let end = start + SignedDuration::from_hours((days + DAYS_AFTER) * 24);
    Bookkeeper::fold_all(&*year.ledger).await?;
    let took = begun.elapsed();
    let mut outcome = verdict::of(&*year.ledger, &year.crm, start, end).await?;
    outcome.took.0 = took;
    Ok(outcome)
}

impl Year {
    async fn open(plan: Plan, address: &str, start: Timestamp) -> anyhow::Result<Self> {
        let systems = SYSTEMS.map(str::to_owned);
        let catalogue =
            Arc::new(library::compile_only(&library::read(None)?, &systems, &library::placeholder)?);
        let (closer, reader) = closing::rules(&catalogue);
        let ledger = ledger::open(address, closer, reader, 3).await.context("no ledger")?;
        let clock = Clock::stopped_at(start);
        let room = Room::new(catalogue.systems().map(|system| (system.name.clone(), AMPLE)));
        let lessee =
            Lessee { worker: WorkerId(Uuid::now_v7()), room, outbox: Outbox::On(Places::new(AMPLE)) };
        ledger.heartbeat(lessee.worker, start).await?;
        // Only its reading is used: what was read is written in batches.
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let (work, _) = tokio::sync::mpsc::unbounded_channel();
        let (writer, _) = Writer::new(Arc::clone(&ledger), lessee.clone(), events, work);
        let every = Duration::from_secs(3_600);
        let timekeeper =
            sla::Timekeeper::new(Arc::clone(&ledger), &lessee, Arc::clone(&catalogue), clock.clone(), every);
        Ok(Self {
            intake: Intake::new(Arc::clone(&catalogue), writer),
            ledger,
            catalogue,
            lessee,
            timekeeper,
            clock,
            crm: Crm::default(),
            offices: Offices::new(plan.seed),
            people: People::new(plan.seed),
            draw: Draw::new(plan.seed),
            published: Vec::new(),
            again: BTreeSet::new(),
        })
    }

    /// Everything of one hour, in order; what is late is told first.
    async fn hour(&mut self, now: Timestamp, come: u64, number: &mut u64) -> anyhow::Result<()> {
        self.clock.advance(Duration::try_from(now - self.clock.now())?);
        let told = self.timekeeper.step(now).await?;
        if told == ROUND {
            while self.timekeeper.step(now).await? == ROUND {}
        }
        let mut due = Vec::new();
        while let Some((at, system)) = self.again.pop_first() {
            if at > now {
                self.again.insert((at, system));
                break;
            }
            let claimed = self.ledger.claim_due(&system, BATCH, now, self.lessee.worker).await?;
            due.extend(claimed.into_iter().map(|work| (work, false)));
        }
        self.work_off(due, now).await?;
        let arrivals = (0..come).map(|_| self.request(now, number)).collect::<anyhow::Result<Vec<_>>>()?;
        for some in arrivals.chunks(BATCH) {
            let written = self.ledger.accept(some, &self.lessee).await?;
            self.follow(written, now).await?;
        }
        let said = self.offices.say(&mut self.crm, now);
        for some in said.chunks(BATCH) {
            let written = self.ledger.complete(some, &self.lessee).await?;
            self.follow(written, now).await?;
        }
        let zoned = now.to_zoned(TimeZone::UTC);
        if zoned.hour() == 10 && zoned.weekday().to_monday_zero_offset() < 5 {
            let decisions = self.people.decide(&*self.ledger, &self.catalogue, now).await?;
            for some in decisions.chunks(BATCH) {
                let written = self.ledger.resolve(some, &self.lessee).await?;
                self.follow(written, now).await?;
            }
        }
        if zoned.hour() == 3 {
            Bookkeeper::fold_all(&*self.ledger).await?;
        }
        if told > 0 { self.publish().await } else { self.confirm().await }
    }

    /// A customer calls some time in the last hour.
    fn request(&mut self, now: Timestamp, number: &mut u64) -> anyhow::Result<Arrival> {
        *number += 1;
        let name = format!("CRM-{number}");
        let draw = &mut self.draw;
        let (council, service) = (*draw.of(COUNCILS), *draw.of(SERVICES));
        let (channel, priority) = (*draw.of(CHANNELS), *draw.of(PRIORITIES));
        let raised_at = now - SignedDuration::from_secs(i64::try_from(draw.below(3_600))?);
        self.crm.tickets.insert(name.clone(), Ticket::new(council, service, channel, raised_at));
        let event = json!({
            "specversion": "1.0", "id": name, "source": "/crm/year", "type": "uk.dovetail.request.submitted.v1",
            "datacontenttype": "application/json", "data": {
                "ticket": name, "council": council, "service": service, "channel": channel, "priority": priority,
                "raised_at": raised_at.to_string(), "summary": "Something is to be done",
            },
        });
        let message = Message::read("http", event.to_string().as_bytes(), |body| {
            envelope::from_amqp(Some(STRUCTURED), &[], body, &Bounds::default())
        });
        let read = self.intake.read(message, now).pop().context("nothing was read")?;
        read.map_err(|refusal| anyhow::anyhow!("{name} was refused: {}", refusal.reason))
    }

    /// Hears the events of a write, and makes the calls that follow.
    async fn follow<R>(&mut self, written: Written<R>, now: Timestamp) -> anyhow::Result<()> {
        self.hear(&written.events);
        self.work_off(written.work.into_iter().map(|work| (work, true)).collect(), now).await
    }

    /// Makes calls, and those that follow from them, until there are none. Calls from memory had a place.
    async fn work_off(&mut self, mut work: Vec<(Work, bool)>, now: Timestamp) -> anyhow::Result<()> {
        while !work.is_empty() {
            let some: Vec<(Work, bool)> = work.drain(..work.len().min(BATCH)).collect();
            let mut settlements = Vec::with_capacity(some.len());
            for (one, has_place) in some {
                if has_place {
                    self.lessee.room.of(&one.system).give_back();
                }
                settlements.push(self.call(one, now)?);
            }
            let written = self.ledger.record(&settlements, &self.lessee).await?;
            self.hear(&written.events);
            work.extend(written.work.into_iter().map(|work| (work, true)));
        }
        Ok(())
    }

    fn call(&mut self, work: Work, now: Timestamp) -> anyhow::Result<Settlement> {
        let system = self.catalogue.system(&work.system).context("no such system")?.clone();
        let outcome = self.offices.answer(&work, &mut self.crm, now);
        let word = outcome.word().to_owned();
        let number = work.attempt.saturating_sub(work.spent).max(1);
        let next = retry::after(outcome, work.phase, number, &system.retry, &system.idempotency, now);
        if let Next::Again { at, .. } = &next {
            self.again.insert((*at, work.system.clone()));
        }
        let attempt = Attempt {
            started_at: now,
            ended_at: now,
            outcome: word,
            status: None,
            reason: None,
            call: None,
            answer: None,
        };
        Ok(Settlement { work, attempt, next, owner: Some(system.owner.clone()) })
    }

    fn hear(&mut self, events: &[Event]) {
        for event in events {
            self.crm.hear(event);
            self.published.push(event.id);
        }
        if let Outbox::On(places) = &self.lessee.outbox {
            events.iter().for_each(|_| places.give_back());
        }
    }

    /// Takes what nobody holds out of the outbox, and confirms all that was heard.
    async fn publish(&mut self) -> anyhow::Result<()> {
        loop {
            let events = self.ledger.claim_outbox(BATCH, self.lessee.worker).await?;
            for event in &events {
                self.crm.hear(event);
                self.published.push(event.id);
            }
            self.confirm().await?;
            if events.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// The broker has all that was heard.
    async fn confirm(&mut self) -> anyhow::Result<()> {
        for some in self.published.chunks(BATCH) {
            self.ledger.mark_published(some).await?;
        }
        self.published.clear();
        Ok(())
    }
}
