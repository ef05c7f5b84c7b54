//! The shipped mappings against the simulators: what the one writes the other must read, both ways.

use std::sync::Arc;

use mappings::domain::{CallId, Disposition, Job, Operation, RequestId, SystemName};
use mappings::mapping::{Catalogue, Facts, Meaning, Report, Steps, System, context, shipped};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rig::{Callbacks, Rig, still};
use super::{Fault, Faults, Kind, Settings, Switch, clock};
use crate::{Connector, Outcome, Performed, callback};

/// A simulator, the shipped mapping of its system, and the way from one to the other.
struct Pair {
    rig: Rig,
    system: Arc<System>,
    connector: Connector,
    request: RequestId,
}

impl Pair {
    async fn of(kind: Kind, settings: Settings) -> Self {
        let rig = Rig::start(kind, settings).await;
        let environment = rig.sim.environment();
        let resolve = |name: &str| {
            let known = environment.iter().find(|(known, _)| *known == name);
            Some(known.map_or_else(|| "http://127.0.0.1:9/".to_owned(), |(_, value)| value.clone()))
        };
        let catalogue = Catalogue::compile(&shipped(), &resolve).unwrap();
        let system = Arc::clone(catalogue.system(&SystemName::parse(kind.as_str()).unwrap()).unwrap());
        let connector = Connector::new(&system).unwrap();
        Self { rig, system, connector, request: RequestId(Uuid::now_v7()) }
    }

    fn facts(&self, key: u128) -> Facts {
        Facts {
            key: Some(CallId(Uuid::from_u128(key))),
            request: Some(self.request),
            ..Facts::at(clock::now())
        }
    }

    async fn perform(&self, steps: &Steps, request: &Value, facts: &Facts) -> Performed {
        self.connector.perform(steps, context(request, facts), facts.now).await
    }

    async fn create(&self, request: &Value, key: u128) -> Outcome {
        self.operate(Operation::Create, request, &self.facts(key)).await
    }

    async fn operate(&self, operation: Operation, request: &Value, facts: &Facts) -> Outcome {
        let service = request["service"].as_str().unwrap().parse().unwrap();
        let steps = self.system.operation(&service, operation).unwrap();
        let performed = self.perform(steps, request, facts).await;
        assert!(performed.render_failed.is_none(), "{performed:?}");
        performed.outcome
    }

    async fn look_up(&self, name: &str, request: &Value) -> Outcome {
        self.perform(self.system.call(name).unwrap(), request, &self.facts(1)).await.outcome
    }

    async fn read(&self, name: &str, facts: &Facts) -> Vec<Report> {
        let steps = self.system.call(name).unwrap();
        self.connector.read(steps, context(&Value::Null, facts), facts.now).await.unwrap().reports
    }

    async fn changed(&self, name: &str) -> Vec<Report> {
        let since = Some(clock::now() - jiff::SignedDuration::from_hours(1));
        self.read(name, &Facts { since, ..Facts::at(clock::now()) }).await
    }

    async fn finish(&self) {
        self.rig.post("/_sim/step", r#"{"steps": 9}"#).await;
    }

    fn disposition(&self, report: &Report) -> Option<Disposition> {
        match self.system.meaning(None, &report.said, report.note.as_deref()) {
            Meaning::Ended { disposition, .. } => Some(disposition),
            Meaning::Progress { .. } | Meaning::Unrecognised => None,
        }
    }
}

fn delivered(outcome: &Outcome) -> Job {
    let Outcome::Delivered { job: Some(job), .. } = outcome else {
        panic!("expected a job, found {outcome:?}")
    };
    job.clone()
}

fn rejected(outcome: &Outcome) -> Option<Disposition> {
    let Outcome::Rejected { disposition, .. } = outcome else {
        panic!("expected a refusal, found {outcome:?}")
    };
    *disposition
}

fn request(service: &str, summary: &str, details: Value) -> Value {
    json!({
        "ticket": "CRM-1", "council": "harlow", "service": service, "raised_at": "2026-11-22T09:15:00Z",
        "summary": summary, "customer": {"forename": "Jo", "surname": "Lamb", "phone": "07700900123"},
        "location": {"uprn": "10008049175", "latitude": 51.5, "longitude": -0.05,
                     "address": {"lines": ["16 Pitcairn House"], "postcode": "E9 6PT"}},
        "details": details,
    })
}

fn repair(summary: &str) -> Value {
    request("housing.repair", summary, json!({"property_reference": "00012345", "trade": "plumbing"}))
}

fn missed_bin(summary: &str) -> Value {
    request("waste.missed-bin", summary, json!({"container": "refuse", "out_before_7am": true}))
}

fn move_in(summary: &str) -> Value {
    request("revenues.change-of-address", summary, json!({"move": "in", "date": "2026-11-20"}))
}

fn lamp(summary: &str) -> Value {
    request("highways.street-light", summary, json!({"column": "LC12"}))
}

const REFUSALS: [(&str, Option<Disposition>); 3] = [
    ("[refused duplicate]", Some(Disposition::Duplicate)),
    ("[refused declined]", Some(Disposition::Declined)),
    ("[refused]", None),
];

#[tokio::test]
async fn every_service_of_every_system_is_taken() {
    let items = json!([{"item": "sofa", "quantity": 1}]);
    let clearance =
        request("housing.clearance", "Clear", json!({"property_reference": "12345", "items": items}));
    let account = json!({"account_reference": "7", "date": "2026-11-20"});
    let claim = json!({"claim_reference": "9", "change": "rent", "date": "2026-11-20"});
    let all = [
        (
            Kind::Housing,
            vec![
                repair("Tap"),
                request("housing.damp-mould", "Mould", json!({"property_reference": "12345"})),
                clearance.clone(),
            ],
        ),
        (
            Kind::Waste,
            vec![
                missed_bin("Bin"),
                request("waste.bulky", "Sofa", json!({"items": items})),
                request("waste.assisted-collection", "Help", json!({"action": "add"})),
                request("waste.new-container", "Bin", json!({"container": "food"})),
                clearance,
            ],
        ),
        (
            Kind::Revenues,
            vec![
                move_in("Moving"),
                request("revenues.single-person-discount", "Alone", account),
                request("revenues.benefit-change", "Rent", claim),
            ],
        ),
        (
            Kind::Partner,
            vec![
                lamp("Lamp"),
                request("highways.pothole", "Hole", json!({})),
                request("highways.abandoned-vehicle", "Car", json!({"registration": "AB12 CDE"})),
                request("leisure.facility-fault", "Shower", json!({"facility": "Pool"})),
            ],
        ),
    ];
    for (kind, requests) in all {
        let pair = Pair::of(kind, still()).await;
        for (key, request) in (1..).zip(&requests) {
            delivered(&pair.create(request, key).await);
        }
        assert_eq!(pair.rig.get("/_sim/counts").await["jobs"], requests.len());
    }
}

#[tokio::test]
async fn housing_is_ordered_once_polled_amended_and_cancelled() {
    let faults = Faults::default().with(Fault::LostAnswer, Switch::Next(1));
    let pair = Pair::of(Kind::Housing, Settings { faults, ..still() }).await;
    assert_eq!(pair.create(&repair("Tap [follow on]"), 1).await.word(), "unknown");
    let job = delivered(&pair.create(&repair("Tap [follow on]"), 1).await);
    assert_eq!(pair.rig.get("/_sim/counts").await["jobs"], 1);
    let facts = Facts { job: Some(job), change: Some(json!({"reason": "Dog"})), ..pair.facts(2) };
    assert_eq!(pair.operate(Operation::Amend, &repair("Tap"), &facts).await.word(), "delivered");
    pair.finish().await;
    let reports = pair.read("read-work-order", &facts).await;
    assert_eq!(pair.disposition(&reports[0]), Some(Disposition::FollowOn));
    assert_eq!(reports[0].note.as_deref(), Some("Plaster the wall"));
    assert_eq!(
        rejected(&pair.operate(Operation::Cancel, &repair("Tap"), &facts).await),
        Some(Disposition::Completed)
    );
    for (key, (marker, disposition)) in (10..).zip(REFUSALS) {
        assert_eq!(rejected(&pair.create(&repair(marker), key).await), disposition, "{marker}");
    }
    assert_eq!(pair.create(&repair("[busy]"), 20).await.word(), "retry");
    delivered(&pair.create(&repair("[short answer]"), 21).await);
}

#[tokio::test]
async fn a_lost_worksheet_is_looked_up_and_its_poke_is_read_back() {
    let mut router = Callbacks::refusing(0).await;
    let faults = Faults::default().with(Fault::TruncatedAnswer, Switch::Next(1));
    let settings = Settings { callback: Some(router.url.clone()), faults, ..still() };
    let pair = Pair::of(Kind::Waste, settings).await;
    let bin = missed_bin("Bin missed [not out]");
    assert_eq!(pair.create(&bin, 1).await.word(), "unknown");
    let job = delivered(&pair.look_up("find-worksheet", &bin).await);
    assert_eq!(
        pair.look_up("find-worksheet", &json!({"ticket": "CRM-2"})).await,
        Outcome::Absent,
        "another ticket has none"
    );
    pair.finish().await;
    let poke = router.next().await;
    let webhook = pair.system.webhook.as_ref().unwrap();
    assert_eq!(poke.path, webhook.path);
    callback::verify(&webhook.verify, &poke.headers, poke.body.as_bytes(), clock::now()).unwrap();
    let event = callback::event(&poke.headers, poke.body.as_bytes()).unwrap();
    let poked = webhook.reports(&event).unwrap().reports;
    assert_eq!((poked[0].job.as_ref(), poked[0].said.as_str()), (Some(&job), "Not Out"));
    let facts = Facts { event: Some(webhook.document(&event).unwrap()), ..pair.facts(3) };
    let read = pair.read("read-worksheet", &facts).await;
    assert_eq!(read[0].reference.as_ref().map(|ticket| ticket.as_str()), Some("CRM-1"));
    assert_eq!(pair.disposition(&read[0]), Some(Disposition::Declined));
    let changed = pair.changed("changed-worksheets").await;
    assert_eq!((changed[0].job.as_ref(), changed[0].said.as_str()), (Some(&job), "Not Out"));
    assert!(changed[0].at.is_some());
    for (marker, disposition) in REFUSALS {
        assert_eq!(rejected(&pair.create(&missed_bin(marker), 4).await), disposition, "{marker}");
    }
}

#[tokio::test]
async fn a_worksheet_is_amended_and_cancelled() {
    let pair = Pair::of(Kind::Waste, still()).await;
    let job = delivered(&pair.create(&missed_bin("Bin"), 1).await);
    let facts = Facts { job: Some(job), change: Some(json!({"reason": "Found it"})), ..pair.facts(2) };
    assert_eq!(pair.operate(Operation::Amend, &missed_bin("Bin"), &facts).await.word(), "delivered");
    assert_eq!(pair.operate(Operation::Cancel, &missed_bin("Bin"), &facts).await.word(), "delivered");
    let again = pair.operate(Operation::Cancel, &missed_bin("Bin"), &facts).await;
    assert_eq!(rejected(&again), Some(Disposition::Completed));
}

#[tokio::test]
async fn revenues_takes_a_notification_once_and_lists_its_receipts() {
    let faults = Faults::default().with(Fault::EmptyAnswer, Switch::Next(1));
    let pair = Pair::of(Kind::Revenues, Settings { faults, ..still() }).await;
    assert_eq!(pair.create(&move_in("Moving"), 1).await.word(), "unknown");
    let job = delivered(&pair.create(&move_in("Moving"), 1).await);
    delivered(&pair.create(&move_in("Moving [review]"), 2).await);
    delivered(&pair.create(&move_in("Moving [fail]"), 3).await);
    pair.finish().await;
    let receipts = pair.changed("receipts").await;
    let last = |job: &str| {
        let of_job = |report: &&Report| report.job.as_ref().is_some_and(|known| known.as_str() == job);
        receipts.iter().rfind(of_job).unwrap().clone()
    };
    assert_eq!(pair.disposition(&last(job.as_str())), Some(Disposition::Completed));
    assert_eq!(last("CT-100002").said, "Review");
    assert!(last("CT-100002").note.unwrap().starts_with("Business exception"));
    assert_eq!(pair.disposition(&last("CT-100003")), Some(Disposition::Declined));
    let keys: std::collections::BTreeSet<_> = receipts.iter().map(|report| report.key.clone()).collect();
    assert_eq!(keys.len(), receipts.len(), "each receipt is known by its key");
    for (key, (marker, disposition)) in (10..).zip(REFUSALS) {
        assert_eq!(rejected(&pair.create(&move_in(marker), key).await), disposition, "{marker}");
    }
    assert_eq!(pair.create(&move_in("[busy]"), 20).await.word(), "retry");
    let open = Facts { job: Some(Job::parse("CT-100002").unwrap()), ..pair.facts(21) };
    assert_eq!(pair.operate(Operation::Amend, &move_in("More"), &open).await.word(), "delivered");
    assert_eq!(pair.operate(Operation::Cancel, &move_in("No"), &open).await.word(), "delivered");
    assert_eq!(
        rejected(&pair.operate(Operation::Cancel, &move_in("No"), &open).await),
        Some(Disposition::Completed)
    );
}

#[tokio::test]
async fn a_partner_pushes_signed_updates_and_lists_the_same() {
    let mut router = Callbacks::refusing(0).await;
    let pair = Pair::of(Kind::Partner, Settings { callback: Some(router.url.clone()), ..still() }).await;
    let job = delivered(&pair.create(&lamp("Lamp out [declined]"), 1).await);
    pair.finish().await;
    let webhook = pair.system.webhook.as_ref().unwrap();
    let mut pushed = Vec::new();
    for _ in 0..4 {
        let update = router.next().await;
        assert_eq!(update.path, webhook.path);
        callback::verify(&webhook.verify, &update.headers, update.body.as_bytes(), clock::now()).unwrap();
        let event = callback::event(&update.headers, update.body.as_bytes()).unwrap();
        pushed.extend(webhook.reports(&event).unwrap().reports);
    }
    assert_eq!(pushed[3].job.as_ref(), Some(&job));
    assert_eq!(pair.disposition(&pushed[3]), Some(Disposition::Declined));
    assert_eq!(pair.changed("updates").await, pushed);
    for (marker, disposition) in REFUSALS {
        assert_eq!(rejected(&pair.create(&lamp(marker), 2).await), disposition, "{marker}");
    }
    let pending = pair.create(&lamp("[short answer]"), 3).await;
    let Outcome::Pending { carried, .. } = pending else { panic!("{pending:?}") };
    let token = carried.job.expect("a token");
    assert!(token.as_str().starts_with("T-"), "{token}");
    let facts = Facts { job: Some(token), change: Some(json!({"reason": "Mended"})), ..pair.facts(4) };
    assert_eq!(pair.operate(Operation::Cancel, &lamp("Lamp"), &facts).await.word(), "delivered");
}

#[tokio::test]
async fn a_ticket_is_opened_and_closed_once_with_a_message() {
    let pair = Pair::of(Kind::Crm, still()).await;
    let opened = pair.look_up("open-ticket", &missed_bin("Bin missed")).await;
    let mut bin = missed_bin("Bin missed");
    bin["ticket"] = json!(delivered(&opened).as_str());
    let closure = json!({"disposition": "completed", "say": "The crew has done the work.", "evidence": []});
    let close = Facts { closure: Some(closure), ..pair.facts(1) };
    assert_eq!(pair.look_up("read-ticket", &bin).await, Outcome::Absent, "it is open");
    assert_eq!(pair.operate(Operation::Close, &bin, &close).await.word(), "delivered");
    let ticket = pair.rig.get("/_sim/tickets/1").await;
    assert_eq!((&ticket["status"], &ticket["closures"]), (&json!("resolved"), &json!(1)));
    assert!(ticket["messages"][0].as_str().unwrap().starts_with("The crew has done the work."));
    let again = pair.operate(Operation::Close, &bin, &close).await;
    let note = Some("closed by a person already".to_owned());
    assert_eq!(again, Outcome::Delivered { job: None, note }, "there is nothing left to do");
    assert_eq!(pair.rig.get("/_sim/tickets/1").await["closures"], 1);
    assert_eq!(pair.look_up("read-ticket", &bin).await.word(), "delivered", "it is closed");
}

#[tokio::test]
async fn a_case_is_closed_once_under_a_token_that_is_fetched_when_it_is_needed() {
    let faults = Faults::default().with(Fault::LostAnswer, Switch::Next(2));
    let pair = Pair::of(Kind::CrmDynamics, Settings { faults, ..still() }).await;
    let bin = || {
        let mut bin = missed_bin("Bin missed");
        bin["ticket"] = json!("CAS-00017-X5F2");
        bin
    };
    let evidence = json!([{"system": "waste", "said": "Completed", "at": "2026-11-24T08:00:00Z"}]);
    let closure =
        json!({"disposition": "completed", "say": "The crew has done the work.", "evidence": evidence});
    let close = Facts { closure: Some(closure), ..pair.facts(1) };
    assert_eq!(pair.look_up("read-case", &bin()).await, Outcome::Absent, "it is active");
    assert_eq!(
        pair.operate(Operation::Close, &bin(), &close).await.word(),
        "unknown",
        "the note's answer is lost"
    );
    assert_eq!(pair.look_up("read-case", &bin()).await, Outcome::Absent, "it is still active");
    pair.rig.sim.set_faults(Faults::default());
    assert_eq!(
        pair.operate(Operation::Close, &bin(), &close).await,
        Outcome::Delivered { job: None, note: None }
    );
    let ticket = pair.rig.get("/_sim/tickets/CAS-00017-X5F2").await;
    assert_eq!((&ticket["status"], &ticket["closures"]), (&json!("resolved"), &json!(1)));
    assert!(ticket["messages"][0].as_str().unwrap().starts_with("The crew has done the work."), "{ticket}");
    let notes = ticket["notes"].as_object().unwrap();
    assert_eq!(notes.len(), 1, "written twice, it is one note");
    assert!(
        notes
            .values()
            .all(|note| note.as_str().unwrap().ends_with("waste said Completed, 2026-11-24T08:00:00Z"))
    );
    let note = Some("closed by a person already".to_owned());
    assert_eq!(pair.operate(Operation::Close, &bin(), &close).await, Outcome::Delivered { job: None, note });
    assert_eq!(pair.look_up("read-case", &bin()).await.word(), "delivered", "it is closed");
    assert_eq!(pair.rig.get("/_sim/counts").await["tokens"], 1);
}

#[tokio::test]
async fn a_case_that_follows_is_opened_and_connected_once_though_an_answer_is_lost() {
    let faults = Faults::default().with(Fault::LostAnswer, Switch::Next(2));
    let pair = Pair::of(Kind::CrmDynamics, Settings { faults, ..still() }).await;
    let bin = missed_bin("Bin missed");
    let linked = json!({"follows": "CRM-1", "service": "waste.new-container", "summary": "Mend the wheels"});
    let closure = json!({"disposition": "follow_on", "evidence": [], "linked": linked});
    let close = Facts { closure: Some(closure), ..pair.facts(1) };
    assert_eq!(pair.operate(Operation::Close, &bin, &close).await.word(), "unknown");
    assert_eq!(pair.look_up("read-case", &bin).await, Outcome::Absent, "the first is still active");
    pair.rig.sim.set_faults(Faults::default());
    assert_eq!(pair.operate(Operation::Close, &bin, &close).await.word(), "delivered");
    let tickets = pair.rig.get("/_sim/tickets").await;
    assert_eq!(tickets.as_array().map(Vec::len), Some(2), "{tickets}");
    let new = &tickets[1];
    assert_eq!((&new["refers_to"], &new["status"]), (&json!("CRM-1"), &json!("new")));
    assert_eq!(new["subject"], "Follow-on of CRM-1: Bin missed");
    assert_eq!(new["notes"], json!({"description": "Mend the wheels\nService: waste.new-container"}));
}

#[tokio::test]
async fn a_case_is_cancelled_and_a_revoked_token_is_fetched_anew() {
    let pair = Pair::of(Kind::CrmDynamics, still()).await;
    let bin = missed_bin("Bin missed");
    let closure = json!({"disposition": "cancelled", "evidence": []});
    let close = Facts { closure: Some(closure), ..pair.facts(1) };
    assert_eq!(pair.look_up("read-case", &bin).await, Outcome::Absent);
    super::rig::send(pair.rig.call(reqwest::Method::DELETE, "/_sim/tokens")).await.unwrap();
    assert_eq!(pair.operate(Operation::Close, &bin, &close).await.word(), "delivered");
    assert_eq!(pair.rig.get("/_sim/tickets/CRM-1").await["status"], "rejected");
    assert_eq!(pair.rig.get("/_sim/counts").await["tokens"], 2);
}
