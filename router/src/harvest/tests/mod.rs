//! A CRM that lists its tickets two a page, asked by the harvester on a fresh ledger.

mod reopening;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use connectors::Connector;
use mappings::domain::{Disposition, HandoverState, Job, RequestState};
use mappings::mapping::Source;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;
use crate::closing::{Closure, Decision, Grounds, Standing};
use crate::ledger::{
    self, Attempt, Completion, Counts, Filter, Lessee, Meaning, Next, Outbox, Problem, Room, Settlement, Way,
    WorkerId, Writer,
};

const EVERY: Duration = Duration::from_secs(60);

/// A ticket of the CRM.
#[derive(Clone)]
struct Ticket {
    changed: Timestamp,
    status: &'static str,
    service: &'static str,
    uprn: Option<&'static str>,
    /// What reading it is answered with.
    answer: u16,
}

#[derive(Default)]
struct Desk {
    tickets: BTreeMap<u32, Ticket>,
    lists: Vec<String>,
    reads: Vec<u32>,
    /// The answer to the second page.
    second: Option<u16>,
}

type Shared = Arc<Mutex<Desk>>;

fn desk(shared: &Shared) -> MutexGuard<'_, Desk> {
    shared.lock().expect("not poisoned")
}

async fn list(State(shared): State<Shared>, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let mut desk = desk(&shared);
    let since: Timestamp = asked["since"].parse().expect("a time");
    let after: u32 = asked.get("after").map_or(0, |after| after.parse().expect("a number"));
    if after == 0 {
        desk.lists.push(asked["since"].clone());
    } else if let Some(status) = desk.second {
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    let changed: Vec<_> =
        desk.tickets.iter().filter(|(id, one)| **id > after && one.changed >= since).collect();
    let page: Vec<_> = changed
        .iter()
        .take(2)
        .map(|(id, one)| json!({"id": id, "status": one.status, "changed": one.changed.to_string()}))
        .collect();
    let last = changed.iter().take(2).next_back().map_or(0, |(id, _)| **id);
    let next = (changed.len() > 2).then(|| format!("/tickets?since={}&after={last}", asked["since"]));
    axum::Json(json!({"items": page, "next": next})).into_response()
}

async fn read(State(shared): State<Shared>, Path(id): Path<u32>) -> Response {
    let mut desk = desk(&shared);
    desk.reads.push(id);
    let one = desk.tickets[&id].clone();
    if one.answer != 200 {
        return StatusCode::from_u16(one.answer).expect("a status").into_response();
    }
    let ticket = json!({
        "id": id, "service": one.service, "summary": "Something", "created": "2026-11-22T09:00:00Z",
        "uprn": one.uprn,
    });
    // As servers do: no two answers are alike in every header.
    let number = desk.reads.len() + desk.lists.len();
    ([("x-request-id", number.to_string())], axum::Json(ticket)).into_response()
}

const SYSTEM: &str = "\
system: desk
name: Desk
role: crm
owner: {team: T, contact: c@example.org}
connection: {base_url: \"${DESK}\", auth: none, timeout: 2s, connect_timeout: 1s}
idempotency: none
calls:
  new: {get: /tickets, query: {since: $.dovetail.since}, next: $.next}
  read: {get: \"/tickets/{$.event.id}\", absent: {when: {status: 404}}, accepted: {when: {path: $.id, exists: true}}}
";
const INTAKE: &str = "\
intake:
  poll: {every: 1m, overlap: 10m, call: new, each: \"$.items[?@.status == 'new']\", then: read, reopens: true}
  event: {template: \"desk-{$.id}\"}
  request:
    ticket: {from: $.id, as: string, required: true}
    council: harlow
    service: {from: $.service, required: true}
    raised_at: $.created
    summary: $.summary
    location: {uprn: $.uprn}
";
const WASTE: &str = "\
system: waste
name: Waste
role: back_office
owner: {team: T, contact: c@example.org}
connection: {base_url: \"http://127.0.0.1:9\", auth: none}
idempotency: none
";
const BIN: &str =
    "service: waste.missed-bin\nname: Missed bin\nrequires: [location.uprn]\ncreate: {post: /}\n";

struct Rig {
    shared: Shared,
    harvester: Harvester,
    ledger: Arc<dyn Ledger>,
    lessee: Lessee,
    clock: Clock,
    _tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let shared = Shared::default();
        let app = Router::new().route("/tickets", get(list)).route("/tickets/{id}", get(read));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut tasks = JoinSet::new();
        let app = app.with_state(Arc::clone(&shared));
        tasks.spawn(async move { axum::serve(listener, app).await.expect("served") });

        let sources = [
            ("systems/desk/system.yaml", SYSTEM),
            ("systems/desk/intake.yaml", INTAKE),
            ("systems/waste/system.yaml", WASTE),
            ("systems/waste/bin.yaml", BIN),
            ("routes.yaml", "routes: [{service: waste.missed-bin, to: [waste]}]\n"),
        ];
        let sources = sources.map(|(path, text)| Source { path: path.to_owned(), text: text.to_owned() });
        let catalogue = Catalogue::compile(&sources, &|_| Some(url.clone()));
        let catalogue = Arc::new(catalogue.unwrap_or_else(|found| panic!("{found:?}")));

        let folder = tempfile::tempdir().expect("a folder");
        let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let (closer, reader): (ledger::Closer, ledger::Reader) =
            (Arc::new(close), Arc::new(|_, _, _| done()));
        let ledger = ledger::open(&address, closer, reader, 2).await.expect("a ledger");
        let clock = Clock::stopped_at(at(0));
        let lessee = Lessee { worker: WorkerId(Uuid::now_v7()), room: Room::new([]), outbox: Outbox::Off };
        let (events, _) = mpsc::unbounded_channel();
        let (work, _) = mpsc::unbounded_channel();
        let (writer, lanes) = Writer::new(Arc::clone(&ledger), lessee.clone(), events, work);
        tasks.spawn(lanes.run(CancellationToken::new()));

        let name = SystemName::parse("desk").expect("a name");
        let system = Arc::clone(catalogue.system(&name).expect("the desk"));
        let connector = Asker::alone(Arc::new(Connector::new(&system).expect("a connector")));
        let intake = Intake::new(Arc::clone(&catalogue), writer);
        let (harvester, every) =
            Harvester::new(&catalogue, &system, connector, Arc::clone(&ledger), intake, clock.clone())
                .expect("it is polled");
        assert_eq!(every, EVERY);
        Self { shared, harvester, ledger, lessee, clock, _tasks: tasks, _folder: folder }
    }

    /// A ticket that was changed so many seconds after the start.
    fn change(&self, id: u32, seconds: i64) -> &Self {
        let (status, service, uprn) = ("new", "waste.missed-bin", Some("10008049175"));
        let ticket = Ticket { changed: at(seconds), status, service, uprn, answer: 200 };
        desk(&self.shared).tickets.insert(id, ticket);
        self
    }

    fn alter(&self, id: u32, change: impl FnOnce(&mut Ticket)) {
        change(desk(&self.shared).tickets.get_mut(&id).expect("a ticket"));
    }

    async fn poll_at(&self, seconds: i64) -> anyhow::Result<Step> {
        let ahead = u64::try_from((at(seconds) - self.clock.now()).get_seconds()).unwrap_or(0);
        self.clock.advance(Duration::from_secs(ahead));
        self.harvester.poll(EVERY).await
    }

    async fn tickets(&self) -> Vec<String> {
        let lines = self.ledger.tickets(&Filter { most: 99, ..Filter::default() }).await.expect("tickets");
        let mut tickets: Vec<_> = lines.into_iter().map(|line| line.ticket.to_string()).collect();
        tickets.sort();
        tickets
    }

    /// Makes the one call that is due at a system, which ends now.
    async fn call(&self, system: &str) {
        let system = SystemName::parse(system).expect("a name");
        let due = self.ledger.claim_due(&system, 9, self.clock.now(), self.lessee.worker).await;
        let work = due.expect("a claim").remove(0);
        let now = self.clock.now();
        let attempt = Attempt {
            started_at: now,
            ended_at: now,
            outcome: "delivered".into(),
            status: Some(200),
            reason: None,
            call: None,
            answer: None,
        };
        let next = Next::Delivered { job: Job::parse("7").ok(), note: None };
        let settlement = Settlement { work, attempt, next, owner: None };
        self.ledger.record(&[settlement], &self.lessee).await.expect("recorded");
    }

    /// Has the work of the only ticket done; its closure is due then.
    async fn finish(&self) {
        self.call("waste").await;
        let completion = Completion {
            system: SystemName::parse("waste").expect("a name"),
            key: self.clock.now().to_string(),
            job: Job::parse("7").ok(),
            reference: None,
            said: "Done".into(),
            note: None,
            said_at: None,
            received_at: self.clock.now(),
            way: Way::Webhook,
        };
        self.ledger.complete(&[completion], &self.lessee).await.expect("heard");
    }

    /// The states of all openings of a ticket, the latest first.
    async fn openings(&self, ticket: &str) -> Vec<RequestState> {
        let ticket = mappings::domain::Ticket::parse(ticket).ok();
        let lines = self.ledger.tickets(&Filter { ticket, most: 9, ..Filter::default() }).await;
        lines.expect("tickets").into_iter().map(|line| line.state).collect()
    }

    async fn counts(&self) -> Counts {
        self.ledger.counts().await.expect("counts")
    }

    fn reads(&self) -> Vec<u32> {
        let mut reads = std::mem::take(&mut desk(&self.shared).reads);
        reads.sort_unstable();
        reads
    }
}

fn done() -> Meaning {
    Meaning::Ended { disposition: Disposition::Completed, reason: None, say: None }
}

/// What is done closes, by a call to the desk.
fn close(standing: &Standing) -> Decision {
    if standing.handovers.iter().any(|part| part.state != HandoverState::Ended) {
        return Decision::Wait;
    }
    Decision::Close(Closure {
        disposition: Disposition::Completed,
        reason: None,
        say: "It is done.".into(),
        crm: SystemName::parse("desk").ok(),
        grounds: Grounds::default(),
    })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_338_000 + seconds).expect("a time")
}

#[tokio::test]
async fn every_page_is_read_and_every_ticket_taken_once() {
    let rig = Rig::start().await;
    for id in 1..=5 {
        rig.change(id, -60);
    }
    rig.alter(4, |ticket| ticket.status = "closed");
    assert_eq!(rig.poll_at(0).await.expect("polled"), Step::Done(4));
    assert_eq!(rig.tickets().await, ["1", "2", "3", "5"]);
    assert_eq!(rig.poll_at(30).await.expect("polled"), Step::Idle, "it is not time");
    assert_eq!(
        rig.poll_at(60).await.expect("polled"),
        Step::Done(0),
        "what did not change is not read again"
    );
    assert_eq!(rig.reads(), [1, 2, 3, 5]);
    rig.change(6, 61).change(2, 62);
    assert_eq!(rig.poll_at(120).await.expect("polled"), Step::Done(2));
    assert_eq!(rig.reads(), [2, 6]);
    assert_eq!(rig.tickets().await, ["1", "2", "3", "5", "6"]);
    assert_eq!(rig.counts().await.duplicates, 1, "the change of a ticket that is known is recognised");
}

#[tokio::test]
async fn each_poll_looks_back_by_the_overlap_from_the_last_one() {
    let rig = Rig::start().await;
    for seconds in [0, 60, 300] {
        rig.poll_at(seconds).await.expect("polled");
    }
    let since: Vec<String> = [-600, -600, -540].map(|seconds| at(seconds).to_string()).into();
    assert_eq!(desk(&rig.shared).lists, since);
}

#[tokio::test]
async fn a_poll_that_breaks_off_moves_nothing_and_the_next_asks_from_the_same_time() {
    let rig = Rig::start().await;
    rig.poll_at(0).await.expect("polled");
    for id in 1..=3 {
        rig.change(id, 30);
    }
    desk(&rig.shared).second = Some(503);
    let error = rig.poll_at(60).await.expect_err("short");
    assert!(error.to_string().contains("503"), "{error:#}");
    assert!(rig.tickets().await.is_empty(), "a list that breaks off is none");
    desk(&rig.shared).second = None;
    // Longer than the overlap: only the position brings these back.
    assert_eq!(rig.poll_at(3_600).await.expect("polled"), Step::Done(3));
    assert_eq!(desk(&rig.shared).lists[2], at(-600).to_string());
    assert_eq!(rig.tickets().await, ["1", "2", "3"]);
}

#[tokio::test]
async fn the_first_poll_counts_from_when_it_was_tried() {
    let rig = Rig::start().await;
    rig.change(1, 0).change(2, 0).change(3, 0);
    desk(&rig.shared).second = Some(500);
    rig.poll_at(0).await.expect_err("short");
    desk(&rig.shared).second = None;
    assert_eq!(rig.poll_at(7_200).await.expect("polled"), Step::Done(3));
}

#[tokio::test]
async fn a_ticket_that_cannot_be_read_now_keeps_the_position_and_not_its_neighbours() {
    let rig = Rig::start().await;
    rig.change(1, -1).change(2, -1).change(3, -1);
    rig.alter(2, |ticket| ticket.answer = 503);
    rig.poll_at(0).await.expect_err("one is missing");
    assert_eq!(rig.tickets().await, ["1", "3"]);
    rig.alter(2, |ticket| ticket.answer = 200);
    rig.reads();
    assert_eq!(rig.poll_at(7_200).await.expect("polled"), Step::Done(1));
    assert_eq!(rig.reads(), [2], "the others are not read again");
    assert_eq!(rig.tickets().await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_ticket_that_can_never_be_read_is_kept_as_a_refusal_and_holds_up_nothing() {
    let rig = Rig::start().await;
    rig.change(1, -1).change(2, -1);
    rig.alter(1, |ticket| ticket.answer = 400);
    assert_eq!(rig.poll_at(0).await.expect("polled"), Step::Done(2));
    assert_eq!((rig.tickets().await, rig.counts().await.refused), (vec!["2".to_owned()], 1));
    rig.poll_at(60).await.expect("polled");
    assert_eq!(rig.counts().await.refused, 1, "the same refusal is kept once");
}

#[tokio::test]
async fn a_ticket_that_is_refused_is_taken_once_it_is_put_right() {
    let rig = Rig::start().await;
    rig.change(1, -1);
    rig.alter(1, |ticket| ticket.service = "waste.noise");
    assert_eq!(rig.poll_at(0).await.expect("polled"), Step::Done(1));
    assert_eq!((rig.tickets().await.len(), rig.counts().await.refused), (0, 1));
    // Within the same second, so that the list does not tell it from before.
    rig.alter(1, |ticket| ticket.service = "waste.missed-bin");
    rig.poll_at(60).await.expect("polled");
    assert_eq!(rig.tickets().await, ["1"]);
}

#[tokio::test]
async fn a_ticket_that_cannot_be_translated_is_one_problem_that_names_it_until_it_is_taken() {
    let rig = Rig::start().await;
    rig.change(1, -1);
    rig.alter(1, |ticket| ticket.service = "");
    for seconds in [0, 60, 120] {
        assert_eq!(rig.poll_at(seconds).await.expect("polled"), Step::Done(1));
    }
    let problems = rig.ledger.problems(9).await.expect("problems");
    let [Problem::Refused { name, key, ticket, council, kept_as, .. }] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert_eq!((key.source.as_str(), key.id.as_str()), ("/crm/desk", "desk-1"));
    assert_eq!(ticket.as_ref().map(|ticket| ticket.as_str()), Some("1"));
    assert_eq!(council.as_ref().map(|council| council.as_str()), Some("harlow"));
    assert_eq!(*kept_as, KeptAs::Polled);
    let kept = rig.ledger.refusals(&name[..6], 2).await.expect("a read").remove(0);
    assert!(kept.body.contains("Something"), "the whole ticket can be read: {}", kept.body);
    rig.alter(1, |ticket| ticket.service = "waste.missed-bin");
    rig.poll_at(180).await.expect("polled");
    assert!(rig.ledger.problems(9).await.expect("problems").is_empty());
    let kept = rig.ledger.refusals(name, 2).await.expect("a read").remove(0);
    assert_eq!(kept.settled.map(|(_, how)| how).as_deref(), Some("put right"));
}

#[tokio::test]
async fn a_change_of_a_known_ticket_that_was_refused_leaves_the_list_when_the_ticket_is_read_again() {
    let rig = Rig::start().await;
    rig.change(1, -1);
    rig.poll_at(0).await.expect("polled");
    rig.change(1, 30);
    rig.alter(1, |ticket| ticket.uprn = None);
    rig.poll_at(60).await.expect("polled");
    assert_eq!(rig.ledger.problems(9).await.expect("problems").len(), 1);
    rig.change(1, 90);
    rig.poll_at(120).await.expect("polled");
    assert!(rig.ledger.problems(9).await.expect("problems").is_empty());
}

#[tokio::test]
async fn a_listed_ticket_that_could_not_be_read_is_read_anew_when_a_person_says_so() {
    let rig = Rig::start().await;
    rig.change(1, -1);
    rig.alter(1, |ticket| ticket.answer = 400);
    rig.poll_at(0).await.expect("polled");
    let problems = rig.ledger.problems(9).await.expect("problems");
    let [Problem::Refused { name, kept_as: KeptAs::Listed, ticket: Some(_), .. }] = &problems[..] else {
        panic!("{problems:?}")
    };
    let item = rig.ledger.refusals(name, 1).await.expect("a read").remove(0).body;
    let item: Value = serde_json::from_str(&item).expect("the item of the list");
    assert!(!rig.harvester.again(item.clone()).await.expect("asked"), "it is refused again");
    rig.alter(1, |ticket| ticket.answer = 200);
    rig.clock.advance(Duration::from_secs(1));
    assert!(rig.harvester.again(item).await.expect("asked"));
    assert!(rig.ledger.problems(9).await.expect("problems").is_empty());
    assert_eq!(rig.tickets().await, ["1"]);
}

#[tokio::test]
async fn a_ticket_that_is_still_being_filled_in_is_taken_once_it_has_what_its_system_requires() {
    let rig = Rig::start().await;
    rig.change(1, -1).change(2, -1);
    rig.alter(1, |ticket| ticket.uprn = None);
    assert_eq!(rig.poll_at(0).await.expect("polled"), Step::Done(2));
    assert_eq!((rig.tickets().await, rig.counts().await.refused), (vec!["2".to_owned()], 1));
    rig.alter(1, |ticket| ticket.uprn = Some("10008049175"));
    rig.poll_at(60).await.expect("polled");
    assert_eq!(rig.tickets().await.len(), 2);
}

#[tokio::test]
async fn a_ticket_that_is_gone_when_it_is_read_needs_nothing() {
    let rig = Rig::start().await;
    rig.change(1, -1);
    rig.alter(1, |ticket| ticket.answer = 404);
    assert_eq!(rig.poll_at(0).await.expect("polled"), Step::Done(1));
    assert_eq!((rig.tickets().await.len(), rig.counts().await.refused), (0, 0));
}

#[tokio::test]
async fn credentials_that_are_refused_for_a_while_lose_no_ticket() {
    let rig = Rig::start().await;
    rig.change(1, -1);
    for (seconds, status) in [(0, 401), (3_600, 403), (7_200, 429)] {
        rig.alter(1, |ticket| ticket.answer = status);
        rig.poll_at(seconds).await.expect_err("not now");
    }
    rig.alter(1, |ticket| ticket.answer = 200);
    rig.poll_at(100_000).await.expect("polled");
    assert_eq!((rig.tickets().await, rig.counts().await.refused), (vec!["1".to_owned()], 0));
}
