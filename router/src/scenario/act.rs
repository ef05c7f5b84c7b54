//! What happens in a scenario, done at the doors that it would come through.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use connectors::simulator::{Fault, Scope, Simulator, Switch};
use mappings::bounds::Bounds;
use mappings::domain::{Council, Job, Service, SystemName, Ticket};
use mappings::mapping::Meaning;
use serde_json::{Value, json};

use super::World;
use super::bench::{QUEUE, until_open};
use super::document::{Act, By, Scenario, Word};
use crate::envelope::{self, STRUCTURED};
use crate::intake::Message;
use crate::ledger::Stop;
use crate::{complete, inlet, ledger};

/// A turn comes when its pause is over, not with its last moment.
const A_MOMENT: Duration = Duration::from_secs(1);

impl World<'_> {
    /// Does one thing. The result is what was not as expected, where it was to hold by now.
    pub(super) async fn act(&mut self, scenario: &Scenario, act: &Act) -> anyhow::Result<Vec<String>> {
        match act {
            Act::Request { ticket, council, service, over } => {
                self.request(scenario, ticket, council.as_ref(), service.as_ref(), over).await?;
            }
            Act::Change { word, ticket, council, data } => {
                let council = council.as_ref().unwrap_or(&scenario.given.council);
                let mut data = data.clone();
                data["council"] = council.as_str().into();
                data["ticket"] = ticket.as_str().into();
                self.name(council, ticket);
                self.send(word, data).await?;
            }
            Act::Opens { ticket, fields } => {
                let council = &scenario.given.council;
                let crm = self.catalogue.crm_of(council).context("the council has no CRM")?;
                let fields = json!({
                    "Queue": QUEUE, "Subject": "Something is to be done", "Requestor": "jo.lamb@example.org",
                    "CustomFields": fields,
                });
                self.simulator(crm)?.open_ticket(ticket.as_str(), &fields);
                self.name(council, ticket);
            }
            Act::Accepts(system, job) => self.simulator(system)?.name_next(job.as_str()),
            Act::Refuses(system, why) => self.simulator(system)?.refuse_next(*why),
            Act::Answers(system, fault, asked) => self.fault(system, *fault, *asked)?,
            Act::Forgets(system, ticket) => {
                let job =
                    self.job_of(system, ticket).await?.context("the system has no job of that ticket")?;
                anyhow::ensure!(self.simulator(system)?.lose(&job), "{system} has no job {job}");
            }
            Act::Reconcile => {
                for reconciler in self.reconcilers.values() {
                    reconciler.at_once().await?;
                }
            }
            Act::Down(system) => {
                let simulator = self.simulator(system)?;
                simulator.close();
                until_open(simulator, false).await;
            }
            Act::Up(system) => {
                let simulator = self.simulator(system)?;
                simulator.open();
                until_open(simulator, true).await;
            }
            Act::Pauses(system) => {
                let by = "adviser-17".to_owned();
                let switch = ledger::Switch::Pause { by, reason: Some("it is repaired".to_owned()) };
                self.ledger.switch(system, &switch, self.clock.now()).await?;
            }
            Act::Resumes(system) => {
                let switch = ledger::Switch::Resume { by: "adviser-17".to_owned() };
                self.ledger.switch(system, &switch, self.clock.now()).await?;
            }
            Act::Says(word) => self.says(scenario, word).await?,
            Act::Puts { system, name, content } => self.put(system, name, content).await?,
            Act::ByHand { ticket, status } => {
                let (council, ticket) = self.subject(ticket.as_ref())?;
                let crm = self.catalogue.crm_of(&council).context("the council has no CRM")?;
                self.simulator(crm)?.by_hand(ticket.as_str(), status);
            }
            Act::Stop(ticket) => {
                let (council, ticket) = self.subject(ticket.as_ref())?;
                let stop = Stop { council, ticket, by: "adviser-17".to_owned() };
                self.ledger.stop_closure(&stop, self.clock.now(), &self.undo.lessee).await?;
            }
            Act::Decides(decides) => self.decide(decides).await?,
            Act::PassesOn(passes) => self.pass_on(passes).await?,
            Act::Rules(_) => self.change_rules().await?,
            Act::Expect(expected) => return self.judge(&scenario.file, expected).await,
        }
        Ok(Vec::new())
    }

    /// The ticket that is meant, or else the first that was named.
    pub(super) fn subject(&self, ticket: Option<&Ticket>) -> anyhow::Result<(Council, Ticket)> {
        let mut named = self.tickets.iter();
        let found = match ticket {
            Some(ticket) => named.find(|(_, named)| named == ticket),
            None => named.next(),
        };
        found.cloned().with_context(|| match ticket {
            Some(ticket) => format!("no step before this one names the ticket {ticket}"),
            None => "no step before this one names a ticket".to_owned(),
        })
    }

    /// The simulator of a system.
    pub(super) fn simulator(&self, system: &SystemName) -> anyhow::Result<&Simulator> {
        self.simulators.get(system).with_context(|| format!("there is no simulator of {system}"))
    }

    fn name(&mut self, council: &Council, ticket: &Ticket) {
        let named = (council.clone(), ticket.clone());
        if !self.tickets.contains(&named) {
            self.tickets.push(named);
        }
    }

    async fn request(
        &mut self,
        scenario: &Scenario,
        ticket: &Ticket,
        council: Option<&Council>,
        service: Option<&Service>,
        over: &Value,
    ) -> anyhow::Result<()> {
        let council = council.unwrap_or(&scenario.given.council);
        let mut document = usual();
        document["raised_at"] = self.clock.now().to_string().into();
        document["ticket"] = ticket.as_str().into();
        document["council"] = council.as_str().into();
        document["service"] = service.unwrap_or(&scenario.given.service).as_str().into();
        lay(&mut document, &scenario.given.request);
        lay(&mut document, over);
        self.name(council, ticket);
        self.send("submitted", document).await
    }

    /// Sends a CloudEvent of the CRM. A step that happens twice is the same event delivered twice.
    async fn send(&mut self, word: &str, data: Value) -> anyhow::Result<()> {
        let id = envelope::digest(format!("{word} {data}").as_bytes());
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/crm/scenario",
            "type": format!("uk.dovetail.request.{word}.v1"), "datacontenttype": "application/json", "data": data,
        });
        let message = Message::read("http", event.to_string().as_bytes(), |body| {
            envelope::from_amqp(Some(STRUCTURED), &[], body, &Bounds::default())
        });
        self.messages += 1;
        self.intake.receive(message, self.clock.now()).await?;
        Ok(())
    }

    fn fault(&self, system: &SystemName, fault: Fault, asked: Scope) -> anyhow::Result<()> {
        let simulator = self.simulator(system)?;
        let faults = simulator.faults();
        let left = match faults.switch(fault) {
            Switch::Next(left) => left,
            Switch::Off | Switch::Rate(_) => 0,
        };
        let mut faults = faults.with(fault, Switch::Next(left + 1));
        // All else goes on, so that what is told is what becomes of this.
        faults.only = asked;
        simulator.set_faults(faults);
        Ok(())
    }

    async fn says(&mut self, scenario: &Scenario, word: &Word) -> anyhow::Result<()> {
        let simulator = self.simulator(&word.system)?;
        let system = self.catalogue.system(&word.system).context("the system has no mapping")?.clone();
        let about = match (&word.about, &word.job) {
            (Some(ticket), _) => Some(ticket.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(self.subject(None)?.1),
        };
        let job = match (&word.job, &about) {
            (Some(job), _) => Some(job.as_str().to_owned()),
            (None, Some(ticket)) => self.job_of(&word.system, ticket).await?,
            (None, None) => None,
        };
        let by = word.by.unwrap_or(match (&system.webhook, &system.poll) {
            (Some(_), _) => By::Webhook,
            (None, Some(_)) => By::Poll,
            (None, None) => By::Queue,
        });
        if let Some(job) = &job {
            if let Some(work) = &word.follow_on {
                simulator.follow_on(job, work);
            }
            let note = word.note.as_deref();
            let known = match system.meaning(Some(&scenario.given.service), &word.said, note) {
                Meaning::Ended { .. } => simulator.end(job, &word.said, note),
                Meaning::Progress { .. } | Meaning::Unrecognised => simulator.say(job, &word.said, note),
            };
            if !known && by != By::Queue {
                bail!("{} has no job {job}: a word about it can only come by: queue", word.system);
            }
        }
        match by {
            By::Webhook => {
                let job = job.with_context(|| format!("{} has no job of that ticket", word.system))?;
                self.call_back(&word.system, &job).await
            }
            By::Poll if job.is_none() => bail!("{} has no job of that ticket", word.system),
            By::Poll => {
                let Some(poll) = &system.poll else { bail!("{} is not polled", word.system) };
                self.go_to(self.clock.now() + poll.every() + A_MOMENT).await
            }
            By::Nobody => {
                simulator.forget_changes();
                Ok(())
            }
            By::Queue => self.report(word, about.as_ref(), job.as_deref()).await,
            By::File => {
                let job = job.with_context(|| format!("{} has no job of that ticket", word.system))?;
                let file = self.simulator(&word.system)?.file(&job);
                let file = file.with_context(|| format!("{} writes no files", word.system))?;
                self.put(&word.system, &file.name, &file.content).await
            }
        }
    }

    /// A system puts a file into its folder; then two looks pass, after which it is known to be whole.
    async fn put(&mut self, system: &SystemName, name: &str, content: &str) -> anyhow::Result<()> {
        let files = self.catalogue.system(system).and_then(|system| system.files.as_ref());
        let files = files.with_context(|| format!("{system} tells by no files"))?;
        let folder = files.folder.as_ref().context("its folder is not named")?;
        std::fs::write(std::path::Path::new(folder).join(name), content)?;
        let every = files.every + A_MOMENT;
        for _ in 0..2 {
            self.go_to(self.clock.now() + every).await?;
        }
        Ok(())
    }

    /// The job of a ticket at a system: as the ledger knows it, or else as the system does.
    pub(super) async fn job_of(
        &self,
        system: &SystemName,
        ticket: &Ticket,
    ) -> anyhow::Result<Option<String>> {
        let (council, _) = self.subject(Some(ticket))?;
        let history = self.ledger.ticket(Some(&council), ticket).await?;
        let handovers = history.map(|history| history.handovers).unwrap_or_default();
        let known =
            handovers.into_iter().find(|handover| handover.system == *system && handover.job.is_some());
        let known = known.and_then(|handover| handover.job).map(|job| job.as_str().to_owned());
        Ok(known.or(self.simulator(system)?.job_of(ticket.as_str())))
    }

    /// The system calls our webhook.
    async fn call_back(&self, system: &SystemName, job: &str) -> anyhow::Result<()> {
        let callback = self.simulator(system)?.callback(job);
        let callback =
            callback.with_context(|| format!("{system} has no webhook: say by: poll or by: queue"))?;
        let listener = self.listeners.get(system).context("every system has a listener")?;
        let mut headers = HeaderMap::new();
        for (name, value) in &callback.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        // What is not taken would be sent again: the poll is the net under it.
        match listener.hear(&headers, callback.body.as_bytes(), None, &Bounds::default()).await {
            Ok(_) | Err(complete::Refused::NotReadBack(_)) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// The system's word comes over RabbitMQ.
    async fn report(&mut self, word: &Word, about: Option<&Ticket>, job: Option<&str>) -> anyhow::Result<()> {
        let at = word.dated.unwrap_or(self.clock.now());
        let job = job.map(Job::parse).transpose()?;
        let data = json!({
            "system": word.system.as_str(), "job": job.as_ref().map(|job| job.as_str()),
            "reference": about.map(|ticket| ticket.as_str()), "status": word.said, "at": at.to_string(),
            "note": word.note,
        });
        let event = json!({
            "specversion": "1.0", "id": envelope::digest(data.to_string().as_bytes()),
            "source": format!("/systems/{}", word.system), "type": inlet::COMPLETION,
            "datacontenttype": "application/json", "data": data,
        });
        let event = event.to_string();
        let delivery = envelope::from_amqp(Some(STRUCTURED), &[], event.as_bytes(), &Bounds::default())?;
        let completion = inlet::reported(delivery, self.clock.now()).map_err(anyhow::Error::msg)?;
        complete::take(&self.writer, completion).await?;
        Ok(())
    }
}

/// Lays a document over another, member by member; a null takes a member away.
fn lay(document: &mut Value, over: &Value) {
    let (Value::Object(members), Value::Object(over)) = (document, over) else { return };
    for (name, value) in over {
        match (members.get_mut(name), value) {
            (Some(Value::Null), _) | (None, _) if !value.is_null() => {
                members.insert(name.clone(), value.clone());
            }
            (Some(member @ Value::Object(_)), Value::Object(_)) => lay(member, value),
            (Some(_), Value::Null) => {
                members.remove(name);
            }
            (Some(member), _) => *member = value.clone(),
            (None, _) => {}
        }
    }
}

/// A request that the mapping of every shipped service takes.
fn usual() -> Value {
    json!({
        "channel": "phone", "priority": "routine", "raised_by": "adviser-17", "summary": "Something is to be done",
        "customer": {"reference": "C-88", "title": "Ms", "forename": "Jo", "surname": "Lamb",
                     "email": "jo.lamb@example.org", "phone": "01632 960001"},
        "location": {"uprn": "10008049175", "address": {"lines": ["16 Pitcairn House"], "postcode": "CM20 1AA"},
                     "latitude": 51.77, "longitude": 0.09},
        "details": {"container": "refuse", "property_reference": "00012345", "trade": "plumbing",
                    "problem": "tap-leaking", "hazard": "significant", "rooms": ["bedroom"],
                    "items": [{"item": "bed", "quantity": 1}], "move": "in", "date": "2026-11-01",
                    "people": [{"title": "Ms", "forename": "Ada", "surname": "Bell"}],
                    "account_reference": "81234567", "claim_reference": "B-100", "column": "LC12", "fault": "out", "size": "large"},
    })
}
