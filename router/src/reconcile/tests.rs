//! A depot that lists its jobs, asked about those that are open on a fresh ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use connectors::Connector;
use mappings::domain::{Council, Job, Request, RequestState, SystemName, Ticket};
use mappings::mapping::{Catalogue, Source};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;
use crate::clock::Clock;
use crate::closing;
use crate::dispatch::{Asker, Halts};
use crate::ledger::{
    self, Arrival, Attempt, Breaker, Change, ClockSetting, Halt, InboxKey, Ledger, Lessee, Next, Outbox,
    Pause, Room, Settlement, Writer,
};

const SYSTEM: &str = "\
system: depot
name: Depot
role: back_office
owner: {team: T, contact: c@example.org}
connection: {base_url: \"${DEPOT}\", auth: none, timeout: 2s, connect_timeout: 1s}
limits: {breaker: {failures: 2, pause: 1m}}
idempotency: none
completion: {status: {every: 1d, call: jobs, batch: 4}}
calls:
  jobs:
    get: /jobs
    query: {ids: {join: [\"$.dovetail.jobs[*]\"], with: \",\"}}
    accepted: {when: {all: [{status: 200}, {path: $.total, exists: true}]}}
    reports: {each: \"$.jobs[*]\", job: \"@.id\", status: \"@.status\", at: \"@.at\"}
statuses:
  Open: {progress: received}
  Started: {progress: in_progress}
  Done: {disposition: completed}
";
const BIN: &str = "service: depot.bin\nname: Bin\ncreate: {post: /}\nclose: {automatically: [completed]}\n";

#[derive(Default)]
struct Depot {
    /// What it lists of each job it knows.
    jobs: BTreeMap<String, serde_json::Value>,
    /// What it was asked, in order.
    asked: Vec<String>,
    /// What it answers instead.
    answer: Option<(u16, &'static str)>,
}

type Shared = Arc<Mutex<Depot>>;

fn depot(shared: &Shared) -> MutexGuard<'_, Depot> {
    shared.lock().expect("not poisoned")
}

async fn list(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let mut depot = depot(&shared);
    let ids = query["ids"].clone();
    depot.asked.push(ids.clone());
    if let Some((status, body)) = depot.answer {
        return (StatusCode::from_u16(status).expect("a status"), body).into_response();
    }
    let found: Vec<_> = ids.split(',').filter_map(|id| depot.jobs.get(id).cloned()).collect();
    axum::Json(json!({"total": found.len(), "jobs": found})).into_response()
}

struct Rig {
    shared: Shared,
    ledger: Arc<dyn Ledger>,
    lessee: Lessee,
    clock: Clock,
    reconciler: Reconciler,
    halts: watch::Sender<Halts>,
    _tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let shared = Shared::default();
        let app = Router::new().route("/jobs", get(list)).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.expect("served") });
        let sources = [
            ("systems/depot/system.yaml", SYSTEM),
            ("systems/depot/bin.yaml", BIN),
            ("routes.yaml", "routes: [{service: depot.bin, to: [depot]}]\n"),
        ];
        let sources = sources.map(|(path, text)| Source { path: path.to_owned(), text: text.to_owned() });
        let catalogue = Catalogue::compile(&sources, &|_| Some(url.clone()));
        let catalogue = Arc::new(catalogue.unwrap_or_else(|found| panic!("{found:?}")));
        let folder = tempfile::tempdir().expect("a folder");
        let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let (closer, reader) = closing::rules(&catalogue);
        let ledger = ledger::open(&address, closer, reader, 2).await.expect("a ledger");
        let clock = Clock::stopped_at(at(0));
        let lessee =
            Lessee { worker: WorkerId(Uuid::now_v7()), room: Room::new([(name(), 99)]), outbox: Outbox::Off };
        ledger.heartbeat(lessee.worker, at(0)).await.expect("a heartbeat");
        let (events, _) = mpsc::unbounded_channel();
        let (work, _) = mpsc::unbounded_channel();
        let (writer, lanes) = Writer::new(Arc::clone(&ledger), lessee.clone(), events, work);
        tasks.spawn(lanes.run(CancellationToken::new()));
        let halts = watch::Sender::new(Halts::of(Vec::new()));
        let system = catalogue.system(&name()).expect("the depot");
        let listener = Listener {
            connector: Asker::alone(Arc::new(Connector::new(system).expect("a connector"))),
            catalogue,
            system: name(),
            ledger: Arc::clone(&ledger),
            writer,
            clock: clock.clone(),
            halts: halts.subscribe(),
        };
        let reconciler = Reconciler { listener, worker: lessee.worker, rate: None };
        Self { shared, ledger, lessee, clock, reconciler, halts, _tasks: tasks, _folder: folder }
    }

    /// A ticket whose job the depot has, with the status that it lists; `None` where it does not list it.
    async fn open(&self, number: u32, status: Option<&str>) {
        let ticket = format!("CRM-{number}");
        let document = json!({"ticket": ticket, "council": "harlow", "service": "depot.bin", "summary": "Bin",
            "raised_at": at(0).to_string()});
        let arrival = Arrival {
            key: InboxKey { source: "/crm".into(), id: ticket },
            change: Change::Submitted {
                request: Request::parse(document).expect("a request"),
                systems: vec![name()],
                clock: ClockSetting::default(),
            },
            traceparent: None,
            received_at: at(i64::from(number)),
            sent_with: None,
        };
        let work = self.ledger.accept(&[arrival], &self.lessee).await.expect("accepted").work.remove(0);
        let attempt = Attempt {
            started_at: at(1),
            ended_at: at(2),
            outcome: "delivered".into(),
            status: Some(200),
            reason: None,
            call: None,
            answer: None,
        };
        let next = Next::Delivered { job: Job::parse(&number.to_string()).ok(), note: None };
        let settlement = Settlement { work, attempt, next, owner: None };
        self.ledger.record(&[settlement], &self.lessee).await.expect("recorded");
        if let Some(status) = status {
            let row = json!({"id": number.to_string(), "status": status, "at": at(60).to_string()});
            depot(&self.shared).jobs.insert(number.to_string(), row);
        }
    }

    async fn at_once(&self) -> Report {
        match self.reconciler.at_once().await.expect("asked") {
            Step::Done(report) => report,
            other @ (Step::Idle | Step::NoWay | Step::Busy | Step::PutOff(_)) => panic!("{other:?}"),
        }
    }

    async fn state(&self, number: u32) -> RequestState {
        let (council, ticket) = (Council::parse("harlow"), Ticket::parse(&format!("CRM-{number}")));
        let found = self.ledger.ticket(council.ok().as_ref(), &ticket.expect("a ticket")).await;
        found.expect("a read").expect("a ticket").line.state
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut depot(&self.shared).asked)
    }

    fn halt(&self, pause: Option<Pause>, breaker: Option<Breaker>) {
        self.halts.send_if_modified(|halts| halts.changed(Halt { system: name(), pause, breaker }));
    }
}

fn name() -> SystemName {
    SystemName::parse("depot").expect("a name")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_338_000 + seconds).expect("a time")
}

fn counts(report: &Report) -> Vec<(&'static str, usize)> {
    report.counts.iter().map(|(verdict, count)| (verdict.as_str(), *count)).collect()
}

#[tokio::test]
async fn what_had_ended_is_repaired_and_what_is_open_is_left() {
    let rig = Rig::start().await;
    for (number, status) in [(1, "Open"), (2, "Done"), (3, "Started"), (4, "Gone fishing"), (5, "Done")] {
        rig.open(number, Some(status)).await;
    }
    let report = rig.at_once().await;
    assert_eq!(counts(&report), [("agreed", 2), ("repaired", 2), ("held", 1)]);
    assert_eq!(rig.asked(), ["1,2,3,4", "5"]);
    let states = [rig.state(1).await, rig.state(2).await, rig.state(4).await, rig.state(5).await];
    assert_eq!(states, [RequestState::Open, RequestState::Closed, RequestState::Held, RequestState::Closed]);
    let again = rig.at_once().await;
    assert_eq!(counts(&again), [("agreed", 3)], "what is held for a word is not held for it again");
}

#[tokio::test]
async fn a_preview_asks_and_changes_nothing() {
    let rig = Rig::start().await;
    rig.open(1, Some("Done")).await;
    let Step::Done(report) = rig.reconciler.preview().await.expect("asked") else { panic!("asked") };
    assert_eq!(counts(&report), [("repaired", 1)]);
    assert_eq!(rig.state(1).await, RequestState::Open);
    assert!(rig.ledger.asked().await.expect("read").is_empty());
}

#[tokio::test]
async fn an_answer_that_lacks_jobs_is_asked_for_again_in_halves_until_they_stand_alone() {
    let rig = Rig::start().await;
    for number in 1..=4 {
        rig.open(number, (number != 3).then_some("Done")).await;
    }
    let report = rig.at_once().await;
    assert_eq!(counts(&report), [("repaired", 3), ("unknown", 1)]);
    assert_eq!(rig.asked(), ["1,2,3,4", "1,2", "3,4", "3", "4"]);
    assert_eq!(rig.state(3).await, RequestState::Open, "what is not listed is never closed");
    assert_eq!(report.differences.iter().filter(|one| one.verdict == Verdict::Unknown).count(), 1);
}

#[tokio::test]
async fn an_answer_that_is_cut_or_not_understood_changes_nothing() {
    let rig = Rig::start().await;
    rig.open(1, Some("Done")).await;
    let answers = [
        (200, r#"{"total": 1, "jobs": [{"id": "1", "status": "Done"}"#, "unreadable"),
        (200, "<html><body>Please sign in</body></html>", "unreadable"),
        (200, r#"{"total": 1, "jobs": [{"id": "1", "state": "Done"}]}"#, "unreadable"),
        (200, r#"{"total": 1, "jobs": [{"status": "Done"}]}"#, "unreadable"),
        (200, r#"{"total": 0, "jobs": []}"#, "unknown"),
        (200, "{}", "unreadable"),
        (500, r#"{"total": 1, "jobs": [{"id": "1", "status": "Done"}]}"#, "unanswered"),
        (401, "", "unanswered"),
    ];
    for (status, body, expected) in answers {
        depot(&rig.shared).answer = Some((status, body));
        let report = rig.at_once().await;
        assert_eq!(counts(&report), [(expected, 1)], "{status} {body}");
        assert_eq!(rig.state(1).await, RequestState::Open, "{status} {body}");
    }
    depot(&rig.shared).answer = None;
    assert_eq!(counts(&rig.at_once().await), [("repaired", 1)]);
}

#[tokio::test]
async fn an_ending_dated_before_what_is_known_is_repaired_once() {
    let rig = Rig::start().await;
    rig.open(1, Some("Started")).await;
    assert_eq!(counts(&rig.at_once().await), [("agreed", 1)]);
    let older = json!({"id": "1", "status": "Done", "at": at(30).to_string()});
    depot(&rig.shared).jobs.insert("1".into(), older);
    assert_eq!(counts(&rig.at_once().await), [("repaired", 1)]);
    assert_ne!(rig.state(1).await, RequestState::Open);
    rig.clock.advance(Duration::from_secs(60));
    assert_eq!(counts(&rig.at_once().await), []);
}

#[tokio::test]
async fn a_system_that_ceases_to_answer_is_left_alone_and_asked_again_soon() {
    let rig = Rig::start().await;
    for number in 1..=12 {
        rig.open(number, Some("Open")).await;
    }
    depot(&rig.shared).answer = Some((503, ""));
    let report = rig.at_once().await;
    assert_eq!(rig.asked().len(), 2, "as many failures as its breaker allows");
    assert!(report.stopped.as_ref().is_some_and(|why| why.contains("did not answer")), "{report:?}");
    depot(&rig.shared).answer = None;
    assert_eq!(rig.reconciler.when_due().await.expect("not due"), Step::Idle);
    rig.clock.advance(AGAIN);
    assert!(
        matches!(rig.reconciler.when_due().await.expect("due"), Step::Done(report) if report.asked() == 12)
    );
    rig.clock.advance(AGAIN);
    assert_eq!(rig.reconciler.when_due().await.expect("not due"), Step::Idle);
}

#[tokio::test]
async fn a_system_is_asked_as_often_as_its_mapping_says_and_while_it_is_paused_it_waits() {
    let rig = Rig::start().await;
    rig.open(1, Some("Open")).await;
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(rig.reconciler.when_due().await.expect("not due"), Step::Idle, "a day after it is first seen");
    rig.clock.advance(day);
    rig.halt(Some(Pause { by: "jo".into(), at: at(0), reason: None }), None);
    assert!(
        matches!(rig.reconciler.when_due().await.expect("shut"), Step::PutOff(why) if why.contains("paused"))
    );
    rig.halt(None, None);
    assert!(matches!(rig.reconciler.when_due().await.expect("due"), Step::Done(_)));
    assert_eq!(rig.reconciler.when_due().await.expect("not due"), Step::Idle);
    rig.halt(Some(Pause { by: "jo".into(), at: at(0), reason: None }), None);
    assert!(matches!(rig.reconciler.at_once().await.expect("shut"), Step::PutOff(_)));
    rig.halt(None, None);
    let due = rig.reconciler.when_due().await.expect("due");
    assert!(matches!(due, Step::Done(_)), "what a person asked for comes when the gate opens: {due:?}");
    let breaker =
        |probe_at| Breaker { since: at(0), openings: 1, probe_at, reason: "503".into(), prober: None };
    let now = rig.clock.now();
    rig.halt(None, Some(breaker(now + day)));
    assert!(matches!(rig.reconciler.at_once().await.expect("shut"), Step::PutOff(_)));
    rig.halt(None, Some(breaker(now)));
    assert!(matches!(rig.reconciler.at_once().await.expect("tried"), Step::Done(_)));
}

#[test]
fn a_poll_is_late_once_it_is_later_than_its_overlap() {
    let (quarter, hours) = (Duration::from_secs(900), Duration::from_secs(7_200));
    assert_eq!(gap(at(0), quarter, hours, at(8_100)), None);
    let told = gap(at(0), quarter, hours, at(8_101)).expect("a gap");
    assert!(told.starts_with("no poll of it succeeded from "), "{told}");
}
